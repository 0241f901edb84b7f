"""Writing into a tensor, with PyTorch's meaning: a write into a view is a write into its base.

Without recording, the write goes into the memory itself and is stamped, so that a gradient that
needs the old value is an error and not a wrong number. While recording, the tensor gets a new
array and a new place in the graph, and so do the living tensors that share its memory; earlier
uses keep the old ones, and their gradients stay right.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.graph import Value, tick, wrap
from ..autograd.mode import is_grad_enabled
from ..autograd.op import explained
from ..autograd.sharing import is_at, owner, path, rewrite
from ..backend.array import array_module, check_device, overlaps, plain
from ..ops import elementwise
from ..ops.shape import Path, is_basic, plain_index, replace, resolved, take
from ..ops.transfer import cast
from .numbers import fitted

if TYPE_CHECKING:
    from .tensor import Tensor


RANK = {"b": 0, "u": 1, "i": 1, "f": 2}
"""A write in place casts within a kind and to a higher one, never to a lower one."""


class Inplace(Value):
    """Operators and methods that change their tensor."""

    def _write(self, who: str, function: Any, *values: Any) -> Any:
        """``self = function(self, *values)`` in place."""
        base = owner(self)
        if not self._recorded(base, *values):
            result = function(self, *values).array
            self._fits(who, result)
            self._store(who, ..., result)
            return self
        if base.tracked and base.edge is None:
            raise RuntimeError(
                f"{who}: {'' if base is self else 'a view of '}a leaf tensor that requires grad is "
                "being used in an in-place operation; write inside no_grad(), or compute a new "
                "tensor"
            )
        if overlaps(self.array):
            raise _unwritable(who)
        result = function(self, *values)
        self._fits(who, result.array)
        if result.array.dtype != self.array.dtype:
            result = cast(result, dtype=self.array.dtype)
        if base is not self:
            result = replace(base, result, index=Path(path(self, base)))
        try:
            rewrite(base, result)
        except RuntimeError as error:
            raise RuntimeError(f"{who}: {error}") from None
        return self

    @staticmethod
    def _recorded(*values: Any) -> bool:
        """Whether a write into one of the values, of the others, belongs into the graph."""
        return is_grad_enabled() and any(isinstance(v, Value) and v.tracked for v in values)

    def _store(self, who: str, index: Any, array: Any) -> None:
        if overlaps(self.array):
            raise _unwritable(who)
        try:
            part, index = resolved(self.array, index)
            part[index] = array
        except (ValueError, TypeError, IndexError) as error:
            if "read-only" in str(error):
                raise _unwritable(who) from error
            raise explained(who, error, (self.array, array)) from error
        self.written[0] = tick()

    def _fits(self, who: str, result: Any) -> None:
        if result.shape != self.array.shape:
            raise RuntimeError(
                f"{who}: the result has shape {result.shape} and does not fit in place into "
                f"{self.array.shape}"
            )
        if RANK[result.dtype.kind] > RANK[self.array.dtype.kind]:
            raise RuntimeError(
                f"{who}: result type {result.dtype} can't be cast to {self.array.dtype} in place; "
                "compute a new tensor, or cast the other value with .to(dtype)"
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain_index(index, self.array)
        if isinstance(value, Value):
            if is_basic(index) and is_at(value, (take, {"index": index}), self):
                return  # y[i] *= 2 has written into y, and puts the view back where it is
            if type(value.array) is not type(self.array):
                check_device("setitem", "the tensor", self.array, "the value", value.array)
            if value.array.dtype != self.array.dtype:
                value = value.to(self.array.dtype)  # type: ignore[attr-defined]
        elif isinstance(value, int | float):
            value = fitted("setitem", value, self.array.dtype)
        else:
            value = wrap(self.result_class, array_module(self.array).asarray(
                plain("setitem", value)).astype(self.array.dtype))
        if self._recorded(owner(self), value):
            self._write("setitem", lambda x, v: replace(x, v, index=index), value)
            return
        self._store("setitem", index, value.array if isinstance(value, Value) else value)

    def __iadd__(self, other: Any) -> Any:
        return self._write("add_", elementwise.add, other)

    def __isub__(self, other: Any) -> Any:
        return self._write("sub_", elementwise.sub, other)

    def __imul__(self, other: Any) -> Any:
        return self._write("mul_", elementwise.mul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._write("div_", elementwise.div, other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._write("floor_divide_", operator.floordiv, other)

    def __imod__(self, other: Any) -> Any:
        return self._write("remainder_", operator.mod, other)

    def __ipow__(self, other: Any) -> Any:
        return self._write("pow_", operator.pow, other)

    def __iand__(self, other: Any) -> Any:
        return self._write("bitwise_and_", operator.and_, other)

    def __ior__(self, other: Any) -> Any:
        return self._write("bitwise_or_", operator.or_, other)

    def __ixor__(self, other: Any) -> Any:
        return self._write("bitwise_xor_", operator.xor, other)

    def __ilshift__(self, other: Any) -> Any:
        return self._write("bitwise_left_shift_", operator.lshift, other)

    def __irshift__(self, other: Any) -> Any:
        return self._write("bitwise_right_shift_", operator.rshift, other)

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        if alpha == 1:
            return self._write("add_", elementwise.add, other)
        return self._write("add_", elementwise.add_scaled, other, alpha)

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        if alpha == 1:
            return self._write("sub_", elementwise.sub, other)
        return self._write("sub_", elementwise.add_scaled, other, -alpha)

    def mul_(self, other: Any) -> Tensor:
        return self._write("mul_", elementwise.mul, other)

    def div_(self, other: Any) -> Tensor:
        return self._write("div_", elementwise.div, other)

    def clamp_(self, min: Value | float | None = None,
               max: Value | float | None = None) -> Tensor:
        return self._write("clamp_", lambda x: x.clamp(min, max))

    def copy_(self, src: Value | np.ndarray | Sequence[Any] | float) -> Tensor:
        """The values of ``src``, broadcast and cast to this tensor's shape and dtype."""
        self[...] = src
        return self  # type: ignore[return-value]

    def fill_(self, value: Value | float) -> Tensor:
        return self.copy_(value)

    def zero_(self) -> Tensor:
        return self.copy_(0)


def _unwritable(who: str) -> RuntimeError:
    return RuntimeError(
        f"{who}: this memory cannot be written to: it is read-only, or several elements of an "
        "expanded tensor share it; write into a clone()"
    )
