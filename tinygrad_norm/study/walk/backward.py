"""The way back: from stages that know their own gradients to named parts, forks and sums.

A gradient is called d and its value's name. Where a value is used several times the parts that
arrive are numbered in the order of their arrival: with the stages of BatchNorm these are the names
of Kratzert's 2016 walk, dxmu1 + dxmu2 and dx1 + dx2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .formula import Formula, Sums, formula
from .study import Fork, Gradient, Read

Pull = Callable[[Mapping[str, np.ndarray]], Sequence["Pulled"]]


class Pulled(NamedTuple):
    """What a stage gives back to one of its inputs, and the expression of it."""

    of: str
    expression: str
    value: np.ndarray
    reads: Sequence[Read]
    sums: Sums


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the way forward: the values it makes, and the gradients it gives back.

    ``pull`` gets the gradients of the outputs by the outputs' names; those that nothing came back
    to are missing.
    """

    outputs: tuple[str, ...]
    pull: Pull


class Event(NamedTuple):
    """Something that happens on the way back, before it has a name: a part, or a sum (None)."""

    of: str
    through: str
    pulled: Pulled | None
    value: np.ndarray


def backward(
    stages: Sequence[Stage], output: str, given: np.ndarray, first: int
) -> tuple[list[Gradient], list[Fork]]:
    """Every gradient from that of ``output`` on, and the forks; the steps count from ``first``."""
    events = _events(stages, output, given)
    counts = Counter(e.of for e in events if e.pulled is not None)
    arrived: Counter[str] = Counter()
    result = [_gradient(f"d{output}", output, "", "given", None, given, [], first)]
    forks = []
    for event in events:
        of, pulled, step = event.of, event.pulled, first + len(result)
        whole = f"d{of}"
        if pulled is None:
            parts = [f"{whole}{k + 1}" for k in range(counts[of])]
            forks.append(Fork(of, parts, whole, step))
            result.append(_gradient(
                whole, of, "", "sum", formula(whole, " + ".join(parts), {}), event.value,
                [Read(part) for part in parts], step))
            continue
        arrived[of] += 1
        many = counts[of] > 1
        name = f"{whole}{arrived[of]}" if many else whole
        result.append(_gradient(
            name, of, event.through, "part" if many else "whole",
            formula(name, pulled.expression, pulled.sums), event.value, pulled.reads, step))
    return result, forks


def _events(stages: Sequence[Stage], output: str, given: np.ndarray) -> list[Event]:
    made = {name for stage in stages for name in stage.outputs}
    held: dict[str, list[np.ndarray]] = {output: [given]}
    events: list[Event] = []
    for stage in reversed(stages):
        found = {}
        for name in stage.outputs:
            if name in held:
                found[name] = _summed(name, held[name], events)
        if not found:
            continue
        through = next(iter(found))
        for pulled in stage.pull(found):
            held.setdefault(pulled.of, []).append(pulled.value)
            events.append(Event(pulled.of, through, pulled, pulled.value))
    for name in [name for name in held if name not in made]:  # leaves: when the last part is there
        last = max(i for i, e in enumerate(events) if e.of == name)
        tail = events[last + 1:]
        del events[last + 1:]
        _summed(name, held[name], events)
        events += tail
    return events


def _summed(name: str, parts: list[np.ndarray], events: list[Event]) -> np.ndarray:
    total = parts[0]
    if len(parts) > 1:
        for part in parts[1:]:
            total = total + part
        events.append(Event(name, "", None, total))
    return total


def _gradient(
    name: str, of: str, through: str, kind: str, formula: Formula | None, value: np.ndarray,
    reads: Sequence[Read], step: int,
) -> Gradient:
    return Gradient(name, of, through, kind, formula, list(value.shape), value.tolist(),
                    bool(np.isfinite(value).all()), list(reads), step)
