"""The formulas of normalization, in plain array vocabulary.

Everything here runs on NumPy arrays, on CuPy arrays and on tensors alike: it is the kernel, the
specification that faster kernels are held to, and the opened-up graph.

Symbols: x the input; n values are reduced to one over ``axes``; mean and var have length 1 there.

    mean  = Σ x / n                    (0 when not centred)
    var   = Σ (x - mean)² / n          (biased; the mean square when not centred)
    x_hat = (x - mean) / √(var + eps)
    y     = weight x_hat + bias
"""

from __future__ import annotations

import math
from typing import Any

from .array import Array, array_module

LONG = 1024
"""From this many values on a float32 sum is accumulated in float64: along the first axis NumPy
adds one by one, and the error grows with the count."""


def total(x: Array, axes: tuple[int, ...], n: int) -> Array:
    """Σ x over ``axes``, kept as length 1."""
    if n > LONG and x.dtype.itemsize < 8:
        return x.sum(axis=axes, keepdims=True, dtype="float64").astype(x.dtype)
    return x.sum(axis=axes, keepdims=True)


def normalize(
    x: Array, weight: Array | None, bias: Array | None, *,
    axes: tuple[int, ...], eps: float, centred: bool,
) -> tuple[Array, Array, Array, Array]:
    """(y, x_hat, mean, var). Two passes: E[x²] - E[x]² cancels when |mean| >> std."""
    n = math.prod(x.shape[i] for i in axes)
    if centred:
        # Shifted by a sample first: the difference is exact where the values are close together,
        # and what is summed is of the size of the spread, not of the offset.
        sample = x[tuple(slice(0, 1) if i in axes or i - x.ndim in axes else slice(None)
                         for i in range(x.ndim))]
        x_hat = x - sample
        shift = total(x_hat, axes, n) / n
        x_hat -= shift
        mean = sample + shift
    else:
        x_hat = x.copy()
        mean = array_module(x).zeros((1,) * x.ndim, dtype=x.dtype)
    var = total(x_hat * x_hat, axes, n) / n
    x_hat *= 1 / array_module(x).sqrt(var + eps)
    y = x_hat.copy() if weight is None else x_hat * weight
    if bias is not None:
        y += bias
    return y, x_hat, mean, var


def is_constant(weight: Any, axes: tuple[int, ...], ndim: int) -> bool:
    """Whether ``weight`` is the same for all the values that are reduced together."""
    if weight is None:
        return True
    missing = ndim - weight.ndim
    return all(i % ndim < missing or weight.shape[i % ndim - missing] == 1 for i in axes)


def normalize_gradient(
    dy: Any, dx_hat: Any, dmean: Any, dvar: Any, x_hat: Any, var: Any, weight: Any, *,
    axes: tuple[int, ...], eps: float, centred: bool,
) -> tuple[Any, Any, Any]:
    """(dx, dweight, dbias) from the gradients of the four results, each of which may be None.

    With g = weight dy + dx_hat, the gradient of x_hat:

        dx = (g - Σg/n - x_hat Σ(g x_hat)/n) / √(var + eps)
             + dmean/n + dvar 2 x_hat √(var + eps) / n

    where Σg belongs to the mean and is absent when not centred. Only x_hat and var are needed, and
    both are results of the operation: gradients flow into them again, so that every order is right.
    Were x kept instead, x - mean would lose the digits of a large offset a second time.
    """
    n = math.prod(x_hat.shape[i] for i in axes)
    scale = (var + eps) ** 0.5
    dx = dweight = dbias = None
    if dy is not None and dx_hat is None and is_constant(weight, axes, x_hat.ndim):
        # weight leaves the sums, which are then those of dbias and dweight themselves
        dbias = dy.sum(axis=axes, keepdims=True)
        dweight = (dy * x_hat).sum(axis=axes, keepdims=True)
        dx = x_hat * (dweight * (-1 / n))
        dx += dy
        if centred:
            dx -= dbias / n
        dx *= 1 / scale if weight is None else weight / scale
    elif dy is not None or dx_hat is not None:
        g = dx_hat
        if dy is not None:
            dbias, dweight = dy, dy * x_hat
            g = dy if weight is None else dy * weight
            g = g if dx_hat is None else g + dx_hat
        dx = x_hat * ((g * x_hat).sum(axis=axes, keepdims=True) * (-1 / n))
        dx += g
        if centred:
            dx -= g.sum(axis=axes, keepdims=True) / n
        dx *= 1 / scale
    if dmean is not None and centred:
        dx = dmean / n if dx is None else dx + dmean / n
    if dvar is not None:
        part = x_hat * (dvar * scale * (2 / n))
        dx = part if dx is None else dx + part
    return dx, dweight, dbias
