"""Rows of a table by their number, and the way back: what embeddings are made of."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import primitive
from ..backend.array import Array, array_module, still
from ..backend.choose import kernel
from ..backend.rows import add_rows, frequency
from .rounding import widened
from .shape import replace
from .transfer import array_of, cast


@primitive(name="embedding")
def lookup(table: Array, index: Array, *, skip: int | None = None,
           by_frequency: bool = False) -> Array:
    """y = table[index]: table (rows, d), index (*) within 0 to rows - 1, y (*, d)

    ``skip``: this row gets no gradient. ``by_frequency``: the gradient of a row is the mean of
    those of its places, not their sum.
    """
    y = table.take(index, axis=0)
    if skip is not None and (fixed := still(y)) is not y:
        same = (index == skip).reshape(*index.shape, 1)
        y = array_module(y).where(same, fixed, y)
    return y


@lookup.gradient_of("table")
def lookup_dtable(dy: Any, table_shape: tuple[int, ...], index: Any, *, skip: int | None = None,
                  by_frequency: bool = False) -> Any:
    """dtable[k] = Σ dy over the places where k stands"""
    if by_frequency:
        numbers = array_of(index)
        counts = kernel(frequency, type(numbers))(numbers, table_shape[0])
        dy, dtype = widened(dy), dy.dtype
        dy = dy / counts.reshape(*counts.shape, 1).astype(dy.dtype)
    dtable = scatter(dy, index, rows=table_shape[0])
    if by_frequency and dtype != dy.dtype:
        dtable = cast(dtable, dtype=dtype)
    return dtable if skip is None else replace(dtable, 0, index=skip)


@primitive(name="embedding_backward")
def scatter(x: Array, index: Array, *, rows: int) -> Array:
    """y (rows, d) = 0, then y[index] += x (*, d), for each place"""
    n = math.prod(index.shape)
    add = kernel(add_rows, type(x))
    return add(x.reshape(n, x.shape[-1]), index.reshape(n), rows)


scatter.gradient(x=lambda dy, index, *, rows: lookup(dy, index))
