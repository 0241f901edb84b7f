"""float16 is computed in float32 and rounded once: what each step would lose, no step loses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..autograd.graph import Value
from .transfer import cast

FLOAT16, FLOAT32 = np.dtype("float16"), np.dtype("float32")


def widened(value: Any) -> Any:
    """A float16 tensor or array as float32, anything else as it is."""
    if value.__class__ is tuple:
        return tuple(map(widened, value))
    array = value.array if isinstance(value, Value) else value
    return cast(value, dtype=FLOAT32) if getattr(array, "dtype", None) == FLOAT16 else value


def rounded_once(run: Callable[..., Any], *values: Any, **settings: Any) -> Any:
    """``run`` in float32 instead of float16; of its results the first comes back as float16."""
    results = run(*map(widened, values),
                  **{name: widened(value) for name, value in settings.items()})
    if not isinstance(results, tuple):
        return cast(results, dtype=FLOAT16)
    return (cast(results[0], dtype=FLOAT16), *results[1:])


def once(run: Callable[..., Any], x: Any, **settings: Any) -> Any:
    """``run(x)``, of float16 rounded once."""
    if x.array.dtype == FLOAT16:
        return rounded_once(run, x, **settings)
    return run(x, **settings)


def in_float32(run: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function of tensors, the first of them x, or the rule of a gradient, which is
    given arrays too, the first of them dy: float16 goes through float32."""

    @wraps(run)
    def wrapped(x: Any, *values: Any, **settings: Any) -> Any:
        if (x.array if isinstance(x, Value) else x).dtype == FLOAT16:
            return rounded_once(run, x, *values, **settings)
        return run(x, *values, **settings)

    return wrapped
