"""The same values in another dtype, on another device, or in memory of their own."""

from __future__ import annotations

from typing import Any

from ..autograd.graph import Value
from ..autograd.op import primitive
from ..backend.array import Array, Device, to_device


@primitive
def cast(x: Array, *, dtype: Any) -> Array:
    """y = x in another dtype"""
    return x.astype(dtype)


cast.gradient(x=lambda dy, x_dtype, *, dtype: cast(dy, dtype=x_dtype))


@primitive(name="cast")
def truncate(x: Array, *, dtype: Any) -> Array:
    """y = x as ints or bools: it carries no gradient"""
    return x.astype(dtype)


@primitive
def move(x: Array, *, device: Device) -> Array:
    """y = x on another device"""
    return to_device(x, device)


move.gradient(x=lambda dy, x_device, *, device: move(dy, device=x_device))


@primitive
def copy(x: Array) -> Array:
    """y = x, in memory of its own"""
    return x.copy()


copy.gradient(x=lambda dy: dy)


def array_of(value: Any) -> Any:
    """The array of a tensor, or the array itself: for what a rule only looks at."""
    return value.array if isinstance(value, Value) else value
