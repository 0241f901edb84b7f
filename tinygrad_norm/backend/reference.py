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


def moments(
    x: Array, *, axes: tuple[int, ...], centred: bool
) -> tuple[Array, Array, Array]:
    """(xc, mean, var). Two passes: E[x²] - E[x]² cancels when |mean| >> std."""
    # Shifted by a sample first: the difference is exact where the values are close together,
    # and what is summed is of the size of the spread, not of the offset.
    sample = x[first(axes, x.ndim)]
    n = x.size // max(sample.size, 1) or 1
    if centred:
        xc = x - sample
        shift = total(xc, axes, n) / n
        xc -= shift
        mean = sample + shift
    else:
        xc, mean = x, array_module(x).zeros_like(sample)
    return xc, mean, total(xc * xc, axes, n) / n


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
    if weight is not None and is_constant(weight.shape, axes, x.ndim):
        y = xc * (weight / std)
    else:
        y = xc * (1 / std)
        if weight is not None:
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
        shape = None if weight is None else weight.shape
        if is_constant(shape, axes, xc.ndim):
            # weight leaves the sums, which are then those of dbias and dweight themselves
            dbias = total(dy, axes, n)
            along = total(dy * xc, axes, n)
            dweight = along * scale
            outer = scale if weight is None else scale * weight
            dx = dy * outer
            dx -= xc * (along * (square * outer / n))
            if centred:
                dx -= dbias * (outer / n)
        else:
            dbias, dweight = dy, dy * (xc * scale)
            g = dy * weight
            dx = g - xc * (total(g * xc, axes, n) * (square / n))
            if centred:
                dx -= total(g, axes, n) / n
            dx *= scale
    if not (dxc is dmean is dvar is None):
        part = moments_gradient(dxc, dmean, dvar, xc, var, axes=axes, centred=centred)
        dx = part if dx is None else dx if part is None else dx + part
    return dx, dweight, dbias


def total(x: Any, axes: tuple[int, ...], n: int) -> Any:
    """Σ x over ``axes``, kept as length 1, in the dtype of x; n values make one.

    The sums over the rows of a matrix are a vector: they stand beside it as they are.
    """
    if axes == FIRST and x.ndim == 2:
        return column_sums(x) if type(x) is np.ndarray else x.sum(axis=0)
    if n > BLOCK and type(x) is np.ndarray and x.dtype.itemsize < 8:
        return x.sum(axis=axes, keepdims=True, dtype=np.float64).astype(x.dtype)
    return x.sum(axis=axes, keepdims=True)


FIRST = (0,)


def is_matrix(x: Any) -> bool:
    """Whether x is a NumPy matrix, for :func:`column_sums`."""
    return type(x) is np.ndarray and x.ndim == 2


def column_sums(x: np.ndarray) -> np.ndarray:
    """Σ over the rows of a matrix: (N, C) -> (C,); float32 in blocks that float64 adds up.

    Along the first axis NumPy adds one value after the other and the error grows with their
    number. The product with a vector of ones is the same sum from the BLAS, 2 to 8 times faster.
    """
    n = len(x)
    if n <= BLOCK or x.dtype.itemsize == 8:
        return ones(n, x.dtype).dot(x)
    blocks = n // BLOCK
    head = x[: blocks * BLOCK].reshape(blocks, BLOCK, -1)
    sums = np.matmul(ones(BLOCK, x.dtype), head).sum(axis=0, dtype=np.float64)
    if n % BLOCK:
        sums += ones(n % BLOCK, x.dtype).dot(x[blocks * BLOCK :])
    return sums.astype(x.dtype)


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
def is_constant(weight: tuple[int, ...] | None, axes: tuple[int, ...], ndim: int) -> bool:
    """Whether a weight of that shape is the same for all the values that are reduced together."""
    if weight is None:
        return True
    missing = ndim - len(weight)
    return all(i % ndim < missing or weight[i % ndim - missing] == 1 for i in axes)
