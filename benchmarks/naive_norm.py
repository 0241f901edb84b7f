"""Normalization with the naive variance E[x²] - E[x]², in as few passes over the arrays as can be.

The rival of norm_cost.py. Forward: the sums of x and x², then y = x scale + shift. Backward: the
sums of dy and dy x, then dx = dy scale + x slope + rest. x is kept, not x - mean.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Axes = tuple[int, ...]


def forward(
    x: Any, weight: Any, bias: Any, *, axes: Axes, eps: float, centred: bool
) -> tuple[Any, Any, Any, Any]:
    """(y, x, mean, var)"""
    total = sums(x, None, axes)
    n = x.size // total.size
    mean = total / n
    var = sums(x, x, axes) / n - mean * mean
    rstd = 1 / np.sqrt(var + eps)
    if varies_everywhere(weight, axes):
        y = x * rstd
        y -= mean * rstd
        y *= weight
    else:
        scale = rstd if weight is None else rstd * weight
        y = x * scale
        bias = -mean * scale if bias is None else bias - mean * scale
    y += bias
    return y, x, mean, var


def backward(
    dy: Any, x: Any, mean: Any, var: Any, weight: Any, *, axes: Axes, eps: float, centred: bool
) -> tuple[Any, Any, Any]:
    """(dx, dweight, dbias); with g = weight dy:

        dx = rstd (g - Σg/n - (x - mean) rstd² Σ(g (x - mean))/n)
    """
    n = x.size // mean.size
    rstd = 1 / np.sqrt(var + eps)
    if varies_everywhere(weight, axes):
        scaled = dy * rstd
        dweight = sums(scaled, x, (0,)) - sums(scaled * mean, None, (0,))
        dbias = sums(dy, None, (0,))
        g, scale = dy * weight, rstd
        total, products = sums(g, None, axes), sums(g, x, axes)
    elif varies_in_groups(weight):
        planes = axes[1:]  # of each channel of each group
        each, both = sums(dy, None, planes), sums(dy, x, planes)
        dweight, dbias = (rstd * (both - mean * each)).sum(0), each.sum(0)
        g, scale = dy, rstd * weight
        total, products = ((weight * s).sum(2, keepdims=True) for s in (each, both))
    else:
        g, scale = dy, rstd if weight is None else rstd * weight
        dbias, products = sums(dy, None, axes), sums(dy, x, axes)
        dweight = (products - mean * dbias) * rstd
        total = dbias
        if weight is not None:
            total, products = total * weight, products * weight
    slope = (products - mean * total) * (rstd**3 / n)
    dx = g * scale
    dx -= x * slope
    dx += mean * slope - total * (rstd / n)
    return dx, dweight, dbias


def varies_everywhere(weight: Any, axes: Axes) -> bool:
    """LayerNorm's: the weight has a value for each of those that are reduced."""
    return weight is not None and axes == (-1,)


def varies_in_groups(weight: Any) -> bool:
    """GroupNorm's, (groups, C/groups, 1, 1): the same within each channel."""
    return weight is not None and weight.ndim > 1 and weight.shape[1] > 1


def sums(a: np.ndarray, b: np.ndarray | None, axes: Axes) -> np.ndarray:
    """Σ a b, or Σ a, over ``axes``, kept as length 1 (of a matrix over its rows: a vector).

    By the quickest of NumPy's calls: they leave no array of products behind.
    """
    if axes == (0,):
        return ones(len(a)).dot(a) if b is None else np.einsum("nc,nc->c", a, b)
    reduced = [axis % a.ndim for axis in axes]
    inner = [axis for axis in reduced if axis]
    n = math.prod(a.shape[axis] for axis in inner)
    rows = a.reshape(-1, n)
    found = rows @ ones(n) if b is None else np.vecdot(rows, b.reshape(-1, n))
    found = found.reshape([1 if axis in inner else size for axis, size in enumerate(a.shape)])
    return found.sum(axis=0, keepdims=True) if 0 in reduced else found


ONES: dict[int, np.ndarray] = {}


def ones(n: int) -> np.ndarray:
    """(n,), made once."""
    if n not in ONES:
        ONES[n] = np.ones(n, np.float32)
    return ONES[n]
