"""Normalization over any axes: the operation under every norm, its statistics alone, its scale."""

from __future__ import annotations

from ..autograd.broadcasting import unbroadcast
from ..autograd.op import Primitive, primitive
from ..backend import reference
from ..backend.array import Array
from ..backend.large import looped

normalize = Primitive(looped(reference.normalize), outputs=("y", "rest", "mean", "var"))
"""(y, rest, mean, var) of x, weight, bias; settings: axes, eps, centred, beside, groups. mean and
rest are the mean with nearly twice the digits; the rest is of rounding, and has no gradient."""
normalize.gradient_of("x", "weight", "bias")(looped(reference.normalize_gradient))


@primitive(outputs=("xc", "mean", "var"))
@looped
def moments(x: Array, *, axes: tuple[int, ...], centred: bool) -> tuple[Array, Array, Array]:
    """mean = Σ x / n (0 when not centred), xc = x - mean, var = Σ xc² / n"""
    return reference.moments(x, axes=axes, centred=centred)


moments.gradient_of("x")(looped(reference.moments_gradient))

unit = Primitive(looped(reference.unit))
"""A power of two beside each mean of x; settings: axes, eps, centred. It has no gradient: it is
constant but where it jumps, and nothing that is computed with it depends on it."""


@primitive
def renorm(
    x: Array, r: Array, d: Array, weight: Array | None, bias: Array | None
) -> Array:
    """y = (x r + d) γ + β, where r and d are constants, γ and β may be None"""
    scale, offset = (r, d) if weight is None else (r * weight, d * weight)
    return x * scale + (offset if bias is None else offset + bias)


renorm.gradient(  # of γ the sums come first: x r + d would round each value as d is large
    x=lambda dy, r, weight: dy * (r if weight is None else r * weight),
    weight=lambda dy, x, r, d: (unbroadcast(dy * x, r.shape) * r + unbroadcast(dy, r.shape) * d),
    bias=lambda dy: dy)
