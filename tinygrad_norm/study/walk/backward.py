"""The way back: the engine's walk, looked on at, as named parts, forks and sums.

A gradient is called d and its value's name. Where a value is used several times the parts that
arrive are numbered in the order of their arrival: with the stages of BatchNorm these are the names
of Kratzert's 2016 walk, dxmu1 + dxmu2 and dx1 + dx2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.graph import Node, Value
from ...autograd.observer import Observer
from ...autograd.walk import walk
from .formula import Formula, Sums, formula
from .study import Fork, Gradient, Read


class Told(NamedTuple):
    """What is to be said of the gradient that an operation gives back to one of its inputs."""

    expression: str
    reads: Sequence[Read]
    sums: Sums


Tell = Callable[[Node, int, Sequence[str], bool], Told]
"""Of a node's input, given the outputs that a gradient came to, and whether broadcasting was undone
in it."""


class Event(NamedTuple):
    """Something that happens on the way back, before it has a name: a part, or a sum (None)."""

    of: str
    through: str
    told: Told | None
    value: np.ndarray


class _Events(Observer):
    """Writes down what happens.

    names:   of each edge's value
    counts:  how many parts arrived at a value
    """

    def __init__(self, names: Mapping[Any, str], tell: Tell) -> None:
        self.names = names
        self.tell = tell
        self.counts: Counter[str] = Counter()
        self.events: list[Event] = []
        self._given: list[str] = []

    def node(self, node: Node, dys: list[Any]) -> None:
        self._given = []
        for i, dy in enumerate(dys):
            if dy is not None:
                name = self.names[node, i]
                self._given.append(name)
                if self.counts[name] > 1:
                    self.events.append(Event(name, "", None, dy))

    def flow(self, node: Node, i: int, gradient: Any) -> Any:
        value = super().flow(node, i, gradient)
        of = self.names[node.edges[i]]
        self.counts[of] += 1
        told = self.tell(node, i, self._given, value.size < gradient.size)
        self.events.append(Event(of, self._given[0], told, value))
        return value


def backward(
    y: Value, given: np.ndarray, names: Mapping[Any, str], tell: Tell, first: int
) -> tuple[list[Gradient], list[Fork]]:
    """Every gradient from the one given to y on, and the forks; the steps count from ``first``."""
    seen = _Events(names, tell)
    leaves = walk([(y.edge, given)], graph=False, keep=True, seen=seen)
    for leaf, total in leaves.items():
        name = names[leaf]
        if seen.counts[name] > 1:  # the sum stands behind the last part
            last = max(i for i, e in enumerate(seen.events) if e.of == name)
            seen.events.insert(last + 1, Event(name, "", None, total))
    return _named(seen, names[y.edge], given, first)


def _named(
    seen: _Events, output: str, given: np.ndarray, first: int
) -> tuple[list[Gradient], list[Fork]]:
    """The events with their names, as gradients and forks."""
    arrived: Counter[str] = Counter()
    result = [_gradient(f"d{output}", output, "", "given", None, given, [], first)]
    forks = []
    for of, through, told, value in seen.events:
        step = first + len(result)
        whole = f"d{of}"
        many = seen.counts[of] > 1
        if told is None:
            parts = [f"{whole}{k + 1}" for k in range(seen.counts[of])]
            forks.append(Fork(of, parts, whole, step))
            result.append(_gradient(
                whole, of, "", "sum", formula(whole, " + ".join(parts), {}), value,
                [Read(part) for part in parts], step))
            continue
        arrived[of] += 1
        name = f"{whole}{arrived[of]}" if many else whole
        result.append(_gradient(
            name, of, through, "part" if many else "whole",
            formula(name, told.expression, told.sums), value, told.reads, step))
    return result, forks


def _gradient(
    name: str, of: str, through: str, kind: str, formula: Formula | None, value: np.ndarray,
    reads: Sequence[Read], step: int,
) -> Gradient:
    return Gradient(name, of, through, kind, formula, list(value.shape), value.tolist(),
                    bool(np.isfinite(value).all()), list(reads), step)
