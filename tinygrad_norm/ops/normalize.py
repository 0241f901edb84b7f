"""Normalization over any axes: the operation under every norm, its statistics alone, its scale."""

from __future__ import annotations

from ..autograd.op import Primitive
from ..backend import reference

normalize = Primitive(reference.normalize, outputs=("y", "xc", "mean", "var"))
"""(y, xc, mean, var) of x, weight, bias; settings: axes, eps, centred, beside, groups."""
normalize.gradient_of("x", "weight", "bias")(reference.normalize_gradient)

moments = Primitive(reference.moments, outputs=("xc", "mean", "var"))
"""(xc, mean, var) of x; settings: axes, centred."""
moments.gradient_of("x")(reference.moments_gradient)

unit = Primitive(reference.unit)
"""A power of two beside each mean of x; settings: axes, eps, centred. It has no gradient: it is
constant but where it jumps, and nothing that is computed with it depends on it."""
