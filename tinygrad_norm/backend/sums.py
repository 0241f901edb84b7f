"""Sums over axes, exact where float32 is not and quick where NumPy is not.

Of what is added in a wider dtype than its own, all is here. :func:`total` and :func:`average` are
those of the norms, whose axes and counts are known, and have kernels for NumPy; :func:`summed`
takes axes as NumPy does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .array import Array, array_module
from .choose import implements, kernel
from .large import looped

FIRST = (0,)
BLOCK = 256
"""So many float32 values are added in float32; their sums are added in float64."""
WORTH = 1 << 15
"""From so many values on loops add: for fewer the first of each shape costs more than it brings."""
FEW = 64
"""Of so many values one is at most 8 deviations from their mean."""


def total(x: Any, axes: tuple[int, ...], n: int, by: Any = None) -> Any:
    """Σ x over ``axes``, or Σ x by, kept as length 1, in the dtype of x; n values make one.

    The sums over the rows of a matrix are a vector: they stand beside it as they are.
    """
    x = x if by is None else x * by
    return x.sum(axis=0) if axes == FIRST and x.ndim == 2 else x.sum(axis=axes, keepdims=True)


def average(x: Array, axes: tuple[int, ...], n: int, by: Any = None) -> Array:
    """Σ x / n over ``axes``, or Σ x by / n, as :func:`total`, rounded to the dtype of x once."""
    return kernel(total, type(x))(x, axes, n, by) / n


def summed(x: Array, axis: Any, keepdims: bool, half: str = "float16") -> Array:
    """Σ x, added in a wider dtype where digits or range would be lost, in the dtype of x.

    float16 ends at 65504: float32 adds, and the sum may stay so with ``half="float32"``. Where
    NumPy adds one value after another the error of float32 grows with their number: a mean of a
    million is wrong by one percent. There float64 adds. Loops add runs of 64 float32 values, and
    these in float64; they go through memory as it lies, of an array in its order alone.
    """
    if x.size >= WORTH and x.dtype.char in "fd" and x.flags.c_contiguous:
        return by_loops(x, axis, keepdims)
    return pass_by_pass(x, axis, keepdims, half)


def pass_by_pass(x: Array, axis: Any, keepdims: bool, half: str = "float16") -> Array:
    """As :func:`summed`, by NumPy's sums."""
    dtype = x.dtype
    if x.size > BLOCK and dtype.char in "ef" and one_by_one(x, axis):
        if dtype.char == "f" and axis in (0, FIRST) and x.ndim == 2:
            sums = kernel(column_sums, type(x))(x)
            return sums[None] if keepdims else sums
        wide = "float64"
    elif dtype.char == "e":
        wide = "float32"
    else:
        return x.sum(axis=axis, keepdims=keepdims)
    return x.sum(axis=axis, keepdims=keepdims, dtype=wide).astype(
        half if dtype.char == "e" else dtype, copy=False)


by_loops = looped(pass_by_pass)


def one_by_one(x: Array, axis: Any) -> bool:
    """Whether NumPy adds more than BLOCK values of x one after another.

    Of values that lie side by side in memory it adds halves, and halves of these.
    """
    if axis is None:
        return not (x.flags.c_contiguous or x.flags.f_contiguous)
    if axis in (-1, x.ndim - 1):
        return x.shape[-1] > BLOCK and not x.flags.c_contiguous
    return math.prod(
        [x.shape[i] for i in (axis if isinstance(axis, tuple) else (axis,))]) > BLOCK


def column_sums(x: Array) -> Array:
    """Σ over the many rows of a matrix: (N, C) -> (C,), in the dtype of x."""
    return x.sum(axis=0, dtype="float64").astype(x.dtype)


# -- NumPy's arrays --------------------------------------------------------------------------------


def _adder(mean: bool) -> Callable[..., np.ndarray]:
    """:func:`total`, or :func:`average`: one body for the two, as a call between would be felt.

    Where the values that are reduced lie side by side they are added by the BLAS, in runs: 2 to 6
    times faster than NumPy's sum, and products need no array of their own.
    """
    few = FEW if mean else BLOCK
    reduce, float64 = np.add.reduce, np.float64

    def add(x: np.ndarray, axes: tuple[int, ...], n: int, by: Any = None) -> np.ndarray:
        dtype = x.dtype
        if axes == FIRST and x.ndim == 2:
            if by is not None:
                x = x * by
            count = len(x)  # n, but where there are no columns
            if count <= few:  # where a division would be felt
                return ones(count, dtype, 1 / n if mean else 1.0).dot(x)
            sums = wide_column_sums(x) if count > BLOCK else ones(count, dtype).dot(x)
        elif (runs := runs_of(x.shape, axes)) and x.flags.c_contiguous and (
                by is None or by.flags.c_contiguous):
            length, parts, over, result = runs
            rows = x.reshape(-1, length)
            sums = rows.dot(ones(length, dtype)) if by is None else np.vecdot(
                rows, by.reshape(-1, length))
            if over:
                sums = reduce(sums.reshape(parts), over, float64)
            sums = sums.reshape(result)
        else:
            if by is not None:
                x = x * by
            wide = float64 if n > BLOCK and dtype.itemsize < 8 else None
            sums = reduce(x, axes, wide, keepdims=True)
        if mean:
            sums = sums / n
        return sums if sums.dtype is dtype else sums.astype(dtype)

    return add


numpy_total = implements(total, np.ndarray)(_adder(mean=False))
numpy_average = implements(average, np.ndarray)(_adder(mean=True))


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


@implements(column_sums, np.ndarray)
def numpy_column_sums(x: np.ndarray) -> np.ndarray:
    """As :func:`column_sums`."""
    return wide_column_sums(x).astype(x.dtype, copy=False)


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


def add_at(array: Array, index: Any, values: Array) -> None:
    """``array[index] += values``, where an index named twice is added to twice.

    They are added one after another: where they might be many, in float64.
    """
    module, dtype = array_module(array), array.dtype
    if dtype.char == "e" or (dtype.char == "f" and values.size > BLOCK):
        total = module.zeros(array.shape, dtype="float64")
        add_at(total, index, values.astype("float64"))
        array += total
    else:
        module.add.at(array, index, values)
