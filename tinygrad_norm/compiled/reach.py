"""What a function can reach: tensors, optimizers, generators, and the plain values that steer it.

From its closure, the globals that its code names, its defaults, what it is bound to and its
arguments, through attributes, lists and dicts. What a package of others holds is not entered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dis import get_instructions
from functools import cache, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..autograd.graph import Value
from ..backend.array import Device
from ..kinds import PACKAGE
from ..nn.tree import Tree
from ..optim.optimizer import Optimizer
from ..tensors.random import Generator

SIMPLE = (bool, int, float, str, bytes, type(None), np.dtype, Device)
MANY = 1000
"""Of so many entries, a list of numbers is data, and is not watched."""
AT_RUN = {"_blocks", "_in_place", "_together", "defaults", "stepped"}
"""What an optimizer keeps for its own speed."""


def is_ours(module: str | None) -> bool:
    """Whether a module is of this package."""
    return (module or "").partition(".")[0] == PACKAGE


@cache
def is_foreign(module: str | None) -> bool:
    """Whether a module is Python's or was installed."""
    root = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return not is_ours(root) and root != "__main__" and (
        root in sys.stdlib_module_names or "site-packages" in file)


class Place(NamedTuple):
    """Where something stands: an entry of a dict or a list, or a cell of a closure.

    name:  in words, such as ``model.scale``
    """

    name: str
    holder: Any
    key: Any
    value: Any

    def now(self) -> Any:
        """What stands there; an error where there is nothing any more."""
        return self.holder.cell_contents if self.key is None else self.holder[self.key]

    def put(self, value: Any) -> None:
        if self.key is None:
            self.holder.cell_contents = value
        else:
            self.holder[self.key] = value


class Wrapper:
    """A compiled step: what it reaches is what its function does."""

    function: Callable[..., Any]


class Reached:
    """What was found, each once.

    places:      plain values, which are compared by value
    links:       everything else that was passed through: it must be the same object
    tensors:     with their names
    containers:  dicts and lists with their names; attributes of objects too, and whether of ours
    """

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.links: list[Place] = []
        self.tensors: dict[Value, str] = {}
        self.containers: list[tuple[str, Any, bool]] = []
        self.optimizers: dict[int, tuple[str, Optimizer]] = {}
        self.layers: dict[int, tuple[str, Any]] = {}
        self.modules: set[int] = set()
        """The ids of the dicts of modules' attributes."""
        self.generators: list[Generator] = []
        self.randoms: list[np.random.Generator] = []
        self._seen: set[int] = set()
        self._held: list[Any] = []

    def search(self, name: str, value: Any) -> Reached:
        """Go through ``value`` and all behind it."""
        stack = [(name, value)]
        while stack:
            name, value = stack.pop()
            if id(value) in self._seen:
                if isinstance(value, Value) and "[" not in name:  # what a module calls it
                    self.tensors[value] = name
                continue
            self._seen.add(id(value))
            self._held.append(value)
            for place in self._parts(name, value):
                if isinstance(place.value, SIMPLE):
                    self.places.append(place)
                elif not self._is_left(place.value):
                    self.links.append(place)
                    stack.append((place.name, place.value))
        self._name_states()
        return self

    def _name_states(self) -> None:
        """What an optimizer keeps for a parameter is called after it."""
        for _, optimizer in self.optimizers.values():
            for parameter, state in optimizer.state.items():
                for key, tensor in state.items():
                    if tensor in self.tensors:
                        self.tensors[tensor] = f"{self.tensors[parameter]}.{key}"

    @staticmethod
    def _is_left(value: Any) -> bool:
        if isinstance(value, ModuleType | type | BuiltinFunctionType | CodeType):
            return True
        if isinstance(value, FunctionType):
            return is_foreign(value.__module__) or is_ours(value.__module__)
        return is_foreign(type(value).__module__) and not isinstance(
            value, list | tuple | dict | set | partial | MethodType | np.random.Generator)

    def _parts(self, name: str, value: Any) -> Iterator[Place]:
        if isinstance(value, Value):
            self.tensors.setdefault(value, name)
        elif isinstance(value, Wrapper):
            yield Place(name, vars(value), "function", value.function)
        elif isinstance(value, Generator):
            self.generators.append(value)
        elif isinstance(value, np.random.Generator):
            self.randoms.append(value)
        elif isinstance(value, Optimizer):
            yield from self._optimizer(name, value)
        elif isinstance(value, FunctionType):
            yield from _function(name, value)
        elif isinstance(value, MethodType):
            self._held.append(value)
            yield Place(name, [value.__func__], 0, value.__func__)
            yield Place(name.rpartition(".")[0] or name, [value.__self__], 0, value.__self__)
        elif isinstance(value, partial):
            yield Place(name, [value.func], 0, value.func)
            yield from self._entries(name, value.keywords)
            yield from self._entries(name, list(value.args))
        elif isinstance(value, dict | list | tuple | set):
            yield from self._entries(name, value)
        elif hasattr(value, "__dict__"):
            yield from self._object(name, value)

    def _entries(self, name: str, value: Any) -> Iterator[Place]:
        if isinstance(value, set):
            value = list(value)
        if len(value) > MANY and all(isinstance(one, SIMPLE) for one in list(value)[:MANY]):
            return
        if not isinstance(value, tuple):
            self.containers.append((name, value, False))
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in list(pairs):
            shown = self.tensors.get(key, "a tensor") if isinstance(key, Value) else f"{key!r:.40}"
            yield Place(f"{name}[{shown}]", value, key, one)

    def _object(self, name: str, value: Any) -> Iterator[Place]:
        own = vars(value)
        ours = is_ours(type(value).__module__)
        if isinstance(value, Tree):
            if "training" not in own:  # an entry of its own
                value.training = value.training  # type: ignore[attr-defined]
            self.modules.add(id(own))
            if callable(getattr(value, "numbers", None)):
                self.layers[id(value)] = name, value
        self.containers.append((name, own, ours))
        for key, one in list(own.items()):
            if ours and isinstance(one, tuple) and key.startswith("_"):
                continue  # what the last batch left
            if isinstance(value, Tree) or not ours or not isinstance(one, SIMPLE):
                yield Place(f"{name}.{key}", own, key, one)
        for kind in type(value).__mro__:
            if not is_foreign(kind.__module__) and not is_ours(kind.__module__):
                for one in vars(kind).values():
                    if isinstance(one, FunctionType):
                        yield from _function(f"{name}.{one.__name__}", one)

    def _optimizer(self, name: str, optimizer: Optimizer) -> Iterator[Place]:
        self.optimizers[id(optimizer)] = name, optimizer
        own = vars(optimizer)
        self.containers.append((name, own, True))
        for key, one in list(own.items()):
            if key not in (*AT_RUN, "state"):
                yield Place(f"{name}.{key}", own, key, one)
        yield Place(f"{name}.state", own, "state", optimizer.state)


def _function(name: str, function: FunctionType) -> Iterator[Place]:
    """What a function's code names."""
    for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if isinstance(cell, CellType) and _is_filled(cell):
            yield Place(key, cell, None, cell.cell_contents)
    known, codes = function.__globals__, _codes(function.__code__)
    names = sorted({name for code in codes for name in code.co_names})
    for key in sorted({one.argval for code in codes for one in get_instructions(code)
                       if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}):
        one = known.get(key)
        if isinstance(one, ModuleType) and not is_foreign(one.__name__) and not is_ours(
                one.__name__):
            own = vars(one)
            yield from (Place(f"{key}.{name}", own, name, own[name])
                        for name in names if name in own)
        elif key in known:
            yield Place(key, known, key, one)
    for i, value in enumerate(function.__defaults__ or ()):
        yield Place(f"a default of {name}", function.__defaults__, i, value)
    for key, value in (function.__kwdefaults__ or {}).items():
        yield Place(f"a default of {name}", function.__kwdefaults__, key, value)


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is cell.cell_contents
    except ValueError:
        return False


def _codes(code: CodeType) -> list[CodeType]:
    """It and the functions within it."""
    return [code, *(inner for one in code.co_consts if isinstance(one, CodeType)
                    for inner in _codes(one))]
