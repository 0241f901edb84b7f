"""A Python number that records what is computed with it.

It stands for a number that another run may give another value: a learning rate, an argument. With
an array it is part of a line; with numbers Python computes it before each run. A comparison is
answered with the value of now, and what needs the very value (``float``, ``math.sqrt``, a key of a
dict) gets it: then each run first sees whether the answer is still the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from .recording import NumberSlot, Recording, Sum, frames


class Number:
    """A float or an int of a recording.

    value:  the one of now
    """

    __array_ufunc__ = None  # NumPy's arrays leave it to the recording ones
    __slots__ = ("recording", "slot", "value")

    def __init__(self, recording: Recording, slot: NumberSlot, value: Any) -> None:
        self.recording, self.slot, self.value = recording, slot, value

    # isinstance(number, float) is true, as of what it stands for
    __class__ = property(lambda self: type(self.value))

    def known(self) -> Any:
        """The value, which from here on must stay what it is."""
        if not self.recording.closed:
            self.recording.arithmetic.append(
                Sum(operator.pos, (self.slot,), None, self.value, frames()))
        return self.value

    def __float__(self) -> float:
        return float(self.known())

    def __int__(self) -> int:
        return int(self.known())

    def __index__(self) -> int:
        return operator.index(self.known())

    def __bool__(self) -> bool:
        return bool(_asked(operator.ne, self, 0))

    def __hash__(self) -> int:
        return hash(self.known())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.known(), digits)

    def __getattr__(self, name: str) -> Any:  # is_integer, real, ...
        return getattr(self.known(), name)

    def __repr__(self) -> str:
        return repr(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __deepcopy__(self, memo: Any) -> Number:
        return self


def given_number(recording: Recording, value: Any) -> Number:
    """A number that each run is given."""
    slot = recording.number()
    recording.numbers.append(slot)
    return Number(recording, slot, value)


def _operands(*values: Any) -> tuple[Recording | None, list[Any], list[Any]] | None:
    """The recording if it goes on, the values, and what stands for them; None of other kinds."""
    recording, now, spelt = None, [], []
    for value in values:
        if type(value) is Number:
            now.append(value.value)
            spelt.append(value.value if value.recording.closed else value.slot)
            recording = recording if value.recording.closed else value.recording
        elif type(value) in (float, int, bool):
            now.append(value)
            spelt.append(value)
        else:
            return None
    return recording, now, spelt


def _computed(function: Callable[..., Any], *values: Any) -> Any:
    found = _operands(*values)
    if found is None:
        return NotImplemented
    recording, now, spelt = found
    value = function(*now)
    if recording is None:
        return value
    slot = recording.number()
    recording.arithmetic.append(Sum(function, tuple(spelt), slot, None, frames()))
    return Number(recording, slot, value)


def _asked(function: Callable[..., Any], *values: Any) -> Any:
    found = _operands(*values)
    if found is None:
        return NotImplemented
    recording, now, spelt = found
    answer = function(*now)
    if recording is not None:
        recording.arithmetic.append(Sum(function, tuple(spelt), None, answer, frames()))
    return answer


def _method(way: Any, function: Any, *, reverse: bool = False) -> Any:
    if reverse:
        return lambda self, other: way(function, other, self)
    return lambda self, *other: way(function, self, *other)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    _function = getattr(operator, _name)
    setattr(Number, f"__{_name}__", _method(_computed, _function))
    setattr(Number, f"__r{_name}__", _method(_computed, _function, reverse=True))
for _name in ("neg", "pos", "abs"):
    setattr(Number, f"__{_name}__", _method(_computed, getattr(operator, _name)))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Number, f"__{_name}__", _method(_asked, getattr(operator, _name)))
for _name in ("floor", "ceil", "trunc"):
    setattr(Number, f"__{_name}__", _method(_computed, getattr(math, _name)))
