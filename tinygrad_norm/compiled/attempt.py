"""One recording of a step: on copies of its state, which is as it was at the end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..compiler.cuda_program import device_of_all
from ..compiler.device import unasked  # its module registers the device
from ..compiler.number import Number
from ..compiler.recording import NumberSlot, Recording, Slot, Unsupported, recorded
from ..compiler.shapes import shaped
from ..compiler.traced import Traced
from ..tensors.tensor import Tensor
from .key import Arguments, Key, overlapping, spoken
from .numbers import Numbers
from .reach import Reached
from .results import Result, Same, mapped
from .stage import Stage


class Found(Exception):
    """A tensor that the search had not found."""


class Exact(Exception):
    """Gradients from before the step are read in it."""


class Attempt:
    """Records a step once.

    Args:
        varying: (id of the holder, key) of floats that were seen to change: they become Numbers.
        more: tensors of the state that the search does not find.
        exact: the gradients that are there when the step begins matter to it.
        grads: the gradients are wanted at its end.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any],
                 *, varying: set[Any], more: list[Value], exact: bool, grads: bool) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.exact, self.grads, self.more = exact, grads, more
        self.arguments = Arguments().read(args, kwargs)
        self.reached = Reached().search("step", function)
        for path, value in self.arguments.others:
            self.reached.search(path, value)
        for value in more:
            self.reached.tensors.setdefault(value, "a tensor that the step holds")
        self.recording = Recording()
        self.slots: dict[Slot, tuple[str, Any]] = {}
        """Of each input "state", "argument" or "grad", and the tensor lent, or whose it is."""
        self.gradients: list[tuple[Value | str, int]] = []
        self.before: dict[Value, Any] = {}
        self.names: dict[Value, str] = {}
        self.dropped: list[Value] = []
        self.shown: set[NumberSlot] = set()
        """Numbers in the result."""
        self.tracked: list[tuple[int, Value]] = []
        """Outputs that require grad."""
        self.varying = varying
        self.key = Key(dict(self.arguments.scope), self.reached.modules)
        self.passed = {id(value): self._stand_in(value) for _, value in self.arguments.tensors
                       if value not in self.reached.tensors}
        self.states = list(self.reached.tensors)

    @staticmethod
    def _stand_in(value: Value) -> Value:
        """Another tensor for an argument, which other threads may be using."""
        one: Value = wrap(type(value), value.array)
        one.tracked, one._grad = value.tracked, value._grad
        return one

    def run(self) -> Any:
        """The result of the recorded step, whose tensors hold arrays that record."""
        if self.arguments.refused:
            raise Unsupported(self.arguments.refused)
        passed = list(self.passed.values())
        for tensor in (*self.states, *(t for _, t in self.arguments.tensors)):
            if tensor.edge is not None:
                raise Unsupported("a tensor has a history from before the step; detach() it")
        tensors = (*self.states, *(t for _, t in self.arguments.tensors))
        self.device = device_of_all([t.array for t in tensors])
        if self.device is not None:
            self.recording.compute = shaped
        self.numbers = Numbers(self.reached, self.key, self.recording, self.varying)
        stage = Stage(self.reached, [*self.states, *passed])
        try:
            with recorded(self.recording), nullcontext() if self.device is None else unasked():
                self.recording.met = self._met
                self._lend(stage)
                self.numbers.lend(stage)
                args, kwargs = self._arguments()
                result = self.function(*args, **kwargs)
                self.numbers.take_back()
                self._write_back(stage)
                result = self._leave(result)
            reason = stage.changed(self.recording)
            if reason:
                raise Unsupported(f"the step {reason}: what Python does beside arrays would happen "
                                  "once only; do it outside of the step")
        finally:
            stage.restore()
        self._finish()
        return result

    # -- before ----------------------------------------------------------------------------------

    def _met(self, array: np.ndarray) -> None:
        """A plain array becomes a constant: it must not be a tensor's."""
        for owner in gc.get_referrers(array):
            if isinstance(owner, Value) and owner.array is array:
                raise Found(owner)

    def _lend(self, stage: Stage) -> None:
        for (path, value), name in zip(self.arguments.tensors, self.arguments.arrays, strict=True):
            tensor = self.passed.get(id(value))
            if tensor is None:  # it is a part of the state
                self.arguments.text.append(f"if {name[:-1]} is not {name}s: return None")
                self.key.scope[f"{name}s"] = value
            elif tensor not in self.names:
                self.names[tensor] = name[:-1]
                self.slots[stage.lend(tensor, self.recording,
                                      spoken(path, self.function)).slot] = "argument", tensor
            else:
                self.arguments.text.append(
                    f"if {name[:-1]} is not {self.names[tensor]}: return None")
        for tensor in self.states:
            array = stage.lend(tensor, self.recording, self.reached.tensors[tensor])
            self.slots[array.slot] = "state", tensor
        self._lend_gradients()

    def _lend_gradients(self) -> None:
        """A gradient for each tensor that requires grad: it is seen whether the step drops it."""
        self.before = {t: t._grad for t in self._leaves()}
        for tensor, old in self.before.items():
            if self.exact and old is None:
                continue
            # where it is read all begins anew: zeros, not written to, take no memory
            held = old.array.copy() if (
                self.exact and old is not None and self.device is None) else np.zeros(
                tensor.array.shape, tensor.array.dtype)
            slot = self.recording.input(held, f"{self.recording.names[tensor.array.slot]}.grad")
            tensor._grad = wrap(Tensor, Traced(self.recording, slot, held))
            self.slots[slot] = "grad", tensor
        self.sentinels = {t: t._grad for t in self.before}

    def _leaves(self) -> list[Value]:
        return [t for t in (*self.states, *self.names) if t.tracked]

    def _arguments(self) -> tuple[Any, Any]:
        """The arguments, with Numbers for their floats."""
        floats = iter([self.numbers.given(value, text) for text, value in self.arguments.floats])

        def put(value: Any) -> Any:
            if type(value) is float:
                return next(floats)
            if isinstance(value, Value):
                return self.passed.get(id(value), value)
            if type(value) in (tuple, list):
                return type(value)(map(put, value))
            return {k: put(v) for k, v in value.items()} if type(value) is dict else value

        return put(self.args), put(self.kwargs)

    # -- after -----------------------------------------------------------------------------------

    def _leave(self, result: Any) -> Any:
        """What a run gives: gradients, and what stands for the result."""
        self._gradients()
        return self._template(result)

    def _write_back(self, stage: Stage) -> None:
        """The values of a tensor that got other memory, into the memory that it has."""
        for slot, (kind, what) in list(self.slots.items()):
            tensor, name = what, self.recording.names[slot]
            if kind == "grad" or (type(tensor.array) is Traced and tensor.array.slot == slot):
                continue
            shape, dtype = self.recording.meta[slot]
            new = tensor.array
            if type(new) is not Traced or tensor.edge is not None or (
                    (new.shape, new.dtype) != (shape, dtype)):
                raise Unsupported(f"the step replaces {name} by a tensor of another kind")
            Traced(self.recording, slot, np.empty(shape, dtype))[...] = new
        for tensor in self.states:
            before = next(tracked for t, _, _, tracked, _, _ in stage.tensors if t is tensor)
            if tensor.tracked is not before:
                raise Unsupported("the step changes requires_grad of "
                                  f"{self.reached.tensors[tensor]}")

    def _gradients(self) -> None:
        used = self._used()
        for tensor, sentinel in self.sentinels.items():
            now = tensor._grad
            if sentinel is not None and not self.exact and (
                    now is sentinel or sentinel.array.slot in used):
                raise Exact
            if now is sentinel:
                continue
            if now is None or not (self.exact or self.grads or tensor in self.names):
                self.dropped.append(tensor)
            else:
                self.gradients.append((self.names.get(tensor, tensor), len(self.recording.outputs)))
                self.recording.outputs.append(now.array.slot)

    def _template(self, value: Any) -> Any:
        """The result, with Result and Same for tensors."""
        if isinstance(value, Value):
            if value in self.reached.tensors:
                return Same(value, None)
            for path, one in self.arguments.tensors:
                if self.passed.get(id(one)) is value:
                    return Same(value, path)
            if type(value.array) is Traced:
                slot = value.array.slot
            else:
                slot = self.recording.constant(value.array)
            self.recording.outputs.append(slot)
            number = len(self.recording.outputs) - 1
            if value.tracked:
                self.tracked.append((number, value))
            return Result(number)
        if type(value) is Traced:
            raise Unsupported("the step returns an array; return the tensor")
        if type(value) is Number:
            self.shown.add(value.slot)
        return mapped(self._template, value)

    def _used(self) -> set[Slot]:
        """The slots that lines read or write, that are read as numbers, or returned."""
        return {*self.recording.read.values(), *self.recording.outputs}.union(
            *(line.slots() for line in self.recording.lines))

    def _finish(self) -> None:
        """The key: what is looked at in each call, and where the inputs are then."""
        recording, key, used = self.recording, self.key, self._used()
        slots = [slot for slot in self.slots if slot in used]
        slots.sort(key=lambda slot: self.slots[slot][0] != "state")
        drawn = [draw.slot for draw in recording.draws]
        recording.inputs[:] = [*slots, *drawn]
        written = recording.written()
        key.arguments += self.arguments.text
        self.touched: list[Any] = []
        others: list[str] = []
        for slot in slots:
            kind, what = self.slots[slot]
            if kind == "state":
                key.states.append(what)
                key.held.append(what.array)
                if slot in written:
                    self.touched.append(what)
                continue
            name = self.names.get(what, f"g{slot}")
            key.scope.setdefault(f"g{slot}", what)
            if kind == "grad":
                key.arguments.append(f"if {name}._grad is None: return None")
                name += "._grad"
            key.arrays.append(f"{name}.array")
            key.held.append(what._grad.array if kind == "grad" else what.array)
            if slot in written:
                others.append(name)
        if overlapping([a for a in key.held if a is not None]) and written:
            raise Unsupported("tensors of the step share memory")
        if self.exact:
            key.absent = [t for t, old in self.before.items()
                          if old is None and t not in self.names]
            key.arguments += [f"if {self.names[t]}._grad is not None: return None"
                              for t, old in self.before.items() if old is None and t in self.names]
        key.held.extend([None] * len(drawn))
        for number, source in recording.read.items():
            self.numbers.texts[number] = f"held[{recording.inputs.index(source)}].item()"
        asked = {a for one in recording.arithmetic for a in one.args if isinstance(a, NumberSlot)}
        asked.update(*(line.numbers() for line in recording.lines), self.shown)
        recording.numbers[:] = [n for n in recording.numbers if n in asked]
        key.numbers = [self.numbers.texts[n] for n in recording.numbers]
        read = [*key.numbers, *self.numbers.owners.values()]
        key.before = [f"{name} = {text}" for name, text in self.numbers.owners.items()
                      if any(name in one for one in read)]
        key.others = others
        key.targets = [target for target, _ in self.gradients if isinstance(target, str)]
