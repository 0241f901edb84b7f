"""Rules on large arrays, where the walk is recorded: each one operation, computed by loops.

Given tensors, a rule is recorded operation by operation, and each of them makes a pass over memory.
Of a rule that is ``looped`` (see ``backend/large.py``) and is given large arrays, loops compute the
values instead, and the graph gets one node. The way back through that node is a function for loops
too, and fused in its turn: it runs the rule on tensors and walks back, so that each order of
derivative comes from the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..autograd.anomaly import check_forward
from ..autograd.broadcasting import unbroadcast
from ..autograd.graph import Value, constant, wrap
from ..autograd.mode import ANOMALY, GRAD, LOOKED_AT, STEPS, flags
from ..autograd.op import Primitive
from ..autograd.plan import Plan, Source, cell
from ..autograd.record import record
from ..autograd.walk import walk
from ..backend import large

Function = Callable[..., Any]
Flags = tuple[bool, ...]

FUSED = 1 << 13
"""From so many values on: the first call of each kind takes some tenths of a second."""

aside = Primitive(lambda x: x, name="aside")
"""y = x, at a place of its own in the graph: there a partial derivative ends."""
aside.gradient(x=lambda dy: dy)


def fused(function: Function, args: Sequence[Any], settings: dict[str, Any]) -> Any:
    """``function(*args, **settings)`` as one operation of the graph.

    NotImplemented where it stays several: where arrays are small, or not all of one float dtype.
    """
    state, run = flags.get(), large.run
    held = [a for a in args if isinstance(a, Value)]
    if run is None or state & STEPS or not _fits([a.array for a in held]):
        return NotImplemented
    arrays = tuple(a.array if isinstance(a, Value) else a for a in args)
    results = run(function, arrays, settings)
    found = results if isinstance(results, tuple) else (results,)
    ys = [_tensor(held, one) for one in found]
    if state & ANOMALY:
        check_forward(function.__name__, arrays, found)
    wanted = tuple(isinstance(a, Value) and a.tracked for a in args)
    if state & GRAD and any(wanted):
        made = tuple(i for i, y in enumerate(ys) if y is not None and all(
            y is not one for one in held))
        outputs = [ys[i] for i in made]
        edges = [(a.edge or a) if needed else None for a, needed in zip(args, wanted, strict=True)]
        node = record(_operation(function, made), _plan(function, wanted, made), edges, settings,
                      arrays, args, outputs, [y.array.shape for y in outputs], state)
        for i, y in enumerate(outputs):
            y.tracked, y.edge = True, (node, i)
    return tuple(ys) if isinstance(results, tuple) else ys[0]


def _fits(arrays: Sequence[Any]) -> bool:
    """Whether loops are made for them, and worth it."""
    if not any(a.size >= FUSED for a in arrays):
        return False
    kind = np.ndarray, arrays[0].dtype  # host memory: loops are for the computer's own processors
    return kind[1].char in "fd" and all((type(a), a.dtype) == kind for a in arrays)


def _tensor(held: Sequence[Value], result: Any) -> Any:
    """A result as a tensor: one of those given, where the function hands it through."""
    if result is None:
        return None
    for one in held:
        if one.array is result:
            return one
    if any(np.may_share_memory(one.array, result) for one in held):  # without loops, a reshape
        result = result.copy()
    return wrap(held[0].result_class, np.asarray(result))


@cache
def _operation(function: Function, made: tuple[int, ...]) -> Primitive:
    """What the graph sees of ``function``, of whose results those of the numbers ``made`` count."""

    def computed(*arrays: Any, **settings: Any) -> Any:
        results = _run(function, arrays, settings)
        return tuple(results[i] for i in made) if isinstance(results, tuple) else results

    return Primitive(computed, name=function.__name__, outputs=tuple(f"y{i}" for i in made))


@cache
def _plan(function: Function, wanted: Flags, made: tuple[int, ...]) -> Plan:
    """All inputs are kept, and the way back runs the function again."""
    back = _way_back(function, wanted, made)

    def pull(dys: Sequence[Any], saved: Sequence[Any], settings: dict[str, Any]) -> list[Any]:
        gradients = iter(_run(back, (*saved, *dys), settings))
        return [next(gradients) if needed else None for needed in wanted]

    return Plan(
        tuple(Source(False, i, "") for i in range(len(wanted))),
        lambda arrays, inputs, ys: (arrays, tuple(map(cell, inputs))), pull,
        None if all(wanted) else lambda inputs: tuple(
            constant(x) for x, needed in zip(inputs, wanted, strict=True) if not needed))


def _run(function: Function, args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """``function(*args, **settings)``, on arrays by loops, on tensors as an operation."""
    if any(isinstance(a, Value) for a in args):
        results = fused(function, args, settings)
    else:
        results = NotImplemented if large.run is None else large.run(function, args, settings)
    return function(*args, **settings) if results is NotImplemented else results


@cache
def _way_back(function: Function, wanted: Flags, made: tuple[int, ...]) -> Function:
    """``(*inputs, *dys) -> gradients`` of the inputs that are wanted, on arrays and on tensors."""

    def back(*given: Any, **settings: Any) -> tuple[Any, ...]:
        inputs, dys = given[:len(wanted)], given[len(wanted):]
        graph = any(isinstance(one, Value) for one in given)
        xs = [_placed(x, needed) for x, needed in zip(inputs, wanted, strict=True)]
        ends = [x.edge or x for x, needed in zip(xs, wanted, strict=True) if needed]
        state = flags.get()
        token = flags.set(state if graph else state & ~LOOKED_AT | GRAD)
        try:
            results = function(*xs, **settings)
            ys = results if isinstance(results, tuple) else (results,)
            roots = []
            for i, dy in zip(made, dys, strict=True):
                if dy is not None and ys[i].tracked:
                    y = ys[i] if ys[i].shape == dy.shape else unbroadcast(ys[i], dy.shape)
                    roots.append((y.edge or y, dy))
            found = walk(roots, graph=graph, keep=graph, targets=frozenset(ends))
        finally:
            flags.reset(token)
        return tuple([found.get(end) for end in ends])

    back.__name__ = f"{function.__name__}_back"
    return back


def _placed(x: Any, tracked: bool) -> Any:
    """An input of the way back: a leaf, or where that is recorded, a place of its own."""
    if isinstance(x, Value):
        return aside(x) if tracked else x
    if x is None or isinstance(x, int | float):
        return x
    leaf = wrap(Value.result_class, x)
    leaf.tracked = tracked
    return leaf


large.fused, large.tensors = fused, Value
