"""The device "compiled": NumPy's functions for arrays that record, and how to record one.

It is there while something is recorded, in that thread; new tensors are made on it then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from types import ModuleType
from typing import Any

import numpy as np

from ..backend.array import Device, register
from ..backend.choose import ANSWERS, implements
from ..backend.random import copied
from ..errors import DeviceError
from .number import given_number
from .recording import DEVICE, Recording, current, recorded
from .traced import Traced, here, raw, run


class Recorded:
    """A function of NumPy's for arrays that record."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, **settings: Any) -> Any:
        inputs = getattr(self.function, "nin", len(args))
        if len(args) > inputs:  # np.add(a, b, out)
            args, settings = args[:inputs], {**settings, "out": args[inputs]}
        return run(self.function, *args, **settings)

    def __getattr__(self, name: str) -> Recorded:  # ufuncs have at, reduce, accumulate
        return Recorded(getattr(self.function, name))


class RecordingModule:
    """NumPy, or a module within it, for arrays that record."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.__name__ = f"compiled {module.__name__}"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        if name.startswith("__"):
            return value
        if isinstance(value, ModuleType):
            value = RecordingModule(value)
        elif name in ("may_share_memory", "shares_memory"):
            value = functools.partial(_unrecorded, value)
        elif callable(value) and not isinstance(value, type):
            value = Recorded(value)
        setattr(self, name, value)
        return value


def _unrecorded(function: Callable[..., Any], *args: Any) -> Any:
    return function(*map(raw, args))


MODULE = RecordingModule(np)


class RecordingBackend:
    """The device "compiled", where arrays record."""

    def owns(self, array: Any) -> bool:
        return type(array) is Traced

    def module(self) -> Any:
        return MODULE

    def device(self, array: Any) -> Device:
        return DEVICE

    def resolve(self, index: int | None) -> Device:
        if current.get() is None:
            raise DeviceError("device compiled: it is there while a step is recorded; call "
                              "tn.compile(step)")
        return DEVICE

    def from_numpy(self, array: np.ndarray, device: Device) -> Traced:
        """Data of the host's, which will be the same in each run."""
        recording = here()
        array = array.copy()
        first = array.flat[0] if array.size else array.dtype.type(0)
        if (array == first).all():
            slot = recording.slot(array)
            recording.line(np.full, (array.shape, first.item()), {"dtype": array.dtype}, slot)
        else:
            slot = recording.constant(array)
        return Traced(recording, slot, array)

    def to_numpy(self, array: Traced) -> np.ndarray:
        return array.values("the values of a tensor")


register("compiled", RecordingBackend())


@implements(copied, RecordingBackend)
def drawn(random: np.random.Generator, law: str, arguments: tuple[Any, ...], device: Device,
          dtype: Any) -> Traced:
    """As ``backend.random.copied``: each run draws anew."""
    recording = here()
    array, slot = recording.draw(random, law, arguments, dtype)
    return Traced(recording, slot, array)


def guard(condition: Any) -> bool:
    """The answer of now, which a run must find again."""
    if type(condition) is not Traced:
        return bool(condition)
    answer = bool(raw(condition))
    flat = condition.reshape(()) if condition.ndim else condition
    condition.recording.guards.append((flat.slot, answer))
    return answer


ANSWERS[Traced] = guard


_unasked = RLock()


@contextmanager
def unasked() -> Iterator[None]:
    """Nothing is asked of arrays that record, in any thread: the general ways are taken."""
    with _unasked:
        before = ANSWERS.pop(Traced, None)
        try:
            yield
        finally:
            if before is not None:
                ANSWERS[Traced] = before


def record(function: Callable[..., Any], arrays: Sequence[np.ndarray],
           numbers: Sequence[float] = ()) -> Recording:
    """The recording of ``function(*arrays, *numbers)``, which returns an array or several.

    It gets arrays that record, copies of these, and numbers that do; and the arrays' module is
    ``array_module`` of one. What it returns are the outputs; a number there is an error.
    """
    recording = Recording()
    with recorded(recording):
        given = [Traced(recording, recording.input(copy), copy)
                 for copy in (array.copy("K") for array in arrays)]
        results = function(*given, *(given_number(recording, number) for number in numbers))
        for result in results if isinstance(results, tuple | list) else (results,):
            recording.outputs.append(result.slot)
    return recording
