"""What a program leaves to NumPy: calls between its loops, and results as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .fuse import Fuse
from .task import Task
from .values import Value

Arrays = Sequence[np.ndarray]
Getter = Callable[[Arrays], Any]


class Placed(Protocol):
    """Memory in which values lie."""

    def array(self, v: Value) -> Any: ...


class Calls:
    """Makes functions of the arrays that a run is given.

    module:     whose arrays they are
    inputs:     where in these arrays each slot is; constants: the arrays of the other slots
    made:       arrays of this run by the number of their value: what calls gave, ``new`` results
    numbers:    of this run
    """

    def __init__(self, fuse: Fuse, block: Placed, inputs: dict[int, int],
                 constants: dict[int, Any], new: set[int], module: Any = np) -> None:
        self.fuse, self.block, self.new, self.module = fuse, block, new, module
        self.inputs, self.constants = inputs, constants
        self.made: dict[int, np.ndarray] = {}
        self._several: dict[int, Any] = {}
        self.numbers: Sequence[Any] = ()

    def end(self) -> None:
        """Let go of what belongs to the run."""
        self.made.clear()
        self._several.clear()

    def getter(self, v: Value) -> Getter:
        """What gives a value as an array, or a number."""
        if v.op == "cast" and v.args[0].op == "number":
            v = v.args[0]
        if v.op == "number":
            return lambda arrays: self.numbers[v.attr]
        if v.op == "const":
            constant = self.module.full(v.shape, v.attr, v.dtype)
            return lambda arrays: constant
        place = self.fuse.place(v)
        views: list[tuple[str, Any]] = []
        while v is not place:
            views.insert(0, ("transpose", v.attr) if v.op == "moved" else ("reshape", v.shape))
            v = v.args[0]

        def seen(array: np.ndarray) -> np.ndarray:
            for name, what in views:
                array = getattr(array, name)(what)
            return array

        task = self.fuse.tasks.get(place.id)
        slot = task.slot if task is not None else int(place.attr)
        if slot in self.inputs:
            i = self.inputs[slot]
            return (lambda arrays: seen(arrays[i])) if views else lambda arrays: arrays[i]
        if place.id in self.new or (slot is None and task is not None and task.kind == "called"
                                    and not _is_placed(task)):
            return lambda arrays: seen(self.made[place.id])
        fixed = seen(self.block.array(place) if slot is None else self.constants[slot])
        return lambda arrays: fixed

    def prepared(self, t: Task, moved: Callable[[Any], None]) -> Callable[[Arrays], Any]:
        """A call of NumPy's.

        moved: is told what the call has given.
        """
        v = t.value
        if t.kind == "product":
            a, b = map(self.getter, t.product.args)
            out = self.getter(v)
            if t.factor is None:
                matmul = self.module.matmul
                return lambda arrays: matmul(a(arrays), b(arrays), out=out(arrays))
            factor = self.getter(t.factor)

            def added(arrays: Arrays) -> None:
                array = out(arrays)
                array *= factor(arrays)
                array += a(arrays) @ b(arrays)

            return added
        call, which = v.attr
        function = self._function(call.function)
        args, settings = self._filled(call.args), self._filled(call.settings)
        if call.within:
            first, into = self.getter(call.args[0]), self.block.array(v)

            def within(arrays: Arrays) -> None:
                into[...] = first(arrays)
                function(into, *args(arrays)[1:], **settings(arrays))

            return within
        if _is_placed(t):
            into = self.block.array(v)
            return lambda arrays: function(*args(arrays), out=into, **settings(arrays))
        inner = len(call.results) > 1

        def plain(arrays: Arrays) -> None:
            result = self._several.get(id(call))
            if result is None:
                result = function(*args(arrays), **settings(arrays))
                if inner:  # its other results are asked for next
                    self._several[id(call)] = result
            result = self.module.asarray(result[which] if inner else result)
            if t.is_read:
                result = self.module.ascontiguousarray(result).reshape(v.shape)
                moved(result)
            self.made[v.id] = result

        return plain

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The module's own of a function of NumPy's."""
        name = getattr(function, "__name__", "")
        if getattr(np, name, None) is not function:
            return function
        own: Callable[..., Any] = getattr(self.module, name)
        return own

    def _filled(self, x: Any) -> Getter:
        """Nested arguments with arrays in the places of values."""
        if isinstance(x, Value):
            return self.getter(x)
        if isinstance(x, tuple | list):
            parts, kind = [self._filled(one) for one in x], type(x)
            return lambda arrays: kind([part(arrays) for part in parts])
        if isinstance(x, dict):
            values = {k: self._filled(v) for k, v in x.items()}
            return lambda arrays: {k: v(arrays) for k, v in values.items()}
        if isinstance(x, slice):
            start, stop, step = (self._filled(s) for s in (x.start, x.stop, x.step))
            return lambda arrays: slice(start(arrays), stop(arrays), step(arrays))
        return lambda arrays: x

    def result(self, v: Value, earlier: Sequence[Value]) -> Getter:
        """A result, as an array of its own; ``earlier`` are those that were given already."""
        get, place = self.getter(v), self.fuse.place(v)
        if place.id in self.new and all(self.fuse.place(x) is not place for x in earlier):
            return get
        return lambda arrays: get(arrays).copy()


def _is_placed(t: Task) -> bool:
    """Whether a call writes its result into the block."""
    call = t.value.attr[0]
    return call.within or (isinstance(call.function, np.ufunc) and call.function.nout == 1)
