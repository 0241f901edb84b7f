"""Variance and standard deviation: the moments of the norms, over any axes."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.op import Primitive, primitive
from ..backend.array import Array
from ..backend.reference import count, moments_gradient
from ..backend.spread import share, spread
from .choice import equal, where
from .reduction import Axis, kept, reduced_axes, sum_
from .rounding import widened
from .shape import reshape
from .transfer import cast

Axes = tuple[int, ...]


@primitive(name="var", outputs=("y", "xc", "mean"))
def variance(x: Array, *, axes: Axes, correction: float) -> tuple[Array, Array, Array]:
    """y = Σ xc² / (n - correction), xc = x - mean"""
    xc, mean, y = spread(x, axes=axes, correction=correction, rooted=False)
    return y, xc, mean


@variance.gradient_of("x")
def variance_dx(
    dy: Any, dxc: Any, dmean: Any, xc: Any, y: Any, *, axes: Axes, correction: float
) -> Any:
    """dx = dy 2 xc / (n - correction), and what dxc and dmean give"""
    dvar = None if dy is None else dy * share(xc, y, correction)
    return moments_gradient(dxc, dmean, dvar, xc, y, axes=axes, centred=True)


@primitive(name="std", outputs=("y", "xc", "mean"))
def deviation(x: Array, *, axes: Axes, correction: float) -> tuple[Array, Array, Array]:
    """y = √(Σ xc² / (n - correction)), xc = x - mean: right also where its square is not"""
    xc, mean, y = spread(x, axes=axes, correction=correction, rooted=True)
    return y, xc, mean


@deviation.gradient_of("x")
def deviation_dx(
    dy: Any, dxc: Any, dmean: Any, xc: Any, y: Any, *, axes: Axes, correction: float
) -> Any:
    """dx = dy xc / (y (n - correction)), and what dxc and dmean give; 0 for a constant x, where
    the root has no derivative"""
    dx = moments_gradient(dxc, dmean, None, xc, y, axes=axes, centred=True)
    if dy is not None:
        flat = equal(y, 0)
        dy = where(flat, 0.0, dy * (share(xc, y, correction) / count(xc, y)))
        part = xc / where(flat, 1.0, y) * dy
        dx = part if dx is None else dx + part
    return dx


def measured(
    operation: Primitive, x: Any, *, axis: Axis, correction: float, keepdims: bool
) -> tuple[Any, Any]:
    """What ``variance`` or ``deviation`` gives, and the mean; NaN for no values."""
    shape, axes = x.shape, reduced_axes(x.shape, axis)
    if not math.prod(shape):
        nothing = sum_(x, axis=axis, keepdims=keepdims) * math.nan
        return nothing, nothing
    seen = widened(x) if shape else reshape(widened(x), shape=(1,))
    y, _, mean = operation(seen, axes=axes if shape else (0,), correction=correction)
    beside = kept(shape, axes) if keepdims else tuple(
        n for i, n in enumerate(shape) if i not in axes)
    y, mean = (v if v.shape == beside else reshape(v, shape=beside) for v in (y, mean))
    return (y, mean) if seen.dtype == x.dtype else (
        cast(y, dtype=x.dtype), cast(mean, dtype=x.dtype))

