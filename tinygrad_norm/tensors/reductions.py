"""Sums and what is made of them, in PyTorch's words: ``dim``, ``keepdim``, ``correction``.

``axis`` and ``keepdims`` are accepted for them, as PyTorch does; rules of gradients use these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..autograd.graph import Value, wrap
from ..backend.array import array_module
from ..errors import DimError, DtypeError
from ..kinds import retold
from ..ops import moments
from ..ops import reduction as ops
from ..ops.rounding import once
from ..ops.shape import take_along
from ..ops.transfer import cast
from .shaping import dimension

if TYPE_CHECKING:
    from .tensor import Tensor

Dim = int | tuple[int, ...] | list[int] | None


class ValuesIndices(NamedTuple):
    """What ``max(dim)`` and ``min(dim)`` return."""

    values: Any
    indices: Any


ONLY = (0, -1, (0,), (-1,))
"""The dimension of a value without dimensions, which CuPy's arrays do not know."""


def _axis(x: Value, dim: Dim, axis: Dim = None) -> Any:
    """``dim`` for the arrays; without dimensions, where it is PyTorch's one, all there is."""
    dim = axis if dim is None else dim
    if isinstance(dim, list | tuple):
        dim = tuple(dim) or None
    return dim if dim is None or x.array.ndim or dim not in ONLY else None


class Reductions(Value):
    """Results with fewer dimensions."""

    def sum(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
            axis: Dim = None, keepdims: bool = False) -> Tensor:
        """Σ over ``dim``; bools and ints are summed as int64."""
        try:
            x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
            if x.array.dtype.kind == "b":
                x = cast(x, dtype="int64")
            return ops.sum_(x, axis=_axis(self, dim, axis), keepdims=keepdim or keepdims)
        except Exception as error:
            raise retold(Reductions.sum, "sum", error, (self, dim, keepdim),  # noqa: B904
                         {"dtype": dtype, "axis": axis, "keepdims": keepdims})

    def mean(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None,
             axis: Dim = None, keepdims: bool = False) -> Tensor:
        """Σ/n over ``dim``."""
        try:
            x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
            self._floating("mean", x)
            return ops.mean(x, axis=_axis(self, dim, axis), keepdims=keepdim or keepdims)
        except Exception as error:
            raise retold(Reductions.mean, "mean", error, (self, dim, keepdim),  # noqa: B904
                         {"dtype": dtype, "axis": axis, "keepdims": keepdims})

    def var(self, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *,
            correction: float | None = None, axis: Dim = None, keepdims: bool = False) -> Tensor:
        """Σ(x - mean)²/(n - correction) over ``dim``; correction 1 is the unbiased estimate."""
        return self._measured("var", moments.variance, dim, unbiased, correction, axis,
                              keepdim or keepdims)[0]

    def std(self, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *,
            correction: float | None = None, axis: Dim = None, keepdims: bool = False) -> Tensor:
        """√var; its gradient is 0 where x is constant."""
        return self._measured("std", moments.deviation, dim, unbiased, correction, axis,
                              keepdim or keepdims)[0]

    def var_mean(self, dim: Dim = None, unbiased: bool | None = None, keepdim: bool = False, *,
                 correction: float | None = None) -> tuple[Tensor, Tensor]:
        """(var, mean) over ``dim``."""
        return self._measured("var_mean", moments.variance, dim, unbiased, correction, None,
                              keepdim)

    def _measured(
        self, who: str, operation: Any, dim: Any, unbiased: bool | None,
        correction: float | None, axis: Dim, keepdims: bool,
    ) -> tuple[Any, Any]:
        self._floating(who, self)
        dim, correction = _correction(who, dim, unbiased, correction)
        axis = _axis(self, dim, axis)
        if axis is not None:
            many: Any = axis if isinstance(axis, tuple) else (axis,)
            axis = tuple(dimension(who, i, self.array.ndim) for i in many)
            if len(set(axis)) < len(axis):
                raise DimError(f"{who}: expected each dim once, got {many}")
        return moments.measured(operation, self, axis=axis, correction=correction,
                                keepdims=keepdims)

    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The largest over ``dim``; equal ones share the gradient evenly."""
        return ops.amax(self, axis=_axis(self, dim), keepdims=keepdim)

    def amin(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The smallest over ``dim``; equal ones share the gradient evenly."""
        return ops.amin(self, axis=_axis(self, dim), keepdims=keepdim)

    def max(self, dim: int | Value | None = None, keepdim: bool = False) -> Any:
        """The largest; with ``dim`` (values, indices); with a tensor the elementwise one."""
        return self._extremum("max", ops.amax, ops.argmax, dim, keepdim)

    def min(self, dim: int | Value | None = None, keepdim: bool = False) -> Any:
        """The smallest; with ``dim`` (values, indices); with a tensor the elementwise one."""
        return self._extremum("min", ops.amin, ops.argmin, dim, keepdim)

    def _extremum(self, name: str, whole: Any, at: Any, dim: Any, keepdim: bool) -> Any:
        if dim is None:
            return whole(self, axis=None, keepdims=False)
        if isinstance(dim, Value):
            return getattr(self, name + "imum")(dim)
        indices = at(self, axis=_axis(self, dim), keepdims=True)
        if not self.array.ndim:
            return ValuesIndices(self.reshape(()), indices)  # type: ignore[attr-defined]
        values = take_along(self, indices, axis=dimension(name, dim, self.array.ndim))
        if keepdim:
            return ValuesIndices(values, indices)
        return ValuesIndices(values.squeeze(dim), indices.squeeze(dim))

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first largest value."""
        return ops.argmax(self, axis=_axis(self, dim), keepdims=keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first smallest value."""
        return ops.argmin(self, axis=_axis(self, dim), keepdims=keepdim)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """Π over ``dim``; right at zeros too, at every order of derivative."""
        x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
        if dtype is None and x.array.dtype.kind != "f":
            x = cast(x, dtype="int64")
        if dim is not None:
            dim = dimension("prod", dim, x.array.ndim)
        if dim is None or not x.array.ndim:
            x, dim, keepdim = x.reshape(-1), 0, False
        return once(ops.prod, x, axis=dim, keepdims=keepdim)

    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        """Sums of the first, the first two, …"""
        x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
        return ops.cumsum(x, axis=dimension("cumsum", dim, self.array.ndim))

    def logsumexp(self, dim: Dim, keepdim: bool = False) -> Tensor:
        """ln Σ eˣ without overflow."""
        x: Any = self if self.array.dtype.kind == "f" else cast(self, dtype="float32")
        return once(ops.logsumexp, x, axis=_axis(self, dim), keepdims=keepdim)

    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """eˣ / Σ eˣ; ``dtype`` is cast to first."""
        x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
        self._floating("softmax", x)
        return once(ops.softmax, x, axis=_axis(self, dim))

    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """x - ln Σ eˣ; ``dtype`` is cast to first."""
        x: Any = self if dtype is None else self.to(dtype)  # type: ignore[attr-defined]
        self._floating("log_softmax", x)
        return once(ops.log_softmax, x, axis=_axis(self, dim))

    def all(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether each value over ``dim`` holds; over no dimension, ``()``, each is its own."""
        if isinstance(dim, tuple | list) and not dim:
            return self.bool()  # type: ignore[attr-defined]
        return ops.all_(self, axis=_axis(self, dim), keepdims=keepdim)

    def any(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether one value over ``dim`` holds; over no dimension, ``()``, each is its own."""
        if isinstance(dim, tuple | list) and not dim:
            return self.bool()  # type: ignore[attr-defined]
        return ops.any_(self, axis=_axis(self, dim), keepdims=keepdim)

    def argsort(self, dim: int = -1, descending: bool = False) -> Tensor:
        """The indices that sort along ``dim``; equal values keep their order."""
        axis = dimension("argsort", dim, self.array.ndim)
        array = self.array if self.array.ndim else self.array.reshape(1)
        module = array_module(array)
        if descending:  # read backwards: no value is negated, NaN comes first
            array = module.flip(array, axis)
        order = module.argsort(array, axis=axis, kind="stable")
        if descending:
            order = array.shape[axis] - 1 - module.flip(order, axis)
        return wrap(self.result_class, order.reshape(self.array.shape))

    @staticmethod
    def _floating(name: str, x: Value) -> None:
        if x.array.dtype.kind != "f":
            raise DtypeError(
                f"{name}: expected a floating point tensor, got {x.array.dtype}; call .float()"
            )


def _correction(
    who: str, dim: Any, unbiased: bool | None, correction: float | None
) -> tuple[Any, float]:
    """PyTorch takes var(unbiased), var(dim, unbiased) and var(dim, correction=...)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{who}: pass unbiased or correction, not both")
    if unbiased is not None:
        return dim, float(unbiased)
    return dim, 1.0 if correction is None else correction
