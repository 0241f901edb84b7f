"""The Tensor class."""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..absent import TABLES
from ..autograd.backward import Gradients, backward
from ..autograd.graph import Node, Value
from ..autograd.sharing import share
from ..backend.array import check_device, overlaps, plain, to_numpy
from ..errors import DtypeError, ShapeError
from ..kinds import shown
from ..public import Absent, told
from .arithmetic import Arithmetic
from .conversion import Conversion
from .inplace import Inplace
from .integer import Integer
from .reductions import Reductions
from .shaping import Shaping, dimension, sizes

_handles = itertools.count()


class RemovableHandle:
    """Takes a hook away again: call ``remove()``, or leave the ``with`` block."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks = hooks
        self._key = next(_handles)
        hooks[self._key] = hook

    def remove(self) -> None:
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def as_float32(who: str, data: Any) -> np.ndarray:
    """Numbers and nested lists of them as a new array."""
    data = plain(who, data)
    try:
        return np.array(data, np.float32)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: expected numbers, got {shown(data)}") from error


class Tensor(Arithmetic, Integer, Reductions, Shaping, Inplace, Conversion):
    """An array you can compute with and differentiate.

    ``tensor([1.0, 2.0], requires_grad=True)`` makes one; ``Tensor(data)`` does the same in
    float32, and ``Tensor(2, 3)`` makes zeros of that shape. ``array`` is the NumPy or CuPy array
    underneath.

    >>> import tinygrad_norm as tn
    >>> x = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.], shape=(2,), dtype=float32, device=cpu)
    """

    def __init__(self, *data: Any, requires_grad: bool = False) -> None:
        self.tracked, self.edge = False, None
        if len(data) == 1 and isinstance(data[0], Value):
            self.array = data[0].array
            share(self, data[0])
        else:
            filled = len(data) == 1 and not isinstance(data[0], int)
            self.array = (as_float32(type(self).__name__, data[0]) if filled else
                          np.zeros(sizes(data or (0,)), np.float32))
            self.written = [0, False]
        if requires_grad:
            self.requires_grad_()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        shape: tuple[int, ...] = self.array.shape
        return shape if dim is None else shape[dimension("size", dim, len(shape))]

    def numel(self) -> int:
        """How many values it has."""
        return int(self.array.size)

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    @property
    def data(self) -> Tensor:
        """The same memory without history; assigning replaces the memory."""
        return self.detach()

    @data.setter
    def data(self, value: Value) -> None:
        if not isinstance(value, Value):
            raise TypeError(f"data: expected a Tensor, got {type(value).__name__}")
        self.array = value.array
        share(self, value)

    @property
    def is_leaf(self) -> bool:
        return self.edge is None

    @property
    def grad_fn(self) -> Node | None:
        """The operation that made it."""
        return None if self.edge is None else self.edge[0]

    # -- gradients -------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients of all backward() calls so far."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Value):
                raise TypeError(f"grad: expected a Tensor or None, got {type(value).__name__}")
            if value.array.shape != self.array.shape:
                raise ShapeError(f"grad: expected shape {self.shape}, got {value.array.shape}")
            if value.array.dtype != self.array.dtype:
                raise DtypeError(f"grad: expected {self.dtype}, got {value.array.dtype}")
            check_device("grad", "the tensor", self.array, "the gradient", value.array)
            if overlaps(value.array):  # further gradients are added to it in place
                value = value.clone()
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded and backward() reaches it."""
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or no longer."""
        if requires_grad and self.array.dtype.kind != "f":
            raise DtypeError(f"only tensors of floating point dtype can require gradients, got "
                             f"{self.array.dtype}; call .float()")
        if not requires_grad and self.edge is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables; "
                               "use detach()")
        self.tracked = requires_grad
        return self

    def backward(
        self, gradient: Gradients = None,
        retain_graph: bool | None = None, create_graph: bool = False,
    ) -> None:
        """Sum the gradient of this tensor into the ``.grad`` of the leaves it depends on.

        Args:
            gradient: the gradient of this tensor, of its shape; may be left out for one value.
            retain_graph: keep the saved values for another call.
            create_graph: record the walk, for derivatives of higher order.
        """
        backward(self, gradient, retain_graph, create_graph)

    def retain_grad(self) -> None:
        """Have backward() fill ``.grad`` of this intermediate result too."""
        if not self.tracked:
            raise RuntimeError("retain_grad: can't retain_grad on a tensor without requires_grad")
        if self.edge is not None:
            node, i = self.edge
            node.retained = {**(node.retained or {}), i: weakref.ref(self)}
            node.watched = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` when the gradient is known; what it returns takes its place."""
        if not self.tracked:
            raise RuntimeError("register_hook: can't register a hook on a tensor that doesn't "
                               "require gradient")
        if self.edge is None:
            self.hooks = self.hooks if self.hooks is not None else {}
            return RemovableHandle(self.hooks, hook)
        node, i = self.edge
        node.hooks = node.hooks if node.hooks is not None else {}
        node.watched = True
        return RemovableHandle(node.hooks.setdefault(i, {}), hook)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in TABLES["Tensor"]]

    def __repr__(self) -> str:
        array = to_numpy(self.array)
        text = np.array2string(array, separator=", ", prefix="tensor(", threshold=1000,
                               precision=4, edgeitems=3)
        facts = [text, f"shape={self.shape}", f"dtype={array.dtype}", f"device={self.device}"]
        if self.edge is not None:
            facts.append(f"grad_fn={self.edge[0]!r}")
        elif self.tracked:
            facts.append("requires_grad=True")
        separator = ",\n       " if "\n" in text else ", "
        return "tensor(" + text + separator + ", ".join(facts[1:]) + ")"


DIRECT = ("mean", "reshape", "sum", "to")
"""Methods that rules of gradients call; a call of a wrapper would be felt there."""

for name in dir(Tensor):
    if name[0] != "_" and name not in DIRECT:
        setattr(Tensor, name, told(inspect.getattr_static(Tensor, name), __name__))

for name, advice in TABLES["Tensor"].items():
    setattr(Tensor, name, Absent(name, advice))

Value.result_class = Tensor
Tensor.result_class = Tensor


class Parameter(Tensor):
    """A tensor that a module learns: it requires grad, and ``Module`` finds it by its type."""

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad=requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

