"""A strict stand-in for a GPU, so that a machine without one proves the same thing.

``StrictArray`` is a NumPy array behind a wall. As a CuPy array it refuses to become a NumPy array
by itself, it lives with arrays of its own kind and Python numbers only, and reductions give arrays
without dimensions. Stricter than CuPy, it refuses NumPy scalars, lists as indices, and
``float()``, ``int()``, ``bool()`` of itself, which wait for a GPU. The two ways out are
``to_numpy`` and ``item()``, and they are counted.
"""

from __future__ import annotations

import operator
from collections import Counter
from types import EllipsisType
from typing import Any, NoReturn

import numpy as np

from tinygrad_norm.backend.array import Device
from tinygrad_norm.errors import DeviceError

DEVICE = Device("strict", 0)
traffic: Counter[str] = Counter()
"""How often something crossed: "in", "out", "item"."""

METHODS = frozenset((  # noqa: SIM905
    "all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill flatten max "
    "mean min nonzero prod ravel repeat reshape round sort squeeze std sum swapaxes take trace "
    "transpose var view").split())
FACTS = {"dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"}


def inside(value: Any) -> Any:
    """The NumPy arrays within strict ones; anything of NumPy's own is refused."""
    if isinstance(value, StrictArray):
        return value.hidden
    if isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"Unsupported type {type(value)}: strict arrays take strict arrays and "
                        "Python numbers")
    if isinstance(value, tuple | list):
        return type(value)(map(inside, value))
    return value


def outside(result: Any, *candidates: Any) -> Any:
    """NumPy results as strict arrays; a result that is an argument comes back as that argument."""
    for candidate in candidates:
        if isinstance(candidate, StrictArray) and candidate.hidden is result:
            return candidate
    if isinstance(result, np.ndarray | np.generic):
        return StrictArray(np.asarray(result))
    if isinstance(result, tuple | list):
        return type(result)(map(outside, result))
    return result


def position(index: Any) -> Any:
    """An index of ints, slices, None, ellipsis and strict arrays."""
    for part in index if isinstance(index, tuple) else (index,):
        if not (part is None or isinstance(part, int | slice | EllipsisType | StrictArray)):
            raise TypeError(f"strict: an index of {type(part)}; expected ints, slices, None, "
                            "ellipsis and strict arrays")
    return inside(index)


class StrictArray:
    """An array that stays where it is."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, hidden: np.ndarray) -> None:
        assert isinstance(hidden, np.ndarray)
        self.hidden = hidden

    def __getattr__(self, name: str) -> Any:
        if name in FACTS:
            return getattr(self.hidden, name)
        if name not in METHODS:
            raise AttributeError(f"strict arrays have no {name}")
        method = getattr(self.hidden, name)

        def call(*args: Any, **settings: Any) -> Any:
            given = {key: inside(value) for key, value in settings.items()}
            return outside(method(*map(inside, args), **given), self, settings.get("out"))

        return call

    @property
    def T(self) -> StrictArray:
        return StrictArray(self.hidden.T)

    @property
    def base(self) -> StrictArray | None:
        return None if self.hidden.base is None else StrictArray(np.asarray(self.hidden.base))

    @property
    def device(self) -> Device:
        return DEVICE

    def item(self) -> Any:
        traffic["item"] += 1
        return self.hidden.item()

    def __len__(self) -> int:
        return len(self.hidden)

    def __repr__(self) -> str:
        return f"StrictArray({self.hidden!r})"

    def __getitem__(self, index: Any) -> StrictArray:
        index = position(index)
        result = self.hidden[index]
        if isinstance(result, np.generic):  # CuPy gives a view without dimensions
            result = self.hidden[(*index, ...) if isinstance(index, tuple) else (index, ...)]
        return outside(result)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.hidden[position(index)] = inside(value)

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function: Any, *args: Any) -> NoReturn:
        raise TypeError(f"numpy.{function.__name__} was called with a strict array")

    def _refused(self, *args: Any) -> NoReturn:
        raise TypeError("strict: this would wait for the device; use item() where it is meant")

    __float__ = __int__ = __bool__ = __index__ = __complex__ = __iter__ = __contains__ = _refused


def _binary(name: str, *, reverse: bool) -> Any:
    function = getattr(operator, name)

    def method(self: StrictArray, other: Any) -> Any:
        if not isinstance(other, StrictArray | int | float | np.ndarray | np.generic):
            return NotImplemented
        a, b = (inside(other), self.hidden) if reverse else (self.hidden, inside(other))
        return outside(function(a, b))

    return method


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def method(self: StrictArray, other: Any) -> StrictArray:
        self.hidden = function(self.hidden, inside(other))
        return self

    return method


def _unary(name: str) -> Any:
    return lambda self: outside(getattr(operator, name)(self.hidden))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_",
              "xor"):
    _bare = _name.rstrip("_")
    setattr(StrictArray, f"__{_bare}__", _binary(_name, reverse=False))
    setattr(StrictArray, f"__r{_bare}__", _binary(_name, reverse=True))
    setattr(StrictArray, f"__i{_bare}__", _in_place("i" + _bare))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(StrictArray, f"__{_name}__", _binary(_name, reverse=False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(StrictArray, f"__{_name}__", _unary(_name))


class StrictFunction:
    """A function of NumPy, for strict arrays only."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, **settings: Any) -> Any:
        given = {key: inside(value) for key, value in settings.items()}
        result = self.function(*map(inside, args), **given)
        return outside(result, *args, settings.get("out"))

    def __getattr__(self, name: str) -> StrictFunction:  # ufuncs have at, reduce, accumulate
        return StrictFunction(getattr(self.function, name))


class StrictGrid:
    def __getitem__(self, index: Any) -> Any:
        return outside(np.ogrid[index])


class StrictModule:
    """What ``array_module`` gives for a strict array: ``numpy``'s names."""

    __name__ = "strict"
    ogrid = StrictGrid()

    def __getattr__(self, name: str) -> Any:
        value = getattr(np, name)
        if callable(value) and not isinstance(value, type):
            value = StrictFunction(value)
            setattr(self, name, value)
        return value


module = StrictModule()


class StrictBackend:
    """The device "strict", which ``conftest.py`` registers."""

    def owns(self, array: Any) -> bool:
        return isinstance(array, StrictArray)

    def module(self) -> Any:
        return module

    def device(self, array: Any) -> Device:
        return DEVICE

    def resolve(self, index: int | None) -> Device:
        if index not in (None, 0):
            raise DeviceError(f"device strict:{index}: there is one")
        return DEVICE

    def from_numpy(self, array: np.ndarray, device: Device) -> StrictArray:
        traffic["in"] += 1
        return StrictArray(np.array(array))

    def to_numpy(self, array: StrictArray) -> np.ndarray:
        traffic["out"] += 1
        return array.hidden.copy()
