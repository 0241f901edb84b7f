"""Quotients without a fraction, what they leave, and shifts of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.graph import Value
from ..ops import integer

if TYPE_CHECKING:
    from .tensor import Tensor

Number = Any
"""A tensor, an array or a Python number."""


class Integer(Value):
    """The operators that Python has for ints; all but the shifts take floats too."""

    def __floordiv__(self, other: Number) -> Tensor:
        return integer.floor_divide(self, other)

    def __rfloordiv__(self, other: Number) -> Tensor:
        return integer.floor_divide(other, self)

    def __mod__(self, other: Number) -> Tensor:
        return integer.remainder(self, other)

    def __rmod__(self, other: Number) -> Tensor:
        return integer.remainder(other, self)

    def __lshift__(self, other: Number) -> Tensor:
        return integer.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Number) -> Tensor:
        return integer.bitwise_left_shift(other, self)

    def __rshift__(self, other: Number) -> Tensor:
        return integer.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Number) -> Tensor:
        return integer.bitwise_right_shift(other, self)

    def floor_divide(self, other: Number) -> Tensor:
        """The largest whole number that is not above self / other."""
        return integer.floor_divide(self, other)

    def remainder(self, other: Number) -> Tensor:
        """self - other ⌊self / other⌋, of the sign of ``other``"""
        return integer.remainder(self, other)

    def fmod(self, other: Number) -> Tensor:
        """What is left of a division without fraction, of the sign of self."""
        return integer.fmod(self, other)

    def bitwise_left_shift(self, other: Number) -> Tensor:
        return integer.bitwise_left_shift(self, other)

    def bitwise_right_shift(self, other: Number) -> Tensor:
        return integer.bitwise_right_shift(self, other)
