"""What a step returns: nested tuples, lists and dicts of tensors and plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..autograd.graph import Value, wrap
from ..compiler.number import Number
from ..tensors.tensor import Tensor


class Result(NamedTuple):
    """A tensor that a run returns: the number of the output."""

    number: int


class Same(NamedTuple):
    """A tensor that was there before: of the state, or the argument at ``path``."""

    value: Value
    path: str | None


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """The same tuple, list or dict with ``function`` of each entry; anything else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(function, value))
    if isinstance(value, tuple | list):
        return type(value)(map(function, value))
    if isinstance(value, dict):
        return {key: function(one) for key, one in value.items()}
    return value


def built(template: Any, results: Any, numbers: Any, args: Any, kwargs: Any) -> Any:
    """The result of one run, from its outputs and numbers."""

    def one(part: Any) -> Any:
        if isinstance(part, Result):
            return wrap(Tensor, results[part.number])
        if isinstance(part, Same):
            given = {"args": args, "kwargs": kwargs}
            return part.value if part.path is None else eval(part.path, given)
        return numbers[part.slot] if type(part) is Number else mapped(one, part)

    return one(template)
