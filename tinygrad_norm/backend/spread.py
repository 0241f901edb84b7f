"""Variance and deviation of values of any size, from the moments that the norms are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .array import Array
from .choose import expect, kernel
from .reference import count, is_moderate, moments, root, unit


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def spread(
    x: Array, *, axes: tuple[int, ...], correction: float, rooted: bool
) -> tuple[Array, Array, Array]:
    """(xc, mean, s): s is Σ xc² / (n - correction), or the root of it when ``rooted``.

    Where squares leave the range of the dtype, or might on a device that would have to wait for
    the question, x is taken in units, powers of two: one for each mean.
    """
    sqrt = kernel(root, type(x))
    ask = expect(type(x))
    if ask is not None:
        xc, mean, var = moments(x, axes=axes, centred=True)
        if is_moderate(var, 0.0, ask):
            var = var * share(xc, var, correction)
            return xc, mean, sqrt(var) if rooted else var
    u = unit(x, axes=axes, eps=0.0, centred=True)
    xc, mean, var = moments(x * u, axes=axes, centred=True)
    var = var * share(xc, var, correction)
    return xc / u, mean / u, sqrt(var) / u if rooted else var / u / u


def share(xc: Any, var: Any, correction: float) -> float:
    """n / (n - correction). Where nothing is left to divide by it is infinite, or of one value NaN,
    as PyTorch's."""
    n = count(xc, var)
    freedom = n - correction
    return n / freedom if freedom > 0 else math.inf if n > 1 else math.nan
