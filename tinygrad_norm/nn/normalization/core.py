"""What every norm is made of: standardizing, given statistics, their averages, the checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.graph import tick
from ...autograd.mode import STATISTICS, flags
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
    """(y, xc, mean, var): the core of every norm, float16 computed in float32."""
    if x.array.dtype != FLOAT16:
        return normalize(x, weight, bias, axes=axes, eps=eps, centred=centred)
    y, xc, mean, var = normalize(*widened(x, weight, bias), axes=axes, eps=eps, centred=centred)
    return y.half(), xc, mean, var


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


def running_average(buffer: Tensor | None, value: Any, momentum: Any, factor: float = 1.0) -> None:
    """buffer = (1 - momentum) buffer + momentum factor value, in place.

    Nothing happens inside ``autograd.keep_statistics()``.
    """
    if buffer is not None and flags.get() & STATISTICS:
        array = buffer.array
        array *= 1 - momentum
        array += value.reshape(-1) * (momentum * factor)
        buffer.written[0] = tick()


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
    if eps < 0:
        raise ValueError(f"{who}: expected eps >= 0, got {eps}")
    for i, vector in enumerate(vectors):
        if vector is None:
            continue
        other = vector.array
        if other.shape == shape and other.dtype is dtype and type(other) is type(array):
            continue
        name = ("running_mean", "the running spread", "weight", "bias")[i - len(vectors)]
        if other.shape != shape:
            raise ShapeError(f"{who}: expected {name} of shape {shape} for an input of shape "
                             f"{array.shape}, got {other.shape}")
        if device_of(other) != device_of(array):
            raise DeviceError(f"{who}: the input is on {device_of(array)}, {name} on "
                              f"{device_of(other)}; move one with .to(device)")
        if other.dtype != dtype and (dtype, other.dtype) != (FLOAT16, FLOAT32):
            raise DtypeError(f"{who}: the input is {dtype}, {name} {other.dtype}; "
                             "bring them to one dtype with .to(dtype)")


def check_count(who: str, x: Tensor, n: int, what: str) -> None:
    """Statistics need two values at least.

    Raises:
        ValueError: with the ways out.
    """
    if n < 2:
        raise ValueError(
            f"{who}: Expected more than 1 {what} when training, got input size {x.array.shape}, "
            f"which has {n}; use a larger batch (DataLoader(drop_last=True)), eval(), or a norm "
            "that does not depend on the batch: GroupNorm, LayerNorm"
        )


def batch_axes(ndim: int) -> tuple[int, ...]:
    """All axes of (N, C, *spatial) but the channel's."""
    return (0,) if ndim == 2 else (0, *range(2, ndim))


def apply_statistics(
    x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float
) -> Tensor:
    """y = (x - mean) / √(var + eps) weight + bias, with statistics that are given.

    The mean is subtracted first: folded into the bias it would cost the digits of a large offset.
    """
    if x.array.dtype == FLOAT16:
        x, mean, var, weight, bias = widened(x, mean, var, weight, bias)
        return apply_statistics(x, mean, var, weight, bias, eps).half()
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    y = (x - per_channel(mean, x)) * per_channel(scale, x)
    return y if bias is None else y + per_channel(bias, x)
