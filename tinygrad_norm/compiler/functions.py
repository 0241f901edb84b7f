"""Functions of NumPy's that loops understand, as values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .recording import NumberSlot, Slot
from .values import BOOL, KINDS, Value, Values, values_in

SAME = frozenset(("copy", "ascontiguousarray", "asarray", "array", "positive"))
REDUCTIONS = {"sum": "sum", "max": "max", "min": "min", "amax": "max", "amin": "min", "any": "any",
              "all": "all", "mean": "mean"}
REDUCING = {"add": "sum", "maximum": "max", "minimum": "min", "logical_or": "any",
            "logical_and": "all"}
FILLS = {"zeros": 0, "ones": 1, "empty": 0, "zeros_like": 0, "ones_like": 1, "empty_like": 0}
VIEWS = frozenset(("transpose", "swapaxes", "moveaxis", "reshape", "ravel", "squeeze",
                   "expand_dims", "broadcast_to", "getitem", "view", "flip", *SAME))
HANDLED = frozenset(("getitem", "astype", "reshape", "ravel", "flatten", "squeeze", "expand_dims",
                     "broadcast_to", "where", "clip", "full", "full_like", "arange", "matmul",
                     "dot", "vecdot"))
"""Those with a method of their own here."""


POWERS = (-2, -1, -0.5, 0.5, 1, 2, 3)
"""The exponents that are products, quotients and a root."""


class Functions(Values):
    """A method for each function: of its arguments, settings, and the shape and dtype of its
    result. None where loops do not know the case."""

    def _given(self, x: Any) -> Any:
        """What stands for an argument: a value where it is an array or a changing number."""
        if isinstance(x, Slot):
            return self.read(x)
        if isinstance(x, NumberSlot):
            return self.new("number", (), int(x), (), np.float64)
        if isinstance(x, tuple | list):
            return type(x)(map(self._given, x))
        if isinstance(x, slice):
            return slice(*map(self._given, (x.start, x.stop, x.step)))
        return x

    def _host(self, x: Any, dtype: Any) -> Value:
        """A Python number, or an array that does not change, as a value."""
        if isinstance(x, Value):
            return x
        if isinstance(x, np.ndarray) and x.ndim:  # host memory: it does not change
            slot = Slot(-1 - len(self.constants))
            self.constants[slot] = x
            return self.cast(self.new("input", (), slot, x.shape, x.dtype), dtype or x.dtype)
        return self.const(x, np.dtype(dtype or np.asarray(x).dtype))

    def power(self, x: Value, exponent: float) -> Value:
        """x to one of POWERS."""
        if exponent == 0.5:
            return self.map("sqrt", [x], x.dtype)
        if exponent < 0:
            return self.map("divide", [self.const(1, x.dtype), self.power(x, -exponent)], x.dtype)
        power = x
        for _ in range(int(exponent) - 1):
            power = self.map("multiply", [power, x], x.dtype)
        return power

    def _view(self, name: str, given: list[Any], settings: Any,
              out: Slot) -> list[tuple[Any, ...]] | None:
        """How a view is seen from its first argument; None where only NumPy knows."""
        shape, dtype = self.recording.meta[out]
        x = given[0]
        if name == "getitem":
            entries = basic_index(given[1], x.shape)
            return None if entries is None else [("part", entries), ("reshaped", shape)]
        if name == "view":
            return [("bits", dtype)] if dtype.itemsize == x.dtype.itemsize else None
        if name == "flip":
            return [("part", _flipped(given[1:], settings, len(shape)))]
        if name in ("reshape", "ravel", "squeeze", "expand_dims", *SAME):
            return [("reshaped", shape)]
        if name == "broadcast_to":
            return [("spread", shape)]
        # a transpose: which axis went where is seen on an array of as many axes
        axes = np.arange(len(x.shape))
        empty = np.empty(tuple(axes + 2), np.bool_) if len(axes) < 8 else None
        if empty is None:
            return None
        plain = getattr(np, name)(empty, *given[1:] if len(given) < 3 or name != "transpose"
                                  else [tuple(given[1:])], **settings)
        return [("moved", tuple(n - 2 for n in plain.shape))]

    def _getitem(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        x = given[0]
        index = basic_index(given[1], x.shape) if isinstance(x, Value) else None
        return None if index is None else self.reshaped(self.part(x, index), shape)

    def _astype(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value:
        return self.cast(given[0], dtype)

    def _reshape(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value:
        return self.reshaped(given[0], shape)

    _ravel = _flatten = _squeeze = _expand_dims = _reshape

    def _broadcast_to(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value:
        return self.spread(given[0], shape)

    def _where(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        if len(given) != 3 or dtype.char not in KINDS or not isinstance(given[0], Value):
            return None
        return self.map("where", [self.cast(given[0], BOOL),
                                  *(self.cast(g, dtype) if isinstance(g, Value)
                                    else self._host(g, dtype) for g in given[1:])], dtype)

    def _clip(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        bounds = dict(zip(("min", "max"), given[1:], strict=False))
        bounds |= {k.removeprefix("a_"): self._given(v) for k, v in settings.items() if k != "out"}
        x = given[0]
        if x.dtype != dtype or dtype.char not in KINDS or bounds.keys() - {"min", "max"}:
            return None
        for key, name in (("min", "maximum"), ("max", "minimum")):
            bound = bounds.get(key)
            if type(bound) is int and dtype.kind in "iu":
                edge = getattr(np.iinfo(dtype), key)
                bound = None if (bound < edge if key == "min" else bound > edge) else bound
            if bound is not None:
                bound = self.cast(bound, dtype) if isinstance(bound, Value) \
                    else self._host(bound, dtype)
                x = self.map(name, [x, bound], dtype)
        return x

    def _full(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        fill = given[1]
        if isinstance(fill, Value):
            return self.spread(self.cast(fill, dtype), shape)
        return self.const(fill, dtype, shape) if np.ndim(fill) == 0 else None

    _full_like = _full

    def _arange(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        if len(given) != 1 or dtype.kind != "i":
            return None
        return self.cast(self.new("iota", (), None, shape, np.dtype(np.int64)), dtype)

    def _reduce(self, kind: str, given: list[Any], settings: Any, shape: Any, dtype: Any,
                names: tuple[str, ...] = ("axis", "dtype", "out", "keepdims")) -> Value | None:
        if kind in ("max", "min", "any", "all"):
            names = tuple(n for n in names if n != "dtype")
        asked = dict(zip(names, given[1:], strict=False)) | {
            k: self._given(v) for k, v in settings.items()}
        x = given[0]
        initial = asked.pop("initial", None)
        if asked.keys() - {"axis", "dtype", "keepdims", "out"} or dtype.char not in KINDS \
                or not isinstance(x, Value) or x.dtype.char not in KINDS:
            return None
        axis = asked.get("axis")
        axes = tuple(range(len(x.shape))) if axis is None else tuple(sorted(
            int(i) % len(x.shape) for i in (axis if isinstance(axis, tuple | list) else (axis,))))
        if (kind in ("max", "min") and 0 in x.shape and initial is None) or \
                (initial is not None and kind not in ("max", "min")):
            return None
        if kind == "mean":
            if dtype.kind != "f" or x.dtype.kind != "f" or not math.prod(x.shape):
                return None
            n = math.prod(x.shape[i] for i in axes)
            result = self.map("divide", [self.reduced("sum", x, axes, dtype),
                                         self.const(n, dtype)], dtype)
        elif kind in ("max", "min"):
            if 0 in x.shape:
                result = self.const(initial, dtype, tuple(
                    n for i, n in enumerate(x.shape) if i not in axes))
            else:
                result = self.reduced(kind, x, axes, dtype)
                if initial is not None:
                    result = self.map(f"{kind}imum", [result, self._host(initial, dtype)], dtype)
        else:
            if kind in ("any", "all"):
                x = self.cast(x, BOOL)
                if 0 in x.shape:
                    return self.const(kind == "all", BOOL, shape)
            result = self.reduced(kind, x, axes, dtype)
        return self.reshaped(result, shape)

    def _matmul(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        a, b = given
        if not (isinstance(a, Value) and isinstance(b, Value)) or settings.get("out") is not None:
            return None
        if len(a.shape) == len(b.shape) == 1 and dtype.kind == "f" and a.dtype == b.dtype:
            return self.reduced("sum", self.map("multiply", [a, b], dtype), (0,), dtype)
        if len(a.shape) == len(b.shape) == 2 and a.dtype == b.dtype and dtype.char in "fd" \
                and 0 not in (*a.shape, *b.shape):
            return self.new("product", (a, b), None, shape, dtype)
        return self.call(np.matmul, (a, b), {}, [(shape, dtype)])[0]

    def _dot(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        if all(isinstance(g, Value) and len(g.shape) == len(given[0].shape) <= 2 for g in given):
            return self._matmul(given, settings, shape, dtype)
        return None

    def _vecdot(self, given: list[Any], settings: Any, shape: Any, dtype: Any) -> Value | None:
        a, b = given
        if not (isinstance(a, Value) and isinstance(b, Value)) or dtype.char not in "fd":
            return None
        both = self.map("multiply", [a, b], dtype)
        return self.reduced("sum", both, (len(both.shape) - 1,), dtype)


def _flipped(given: list[Any], settings: Any, count: int) -> tuple[slice, ...]:
    """The index that is np.flip's."""
    axis = {"axis": None, **dict(zip(("axis",), given, strict=False)), **settings}["axis"]
    axes = range(count) if axis is None else [
        i % count for i in (axis if isinstance(axis, tuple | list) else (axis,))]
    return tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(count))


def basic_index(index: Any, shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """A basic index as one int or slice for each axis; None where it is not basic."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(i is None or i is Ellipsis or (isinstance(i, int | np.integer) and not isinstance(
            i, bool)) or (isinstance(i, slice) and not [*values_in(i)]) for i in index):
        return None
    index = tuple(i for i in index if i is not None)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        rest = (slice(None),) * (len(shape) - len(index) + 1)
        index = index[:at] + rest + index[at + 1:]
    index += (slice(None),) * (len(shape) - len(index))
    return tuple(i if isinstance(i, slice) else int(i) for i in index)
