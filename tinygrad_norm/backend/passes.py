"""The formulas of the norms in as few passes over memory as they allow: what loops are made from.

Arrays that record what is done with them have these kernels. A sum is asked for in float64, and
what is computed from sums stays so until the last rounding: loops add some float32 values in a row
and such sums in float64. A pass depends on another where it needs a sum of it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from . import reference
from .array import Array, array_module
from .choose import RECORDS, expect, implements
from .reference import count, first, same_along
from .sums import FIRST, average, total

CACHED = 1024
"""Of so many values, which lie in the cache, the mean is subtracted; of more that of a few of them,
for which none has to be read twice."""
SAMPLES = 16
REACH = 16.0
"""How many variances the mean of a few may be off, squared: Σ xc² is the difference of two sums,
the first of which is larger by this factor plus one."""


def sums(x: Array, axes: tuple[int, ...], by: Any = None) -> Array:
    """Σ x over ``axes``, or Σ x by, in float64; kept as length 1, of a matrix's rows a vector."""
    if by is not None:
        x = x * by
    if axes == FIRST and x.ndim == 2:
        return x.sum(axis=0, dtype="float64")
    return x.sum(axis=axes, keepdims=True, dtype="float64")


@implements(total, RECORDS)
def recorded_total(x: Array, axes: tuple[int, ...], n: int, by: Any = None) -> Array:
    """As :func:`total`."""
    return sums(x, axes, by).astype(x.dtype)


@implements(average, RECORDS)
def recorded_average(x: Array, axes: tuple[int, ...], n: int, by: Any = None) -> Array:
    """As :func:`average`."""
    return (sums(x, axes, by) / n).astype(x.dtype)


@lru_cache(maxsize=256)
def few(shape: tuple[int, ...], axes: tuple[int, ...], n: int) -> tuple[slice, ...]:
    """The index of about SAMPLES of n values, or of one in 16, evenly over ``axes``."""
    reduced = {i % len(shape) for i in axes}
    each = round(min(SAMPLES, max(n // 16, 1)) ** (1 / len(reduced)))
    index = [slice(None)] * len(shape)
    for i in reduced:
        step = max(shape[i] // each, 1)
        index[i] = slice(step // 2, step * each, step)
    return tuple(index)


def pivot_of(x: Array, axes: tuple[int, ...], n: int) -> Array:
    """The mean of a few values, as :func:`average` gives it."""
    some = x[few(x.shape, axes, n)]
    return recorded_average(some, axes, some.size * n // max(x.size, 1) or 1)


@implements(reference.statistics, RECORDS)
def statistics(
    x: Array, *, axes: tuple[int, ...], centred: bool
) -> tuple[Array, Array, Array | None, Array]:
    """(xc, pivot, shift, var): Σ d and Σ d² of d = x - pivot in one pass; shift = Σ d / n,

        mean = pivot + shift      xc = d - shift      var = Σ d² / n - shift²

    Nothing cancels where the pivot is the mean but for its rounding; where it is that of a few,
    shift² is at most REACH variances, which is asked. Copies of one number leave exactly 0.
    """
    sample = x[first(axes, x.ndim)]
    n = x.size // max(sample.size, 1) or 1
    if not centred:
        return x, sample * 0, None, recorded_average(x, axes, n, x)
    ask = expect(type(x))
    if n > CACHED and ask is not None:
        pivot = pivot_of(x, axes, n)
        d, shift, var = about(x, pivot, axes, n)
        near = (shift * shift <= var * REACH).all()
        if not ask(near):
            pivot = None
    else:
        pivot = None
    if pivot is None:
        pivot = sample + recorded_average(x - sample, axes, n)
        d, shift, var = about(x, pivot, axes, n)
    shift = shift.astype(x.dtype)
    return d - shift, pivot, shift, array_module(var).maximum(var, 0).astype(x.dtype)


def about(x: Array, pivot: Array, axes: tuple[int, ...], n: int) -> tuple[Array, Array, Array]:
    """(d, Σ d / n, Σ d² / n - (Σ d / n)²) of d = x - pivot, the last two in float64."""
    d = x - pivot
    shift = sums(d, axes) / n
    return d, shift, sums(d, axes, d) / n - shift * shift


@implements(reference.output_gradient, RECORDS)
def output_gradient(
    dy: Array, xc: Array, var: Array, weight: Any, axes: tuple[int, ...], eps: Any, centred: bool
) -> tuple[Array, Array, Array]:
    """As the reference, where Σ xc (P dy) needs P dy and so a sum before it, in one pass:

        Σ xc (P dy) = Σ xc d - Σ xc Σ d / n,  d = dy - pivot

    The pivot, the mean of a few dy, is for what dy have in common, as where the loss is a mean.
    """
    same, others = (axes, ()) if weight is None else same_along(weight.shape, axes, xc.ndim)
    if same and others:
        return of_groups(dy, xc, var, weight, axes, same, eps, centred)
    if not same or not centred:
        dx, dweight, dbias = reference.output_gradient(dy, xc, var, weight, axes, eps, centred)
        if weight is not None and not same:  # summed here, where dy is read
            dweight, dbias = (beside(v, weight.shape) for v in (dweight, dbias))
        return dx, dweight, dbias
    n = count(xc, var)
    sqrt = array_module(var).sqrt
    pivot = pivot_of(dy, axes, n)
    d = dy - pivot
    sum_d = sums(d, axes)
    wide = xc.astype("float64") if n > CACHED else xc  # float32 rounds many that are alike alike
    along = sums(d, axes, xc) - sums(wide, axes) * (sum_d / n)
    square = 1 / (var + eps)
    scale = sqrt(square)
    outer = scale if weight is None else scale * weight
    dx = (d - (sum_d / n).astype(dy.dtype)) * outer
    dx = dx - xc * (along * (square * outer / n)).astype(dy.dtype)
    return dx, (along * scale).astype(dy.dtype), (sum_d + pivot * float(n)).astype(dy.dtype)


def of_groups(
    dy: Array, xc: Array, var: Array, weight: Array, axes: tuple[int, ...], same: tuple[int, ...],
    eps: Any, centred: bool,
) -> tuple[Array, Array, Array]:
    """As the reference, in one pass: the sums of a group, and those of each of its channels."""
    n, g = count(xc, var), dy * weight
    square = 1 / (var + eps)
    scale = array_module(var).sqrt(square)
    dx = g - xc * (sums(g, axes, xc) * (square / n)).astype(dy.dtype)
    if centred:
        dx = dx - (sums(g, axes) / n).astype(dy.dtype)
    dbias, along = sums(dy, same), sums(dy, same, xc)
    return dx * scale, (along * scale).astype(dy.dtype), dbias.astype(dy.dtype)


def beside(v: Array, shape: tuple[int, ...]) -> Array:
    """v summed over the axes along which an array of ``shape`` beside it is the same."""
    ahead = v.ndim - len(shape)
    same = tuple(i for i in range(v.ndim) if i < ahead or (shape[i - ahead] == 1 < v.shape[i]))
    total = v.sum(axis=same, keepdims=True, dtype="float64") if same else v
    return total.reshape(shape).astype(v.dtype)
