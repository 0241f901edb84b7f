"""Layers that take a size from their first input, and their tensors before it.

A lazy layer is of a class of its own until its first input or a state dict tells the size; then it
becomes the plain layer. Its tensors stay the same objects, so that an optimizer, a hook or another
layer that holds one need not be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..autograd.graph import Value, tick
from ..backend.array import Array, Device, as_device, device_of, is_array, to_device
from ..errors import UninitializedError
from ..tensors.conversion import as_dtype
from ..tensors.tensor import Parameter, Tensor
from .tree import Buffer


class Uninitialized(Tensor):
    """A tensor of which only the dtype and the device are known: those of the empty ``blank``.

    ``array`` is missing, so that every use of the values is an error that says what to do.
    """

    plain: ClassVar[type[Tensor]]
    """The class it becomes."""
    blank: Array

    def _begin(self, requires_grad: bool, device: Any, dtype: Any) -> None:
        kind = as_dtype(np.float32 if dtype is None else dtype)
        self.blank = to_device(np.zeros(0, kind), as_device(device))
        self.tracked, self.edge, self.written = requires_grad, None, [0, False]

    def __getattr__(self, name: str) -> Any:
        if name != "array":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        raise UninitializedError(
            f"{type(self).__name__}: expected values, but a lazy layer has none, and no shape, "
            "before its first input; call the model on a batch first, or load a state dict")

    @property
    def dtype(self) -> np.dtype:
        return self.blank.dtype

    @property
    def device(self) -> Device:
        return device_of(self.blank)

    def is_floating_point(self) -> bool:
        return self.blank.dtype.kind == "f"

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        self.tracked = requires_grad
        return self

    def detach(self) -> Tensor:
        """Itself: there is no history to leave. A state dict shows it as it is."""
        return self

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> None:
        """Become a plain tensor of zeros of that shape; by default of the dtype and device it has.
        """
        blank = vars(self).pop("blank")
        place = device_of(blank) if device is None else as_device(device)
        kind = blank.dtype if dtype is None else as_dtype(dtype)
        self.array = to_device(np.zeros(shape, kind), place)
        self.written = [tick(), False]
        self.__class__ = self.plain  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made, arguments = self.__reduce__()
        memo[id(self)] = result = made(*arguments)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tracked, str(self.device), self.dtype)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter that waits for its shape."""

    plain = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        self._begin(requires_grad, device, dtype)


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer that waits for its shape."""

    plain = Buffer

    def __init__(
        self, requires_grad: bool = False, device: Any = None, dtype: Any = None,
        persistent: bool = True,
    ) -> None:
        self._begin(requires_grad, device, dtype)
        self.persistent = persistent

    def __reduce__(self) -> tuple[Any, ...]:
        made, arguments = super().__reduce__()
        return made, (*arguments, self.persistent)


def is_lazy(tensor: Any) -> bool:
    """Whether ``tensor`` still waits for its shape."""
    return isinstance(tensor, Uninitialized)


def _empty(tensor: Any) -> None:
    """Make a plain parameter or buffer wait for a shape again."""
    tensor.blank = tensor.array.reshape(-1)[:0].copy()
    del tensor.array
    tensor._grad = None
    tensor.__class__ = (UninitializedBuffer if isinstance(tensor, Buffer)
                        else UninitializedParameter)


class LazyModuleMixin:
    """What a lazy layer has more than the plain one, before whose class it stands.

    A subclass says which class it becomes, what size an input tells, and what size a value of a
    state dict does, by :meth:`size_of` and :meth:`size_in`; and in :meth:`resize` which shapes its
    tensors have then. Its ``__init__`` makes the plain layer, of size 0, and calls :meth:`wait`.
    """

    cls_to_become: ClassVar[type]

    def size_of(self, input: Any) -> int:
        raise NotImplementedError

    def size_in(self, name: str, shape: tuple[int, ...]) -> int | None:
        raise NotImplementedError

    def resize(self, size: int) -> dict[str, tuple[int, ...]]:
        """Note the size; the shapes of the tensors by name."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """Of the first input: the layer becomes plain, unless the input is refused."""
        kind = type(self)
        self.initialize_parameters(x)
        try:
            return self.forward(x)
        except BaseException:
            kind.wait(self, kind)
            raise

    def initialize_parameters(self, input: Any) -> None:
        """Take the size from an input and become the plain layer."""
        self.become_plain(self.size_of(input))

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer still waits for its shape."""
        return any(map(is_lazy, vars(self).values()))

    def reset_parameters(self) -> None:
        """Nothing: there are no values yet."""

    def wait(self, kind: type[LazyModuleMixin] | None = None) -> None:
        """Let go of all shapes and values; ``kind`` is the lazy class to be again."""
        if kind is not None:
            self.__class__ = kind
        for name in self.resize(0):
            value = vars(self).get(name)
            if value is not None:
                _empty(value)

    def become_plain(self, size: int) -> None:
        """Be the plain layer of that size, with initial values."""
        shapes = self.resize(size)
        for name, value in vars(self).items():
            if isinstance(value, Uninitialized):
                value.materialize(shapes[name])
        self.__class__ = self.cls_to_become
        self.reset_parameters()

    def begin_with(self, state: Mapping[str, Any], prefix: str) -> bool:
        """Become plain with the size that values of a state dict tell, if they do."""
        for name, value in vars(self).items():
            given = state.get(prefix + name)
            if is_lazy(value) and given is not None and not is_lazy(given):
                array = given.array if isinstance(given, Value) else given
                size = self.size_in(name, array.shape) if is_array(array) else None
                if size is not None:
                    self.become_plain(size)
                    return True
        return False


class Begun:
    """The lazy layers of a module that a state dict gives their size, in a ``with`` block.

    They wait again if the block fails: a state dict that is refused changes nothing.
    """

    def __init__(self, modules: Iterable[tuple[str, Any]], state: Mapping[str, Any]) -> None:
        self.modules = [(path, m) for path, m in modules if isinstance(m, LazyModuleMixin)]
        self.state = state
        self.begun: list[tuple[LazyModuleMixin, type[LazyModuleMixin]]] = []

    def __enter__(self) -> None:
        for path, module in self.modules:
            kind = type(module)
            if module.begin_with(self.state, f"{path}." if path else ""):
                self.begun.append((module, kind))

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            for module, lazy in self.begun:
                lazy.wait(module, lazy)
