"""Sums and what is made of them. ``axis`` is an int, a tuple or None for all of them."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import primitive
from ..backend.array import Array, array_module
from ..backend.large import looped
from ..backend.sums import summed
from .choice import equal, where
from .elementwise import exp
from .rounding import in_float32
from .shape import broadcast_to, concatenate, flip, reshape
from .transfer import cast

Axis = int | tuple[int, ...] | None


def kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """``shape`` with the reduced axes as 1."""
    axes = reduced_axes(shape, axis)
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def reduced_axes(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The reduced axes, counted from the front."""
    if axis is None or not shape:
        return tuple(range(len(shape)))
    many = axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(i % len(shape) for i in many))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many values are reduced to one."""
    return math.prod(shape[i] for i in reduced_axes(shape, axis))


@primitive(name="sum")
def sum_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = Σ x"""
    return summed(x, axis, keepdims)


@sum_.gradient_of("x")
def sum_dx(dy: Any, x_shape: tuple[int, ...], *, axis: Axis = None, keepdims: bool = False) -> Any:
    """dx = dy, for each x"""
    return spread(dy, x_shape, axis)


def spread(dy: Any, shape: tuple[int, ...], axis: Axis) -> Any:
    """Undo a reduction: each reduced value gets the gradient of its result."""
    small = kept(shape, axis)
    return broadcast_to(dy if dy.shape == small else reshape(dy, shape=small), shape=shape)


@primitive
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = Σ x / n, and NaN for n = 0"""
    n = count(x.shape, axis) or math.nan
    if x.dtype.itemsize == 2:  # the sum may exceed float16 where the mean does not
        return (summed(x, axis, keepdims, "float32") / n).astype(x.dtype)
    return summed(x, axis, keepdims) / n


def mean_dx(dy: Any, x_shape: tuple[int, ...], *, axis: Axis = None, keepdims: bool = False) -> Any:
    """dx = dy / n"""
    return spread(dy / count(x_shape, axis), x_shape, axis)


mean.gradient(x=in_float32(mean_dx))


@primitive
def amax(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = max x; equal ones share the gradient evenly"""
    return x.max(axis=axis, keepdims=keepdims)


@primitive
def amin(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = min x; equal ones share the gradient evenly"""
    return x.min(axis=axis, keepdims=keepdims)


def extremum_dx(dy: Any, x: Any, y: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """dx = dy / m where x is one of the m extreme values"""
    chosen = cast(equal(x, spread(y, x.shape, axis)), dtype=dy.dtype)
    share = sum_(chosen, axis=axis, keepdims=True)
    return spread(dy, x.shape, axis) * (chosen / share)


amax.gradient(x=in_float32(extremum_dx))
amin.gradient(x=in_float32(extremum_dx))


@primitive
def cumsum(x: Array, *, axis: int) -> Array:
    """yᵢ = Σ xⱼ over j <= i, added one after another, in float64"""
    if not x.ndim:
        return x.copy()
    if x.dtype.char not in "ef":
        return x.cumsum(axis=axis)
    return x.cumsum(axis=axis, dtype="float64").astype(x.dtype)


@cumsum.gradient_of("x")
def cumsum_dx(dy: Any, *, axis: int) -> Any:
    """dxⱼ = Σ dyᵢ over i >= j"""
    return flip(cumsum(flip(dy, axes=(axis,)), axis=axis), axes=(axis,)) if dy.ndim else dy


@primitive
@looped
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = ln Σ eˣ, from the largest x down, so that nothing overflows"""
    module = array_module(x)
    top = x.max(axis=axis, keepdims=True) if x.size else x.sum(axis=axis, keepdims=True) - math.inf
    shift = module.where(module.isfinite(top), top, 0).astype(x.dtype)
    sums = summed(module.exp(x - shift), axis, True)
    y = module.log(module.where(sums == 0, 1, sums).astype(x.dtype)) + top  # ln 0 is top, -inf
    return y if keepdims else y.squeeze(axis=reduced_axes(x.shape, axis))


@logsumexp.gradient_of("x")
@looped
def logsumexp_dx(dy: Any, x: Any, y: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """dx = dy eˣ⁻ʸ"""
    y = spread(y, x.shape, axis)
    return spread(dy, x.shape, axis) * exp(x - where(y > -math.inf, y, 0.0))


@primitive
@looped
def softmax(x: Array, *, axis: int) -> Array:
    """yᵢ = e^xᵢ / Σ e^xⱼ"""
    module = array_module(x)
    if not x.size:
        return x + x.sum(axis=axis, keepdims=True)  # an axis that is not there raises
    e = module.exp(x - x.max(axis=axis, keepdims=True))
    e /= partition(e, axis)
    return e if e.dtype is x.dtype else e.astype(x.dtype)  # NumPy's float16 scalar was widened


def partition(e: Array, axis: int) -> Array:
    """Σ e, kept as length 1; of float16 in float32, which it stays: it may exceed 65504."""
    return summed(e, axis, True, "float32")


@softmax.gradient_of("x")
@looped
def softmax_dx(dy: Any, y: Any, *, axis: int) -> Any:
    """dx = y (dy - Σ dy y)"""
    return y * (dy - sum_(dy * y, axis=axis, keepdims=True))


@primitive
@looped
def log_softmax(x: Array, *, axis: int) -> Array:
    """yᵢ = xᵢ - ln Σ e^xⱼ"""
    module = array_module(x)
    if not x.size:
        return x + x.sum(axis=axis, keepdims=True)
    y = x - x.max(axis=axis, keepdims=True)
    y -= module.log(partition(module.exp(y), axis))
    return y if y.dtype is x.dtype else y.astype(x.dtype)


@log_softmax.gradient_of("x")
@looped
def log_softmax_dx(dy: Any, y: Any, *, axis: int) -> Any:
    """dx = dy - eʸ Σ dy"""
    return dy - exp(y) * sum_(dy, axis=axis, keepdims=True)


@primitive(name="all")
def all_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = whether each x holds"""
    return x.all(axis=axis, keepdims=keepdims)


@primitive(name="any")
def any_(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """y = whether one x holds"""
    return x.any(axis=axis, keepdims=keepdims)


@primitive
def argmax(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """y = the index of the first largest x"""
    return x.argmax(axis=axis, keepdims=keepdims)


@primitive
def argmin(x: Array, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """y = the index of the first smallest x"""
    return x.argmin(axis=axis, keepdims=keepdims)


# -- made of the above -----------------------------------------------------------------------------


def prod(x: Any, *, axis: int, keepdims: bool = False) -> Any:
    """Π x, by halves: zeros need no special case at any order of derivative."""
    axis %= x.ndim
    ahead = (slice(None),) * axis
    while x.shape[axis] > 1:
        half = x.shape[axis] // 2
        pairs = x[(*ahead, slice(0, half))] * x[(*ahead, slice(half, 2 * half))]
        odd = x.shape[axis] % 2
        x = concatenate(pairs, x[(*ahead, slice(2 * half, None))], axis=axis) if odd else pairs
    if x.shape[axis] == 0:
        x = sum_(x, axis=axis, keepdims=True) + 1
    return x if keepdims else reshape(x, shape=x.shape[:axis] + x.shape[axis + 1 :])
