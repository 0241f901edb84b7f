"""Comparisons, logic, and choices between values, element by element, with broadcasting."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.graph import PLAIN
from ..autograd.op import Primitive, primitive
from ..backend.array import Array, array_module, check_device
from ..backend.choose import implements, kernel

# -- comparisons and logic (no gradient) --------------------------------------------------------


NUMBERS = PLAIN | {bool}


def comparison(name: str, symbol: str, compare: Callable[[Any, Any], Any]) -> Primitive:
    """The operation of that name. CuPy compares with an array of NumPy's without dimensions too."""

    def compared(a: Array, b: Array) -> Array:
        kind, other = a.__class__, b.__class__  # of a number that records: float
        if kind is not other and kind not in NUMBERS and other not in NUMBERS:
            check_device(name, "input 0", a, "input 1", b)
        return compare(a, b)

    compared.__doc__ = f"y = (a {symbol} b)"
    return Primitive(compared, name=name, promote="near")


equal = comparison("equal", "==", operator.eq)
not_equal = comparison("not_equal", "!=", operator.ne)
less = comparison("less", "<", operator.lt)
less_equal = comparison("less_equal", "<=", operator.le)
greater = comparison("greater", ">", operator.gt)
greater_equal = comparison("greater_equal", ">=", operator.ge)


@primitive(promote="same")
def logical_and(a: Array, b: Array) -> Array:
    """y = a and b"""
    return a & b


@primitive(promote="same")
def logical_or(a: Array, b: Array) -> Array:
    """y = a or b"""
    return a | b


@primitive(promote="same")
def logical_xor(a: Array, b: Array) -> Array:
    """y = either a or b"""
    return a ^ b


@primitive
def logical_not(x: Array) -> Array:
    """y = not x"""
    return ~x


@primitive
def isnan(x: Array) -> Array:
    """y = whether x is not a number"""
    return array_module(x).isnan(x)


@primitive
def isfinite(x: Array) -> Array:
    """y = whether x is neither NaN nor infinite"""
    return array_module(x).isfinite(x)


# -- choices ---------------------------------------------------------------------------------------

BITS = {n: np.dtype(f"int{8 * n}") for n in (2, 4, 8)}
"""The whole numbers as wide as each float, by their bytes."""


@primitive
def masked(x: Array, keep: Array) -> Array:
    """y = x where ``keep`` holds, else 0, also where x is infinite or NaN"""
    return kernel(selected, type(x))(x, keep)


def selected(x: Array, keep: Array) -> Array:
    """x where ``keep`` holds, else 0."""
    return array_module(x).where(keep, x, 0)


@implements(selected, np.ndarray)
def numpy_selected(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Multiplied as whole numbers, since ∞ · 0 is NaN; ``where`` takes 10 times as long."""
    return (x.view(BITS[x.dtype.itemsize]) * keep).view(x.dtype)


masked.gradient(x=lambda dy, keep: masked(dy, keep))


@primitive
def dropout(x: Array, mask: Array, *, p: float) -> Array:
    """y = x m in the dtype of x, with m = 0 at random places and 1/(1 - p) elsewhere"""
    return (x * mask).astype(x.dtype, copy=False)


dropout.gradient(x=lambda dy, mask, *, p: dropout(dy, mask, p=p))


@primitive(promote="near")
def maximum(a: Array, b: Array) -> Array:
    """y = max(a, b); where they are equal, each gets half of the gradient"""
    return array_module(a).maximum(a, b)


maximum.gradient(a=lambda dy, a, b: won(dy, a > b, equal(a, b)),
                 b=lambda dy, a, b: won(dy, b > a, equal(a, b)))


@primitive(promote="near")
def minimum(a: Array, b: Array) -> Array:
    """y = min(a, b); where they are equal, each gets half of the gradient"""
    return array_module(a).minimum(a, b)


minimum.gradient(a=lambda dy, a, b: won(dy, a < b, equal(a, b)),
                 b=lambda dy, a, b: won(dy, b < a, equal(a, b)))


def won(dy: Any, alone: Any, tied: Any) -> Any:
    """The winner's gradient: whole where it won alone, half where the two are equal."""
    return masked(dy, alone) + masked(dy * 0.5, tied)


@primitive
def clamp(x: Array, *, low: float | None = None, high: float | None = None) -> Array:
    """y = min(max(x, low), high)"""
    module = array_module(x)
    if low is not None:
        x = module.maximum(x, low)
    return x if high is None else module.minimum(x, high)


@clamp.gradient_of("x")
def clamp_dx(dy: Any, x: Any, *, low: float | None = None, high: float | None = None) -> Any:
    """dx = dy where low <= x <= high"""
    if low is not None:
        dy = masked(dy, x >= low)
    return dy if high is None else masked(dy, x <= high)


@primitive(name="where", promote=None)
def where_(condition: Array, a: Array, b: Array) -> Array:
    """y = a where the condition holds, else b"""
    return array_module(condition).where(condition, a, b)


where_.gradient(a=lambda dy, condition: where(condition, dy, 0.0),
                b=lambda dy, condition: where(condition, 0.0, dy))


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, else ``b``; a number takes the other's dtype."""
    return where_(condition, a, b)
