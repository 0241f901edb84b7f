"""A strict stand-in for a GPU, so that a machine without one proves the same thing.

``StrictArray`` is a NumPy array behind a wall. As a CuPy array it refuses to become a NumPy array
by itself, it lives with arrays of its own kind and Python numbers only, reductions give arrays
without dimensions and know no axis of one, ints to negative powers give 0, and what is broadcast
can be written to. Stricter than CuPy, it refuses NumPy scalars, lists as indices, and
``float()``, ``int()``, ``bool()`` of itself, which wait for a GPU; and NumPy's arrays where CuPy
copies them without a word, unless ``takes_numpy`` is set. The two ways out are ``to_numpy`` and
``item()``, and they are counted.
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
REDUCTIONS = frozenset((  # noqa: SIM905
    "all any argmax argmin cumprod cumsum max mean min prod sort std sum var").split())
FACTS = {"dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"}


takes_numpy = False
"""Whether NumPy's arrays are taken where CuPy takes them: as indices and what is written there, by
einsum and ``add.at``, and without dimensions in comparisons and as any value that is written."""


def inside(value: Any, *, taken: bool = False) -> Any:
    """The NumPy arrays within strict ones; anything of NumPy's own is refused."""
    if isinstance(value, StrictArray):
        return value.hidden
    if isinstance(value, np.ndarray | np.generic):
        if taken and takes_numpy:
            return value
        raise TypeError(f"Unsupported type {type(value)}: strict arrays take strict arrays and "
                        "Python numbers")
    if isinstance(value, tuple | list):
        return type(value)(inside(item, taken=taken) for item in value)
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
        if not (part is None or isinstance(part, int | slice | EllipsisType | StrictArray)
                or (takes_numpy and type(part) is np.ndarray)):
            raise TypeError(f"strict: an index of {type(part)}; expected ints, slices, None, "
                            "ellipsis and strict arrays")
    return inside(index, taken=True)


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
            if name in REDUCTIONS and not self.ndim:
                axis = (*args, given.get("axis"))[0]
                if axis not in (None, ()):
                    raise np.exceptions.AxisError(
                        f"axis {axis} is out of bounds for array of dimension 0")
            places = [inside(value, taken=name == "take") for value in args]
            return outside(method(*places, **given), self, settings.get("out"))

        return call

    @property
    def T(self) -> StrictArray:
        return StrictArray(self.hidden.T)

    @property
    def base(self) -> StrictArray | None:
        base = self.hidden.base
        while base is not None and not isinstance(base, np.ndarray):  # as_strided puts one between
            base = getattr(base, "base", None)
        return None if base is None else StrictArray(base)

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
        where = position(index)
        taken = not getattr(value, "ndim", 0) or type(where) is np.ndarray
        self.hidden[where] = inside(value, taken=taken)

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        if function is np.einsum and takes_numpy:
            return module.einsum(*args, **settings)
        raise TypeError(f"numpy.{function.__name__} was called with a strict array")

    def _refused(self, *args: Any) -> NoReturn:
        raise TypeError("strict: this would wait for the device; use item() where it is meant")

    __float__ = __int__ = __bool__ = __index__ = __complex__ = __iter__ = __contains__ = _refused


def power(a: Any, b: Any) -> Any:
    """aᵇ; of ints to negative ones 0, but for 1 and -1."""
    try:
        return a**b
    except ValueError:
        whole = a ** np.where(np.less(b, 0), np.bitwise_and(b, 1), b)
        fraction = np.less(b, 0) & np.not_equal(np.abs(a), 1)
        return np.where(fraction, 0, whole).astype(np.result_type(a, b))


def _binary(name: str, *, reverse: bool) -> Any:
    function = power if name == "pow" else getattr(operator, name)

    def method(self: StrictArray, other: Any) -> Any:
        if not isinstance(other, StrictArray | int | float | np.ndarray | np.generic):
            return NotImplemented
        other = inside(other, taken=name in COMPARISONS and not getattr(other, "ndim", 0))
        return outside(function(other, self.hidden) if reverse else function(self.hidden, other))

    return method


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def method(self: StrictArray, other: Any) -> StrictArray:
        self.hidden = function(self.hidden, inside(other))
        return self

    return method


def _unary(name: str) -> Any:
    return lambda self: outside(getattr(operator, name)(self.hidden))


COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")

for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_",
              "xor"):
    _bare = _name.rstrip("_")
    setattr(StrictArray, f"__{_bare}__", _binary(_name, reverse=False))
    setattr(StrictArray, f"__r{_bare}__", _binary(_name, reverse=True))
    setattr(StrictArray, f"__i{_bare}__", _in_place("i" + _bare))
for _name in COMPARISONS:
    setattr(StrictArray, f"__{_name}__", _binary(_name, reverse=False))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(StrictArray, f"__{_name}__", _unary(_name))


class StrictFunction:
    """A function of NumPy, for strict arrays only."""

    def __init__(self, function: Any) -> None:
        self.function = function

    def __call__(self, *args: Any, **settings: Any) -> Any:
        taken = self.function in (np.einsum, np.add.at)
        given = {key: inside(value) for key, value in settings.items()}
        result = self.function(*(inside(value, taken=taken) for value in args), **given)
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

    @staticmethod
    def broadcast_to(array: StrictArray, shape: tuple[int, ...]) -> StrictArray:
        whole = np.broadcast_to(inside(array), shape)
        return StrictArray(np.lib.stride_tricks.as_strided(array.hidden, shape, whole.strides))

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
