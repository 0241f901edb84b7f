"""Cross-entropy in one operation: the softmax is computed once, for the loss and its gradient."""

from __future__ import annotations

from typing import Any

from ..autograd.op import primitive
from ..backend.array import Array, array_module
from .reduction import sum_


@primitive(name="cross_entropy", outputs=("loss", "p"))
def cross_entropy(x: Array, target: Array, *, axis: int) -> tuple[Array, Array]:
    """loss = Σ q (ln Σ eˣ - x), p = softmax(x); q are the targets' weights, summed over ``axis``"""
    module = array_module(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    p = module.exp(shifted)
    total = p.sum(axis=axis, keepdims=True)
    p /= total
    loss = (target * (module.log(total) - shifted)).sum(axis=axis)
    return loss, p


@cross_entropy.gradient_of("x")
def cross_entropy_dx(dloss: Any, dp: Any, p: Any, target: Any, *, axis: int) -> Any:
    """dx = dloss (p Σ q - q) + p (dp - Σ dp p)"""
    dx = 0
    if dloss is not None:
        dloss = dloss.reshape(_opened(dloss.shape, axis, p.ndim))
        dx = dloss * (p * sum_(target, axis=axis, keepdims=True) - target)
    if dp is not None:
        dx = dx + p * (dp - sum_(dp * p, axis=axis, keepdims=True))
    return dx


def _opened(shape: tuple[int, ...], axis: int, ndim: int) -> tuple[int, ...]:
    axis %= ndim
    return (*shape[:axis], 1, *shape[axis:])
