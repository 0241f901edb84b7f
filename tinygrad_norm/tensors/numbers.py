"""Numbers that a dtype cannot hold: they are refused, not changed into others."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..backend.array import is_array
from ..errors import RangeError


@cache
def limits(dtype: np.dtype) -> tuple[float, float]:
    """The smallest and the largest finite number of a dtype of ints or floats."""
    if dtype.kind == "f":
        return float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    return np.iinfo(dtype).min, np.iinfo(dtype).max


def fitted(who: str, number: Any, dtype: np.dtype) -> Any:
    """``number``, a Python one, which may be rounded to ``dtype`` or truncated, and no more.

    For bools it is whether the number is not 0.

    Raises:
        RangeError: it lies outside, or is NaN or infinite where ``dtype`` has only ints.
    """
    if dtype.kind == "b":
        return bool(number)
    low, high = limits(dtype)
    endless = number != number or abs(number) == math.inf
    if low <= number <= high or (endless and dtype.kind == "f"):
        return number
    cure = ("take math.inf, or a wider dtype" if dtype.kind == "f" else "take a float dtype"
            if endless or not -2**63 <= number < 2**63 else "take int64")
    raise RangeError(f"{who}: {dtype} holds numbers from {low} to {high}, got {number!r:.40}; "
                     f"{cure}")


def as_number(who: str, name: str, value: Any) -> Any:
    """A Python number, out of a tensor or an array of one value too.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, Value):
        value = value.item()  # type: ignore[attr-defined]
    elif is_array(value) and value.size == 1:
        value = value.item()
    if not isinstance(value, int | float):
        raise TypeError(f"{who}: expected {name} to be a number, got {type(value).__name__}")
    return value
