"""Losses whose parts must not be computed twice, or have a point where the plain formula fails."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.op import primitive
from ..backend.array import Array, array_module
from ..backend.choose import RECORDS, implements, kernel
from ..backend.large import looped
from .choice import clamp, where
from .elementwise import abs_, sign
from .reduction import softmax, sum_

FEW = 64
"""Up to this many classes, softmax runs over a transposed copy, with the samples innermost:
1024 × 10 takes 29 µs instead of 83. From 1000 on the copy would cost more than it saves."""


@primitive(outputs=("loss", "g"))
@looped
def cross_entropy(x: Array, labels: Array, share: Any) -> tuple[Array, Array]:
    """loss = Σ share (ln Σ eˣ - x_label), g = softmax(x) - 1_label, the gradient but for its share

    x (N, C), labels (N,) within 0 to C - 1; share (N,) or a number: 1/N gives the mean.
    """
    return kernel(at_labels, type(x))(x, labels, share)


def at_labels(x: Array, labels: Array, share: Any) -> tuple[Array, Array]:
    """As :func:`cross_entropy`, with one value of each row looked up."""
    module = array_module(x)
    z = x.T.copy("C" if x.shape[1] < FEW else "K")
    z -= z.max(axis=0)
    place = (labels, module.arange(labels.size))
    at_label = z[place]
    module.exp(z, out=z)
    total = z.sum(axis=0)
    z /= total
    z[place] -= 1
    each = module.log(total) - at_label
    each *= share
    return each.sum(), z.T


@implements(at_labels, RECORDS)
def among_classes(x: Array, labels: Array, share: Any) -> tuple[Array, Array]:
    """As :func:`at_labels`, with all values compared: elementwise, and sums."""
    module = array_module(x)
    here = labels.reshape(-1, 1) == module.arange(x.shape[1])
    z = x - x.max(axis=1, keepdims=True)
    e = module.exp(z)
    total = e.sum(axis=1, keepdims=True)
    each = (module.log(total) - module.where(here, z, 0).sum(axis=1, keepdims=True)).reshape(-1)
    p = e / total
    return (each * share).sum(), module.where(here, p - 1, p)


@cross_entropy.gradient_of("x")
@looped
def cross_entropy_dx(dloss: Any, dg: Any, x: Any, share: Any, g: Any) -> Any:
    """dx = dloss share g + p (dg - Σ dg p), with p = softmax(x)"""
    dx = None
    if dloss is not None:
        scale = dloss * share
        dx = g * (scale.reshape(-1, 1) if scale.ndim else scale)
    if dg is not None:
        p = softmax(x, axis=1)
        part = p * (dg - sum_(dg * p, axis=1, keepdims=True))
        dx = part if dx is None else dx + part
    return dx


@primitive
def huber(x: Array, *, delta: float) -> Array:
    """y = x²/2 where |x| < delta, else delta (|x| - delta/2)"""
    size = abs(x)
    inner = array_module(x).minimum(size, delta)
    return inner * (size - inner * 0.5)


@huber.gradient_of("x")
def huber_dx(dy: Any, x: Any, *, delta: float) -> Any:
    """dx = dy x where |x| < delta, else dy delta sign x"""
    return dy * where(abs_(x) < delta, x, sign(x) * delta)


@primitive(promote="float")
def floored_log(x: Array, *, low: float) -> Array:
    """y = max(ln x, low), for x >= 0: -∞ would make 0 · ln 0 a NaN"""
    module = array_module(x)
    zero = x == 0
    return module.where(zero, low, module.maximum(module.log(module.where(zero, 1, x)), low))


@floored_log.gradient_of("x")
def floored_log_dx(dy: Any, x: Any, *, low: float) -> Any:
    """dx = dy / max(x, 1e-12): large at 0, so that a wrong certainty can be left again"""
    return dy / clamp(x, low=max(1e-12, float(np.finfo(x.dtype).tiny)))
