"""What every norm is made of: standardizing, given statistics, their averages, the checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.mode import ANOMALY, flags
from ...backend.array import device_of
from ...errors import DeviceError, DimError, DtypeError, ShapeError
from ...ops import normalize as ops
from ...ops.normalize import normalize
from ...tensors.tensor import Tensor

FLOAT16, FLOAT32 = np.dtype("float16"), np.dtype("float32")


def standardize(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *,
    axes: tuple[int, ...], eps: float, centred: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(y, xc, mean, var): the core of every norm, float16 computed in float32.

    Values of any size are normalized, also where var overflows and is infinite.
    """
    array = x.array
    eps = float(eps)  # a NumPy float64 would widen float32
    if array.dtype == FLOAT16:
        y, xc, mean, var = standardize(*widened(x, weight, bias), axes=axes, eps=eps,
                                       centred=centred)
        return y.half(), xc, mean, var
    if type(array) is np.ndarray and not flags.get() & ANOMALY:
        results = _as_it_is(x, weight, bias, axes, eps, centred)
        if results is not None:
            return results
    return _in_units(x, weight, bias, axes, eps, centred)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _as_it_is(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float,
    centred: bool,
) -> Any:
    """(y, xc, mean, var) where they are right, else None."""
    results = normalize(x, weight, bias, axes=axes, eps=eps, centred=centred)
    return results if is_moderate(results[3].array, eps) else None


@np.errstate(over="ignore", invalid="ignore")
def _in_units(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, axes: tuple[int, ...], eps: float,
    centred: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`standardize` of x in units that are powers of two, one for each mean.

    x u with eps u² has the same y. No square and no power of a deviation overflows or vanishes,
    and u is a factor like any other, so that every derivative is right. Where asking would make a
    device wait all values go this way.
    """
    unit = ops.unit(x, axes=axes, eps=eps, centred=centred)
    small = eps * unit.array * unit.array
    y, xc, mean, var = normalize(x * unit, weight, bias, axes=axes, eps=small, centred=centred)
    size = 1 / unit
    return y, xc * size, mean * size, var * size * size


@np.errstate(over="ignore", invalid="ignore")
def deviation(
    x: Tensor, axes: tuple[int, ...], eps: float, centred: bool = True
) -> tuple[Tensor, Tensor]:
    """(√(var + eps), var) of values of any size: the first also where var overflows."""
    eps = float(eps)
    if may_try(x.array):
        var = ops.moments(x, axes=axes, centred=centred)[2]
        if is_moderate(var.array, eps):
            return (var + eps).sqrt(), var
    unit = ops.unit(x, axes=axes, eps=eps, centred=centred)
    var = ops.moments(x * unit, axes=axes, centred=centred)[2]
    size = 1 / unit
    return (var + eps * unit.array * unit.array).sqrt() * size, var * size * size


def may_try(array: Any) -> bool:
    """Whether a result may be computed, looked at, and given up: where looking does not make a
    device wait, and where not each NaN is reported."""
    return type(array) is np.ndarray and not flags.get() & ANOMALY


MODERATE = {4: (2.0**42, 2.0**-42)}
"""A third of the exponents of float32; of float64 and wider:"""
WIDE = (2.0**340, 2.0**-340)


def is_moderate(var: np.ndarray, eps: float) -> bool:
    """Whether √(var + eps) can be taken to some powers, as derivatives do. NaN is not."""
    high, low = MODERATE.get(var.itemsize, WIDE)
    flat = var if var.ndim == 1 else var.reshape(-1)
    # The product with itself is the quickest question; for many values it may be too large.
    if not (flat.dot(flat) < high * high or flat.max(initial=0.0) < high):
        return False
    return eps >= low or bool(flat.min(initial=high) >= low)


class Moments(NamedTuple):
    """What is known of values that are normalized together."""

    n: int
    """So many values stand behind each mean."""
    mean: Tensor
    var: Tensor
    """Biased: Σ (x - mean)² / n."""


def moments(x: Tensor, axes: tuple[int, ...]) -> Moments:
    """Of x over ``axes``, kept as length 1 (of a matrix over its rows: vectors)."""
    xc, mean, var = ops.moments(x, axes=axes, centred=True)
    return Moments(xc.array.size // max(mean.array.size, 1), mean, var)


def merge(parts: Sequence[Moments]) -> Moments:
    """The moments of all the values behind ``parts``, of every order of derivative.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for
    computing sample variances", eq. 2.1; here for any number of parts at once.
    """
    n = sum(part.n for part in parts)
    mean = parts[0].mean  # and differences from it: a mean of means would lose digits
    for part in parts[1:]:
        mean = mean + (part.mean - parts[0].mean) * (part.n / n)
    shares = [(part.var + (part.mean - mean).square()) * (part.n / n) for part in parts]
    return Moments(n, mean, sum(shares[1:], shares[0]))


def widened(*values: Tensor | None) -> list[Any]:
    """The values in float32."""
    return [None if v is None else v.float() for v in values]


def per_channel(value: Any, x: Any) -> Any:
    """A (C,) tensor or array shaped to stand beside x (N, C, *spatial)."""
    if value is None or x.ndim == 2:
        return value
    return value.reshape((-1,) + (1,) * (x.ndim - 2))


def bessel(n: int) -> float:
    """From the variance of a sample of n to the unbiased estimate of its population's."""
    return n / (n - 1)


def check_input(
    who: str, x: Tensor, shape: tuple[int, ...], eps: float, *vectors: Tensor | None
) -> None:
    """x must be floating, and running_mean, running_…, weight, bias be of ``shape`` and fit it.

    They have x's dtype; beside float16 they may be float32, in which the work is done anyway.

    Raises:
        DimError, DtypeError, ShapeError, DeviceError: naming what does not fit.
        ValueError: eps < 0.
    """
    array = x.array
    dtype = array.dtype
    if not shape:
        raise DimError(f"{who}: expected input (N, C, *spatial), got {array.shape}")
    if dtype.kind != "f":
        raise DtypeError(f"{who}: expected a floating point input, got {dtype}; call .float()")
    if not eps >= 0:  # NaN too
        raise ValueError(f"{who}: expected eps >= 0, got {eps}; 1e-5 is the usual one")
    for i, vector in enumerate(vectors):
        if vector is None:
            continue
        other = vector.array
        if other.shape == shape and other.dtype is dtype and type(other) is type(array):
            continue
        name = ("running_mean", "the running spread", "weight", "bias")[i - len(vectors)]
        check_vector(who, name, array, other, shape)


def check_vector(who: str, name: str, x: Any, vector: Any, shape: tuple[int, ...]) -> None:
    """An array must be of ``shape``, on the device of x and of its dtype, as :func:`check_input`
    has it, which raises the same."""
    if vector.shape != shape:
        raise ShapeError(f"{who}: expected {name} of shape {shape} for an input of shape "
                         f"{x.shape}, got {vector.shape}")
    if device_of(vector) != device_of(x):
        raise DeviceError(f"{who}: the input is on {device_of(x)}, {name} on "
                          f"{device_of(vector)}; move one with .to(device)")
    if vector.dtype != x.dtype and (x.dtype, vector.dtype) != (FLOAT16, FLOAT32):
        raise DtypeError(f"{who}: the input is {x.dtype}, {name} {vector.dtype}; "
                         "bring them to one dtype with .to(dtype)")


BATCH = ("use a larger batch (DataLoader(drop_last=True)), eval() with running statistics, or a "
         "norm that does not depend on the batch: GroupNorm, LayerNorm")
"""What to do where the batch was too small."""


def check_count(who: str, x: Tensor, n: int, what: str, cure: str = BATCH) -> None:
    """No statistics are taken of fewer than two values, in training or in eval, by any norm.

    The spread of one value is 0 and its result the bias, whatever it was. Eval with running
    statistics takes none, so there one value will do. Norms whose count does not depend on the
    input are free: LayerNorm(1) gives its bias, as PyTorch's.

    Raises:
        ValueError: with the ways out.
    """
    if n < 2:
        when = " when training or without running statistics" if cure is BATCH else ""
        raise ValueError(f"{who}: Expected more than 1 {what}{when}, got input size "
                         f"{x.array.shape}, which has {n}; {cure}")


def batch_axes(ndim: int) -> tuple[int, ...]:
    """All axes of (N, C, *spatial) but the channel's."""
    return (0,) if ndim == 2 else (0, *range(2, ndim))


def apply_statistics(
    x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float
) -> Tensor:
    """y = (x - mean) / √(var + eps) * weight + bias, with statistics that are given.

    The mean is subtracted first: folded into the bias it would cost the digits of a large offset.
    """
    if x.array.dtype == FLOAT16:
        x, mean, var, weight, bias = widened(x, mean, var, weight, bias)
        return apply_statistics(x, mean, var, weight, bias, eps).half()
    return apply_scale(x, mean, (var + float(eps)).rsqrt(), weight, bias)


def apply_scale(x: Any, mean: Any, scale: Any, weight: Any, bias: Any) -> Tensor:
    """y = (x - mean) scale weight + bias, of values per channel."""
    if weight is not None:
        scale = scale * weight
    y = (x - per_channel(mean, x)) * per_channel(scale, x)
    return y if bias is None else y + per_channel(bias, x)
