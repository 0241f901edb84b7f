"""``tn.compile(model)``: its forward and the backward of its output, in a loop of the user's.

The forward is recorded, and after it the walk back from its outputs with their gradients as
arguments. The first part gives what the second reads; the graph sees one operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.backward import grad
from ..autograd.function import Function
from ..autograd.graph import Value, wrap
from ..autograd.mode import UNHOOKED, flags, is_grad_enabled
from ..backend.array import array_module
from ..compiler.device import unasked
from ..compiler.recording import Slot, Unsupported
from ..compiler.traced import Traced
from ..tensors.tensor import Tensor
from .attempt import Attempt
from .entry import NO_MATCH, Entry, program_of
from .results import built
from .step import Step


class Passes(Attempt):
    """A forward pass, and the walk back from what it gives."""

    backward: Any = None
    leaves: list[Value]

    def _lend_gradients(self) -> None:
        """Gradients arise when the outputs are walked back from, later."""
        self.sentinels = {}

    def _leave(self, result: Any) -> Any:
        recording = self.recording
        template = self._template(result)
        self.shown_outputs = len(recording.outputs)
        self.leaves = self._leaves() if self.tracked else []
        if not self.leaves:
            return template
        end = len(recording.lines)
        dys = []
        for _, y in self.tracked:
            dy = np.ones_like(y.array.array)
            dys.append(Traced(recording, recording.input(dy, "dy"), dy))
        token = flags.set(flags.get() | UNHOOKED)  # hooks of parameters are called later
        try:
            with unasked():  # when it runs, the forward has: there is no other way any more
                found = grad([y for _, y in self.tracked], self.leaves,
                             [wrap(Tensor, dy) for dy in dys], allow_unused=True)
        finally:
            flags.reset(token)
        lines = recording.lines[end:]
        del recording.lines[end:]
        self._split(lines, [dy.slot for dy in dys], found)
        return template

    def _split(self, lines: list[Any], dys: list[Slot], found: Any) -> None:
        """The walk as a recording of its own; what it reads of the forward is an output of this."""
        recording = self.recording
        self.flowing = [g is not None for g in found]
        gradients = [g.array.slot for g in found if g is not None]
        made = {slot for line in recording.lines for slot in line.made()}
        read = {*gradients}.union(*(line.slots() for line in lines))
        self.given = [slot for slot in recording.inputs if slot in read and slot not in dys]
        self.carried = sorted(read & made)
        recording.outputs += self.carried
        self.backward = recording.part(lines, [*self.given, *self.carried, *dys], gradients)
        if self.backward.written() and not set(self.backward.constants) >= {
                *self.backward.written()}:
            raise Unsupported("its backward writes into what its forward made")

    def _used(self) -> set[Slot]:
        return super()._used() | ({*self.given} if self.backward is not None else set())

    def _finish(self) -> None:
        super()._finish()
        if self.backward is not None:
            numbers = set().union(*(line.numbers() for line in self.backward.lines))
            if not numbers <= {*self.recording.numbers}:
                raise Unsupported("its backward reads numbers that its forward does not")
            self.key.targets = [self.names[t] for t in self.leaves if t in self.names]


class ModelEntry(Entry):
    """One kind of calls of a model: two programs."""

    def __init__(self, attempt: Any, template: Any, reason: str | None = None) -> None:
        super().__init__(attempt, template, reason)
        self.backward: Any = None
        if reason is None and attempt.backward is not None:
            self.backward = program_of(attempt.backward, 0, attempt.device)
            self.tracked = [number for number, _ in attempt.tracked]
            self.shown, self.flowing = attempt.shown_outputs, attempt.flowing
            self.places = [self.recording.inputs.index(slot) for slot in attempt.given]
            self.kept = [attempt.slots[slot][1] for slot in attempt.given
                         if attempt.slots.get(slot, ("",))[0] == "state"]
            self.leaves = [None if t in attempt.names else t for t in attempt.leaves]

    def run(self, found: Any, args: Any, kwargs: Any) -> Any:
        if self.backward is None:
            return super().run(found, args, kwargs)
        results = self.outputs(found)
        if results is None:
            return NO_MATCH
        numbers, targets = found[0], iter(found[3])
        leaves = [next(targets) if leaf is None else leaf for leaf in self.leaves]
        outputs: list[Any] = [wrap(Tensor, result) for result in results[:self.shown]]
        link = Link(self, [self.key.held[i] for i in self.places] + results[self.shown:], numbers,
                    [outputs[i] for i in self.tracked])
        for i, y in zip(self.tracked, Compiled.apply(link, *leaves), strict=True):
            outputs[i] = y
        return built(self.template, outputs, numbers, args, kwargs)


class Link:
    """What a walk back needs of one forward pass."""

    def __init__(self, entry: ModelEntry, arrays: list[Any], numbers: Any, ys: list[Any]) -> None:
        self.entry, self.arrays, self.numbers, self.ys = entry, arrays, numbers, ys


class Compiled(Function):
    """The one operation that the graph sees."""

    @staticmethod
    def forward(ctx: Any, link: Link, *leaves: Value) -> Any:
        ctx.link = link
        ctx.save_for_backward(*leaves, *link.entry.kept)  # they must not be written until then
        return tuple(link.ys)

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        if is_grad_enabled():
            raise RuntimeError("a compiled model: its backward cannot be differentiated again; "
                               "compile the whole step, or call the model itself")
        link = ctx.link
        arrays = [*link.arrays, *(array_module(dy.array).ascontiguousarray(dy.array) for dy in dys)]
        results = iter(link.entry.backward.run(arrays, link.numbers))
        return (None, *(wrap(Tensor, next(results)) if flows else None
                        for flows in link.entry.flowing))


class Model(Step):
    """A compiled model: called as the model; what else is asked of it, the model answers."""

    attempt: Any = Passes
    entry: Any = ModelEntry

    def train(self, mode: bool = True) -> Model:
        self.function.train(mode)  # type: ignore[attr-defined]
        return self

    def eval(self) -> Model:
        return self.train(False)

    def __getattr__(self, name: str) -> Any:
        if name == "function":
            raise AttributeError(name)
        return getattr(self.function, name)
