"""The formulas of normalization, in plain array vocabulary.

Everything here runs on NumPy arrays, on CuPy arrays and, the gradient, on tensors too: it is the
kernel, and the specification that faster kernels are held to.

Symbols: x the input; n values are reduced to one over ``axes``; mean and var have length 1 there
(of a matrix over its rows they are vectors).

    mean = Σ x / n              (0 when not centred)
    xc   = x - mean
    var  = Σ xc² / n            (biased; the mean square when not centred)
    y    = weight xc / √(var + eps) + bias
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array, array_module
from .choose import implements, kernel
from .sums import FEW, FIRST, average, total


def moments(
    x: Array, *, axes: tuple[int, ...], centred: bool
) -> tuple[Array, Array, Array]:
    """(xc, mean, var)"""
    xc, pivot, shift, var = kernel(statistics, type(x))(x, axes=axes, centred=centred)
    return xc, pivot if shift is None else pivot + shift, var


def statistics(
    x: Array, *, axes: tuple[int, ...], centred: bool
) -> tuple[Array, Array, Array | None, Array]:
    """(xc, pivot, shift, var): the mean is pivot + shift, or 0, the pivot, when not centred.

    Two passes: E[x²] - E[x]² cancels when |mean| >> std.

    The mean, rounded, is subtracted, and then the mean of what remains. The differences are exact
    where the values are close together, and the second sum is of the size of the spread, not of
    the offset. Of a few values any one serves for the first; of many it might be an outlier, and
    then both sums would be of its size. Copies of a number leave exactly 0: their differences from
    their mean have few bits, so that many of these are added without rounding.
    """
    sample = x[first(axes, x.ndim)]
    n = x.size // max(sample.size, 1) or 1
    mean_over = kernel(average, type(x))
    if centred:
        pivot = sample if n <= FEW else mean_over(x, axes, n)
        xc = x - pivot
        shift = mean_over(xc, axes, n)
        xc -= shift
    else:
        xc, pivot, shift = x, sample * 0, None
    return xc, pivot, shift, mean_over(xc, axes, n, xc)


def count(xc: Any, var: Any) -> int:
    """The number of values behind each mean; 1 where there is none."""
    return math.prod(xc.shape) // max(math.prod(var.shape), 1) or 1


def moments_gradient(
    dxc: Any, dmean: Any, dvar: Any, xc: Any, var: Any, *, axes: tuple[int, ...], centred: bool
) -> Any:
    """dx from the gradients of the three results, each of which may be None:

        dx = P dxc + dmean/n + dvar 2 xc/n,  P a = a - Σa/n when centred, else a
    """
    n = count(xc, var)
    dx = None
    if dxc is not None:
        dx = dxc - kernel(total, type(dxc))(dxc, axes, n) / n if centred else dxc
    if dmean is not None and centred:
        dx = (xc * 0 if dx is None else dx) + dmean / n
    if dvar is not None:
        part = xc * (dvar * (2 / n))
        dx = part if dx is None else dx + part
    return dx


def normalize(
    x: Array, weight: Array | None, bias: Array | None, *, axes: tuple[int, ...], eps: Any,
    centred: bool, beside: tuple[int, ...] | None = None, groups: int | None = None,
) -> tuple[Array, Array, Array, Array]:
    """(y, rest, mean, var): rest is what is left of the mean where it is rounded, so that the two
    together have nearly twice the digits.

    With ``groups`` x (N, C, *spatial) is seen as (N, groups, C/groups, *spatial), in which ``axes``
    count and rest, mean and var are given; y has the shape of x. weight and bias, (C,), are seen in
    the shape ``beside``.
    """
    seen = x if groups is None else x.reshape(grouped(x.shape, groups))
    xc, pivot, shift, var = kernel(statistics, type(seen))(seen, axes=axes, centred=centred)
    if shift is None:
        mean = rest = pivot
    else:
        mean = pivot + shift
        rest = pivot - mean + shift
    spread = var + eps
    std = kernel(root, type(spread))(spread)
    if beside is not None:
        weight = None if weight is None else weight.reshape(beside)
        bias = None if bias is None else bias.reshape(beside)
    if weight is None or same_along(weight.shape, axes, xc.ndim)[0]:
        scale = (1 if weight is None else weight) / std
        weight = None
    else:
        scale = 1 / std
    if centred:
        y = xc
        y *= scale
    else:
        y = xc * scale
    if weight is not None:
        y *= weight
    if bias is not None:
        y += bias
    return (y if groups is None else y.reshape(x.shape)), rest, mean, var


def normalize_gradient(
    dy: Any, dmean: Any, dvar: Any, x: Any, rest: Any, mean: Any, var: Any, weight: Any, *,
    axes: tuple[int, ...], eps: Any, centred: bool, beside: tuple[int, ...] | None = None,
    groups: int | None = None,
) -> tuple[Any, Any, Any]:
    """(dx, dweight, dbias) from the gradients of y, mean and var, each of which may be None.

    With g = weight dy, s = 1/√(var + eps) and, when centred, P a = a - Σa/n (else P a = a):

        dx = s (P g - xc s² Σ(g xc)/n)  +  dmean/n  +  dvar 2 xc/n,  xc = (x - mean) - rest

    What it needs is an input or a result of the operation: gradients flow into these again, so
    that every order is right. The rest is of rounding and has none. x - mean is exact where the
    values are near the mean (Sterbenz), so that no digits of a large offset are lost.
    """
    dx = dweight = dbias = None
    xc = x if groups is None else x.reshape(grouped(x.shape, groups))
    if centred:
        xc = xc - mean
        xc -= rest
    if dy is not None:
        if groups is not None:
            dy = dy.reshape(xc.shape)
        if beside is not None and weight is not None:
            weight = weight.reshape(beside)
        pull = kernel(output_gradient, type(dy))
        dx, dweight, dbias = pull(dy, xc, var, weight, axes, eps, centred)
        if weight is None:
            same = same_along(beside, axes, xc.ndim)[0] if beside else ()
            dbias = kernel(total, type(dy))(dy, same, count(xc, var)) if same else dy
        elif beside is not None:
            dweight = flat(dweight, beside)
        if beside is not None:
            dbias = flat(dbias, beside)
    if not (dmean is dvar is None):
        part = moments_gradient(None, dmean, dvar, xc, var, axes=axes, centred=centred)
        dx = part if dx is None else dx if part is None else dx + part
    if groups is not None and dx is not None:
        samples, _, each, *spatial = xc.shape
        dx = dx.reshape((samples, groups * each, *spatial))
    return dx, dweight, dbias


def grouped(shape: tuple[int, ...], groups: int) -> tuple[int, ...]:
    """(N, C, *spatial) -> (N, groups, C/groups, *spatial)"""
    samples, channels, *spatial = shape
    return (samples, groups, channels // groups, *spatial)


def flat(v: Any, beside: tuple[int, ...]) -> Any:
    """(*, *beside) -> (*, C): the gradient of a weight that was seen in the shape ``beside``. The
    engine sums over the axes before the last."""
    return v.reshape((*v.shape[:v.ndim - len(beside)], math.prod(beside)))


def output_gradient(
    dy: Any, xc: Any, var: Any, weight: Any, axes: tuple[int, ...], eps: Any, centred: bool
) -> tuple[Any, Any, Any]:
    """What dy alone gives to dx, dweight and dbias: s (P g - xc s² Σ(g xc)/n), Σ dy xc s, Σ dy."""
    n = count(xc, var)
    sum_over = kernel(total, type(dy))
    square = 1 / (var + eps)
    scale = kernel(root, type(square))(square)
    same, others = (axes, ()) if weight is None else same_along(weight.shape, axes, xc.ndim)
    if same and (others or not centred):
        # weight leaves the sums, and these are those of dbias and dweight themselves
        dbias, along = sum_over(dy, same, n), sum_over(dy, same, n, xc)
        dweight = along * scale
        dx = dy * (scale if weight is None else scale * weight)
        inside, along = (v if weight is None else v * weight for v in (dbias, along))
        if others:  # of the channels of a group
            inside, along = sum_over(inside, others, n), sum_over(along, others, n)
        dx -= xc * (along * (scale * square / n))
        if centred:
            dx -= inside * (scale / n)
    elif same:
        # P dy in the place of dy, as Σ xc is 0: what xc lost of the mean, which all those
        # between two powers of two lost alike, times a large Σ dy would be left in dweight.
        dbias = sum_over(dy, same, n)
        dx = dy - dbias / n
        along = sum_over(dx, same, n, xc)
        dweight = along * scale
        outer = scale if weight is None else scale * weight
        dx = kernel(multiply, type(dx))(dx, outer)
        dx -= xc * (along * (square * outer / n))
    else:
        dbias, dweight = dy, dy * (xc * scale)
        g = dy * weight
        dx = g - xc * (sum_over(g, axes, n, xc) * (square / n))
        if centred:
            dx -= sum_over(g, axes, n) / n
        dx *= scale
    return dx, dweight, dbias


def root(x: Any) -> Any:
    """√x"""
    return x**0.5


implements(root, np.ndarray)(np.sqrt)  # x**0.5 takes 1 µs more


def multiply(x: Any, by: Any) -> Any:
    """x by, of an x that nobody else needs."""
    return x * by


@implements(multiply, np.ndarray)
def multiply_in_place(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Into the memory of x: a large array of its own would be filled page by page."""
    x *= by
    return x


MODERATE = {4: (2.0**42, 2.0**-42)}
"""A third of the exponents of float32; of float64 and wider:"""
WIDE = (2.0**340, 2.0**-340)


def is_moderate(var: Any, eps: float, ask: Callable[[Any], bool]) -> bool:
    """Whether √(var + eps) can be taken to some powers, as derivatives do. NaN is not."""
    high, low = MODERATE.get(var.itemsize, WIDE)
    flat = var.reshape(-1)  # the sum of squares takes two thirds of the time of .max()
    return ask(flat.dot(flat) < high * high) and (
        eps >= low or ask(flat.min(initial=high) >= low))


def unit(x: Array, *, axes: tuple[int, ...], eps: float, centred: bool) -> Array:
    """A power of two for each mean, of the size of 1/√(var + eps): 1/half the range of the values.

    Multiplying by it is exact. The product, its squares and the powers of its deviation, as
    derivatives have them, are within the range of the dtype. Copies of one number have no range:
    what counts is eps, unless they themselves would be too large.
    """
    module = array_module(x)
    beside = not (axes == FIRST and x.ndim == 2)
    high, low = (f(axis=axes, keepdims=beside) for f in (x.max, x.min))
    size = module.maximum(high, -low)
    info = np.finfo(x.dtype)
    if centred:
        size = module.maximum(high * 0.5 - low * 0.5, size * 2.0 ** (-info.maxexp * 3 // 4))
    size = module.maximum(size, math.sqrt(eps))
    _, exponent = module.frexp(size)
    return module.ldexp(module.ones_like(size), -exponent.clip(info.minexp, -info.minexp))


@lru_cache(maxsize=256)
def first(axes: tuple[int, ...], ndim: int) -> Any:
    """The index of the first value along each of ``axes``, kept as length 1 as by :func:`total`."""
    if axes == FIRST and ndim == 2:
        return 0
    reduced = {i % ndim for i in axes}
    return tuple(slice(0, 1) if i in reduced else slice(None) for i in range(ndim))


@lru_cache(maxsize=256)
def same_along(
    weight: tuple[int, ...], axes: tuple[int, ...], ndim: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Along which of ``axes`` a weight of that shape is the same, and along which it is not.

    A matrix has one or the other: sums over its rows lose that axis.
    """
    missing = ndim - len(weight)
    same = tuple(i for i in axes if i % ndim < missing or weight[i % ndim - missing] == 1)
    others = tuple(i for i in axes if i not in same)
    return ((), axes) if ndim == 2 and others else (same, others)
