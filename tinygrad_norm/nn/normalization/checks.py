"""What a norm may be made with. Checked once, when it is made: a forward pass does not pay for it.

What is checked of each input stands in ``core.py``.
"""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np

from ...errors import ShapeError

NUMBERS: frozenset[type] = frozenset((int, float, np.float64, np.float32))
"""What a momentum is when it is no value on a device, which is not looked at."""


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


def as_count(who: str, name: str, value: Any, least: int = 0) -> int:
    """A number of channels, groups or samples.

    Raises:
        TypeError: no int. ShapeError: less than ``least``.
    """
    count = as_int(who, name, value)
    if count < least:
        raise ShapeError(f"{who}: expected {name} >= {least}, got {count}")
    return count


def is_number(value: Any) -> bool:
    """Whether it is a real number, NumPy's too; a bool is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_eps(who: str, eps: Any) -> None:
    """eps is added to a variance before the root is taken.

    Raises:
        TypeError: no number. ValueError: negative, or NaN.
    """
    if not is_number(eps):
        raise TypeError(f"{who}: expected eps to be a number, got {eps!r}; 1e-5 is the usual one")
    if not eps >= 0:
        raise ValueError(f"{who}: expected eps >= 0, got {eps}; 1e-5 is the usual one")


def check_momentum(who: str, momentum: Any) -> None:
    """The weight of the new value in a running average, or None for the plain average.

    Raises:
        TypeError: neither a number nor None. ValueError: outside [0, 1], or NaN.
    """
    if momentum is None:
        return
    if not is_number(momentum):
        raise TypeError(f"{who}: expected momentum to be a number or None, got {momentum!r}")
    if not 0 <= momentum <= 1:
        raise outside(who, momentum)


def check_weight(who: str, momentum: Any) -> None:
    """As :func:`check_momentum`, of what a function is given: a number, or a value on a device."""
    if type(momentum) in NUMBERS and not 0 <= momentum <= 1:
        raise outside(who, momentum)


def outside(who: str, momentum: Any) -> ValueError:
    """The error for a momentum that is no weight."""
    return ValueError(f"{who}: expected momentum in [0, 1], got {momentum}; it is the weight of "
                      "the new value: 0.1 keeps 0.9 of the old")
