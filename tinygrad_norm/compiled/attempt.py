"""One recording of a step: on copies of its state, which is as it was at the end."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..compiler import device as device  # registers the device
from ..compiler.number import Number, given_number
from ..compiler.recording import NumberSlot, Recording, Slot, Unsupported, recorded
from ..compiler.traced import Traced
from ..optim.optimizer import Optimizer
from ..tensors.tensor import Tensor
from .entry import Arguments, Key, overlapping, spoken
from .reach import Reached
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
        self.texts: dict[NumberSlot, str] = {}
        self.slots: dict[Slot, tuple[str, Any]] = {}
        """Of each input: ("state", tensor), ("argument", its text) or ("grad", tensor)."""
        self.owners: dict[str, str] = {}
        self.gradients: list[tuple[Value, int]] = []
        self.dropped: list[Value] = []
        self.overridden: list[dict[str, Any]] = []
        self.varying = varying
        self.key = Key(dict(self.arguments.scope))
        self.given = {id(value) for _, value in self.arguments.tensors}
        self.states = [t for t in self.reached.tensors if id(t) not in self.given]

    def run(self) -> Any:
        """The result of the recorded step, whose tensors hold arrays that record."""
        if self.arguments.refused:
            raise Unsupported(self.arguments.refused)
        passed = [t for _, t in self.arguments.tensors]
        for tensor in (*self.states, *passed):
            if tensor.edge is not None and tensor.tracked:
                raise Unsupported("a tensor has a history from before the step; detach() it")
            if type(tensor.array) is not np.ndarray:  # host memory: loops run there
                raise Unsupported("a tensor is on another device than the cpu")
        self.owned = [(one, one.numbers()) for _, one in self.reached.optimizers.values()
                      if one.rule is not None]
        self.layers = [(one, one.numbers()) for _, one in self.reached.layers.values()]
        stage = Stage(self.reached, [*self.states, *passed])
        try:
            with recorded(self.recording):
                self.recording.met = self._met
                self._lend(stage)
                self._lend_numbers(stage)
                args, kwargs = self._arguments()
                result = self.function(*args, **kwargs)
                for own in self.overridden:
                    del own["numbers"]
                self._write_back(stage)
                self._gradients()
                result = self._template(result)
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
        for (path, tensor), name in zip(self.arguments.tensors, self.arguments.arrays, strict=True):
            array = tensor.array if isinstance(tensor.array, Traced) else stage.lend(
                tensor, self.recording, spoken(path, self.function))
            self.slots.setdefault(array.slot, ("argument", (name, tensor)))
        for tensor in self.states:
            array = stage.lend(tensor, self.recording, self.reached.tensors[tensor])
            self.slots[array.slot] = "state", tensor
        self.before = {t: t._grad for t in self._leaves()}
        for tensor, old in self.before.items():
            if self.exact and old is None:
                continue
            held = np.zeros_like(tensor.array.array) if old is None else old.array.copy()
            slot = self.recording.input(held, f"{self.recording.names[tensor.array.slot]}.grad")
            tensor._grad = wrap(Tensor, Traced(self.recording, slot, held))
            self.slots[slot] = "grad", tensor
        self.sentinels = {t: t._grad for t in self.before}

    def _leaves(self) -> list[Value]:
        return [t for t in (*self.states, *(t for _, t in self.arguments.tensors)) if t.tracked]

    def _number(self, value: Any, text: str, name: str = "") -> Number:
        number = given_number(self.recording, value)
        self.texts[number.slot] = text
        self.recording.called[number.slot] = name or text
        return number

    def _lend_numbers(self, stage: Stage) -> None:
        groups = {id(group): i for _, one in self.reached.optimizers.values()
                  for i, group in enumerate(one.param_groups)}
        for i, (optimizer, numbers) in enumerate(self.owned):
            self._own_optimizer(f"o{i}", optimizer, numbers)
        for i, (layer, numbers) in enumerate(self.layers):
            self._own_layer(f"l{i}", layer, numbers)
        for i, place in enumerate(self.reached.places):
            spot = id(place.holder), place.key
            if type(place.value) is float and not isinstance(place.holder, tuple) and (
                    id(place.holder) in groups or spot in self.varying):
                self.key.scope[f"p{i}"] = place.holder
                where = f"p{i}.cell_contents" if place.key is None else f"p{i}[{place.key!r}]"
                stage.replace(place, self._number(place.value, where, place.name))
            else:
                self.key.same.append(place)
        self.key.links += self.reached.links
        self.key.sizes += [one for _, one, ours in self.reached.containers
                           if not ours or "training" in one]

    def _own_optimizer(self, name: str, optimizer: Optimizer, numbers: Any) -> None:
        """The numbers of an optimizer's step, read when a run begins."""
        self.key.scope[name] = optimizer
        plain = type(optimizer).numbers is Optimizer.numbers and all(
            len({id(pair) for pair in pairs}) == 1 for pairs in numbers)
        known: dict[int, Any] = {}
        given: list[Any] = []
        for g, pairs in enumerate(numbers):
            given.append([])
            for j, pair in enumerate(pairs):
                if id(pair) not in known:
                    step, values = pair
                    text = f"{name}g{g}" if plain else f"{name}n[{g}][{j}][1]"
                    count = f"{name}s{g}" if plain else f"{name}n[{g}][{j}][0]"
                    if plain:
                        if optimizer.counted:
                            self._own_counts(name, g, optimizer)
                        self.owners[text] = (f"{name}.numbers_at({name}.param_groups[{g}], "
                                             f"{count if optimizer.counted else 0.0})")
                    known[id(pair)] = (
                        self._number(step, count, "step") if optimizer.counted else step,
                        {key: self._number(value, f"{text}[{key!r}]", key)
                         for key, value in values.items()})
                given[-1].append(known[id(pair)])
        if not plain:
            self.owners[f"{name}n"] = f"{name}.numbers()"
        calls: list[int] = []

        def numbers_then() -> Any:
            calls.append(1)
            if len(calls) > 1 and optimizer.counted:
                raise Unsupported("an optimizer that counts its steps takes several in one call")
            return given

        self.overridden.append(vars(optimizer))
        vars(optimizer)["numbers"] = numbers_then

    def _own_counts(self, name: str, g: int, optimizer: Optimizer) -> None:
        """The number of the step, which is the same for all parameters of a group."""
        counts = [optimizer.state[p]["step"] for p in optimizer.param_groups[g]["params"]
                  if "step" in optimizer.state.get(p, ())]
        names = [f"{name}c{g}_{i}" for i in range(len(counts))]
        self.key.scope.update(zip(names, counts, strict=True))
        read = ", ".join(f"{one}.array.item()" for one in names)
        self.owners[f"{name}s{g}"] = f"one_of({{{read}}}) + 1.0" if names else "1.0"

    def _own_layer(self, name: str, layer: Any, numbers: dict[str, Any]) -> None:
        """The numbers of a layer, where they are not what its attributes say."""
        own = vars(layer)
        if all(type(value) is not float or own.get(key) == value
               for key, value in numbers.items()):
            return
        self.key.scope[name] = layer
        self.owners[f"{name}n"] = f"{name}.numbers()"
        given = {key: value if type(value) is not float or own.get(key) == value
                 else self._number(value, f"{name}n[{key!r}]", key)
                 for key, value in numbers.items()}
        calls: list[int] = []

        def numbers_then() -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise Unsupported("a layer whose numbers follow its count of batches is called "
                                  "several times in one step")
            return dict(given)

        self.overridden.append(own)
        own["numbers"] = numbers_then

    def _arguments(self) -> tuple[Any, Any]:
        """The arguments, with Numbers for their floats."""
        floats = iter([self._number(value, text) for text, value in self.arguments.floats])

        def put(value: Any) -> Any:
            if type(value) is float:
                return next(floats)
            if type(value) in (tuple, list):
                return type(value)(map(put, value))
            return {k: put(v) for k, v in value.items()} if type(value) is dict else value

        return put(self.args), put(self.kwargs)

    # -- after -----------------------------------------------------------------------------------

    def _write_back(self, stage: Stage) -> None:
        """The values of a tensor that got other memory, into the memory that it has."""
        for slot, (kind, what) in list(self.slots.items()):
            tensor = what[1] if kind == "argument" else what
            name = self.recording.names[slot]
            if kind == "grad" or tensor.array.slot == slot:
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
            if now is None or not (self.exact or self.grads or id(tensor) in self.given):
                self.dropped.append(tensor)
            else:
                self.gradients.append((tensor, len(self.recording.outputs)))
                self.recording.outputs.append(now.array.slot)

    def _template(self, value: Any) -> Any:
        """The result, with Result(i) for tensors that a run returns and the rest as it is."""
        if isinstance(value, Value):
            if value in self.reached.tensors or id(value) in self.given:
                return Same(value, next((p for p, t in self.arguments.tensors if t is value), None))
            if type(value.array) is not Traced:
                return Result(self._output(Traced(
                    self.recording, self.recording.constant(value.array), value.array)))
            return Result(self._output(value.array))
        if type(value) is Number:
            return value
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._template, value))
        if isinstance(value, tuple | list):
            return type(value)(map(self._template, value))
        if isinstance(value, dict):
            return {key: self._template(one) for key, one in value.items()}
        if isinstance(value, Traced):
            raise Unsupported("the step returns an array; return the tensor")
        return value

    def _output(self, array: Traced) -> int:
        self.recording.outputs.append(array.slot)
        return len(self.recording.outputs) - 1

    def _used(self) -> set[Any]:
        """The slots that lines read or write, or that are read as numbers."""
        found: set[Any] = {*self.recording.read.values(), *self.recording.outputs}
        for line in self.recording.lines:
            stack = [line.args, line.settings]
            while stack:
                one: Any = stack.pop()
                if isinstance(one, Slot | NumberSlot):
                    found.add((type(one), one) if isinstance(one, NumberSlot) else one)
                elif isinstance(one, tuple | list):
                    stack.extend(one)
                elif isinstance(one, dict):
                    stack.extend(one.values())
                elif isinstance(one, slice):
                    stack += [one.start, one.stop, one.step]
        return found

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
            name, tensor = what if kind == "argument" else (f"g{slot}._grad.array", what)
            if kind == "grad":
                key.scope[f"g{slot}"] = tensor
                key.arguments.append(f"if g{slot}._grad is None: return None")
            key.arrays.append(name)
            key.held.append(tensor._grad.array if kind == "grad" else tensor.array)
            if slot in written:
                others.append(f"g{slot}._grad" if kind == "grad" else name[:-1])
        if overlapping([a for a in key.held if a is not None]) and written:
            raise Unsupported("tensors of the step share memory")
        if self.exact:
            key.absent = [t for t, old in self.before.items() if old is None]
        key.held.extend([None] * len(drawn))
        for number, source in recording.read.items():
            self.texts[number] = f"held[{recording.inputs.index(source)}].item()"
        asked = {a for one in recording.arithmetic for a in one.args if isinstance(a, NumberSlot)}
        recording.numbers[:] = [n for n in recording.numbers
                                if (NumberSlot, n) in used or n in asked]
        key.numbers = [self.texts[n] for n in recording.numbers]
        read = [*key.numbers, *self.owners.values()]
        key.before = [f"{name} = {text}" for name, text in self.owners.items()
                      if any(name in one for one in read)]
        key.others = others


class Result:
    """A tensor that a run returns: the number of the output."""

    def __init__(self, number: int) -> None:
        self.number = number


class Same:
    """A tensor that was there before: of the state, or the argument at ``path``."""

    def __init__(self, value: Value, path: str | None) -> None:
        self.value, self.path = value, path

