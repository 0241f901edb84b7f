"""Activations: each one operation, whose costly part is a result of its own.

The rule needs tanh, erf or the sigmoid again. Were it a constant kept aside, the second derivative
would miss its share; as a result it has its own gradient, and every order is right. (relu, tanh,
sigmoid and softplus are in ``elementwise.py``.)
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import primitive
from ..backend import array as backend
from ..backend.array import Array, array_module
from .choice import where
from .elementwise import exp


@primitive(promote="float")
def leaky_relu(x: Array, *, slope: float) -> Array:
    """y = x where x > 0, else slope x"""
    return array_module(x).where(x > 0, x, x * slope)


@leaky_relu.gradient_of("x")
def leaky_relu_dx(dy: Any, x: Any, *, slope: float) -> Any:
    """dx = dy where x > 0, else slope dy"""
    return where(x > 0, dy, dy * slope)


@primitive(promote="float")
def elu(x: Array, *, alpha: float) -> Array:
    """y = x where x > 0, else alpha (eˣ - 1)"""
    module = array_module(x)
    return module.where(x > 0, x, module.expm1(module.minimum(x, 0)) * alpha)


@elu.gradient_of("x")
def elu_dx(dy: Any, x: Any, *, alpha: float) -> Any:
    """dx = dy where x > 0, else dy alpha eˣ (from y + alpha a small eˣ would lose its digits)"""
    return where(x > 0, dy, dy * (exp(where(x < 0, x, 0.0)) * alpha))


@primitive(promote="float", outputs=("y", "s"))
def silu(x: Array) -> tuple[Array, Array]:
    """y = x s, s = sigmoid(x)"""
    module = array_module(x)
    s = module.exp(module.minimum(x, 0)) / (1 + module.exp(-abs(x)))
    return x * s, s


@silu.gradient_of("x")
def silu_dx(dy: Any, ds: Any, x: Any, s: Any) -> Any:
    """dx = dy (s + x s') + ds s', with s' = s (1 - s)"""
    slope = s * (1 - s)
    dx = None if dy is None else dy * (s + x * slope)
    return dx if ds is None else ds * slope if dx is None else dx + ds * slope


@primitive(promote="float", outputs=("y", "cdf"))
def gelu(x: Array) -> tuple[Array, Array]:
    """y = x cdf, cdf = (1 + erf(x/√2)) / 2, the normal distribution"""
    cdf = (backend.erf(x * math.sqrt(0.5)) + 1) * 0.5
    return x * cdf, cdf


@gelu.gradient_of("x")
def gelu_dx(dy: Any, dcdf: Any, x: Any, cdf: Any) -> Any:
    """dx = dy (cdf + x pdf) + dcdf pdf, with pdf = exp(-x²/2) / √2π"""
    pdf = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    dx = None if dy is None else dy * (cdf + x * pdf)
    return dx if dcdf is None else dcdf * pdf if dx is None else dx + dcdf * pdf


ROOT, CUBE = math.sqrt(2 / math.pi), 0.044715


@primitive(promote="float", outputs=("y", "t"))
def gelu_tanh(x: Array) -> tuple[Array, Array]:
    """y = x (1 + t) / 2, t = tanh(√(2/π) (x + 0.044715 x³))"""
    t = array_module(x).tanh((x * x * CUBE + 1) * x * ROOT)
    return (t + 1) * x * 0.5, t


@gelu_tanh.gradient_of("x")
def gelu_tanh_dx(dy: Any, dt: Any, x: Any, t: Any) -> Any:
    """dx = dy (1 + t + x t') / 2 + dt t', with t' = (1 - t²) √(2/π) (1 + 3 · 0.044715 x²)"""
    slope = (1 - t * t) * ((x * x * (3 * CUBE) + 1) * ROOT)
    dx = None if dy is None else dy * ((1 + t + x * slope) * 0.5)
    return dx if dt is None else dt * slope if dx is None else dx + dt * slope
