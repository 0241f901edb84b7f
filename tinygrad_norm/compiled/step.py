"""``tn.compile``: a step of training or of inference, recorded once and run again."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np
from numpy import ndarray

from ..autograd.graph import Value, tick, wrap
from ..compiler import machine
from ..compiler.number import Number
from ..compiler.plain import Plain
from ..compiler.program import Program
from ..compiler.recording import Question, Recording, Unsupported, current
from ..kinds import outside
from ..tensors.random import default_generator
from ..tensors.tensor import Tensor
from .attempt import Attempt, Exact, Found, Result, Same
from .check import Snapshot
from .stage import Created

KEPT = 32
"""So many kinds of calls are remembered; then the oldest goes."""
TRIES = 8
"""So often a recording begins anew, with what the last one found."""
NO_MATCH = (KeyError, IndexError, ValueError, AttributeError, TypeError)
"""What looks at things that are gone raise."""


def program_of(recording: Recording, states: int) -> Any:
    """What runs it: loops, where there is what makes them."""
    if machine.available():
        try:
            return Program(recording, states=states)
        except Unsupported:
            pass
    return Plain(recording)


class Entry:
    """One kind of calls: what it was recorded as, or why it was not.

    runs, eager:  how often the program ran, and how often the eager step did in its place
    """

    def __init__(self, attempt: Attempt, template: Any, reason: str | None = None) -> None:
        self.key, self.template, self.reason = attempt.key, template, reason
        self.words = described(attempt)
        self.runs = self.eager = 0
        self.program: Any = None
        if reason is not None:
            self.key.states.clear()
            self.key.held.clear()
            self.key.arguments = attempt.arguments.text
            self.key.finish()
            return
        recording = self.recording = attempt.recording
        self.program = program_of(recording, len(self.key.states))
        self.evaluate = recording.evaluator()
        self.draws = [(owner_of(draw.random, attempt), draw, len(self.key.held) - n)
                      for n, draw in zip(range(len(recording.draws), 0, -1), recording.draws,
                                         strict=True)]
        self.touched = attempt.touched
        self.cells = [tensor.written for tensor in self.touched]
        self.gradients, self.dropped = attempt.gradients, attempt.dropped
        for owner in attempt.reached.optimizers.values():
            owner[1].stepped = owner[1].stepped
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

    def run(self, found: Any, args: Any, kwargs: Any) -> Any:
        """The result of the step; NO_MATCH itself where a guard did not hold: then all is as it
        was."""
        numbers, same, others = found
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
            return NO_MATCH
        self.runs += 1
        if not same:
            self.cells = [tensor.written for tensor in self.touched]
        now = tick()
        for cell in self.cells:
            cell[0] = now
        for tensor in others:
            tensor.written[0] = now
        for tensor in self.dropped:
            tensor._grad = None
        for tensor, i in self.gradients:
            tensor._grad = wrap(Tensor, results[i])
        template = self.template
        if template.__class__ is Result:
            return wrap(Tensor, results[template.number])
        return self._built(template, results, numbers, args, kwargs)

    def _built(self, part: Any, results: Any, numbers: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(part, Result):
            return wrap(Tensor, results[part.number])
        if isinstance(part, Same):
            return part.value if part.path is None else eval(
                part.path, {"args": args, "kwargs": kwargs})
        if type(part) is Number:
            return numbers[part.slot]
        if isinstance(part, tuple | list):
            built = [self._built(one, results, numbers, args, kwargs) for one in part]
            return type(part)(*built) if hasattr(part, "_fields") else type(part)(built)
        if isinstance(part, dict):
            return {k: self._built(v, results, numbers, args, kwargs) for k, v in part.items()}
        return part


def owner_of(random: Any, attempt: Attempt) -> Callable[[], Any]:
    """What finds the generator to draw from: this thread's, or that one."""
    for generator in attempt.reached.generators:
        if generator.numpy is random and generator is not default_generator():
            return lambda: generator
    return default_generator


def described(attempt: Attempt) -> str:
    """A kind of calls in words."""
    parts = [f"{path[5:-1] if path.startswith('args') else path} {tuple(t.array.shape)} "
             f"{t.array.dtype}" for path, t in attempt.arguments.tensors]
    modes = {place.value for place in attempt.reached.places if place.name.endswith(".training")}
    parts += ["train" if True in modes else "eval"] if modes else []
    return ", ".join(parts) or "no tensors"


class Step:
    """A compiled step: called as the function that it was made of. ``print`` tells what it did."""

    def __init__(self, function: Callable[..., Any], fullgraph: bool, check: int,
                 grads: bool) -> None:
        functools.update_wrapper(self, function)
        self.name = getattr(function, "__name__", type(function).__name__)
        self.function, self.fullgraph, self.check, self.grads = function, fullgraph, check, grads
        self._entries: list[Entry] = []
        self._varying: set[Any] = set()
        self._more: list[Value] = []
        self._calls = 0
        self._lock = RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._entries:
                entry = self._entries[0]
                found = entry.match(args, kwargs)
                if found is not None:
                    return self._run(entry, found, args, kwargs)
            return self._another(args, kwargs)

    def _run(self, entry: Entry, found: Any, args: Any, kwargs: Any) -> Any:
        if entry.program is None:
            entry.eager += 1
            return self.function(*args, **kwargs)
        if self.check:
            self._calls += 1
            if self._calls % self.check == 0:
                return self._checked(entry, found, args, kwargs)
        result = entry.run(found, args, kwargs)
        if result is NO_MATCH:
            entry.eager += 1
            return self.function(*args, **kwargs)
        return result

    def _another(self, args: Any, kwargs: Any) -> Any:
        """A call that is not of the kind of the last."""
        if current.get() is not None:  # within a step that is being recorded
            return self.function(*args, **kwargs)
        for entry in self._entries[1:]:
            found = entry.match(args, kwargs)
            if found is not None:
                self._entries.remove(entry)
                self._entries.insert(0, entry)
                return self._run(entry, found, args, kwargs)
        for entry in self._entries:
            self._varying |= {(id(place.holder), place.key) for place in entry.key.changed()}
        new = self._recorded(args, kwargs)
        if new is None:
            return self.function(*args, **kwargs)
        self._entries.insert(0, new)
        del self._entries[KEPT:]
        found = new.match(args, kwargs)
        if found is None:  # it cannot be seen to be of its own kind
            new.reason = new.reason or "what it reaches changes by itself"
            new.program = None
            return self.function(*args, **kwargs)
        return self._run(new, found, args, kwargs)

    def _recorded(self, args: Any, kwargs: Any) -> Entry | None:
        """The recording of a new kind of calls; None where the eager step has to make state first.

        Raises:
            Question, Unsupported: it cannot be recorded, and ``fullgraph`` is set.
        """
        exact = False
        for _ in range(TRIES):
            attempt = Attempt(self.function, args, kwargs, varying=self._varying, more=self._more,
                              exact=exact, grads=self.grads)
            try:
                return Entry(attempt, attempt.run())
            except Created:
                return None
            except Exact:
                exact = True
                continue
            except Found as found:
                self._more = [*self._more, found.args[0]]
                continue
            except Question as question:
                if self.fullgraph:
                    raise
                reason = str(question)
            except Unsupported as unsupported:
                if self.fullgraph:
                    raise RuntimeError(f"compile: {unsupported}") from None
                reason = str(unsupported)
            except Exception as error:
                if self.fullgraph:
                    raise
                reason = f"{type(error).__name__}: {error}"
            break
        else:
            reason = "a tensor is made of data beside the tensors; pass it as an argument"
            if self.fullgraph:
                raise RuntimeError(f"compile: {reason}")
        warnings.warn(f"compile: {self.name} runs as it is, not compiled: {reason}",
                      stacklevel=outside())
        return Entry(attempt, None, reason)

    def _checked(self, entry: Entry, found: Any, args: Any, kwargs: Any) -> Any:
        """A run, and the eager step from the same state, which must agree."""
        before = Snapshot(entry)
        result = entry.run(found, args, kwargs)
        if result is NO_MATCH:
            entry.eager += 1
            return self.function(*args, **kwargs)
        after = Snapshot(entry)
        gradients = [(tensor, tensor._grad) for tensor in (*entry.dropped, *(
            tensor for tensor, _ in entry.gradients))]
        before.put()
        expected = self.function(*args, **kwargs)
        eager = Snapshot(entry)
        after.put()
        for tensor, gradient in gradients:
            tensor._grad = gradient
        after.compare(eager, result, expected, self.name)
        return result

    def program(self) -> str:
        """What was compiled last, as text."""
        for entry in self._entries:
            if entry.program is not None:
                return str(entry.program)
        return "nothing was compiled"

    def __repr__(self) -> str:
        lines = [f"compiled {self.name}: {len(self._entries)} kind"
                 f"{'s' * (len(self._entries) != 1)} of calls"]
        for entry in self._entries:
            if entry.reason is not None:
                lines.append(f"  {entry.words}: not compiled, ran {entry.eager} times as it is: "
                             f"{entry.reason}")
                continue
            how = type(entry.program).__name__.lower()
            lines.append(f"  {entry.words}: {len(entry.recording.lines)} lines ({how}), ran "
                         f"{entry.runs} times" + (f"; {entry.eager} times as it is, as a condition "
                                                  "had another answer" if entry.eager else ""))
        return "\n".join(lines)

    def __reduce__(self) -> Any:
        return compile, (self.function,), {"fullgraph": self.fullgraph, "check": self.check,
                                           "grads": self.grads}

    def __setstate__(self, options: dict[str, Any]) -> None:
        vars(self).update(options)


def compile(function: Callable[..., Any] | None = None, *, fullgraph: bool = False, check: int = 0,
            grads: bool = False) -> Any:
    """A function that does the same as ``function``, a step of training or of inference, faster.

    It is recorded when it is called first, and then for each new kind of calls: other shapes or
    dtypes, train or eval, another number among what it reaches. Between, what was recorded is run.
    What Python does beside tensors, such as printing, happens while recording only. Results have no
    history; ``.grad`` of parameters is None after a step that drops gradients at its start.

    What cannot be recorded, such as a branch on a value or ``.item()``, runs as it is, with a
    warning that says why. ``step.program()`` is what was made of it, ``print(step)`` says how often
    it ran.

    Args:
        function: the step; left out, ``compile(...)`` is a decorator.
        fullgraph: raise an error where it cannot be recorded.
        check: run each call of that number beside the step as it is, and raise where they differ.
        grads: leave the gradients in ``.grad``.
    """
    if function is None:
        return functools.partial(compile, fullgraph=fullgraph, check=check, grads=grads)
    return Step(function, fullgraph, check, grads)
