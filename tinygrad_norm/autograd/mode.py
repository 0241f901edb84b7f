"""What the engine does beside computing: record, watch for NaN, let layers keep statistics.

One ContextVar holds the flags, so a thread (or an asyncio task) sees only its own, and a context
manager restores what it found, also when its body raises.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeVar

GRAD = 1
"""Operations on tensors that require grad are recorded."""
ANOMALY = 2
"""Each forward and each backward result is searched for NaN."""
STATISTICS = 4
"""Layers in training mode update their running statistics."""
FORWARD = 8
"""Within the forward of a user's Function: not recorded, though its result is no constant."""
WATCH = 16
"""Each recorded operation is shown to a function: see :func:`watch`."""
UNHOOKED = 32
"""Hooks on gradients are not called: who only looks on has no effect."""
STEPS = 64
"""A rule is recorded operation by operation on large arrays too: to be drawn."""
LOOKED_AT = ANOMALY | WATCH

flags: ContextVar[int] = ContextVar("tinygrad_norm.flags", default=GRAD | STATISTICS)
watcher: ContextVar[Callable[[Any, Sequence[Any]], None]] = ContextVar("tinygrad_norm.watcher")

F = TypeVar("F", bound=Callable[..., Any])


class Mode:
    """A context manager and decorator that sets and clears flags for its body."""

    on = 0
    off = 0

    def __init__(self) -> None:
        self._tokens: list[Token[int]] = []

    def __enter__(self) -> None:
        self._tokens.append(flags.set(flags.get() & ~self.off | self.on))

    def __exit__(self, *error: object) -> None:
        flags.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        """``function`` in this mode; a generator or a coroutine, while its body runs."""
        on, off = self.on, self.off
        if inspect.isgeneratorfunction(function):
            return self._generator(function)
        if inspect.isasyncgenfunction(function):
            return self._async_generator(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            token = flags.set(flags.get() & ~off | on)
            try:
                return function(*args, **kwargs)
            finally:
                flags.reset(token)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with Held(self):
                return await function(*args, **kwargs)

        return awaited if inspect.iscoroutinefunction(function) else wrapped  # type: ignore

    def _generator(self, function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            held, body = Held(self), function(*args, **kwargs)
            step, given = body.send, None
            while True:
                try:
                    with held:
                        value = step(given)
                except StopIteration as end:
                    return end.value
                try:
                    step, given = body.send, (yield value)
                except BaseException as error:  # thrown in; of close(), what ends the body
                    step, given = body.throw, error

        return wrapped  # type: ignore[return-value]

    def _async_generator(self, function: F) -> F:
        @functools.wraps(function)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            held, body = Held(self), function(*args, **kwargs)
            step, given = body.asend, None
            while True:
                try:
                    with held:
                        value = await step(given)
                except StopAsyncIteration:
                    return
                try:
                    step, given = body.asend, (yield value)
                except BaseException as error:
                    step, given = body.athrow, error

        return wrapped  # type: ignore[return-value]


class Held:
    """A mode in force while a body runs, step by step; the body may enter others between."""

    def __init__(self, mode: Mode) -> None:
        self.mine, self.state = mode.on | mode.off, mode.on

    def __enter__(self) -> None:
        self.token = flags.set(flags.get() & ~self.mine | self.state)

    def __exit__(self, *error: object) -> None:
        self.state = flags.get() & self.mine
        flags.reset(self.token)


class _Plain(Mode):
    """A mode without arguments: ``@no_grad`` works like ``@no_grad()``."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode._tokens = []
        return mode(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__()


class no_grad(_Plain):
    """Nothing is recorded inside: results do not require grad."""

    off = GRAD


class enable_grad(_Plain):
    """Recording is on inside, also within :class:`no_grad`."""

    on = GRAD


class keep_statistics(_Plain):
    """Running statistics stay as they are inside, also in training mode.

    Gradient checks and drawings use it: running a layer to look at it must not change it.
    """

    off = STATISTICS


class function_forward(_Plain):
    """Nothing is recorded inside, because a rule stands for what is computed there."""

    off = GRAD
    on = FORWARD


class set_grad_enabled(Mode):
    """Turn recording on or off: at once when called as a function, restored at the end of ``with``.

    ``set_grad_enabled(False)`` on a line of its own stays in force until the next such call.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.on, self.off = (GRAD, 0) if mode else (0, GRAD)
        self._tokens.append(flags.set(flags.get() & ~self.off | self.on))

    def __enter__(self) -> None:
        pass

    def __call__(self, function: F) -> F:
        flags.reset(self._tokens.pop())  # used as a decorator: only the function is affected
        return super().__call__(function)


class detect_anomaly(Mode):
    """Search every result, forward and backward, for NaN and name the operation that made it.

    The error names the op and the line of your file that called it. Every value is read once more
    and every call's stack is kept, so it is slow: for debugging.
    """

    on = ANOMALY

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__()
        if not check_nan:
            self.on = 0


@contextmanager
def watch(seen: Callable[[Any, Sequence[Any]], None]) -> Iterator[None]:
    """Call ``seen(node, inputs)`` for each operation that is recorded inside.

    A node keeps of its inputs only what its gradient needs; here they are whole.
    """
    before, token = watcher.set(seen), flags.set(flags.get() | WATCH)
    try:
        yield
    finally:
        flags.reset(token)
        watcher.reset(before)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return bool(flags.get() & GRAD)


def statistics_enabled() -> bool:
    """Whether layers in training mode may update their running statistics."""
    return bool(flags.get() & STATISTICS)
