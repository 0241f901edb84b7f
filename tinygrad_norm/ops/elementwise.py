"""Functions of one, two or three values, element by element, with broadcasting."""

from __future__ import annotations

from typing import Any

import numpy

from ..autograd.graph import Variable
from ..autograd.op import primitive
from ..backend import array as backend
from ..backend.array import Array, Device, array_module
from ..errors import DtypeError

# -- arithmetic --------------------------------------------------------------------------------


@primitive(promote="same")
def add(a: Array, b: Array) -> Array:
    """y = a + b"""
    return a + b


add.gradient(a=lambda dy: dy, b=lambda dy: dy)


@primitive(promote="same")
def sub(a: Array, b: Array) -> Array:
    """y = a - b"""
    return a - b


sub.gradient(a=lambda dy: dy, b=lambda dy: -dy)


@primitive(promote="same")
def mul(a: Array, b: Array) -> Array:
    """y = a b"""
    return a * b


mul.gradient(a=lambda dy, b: dy * b, b=lambda dy, a: dy * a)


@primitive(promote="float")
def div(a: Array, b: Array) -> Array:
    """y = a / b"""
    return a / b


div.gradient(a=lambda dy, b: dy / b, b=lambda dy, b, y: -dy * y / b)


@primitive(name="pow", promote="same")
def pow_(a: Array, b: Array) -> Array:
    """y = aᵇ"""
    y = a**b
    if y.dtype.char == "b":
        raise DtypeError("pow: expected numbers, got bools; call .long() or .float()")
    return y


@pow_.gradient_of("a")
def pow_da(dy: Any, a: Any, b: Any) -> Any:
    """da = dy b aᵇ⁻¹, and 0 where b = 0, also at a = 0"""
    if not isinstance(b, int | float):
        zero = logical_and(equal(a, 0), equal(b, 0))
        return dy * b * pow_(a, where(zero, 1, b - 1))
    return dy * 0 if b == 0 else dy * b if b == 1 else dy * (b * pow_(a, b - 1))


@pow_.gradient_of("b")
def pow_db(dy: Any, a: Any, b: Any, y: Any) -> Any:
    """db = dy y log a, and 0 where a = 0 and b >= 0 (the limit for b > 0)"""
    if isinstance(a, int | float):
        a = y * 0 + a
    dead = logical_and(equal(a, 0), greater_equal(b, 0))
    return dy * where(dead, 0, y * log(where(dead, 1, a)))


@primitive
def neg(x: Array) -> Array:
    """y = -x"""
    return -x


neg.gradient(x=lambda dy: -dy)


@primitive(promote="float")
def reciprocal(x: Array) -> Array:
    """y = 1 / x"""
    return 1 / x


reciprocal.gradient(x=lambda dy, y: -dy * y * y)


@primitive
def square(x: Array) -> Array:
    """y = x²"""
    return x * x


square.gradient(x=lambda dy, x: dy * (2 * x))


@primitive
def sign(x: Array) -> Array:
    """y = -1, 0 or 1"""
    return x.copy() if x.dtype.kind == "b" else array_module(x).sign(x)


sign.gradient(x=lambda dy: dy * 0)


@primitive(name="abs")
def abs_(x: Array) -> Array:
    """y = |x|"""
    return abs(x)


abs_.gradient(x=lambda dy, x: dy * sign(x))

# -- powers, exponentials, trigonometry ----------------------------------------------------------


@primitive(promote="float")
def exp(x: Array) -> Array:
    """y = eˣ"""
    return array_module(x).exp(x)


exp.gradient(x=lambda dy, y: dy * y)


@primitive(promote="float")
def expm1(x: Array) -> Array:
    """y = eˣ - 1, exact near 0"""
    return array_module(x).expm1(x)


expm1.gradient(x=lambda dy, x: dy * exp(x))  # y + 1 would lose the digits of a small eˣ


@primitive(promote="float")
def log(x: Array) -> Array:
    """y = ln x"""
    return array_module(x).log(x)


log.gradient(x=lambda dy, x: dy / x)


@primitive(promote="float")
def log1p(x: Array) -> Array:
    """y = ln(1 + x), exact near 0"""
    return array_module(x).log1p(x)


log1p.gradient(x=lambda dy, x: dy / (1 + x))


@primitive(promote="float")
def sqrt(x: Array) -> Array:
    """y = √x"""
    return array_module(x).sqrt(x)


sqrt.gradient(x=lambda dy, y: dy / (2 * y))


@primitive(promote="float")
def rsqrt(x: Array) -> Array:
    """y = 1 / √x"""
    return 1 / array_module(x).sqrt(x)


rsqrt.gradient(x=lambda dy, y: dy * (-0.5 * y * y * y))


@primitive(promote="float")
def sin(x: Array) -> Array:
    """y = sin x"""
    return array_module(x).sin(x)


@primitive(promote="float")
def cos(x: Array) -> Array:
    """y = cos x"""
    return array_module(x).cos(x)


sin.gradient(x=lambda dy, x: dy * cos(x))
cos.gradient(x=lambda dy, x: -dy * sin(x))


@primitive(promote="float")
def tanh(x: Array) -> Array:
    """y = tanh x"""
    return array_module(x).tanh(x)


tanh.gradient(x=lambda dy, y: dy * (1 - y * y))


@primitive(promote="float")
def sigmoid(x: Array) -> Array:
    """y = 1 / (1 + e⁻ˣ), as e^min(x, 0) / (1 + e^-|x|): nothing overflows, no tail is lost"""
    module = array_module(x)
    return module.exp(module.minimum(x, 0)) / (1 + module.exp(-abs(x)))


sigmoid.gradient(x=lambda dy, y: dy * (y * (1 - y)))


@primitive(promote="float")
def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ exp(-t²) dt"""
    return backend.erf(x)


erf.gradient(x=lambda dy, x: dy * (1.1283791670955126 * exp(-x * x)))


@primitive(promote="float")
def softplus(x: Array) -> Array:
    """y = ln(1 + eˣ), as max(x, 0) + ln(1 + e^-|x|)"""
    module = array_module(x)
    return module.maximum(x, 0) + module.log1p(module.exp(-abs(x)))


softplus.gradient(x=lambda dy, x: dy * sigmoid(x))

# -- comparisons and logic (no gradient) --------------------------------------------------------


@primitive(promote="same")
def equal(a: Array, b: Array) -> Array:
    """y = (a == b)"""
    return a == b


@primitive(promote="same")
def not_equal(a: Array, b: Array) -> Array:
    """y = (a != b)"""
    return a != b


@primitive(promote="same")
def less(a: Array, b: Array) -> Array:
    """y = (a < b)"""
    return a < b


@primitive(promote="same")
def less_equal(a: Array, b: Array) -> Array:
    """y = (a <= b)"""
    return a <= b


@primitive(promote="same")
def greater(a: Array, b: Array) -> Array:
    """y = (a > b)"""
    return a > b


@primitive(promote="same")
def greater_equal(a: Array, b: Array) -> Array:
    """y = (a >= b)"""
    return a >= b


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


@primitive
def relu(x: Array) -> Array:
    """y = max(x, 0); an array of zeros beside x is 3 times faster than a number, in NumPy"""
    module = array_module(x)
    return module.maximum(x, module.zeros(x.shape, x.dtype) if module is numpy else 0)


relu.gradient(x=lambda dy, y: dy * (y > 0))


@primitive(promote="same")
def maximum(a: Array, b: Array) -> Array:
    """y = max(a, b); where they are equal, each gets half of the gradient"""
    return array_module(a).maximum(a, b)


maximum.gradient(a=lambda dy, a, b: won(dy, a > b, equal(a, b)),
                 b=lambda dy, a, b: won(dy, b > a, equal(a, b)))


@primitive(promote="same")
def minimum(a: Array, b: Array) -> Array:
    """y = min(a, b); where they are equal, each gets half of the gradient"""
    return array_module(a).minimum(a, b)


minimum.gradient(a=lambda dy, a, b: won(dy, a < b, equal(a, b)),
                 b=lambda dy, a, b: won(dy, b < a, equal(a, b)))


def won(dy: Any, alone: Any, tied: Any) -> Any:
    """The winner's gradient: whole where it won alone, half where the two are equal."""
    return dy * alone + dy * tied * 0.5


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
        dy = dy * (x >= low)
    return dy if high is None else dy * (x <= high)


@primitive(name="where", promote=None)
def where_(condition: Array, a: Array, b: Array) -> Array:
    """y = a where the condition holds, else b"""
    return array_module(condition).where(condition, a, b)


where_.gradient(a=lambda dy, condition: where(condition, dy, 0.0),
                b=lambda dy, condition: where(condition, 0.0, dy))


def where(condition: Any, a: Any, b: Any) -> Any:
    """``a`` where the condition holds, else ``b``; a number takes the other's dtype."""
    return where_(condition, a, b)


# -- moves ---------------------------------------------------------------------------------------


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
    return backend.to_device(x, device)


move.gradient(x=lambda dy, x_device, *, device: move(dy, device=x_device))


@primitive
def copy(x: Array) -> Array:
    """y = x, in memory of its own"""
    return x.copy()


copy.gradient(x=lambda dy: dy)


def constant(value: Any) -> Any:
    """The array of a tensor, for rules whose derivative with respect to it is zero."""
    return value.array if isinstance(value, Variable) else value
