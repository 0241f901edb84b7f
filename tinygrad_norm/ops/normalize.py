"""Normalization over any axes: the one operation under every norm."""

from __future__ import annotations

from ..autograd.op import Primitive
from ..backend import reference

normalize = Primitive(reference.normalize, outputs=("y", "xc", "mean", "var"))
"""(y, xc, mean, var) of x, weight, bias; settings: axes, eps, centred."""
normalize.gradient_of("x", "weight", "bias")(reference.normalize_gradient)
