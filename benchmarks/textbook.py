"""The statistics of the textbooks, in the array's own dtype: what ours is compared with.

Each gives (mean, var) over ``axes``, kept as length 1; not centred, the mean is 0 and var the mean
square. Sums are NumPy's in that dtype, along the axes as they lie in memory.
"""

from __future__ import annotations

import math

import numpy as np

Moments = tuple[np.ndarray, np.ndarray]


def naive(x: np.ndarray, axes: tuple[int, ...], *, centred: bool) -> Moments:
    """One pass over Σx and Σx²: var = E[x²] - E[x]²."""
    square = mean(x * x, axes)
    if not centred:
        return np.zeros_like(square), square
    middle = mean(x, axes)
    return middle, square - middle * middle


def two_pass(x: np.ndarray, axes: tuple[int, ...], *, centred: bool) -> Moments:
    """The mean first, then the mean square of what is left: var = E[(x - E[x])²]."""
    if not centred:
        return naive(x, axes, centred=False)  # nothing is subtracted: one pass is all
    middle = mean(x, axes)
    away = x - middle
    return middle, mean(away * away, axes)


def welford(x: np.ndarray, axes: tuple[int, ...], *, centred: bool) -> Moments:
    """Value by value: mean += (x - mean)/k, M += (x - old mean)(x - new mean), var = M/n.

    A loop over the values, at once for all that are not reduced.
    Source: Welford 1962, "Note on a method for calculating corrected sums of squares".
    """
    reduced = {axis % x.ndim for axis in axes}
    kept = tuple(1 if i in reduced else n for i, n in enumerate(x.shape))
    front = np.moveaxis(x, sorted(reduced), range(len(reduced)))
    rows = front.reshape(count(x, axes), -1)
    middle, m2 = np.zeros_like(rows[0]), np.zeros_like(rows[0])
    for k, row in enumerate(rows, 1):
        share = x.dtype.type(1 / k)
        if centred:
            away = row - middle
            middle += away * share
            m2 += away * (row - middle)
        else:
            m2 += (row * row - m2) * share  # the running mean of the squares
    if centred:
        m2 = divided(m2, len(rows))
    return middle.reshape(kept), m2.reshape(kept)


def standardized(x: np.ndarray, moments: Moments, eps: float) -> np.ndarray:
    """(x - mean) / √(var + eps), in the dtype of x."""
    middle, var = moments
    return (x - middle) / np.sqrt(var + x.dtype.type(eps))


def mean(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Over ``axes``; NumPy's own would add float16 values in float32."""
    return divided(x.sum(axis=axes, keepdims=True, dtype=x.dtype), count(x, axes))


def divided(total: np.ndarray, n: int) -> np.ndarray:
    """total / n, rounded once: n itself may be beyond float16."""
    return (total / np.float64(n)).astype(total.dtype)


def count(x: np.ndarray, axes: tuple[int, ...]) -> int:
    """How many values are reduced to one."""
    return math.prod(x.shape[axis] for axis in axes)
