"""Lines → values: what each call of a recording means."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from .functions import (
    FILLS,
    HANDLED,
    POWERS,
    REDUCING,
    REDUCTIONS,
    SAME,
    VIEWS,
    Functions,
    basic_index,
)
from .recording import Line, NumberSlot, Slot, Unsupported
from .values import BOOL, KINDS, Value, values_in

UFUNCS: dict[str, np.ufunc] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "neg": np.negative,
    "pos": np.positive, "abs": np.absolute, "invert": np.invert, "and_": np.bitwise_and,
    "or_": np.bitwise_or, "xor": np.bitwise_xor, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "lshift": np.left_shift,
    "rshift": np.right_shift,
}
"""Operators of Python, and the ufuncs they are."""
IN_PLACE = {f"i{name.rstrip('_')}": ufunc for name, ufunc in UFUNCS.items()}


@cache
def loop_dtypes(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The dtypes that NumPy computes ``ufunc`` in, of arrays' dtypes and classes of numbers."""
    return ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))


class Lines(Functions):
    """The values of a recording, line by line."""

    # -- lines -------------------------------------------------------------------------------------

    def _kind(self, x: Any, given: Any) -> Any:
        """What NumPy's promotion goes by: a dtype, or the class of a Python number."""
        if isinstance(x, NumberSlot):
            return float
        if isinstance(given, Value | np.ndarray | np.generic):  # host memory: constants
            return given.dtype
        return BOOL if isinstance(given, bool) else type(given)

    def _line(self, line: Line) -> None:
        """Give its result a value, or the array that it writes to a new one."""
        name: str = getattr(line.function, "method", "") or getattr(
            line.function, "__name__", "")
        given = [self._given(a) for a in line.args]
        target = line.settings.get("out")
        target = target[0] if isinstance(target, tuple) else target
        result: Any
        if name in IN_PLACE and not isinstance(line.function, np.ufunc):
            target = line.args[0]
            result = self._ufunc(IN_PLACE[name], line.args, given, None)
        elif name == "setitem" and _is_whole(given[1], self.read(line.args[0]).shape):
            target = line.args[0]
            result = self._host(given[2], self.read(target).dtype)
        elif name == "setitem" and (result := self._put(line, given)) is not None:
            target = line.args[0]
        elif line.out is None and target is None:
            target, result = line.args[0], self._within(line, given)
        elif self._is_view(line, name, given):
            return
        else:
            result = self._known(line, name, given, target)
            if result is None:
                result = self._called(line, given, target)
        if target is not None:
            self.write(target, result if isinstance(result, Value) else result[0])
            return
        slots = line.out if isinstance(line.out, list) else [line.out]
        for slot, one in zip(slots, result if isinstance(result, list) else [result], strict=True):
            assert slot is not None
            assert (one.shape, one.dtype) == self.recording.meta[slot], (name, one.shape, one.dtype)
            self._bind(slot, one)

    def _put(self, line: Line, given: list[Any]) -> Value | None:
        """x[index] = value of a basic index, as a value for x."""
        x = self.read(line.args[0])
        index = basic_index(given[1], x.shape)
        if index is None or x.dtype.char not in KINDS:
            return None
        value = self.cast(self._host(given[2], x.dtype), x.dtype)
        place = self.part(x, index)
        shape = self.reshaped(place, np.empty(x.shape, bool)[given[1]].shape).shape
        return self.put(x, index, self.reshaped(self.spread(value, shape), place.shape))

    def _known(self, line: Line, name: str, given: list[Any], target: Any) -> Any:
        """The value of a call that loops understand, or None."""
        function, args, settings, out, _ = line
        if isinstance(out, list):
            if name == "frexp" and self.loops("frexp", given[0].dtype):
                return [self.map("mantissa", [given[0]], given[0].dtype),
                        self.map("exponent", [given[0]], np.dtype("i4"))]
            return None
        meta = self.recording.meta[target if out is None else out]
        ufunc = function if isinstance(function, np.ufunc) else UFUNCS.get(name) \
            if getattr(function, "__module__", "") in ("_operator", "operator") else None
        if ufunc is not None:
            is_plain = not settings.keys() - {"out"} and ufunc.nout == 1
            return self._ufunc(ufunc, args, given, meta) if is_plain else None
        owner = getattr(function, "__self__", None)
        if name == "reduce" and isinstance(owner, np.ufunc):
            kind = REDUCING.get(owner.__name__)
            return kind and self._reduce(kind, given, settings, *meta)
        if name in HANDLED:
            return getattr(self, f"_{name}")(given, settings, *meta)
        if name in REDUCTIONS:
            return self._reduce(REDUCTIONS[name], given, settings, *meta)
        if name in FILLS:
            return self.const(FILLS[name], *reversed(meta))
        if name in SAME and isinstance(given[0], Value):
            return self.reshaped(self.cast(given[0], meta[1]), meta[0])  # of 0 axes is made 1
        return None

    def _is_view(self, line: Line, name: str, given: list[Any]) -> bool:
        """Bind the result as a view of its first argument, if it is one; also one that only NumPy
        knows, where the memory is written to. What is never written may be a copy."""
        slots, first = line.out if isinstance(line.out, list) else [line.out], (*line.args, None)[0]
        alias = [self.recording.alias.get(out, []) for out in slots if out is not None]
        if not any(alias):
            return False
        for k, out in enumerate(slots):
            assert out is not None
            how = self._view(name, given, line.settings, out) if name in VIEWS and isinstance(
                first, Slot) else None
            if how is None:
                if not any(self.recording.is_written(one) for one in slots if one is not None):
                    return False
                if not isinstance(first, Slot) or alias[k] not in ([], [first]):
                    raise Unsupported(f"a view that {name} makes of several arrays")
                function = partial(_one_of, line.function, k) if isinstance(line.out, list) \
                    else line.function
                how = [("opaque", out, function, tuple(given[1:]), line.settings)]
            base, chain = self.views[first]
            self.views[out] = (base, (*chain, *how))
            self.read(out)
        return True

    def _ufunc(self, ufunc: np.ufunc, args: Any, given: list[Any], meta: Any) -> Value:
        """A ufunc as loops, or as a call where loops do not know it."""
        given, args = given[:ufunc.nin], args[:ufunc.nin]
        kinds = tuple(self._kind(a, g) for a, g in zip(args, given, strict=True))
        *ins, out = loop_dtypes(ufunc, kinds)
        if any(isinstance(a, NumberSlot) for a in args) and meta is not None and out != meta[1]:
            *ins, out = loop_dtypes(ufunc, tuple(  # it was an int
                int if isinstance(a, NumberSlot) else k
                for a, k in zip(args, kinds, strict=True)))
        if ufunc.__name__ == "matmul":
            shape, dtype = meta or self.recording.meta[args[0]]
            return self._matmul(given, {}, shape, dtype) or self.call(
                np.matmul, tuple(given), {}, [(shape, dtype)])[0]
        is_known = self.loops(ufunc.__name__, ins[0]) or (
            ufunc is np.power and isinstance(given[1], int | float) and given[1] in POWERS
            and out.kind == "f")
        if is_known and all(d.char in KINDS for d in ins):
            if ufunc.__name__ == "positive":
                return self.cast(given[0], out)
            values = [self.cast(g, d) if isinstance(g, Value) else self._host(g, d)
                      for g, d in zip(given, ins, strict=True)]
            if ufunc is np.power:
                return self.power(values[0], given[1])
            return self.map(ufunc.__name__, values, out)
        shape = np.broadcast_shapes(*[getattr(g, "shape", ()) for g in given])
        return self.call(ufunc, tuple(given), {}, [(shape, out)])[0]

    def _called(self, line: Line, given: list[Any], target: Any) -> Any:
        """A call that stays with NumPy; made now, where it is always the same."""
        settings = {k: self._given(v) for k, v in line.settings.items() if k != "out"}
        slots = line.out if isinstance(line.out, list) else [
            target if line.out is None else line.out]
        if not [*values_in((given, settings))] and len(slots) == 1:
            return self._host(np.asarray(line.function(*given, **settings)), None)
        return self.call(line.function, tuple(given), settings,
                         [self.recording.meta[slot] for slot in slots])

    def _within(self, line: Line, given: list[Any]) -> Value:
        """A call that writes into its first argument: the value of that."""
        if not isinstance(line.args[0], Slot):
            raise Unsupported(f"a call of {line.function} without a result")
        old = self.read(line.args[0])
        settings = {k: self._given(v) for k, v in line.settings.items()}
        return self.call(line.function, (old, *given[1:]), settings, [(old.shape, old.dtype)],
                         within=True)[0]


def _one_of(function: Any, k: int, *args: Any, **settings: Any) -> Any:
    """The result with number k."""
    return function(*args, **settings)[k]


def _is_whole(index: Any, shape: tuple[int, ...]) -> bool:
    """Whether ``x[index] = …`` writes all of x."""
    index = index if isinstance(index, tuple) else (index,)
    return all(i is Ellipsis or (isinstance(i, slice) and i == slice(None)) for i in index) \
        and len(index) <= len(shape) + 1
