"""The same values in another arrangement. Most results are views of their input."""

from __future__ import annotations

from typing import Any

from ..autograd.graph import Variable
from ..autograd.op import primitive
from ..backend.array import Array, add_at, array_module

Shape = tuple[int, ...]


@primitive(view=True)
def reshape(x: Array, *, shape: Shape) -> Array:
    """y = x, read in order into another shape"""
    return x.reshape(shape)


reshape.gradient(x=lambda dy, x_shape, *, shape: reshape(dy, shape=x_shape))


@primitive(view=True)
def permute(x: Array, *, axes: Shape) -> Array:
    """y with its axes in another order"""
    return x.transpose(axes)


@permute.gradient_of("x")
def permute_dx(dy: Any, *, axes: Shape) -> Any:
    """dx = dy with its axes put back"""
    back = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
    return permute(dy, axes=tuple(back))


def swapaxes(x: Any, *, first: int, second: int) -> Any:
    """y with two axes exchanged"""
    axes = list(range(x.ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return permute(x, axes=tuple(axes))


@primitive(name="expand", view=True)
def broadcast_to(x: Array, *, shape: Shape) -> Array:
    """y = x, repeated along axes of length 1 and new ones; the engine sums the gradient"""
    return array_module(x).broadcast_to(x, shape)


broadcast_to.gradient(x=lambda dy, *, shape: dy)


@primitive
def flip(x: Array, *, axes: Shape) -> Array:
    """y = x read backwards along the axes"""
    return array_module(x).flip(x, axes).copy()


flip.gradient(x=lambda dy, *, axes: flip(dy, axes=axes))


@primitive(name="cat", promote="same")
def concatenate(*xs: Array, axis: int) -> Array:
    """y = the xs, one after another along an axis"""
    return array_module(xs[0]).concatenate(xs, axis=axis)


@concatenate.gradient_of("xs")
def concatenate_dxs(dy: Any, *xs_shape: Shape, axis: int) -> tuple[Any, ...]:
    """dxs = the pieces of dy"""
    pieces, start = [], 0
    ahead = (slice(None),) * (axis % len(xs_shape[0]))
    for shape in xs_shape:
        stop = start + shape[axis]
        pieces.append(dy[(*ahead, slice(start, stop))])
        start = stop
    return tuple(pieces)


@primitive(promote="same")
def stack(*xs: Array, axis: int) -> Array:
    """y = the xs along a new axis"""
    return array_module(xs[0]).stack(xs, axis=axis)


@stack.gradient_of("xs")
def stack_dxs(dy: Any, *xs_shape: Shape, axis: int) -> tuple[Any, ...]:
    """dxs = the slices of dy"""
    ahead = (slice(None),) * (axis % dy.ndim)
    return tuple(dy[(*ahead, i)] for i in range(len(xs_shape)))


# -- reading and writing at an index ----------------------------------------------------------


def is_basic(index: Any) -> bool:
    """Whether the index is of ints, slices, None and ellipsis only: it then gives a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or (isinstance(p, int | slice) and
                                              not isinstance(p, bool)) for p in parts)


@primitive(name="index", view=True)
def take(x: Array, *, index: Any) -> Array:
    """y = x[index]"""
    return x[index]


take.gradient(x=lambda dy, x_shape, *, index: put(dy, index=index, shape=x_shape))


@primitive(name="index_put")
def put(x: Array, *, index: Any, shape: Shape) -> Array:
    """y = zeros of ``shape`` with x added at the index"""
    y = array_module(x).zeros(shape, dtype=x.dtype)
    if is_basic(index):
        y[index] = x
    else:
        add_at(y, index, x)
    return y


put.gradient(x=lambda dy, *, index, shape: take(dy, index=index))


@primitive(name="index_write")
def replace(x: Array, value: Array, *, index: Any) -> Array:
    """y = x with y[index] = value"""
    y = x.copy()
    y[index] = value
    return y


@replace.gradient_of("x")
def replace_dx(dy: Any, *, index: Any) -> Any:
    """dx = dy, and 0 at the index"""
    return replace(dy, 0, index=index)


@replace.gradient_of("value")
def replace_dvalue(dy: Any, *, index: Any) -> Any:
    """dvalue = dy[index]"""
    return take(dy, index=index)


@primitive(name="gather")
def take_along(x: Array, *, index: Array, axis: int) -> Array:
    """y[i, j] = x[i, index[i, j]]"""
    return array_module(x).take_along_axis(x, index, axis)


@take_along.gradient_of("x")
def take_along_dx(dy: Any, x_shape: Shape, *, index: Array, axis: int) -> Any:
    """dx[i, index[i, j]] += dy[i, j]"""
    module = array_module(index)
    where = list(module.ogrid[tuple(slice(n) for n in index.shape)])
    where[axis % len(x_shape)] = index
    return put(dy, index=tuple(where), shape=x_shape)


def plain_index(index: Any) -> Any:
    """An index with tensors as arrays and lists as index arrays, as NumPy and CuPy take it."""
    if isinstance(index, Variable):
        return index.array
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    return index
