"""One kind of calls of a step: its key, and the program that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..autograd.graph import tick, wrap
from ..compiler import machine
from ..compiler.cuda_program import CudaProgram
from ..compiler.plain import Plain
from ..compiler.program import Program
from ..compiler.recording import Recording, Unsupported
from ..tensors.random import default_generator
from ..tensors.tensor import Tensor
from .attempt import Attempt
from .key import spoken
from .results import Result, built

NO_MATCH = (KeyError, IndexError, ValueError, AttributeError, TypeError)
"""What looks at things that are gone raise."""


def program_of(recording: Recording, states: int, device: int | None,
               held: Sequence[Any] = ()) -> Any:
    """What runs it: kernels on a GPU, loops where there is what makes them."""
    if device is not None:
        host = frozenset(slot for slot, array in zip(recording.inputs, held, strict=False)
                         if type(array) is ndarray)
        return CudaProgram(recording, device, host=host)
    if machine.available():
        try:
            return Program(recording, states=states)
        except Unsupported:
            pass
    return Plain(recording)


class Entry:
    """One kind of calls: what it was recorded as, or why it was not.

    runs, eager:  how often the program ran, and how often the eager step did in its place
    missed:       how often that was so since it ran last
    """

    def __init__(self, attempt: Attempt, template: Any, reason: str | None = None) -> None:
        self.key, self.template, self.reason = attempt.key, template, reason
        self.words = described(attempt)
        self.runs = self.eager = self.missed = 0
        self.program: Any = None
        if reason is not None:
            self.key.states.clear()
            self.key.held.clear()
            self.key.arguments = attempt.arguments.text
            self.key.finish()
            return
        recording = self.recording = attempt.recording
        self.program = program_of(recording, len(self.key.states), attempt.device,
                                  self.key.held)
        self.evaluate = recording.evaluator()
        self.draws = [(owner_of(draw.random, attempt), draw, len(self.key.held) - n)
                      for n, draw in zip(range(len(recording.draws), 0, -1), recording.draws,
                                         strict=True)]
        self.touched = attempt.touched
        self.cells = [tensor.written for tensor in self.touched]
        self.gradients, self.dropped = attempt.gradients, attempt.dropped
        self.key.finish()

    def match(self, args: Any, kwargs: Any) -> Any:
        """What a run is given for this call; None if it is of another kind."""
        try:
            found = self.key.match(args, kwargs)
        except NO_MATCH:
            return None
        if found is None or self.program is None:
            return found
        numbers = self.evaluate(found[0])
        return None if numbers is None else (numbers, *found[1:])

    def outputs(self, found: Any) -> Any:
        """What the program gives; None where a guard did not hold: then all is as it was."""
        numbers, same, others, _ = found
        held = self.key.held
        before = []
        for owner, draw, i in self.draws:
            random = owner().numpy
            if self.recording.guards:
                before.append((random, random.bit_generator.state))
            held[i] = getattr(random, draw.law)(*draw.arguments)
            if held[i].__class__ is not ndarray or held[i].dtype != draw.dtype:
                held[i] = np.asarray(held[i]).astype(draw.dtype, copy=False)
        results = self.program.run(held, numbers, same)
        if results is None:
            for random, state in reversed(before):
                random.bit_generator.state = state
            return None
        self.runs += 1
        self.missed = 0
        if not same:
            self.cells = [tensor.written for tensor in self.touched]
        now = tick()
        for cell in self.cells:
            cell[0] = now
        for tensor in others:
            tensor.written[0] = now
        return results

    def run(self, found: Any, args: Any, kwargs: Any) -> Any:
        """The result of the step; NO_MATCH itself where a guard did not hold."""
        results = self.outputs(found)
        if results is None:
            return NO_MATCH
        numbers, _, _, targets = found
        for tensor in self.dropped:
            tensor._grad = None
        for target, i in self.gradients:
            tensor = targets.pop(0) if isinstance(target, str) else target
            tensor._grad = wrap(Tensor, results[i])
        template = self.template
        if template.__class__ is Result:
            return wrap(Tensor, results[template.number])
        return built(template, results, numbers, args, kwargs)


def owner_of(random: Any, attempt: Attempt) -> Callable[[], Any]:
    """What finds the generator to draw from: this thread's, or that one."""
    for generator in attempt.reached.generators:
        if generator.numpy is random and generator is not default_generator():
            return lambda: generator
    return default_generator


def described(attempt: Attempt) -> str:
    """A kind of calls in words."""
    parts = [f"{spoken(path, attempt.function)} {tuple(t.array.shape)} {t.array.dtype}"
             for path, t in attempt.arguments.tensors]
    modes = {place.value for place in attempt.reached.places if place.name.endswith(".training")}
    parts += ["train" if True in modes else "eval"] if modes else []
    return ", ".join(parts) or "no tensors"
