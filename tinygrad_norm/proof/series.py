"""Arithmetic of power series: what the coefficients of a result are, from those of its parts.

A series is a list of arrays, c[k] the coefficient of tᵏ. A list of one is a constant; all longer
ones of a computation have one length, beyond which nothing is known.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

Series = list[Any]

LARGEST = 64
"""Whole powers up to this are products; a larger one takes the rule for any power."""


def length(*parts: Series) -> int:
    """How many coefficients of a result are known."""
    return min((len(p) for p in parts if len(p) > 1), default=1)


def add(a: Series, b: Series) -> Series:
    """yₖ = aₖ + bₖ"""
    return [(a[k] if k < len(a) else 0) + (b[k] if k < len(b) else 0)
            for k in range(length(a, b))]


def subtract(a: Series, b: Series) -> Series:
    """yₖ = aₖ - bₖ"""
    return [(a[k] if k < len(a) else 0) - (b[k] if k < len(b) else 0)
            for k in range(length(a, b))]


def multilinear(function: Callable[..., Any], *factors: Series) -> Series:
    """For what is linear in each factor: yₖ = Σ f(aᵢ, bⱼ, …) over i + j + … = k."""
    result: list[Any] = [None] * length(*factors)
    for places in itertools.product(*(range(len(f)) for f in factors)):
        k = sum(places)
        if k < len(result):
            part = function(*(f[i] for f, i in zip(factors, places, strict=True)))
            result[k] = part if result[k] is None else result[k] + part
    return result


def multiply(a: Series, b: Series) -> Series:
    """yₖ = Σ aⱼ bₖ₋ⱼ"""
    return multilinear(operator.mul, a, b)


def divide(a: Series, b: Series) -> Series:
    """From a = y b: b₀ yₖ = aₖ - Σ bⱼ yₖ₋ⱼ over 1 <= j <= k"""
    y: Series = []
    for k in range(length(a, b)):
        rest = a[k] if k < len(a) else 0
        for j in range(1, min(k + 1, len(b))):
            rest = rest - b[j] * y[k - j]
        y.append(rest / b[0])
    return y


def power(u: Series, n: Any) -> Series:
    """uⁿ for a constant n: small whole ones by multiplication, also at u = 0.

    Else from u y' = n u' y: k u₀ yₖ = Σ (n j - (k - j)) uⱼ yₖ₋ⱼ over 1 <= j <= k.
    """
    found = np.unique(n)
    if (found == np.rint(found)).all() and (abs(found) <= LARGEST).all():
        y = _whole_power(u, int(found[0]))
        for other in found[1:]:
            y = [np.where(n == other, a, b)
                 for a, b in zip(_whole_power(u, int(other)), y, strict=True)]
        return [c + 0 * n for c in y]  # of the shape of both
    y = [u[0] ** n]
    for k in range(1, len(u)):
        y.append(sum((n * j - (k - j)) * u[j] * y[k - j] for j in range(1, k + 1)) / (k * u[0]))
    return y


def _whole_power(u: Series, n: int) -> Series:
    y: Series = [np.ones_like(u[0])]
    for bit in f"{abs(n):b}":
        y = multiply(y, y)
        y = multiply(y, u) if bit == "1" else y
    y += [np.zeros_like(u[0]) for _ in range(len(u) - len(y))]  # of u⁰
    return divide([np.ones_like(u[0])], y) if n < 0 else y


def risen(k: int, slope: Series, u: Series) -> Any:
    """From y' = slope u': yₖ = Σ j uⱼ slopeₖ₋ⱼ / k over 1 <= j <= k, the slope known below k."""
    return sum(j * u[j] * slope[k - j] for j in range(1, k + 1) if k - j < len(slope)) / k
