"""What a row of the table of operations is, and where its inputs lie."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

R, S = (2, 3), (2, 3, 4)
"""The usual shapes."""


@dataclass(frozen=True)
class Case:
    """One row. ``smooth``: it has derivatives. ``torch``: PyTorch has it under the same name."""

    name: str
    function: Callable[..., Any]
    expected: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domains: str = "real"
    smooth: bool = True
    torch: bool = True

    def inputs(self) -> list[np.ndarray]:
        """float64 arrays, the same on each call."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        names = self.domains.split()
        names = names * len(self.shapes) if len(names) == 1 else names
        return [DOMAINS[n](random, s) for n, s in zip(names, self.shapes, strict=True)]


def _signed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.uniform(0.6, 1.8, shape) * random.choice([-1, 1], shape)


def _distinct(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """At least 0.4 apart and 0.2 from zero: no maximum changes hands within a small step."""
    n = math.prod(shape)
    return (random.permutation(n) * 0.4 - 0.4 * (n // 2) + 0.2).reshape(shape)


def _zeros(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """With exact zeros: the first of every three, so that some rows have two."""
    x = random.uniform(0.5, 1.5, shape)
    x.reshape(-1)[::3] = 0
    return x


DOMAINS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "real": lambda random, shape: random.uniform(-1.5, 1.5, shape),
    "positive": lambda random, shape: random.uniform(0.6, 2.0, shape),
    "above-1": lambda random, shape: random.uniform(-0.4, 2.0, shape),
    "signed": _signed,  # away from zero
    "distinct": _distinct,
    "shifted": lambda random, shape: _distinct(random, shape) + 0.2,  # and from "distinct" ones
    "zeros": _zeros,
}


def erf(x: Any) -> Any:
    """The Taylor series, good for |x| < 3 in any precision."""
    x = np.asarray(x)
    term, total = x, x
    for n in range(1, 90):
        term = -term * x * x / n
        total = total + term / (2 * n + 1)
    return total * 2 / np.sqrt(pi(x))


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


def pi(x: Any) -> Any:
    return np.arctan(whole(1, x)) * 4


def whole(n: int, x: Any) -> Any:
    """An integer in the precision of x, to make constants of."""
    return np.full((), n, x.dtype)


def close(ours: Any, theirs: Any) -> None:
    """Our tensor has the shape and the values of PyTorch's."""
    expected = theirs.detach().numpy()
    got = ours.detach().numpy()
    assert got.shape == expected.shape
    scale = np.max(np.abs(expected), initial=1e-3) if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * scale)
