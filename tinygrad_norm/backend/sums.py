"""Sums over axes, exact where float32 is not and quick where NumPy is not."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array

FIRST = (0,)
BLOCK = 256
"""So many float32 values are added in float32; their sums are added in float64."""
FEW = 64
"""Of so many values one is at most 8 deviations from their mean."""


def total(x: Any, axes: tuple[int, ...], n: int, by: Any = None) -> Any:
    """Σ x over ``axes``, or Σ x by, kept as length 1, in the dtype of x; n values make one.

    The sums over the rows of a matrix are a vector: they stand beside it as they are.
    """
    if type(x) is np.ndarray:
        if n <= BLOCK and axes == FIRST and x.ndim == 2:  # where calls would be felt
            return ones(n, x.dtype).dot(x if by is None else x * by)
        sums = wide_total(x, axes, n, by)
        return sums if sums.dtype is x.dtype else sums.astype(x.dtype)
    x = x if by is None else x * by
    return x.sum(axis=0) if axes == FIRST and x.ndim == 2 else x.sum(axis=axes, keepdims=True)


def average(x: Array, axes: tuple[int, ...], n: int, by: Any = None) -> Array:
    """Σ x / n over ``axes``, or Σ x by / n, as :func:`total`, rounded to the dtype of x once."""
    if type(x) is np.ndarray:
        if n <= FEW and axes == FIRST and x.ndim == 2:  # where a division would be felt
            return ones(n, x.dtype, 1 / n).dot(x if by is None else x * by)
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


@lru_cache(maxsize=256)
def ones(n: int, dtype: np.dtype, value: float = 1.0) -> np.ndarray:
    """(n,), read only."""
    result = np.full(n, value, dtype)
    result.flags.writeable = False
    return result
