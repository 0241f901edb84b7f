"""Writing into a tensor, where that is safe.

Without recording, the write goes into the memory itself and is stamped, so that a gradient that
needs the old value is an error and not a wrong number. While recording, the tensor gets a new
array and a new place in the graph, and earlier uses keep the old ones; this cannot be done to a
tensor that shares its memory with another that is still there, which is refused.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..autograd.graph import Value, tick, wrap
from ..autograd.mode import is_grad_enabled
from ..autograd.op import explained
from ..backend.array import array_module
from ..ops import elementwise
from ..ops.shape import plain_index, replace, resolved
from ..ops.transfer import cast

if TYPE_CHECKING:
    from .tensor import Tensor


class Inplace(Value):
    """Operators and methods that change their tensor."""

    def _write(self, who: str, function: Any, *values: Any) -> Any:
        """``self = function(self, *values)`` in place."""
        tracked = is_grad_enabled() and (
            self.tracked or any(isinstance(v, Value) and v.tracked for v in values)
        )
        if not tracked:
            result = function(self, *values).array
            self._fits(who, result)
            self._store(who, ..., result)
            return self
        if self.tracked and self.edge is None:
            raise RuntimeError(
                f"{who}: a leaf tensor that requires grad is being used in an in-place operation; "
                "write inside no_grad(), or compute a new tensor"
            )
        # Two references are this tensor's own and the call's. One more is a view's, or that of a
        # saved value, which cannot be told apart here.
        if self.written[1] and sys.getrefcount(self.written) > 2:
            raise RuntimeError(
                f"{who}: this tensor shares memory with another one (a view), so writing into it "
                "would change that one's gradient; write into a clone()"
            )
        result = function(self, *values)
        self._fits(who, result.array)
        if result.array.dtype != self.array.dtype:
            result = cast(result, dtype=self.array.dtype)
        retained = self.edge and (self.edge[0].retained or {}).pop(self.edge[1], None)
        self.array, self.edge, self.written = result.array, result.edge, result.written
        self.tracked = True
        if retained:
            self.retain_grad()  # type: ignore[attr-defined]
        return self

    def _store(self, who: str, index: Any, array: Any) -> None:
        try:
            part, index = resolved(self.array, index)
            part[index] = array
        except (ValueError, TypeError, IndexError) as error:
            if "read-only" in str(error):
                raise RuntimeError(
                    f"{who}: this memory cannot be written to: it is read-only, or several "
                    "elements of an expanded tensor share it; write into a clone()"
                ) from error
            raise explained(who, error, (self.array, array)) from error
        self.written[0] = tick()

    def _fits(self, who: str, result: Any) -> None:
        if result.shape != self.array.shape:
            raise RuntimeError(
                f"{who}: the result has shape {result.shape} and does not fit in place into "
                f"{self.array.shape}"
            )
        if result.dtype.kind == "f" and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"{who}: result type {result.dtype} can't be cast to {self.array.dtype} in place"
            )

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain_index(index, self.array)
        if isinstance(value, Value):
            if value.array.dtype != self.array.dtype:
                value = value.to(self.array.dtype)  # type: ignore[attr-defined]
        elif not isinstance(value, int | float):
            value = wrap(self.result_class, array_module(self.array).asarray(value).astype(
                self.array.dtype))
        tracked = is_grad_enabled() and (
            self.tracked or (isinstance(value, Value) and value.tracked))
        if tracked:
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

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self._write("add_", elementwise.add, other if alpha == 1 else other * alpha)

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return self._write("sub_", elementwise.sub, other if alpha == 1 else other * alpha)

    def mul_(self, other: Any) -> Tensor:
        return self._write("mul_", elementwise.mul, other)

    def div_(self, other: Any) -> Tensor:
        return self._write("div_", elementwise.div, other)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        return self._write("clamp_", lambda x: x.clamp(min, max))

    def copy_(self, src: Any) -> Tensor:
        """The values of ``src``, broadcast and cast to this tensor's shape and dtype."""
        self[...] = src
        return self  # type: ignore[return-value]

    def fill_(self, value: Any) -> Tensor:
        return self.copy_(value)

    def zero_(self) -> Tensor:
        return self.copy_(0)
