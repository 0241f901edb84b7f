"""Tensors that share memory, and how they follow a write into it that is recorded.

Each tensor of one memory holds the same ``written`` list; its second entry names them all, weakly.
A view also knows its *base* and the calls that led to it. A write into a view is a write into its
base, which gets new memory and a new place in the graph; each living view is then made of it anew,
and so is seen to have changed. Uses before the write keep the memory that they saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from ..backend.array import array_module
from .graph import Value

Call = tuple[Callable[..., Any], dict[str, Any]]


ROOM = 16
"""So many tensors of one memory may be gone before they are no longer listed."""


def listed(*values: Value) -> list[Any]:
    """The tensors of one memory; those that are gone too, until there are as many as said first."""
    return [2 * len(values) + ROOM, *map(ref, values)]


def share(alias: Value, of: Value, calls: tuple[Call, ...] = (), follows: bool = False) -> None:
    """``alias`` has the memory of ``of``, through the calls of views.

    follows: it is a part of ``of`` also in the graph, so that a write into one is one into both
    """
    cell = alias.written = of.written
    known = cell[1]
    if not known:  # spelt out: each view of a tensor of its own comes here
        cell[1] = [ROOM + 4, ref(of), ref(alias)]
    else:
        if len(known) > known[0]:
            known = cell[1] = listed(*others(of), of)
        known.append(ref(alias))
    base, before = of._base, of._calls
    alias._base = (of if base is None else base) if follows else None
    alias._calls = before + calls if before else calls


def owner(value: Value) -> Value:
    """The tensor that a write into ``value`` is a write into: its base, or itself."""
    base = value._base
    return value if base is None or base.written is not value.written else base


def path(value: Value, base: Value) -> tuple[Call, ...]:
    """The calls that lead from ``base`` to ``value``, which shares its memory."""
    return (value._calls or ())[len(base._calls or ()):]


def is_at(value: Value, call: Call, of: Value) -> bool:
    """Whether ``value`` is the view that ``call`` gives of ``of``."""
    return value.written is of.written and value._calls == (*(of._calls or ()), call)


def called(calls: tuple[Call, ...], value: Any) -> Any:
    """``value``, or an array, after the calls."""
    for call, settings in calls:
        value = call(value, **settings)
    return value


def others(base: Value) -> list[Value]:
    """The living tensors that share the memory of ``base``."""
    cell = base.written
    found = [one() for one in cell[1][1:]] if cell[1] else []
    return [one for one in found if one is not None and one is not base and one.written is cell]


def rewrite(base: Value, result: Value) -> None:
    """``base`` takes over the memory and the place in the graph of ``result``; its aliases follow.

    Raises:
        RuntimeError: ``base`` was made by detach() or the like, and what it shares memory with is
            still there: that one's values would change without its history.
    """
    aliases = others(base)
    if base._calls is not None:
        if any(one._base is not base for one in aliases):
            raise RuntimeError(
                "this tensor shares memory with another one and not its history (it was made by "
                "detach(), .data or inside no_grad()); write into a clone()"
            )
        for one in aliases:
            one._calls = path(one, base)
        base._base = base._calls = None
    old, array = base.array, result.array
    if aliases and array.strides != old.strides:  # a view of this layout may be none of another
        array = array_module(old).empty_like(old)
        array[...] = result.array
    _move(base, array, result)
    if not aliases:
        return
    base.written[1] = listed(base, *aliases)
    for one in aliases:
        if one._base is base:
            view = called(path(one, base), base)
            _move(one, view.array, view)
        elif one.edge is None:  # the result of an operation keeps its value
            one.array, one.written = called(path(one, base), base.array), base.written


def _move(value: Value, array: Any, place: Value) -> None:
    """A new array and a new place in the graph; a gradient that was to be retained still is."""
    node, i = value.edge or (None, 0)
    retained = (node.retained or {}).pop(i, None) if node else None
    value.array, value.edge, value.tracked = array, place.edge, place.tracked
    value.written = place.written
    if retained:
        value.retain_grad()  # type: ignore[attr-defined]
