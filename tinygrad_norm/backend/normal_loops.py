"""``normal.py`` in float32 alone, for arrays that record: loops go over twice as many at a time.

With t = |x|, e^(-t²/2) is taken apart so that no digit of a large t² is lost, and what remains of
the tail is a smooth function of t that only grows or only falls:

    Q(t) = e^(-t²/2) S(t) / (t + 4)        V(t) = Q(t) - t φ(t) = e^(-t²/2) (ROOT - t) U(t)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from . import normal
from .array import Array, array_module
from .choose import RECORDS, implements

END = 15.0
"""In float32 the tails are 0 from here on."""
FAR = 6.0
LOWER = 2.0**-64
"""Beyond FAR exponentials are larger by its inverse, so that the smallest results keep all their
digits until the last product."""
TO_256TH = 1.5 * 2**15
"""Added and taken away again, it rounds to a multiple of 1/256."""
HIGH = round(64 * math.log(2) * 2**16) * 2.0**-16
LOW = 64 * math.log(2) - HIGH


def short(wide: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a formula serve float32 and float16, and ``wide`` float64, where arrays record."""

    def declare(formula: Callable[..., Any]) -> Callable[..., Any]:
        def compute(x: Array, **settings: float) -> Array:
            if x.dtype.char == "f":
                return formula(x, **settings)
            if x.dtype.char == "e":
                return formula(x.astype("float32"), **settings).astype(x.dtype)
            return wide(x, **settings)

        return implements(wide, RECORDS)(compute)

    return declare


def raised_exp(t: Array, rate: float = 0.5, far: Any = 1.0) -> Array:
    """e^(-rate t²) for t from 0 to END, where ``far`` is 1 by 2^64 larger: of t = a + b, a² and
    HIGH - rate a² are exact, and of the small rest, b (t + a), a few powers are enough."""
    a = (t + TO_256TH) - TO_256TH
    e = array_module(t).exp(far * HIGH - a * a * rate)
    s = far * LOW - (t - a) * (t + a) * rate
    return e + e * (s + s * s * (0.5 + s * (1 / 6 + s * (1 / 24))))


def with_exp(t: Array, factor: Array | float, rate: float = 0.5) -> Array:
    """e^(-rate t²) factor, of which e^0 is exactly 1."""
    far = t > FAR
    y = raised_exp(t, rate, far.astype(t.dtype)) * factor
    return array_module(t).where(far, y * LOWER, y)


@short(normal.erf)
def erf(x: Array) -> Array:
    """x + x P(x²) up to 1, 1 - 2 Q(√2 x) beyond"""
    module = array_module(x)
    t = normal.size(x, 4.0)
    small = module.minimum(t, 1.0)
    near = small * normal.polynomial(normal.SHORT_ERF, small * small) + small
    share = 1 / (t * math.sqrt(2) + 4)
    tail = normal.polynomial(normal.SHORT_TAIL, 1 - 8 * share) * share
    far = 1 - 2 * (module.exp(-t * t) * tail)
    return module.copysign(module.where(t < 1, near, far), x)


@short(normal.gelu)
def gelu(x: Array) -> Array:
    """max(x, 0) - t Q(t)"""
    t = normal.size(x, END)
    share = t / (t + 4)
    tail = normal.polynomial(normal.SHORT_TAIL, 2 * share - 1)
    return array_module(x).maximum(x, 0.0) - raised_exp(t) * share * tail * LOWER


@short(normal.gelu_slope)
def gelu_slope(x: Array) -> Array:
    """V(t) where x < 0, else 1 - V(t)"""
    t = normal.size(x, END)
    high = round(normal.ROOT[0] * 2**24) * 2.0**-24
    smooth = normal.polynomial(normal.SHORT_SLOPE, normal.quotient(t, 4.0))
    v = with_exp(t, (high - t + (normal.ROOT[0] - high)) * smooth)
    return array_module(x).where(x < 0, v, 1 - v)


@short(normal.gelu_curvature)
def gelu_curvature(x: Array) -> Array:
    """φ(t) (2 - t²), the difference in float64: there the square is exact"""
    t = normal.size(x, END)
    wide = t.astype("float64")
    factor = ((2 - wide * wide) / math.sqrt(2 * math.pi)).astype(x.dtype)
    return with_exp(t, factor)


@short(normal.gaussian)
def gaussian(x: Array, *, rate: float, scale: float) -> Array:
    """scale exp(-rate x²), rate 1 or 1/2"""
    return with_exp(normal.size(x, END), scale, rate)
