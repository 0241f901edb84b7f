"""Operators and functions, element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autograd.graph import Value, wrap
from ..autograd.promotion import promoted, result_type
from ..backend.array import array_module, is_array, plain
from ..backend.choose import expect
from ..errors import DtypeError
from ..ops import choice, integer
from ..ops import elementwise as ops
from ..ops.elementwise import add, mul
from ..ops.linalg import matmul
from .numbers import as_number, fitted

if TYPE_CHECKING:
    from .tensor import Tensor

Number = Any
"""A tensor, an array or a Python number."""

ROUNDINGS: dict[str | None, Any] = {None: ops.div, "floor": integer.floor_divide,
                                    "trunc": integer.trunc_divide}
"""How a quotient is brought to a whole number."""


class Arithmetic(Value):
    """What stands between or around tensors in a formula."""

    __array_priority__ = 1000
    __array_ufunc__ = None  # an array on the left of an operator leaves the work to us

    def __add__(self, other: Number) -> Tensor:
        return add(self, other)

    def __radd__(self, other: Number) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Number) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: Number) -> Tensor:
        return ops.sub(other, self)

    def __mul__(self, other: Number) -> Tensor:
        return mul(self, other)

    def __rmul__(self, other: Number) -> Tensor:
        return ops.mul(other, self)

    def __truediv__(self, other: Number) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: Number) -> Tensor:
        return ops.div(other, self)

    def __pow__(self, other: Number) -> Tensor:
        return ops.pow_(self, other)

    def __rpow__(self, other: Number) -> Tensor:
        return ops.pow_(other, self)

    def __matmul__(self, other: Number) -> Tensor:
        return matmul(self, other)

    def __rmatmul__(self, other: Number) -> Tensor:
        return matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        return ops.abs_(self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return choice.equal(self, other) if comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return choice.not_equal(self, other) if comparable(other) else NotImplemented

    def __lt__(self, other: Number) -> Tensor:
        return choice.less(self, other)

    def __le__(self, other: Number) -> Tensor:
        return choice.less_equal(self, other)

    def __gt__(self, other: Number) -> Tensor:
        return choice.greater(self, other)

    def __ge__(self, other: Number) -> Tensor:
        return choice.greater_equal(self, other)

    def __and__(self, other: Number) -> Tensor:
        return choice.logical_and(self, other)

    def __or__(self, other: Number) -> Tensor:
        return choice.logical_or(self, other)

    def __xor__(self, other: Number) -> Tensor:
        return choice.logical_xor(self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> Tensor:
        return choice.logical_not(self)

    __hash__ = Value.__hash__

    def add(self, other: Number, *, alpha: float = 1) -> Tensor:
        """self + alpha other"""
        return ops.add(self, other) if alpha == 1 else ops.add_scaled(self, other, alpha)

    def sub(self, other: Number, *, alpha: float = 1) -> Tensor:
        """self - alpha other"""
        return ops.sub(self, other) if alpha == 1 else ops.add_scaled(self, other, -alpha)

    def mul(self, other: Number) -> Tensor:
        return ops.mul(self, other)

    def div(self, other: Number, *, rounding_mode: str | None = None) -> Tensor:
        """self / other, by ``rounding_mode`` as it is, to the "floor", or without its fraction."""
        if rounding_mode not in ROUNDINGS:
            raise RuntimeError("div: expected rounding_mode to be None, 'floor' or 'trunc', got "
                               f"{rounding_mode!r}")
        return ROUNDINGS[rounding_mode](self, other)

    def pow(self, exponent: Number) -> Tensor:
        return ops.pow_(self, exponent)

    def neg(self) -> Tensor:
        return ops.neg(self)

    def abs(self) -> Tensor:
        return ops.abs_(self)

    def exp(self) -> Tensor:
        return ops.exp(self)

    def expm1(self) -> Tensor:
        return ops.expm1(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def log1p(self) -> Tensor:
        return ops.log1p(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def rsqrt(self) -> Tensor:
        return ops.rsqrt(self)

    def square(self) -> Tensor:
        return ops.square(self) if self.array.dtype.kind != "b" else ops.pow_(self, 2)

    def reciprocal(self) -> Tensor:
        return ops.reciprocal(self)

    def sin(self) -> Tensor:
        return ops.sin(self)

    def cos(self) -> Tensor:
        return ops.cos(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def erf(self) -> Tensor:
        return ops.erf(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def sign(self) -> Tensor:
        return ops.sign(self)

    def clamp(self, min: Value | float | None = None,
              max: Value | float | None = None) -> Tensor:
        """Limited to [min, max]; either may be left out, numbers or tensors."""
        if min is None and max is None:
            raise RuntimeError("clamp: expected at least one of min and max, got neither")
        if isinstance(min, Value) or isinstance(max, Value):
            result: Any = self if min is None else where(self < min, min, self)
            return result if max is None else where(result > max, max, result)
        x: Any = self
        if self.array.dtype.kind != "f" and (isinstance(min, float) or isinstance(max, float)):
            x = x.float()
        for end in (min, max):
            if end is not None:
                fitted("clamp", end, x.array.dtype)
        return choice.clamp(x, low=min, high=max)

    clip = clamp

    def maximum(self, other: Number) -> Tensor:
        return choice.maximum(self, other)

    def minimum(self, other: Number) -> Tensor:
        return choice.minimum(self, other)

    def where(self, condition: Any, other: Number) -> Tensor:
        """self where the condition holds, else other"""
        return where(condition, self, other)

    def masked_fill(self, mask: Any, value: Number) -> Tensor:
        """A copy with ``value``, brought to this tensor's dtype, where the mask of bools holds."""
        dtype = self.array.dtype
        if isinstance(value, Value):
            if dtype.kind == "i" and not value.array.ndim and expect(type(value.array)):
                fitted("masked_fill", value.array.item(), dtype)
            value = value.to(dtype)  # type: ignore[attr-defined]
        else:
            value = fitted("masked_fill", as_number("masked_fill", "value", value), dtype)
            if dtype.kind != "f":
                value = dtype.type(value)
        return where(mask, value, self)

    def eq(self, other: Number) -> Tensor:
        return choice.equal(self, other)

    def ne(self, other: Number) -> Tensor:
        return choice.not_equal(self, other)

    def lt(self, other: Number) -> Tensor:
        return choice.less(self, other)

    def le(self, other: Number) -> Tensor:
        return choice.less_equal(self, other)

    def gt(self, other: Number) -> Tensor:
        return choice.greater(self, other)

    def ge(self, other: Number) -> Tensor:
        return choice.greater_equal(self, other)

    def logical_not(self) -> Tensor:
        return choice.logical_not(self.bool())  # type: ignore[attr-defined]

    def logical_and(self, other: Value) -> Tensor:
        return choice.logical_and(self.bool(), other.bool())  # type: ignore[attr-defined]

    def logical_or(self, other: Value) -> Tensor:
        return choice.logical_or(self.bool(), other.bool())  # type: ignore[attr-defined]

    def isnan(self) -> Tensor:
        return choice.isnan(self)

    def isfinite(self) -> Tensor:
        return choice.isfinite(self)


def where(condition: Any, input: Number, other: Number) -> Tensor:
    """``input`` where ``condition`` holds, else ``other``; all three are broadcast.

    Args:
        condition: a tensor of bools.
        input, other: tensors or Python numbers, brought to one dtype.
    """
    flags = condition.array if isinstance(condition, Value) else plain("where", condition)
    if not is_array(flags) or flags.dtype.kind != "b":
        got = flags.dtype if is_array(flags) else type(flags).__name__
        raise DtypeError(f"where: expected a condition of bools, got {got}; compare, or .bool()")
    if not isinstance(input, Value) and not isinstance(other, Value):
        dtype = result_type(input, other)
        number = fitted("where", as_number("where", "input", input), dtype)
        input = wrap(Value.result_class, array_module(flags).asarray(number, dtype=dtype))
    changed = promoted("where", "near", (input, other))
    input, other = changed[0] if changed else (input, other)
    for number, beside in ((input, other), (other, input)):
        if not isinstance(number, Value):
            fitted("where", number, beside.array.dtype)
    return choice.where_(condition if isinstance(condition, Value) else flags, input, other)


def comparable(value: Any) -> bool:
    """Whether ``==`` compares with it element by element; with anything else it is just False."""
    return isinstance(value, Value | int | float) or is_array(value)
