"""Broadcasting undone: done once, here, so that no rule mentions it."""

from __future__ import annotations

import math
from typing import Any

from ..backend.sums import summed
from ..errors import ShapeError
from .graph import Value


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``gradient`` over the axes along which a value of ``shape`` was broadcast."""
    extra = gradient.ndim - len(shape)
    if math.prod(gradient.shape) == math.prod(shape):
        return gradient.reshape(shape)
    if extra > 0:
        gradient = _sum(gradient, tuple(range(extra)), False)
    if gradient.shape == shape:
        return gradient
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    if axes:
        gradient = _sum(gradient, axes, True)
    if gradient.shape != shape:
        raise ShapeError(
            f"backward: a gradient of shape {gradient.shape} for a tensor of shape {shape}; "
            "a Function's backward returned the wrong shape"
        )
    return gradient


def _sum(gradient: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Σ over ``axes``; that of a Tensor is recorded."""
    recorded = isinstance(gradient, Value)
    return gradient.sum(axis=axes, keepdims=keepdims) if recorded else summed(
        gradient, axes, keepdims)
