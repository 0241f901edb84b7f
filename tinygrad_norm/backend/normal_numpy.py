"""``normal.py`` for NumPy: in blocks that stay in the cache, and in float32 from tables.

A formula of ``normal.py`` takes about 80 passes over an array. In float32 erf, GELU and its
derivative take 20: tables, which the formulas fill, have values and derivatives at every STEP, and
Taylor's series leads from the nearest of these to x. The correction is at most 1.5 % of what is
looked up, so that its rounding does not count. Of all float32 tried, erf was within 0.51 units in
the last place of its exact value, the others within 2.7. Where x lies and how values are spread
changes neither that nor, but for subnormal numbers, the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import normal
from .choose import implements

BLOCK = 3 << 13
"""So many values at a time."""
STEP = 2.0**-10
END = 15.0
"""In float32 the tails are 0 from here on."""
UNIT = 2.0**32
"""What the tables are multiplied by: the smallest numbers of float32 have few digits."""
NEAREST = 1.5 * 2**23 * STEP
"""A float32 from -END to END plus this is rounded to a multiple of STEP, and the difference of two
such sums, read as integers, is the number of steps between them."""
AT_0 = int(np.float32(NEAREST).view(np.int32))
AT_MINUS_END = AT_0 - round(END / STEP)

# the zero of the derivative is one of the points of its tables: there no rounding error is left
OFF = normal.ROOT[0] - round(normal.ROOT[0] / STEP) * STEP
OFF_HIGH = float(np.float32(OFF))
OFF_LOW = OFF - OFF_HIGH + normal.ROOT[1]


def by_blocks(work: Callable[[np.ndarray, np.ndarray], None], x: np.ndarray) -> np.ndarray:
    """y, of the shape and dtype of x, after ``work(part of x, part of y)`` for all parts."""
    if x.flags.fnc:
        return by_blocks(work, x.T).T
    y = np.empty(x.shape, x.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    for i in range(0, x.size, BLOCK):
        work(source[i : i + BLOCK], target[i : i + BLOCK])
    return y


def in_blocks(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The same formula, which is elementwise, block by block."""
    return lambda x, **settings: by_blocks(
        lambda part, y: np.copyto(y, formula(part, **settings)), x)


def in_float32(
    formula: Callable[..., Any], block: Callable[..., None]
) -> Callable[[np.ndarray], np.ndarray]:
    """``block`` for float32 and float16, with room for temporaries; ``formula`` for float64."""
    wide = in_blocks(formula)

    def compute(x: np.ndarray) -> np.ndarray:
        if x.dtype.itemsize > 4:
            return wide(x)
        n = min(BLOCK, x.size)
        room, index = np.empty((4, n), np.float32), np.empty(n, np.intp)

        def work(part: np.ndarray, y: np.ndarray) -> None:
            block(part, y, index[: part.size], *room[:, : part.size])

        return by_blocks(work, x.astype(np.float32, copy=False)).astype(x.dtype, copy=False)

    return compute


def locate(t: np.ndarray, index: np.ndarray, p: np.ndarray, d: np.ndarray, room: np.ndarray,
           begin: int) -> None:
    """p + d = t, p the nearest multiple of STEP, and its number, less that of begin.

    p comes as NEAREST plus t, or plus what else the multiple shall be nearest to.
    """
    np.subtract(p.view(np.int32), begin, out=room.view(np.int32))
    np.copyto(index, room.view(np.int32))
    p -= NEAREST
    np.subtract(t, p, out=d)


def tables(*functions: Callable[[np.ndarray], np.ndarray], first: float, offset: float = 0.0
           ) -> list[np.ndarray]:
    points = np.arange(first, END + STEP, STEP) + offset
    return [(f(points) * UNIT).astype(np.float32) for f in functions]


def half_density(x: np.ndarray) -> np.ndarray:
    return normal.gaussian(x, rate=0.5, scale=0.5 / math.sqrt(2 * math.pi))


@cache
def gelu_tables() -> list[np.ndarray]:
    """Q(t) and φ(t) / 2 for t from 0 on"""
    return tables(normal.upper_tail, half_density, first=0.0)


def gelu_block(x: np.ndarray, y: np.ndarray, index: np.ndarray, t: np.ndarray, p: np.ndarray,
               d: np.ndarray, q: np.ndarray) -> None:
    """y = max(x, 0) - t Q(t), Q(p + d) = Q(p) - φ(p) d (1 - p d / 2)"""
    tail, density = gelu_tables()
    np.clip(x, -END, END, out=t)
    np.abs(t, out=t)
    np.add(t, NEAREST, out=p)
    locate(t, index, p, d, q, AT_0)
    p *= d
    np.subtract(2.0, p, out=p)
    p *= d
    p *= np.take(density, index, out=q, mode="clip")
    np.take(tail, index, out=q, mode="clip")
    q -= p
    q *= t
    q *= 1 / UNIT
    y.fill(0)  # with an array maximum takes a third of its time with a number
    np.maximum(y, x, out=y)
    y -= q


@cache
def slope_tables() -> list[np.ndarray]:
    """gelu'(x), gelu''(x), gelu'''(x) / 2 for x from -END on"""
    return tables(normal.gelu_slope, normal.gelu_curvature,
                  lambda x: half_density(x) * x * (x * x - 4), first=-END, offset=-OFF)


def slope_block(x: np.ndarray, y: np.ndarray, index: np.ndarray, t: np.ndarray, p: np.ndarray,
                d: np.ndarray, c: np.ndarray) -> None:
    """y = gelu'(p) + d (gelu''(p) + d gelu'''(p) / 2)"""
    value, first, second = slope_tables()
    np.clip(x, -END, END, out=t)
    np.add(t, OFF, out=p)
    p += NEAREST
    locate(t, index, p, d, c, AT_MINUS_END)
    d += OFF_HIGH
    d += OFF_LOW
    np.take(second, index, out=c, mode="clip")
    c *= d
    c += np.take(first, index, out=t, mode="clip")
    c *= d
    c += np.take(value, index, out=t, mode="clip")
    np.multiply(c, 1 / UNIT, out=y)


@cache
def erf_tables() -> list[np.ndarray]:
    """S(t) = erf(t) / t in float64, S'(t), S''(t) / 2 for t from 0 on"""
    points = np.arange(0, END + STEP, STEP)
    value = normal.erf(points + 2.0**-60) / (points + 2.0**-60)
    first = np.gradient(value, STEP, edge_order=2)
    second = np.gradient(first, STEP, edge_order=2) / 2
    return [value, first.astype(np.float32), second.astype(np.float32)]


def erf_block(x: np.ndarray, y: np.ndarray, index: np.ndarray, t: np.ndarray, p: np.ndarray,
              d: np.ndarray, c: np.ndarray) -> None:
    """y = x S(t), S(p + d) = S(p) + d (S'(p) + d S''(p) / 2)"""
    value, first, second = erf_tables()
    np.clip(x, -END, END, out=y)
    np.abs(y, out=t)
    np.add(t, NEAREST, out=p)
    locate(t, index, p, d, c, AT_0)
    np.take(second, index, out=c, mode="clip")
    c *= d
    c += np.take(first, index, out=t, mode="clip")
    c *= d
    wide = value.take(index, mode="clip")  # in float32 the sum and the product would cost 2 ulp
    wide += c
    wide *= y
    np.copyto(y, wide, casting="same_kind")


for formula in (normal.gelu_curvature, normal.gaussian):
    implements(formula, np.ndarray)(in_blocks(formula))
implements(normal.gelu, np.ndarray)(in_float32(normal.gelu, gelu_block))
implements(normal.gelu_slope, np.ndarray)(in_float32(normal.gelu_slope, slope_block))
implements(normal.erf, np.ndarray)(in_float32(normal.erf, erf_block))
