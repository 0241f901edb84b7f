"""The state of a step, lent to a recording and given back as it was."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..compiler.number import Number
from ..compiler.recording import Recording
from ..compiler.traced import Traced
from ..tensors.random import default_generator
from .reach import SIMPLE, Place, Reached


class Created(Exception):
    """The step made state that was not there before, so that this recording is of no use."""


class Stage:
    """Holds what a recording may change, while it is recorded; ``restore`` in a ``finally``."""

    def __init__(self, reached: Reached, tensors: list[Value]) -> None:
        self.reached = reached
        self.tensors = [(t, t.array, t.written, t.tracked, t.edge, dict(vars(t))) for t in tensors]
        self.containers = [(name, one, one.copy(), ours) for name, one, ours in reached.containers]
        held = {id(one) for _, one, _ in reached.containers}
        self.named = [place for place in (*reached.places, *reached.links)
                      if id(place.holder) not in held and (
                          place.key is None or isinstance(place.holder, dict))]
        self.put: list[tuple[Place, Number]] = []
        default = default_generator()
        self.generators = [(one, one.numpy) for one in {id(one): one for one in (
            default, *reached.generators)}.values()]
        self.randoms = [(random, random.bit_generator.state) for random in (
            *(random for _, random in self.generators), *reached.randoms)]
        for _, optimizer in reached.optimizers.values():
            optimizer._in_place, optimizer._together = {}, {}
            optimizer._blocks = type(optimizer._blocks)()

    def lend(self, tensor: Value, recording: Recording, name: str) -> Traced:
        """Give a tensor an array that records, with a copy of its values if these are NumPy's."""
        old = tensor.array
        # host memory: what lies on a GPU is recorded by its shape alone
        copy = old.copy("K") if type(old) is np.ndarray else np.zeros(old.shape, old.dtype)
        array = tensor.array = Traced(recording, recording.input(copy, name), copy)
        tensor.written = [tensor.written[0], False]
        return array

    def replace(self, place: Place, number: Number) -> None:
        """Let a number that records stand at a place."""
        place.put(number)
        self.put.append((place, number))

    def changed(self, recording: Recording) -> str | None:
        """What the step itself changed beside arrays, in words: it would happen once only.

        Raises:
            Created: new state of an optimizer.
        """
        states = [optimizer.state for _, optimizer in self.reached.optimizers.values()]
        inner = {id(one) for state in states for one in (state, *state.values())}
        given = {(id(place.holder), place.key): number for place, number in self.put}
        for name, now, before, ours in self.containers:
            for key in _differing(now, before):
                if id(now) in inner:
                    raise Created
                value = now[key] if _has(now, key) else None
                if value is given.get((id(now), key), now) or ours:
                    continue
                return f"changes {name}[{key!r:.40}]"
        for place in self.named:
            if place.now() is not given.get((id(place.holder), place.key), place.value):
                return f"changes {place.name}"
        for generator, random in self.generators:
            if generator.numpy is not random:
                return "seeds a generator"
        drawn = [draw.random for draw in recording.draws]
        for random, state in self.randoms:
            if all(one is not random for one in drawn) and not _equal(
                    random.bit_generator.state, state):
                return "draws from a NumPy generator, past the tensors; draw with tn.rand"
        return None

    def restore(self) -> None:
        """All as it was, but for plain attributes of layers and optimizers: whether they have
        stepped, how many batches they know of."""
        for place, _ in self.put:
            place.put(place.value)
        for _, now, before, ours in self.containers:
            if not _differing(now, before):
                continue
            if isinstance(now, list):
                now[:] = before
                continue
            kept = {key: value for key, value in now.items()
                    if ours and type(value) in SIMPLE}
            now.clear()
            now.update({**before, **kept})
        for place in self.named:
            if place.now() is not place.value:
                place.put(place.value)
        for generator, random in self.generators:
            generator.numpy = random
        for random, state in self.randoms:
            random.bit_generator.state = state
        for tensor, array, written, tracked, edge, names in self.tensors:
            tensor.array, tensor.written = array, written
            tensor.tracked, tensor.edge = tracked, edge
            vars(tensor).clear()
            vars(tensor).update(names)


def _has(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


def _differing(now: Any, before: Any) -> list[Any]:
    """The keys whose values are other objects."""
    if isinstance(now, list):
        if len(now) != len(before):
            return [min(len(now), len(before))]
        return [i for i, (a, b) in enumerate(zip(now, before, strict=True)) if a is not b]
    return [key for key in {**before, **now}
            if key not in now or key not in before or now[key] is not before[key]]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b))

