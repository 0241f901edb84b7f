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
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array, array_module

BLOCK = 256
"""So many float32 values are added in float32; their sums are added in float64."""
FEW = 64
"""Of so many values one is at most 8 deviations from their mean."""


def moments(
    x: Array, *, axes: tuple[int, ...], centred: bool
) -> tuple[Array, Array, Array]:
    """(xc, mean, var). Two passes: E[x²] - E[x]² cancels when |mean| >> std.

    The mean, rounded, is subtracted, and then the mean of what remains. The differences are exact
    where the values are close together, and the second sum is of the size of the spread, not of
    the offset. Of a few values any one serves for the first; of many it might be an outlier, and
    then both sums would be of its size. Copies of a number leave exactly 0: their differences from
    a mean have 9 bits at most, and 256 of these are added without rounding.
    """
    sample = x[first(axes, x.ndim)]
    n = x.size // max(sample.size, 1) or 1
    if centred:
        pivot = sample if n <= FEW else average(x, axes, n)
        xc = x - pivot
        shift = average(xc, axes, n)
        xc -= shift
        mean = pivot + shift
    else:
        xc, mean = x, array_module(x).zeros_like(sample)
    return xc, mean, average(xc, axes, n, xc)


def moments_gradient(
    dxc: Any, dmean: Any, dvar: Any, xc: Any, var: Any, *, axes: tuple[int, ...], centred: bool
) -> Any:
    """dx from the gradients of the three results, each of which may be None:

        dx = P dxc + dmean/n + dvar 2 xc/n,  P a = a - Σa/n when centred, else a
    """
    n = math.prod(xc.shape) // max(math.prod(var.shape), 1) or 1
    dx = None
    if dxc is not None:
        dx = dxc - total(dxc, axes, n) / n if centred else dxc
    if dmean is not None and centred:
        dx = (xc * 0 if dx is None else dx) + dmean / n
    if dvar is not None:
        part = xc * (dvar * (2 / n))
        dx = part if dx is None else dx + part
    return dx


def normalize(
    x: Array, weight: Array | None, bias: Array | None, *,
    axes: tuple[int, ...], eps: float, centred: bool,
) -> tuple[Array, Array, Array, Array]:
    """(y, xc, mean, var)."""
    xc, mean, var = moments(x, axes=axes, centred=centred)
    std = array_module(x).sqrt(var + eps)
    if weight is None or same_along(weight.shape, axes, x.ndim)[0]:
        y = xc * ((1 if weight is None else weight) / std)
    else:
        y = xc * (1 / std)
        y *= weight
    if bias is not None:
        y += bias
    return y, xc, mean, var


def normalize_gradient(
    dy: Any, dxc: Any, dmean: Any, dvar: Any, xc: Any, var: Any, weight: Any, *,
    axes: tuple[int, ...], eps: float, centred: bool,
) -> tuple[Any, Any, Any]:
    """(dx, dweight, dbias) from the gradients of the four results, each of which may be None.

    With g = weight dy, s = 1/√(var + eps) and, when centred, P a = a - Σa/n (else P a = a):

        dx = s (P g - xc s² Σ(g xc)/n)  +  P dxc  +  dmean/n  +  dvar 2 xc/n

    Only xc and var are needed, and both are results of the operation: gradients flow into them
    again, so that every order is right. Were x kept instead, x - mean would lose the digits of a
    large offset a second time.
    """
    n = math.prod(xc.shape) // max(math.prod(var.shape), 1) or 1
    dx = dweight = dbias = None
    if dy is not None:
        square = 1 / (var + eps)
        scale = square**0.5
        same, others = (axes, ()) if weight is None else same_along(weight.shape, axes, xc.ndim)
        if same and (others or not centred):
            # weight leaves the sums, and these are those of dbias and dweight themselves
            dbias, along = total(dy, same, n), total(dy, same, n, xc)
            dweight = along * scale
            dx = dy * (scale if weight is None else scale * weight)
            inside, along = (v if weight is None else v * weight for v in (dbias, along))
            if others:  # of the channels of a group
                inside, along = total(inside, others, n), total(along, others, n)
            dx -= xc * (along * (scale * square / n))
            if centred:
                dx -= inside * (scale / n)
        elif same:
            # P dy in the place of dy, as Σ xc is 0: what xc lost of the mean, which all those
            # between two powers of two lost alike, times a large Σ dy would be left in dweight.
            dbias = total(dy, same, n)
            dx = dy - dbias / n
            along = total(dx, same, n, xc)
            dweight = along * scale
            outer = scale if weight is None else scale * weight
            if type(dx) is np.ndarray:
                dx *= outer
            else:
                dx = dx * outer
            dx -= xc * (along * (square * outer / n))
        else:
            dbias, dweight = dy, dy * (xc * scale)
            g = dy * weight
            dx = g - xc * (total(g, axes, n, xc) * (square / n))
            if centred:
                dx -= total(g, axes, n) / n
            dx *= scale
    if not (dxc is dmean is dvar is None):
        part = moments_gradient(dxc, dmean, dvar, xc, var, axes=axes, centred=centred)
        dx = part if dx is None else dx if part is None else dx + part
    return dx, dweight, dbias


def unit(x: Array, *, axes: tuple[int, ...], eps: float, centred: bool) -> Array:
    """A power of two for each mean, of the size of 1/√(var + eps): 1/half the range of the values.

    Multiplying by it is exact and brings x, its squares and the powers of its deviation that are
    in derivatives within the range of the dtype. Copies of one number have no range: what counts
    is eps, unless they themselves would be too large.
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


def total(x: Any, axes: tuple[int, ...], n: int, by: Any = None) -> Any:
    """Σ x over ``axes``, or Σ x by, kept as length 1, in the dtype of x; n values make one.

    The sums over the rows of a matrix are a vector: they stand beside it as they are.
    """
    if type(x) is np.ndarray:
        sums = wide_total(x, axes, n, by)
        return sums if sums.dtype is x.dtype else sums.astype(x.dtype)
    x = x if by is None else x * by
    return x.sum(axis=0) if axes == FIRST and x.ndim == 2 else x.sum(axis=axes, keepdims=True)


def average(x: Array, axes: tuple[int, ...], n: int, by: Any = None) -> Array:
    """Σ x / n over ``axes``, or Σ x by / n, as :func:`total`, rounded to the dtype of x once."""
    if type(x) is np.ndarray:
        means = wide_total(x, axes, n, by) / n
        return means if means.dtype is x.dtype else means.astype(x.dtype)
    return total(x, axes, n, by) / n


def wide_total(x: np.ndarray, axes: tuple[int, ...], n: int, by: np.ndarray | None) -> np.ndarray:
    """As :func:`total`, in float64 where many are added.

    Where the values that are reduced lie side by side they are added by the BLAS, in runs: 2 to 6
    times faster than NumPy's sum, and products need no array of their own.
    """
    if axes == FIRST and x.ndim == 2:
        x = x if by is None else x * by
        return wide_column_sums(x) if n > BLOCK else ones(n, x.dtype).dot(x)
    runs = runs_of(x.shape, axes)
    if runs and x.flags.c_contiguous and (by is None or by.flags.c_contiguous):
        length, parts, over, result = runs
        rows = x.reshape(-1, length)
        sums = rows.dot(ones(length, x.dtype)) if by is None else np.vecdot(
            rows, by.reshape(-1, length))
        if over:
            sums = sums.reshape(parts).sum(axis=over, dtype=np.float64)
        return sums.reshape(result)
    x = x if by is None else x * by
    if n > BLOCK and x.dtype.itemsize < 8:
        return x.sum(axis=axes, keepdims=True, dtype=np.float64)
    return x.sum(axis=axes, keepdims=True)


@lru_cache(maxsize=256)
def runs_of(shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """How a contiguous array is reduced in runs: their length, the shape of their sums, the axes
    of these that remain to be added, the shape of the result. None where runs would be short.
    """
    reduced = {i % len(shape) for i in axes}
    kept = len(shape)
    while kept - 1 in reduced:
        kept -= 1
    side_by_side = math.prod(shape[kept:])
    length = max((d for d in range(SHORT, LONG + 1) if side_by_side % d == 0), default=0)
    if not length or not math.prod(shape):
        return None
    parts = (*shape[:kept], side_by_side // length)
    over = tuple(i for i, m in enumerate(parts) if m > 1 and (i in reduced or i == kept))
    return length, parts, over, tuple(1 if i in reduced else m for i, m in enumerate(shape))


SHORT, LONG = 32, 512
"""The lengths of runs: with fewer values a call costs too much, with more float32 loses digits."""
FIRST = (0,)


def is_matrix(x: Any) -> bool:
    """Whether x is a NumPy matrix, for :func:`column_sums`."""
    return type(x) is np.ndarray and x.ndim == 2


def column_sums(x: np.ndarray) -> np.ndarray:
    """Σ over the rows of a matrix: (N, C) -> (C,), in the dtype of x."""
    sums = wide_column_sums(x)
    return sums if sums.dtype is x.dtype else sums.astype(x.dtype)


def wide_column_sums(x: np.ndarray) -> np.ndarray:
    """Σ over the rows; of many float32 values in blocks, which are added up and given in float64.

    Along the first axis NumPy adds one value after the other and the error grows with their
    number. The product with a vector of ones is the same sum from the BLAS, 2 to 8 times faster.
    """
    n, columns = x.shape
    if n <= BLOCK or not columns or x.dtype.itemsize == 8:
        return ones(n, x.dtype).dot(x)
    # Several short rows side by side are one of WIDTH values.
    beside = min(max(WIDTH // columns, 1), n // ROWS) if x.flags.c_contiguous else 1
    head = n - n % (beside * ROWS)
    blocks = x[:head].reshape(-1, ROWS, beside * columns)
    sums = np.matmul(ones(ROWS, x.dtype), blocks).sum(axis=0, dtype=np.float64)
    if beside > 1:
        sums = sums.reshape(beside, columns).sum(axis=0)
    return sums if head == n else sums + wide_column_sums(x[head:])


ROWS, WIDTH = 64, 256
"""The blocks: one large value among many small ones, squared, costs digits in a longer sum."""


@lru_cache(maxsize=64)
def ones(n: int, dtype: np.dtype) -> np.ndarray:
    """(n,), read only."""
    result = np.ones(n, dtype)
    result.flags.writeable = False
    return result


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
