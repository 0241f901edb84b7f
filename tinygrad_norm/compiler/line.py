"""What a recording is made of: lines, draws, and sums of Python numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Where = tuple[tuple[str, int], tuple[str, int]]
"""(file, line) of the user's innermost frame, and of the package's."""


class Slot(int):
    """An array of a recording, by its number."""


class NumberSlot(int):
    """A Python number of a recording, by its number."""


class Line(NamedTuple):
    """One call: ``out = function(*args, **settings)``.

    function:  a function of NumPy's or of ``operator``, or a method: it has ``.method``, its name
    args:      arrays as Slot, numbers as NumberSlot; tuples, lists and slices of them; plain values
    settings:  the keyword arguments, likewise
    out:       the slot of the result, a list for several; None for a write in place, into
               ``settings["out"]`` or else ``args[0]``
    where:     the lines of Python that it came from
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    settings: dict[str, Any]
    out: Slot | list[Slot] | None
    where: Where

    def made(self) -> list[Slot]:
        """The slots of what it makes."""
        return self.out if isinstance(self.out, list) else [] if self.out is None else [self.out]

    def slots(self) -> set[Slot]:
        """The slots of what it reads or writes in place."""
        return {one for one in _within((self.args, self.settings)) if isinstance(one, Slot)}

    def numbers(self) -> set[NumberSlot]:
        """The numbers that it reads."""
        return {one for one in _within((self.args, self.settings)) if isinstance(one, NumberSlot)}


def _within(value: Any) -> Iterator[Any]:
    """What stands in tuples, lists, dicts and slices."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, slice):
        value = [value.start, value.stop, value.step]
    if isinstance(value, tuple | list):
        for one in value:
            yield from _within(one)
    else:
        yield value


class Draw(NamedTuple):
    """An input that is drawn anew for each run: ``getattr(random, law)(*arguments)`` in dtype."""

    random: np.random.Generator
    law: str
    arguments: tuple[Any, ...]
    dtype: Any
    slot: Slot


class Sum(NamedTuple):
    """One step of Python's arithmetic before a run: a number, or an answer that must not change.

    slot:    of the result; None for a question
    answer:  what a question was answered with
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    slot: NumberSlot | None
    answer: Any
    where: Where
