"""A rule that writes in place: written down once, as calls with ``out=``, and run at each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..backend.array import Array
from ..backend.choose import RECORDS, implements

Rule = Callable[..., tuple[Array, ...]]
SIGNS: dict[np.ufunc, str] = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}
"""Numbers alone are computed with as Python does: NumPy's own would widen float32 arrays."""


class Symbol(np.ndarray):
    """Stands for an array, or for a number, while a rule is written down.

    name:       how it is spelled
    made, last: the lines that make it and that read it last; -1 for none
    home:       the old state that it is the new value of
    due:        of an old state: the line that makes its new value
    """

    lines: list[Line]
    name: str
    is_number: bool
    made: int
    last: int
    home: Symbol | None
    due: int

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        if method != "__call__" or settings:
            return NotImplemented
        result = symbol(self.lines, "", all(getattr(x, "is_number", True) for x in inputs))
        result.made = len(self.lines)
        for x in inputs:
            if isinstance(x, Symbol):
                x.last = result.made
        self.lines.append((ufunc, inputs, result))
        return result

    def __array_function__(self, *args: Any) -> Any:
        return NotImplemented  # it might not be elementwise


Line = tuple[np.ufunc, tuple[Any, ...], Symbol]


def symbol(lines: list[Line], name: str, is_number: bool = False) -> Symbol:
    new = np.ndarray.__new__(Symbol, ())
    new.lines, new.name, new.is_number = lines, name, is_number
    new.made = new.last = new.due = -1
    new.home = None
    return new


@cache
def written(rule: Rule) -> Callable[..., None]:
    """A step of a rule as a formula that writes: into the parameter and its states."""

    def step(p: Array, g: Array, *states: Array, **settings: Any) -> None:
        change, *news = rule(p, g, *states, **settings)
        p -= change
        for old, new in zip(states, news, strict=False):
            old[...] = new

    step.__name__ = rule.__name__
    return step


@dataclass(frozen=True)
class InPlace:
    """What a rule became.

    module:       whose arrays it is for
    update:       ``update(*numbers, p, g, *states, *temporaries)`` writes the new states into the
                  states, and the change of p into the first temporary
    temporaries:  their names; arrays like the states
    reads_p:      whether p is looked at
    text:         the source of ``update``
    """

    module: Any
    update: Callable[..., Any]
    temporaries: list[str]
    reads_p: bool
    text: str


@lru_cache(maxsize=64)
def in_place(
    module: Any, rule: Rule, settings: tuple[tuple[str, Any], ...], numbers: tuple[str, ...],
    states: int,
) -> InPlace:
    """The rule with these settings, of numbers of these names and so many arrays of a state.

    A new state takes the place of the old one, and a temporary that of one that is not read again.
    SGD with momentum becomes::

        def sgd(lr, momentum, p, g, s0, t0):
            multiply(momentum, s0, out=s0)
            add(s0, g, out=s0)
            multiply(lr, s0, out=t0)

    Raises:
        TypeError: something in the rule is not known to be elementwise.
    """
    lines: list[Line] = []
    given = {name: symbol(lines, name, is_number=True) for name in numbers}
    p, g, *olds = (symbol(lines, name) for name in ("p", "g", *(f"s{i}" for i in range(states))))
    change, *news = rule(p, g, *olds, **given, **dict(settings))
    if change.made < 0:
        change = +change
    fresh: list[Symbol] = []  # not an argument, and none of the others
    for old, new in zip(olds, news, strict=False):
        copied = new is not old and (new.made < 0 or any(new is other for other in fresh))
        fresh.append(+new if copied else new)
    for old, new in zip(olds, fresh, strict=False):
        if new is not old:
            new = +new if new.made < old.last else new
            new.home, old.due = old, new.made
    if change.home is not None:
        change = +change
    change.last = len(lines)
    body, temporaries = _written(lines)
    temporaries.sort(key=lambda name: name != change.name)
    arguments = [*numbers, *(x.name for x in (p, g, *olds)), *temporaries]
    text = "\n    ".join([f"def {rule.__name__}({', '.join(arguments)}):", *body])
    space = {name: getattr(module, name) for name in {ufunc.__name__ for ufunc, _, _ in lines}}
    exec(text, space)
    return InPlace(module, space[rule.__name__], temporaries, p.last >= 0, text)


@implements(in_place, RECORDS)
def as_written(
    module: Any, rule: Rule, settings: tuple[tuple[str, Any], ...], numbers: tuple[str, ...],
    states: int,
) -> InPlace:
    """For no arrays: those that record have the rule itself, whose lines become loops."""
    return InPlace(None, rule, [], True, "")


def _written(lines: list[Line]) -> tuple[list[str], list[str]]:
    """The lines as text, and the names of the temporaries."""
    text: list[str] = []
    temporaries: list[str] = []
    free: list[str] = []
    for i, (ufunc, inputs, result) in enumerate(lines):
        spelled = [getattr(x, "name", repr(x)) for x in inputs]
        if result.is_number:
            result.name = f"n{i}"
            text.append(f"{result.name} = {f' {SIGNS[ufunc]} '.join(spelled)}")
            continue
        ending = [x for x in inputs if isinstance(x, Symbol) and x.last == i]
        free += {x.name for x in ending} & {*temporaries}
        places = [x.name for x in ending if x.due == result.last >= 0]
        if result.home is not None:
            result.name = result.home.name
        elif places:  # of an old state, until the new one is made from it
            result.name = places[0]
        elif free:
            result.name = free.pop()
        else:
            result.name = f"t{len(temporaries)}"
            temporaries.append(result.name)
        text.append(f"{ufunc.__name__}({', '.join(spelled)}, out={result.name})")
    return text, temporaries
