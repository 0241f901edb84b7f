"""Activations, each one operation.

What the rule of one needs again, the sigmoid, is a result of its own: were it a constant kept
aside, the second derivative would miss its share. The derivatives of GELU are operations, so that
no sum of theirs loses digits. (relu, tanh, sigmoid and softplus are in ``elementwise.py``.)
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import primitive
from ..backend import normal
from ..backend.array import Array, array_module
from ..backend.choose import kernel
from ..backend.large import looped
from .choice import where
from .elementwise import exp, gaussian


@primitive(promote="float")
@looped
def leaky_relu(x: Array, *, slope: float) -> Array:
    """y = x where x > 0, else slope x"""
    return array_module(x).where(x > 0, x, x * slope)


@leaky_relu.gradient_of("x")
@looped
def leaky_relu_dx(dy: Any, x: Any, *, slope: float) -> Any:
    """dx = dy where x > 0, else slope dy"""
    return where(x > 0, dy, dy * slope)


@primitive(promote="float")
@looped
def elu(x: Array, *, alpha: float) -> Array:
    """y = x where x > 0, else alpha (eˣ - 1)"""
    module = array_module(x)
    return module.where(x > 0, x, module.expm1(module.minimum(x, 0)) * alpha)


@elu.gradient_of("x")
@looped
def elu_dx(dy: Any, x: Any, *, alpha: float) -> Any:
    """dx = dy where x > 0, else dy alpha eˣ (from y + alpha a small eˣ would lose its digits)"""
    return where(x > 0, dy, dy * (exp(where(x >= 0, 0.0, x)) * alpha))


@primitive(promote="float", outputs=("y", "s"))
@looped
def silu(x: Array) -> tuple[Array, Array]:
    """y = x s, s = sigmoid(x)"""
    module = array_module(x)
    e = module.exp(-abs(x))
    s = module.where(x < 0, e, 1) / (1 + e)
    return x * s, s


@silu.gradient_of("x")
@looped
def silu_dx(dy: Any, ds: Any, x: Any, s: Any) -> Any:
    """dx = dy (s + x s') + ds s', with s' = s (1 - s)"""
    slope = s * (1 - s)
    dx = None if dy is None else dy * (s + x * slope)
    return dx if ds is None else ds * slope if dx is None else dx + ds * slope


@primitive(promote="float")
@looped
def gelu(x: Array) -> Array:
    """y = x Φ(x), Φ the normal distribution"""
    return kernel(normal.gelu, type(x))(x)


@primitive(promote="float")
@looped
def gelu_slope(x: Array) -> Array:
    """y = Φ(x) + x φ(x), φ(x) = exp(-x²/2) / √2π"""
    return kernel(normal.gelu_slope, type(x))(x)


@primitive(promote="float")
@looped
def gelu_curvature(x: Array) -> Array:
    """y = φ(x) (2 - x²)"""
    return kernel(normal.gelu_curvature, type(x))(x)


@gelu.gradient_of("x")
@looped
def gelu_dx(dy: Any, x: Any) -> Any:
    """dx = dy (Φ(x) + x φ(x))"""
    return dy * gelu_slope(x)


@gelu_slope.gradient_of("x")
@looped
def gelu_slope_dx(dy: Any, x: Any) -> Any:
    """dx = dy φ(x) (2 - x²)"""
    return dy * gelu_curvature(x)


@gelu_curvature.gradient_of("x")
@looped
def gelu_curvature_dx(dy: Any, x: Any) -> Any:
    """dx = dy φ(x) x (x² - 4)"""
    density = gaussian(x, rate=0.5, scale=1 / math.sqrt(2 * math.pi))
    return dy * (density * x * (x * x - 4))


ROOT, CUBE = math.sqrt(2 / math.pi), 0.044715


@primitive(promote="float", outputs=("y", "s"))
@looped
def gelu_tanh(x: Array) -> tuple[Array, Array]:
    """y = x (1 + tanh u) / 2 = x s, s = sigmoid(2 u), u = √(2/π) (x + 0.044715 x³)"""
    module = array_module(x)
    v = (x * x * CUBE + 1) * x * (2 * ROOT)
    e = module.exp(-abs(v))
    s = module.where(v < 0, e, 1) / (1 + e)  # 1 + tanh would cancel
    return x * s, s


@gelu_tanh.gradient_of("x")
@looped
def gelu_tanh_dx(dy: Any, ds: Any, x: Any, s: Any) -> Any:
    """dx = dy (s + x s') + ds s', with s' = s (1 - s) 2 √(2/π) (1 + 3 · 0.044715 x²)"""
    slope = s * (1 - s) * ((x * x * (3 * CUBE) + 1) * (2 * ROOT))
    dx = None if dy is None else dy * (s + x * slope)
    return dx if ds is None else ds * slope if dx is None else dx + ds * slope
