"""A number for each spatial axis, as kernels, strides, paddings and dilations are given."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import ShapeError

Sizes = tuple[int, ...]
Size = int | tuple[int, ...] | list[int]
"""One for all axes, or one for each."""


def as_sizes(who: str, name: str, value: Any, dims: int, least: int) -> Sizes:
    """An int for all axes, or a tuple with one for each.

    Raises:
        TypeError: no ints. ShapeError: another number of them, or less than ``least``.
    """
    if value.__class__ is int and value >= least:  # where a layer's call would be felt
        return (value,) * dims
    given = tuple(value) if isinstance(value, tuple | list) else (value,)
    try:
        if any(isinstance(v, bool) for v in given):
            raise TypeError
        sizes = tuple(operator.index(v) for v in given)
    except TypeError:
        raise TypeError(f"{who}: expected {name} to be an int or {dims} ints, got {value!r}; "
                        "are the arguments in order?") from None
    if len(sizes) == 1:
        sizes *= dims
    if len(sizes) != dims:
        raise ShapeError(f"{who}: expected {name} to be an int or {dims} ints, one for each "
                         f"spatial axis, got {value!r}")
    if min(sizes) < least:
        raise ShapeError(f"{who}: expected {name} >= {least}, got {value!r}")
    return sizes


AXES = {1: "L", 2: "H, W"}


def spatial(dims: int, channels: str = "C") -> str:
    """The shapes that are taken, for messages."""
    return f"(N, {channels}, {AXES[dims]}) or ({channels}, {AXES[dims]})"
