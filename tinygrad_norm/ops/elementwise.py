"""Functions of one or two values, element by element, with broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.op import primitive
from ..backend import normal
from ..backend.array import Array, array_module
from ..backend.choose import implements, kernel
from ..backend.large import looped
from ..errors import DtypeError
from .choice import equal, greater_equal, logical_and, masked, where

# -- arithmetic --------------------------------------------------------------------------------


@primitive(promote="same")
def add(a: Array, b: Array) -> Array:
    """y = a + b"""
    return a + b


add.gradient(a=lambda dy: dy, b=lambda dy: dy)


@primitive(promote="same")
def add_scaled(a: Array, b: Array, alpha: float) -> Array:
    """y = a + alpha b"""
    return a + b * alpha


add_scaled.gradient(a=lambda dy: dy, b=lambda dy, alpha: dy * alpha)


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
    x = b if hasattr(b, "dtype") else a  # of the dtype of both
    return a**b if x.dtype.kind == "f" else whole_power(a, b, x)


def whole_power(a: Any, b: Any, x: Array) -> Array:
    """aᵇ of ints, to a negative b the whole part of the fraction: 0, but for a = 1 and -1

    NumPy's arrays refuse that, and CuPy's do not refuse it of a number either, as PyTorch does.
    """
    if x.dtype.kind == "b":
        raise DtypeError("pow: expected numbers, got bools; call .long() or .float()")
    if x is not b:
        if b < 0:
            raise DtypeError(f"pow: expected an exponent >= 0 for {x.dtype}, got {b}: the result "
                             "would be a fraction; call .float()")
        return a**b
    where = array_module(x).where
    y = a ** where(b < 0, b & 1, b)
    return where((b < 0) & (abs(a) != 1), 0, y)


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
    if isinstance(a, int | float):  # y may be infinite
        rate = math.log(a) if a > 0 else math.nan
        return dy * (y * rate) if a else dy * where(greater_equal(b, 0), 0, -y)
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
def gaussian(x: Array, *, rate: float, scale: float) -> Array:
    """y = scale exp(-rate x²)"""
    return kernel(normal.gaussian, type(x))(x, rate=rate, scale=scale)


@gaussian.gradient_of("x")
def gaussian_dx(dy: Any, x: Any, y: Any, *, rate: float, scale: float) -> Any:
    """dx = -2 rate x y dy"""
    return dy * (x * y * (-2 * rate))


@primitive(promote="float")
def erf(x: Array) -> Array:
    """y = 2/√π ∫₀ˣ exp(-t²) dt"""
    return kernel(normal.erf, type(x))(x)


erf.gradient(x=lambda dy, x: dy * gaussian(x, rate=1.0, scale=1.1283791670955126))


@primitive(promote="float")
def softplus(x: Array) -> Array:
    """y = ln(1 + eˣ), as max(x, 0) + ln(1 + e^-|x|)"""
    module = array_module(x)
    return module.maximum(x, 0) + module.log1p(module.exp(-abs(x)))


softplus.gradient(x=lambda dy, x: dy * sigmoid(x))


@primitive
def relu(x: Array) -> Array:
    """y = max(x, 0)"""
    return kernel(positive, type(x))(x)


def positive(x: Array) -> Array:
    """x where it is positive, else 0; bools, which the 0 would make ints, as they are."""
    return x.copy() if x.dtype.kind == "b" else array_module(x).maximum(x, 0)


@implements(positive, np.ndarray)
def numpy_positive(x: np.ndarray) -> np.ndarray:
    """An array of zeros beside x is 3 times faster than a number."""
    return np.maximum(x, np.zeros(x.shape, x.dtype))


@relu.gradient_of("x")
@looped
def relu_dx(dy: Any, y: Any) -> Any:
    return masked(dy, y > 0)
