"""What a recorder is asked for, checked; what its labels are."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from ...autograd.graph import Value

MODEL = "(model)"
"""The label of the model itself."""
WEIGHTS = "parametrizations"
"""Below it stand the modules that compute weights."""


def matching(who: str, patterns: Iterable[str] | str, names: Iterable[str]) -> list[str]:
    """The names that are meant, in their order: by themselves or by patterns as ``"encoder.*"``.

    Raises:
        ValueError: a pattern that means none. TypeError: no text.
    """
    known = list(names)
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"{who}: expected names as text, got {type(pattern).__name__}")
        hits = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
        if not hits:
            near = get_close_matches(pattern, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{who}: expected some of {shown(known)}, got {pattern!r}{hint}")
        found.update(hits)
    return [name for name in known if name in found]


def shown(names: list[str]) -> str:
    """``a, b, c``, or the first of many."""
    return ", ".join(names[:12]) + (f", … ({len(names)})" if len(names) > 12 else "") or "nothing"


def owner(parameter: str) -> str:
    """The label of the layer that a parameter belongs to."""
    path = parameter.split(".")[:-1]
    return ".".join(path[: path.index(WEIGHTS)] if WEIGHTS in path else path) or MODEL


def as_count(name: str, value: Any, least: float) -> int:
    """An int, not below ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"Recorder: expected {name} to be an int, got {type(value).__name__}")
    if operator.index(value) < least:
        raise ValueError(f"Recorder: expected {name} to be {least} or more, got {value}")
    return operator.index(value)


def as_shares(quantiles: Iterable[Any]) -> tuple[float, ...]:
    """Increasing numbers from 0 to 1."""
    shares = tuple(map(float, quantiles))
    if list(shares) != sorted(set(shares)) or not all(0 <= q <= 1 for q in shares):
        raise ValueError("Recorder: expected quantiles to be increasing numbers from 0 to 1, got "
                         f"{shares}")
    return shares


def as_units(units: Mapping[str, Any], modules: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The units of each layer."""
    if not isinstance(units, Mapping):
        raise TypeError("Recorder: expected units to be a dict of a layer's name and its units, "
                        f"got {type(units).__name__}")
    found = {}
    for name, given in units.items():
        numbers = [given] if hasattr(given, "__index__") else list(given)
        (known,) = matching("units", name, [one for one in modules if one == name] or modules)
        found[known] = tuple(as_count("units", unit, -math.inf) for unit in numbers)
    return found


def tensors(value: Any, place: str = "") -> Iterator[tuple[str, Value]]:
    """The tensors in a result, each with its place: nothing, ``[0]``, ``['scores']``."""
    if isinstance(value, Value):
        yield place, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from tensors(one, f"{place}[{key!r}]")
    elif isinstance(value, tuple | list):
        for i, one in enumerate(value):
            yield from tensors(one, f"{place}[{i}]")


def labelled(name: str, place: str, call: int) -> str:
    """``name``, ``name[0]``, ``name (call 2)``."""
    return f"{name}{place}" + (f" (call {call})" if call > 1 else "")
