"""What a recording holds for, and how a call is seen to be of its kind.

The key of a recording is what the step reached while it was recorded: the same objects, the same
plain values, tensors of the same shapes and dtypes. All of it is looked at in each call, as a
small step takes no longer than some hundred such looks; so they are generated as the text of one
function, as a namedtuple's methods are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import signature
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..autograd.mode import flags
from ..backend.array import overlaps
from ..nn.tree import changes
from .reach import Place


def alike(now: Any, then: Any) -> bool:
    """Whether a plain value is the same; NaN is itself."""
    return type(now) is type(then) and (now == then or (now != now and then != then))


def one_of(values: set[Any]) -> Any:
    """The one value there is.

    Raises:
        ValueError: there are several.
    """
    [value] = values
    return value


class Key:
    """What must be as it was, and where a run finds what it is given.

    same:     plain values, and objects passed through on the way to them
    modules:  ids of the dicts of modules' attributes: they are looked at if one was set
    sizes:    dicts and lists that must keep their lengths
    states:   tensors whose arrays a run is given, and which it may write
    text:     the looks at the arguments
    numbers:  for each number that a run is given the text of where it is now
    scope:    what the texts name
    """

    def __init__(self, scope: dict[str, Any], modules: set[int]) -> None:
        self.scope, self.modules = scope, modules
        self.same: list[Place] = []
        self.links: list[Place] = []
        self.sizes: list[Any] = []
        self.states: list[Any] = []
        self.held: list[Any] = []
        """The arrays of the states, then those of the arguments and what was drawn."""
        self.absent: list[Any] = []
        """Tensors that have no gradient when the step begins."""
        self.arguments: list[str] = []
        self.arrays: list[str] = []
        self.numbers: list[str] = []
        self.before: list[str] = []
        """What is called before the numbers are read."""
        self.others: list[str] = []
        """Tensors beside the states that a run writes."""
        self.targets: list[str] = []
        """Arguments that get a gradient."""
        self.match: Callable[[Any, Any], Any] = lambda args, kwargs: None

    def finish(self) -> None:
        """Write the function ``match(args, kwargs)``: None for a call of another kind, else the
        numbers given, whether all arrays of the states are where they were, other tensors that are
        written, and those that get a gradient."""
        scope = self.scope
        scope.update(held=self.held, one_of=one_of, moved=self._moved, equal=self._equal,
                     flags=flags.get, mode=flags.get())
        text = ["def match(args, kwargs):", "    if flags() != mode: return None"]
        text += [f"    {line}" for line in self.arguments]
        scope.update(changes=changes, seen=[changes[0]])
        looks, looks_within = self._sorted(self.same, "same")
        exact, within = self._sorted(self.links, "link")
        for i, container in enumerate(self.sizes):
            scope[f"size{i}"] = container
            (within if id(container) in self.modules else exact).append(
                f"len(size{i}) == {len(container)}")
        text += ["    now = changes[0]", "    if now != seen[0]:"]
        text += [f"        if not ({' and '.join(part)}): return None" for part in _parts(within)]
        text += [f"        if not ({' and '.join(part)}) and not equal(): return None"
                 for part in _parts(looks_within)]
        text.append("        seen[0] = now")
        for i, tensor in enumerate(self.states):
            scope[f"t{i}"] = tensor
            exact.append(f"t{i}.tracked is {tensor.tracked}")
        for i, tensor in enumerate(self.absent):
            scope[f"g{i}"] = tensor
            exact.append(f"g{i}._grad is None")
        text += [f"    if not ({' and '.join(part)}): return None" for part in _parts(exact)]
        text += [f"    if not ({' and '.join(part)}) and not equal(): return None"
                 for part in _parts(looks)]
        text.append("    same = True")
        arrays = [f"t{i}.array is held[{i}]" for i in range(len(self.states))]
        for part in _parts(arrays):
            text += [f"    if not ({' and '.join(part)}):", "        same = False"]
        text.append("    if not same and not moved(): return None")
        text += [f"    held[{len(self.states) + i}] = {array}"
                 for i, array in enumerate(self.arrays)]
        text += [f"    {line}" for line in self.before]
        text.append(f"    return [{', '.join(self.numbers)}], same, [{', '.join(self.others)}], "
                    f"[{', '.join(self.targets)}]")
        exec("\n".join(text), scope)
        self.match = scope["match"]

    def _sorted(self, places: Sequence[Place], name: str) -> tuple[list[str], list[str]]:
        """The looks at places, and at those that are attributes of modules."""
        looks: tuple[list[str], list[str]] = [], []
        for i, place in enumerate(places):
            looks[id(place.holder) in self.modules].append(self._look(place, f"{name}{i}"))
        return looks

    def _look(self, place: Place, name: str) -> str:
        self.scope[f"{name}_"], self.scope[f"{name}k"] = place.holder, place.key
        self.scope[name] = place.value
        if place.key is None:
            return f"{name}_.cell_contents is {name}"
        key = repr(place.key) if isinstance(place.key, str | int) else f"{name}k"
        return f"{name}_[{key}] is {name}"

    def _equal(self) -> bool:
        return all(alike(place.now(), place.value) for place in self.same)

    def changed(self) -> list[Place]:
        """The floats among the plain values that are others now."""
        found = []
        for place in self.same:
            try:
                now = place.now()
            except (KeyError, IndexError, ValueError):
                continue
            if type(now) is type(place.value) is float and not alike(now, place.value):
                found.append(place)
        return found

    def _moved(self) -> bool:
        """Take the arrays that states have now, as after ``p.data = ...``, if they are like those
        before."""
        arrays = [tensor.array for tensor in self.states]
        for now, then in zip(arrays, self.held, strict=False):
            if (type(now), now.shape, now.dtype) != (type(then), then.shape, then.dtype):
                return False
        if overlapping(arrays):
            return False
        self.held[: len(arrays)] = arrays
        return True


def _parts(looks: list[str], size: int = 200) -> list[list[str]]:
    return [looks[i : i + size] for i in range(0, len(looks), size)]


def overlapping(arrays: Sequence[np.ndarray]) -> bool:
    """Whether two of the arrays share memory, or one with itself."""
    bounds = sorted(_bounds(array) for array in arrays if array.size)
    return any(a[1] > b[0] for a, b in pairwise(bounds)) or any(map(overlaps, arrays))


def _bounds(array: Any) -> tuple[int, int]:
    """Where an array's memory begins and ends."""
    if type(array) is np.ndarray:  # host memory: its bounds are NumPy's to tell
        return np.lib.array_utils.byte_bounds(array)
    reach = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    start: int = array.data.ptr + sum(step for step in reach if step < 0)
    return start, start + sum(map(abs, reach)) + array.itemsize


def spoken(path: str, function: Callable[..., Any]) -> str:
    """``x`` for ``args[0]``, where that is the function's name for it."""
    place = re.match(r"(?:args\[(\d+)\]|kwargs\['(\w+)'\])", path)
    if place is None:
        return path
    name = place[2]
    if name is None:
        with suppress(TypeError, ValueError):  # of a module its forward, of a decorated one its own
            known = signature(getattr(function, "forward", function)).parameters.values()
            names = [one.name for one in known if one.kind in (
                one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
            name = names[int(place[1])] if int(place[1]) < len(names) else None
    return f"{name}{path[place.end():]}" if name else path


class Arguments:
    """The arguments of a call: what stands for them in a recording, and the looks at them.

    Tensors and floats are given to each run, everything else must be the same.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.scope: dict[str, Any] = {}
        self.tensors: list[tuple[str, Value]] = []
        self.floats: list[tuple[str, float]] = []
        self.others: list[tuple[str, Any]] = []
        self.arrays: list[str] = []
        self.refused: str | None = None

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        self.text.append(f"if len(args) != {len(args)} or len(kwargs) != {len(kwargs)}: "
                         "return None")
        for i, value in enumerate(args):
            self._one(f"args[{i}]", value)
        for key, value in kwargs.items():
            self.text.append(f"if {key!r} not in kwargs: return None")
            self._one(f"kwargs[{key!r}]", value)
        return self

    def _one(self, path: str, value: Any) -> None:
        name = f"a{len(self.text)}"
        self.scope[f"{name}c"] = type(value)
        self.text.append(f"{name} = {path}")
        self.text.append(f"if {name}.__class__ is not {name}c: return None")
        if isinstance(value, Value):
            array: Any = value.array
            self.scope[f"{name}d"], self.scope[f"{name}k"] = array.dtype, type(array)
            self.text.append(
                f"{name}a = {name}.array\n"
                f"    if {name}a.__class__ is not {name}k or {name}a.shape != {array.shape} or "
                f"{name}a.dtype != {name}d or {name}.tracked is not {value.tracked} or "
                f"{name}.edge is not None: return None")
            self.tensors.append((path, value))
            self.arrays.append(f"{name}a")
        elif type(value) is float:
            self.floats.append((name, value))
        elif type(value) in (tuple, list, dict):
            self.text.append(f"if len({name}) != {len(value)}: return None")
            for key, one in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(value, dict):
                    self.text.append(f"if {key!r} not in {name}: return None")
                self._one(f"{name}[{key!r}]", one)
        else:
            if isinstance(value, np.ndarray):  # host memory: it would be frozen
                self.refused = ("an argument is an array of NumPy's, whose values would be frozen; "
                                "pass tn.from_numpy(array)")
            self.scope[f"{name}v"] = value
            plain = isinstance(value, int | str | bytes | type(None))
            self.text.append(f"if {name} {'!=' if plain else 'is not'} {name}v: return None")
            self.others.append((path, value))
