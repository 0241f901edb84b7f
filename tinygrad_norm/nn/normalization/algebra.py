"""What every norm is made of: standardizing, moments and their merging, statistics applied.

    standardize(x, weight, bias)   (y, rest, mean, var): with the moments of x itself
    deviation(x)                   (√(var + eps), var), for norms that divide by several of them
    apply_statistics(x, mean, …)   y, with moments that are given
    moments(x), merge(parts)       what is known of values, and of several parts together

Each norm says which axes are reduced and where weight and bias vary. Values of any size come out
right (``in_range``); float16 is computed in float32 and rounded once (``rounded_once``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...autograd.mode import ANOMALY, flags
from ...backend.choose import expect
from ...backend.reference import grouped, is_moderate
from ...ops import normalize as ops
from ...ops.rounding import FLOAT16, in_float32, rounded_once
from ...tensors.tensor import Tensor


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def in_range(
    run: Callable[..., Any], powers: tuple[int, ...], x: Tensor, *others: Any,
    axes: tuple[int, ...], eps: float, centred: bool = True, also: tuple[Tensor, ...] = (),
    groups: int | None = None, **settings: Any,
) -> Any:
    """What ``run(x, *also, *others)`` gives, the variance of x last, for values of any size.

    Where the variance is too large or too small for powers of the deviation, as derivatives have
    them, x is taken in units: powers of two, one for each mean. x u with eps u² has the same
    quotients, no square of it overflows or vanishes, and u is a factor like any other, so that
    every derivative is right. On a device, which would have to wait for the question, x is always
    taken in units.

    Args:
        run: computes with the keywords axes, eps, centred and ``settings``.
        powers: which power of its unit each result has; 0 for quotients.
        also: what x is compared with: in units it is multiplied by them too.
        groups: x (N, C, *spatial) is seen as (N, groups, C/groups, *spatial), in which ``axes``
            count; run's first result has the shape of x.
    """
    array = x.array
    if array.dtype == FLOAT16:
        return rounded_once(in_range, run, powers, x, *others, axes=axes, eps=eps, centred=centred,
                            also=also, groups=groups, **settings)
    eps = float(eps)  # a NumPy float64 would widen float32
    if groups is not None:
        settings["groups"] = groups
    ask = expect(type(array))
    if ask is not None and not flags.get() & ANOMALY:  # which would report what is given up
        results = run(x, *also, *others, axes=axes, eps=eps, centred=centred, **settings)
        if is_moderate(results[-1].array, eps, ask):
            return results
    seen = x
    if groups is not None:
        del settings["groups"]
        seen = x.reshape(grouped(array.shape, groups))
    unit = ops.unit(seen, axes=axes, eps=eps, centred=centred)
    size = 1 / unit
    results = run(*(value * unit for value in (seen, *also)), *others, axes=axes,
                  eps=eps * unit.array * unit.array, centred=centred, **settings)
    results = [to_power(value, unit, size, power)
               for value, power in zip(results, powers, strict=True)]
    if groups is not None:
        results[0] = results[0].reshape(array.shape)
    return tuple(results)


def to_power(value: Tensor, unit: Tensor, size: Tensor, power: int) -> Tensor:
    """A result in units as what it is: times size^power, one factor at a time, for the range."""
    for _ in range(abs(power)):
        value = value * (size if power > 0 else unit)
    return value


standardize: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = partial(
    in_range, ops.normalize, (0, 1, 1, 2))
"""``standardize(x, weight, bias, *, axes, eps, centred=True, beside=None, groups=None)``.

(y, rest, mean, var), as ``ops.normalize``: the core of every norm. weight and bias are None or
shaped to stand beside x; ``beside`` is that shape, where they are (C,). float16 gives y in float16,
the others in float32.
"""


def _deviation(
    x: Tensor, *, axes: tuple[int, ...], eps: Any, centred: bool
) -> tuple[Tensor, Tensor]:
    var = ops.moments(x, axes=axes, centred=centred)[2]
    return (var + eps).sqrt(), var


deviation: Callable[..., tuple[Tensor, Tensor]] = partial(in_range, _deviation, (1, 2))
"""``deviation(x, *, axes, eps, centred=True)``: (√(var + eps), var) of values of any size, not of
float16. The first is right also where var overflows."""


# -- moments -----------------------------------------------------------------------------------


class Moments(NamedTuple):
    """What is known of values that are normalized together."""

    n: int
    """The number of values behind each mean."""
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


# -- axes, and statistics per channel -----------------------------------------------------------


@cache
def last_axes(k: int) -> tuple[int, ...]:
    """The last k axes."""
    return tuple(range(-k, 0))


@cache
def batch_axes(ndim: int) -> tuple[int, ...]:
    """All axes of (N, C, *spatial) but the channel's."""
    return (0,) if ndim == 2 else (0, *range(2, ndim))


def per_channel(value: Any, x: Any) -> Any:
    """A (C,) tensor or array shaped to stand beside x (N, C, *spatial)."""
    if value is None or x.ndim == 2:
        return value
    return value.reshape((-1,) + (1,) * (x.ndim - 2))


@in_float32
def apply_statistics(
    x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, eps: float
) -> Tensor:
    """y = (x - mean) / √(var + eps) * weight + bias, with statistics that are given."""
    return apply_scale(x, mean, (var + float(eps)).rsqrt(), weight, bias)


def apply_scale(x: Any, mean: Any, scale: Any, weight: Any, bias: Any) -> Tensor:
    """y = (x - mean) scale weight + bias, of values per channel.

    The mean is subtracted first: folded into the bias it would cost the digits of a large offset.
    """
    if weight is not None:
        scale = scale * weight
    y = (x - per_channel(mean, x)) * per_channel(scale, x)
    return y if bias is None else y + per_channel(bias, x)
