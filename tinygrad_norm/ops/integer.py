"""Quotients without a fraction, what they leave, and shifts of bits."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..autograd.op import primitive
from ..backend.array import Array, array_module, is_array
from ..backend.choose import expect
from ..errors import DtypeError, ZeroDivisorError


def _divided(name: str, function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """``function(a, b)``, where one of the two may be a Python number; float16 in float32.

    Raises:
        ZeroDivisorError: an int by 0, where that can be seen without waiting for a device.
    """
    dtype = (a if is_array(a) else b).dtype
    if dtype.kind == "b":
        raise DtypeError(f"{name}: expected numbers, got bools; call .long() or .float()")
    if dtype.itemsize == 2:
        a, b = (v.astype("float32") if is_array(v) else v for v in (a, b))
        return function(a, b).astype(dtype)
    if dtype.kind == "i":
        ask = expect(type(b))
        if (ask is not None and ask((b == 0).any())) if is_array(b) else b == 0:
            raise ZeroDivisorError(f"{name}: expected a divisor of ints without 0, got 0; "
                                   "floats give inf and nan: call .float()")
    return function(a, b)


@primitive(promote="same")
def floor_divide(a: Array, b: Array) -> Array:
    """y = ⌊a / b⌋, in the dtype of the two; by its steps no gradient flows"""
    return _divided("floor_divide", operator.floordiv, a, b)


floor_divide.gradient(a=lambda dy: dy * 0, b=lambda dy: dy * 0)


@primitive(promote="same")
def trunc_divide(a: Array, b: Array) -> Array:
    """y = a / b without its fraction, in the dtype of the two; no gradient flows"""
    return _divided("trunc_divide", _towards_zero, a, b)


def _towards_zero(a: Array, b: Any) -> Array:
    if a.dtype.kind == "f":
        return array_module(a).trunc(a / b)
    y = a // b
    return y + ((y < 0) & (y * b != a))


trunc_divide.gradient(a=lambda dy: dy * 0, b=lambda dy: dy * 0)


@primitive(promote="same")
def remainder(a: Array, b: Array) -> Array:
    """y = a - b ⌊a / b⌋, of the sign of b"""
    return _divided("remainder", operator.mod, a, b)


remainder.gradient(a=lambda dy: dy, b=lambda dy, a, b: -dy * floor_divide(a, b))


@primitive(promote="same")
def fmod(a: Array, b: Array) -> Array:
    """y = what is left of a after trunc_divide by b, of the sign of a"""
    return _divided("fmod", array_module(a).fmod, a, b)


fmod.gradient(a=lambda dy: dy, b=lambda dy, a, b: -dy * trunc_divide(a, b))


def _shifted(name: str, law: str, a: Any, b: Any) -> Any:
    array = a if is_array(a) else b
    if array.dtype.kind != "i":
        raise DtypeError(f"{name}: expected ints, got {array.dtype}; call .long()")
    return getattr(array_module(array), law)(a, b)


@primitive(promote="same")
def bitwise_left_shift(a: Array, b: Array) -> Array:
    """y = a 2ᵇ, without the bits that leave the dtype"""
    return _shifted("bitwise_left_shift", "left_shift", a, b)


@primitive(promote="same")
def bitwise_right_shift(a: Array, b: Array) -> Array:
    """y = ⌊a / 2ᵇ⌋"""
    return _shifted("bitwise_right_shift", "right_shift", a, b)
