"""Lines → values: what a recording computes, each value once.

A recording is a list of lines, in which arrays are written over and views share memory. Here each
result becomes a value that never changes: equal ones are one object, a view is a map of indices,
and a write in place gives its array a new value. What is no loop (a product, a sort, a draw, an
index by arrays) stays a call.

    op        args             attr                      the value
    input     ()               slot                      an array given from outside
    number    ()               slot                      a Python number given from outside
    const     ()               the number                it in every place
    iota      ()               -                         0, 1, 2, … along the one axis
    cast      (x,)             -                         x in the dtype of the value
    bits      (x,)             -                         the bits of x read as another dtype
    map       (a, b, …)        name of a ufunc           elementwise, broadcast as NumPy does
    moved     (x,)             axes                      the transpose
    reshaped  (x,)             -                         the reshape
    spread    (x,)             -                         the broadcast
    part      (x,)             ((start, step, kept), …)  basic indexing, one entry for each axis
    put       (x, value)        as for part              x, but for value in the place of that part
    reduced   (x,)             (kind, axes)              sum, max, min, any, all; axes are dropped
    product   (a, b)           -                         the product of two matrices
    called    arguments        (Call, which result)      what NumPy computes in a call of its own
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .recording import Line, Recording, Slot, Unsupported

BOOL = np.dtype(bool)
KINDS = frozenset("?bhilqBHILQfd")
"""The dtypes that loops compute with; the rest (float16, complex) stays with NumPy."""


class Value:
    """One value of a recording; see the table above. ``where``: the lines of Python it is from."""

    __slots__ = ("args", "attr", "dtype", "id", "op", "shape", "where")

    def __init__(self, op: str, args: tuple[Value, ...], attr: Any, shape: tuple[int, ...],
                 dtype: np.dtype, number: int, where: Any) -> None:
        self.op, self.args, self.attr = op, args, attr
        self.shape, self.dtype, self.id, self.where = shape, dtype, number, where

    def __repr__(self) -> str:
        return f"%{self.id}"


class Call(NamedTuple):
    """A call that NumPy computes: ``function(*args, **settings)``, with values in the places of
    arrays.

    results:  the (shape, dtype) of each result
    within:   the result is written into a copy of the first argument, which is the value
    """

    function: Callable[..., Any]
    args: Any
    settings: dict[str, Any]
    results: list[tuple[tuple[int, ...], np.dtype]]
    within: bool


class Values:
    """The values of a recording.

    loops:    which ufuncs loops compute, for a name and a dtype
    """

    def __init__(self, recording: Recording, loops: Callable[[str, np.dtype], bool]) -> None:
        self.recording, self.loops = recording, loops
        self.seen: dict[Any, Value] = {}
        self.made: list[Value] = []
        self.constants: dict[Slot, np.ndarray] = dict(recording.constants)
        self.inputs: dict[int, Value] = {}
        self.base: list[Value] = []
        """The value that each array has now."""
        self.views: dict[int, tuple[int, tuple[tuple[Any, ...], ...]]] = {}
        """For each slot the array whose memory it is, and the views from there to it."""
        self.where: Any = None
        for line in recording.lines:
            self.where = line.where
            self._line(line)

    # -- making values -----------------------------------------------------------------------------

    def new(self, op: str, args: tuple[Value, ...], attr: Any, shape: tuple[int, ...],
            dtype: Any) -> Value:
        dtype = np.dtype(dtype)
        if 0 in shape and op not in ("const", "input", "called"):
            return self.const(0, dtype, shape)
        key = (op, tuple(a.id for a in args), repr(attr) if op != "called" else len(self.made),
               shape, dtype.str)
        value = self.seen.get(key)
        if value is None:
            value = Value(op, args, attr, shape, dtype, len(self.made), self.where)
            self.seen[key] = value
            self.made.append(value)
        return value

    def const(self, number: Any, dtype: np.dtype, shape: tuple[int, ...] = ()) -> Value:
        with np.errstate(all="ignore"):
            return self.new("const", (), np.asarray(number).astype(dtype)[()].item(), shape, dtype)

    def cast(self, x: Value, dtype: Any) -> Value:
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.op == "const":
            return self.const(x.attr, dtype, x.shape)
        if x.dtype.char not in KINDS or dtype.char not in KINDS:
            return self.call(_astype, (x, dtype), {}, [(x.shape, dtype)])[0]
        return self.new("cast", (x,), None, x.shape, dtype)

    def moved(self, x: Value, axes: tuple[int, ...]) -> Value:
        if axes == tuple(range(len(axes))):
            return x
        shape = tuple(x.shape[a] for a in axes)
        if x.op == "const":
            return self.const(x.attr, x.dtype, shape)
        if x.op == "moved":
            return self.moved(x.args[0], tuple(x.attr[a] for a in axes))
        return self.new("moved", (x,), axes, shape, x.dtype)

    def reshaped(self, x: Value, shape: tuple[int, ...]) -> Value:
        if x.shape == shape:
            return x
        if x.op == "const":
            return self.const(x.attr, x.dtype, shape)
        if x.op == "reshaped":
            return self.reshaped(x.args[0], shape)
        return self.new("reshaped", (x,), None, shape, x.dtype)

    def spread(self, x: Value, shape: tuple[int, ...]) -> Value:
        if x.shape == shape:
            return x
        if x.op == "const":
            return self.const(x.attr, x.dtype, shape)
        return self.new("spread", (x,), None, shape, x.dtype)

    def part(self, x: Value, index: tuple[Any, ...]) -> Value:
        """x[index] of ints and slices, one for each axis."""
        entries, shape, is_whole = _basic(index, x.shape)
        if is_whole:
            return self.reshaped(x, shape)
        if x.op == "const":
            return self.const(x.attr, x.dtype, shape)
        return self.new("part", (x,), entries, shape, x.dtype)

    def put(self, x: Value, index: tuple[Any, ...], value: Value) -> Value:
        """x, but for ``value`` at x[index]."""
        entries, shape, is_whole = _basic(index, x.shape)
        if 0 in shape:
            return x
        value = self.spread(value, shape)
        if is_whole:
            return self.reshaped(value, x.shape)
        return self.new("put", (x, value), entries, x.shape, x.dtype)

    def bits(self, x: Value, dtype: np.dtype) -> Value:
        return x if x.dtype == dtype else self.new("bits", (x,), None, x.shape, dtype)

    def map(self, name: str, args: list[Value], dtype: np.dtype) -> Value:
        """A ufunc of arguments that have the dtypes it is computed in."""
        shape = np.broadcast_shapes(*[a.shape for a in args])

        def is_number(k: int, number: float) -> bool:
            return args[k].op == "const" and args[k].attr == number

        if all(a.op == "const" for a in args) and name not in ("where", "mantissa", "exponent"):
            with np.errstate(all="ignore"):
                result = getattr(np, name)(*[a.dtype.type(a.attr) for a in args])
            return self.const(result, dtype, shape)
        for k, other in ((0, 1), (1, 0)) if len(args) == 2 else ():
            same = args[k].dtype == dtype and args[k].shape == shape
            if same and (
                    (name == "multiply" and is_number(other, 1))
                    or (name == "add" and is_number(other, 0) and dtype.kind == "i")
                    or (name == "bitwise_and" and is_number(other, True) and dtype == BOOL)
                    or (name == "divide" and k == 0 and is_number(1, 1))):
                return args[k]
        return self.new("map", tuple(args), name, shape, dtype)

    def reduced(self, kind: str, x: Value, axes: tuple[int, ...], dtype: np.dtype) -> Value:
        """``dtype``: what a sum is added and given in."""
        shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        if kind == "sum" and 0 in x.shape:
            return self.const(0, dtype, shape)
        if not axes or all(x.shape[i] == 1 for i in axes):
            return self.cast(self.reshaped(x, shape), dtype)
        if x.op == "const" and kind in ("max", "min", "any", "all"):
            return self.const(x.attr, dtype, shape)
        if kind == "sum" and dtype.kind in "iu":
            x = self.cast(x, dtype)
        return self.new("reduced", (x,), (kind, axes), shape, dtype)

    def call(self, function: Callable[..., Any], args: Any, settings: dict[str, Any],
             results: list[tuple[tuple[int, ...], np.dtype]], within: bool = False) -> list[Value]:
        inputs = tuple(values_in((args, settings)))
        call = Call(function, args, settings, results, within)
        return [self.new("called", inputs, (call, k), shape, dtype)
                for k, (shape, dtype) in enumerate(results)]

    # -- slots, views, writes ----------------------------------------------------------------------

    def _line(self, line: Line) -> None:
        raise NotImplementedError

    def read(self, slot: int) -> Value:
        """What stands in a slot now."""
        if slot not in self.views:
            shape, dtype = self.recording.meta[Slot(slot)]
            self.inputs[slot] = self.new("input", (), slot, shape, dtype)
            self._bind(slot, self.inputs[slot])
        base, chain = self.views[slot]
        value = self.base[base]
        for how in chain:
            value = self._seen(value, how)
        return value

    def _bind(self, slot: int, value: Value) -> None:
        self.views[slot] = (len(self.base), ())
        self.base.append(value)

    def _seen(self, x: Value, how: tuple[Any, ...]) -> Value:
        name, *what = how
        made: Value = getattr(self, name)(x, *what)
        return made

    def opaque(self, x: Value, slot: Slot, function: Any, args: Any, settings: Any) -> Value:
        """A view that only NumPy knows how to make, as it is now: a copy."""
        key = ("opaque", slot, x.id)
        if key not in self.seen:
            self.seen[key], = self.call(_copied, (function, x, *args), settings,
                                        [self.recording.meta[slot]])
        return self.seen[key]

    def write(self, slot: int, value: Value) -> None:
        """Give the array of a slot a new value, through its views."""
        old = self.read(slot)
        value = self.spread(self.cast(value, old.dtype), old.shape)
        base, chain = self.views[slot]
        above = [self.base[base]]
        for how in chain:
            above.append(self._seen(above[-1], how))
        for k in reversed(range(len(chain))):
            value = self._written(above[k], chain[k], value)
        self.base[base] = value

    def _written(self, x: Value, how: tuple[Any, ...], value: Value) -> Value:
        """x with ``value`` in the place that the view shows."""
        name, *what = how
        if name == "moved":
            return self.moved(value, tuple(int(i) for i in np.argsort(what[0])))
        if name == "reshaped":
            return self.reshaped(value, x.shape)
        if name == "bits":
            return self.bits(value, x.dtype)
        if name == "part":
            return self.put(x, what[0], value)
        if name == "opaque":
            return self.call(_write_view, (x, *what[1:], value), {},
                             [(x.shape, x.dtype)], within=True)[0]
        raise Unsupported(f"a write through {name}")


def values_in(x: Any) -> Iterator[Value]:
    """The values within nested arguments."""
    if isinstance(x, Value):
        yield x
    elif isinstance(x, tuple | list):
        for one in x:
            yield from values_in(one)
    elif isinstance(x, dict):
        yield from values_in(list(x.values()))
    elif isinstance(x, slice):
        yield from values_in((x.start, x.stop, x.step))


def _basic(index: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...], bool]:
    """Of a basic index (start, step, is kept) for each axis; the part's shape; whether it is all
    of the array, in order.
    """
    entries, part = [], []
    for i, n in zip(index, shape, strict=True):
        if isinstance(i, slice):
            start, stop, step = i.indices(n)
            count = len(range(start, stop, step))
            entries.append((start if count else 0, step if count > 1 else 1, True))
            part.append(count)
        else:
            entries.append((i % n, 1, False))
    is_whole = math.prod(part) == math.prod(shape) and all(
        entry[:2] == (0, 1) for entry in entries)
    return tuple(entries), tuple(part), is_whole


def _astype(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return x.astype(dtype)


def _copied(function: Any, *args: Any, **settings: Any) -> np.ndarray:
    return function(*args, **settings).copy()


def _write_view(x: np.ndarray, function: Any, args: Any, settings: Any, value: Any) -> None:
    """Write ``value`` where a view of x is."""
    function(x, *args, **settings)[...] = value
