"""The weights of attention: softmax of scores of which some do not count."""

from __future__ import annotations

import math

import numpy as np

from ..autograd.op import Primitive, primitive
from ..backend.array import Array, array_module
from .reduction import partition, softmax_dx


@primitive
def masked_softmax(x: Array, keep: Array | None, *, axis: int) -> Array:
    """yᵢ = e^xᵢ / Σ e^xⱼ over those that are kept, else 0; all 0 where every x is -∞ or not kept

    keep: bools that broadcast to x, or None for all.
    """
    if not x.size:
        return x.copy()
    module = array_module(x)
    if keep is not None:
        x = module.where(keep, x, -math.inf)
    lowest = float(np.finfo(x.dtype).min)  # -∞ - -∞ would be NaN
    e = x - module.maximum(x.max(axis=axis, keepdims=True), lowest)
    module.exp(e, out=e)
    e /= module.maximum(partition(e, axis), 1)  # at least 1, but where nothing counts
    return e


masked_softmax.gradient(x=softmax_dx)
whole_softmax = Primitive(masked_softmax.function, name="softmax")
"""The same without a mask, and called so."""
whole_softmax.gradient(x=softmax_dx)
