"""What is written down of a step: its lines, and what they read, write and return.

A recording is data. Arrays are named by :class:`Slot`, Python numbers that may change from run to
run by :class:`NumberSlot`; ``traced.py`` has the arrays that write it, ``plain.py`` runs it again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..backend.array import Device, home
from ..kinds import is_inside
from .line import Draw as Draw
from .line import Line as Line
from .line import NumberSlot as NumberSlot
from .line import Slot as Slot
from .line import Sum as Sum
from .line import Where as Where

DEVICE = Device("compiled")
"""Where the arrays of a recording lie."""

class Unsupported(Exception):
    """What was recorded cannot be run in this way; the reason, in words."""


ASK_LATER = "return the tensor, and ask there"


class Question(RuntimeError):
    """What depends on the values of an array was asked for while a step was recorded.

    what:   what was asked for, in words
    where:  by which lines
    """

    def __init__(self, what: str, cure: str = ASK_LATER) -> None:
        self.what, self.where = what, frames()
        (file, line), _ = self.where
        verb = "are" if what.startswith("the values") else "is"
        super().__init__(f"{file}:{line}: {what} {verb} asked for, which {verb} not known when a "
                         f"step is compiled; {cure}")


def call(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Its result."""
    return function(*args, **settings)


class Recording:
    """Lines, in the order in which they were called.

    meta:        (shape, dtype) of each slot
    alias:       the slots whose memory the array of a slot shares
    inputs:      arrays given to each run, in that order: state, arguments, then what is drawn
    constants:   host data that was made on the way, as it was then
    outputs:     what a run returns, as new arrays
    guards:      conditions, of one value each, with the answer that they had
    numbers:     the Python numbers given to each run, in order
    read:        those among them that are the value of an input of one value
    arithmetic:  what Python computes from them before a run
    draws:       the inputs that are drawn
    names:       of inputs, for messages; ``called``: of numbers
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.meta: dict[Slot, tuple[tuple[int, ...], np.dtype]] = {}
        self.alias: dict[Slot, list[Slot]] = {}
        self.inputs: list[Slot] = []
        self.constants: dict[Slot, np.ndarray] = {}
        self.outputs: list[Slot] = []
        self.guards: list[tuple[Slot, bool]] = []
        self.numbers: list[NumberSlot] = []
        self.read: dict[NumberSlot, Slot] = {}
        self.arithmetic: list[Sum] = []
        self.draws: list[Draw] = []
        self.names: dict[Slot, str] = {}
        self.called: dict[NumberSlot, str] = {}
        self.count = 0
        """How many NumberSlots there are: a run gets a list with the value of each."""
        self.closed = False
        self.compute: Callable[..., Any] = call
        """How a call's result is found: by calling, or by its shape alone (``shapes.shaped``)."""
        self.met: Callable[[np.ndarray], None] | None = None
        """Told of each plain array that is met, before it becomes a constant."""
        self._roots: dict[Slot, frozenset[Slot]] = {}
        self._written: set[Slot] = set()
        self._known: dict[int, tuple[np.ndarray, Slot]] = {}
        self._states: list[tuple[np.random.Generator, Any]] = []

    # -- what happens ----------------------------------------------------------------------------

    def slot(self, array: np.ndarray, of: Sequence[Slot] = ()) -> Slot:
        """A new slot for ``array``, which shares its memory with those of the slots ``of``."""
        slot = Slot(len(self.meta))
        self.meta[slot] = array.shape, array.dtype
        self.alias[slot] = list(of)
        self._roots[slot] = frozenset().union(*map(self.roots, of)) or frozenset((slot,))
        return slot

    def line(self, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any],
             out: Slot | list[Slot] | None) -> None:
        """Write one down."""
        if out is None:
            self._write(settings, args)
        self.lines.append(Line(function, args, settings, out, frames()))

    def _write(self, settings: dict[str, Any], args: tuple[Any, ...]) -> None:
        target = settings.get("out", args[0])
        for one in target if isinstance(target, tuple) else (target,):
            self._written |= self.roots(one)

    def input(self, array: np.ndarray, name: str = "") -> Slot:
        """An array that each run is given."""
        slot = self.slot(array)
        self.inputs.append(slot)
        self.names[slot] = name
        return slot

    def constant(self, array: np.ndarray) -> Slot:
        """Host data that stays the same from run to run."""
        if id(array) not in self._known:
            if self.met is not None:
                self.met(array)
            slot = self.slot(array)
            self.constants[slot] = array.copy()
            self._known[id(array)] = array, slot  # held, so that the id stays its own
        return self._known[id(array)][1]

    def number(self) -> NumberSlot:
        """A new slot for a number; whoever gives it to each run appends it to ``numbers``."""
        self.count += 1
        return NumberSlot(self.count - 1)

    def draw(self, random: np.random.Generator, law: str, arguments: tuple[Any, ...],
             dtype: Any) -> tuple[np.ndarray, Slot]:
        """What is drawn now, and the input that it becomes."""
        if all(one is not random for one, _ in self._states):
            self._states.append((random, random.bit_generator.state))
        drawn = np.asarray(getattr(random, law)(*arguments)).astype(dtype, copy=False)
        slot = self.input(drawn, f"drawn by {law}")
        self.draws.append(Draw(random, law, arguments, dtype, slot))
        return drawn, slot

    def depends(self, arrays: Sequence[Any], what: str, cure: str = ASK_LATER) -> None:
        """What follows depends on the values of arrays that record.

        Raises:
            Question: another run may find others.
        """
        for slot in (array.slot for array in arrays):
            if self.is_written(slot) or not self.constants.keys() >= self.roots(slot):
                raise Question(what, cure)

    def part(self, lines: Sequence[Line], inputs: Sequence[Slot], outputs: Sequence[Slot]
             ) -> Recording:
        """A recording of some of the lines, with the same numbers; arrays made before are inputs.
        """
        one = Recording()
        one.meta, one.numbers, one.count, one.closed = self.meta, self.numbers, self.count, True
        one.arithmetic, one.read = self.arithmetic, self.read
        one.inputs, one.outputs = [*inputs], [*outputs]
        one.constants = {slot: array for slot, array in self.constants.items()
                         if slot not in inputs}
        for slot in (*one.inputs, *one.constants):
            one.alias[slot], one._roots[slot] = [], frozenset((slot,))
        for line in lines:
            for slot in line.made():
                of = one.alias[slot] = self.alias[slot]
                one._roots[slot] = frozenset().union(*map(one.roots, of)) or frozenset((slot,))
            if line.out is None:
                one._write(line.settings, line.args)
            one.lines.append(line)
        return one

    # -- what is asked of it ---------------------------------------------------------------------

    def roots(self, slot: Slot) -> frozenset[Slot]:
        """The slots that the memory of this one belongs to."""
        return self._roots[slot]

    def is_written(self, slot: Slot) -> bool:
        """Whether a line has written to its memory."""
        return not self._written.isdisjoint(self.roots(slot))

    def is_shared(self, slot: Slot) -> bool:
        """Whether an output beside it has memory of the same array."""
        return any(other != slot and slot in self.roots(other) for other in self.outputs)

    def written(self) -> list[Slot]:
        """The inputs and constants that the lines write to."""
        return [slot for slot in (*self.inputs, *self.constants) if slot in self._written]

    def evaluator(self) -> Callable[[Sequence[Any]], list[Any] | None]:
        """A function of the numbers given: the value of each NumberSlot, as ``run`` takes them.

        None where a question about them has another answer now.
        """
        scope: dict[str, Any] = {}
        given = ", ".join(f"n{slot}" for slot in self.numbers)
        text = ["def evaluate(given):", f"    [{given}] = given"]
        for i, (function, args, result, answer, _) in enumerate(self.arithmetic):
            scope[f"f{i}"] = function
            spelt = ", ".join(f"n{int(a)}" if isinstance(a, NumberSlot) else repr(a) for a in args)
            if result is not None:
                text.append(f"    n{result} = f{i}({spelt})")
            else:
                scope[f"a{i}"] = answer
                text.append(f"    if f{i}({spelt}) != a{i}: return None")
        known = {*self.numbers, *(one.slot for one in self.arithmetic)}
        values = (f"n{i}" if NumberSlot(i) in known else "None" for i in range(self.count))
        text.append(f"    return [{', '.join(values)}]")
        scope.update(inf=float("inf"), nan=float("nan"))
        exec("\n".join(text), scope)
        return scope["evaluate"]

    def close(self) -> None:
        """Nothing more is written down, and generators are as they were."""
        self.closed = True
        self.met = None
        self._known.clear()
        for random, state in self._states:
            random.bit_generator.state = state


current: ContextVar[Recording | None] = ContextVar("tinygrad_norm.recording", default=None)


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """What happens inside, in this thread, is written down; new tensors are a part of it."""
    before, token = home.set(DEVICE), current.set(recording)
    try:
        yield
    finally:
        current.reset(token)
        home.reset(before)
        recording.close()


def frames() -> Where:
    """The innermost lines that are running, but for those of this package: the user's, ours."""
    frame: Any = sys._getframe(1)
    ours = None
    while frame.f_back is not None and is_inside(frame):
        if ours is None and not frame.f_globals["__name__"].startswith((__package__, "numpy")):
            ours = frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    user = frame.f_code.co_filename, frame.f_lineno
    return user, ours or user
