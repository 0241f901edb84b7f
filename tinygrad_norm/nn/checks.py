"""What a layer may be made with. Checked once, when it is made: a forward pass does not pay for it.

What is checked of each input of a norm stands in ``normalization/checks.py``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ..errors import ShapeError

NUMBERS: frozenset[type] = frozenset((int, float, np.float64, np.float32))
"""The types of a momentum that is checked; a value on a device is not looked at."""


def as_int(who: str, name: str, value: Any) -> int:
    """An int, NumPy's too. A bool is none: it is an argument at the wrong place.

    Raises:
        TypeError: it is something else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{who}: expected {name} to be an int, got {value!r}; are the arguments "
                        "in order?") from None


def as_shape(who: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """An int or a sequence of them as a shape."""
    many = normalized_shape if isinstance(normalized_shape, Iterable) else (normalized_shape,)
    shape = tuple(as_int(who, "normalized_shape", n) for n in many)
    if not shape or min(shape) < 1:
        raise ShapeError(f"{who}: expected normalized_shape of positive ints, got {shape}")
    return shape


def as_count(who: str, name: str, value: Any, least: int = 0) -> int:
    """A number of channels, groups or samples.

    Raises:
        TypeError: no int. ShapeError: less than ``least``.
    """
    count = as_int(who, name, value)
    if count < least:
        raise ShapeError(f"{who}: expected {name} >= {least}, got {count}")
    return count


def does_not_divide(
    who: str, name: str, count: int, whole: str, channels: int, got: str = ""
) -> ShapeError:
    """The error for a number of groups, or a size of them."""
    fit = [n for n in range(1, channels + 1) if channels % n == 0]
    some = ", ".join(map(str, fit[:SOME])) + ", …" * (len(fit) > SOME)
    return ShapeError(f"{who}: expected {name} to divide {whole}, got {name}={count} for "
                      f"{got or f'{whole}={channels}'}; take one that divides {channels}: {some}")


SOME = 12
"""So many possible numbers are named."""


LAST = "; is the channel axis last? move it with permute()"


def another_size(name: str, size: int) -> str:
    """The cure for an input of ``size`` channels where others were expected."""
    return f"; make the layer with {name}={size}, or check the layer before it"


def is_number(value: Any) -> bool:
    """Whether it is a real number, NumPy's too; a bool is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def as_eps(who: str, eps: Any) -> float:
    """What is added to a variance before the root is taken; NumPy's would widen a float32 input.

    Raises:
        TypeError: no number. ValueError: negative, or NaN.
    """
    if not is_number(eps):
        raise TypeError(f"{who}: expected eps to be a number, got {eps!r}; 1e-5 is the usual one")
    if not eps >= 0:
        raise ValueError(f"{who}: expected eps >= 0, got {eps}; 1e-5 is the usual one")
    return float(eps)


def as_momentum(who: str, momentum: Any) -> float | None:
    """The weight of the new value in a running average, or None for the plain average.

    Raises:
        TypeError: neither a number nor None. ValueError: outside [0, 1], or NaN.
    """
    if momentum is None:
        return None
    if not is_number(momentum):
        raise TypeError(f"{who}: expected momentum to be a number or None, got {momentum!r}")
    if not 0 <= momentum <= 1:
        raise outside_of_range(who, momentum)
    return float(momentum)


def check_weight(who: str, momentum: Any) -> None:
    """As :func:`as_momentum`, of what a function is given: a number, or a value on a device."""
    if momentum is None:
        raise TypeError(f"{who}: expected momentum to be a number, got None; the plain average of "
                        "all batches is kept by a layer with momentum=None: pass 1/n at the nth")
    if type(momentum) in NUMBERS and not 0 <= momentum <= 1:
        raise outside_of_range(who, momentum)


def outside_of_range(who: str, momentum: Any) -> ValueError:
    """The error for a momentum that is no weight."""
    return ValueError(f"{who}: expected momentum in [0, 1], got {momentum}; it is the weight of "
                      "the new value: 0.1 keeps 0.9 of the old")
