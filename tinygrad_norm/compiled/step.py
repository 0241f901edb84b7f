"""``tn.compile``: a step of training or of inference, recorded once and run again."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from threading import RLock
from typing import Any

from ..autograd.graph import Value
from ..compiler.notation import plural
from ..compiler.recording import Question, Unsupported, current
from ..kinds import outside
from .attempt import Attempt, Exact, Found
from .check import Snapshot
from .entry import NO_MATCH, Entry
from .reach import Wrapper
from .stage import Created

KEPT = 32
"""So many kinds of calls are remembered; then the oldest goes."""
PATIENCE = 3
"""After so many calls in a row whose conditions have other answers, it is recorded again."""
TRIES = 8
"""So often a recording begins anew, with what the last one found."""

recording_alone = RLock()
"""While one thread records, tensors that another one shares hold arrays that record."""


class Step(Wrapper):
    """A compiled step: called as the function that it was made of. ``print`` tells what it did."""

    attempt: Any = Attempt
    entry: Any = Entry

    def __init__(self, function: Callable[..., Any], fullgraph: bool, check: int,
                 grads: bool) -> None:
        functools.update_wrapper(self, function, updated=())
        self.name = getattr(function, "__name__", type(function).__name__)
        self.function, self.fullgraph, self.check, self.grads = function, fullgraph, check, grads
        self._entries: list[Entry] = []
        self._varying: set[Any] = set()
        self._more: list[Value] = []
        self._calls = self._anew = self._vain = 0
        self._lock = RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current.get() is not None:  # within a step that is being recorded
            return self.function(*args, **kwargs)
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
        return self._missed(entry, args, kwargs) if result is NO_MATCH else result

    def _missed(self, entry: Entry, args: Any, kwargs: Any) -> Any:
        """The eager step, as a condition has another answer than when it was recorded."""
        entry.eager += 1
        entry.missed += 1
        if entry.missed == PATIENCE and self._anew < KEPT:  # it was recorded on an odd batch
            self._anew += 1
            self._entries.remove(entry)
        return self.function(*args, **kwargs)

    def _another(self, args: Any, kwargs: Any) -> Any:
        """A call that is not of the kind of the last."""
        with recording_alone:
            return self._looked_up(args, kwargs)

    def _looked_up(self, args: Any, kwargs: Any) -> Any:
        for entry in self._entries:
            found = entry.match(args, kwargs)
            if found is not None:
                self._entries.remove(entry)
                self._entries.insert(0, entry)
                return self._run(entry, found, args, kwargs)
        if self._vain >= PATIENCE:  # each call is of another kind, and none can be recorded
            return self.function(*args, **kwargs)
        for entry in self._entries:
            self._varying |= {(id(place.holder), place.key) for place in entry.key.changed()}
        new = self._recorded(args, kwargs)
        self._vain = self._vain + 1 if new is not None and new.reason is not None else 0
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
            attempt = self.attempt(
                self.function, args, kwargs, varying=self._varying, more=self._more, exact=exact,
                grads=self.grads)
            try:
                return self.entry(attempt, attempt.run())
            except Created:
                return None
            except Exact:
                exact = True
                continue
            except Found as found:
                self._more = [*self._more, found.args[0]]
                continue
            except Exception as error:
                guards = attempt.recording.guards
                if self._anew < PATIENCE and not all(answer for _, answer in guards):
                    self._anew += 1  # an odd batch, such as one with NaN: it does not decide
                    return None
                if self.fullgraph:
                    if isinstance(error, Unsupported):
                        raise RuntimeError(f"compile: {error}") from None
                    raise
                known = isinstance(error, Question | Unsupported)
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                break
        else:
            reason = "a tensor is made of data beside the tensors; pass it as an argument"
            if self.fullgraph:
                raise RuntimeError(f"compile: {reason}")
        warnings.warn(f"compile: {self.name} runs as it is, not compiled: {reason}",
                      stacklevel=outside())
        return self.entry(attempt, None, reason)

    def _checked(self, entry: Entry, found: Any, args: Any, kwargs: Any) -> Any:
        """A run, and the eager step from the same state, which must agree."""
        before = Snapshot(entry)
        result = entry.run(found, args, kwargs)
        if result is NO_MATCH:
            return self._missed(entry, args, kwargs)
        after = Snapshot(entry)
        gradients = [(tensor, tensor._grad) for tensor in (
            *entry.dropped, *(one for one, _ in entry.gradients if isinstance(one, Value)))]
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
                lines.append(f"  {entry.words}: not compiled, ran {plural(entry.eager, 'time')} as "
                             f"it is: {entry.reason}")
                continue
            lines.append(f"  {entry.words}: {plural(len(entry.recording.lines), 'call')} of NumPy, "
                         f"{entry.program.words()}, ran {plural(entry.runs, 'time')}" + (
                             f"; {plural(entry.eager, 'time')} as it is, as a condition had "
                             "another answer" if entry.eager else ""))
        return "\n".join(lines)

    def __reduce__(self) -> Any:
        return type(self), (self.function, self.fullgraph, self.check, self.grads)
