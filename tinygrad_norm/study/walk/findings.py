"""What a walk proves, as plain data; ``study.py`` says what it looks like as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .formula import Formula

Values = Any
"""A number, or lists of them, nested as the shape says."""


@dataclass(frozen=True, slots=True)
class Column:
    """The gradients, computed in one way."""

    name: str
    gradients: dict[str, Values]


@dataclass(frozen=True, slots=True)
class Badge:
    """How far one way is from another."""

    of: str
    one: str
    other: str
    verdict: str
    difference: float | None
    scale: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Truth:
    """The gradients in several ways, and how they agree."""

    columns: list[Column]
    badges: list[Badge]


@dataclass(frozen=True, slots=True)
class Part:
    """A way by which x reaches y."""

    name: str
    formula: Formula
    value: Values
    norm: float


@dataclass(frozen=True, slots=True)
class Decomposition:
    """dx as a sum over the ways from x to y."""

    parts: list[Part]
    difference: float


@dataclass(frozen=True, slots=True)
class Wrong:
    """dx with the statistics taken for constants, beside the right one."""

    dx: Values
    norm: float
    right: Values
    right_norm: float
    difference: float
    sums: list[float]
    right_sums: list[float]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the formula says of each set, measured."""

    text: str
    left: list[float]
    right: list[float]
    difference: float


@dataclass(frozen=True, slots=True)
class Direction:
    """A change of x and what is left of it in x̂: |P v| / |v|; None for no direction at all."""

    name: str
    direction: list[float]
    gain: float | None


@dataclass(frozen=True, slots=True)
class Jacobian:
    """∂y_i/∂x_j of the values that are normalized together."""

    set: str
    cells: list[int]
    matrix: Values
    closed: Values
    text: str
    difference: float
    of: str
    eigenvalues: list[float] | None
    expected: list[float]
    dead: list[Direction]
