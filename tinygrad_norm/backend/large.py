"""Large arrays: formulas that are worth making loops of.

    @looped
    def silu(x): ...

NumPy makes a pass over memory for each operation of a formula; a loop makes one for all. What makes
loops is told to this module (by ``compiler.eager``); without it nothing is different.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

LARGE = 1 << 8
"""From so many values on a loop is faster: it takes some 4 µs with its results, as two calls of
NumPy's do. Of fewer it would be, too; but the first loop of each shape takes 10 to 80 ms."""

run: Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any] | None = None
"""``run(function, args, settings)`` gives what ``function(*args, **settings)`` does, by loops."""

fused: Any = None
"""``fused(function, args, settings)`` does it for tensors, as one operation of their graph;
NotImplemented where these are to be operations of their own."""
tensors: Any = ()
"""The class of tensors. This and ``fused`` are told by ``ops.fused``."""

update: Callable[..., bool] | None = None
"""``update(function, arrays, numbers, settings)`` does what ``function(*arrays, **numbers,
**settings)`` does, which writes to arrays, by loops. False where it did nothing."""


elsewhere: dict[str, tuple[Callable[..., Any], Callable[..., bool]]] = {}
"""``run`` and ``update`` for arrays of any size of another module's, by its name."""


def updates(array: Any) -> Callable[..., bool] | None:
    """``update`` for arrays as this one."""
    if type(array) is np.ndarray:  # host memory: loops are for the computer's own processors
        return update
    return elsewhere.get(array.__class__.__module__, (None, None))[1]


def least(array: Any) -> int:
    """From how many values on loops pay for arrays as this one: a GPU's kernel always does."""
    return LARGE if type(array) is np.ndarray else 0  # host memory: as above


def looped(function: F) -> F:
    """``function``, by loops where its first argument but None is a large array of NumPy's; where
    that is a tensor, as one operation.

    It must be a formula: a pure function of arrays, numbers and None that returns arrays or None.
    """

    @functools.wraps(function)
    def chosen(x: Any, *others: Any, **settings: Any) -> Any:
        first = x if x is not None else next((a for a in others if a is not None), None)
        # host memory: loops are for the computer's own processors
        if type(first) is np.ndarray:
            if first.size >= LARGE and run is not None:
                return run(function, (x, *others), settings)
        elif first.__class__.__module__ in elsewhere:
            return elsewhere[first.__class__.__module__][0](function, (x, *others), settings)
        elif isinstance(first, tensors):
            results = fused(function, (x, *others), settings)
            if results is not NotImplemented:
                return results
        return function(x, *others, **settings)

    return cast("F", chosen)
