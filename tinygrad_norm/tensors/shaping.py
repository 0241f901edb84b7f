"""The same values in another arrangement, a part of them, and products of matrices."""

from __future__ import annotations

import itertools
import math
import operator
from typing import TYPE_CHECKING, Any

from ..autograd.graph import Value
from ..backend.choose import expect
from ..errors import DimError, ShapeError
from ..kinds import retold
from ..ops import linalg
from ..ops import shape as ops

if TYPE_CHECKING:
    from .tensor import Tensor

Sizes = int | tuple[int, ...] | list[int]


def sizes(given: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))`` and, in ``named``, what came as a keyword argument."""
    if named is not None:
        given = (named,)
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = tuple(given[0])
    return tuple(operator.index(n) for n in given)


def dimension(who: str, dim: int, ndim: int) -> int:
    """``dim`` counted from the front, or a clear error."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise DimError(f"{who}: Dimension out of range: expected -{bound} to {bound - 1}, "
                       f"got {dim}")
    return dim % bound


class Shaping(Value):
    """Views, pieces and matrix products."""

    def reshape(self, *lengths: Sizes, shape: Sizes | None = None) -> Tensor:
        """The values read in order into another shape; one size may be -1."""
        try:
            return ops.reshape(self, shape=sizes(lengths, shape))
        except Exception as error:
            raise retold(Shaping.reshape, "reshape", error, (self, *lengths),  # noqa: B904
                         {"shape": shape})

    def view(self, *shape: Sizes) -> Tensor:
        """As :meth:`reshape`, sharing memory.

        Raises:
            RuntimeError: no view of that shape exists in this memory layout.
        """
        result = ops.reshape(self, shape=sizes(shape))
        if result.array.size and result.written is not self.written:
            raise RuntimeError(
                f"view: a tensor of shape {self.array.shape} and strides {self.array.strides} "
                f"has no view of shape {result.array.shape}; use reshape()"
            )
        return result

    def view_as(self, other: Value) -> Tensor:
        return self.view(other.array.shape)

    def reshape_as(self, other: Value) -> Tensor:
        return self.reshape(other.array.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The dimensions from ``start_dim`` to ``end_dim`` as one."""
        shape = self.array.shape
        first = dimension("flatten", start_dim, len(shape))
        last = dimension("flatten", end_dim, len(shape))
        if first > last:
            raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
        joined = math.prod(shape[first : last + 1])
        return ops.reshape(self, shape=(*shape[:first], joined, *shape[last + 1 :]))

    def permute(self, *order: Sizes, dims: Sizes | None = None) -> Tensor:
        """The dimensions in another order."""
        axes = sizes(order, dims)
        ndim = self.array.ndim
        if sorted(dimension("permute", i, ndim) for i in axes) != list(range(ndim)):
            raise ShapeError(f"permute: expected each of {ndim} dimensions once, got {axes}")
        return ops.permute(self, axes=axes)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        ndim = self.array.ndim
        first, second = dimension("transpose", dim0, ndim), dimension("transpose", dim1, ndim)
        return ops.swapaxes(self, first=first, second=second) if ndim else self.T

    def t(self) -> Tensor:
        """The transpose of a matrix; a vector stays as it is."""
        if self.array.ndim > 2:
            raise RuntimeError(f"t: expected at most 2 dimensions, got {self.array.shape}")
        return self.T

    @property
    def T(self) -> Tensor:
        """All dimensions in reverse order."""
        return ops.permute(self, axes=tuple(range(self.array.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        if self.array.ndim < 2:
            raise RuntimeError(f"mT: expected at least 2 dimensions, got {self.array.shape}")
        return self.transpose(-2, -1)

    def unsqueeze(self, dim: int) -> Tensor:
        """A new dimension of length 1 at ``dim``."""
        shape = list(self.array.shape)
        shape.insert(dimension("unsqueeze", dim, len(shape) + 1), 1)
        return ops.reshape(self, shape=tuple(shape))

    def squeeze(self, dim: Sizes | None = None) -> Tensor:
        """Without the dimensions of length 1: all of them, or of ``dim`` those that have it."""
        shape = self.array.shape
        if dim is None:
            dims = set(range(len(shape)))
        else:
            many = dim if isinstance(dim, tuple | list) else (dim,)
            dims = {dimension("squeeze", i, len(shape)) for i in many}
        return ops.reshape(self, shape=tuple(
            n for i, n in enumerate(shape) if i not in dims or n != 1))

    def expand(self, *shape: Sizes, size: Sizes | None = None) -> Tensor:
        """Repeated, without copying, along dimensions of length 1 and new ones; -1 keeps a size."""
        wanted = sizes(shape, size)
        extra = len(wanted) - self.array.ndim
        full = tuple(self.array.shape[i - extra] if n == -1 and i >= extra else n
                     for i, n in enumerate(wanted))
        return ops.broadcast_to(self, shape=full)

    def expand_as(self, other: Value) -> Tensor:
        return self.expand(other.array.shape)

    def broadcast_to(self, shape: Sizes) -> Tensor:
        """Repeated to ``shape`` by the rules of broadcasting."""
        return self.expand(shape)

    def flip(self, *axes: Sizes, dims: Sizes | None = None) -> Tensor:
        """Read backwards along ``dims``."""
        axes = tuple(dimension("flip", i, self.array.ndim) for i in sizes(axes, dims))
        return ops.flip(self, axes=axes if self.array.ndim else ())

    def __getitem__(self, index: Any) -> Tensor:
        return ops.take(self, index=ops.plain_index(index, self.array))

    def gather(self, dim: int, index: Value) -> Tensor:
        """y[i, j] = self[i, index[i, j]] for ``dim`` 1."""
        ndim, shape = self.array.ndim, index.array.shape
        axis = dimension("gather", dim, ndim)
        if 0 in shape:  # of any number of dimensions
            return self.reshape(-1)[:0].reshape(shape)
        if max(len(shape), 1) != max(ndim, 1):
            raise ShapeError(f"gather: expected an index of {ndim} dimensions, got {shape}")
        ask = expect(type(index.array))
        if ask is not None and ask((index.array < 0).any()):
            raise DimError("gather: expected indices from 0, got one below; none counts from the "
                           "end, as in x[i]")
        if not (ndim and shape):  # a value without dimensions is a vector of one
            flat = index.reshape(-1)  # type: ignore[attr-defined]
            return ops.take_along(self.reshape(-1), flat, axis=0).reshape(shape)
        return ops.take_along(self, index, axis=axis)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most ``chunks`` pieces along ``dim``."""
        if chunks < 1:
            raise ShapeError(f"chunk: expected at least 1 piece, got {chunks}")
        length = self.array.shape[self._axis("chunk", dim)]
        return self.split(-(-length // chunks) or 1, dim)

    def split(self, size: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Pieces of ``size`` along ``dim`` (the last may be smaller), or of the sizes listed."""
        axis = self._axis("split", dim)
        n = self.array.shape[axis]
        if isinstance(size, list | tuple):
            steps = list(size)
        elif size > 0 or size == n == 0:
            steps = [min(size, n - i) for i in range(0, n, size or 1)] or [0]
        else:
            raise ShapeError(f"split: expected pieces of 1 or more along a dimension of {n}, "
                             f"got {size}")
        if sum(steps) != n or min(steps, default=0) < 0:
            raise ShapeError(f"split: sizes {steps} do not add up to {n}")
        ahead = (slice(None),) * axis
        stops = itertools.accumulate(steps)
        return tuple(self[(*ahead, slice(s - k, s))] for s, k in zip(stops, steps, strict=True))

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The slices along ``dim``, without it."""
        axis = self._axis("unbind", dim)
        ahead = (slice(None),) * axis
        return tuple(self[(*ahead, i)] for i in range(self.array.shape[axis]))

    def _axis(self, who: str, dim: int) -> int:
        """``dim`` counted from the front, of a tensor that has dimensions."""
        if not self.array.ndim:
            raise DimError(f"{who}: expected a tensor with at least one dimension, got a 0-d one")
        return dimension(who, dim, self.array.ndim)

    def __iter__(self) -> Any:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor; use .item()")
        return (self[i] for i in range(self.array.shape[0]))

    def matmul(self, other: Any) -> Tensor:
        """The product of matrices, batches of them, or vectors."""
        return linalg.matmul(self, other)

    def mm(self, mat2: Value) -> Tensor:
        """(n, k) (k, m) -> (n, m)"""
        return self._product("mm", 2, mat2)

    def bmm(self, mat2: Value) -> Tensor:
        """(b, n, k) (b, k, m) -> (b, n, m)"""
        if self.array.shape[:1] != mat2.array.shape[:1]:
            raise ShapeError(f"bmm: batches of {self.array.shape} and {mat2.array.shape} differ")
        return self._product("bmm", 3, mat2)

    def _product(self, who: str, ndim: int, other: Value) -> Tensor:
        if self.array.ndim != ndim or other.array.ndim != ndim:
            raise ShapeError(f"{who}: expected two tensors of {ndim} dimensions, got "
                             f"{self.array.shape} and {other.array.shape}")
        return linalg.matmul(self, other)

    def dot(self, other: Value) -> Tensor:
        """Σ self other of two vectors."""
        return self._product("dot", 1, other)

    @staticmethod
    def _stack(tensors: Any) -> Tensor:
        return ops.stack(*tensors, axis=0)
