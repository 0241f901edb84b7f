"""Print the series of tinygrad_norm/backend/normal.py: ``python docs/normal.py``.

``mpmath.chebyfit`` computes a function with 40 digits and interpolates it at the Chebyshev points
of its interval: the error is within a small factor of the least that a polynomial can have. Its
coefficients, the constant first, are rounded to float64.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

from mpmath import chebyfit, erf, erfc, exp, extradps, findroot, log, mpf, nint, pi, sqrt, workdps

OFFSET = mpf(15) / 16
"""Is added to logarithms, so that they are small, and taken from the other exponent."""


def tail(t: Any) -> Any:
    """Q(t) = 1 - Φ(t)"""
    return erfc(t / sqrt(2)) / 2


def excess(t: Any) -> Any:
    """V(t) = Q(t) - t φ(t)"""
    return tail(t) - t * exp(-t * t / 2) / sqrt(2 * pi)


def series(function: Callable[[Any], Any], low: Any, high: Any, degree: int) -> list[Any]:
    with warnings.catch_warnings():  # from 1.4 on mpmath wants asc=True, which 1.3 has not
        warnings.simplefilter("ignore", DeprecationWarning)
        return list(reversed(chebyfit(function, [low, high], degree + 1)))


def exponent(function: Callable[[Any], Any], low: float, centre: float, degree: int) -> list[Any]:
    """ln function(t) + t²/2 + OFFSET for t from low to 39, in powers of (t - c) / (t + c)."""
    c = mpf(centre)

    def of_q(q: Any) -> Any:
        t = c * (1 + q) / (1 - q)
        with extradps(20):
            return log(function(t)) + t * t / 2 + OFFSET

    return series(of_q, (low - c) / (low + c), (39 - c) / (39 + c), degree)


def in_quotient(function: Callable[[Any], Any], degree: int) -> list[Any]:
    """function(t) for t from 0 to 14.5, where float32 ends, in powers of (t - 4) / (t + 4)."""
    def of_q(q: Any) -> Any:
        with extradps(40):
            return function(4 * (1 + q) / (1 - q))

    return series(of_q, mpf(-1), mpf(10.5) / mpf(18.5), degree)


def tables() -> dict[str, list[Any]]:
    """The constants of normal.py by their names."""
    root = findroot(excess, 0.75)
    scale = 128 * log(2)
    high = nint(scale * 2**20) / 2**20
    return {
        "ERF": series(lambda w: erf(sqrt(w)) / sqrt(w) - 1, mpf(0), mpf(1), 13),
        "NEAR": series(lambda u: tail(1 - u), mpf(0), mpf(1), 16),
        "FAR": exponent(lambda t: t * tail(t), 1, 1.5, 24),
        "SLOPE": exponent(lambda t: excess(t) / (root - t), 0, 4, 22),
        "SHORT_ERF": series(lambda w: erf(sqrt(w)) / sqrt(w) - 1, mpf(0), mpf(1), 6),
        "SHORT_TAIL": in_quotient(lambda t: exp(t * t / 2) * tail(t) * (t + 4), 9),
        "SHORT_SLOPE": in_quotient(lambda t: exp(t * t / 2) * excess(t) / (root - t), 9),
        "SCALE": [high - OFFSET, scale - high],
        "ROOT": [root, root - mpf(float(root))],
    }


def text() -> str:
    """The tables as they stand in normal.py."""
    lines = []
    with workdps(40):
        for name, values in tables().items():
            row = f"{name} = ("
            for value in values:
                part = f"{float(value)!r}, "
                if len(row + part) > 100:
                    lines.append(row.rstrip())
                    row = "    "
                row += part
            lines.append(row.removesuffix(", ") + ")")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(text() + "\n")
