"""The array that records: each call of NumPy on it is run, and becomes a line of its recording.

A Traced array lies on the device "compiled" and holds the value of now. Its shape and dtype may be
asked; its values may not, but for what ``choose.expect`` asks, which becomes a guard, and for an
array of one value that the recording was given and has not written: that is a
:class:`~.number.Number`. Views and writes in place need no care: lines are run again in their
order, on arrays that share memory as these do.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from ..backend.array import Device
from .number import Number, given_number
from .recording import DEVICE, Recording, Slot, current

FACTS = {"dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"}
PLAIN = (int, float, str, type(None), EllipsisType, np.dtype, type)
ASKING = {"array_equal", "array_equiv", "allclose", "tobytes"}
"""Functions and methods whose result is no array: it is made of values."""
SHAPING = {"nonzero", "flatnonzero", "argwhere", "unique", "compress", "extract", "trim_zeros"}
"""The shape of their result depends on values."""


def spelt(recording: Recording, value: Any) -> Any:
    """What stands in a line for an argument."""
    kind = type(value)
    if kind is Traced:
        return value.slot
    if kind is Number:
        return value.value if value.recording.closed else value.slot
    if isinstance(value, tuple | list):
        return kind(spelt(recording, one) for one in value)
    if kind is slice:
        return slice(*(spelt(recording, one) for one in (value.start, value.stop, value.step)))
    if isinstance(value, np.ndarray):  # host memory: it stays as it is
        return recording.constant(value) if value.ndim else value.copy()
    if isinstance(value, np.generic):
        return np.asarray(value)
    if isinstance(value, PLAIN):
        return value
    raise TypeError(f"compiled: expected arrays and numbers, got {kind.__name__}")


def raw(value: Any) -> Any:
    """An argument as NumPy takes it."""
    if type(value) is Traced:
        if value.recording.closed:
            raise stale()
        return value.array
    if type(value) is Number:
        return value.value
    if isinstance(value, tuple | list):
        return type(value)(map(raw, value))
    if type(value) is slice:
        return slice(raw(value.start), raw(value.stop), raw(value.step))
    return value


def stale() -> RuntimeError:
    """The error for what has outlived its recording."""
    return RuntimeError(
        "a tensor of a compiled step was used after the step had been recorded; a compiled step "
        "leaves its results in what it returns, and in parameters, buffers and optimizer state: "
        "return the tensor")


def here() -> Recording:
    """The recording of this thread."""
    recording = current.get()
    if recording is None:
        raise stale()
    return recording


def run(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Call ``function`` on the arrays of now, and write the call down."""
    recording = here()
    name = getattr(function, "method", getattr(function, "__name__", ""))
    if name in ASKING or name in SHAPING or (name == "where" and len(args) == 1):
        what = "the result" if name in ASKING else "the shape of the result"
        recording.depends([one for one in args if type(one) is Traced], f"{what} of {name}")
    out = settings.get("out")
    if out is None:
        settings.pop("out", None)
    line = spelt(recording, args), {key: spelt(recording, v) for key, v in settings.items()}
    result = recording.compute(function, *map(raw, args),
                               **{key: raw(value) for key, value in settings.items()})
    if result is None or out is not None:
        recording.line(function, *line, None)
        return out
    for one in args:
        if type(one) is Traced and one.array is result:  # nothing was to be done
            return one
    if isinstance(result, tuple | list):
        if not all(isinstance(one, np.ndarray | np.generic) for one in result):  # host memory: now
            return result
        many = [wrapped(recording, np.asarray(one), args) for one in result]
        recording.line(function, *line, [one.slot for one in many])
        return type(result)(many) if type(result) in (tuple, list) else tuple(many)
    if isinstance(result, np.ndarray | np.generic):  # host memory: of this call
        one = wrapped(recording, np.asarray(result), args)
        recording.line(function, *line, one.slot)
        return one
    return result


def wrapped(recording: Recording, array: np.ndarray, args: Sequence[Any]) -> Traced:
    """A result, with the arguments whose memory it shares."""
    of = [one.slot for one in args
          if type(one) is Traced and np.may_share_memory(one.array, array)]
    return Traced(recording, recording.slot(array, of), array)


@functools.cache
def method(name: str) -> Callable[..., Any]:
    """What stands in a line for the method of that name: a function with a ``.method``."""
    def call(array: Any, *args: Any, **settings: Any) -> Any:
        return getattr(array, name)(*args, **settings)

    call.method = call.__name__ = name  # type: ignore[attr-defined]
    return call


class Traced:
    """An array of a recording.

    slot:   its number there
    array:  its value of now
    """

    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("array", "recording", "slot")

    def __init__(self, recording: Recording, slot: Slot, array: np.ndarray) -> None:
        self.recording, self.slot, self.array = recording, slot, array

    def __getattr__(self, name: str) -> Any:
        if name in FACTS:
            return getattr(self.array, name)
        if name.startswith("_") or not callable(getattr(np.ndarray, name, None)):
            raise AttributeError(f"compiled arrays have no {name}")
        return functools.partial(run, method(name), self)

    @property
    def T(self) -> Traced:
        return run(np.transpose, self)

    @property
    def base(self) -> Any:
        return self.array.base

    @property
    def device(self) -> Device:
        return DEVICE

    def item(self, *index: int) -> Any:
        """The one value: a Number where each run can read it before anything is computed."""
        if index:
            return self.__getitem__(index).item()
        if self.array.size != 1:
            return self.array.item()  # NumPy's error
        (root, *more), recording = self.recording.roots(self.slot), self.recording
        if not more and root in recording.inputs and not recording.is_written(root) and (
                recording.meta[root][0] in ((), (1,))):
            known = next((n for n, source in recording.read.items() if source == root), None)
            if known is not None:
                return Number(recording, known, self.array.item())
            number = given_number(recording, self.array.item())
            recording.read[number.slot] = root
            return number
        return self.values("the value of a tensor").item()

    def values(self, what: str) -> np.ndarray:
        """The values of now, where they cannot be others; else an error, which says ``what``."""
        if self.recording.closed:
            raise stale()
        self.recording.depends([self], what)
        return self.array.copy()

    def __bool__(self) -> bool:
        return bool(self.array) if self.array.size != 1 else bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[Traced]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return value in self.values("whether a tensor holds a value")

    def __repr__(self) -> str:
        return f"Traced({self.array!r})"

    def __getitem__(self, index: Any) -> Any:
        for part in index if isinstance(index, tuple) else (index,):
            if type(part) is Traced and part.array.dtype.kind == "b":
                here().depends([part], "the shape of what a mask selects",
                               "use where(mask, x, 0)")
        if _is_one(index, self.array.ndim):
            index = (*(index if isinstance(index, tuple) else (index,)), ...)  # a view, no copy
        return run(operator.getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        run(operator.setitem, self, index, value)

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        return self.values("the values of a tensor")

    def __array_ufunc__(self, ufunc: Any, way: str, *inputs: Any, **settings: Any) -> Any:
        """Also where a plain array stands first, or is written: ``array += traced``."""
        out = settings.pop("out", None)
        function = ufunc if way == "__call__" else getattr(ufunc, way)
        return run(function, *inputs, **settings, out=out[0] if out else None)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        return run(function, *args, **settings)


def _is_one(index: Any, ndim: int) -> bool:
    """Whether an index has an int for each axis, so that NumPy would copy a single value."""
    parts = index if isinstance(index, tuple) else (index,)
    return len(parts) == ndim and all(isinstance(p, int) for p in parts)


OPERANDS = (Traced, int, float, np.ndarray, np.generic)


def _binary(name: str, *, reverse: bool) -> Any:
    function = getattr(operator, name)

    def call(self: Traced, other: Any) -> Any:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return run(function, other, self) if reverse else run(function, self, other)

    return call


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def call(self: Traced, other: Any) -> Traced:
        recording = here()
        line = (self.slot, spelt(recording, other))
        array = recording.compute(function, raw(self), raw(other))
        assert array is self.array, "NumPy writes in place, or raises"
        recording.line(function, line, {}, None)
        return self

    return call


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_",
              "xor", "lshift", "rshift"):
    _bare = _name.rstrip("_")
    setattr(Traced, f"__{_bare}__", _binary(_name, reverse=False))
    setattr(Traced, f"__r{_bare}__", _binary(_name, reverse=True))
    setattr(Traced, f"__i{_bare}__", _in_place("i" + _bare))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Traced, f"__{_name}__", _binary(_name, reverse=False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Traced, f"__{_name}__", functools.partialmethod(
        lambda self, function: run(function, self), getattr(operator, _name)))
