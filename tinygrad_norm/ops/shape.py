"""The same values in another arrangement. Most results are views of their input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..autograd.op import primitive
from ..autograd.sharing import Call, called
from ..autograd.walk import Part
from ..backend.array import Array, array_module, check_device, device_of, is_array, plain
from ..backend.sums import add_at
from ..errors import DeviceError
from .transfer import array_of

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
    """y = the xs, one after another along an axis; one of shape (0,) adds nothing to any"""
    joined = [x for x in xs if x.shape != (0,)]
    return array_module(xs[0]).concatenate(joined, axis=axis) if joined else xs[0].copy()


@concatenate.gradient_of("xs")
def concatenate_dxs(dy: Any, *xs_shape: Shape, axis: int) -> tuple[Any, ...]:
    """dxs = the pieces of dy"""
    pieces, start = [], 0
    ahead = (slice(None),) * (axis % dy.ndim)
    for shape in xs_shape:
        stop = start if shape == (0,) else start + shape[axis]
        piece = dy[(*ahead, slice(start, stop))]
        pieces.append(reshape(piece, shape=shape) if shape == (0,) else piece)
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


@dataclass(frozen=True)
class Stepped:
    """An index in two steps, ``x[basic][advanced]``: PyTorch applies ints before index arrays.

    NumPy counts the int of ``x[0, :, [1, 2]]`` as an array and moves its axes to the front.
    """

    basic: tuple[Any, ...]
    advanced: tuple[Any, ...]


@dataclass(frozen=True)
class Path:
    """The place of a view in what it is a view of, as an index: the calls that lead there."""

    calls: tuple[Call, ...]

    def said(self) -> list[tuple[str, Any]]:
        """The settings of the calls, for a drawing."""
        return [item for _, settings in self.calls for item in settings.items()]


def resolved(x: Array, index: Any) -> tuple[Array, Any]:
    """A view of x, and the index of the same place in it that NumPy understands."""
    if index.__class__ is Stepped:
        part = x[index.basic]
        if isinstance(part, np.generic):  # a view also of a single value
            part = x[(*index.basic, ...)]
        return part, index.advanced
    return (called(index.calls, x), ...) if index.__class__ is Path else (x, index)


def is_injective(index: Any) -> bool:
    """Whether the index names no place twice: only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return not any(hasattr(p, "dtype") and p.dtype.kind != "b" for p in parts)


def is_basic(index: Any) -> bool:
    """Whether the index has ints, slices, None and ... alone: what it names is a view."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(isinstance(p, int | slice | EllipsisType | None) and not isinstance(p, bool)
               for p in parts)


@primitive(name="index", view=True)
def take(x: Array, *, index: Any) -> Array:
    """y = x[index]"""
    x, index = resolved(x, index)
    y = x[index]
    if isinstance(y, np.generic):  # a view also of a single value, so that a write reaches x
        y = x[(*index, ...) if isinstance(index, tuple) else (index, ...)]
    return y


@primitive(name="index_put")
def put(*xs: Array, indices: tuple[Any, ...], shape: Shape) -> Array:
    """y = zeros of ``shape`` with each of the xs added at its index"""
    module, dtype = array_module(xs[0]), xs[0].dtype
    one = len(xs) == 1
    y = module.zeros(shape, dtype=dtype if one or dtype.char == "d" else "float64")
    for x, index in zip(xs, indices, strict=True):
        part, rest = resolved(y, index)
        if not is_injective(rest):
            add_at(part, rest, x)
        elif one:
            part[rest] = x
        else:
            part[rest] += x
    return y.astype(dtype, copy=False)


put.gradient_of("xs")(lambda dy, *, indices, shape: tuple(take(dy, index=i) for i in indices))
take.gradient(x=lambda dy, x_shape, *, index: Part(dy, index, x_shape, put))


@primitive(name="index_write")
def replace(x: Array, value: Array, *, index: Any) -> Array:
    """y = x with y[index] = value"""
    y = array_module(x).array(x)  # a copy; of one of NumPy's scalars too
    part, index = resolved(y, index)
    part[index] = value
    return y


@replace.gradient_of("x")
def replace_dx(dy: Any, *, index: Any) -> Any:
    """dx = dy, and 0 at the index"""
    return replace(dy, 0, index=index)


@replace.gradient_of("value")
def replace_dvalue(dy: Any, *, index: Any) -> Any:
    """dvalue = dy[index], and 0 for a value that another one of the same place overwrote"""
    dvalue = take(dy, index=index)
    first, rest = resolved(array_of(dy), index)
    if is_injective(rest):
        return dvalue
    module = array_module(first)
    number = module.arange(math.prod(dvalue.shape)).reshape(dvalue.shape)
    last = module.zeros(first.shape, dtype="int64")
    last[rest] = number
    return dvalue * (last[rest] == number)


@primitive(name="gather")
def take_along(x: Array, index: Array, *, axis: int) -> Array:
    """y[i, j] = x[i, index[i, j]]"""
    if type(index) is not type(x):
        check_device("gather", "the input", x, "the index", index)
    return x[_grid(index, axis)]


@take_along.gradient_of("x")
def take_along_dx(dy: Any, x_shape: Shape, index: Any, *, axis: int) -> Any:
    """dx[i, index[i, j]] += dy[i, j]"""
    return put(dy, indices=(_grid(array_of(index), axis),), shape=x_shape)


def _grid(index: Array, axis: int) -> tuple[Array, ...]:
    """Index arrays that name each place of ``index``, with ``index`` itself along ``axis``."""
    grid = list(array_module(index).ogrid[tuple(slice(n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def plain_index(index: Any, x: Array) -> Any:
    """An index as arrays of x's own kind and memory: what the graph keeps, nobody can change.

    Raises:
        DeviceError: a part of the index is on another device than ``x``.
    """
    if isinstance(index, int | slice | EllipsisType | None):
        return index
    if isinstance(index, tuple):
        return _in_order(tuple(plain_index(list(part) if isinstance(part, tuple) else part, x)
                               for part in index))
    if isinstance(index, list):
        return array_module(x).asarray(index, dtype=None if index else "int64")
    if isinstance(index, Value):
        index = index.array
    # host memory: a number in it is at hand
    if isinstance(index, np.ndarray | np.generic) and not index.ndim and index.dtype.kind in "iu":
        return int(index)
    if not is_array(index):
        raise IndexError(f"index: expected ints, slices, None, ..., and tensors of ints or bools, "
                         f"got {type(index).__name__}")
    if type(index) is not type(x) and device_of(index) != device_of(x):
        raise DeviceError(f"index: the tensor is on {device_of(x)}, its index on "
                          f"{device_of(index)}; move one with .to(device)")
    return plain("index", index).copy()


def _in_order(parts: tuple[Any, ...]) -> Any:
    """The parts, in two steps where ints stand beside arrays, or bools, which are such too."""
    arrays = [hasattr(p, "dtype") for p in parts]
    bools = [isinstance(p, bool) for p in parts]
    ints = [isinstance(p, int) and not isinstance(p, bool) for p in parts]
    if not (any(arrays + bools) and any(ints)):
        return parts
    basic: list[Any] = []
    for part, is_one in zip(parts, arrays, strict=True):
        if isinstance(part, bool):  # it takes no axis of x
            continue
        wide = part.ndim if is_one and part.dtype.kind == "b" else 1
        basic += [slice(None)] * wide if is_one else [part]
    advanced = [slice(None) if p is None or isinstance(p, slice) else p
                for p, dropped in zip(parts, ints, strict=True) if not dropped]
    return Stepped(tuple(basic), tuple(advanced))
