"""Module: the base of layers and models.

    tree.py    what it holds, by name       state.py   its state, out and in
    module.py  what is done with it: calls, modes, devices, hooks, text
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Self

import numpy as np

from ..autograd.graph import Value, tick
from ..backend.array import to_device
from ..kinds import PACKAGE, retold
from ..tensors.conversion import destination
from ..tensors.tensor import RemovableHandle, Tensor
from .lazy import is_lazy
from .state import State
from .tree import Buffer

__all__ = ["Buffer", "Module"]


class Module(State):
    """Base class of layers and models.

    Parameters, buffers and submodules are whatever attributes have these types, in the order in
    which they were first set; a list or dict of modules is a ``ModuleList`` or ``ModuleDict``.

    >>> import tinygrad_norm as tn
    >>> class Double(tn.nn.Module):
    ...     def __init__(self):
    ...         self.scale = tn.nn.Parameter(tn.tensor([2.0]))
    ...     def forward(self, x):
    ...         return x * self.scale
    >>> [name for name, _ in Double().named_parameters()]
    ['scale']
    """

    training = True
    _frozen = False
    """Set by ``nn.utils.freeze``: ``train()`` leaves this module in inference mode."""
    _forward_hooks: dict[int, Callable[..., Any]] | None = None
    _forward_pre_hooks: dict[int, Callable[..., Any]] | None = None

    def __init__(self) -> None:
        # Nothing to do: subclasses may call it, as PyTorch's must.
        # No docstring: help() of each layer would show it.
        pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, ...)")

    def retell(self, error: Exception) -> None:
        """A chance to say an error of forward in other words, before it goes on."""

    def loaded(self, names: set[str]) -> None:
        """Told after a state dict has written values: the names, seen from here."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = tick()
        if self._forward_pre_hooks:
            for hook in tuple(self._forward_pre_hooks.values()):
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        try:
            result = self.forward(*args, **kwargs)
        except Exception as error:
            self.retell(error)
            if self.forward.__module__.startswith(PACKAGE):
                raise retold(type(self).forward, type(self).__name__, error, (self, *args),  # noqa: B904
                             kwargs)
            raise
        if self._forward_hooks:
            for hook in tuple(self._forward_hooks.values()):
                changed = hook(self, args, result)
                result = result if changed is None else changed
        last = result[0] if result.__class__ is tuple and result else result
        if isinstance(last, Value) and last.edge is not None:
            node = last.edge[0]  # lets a drawing group the operations recorded since `start`
            node.calls = (self, start, node.calls)
        return result

    # -- what is done to all of it ---------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training mode for this module and all below it, but for norms that are frozen."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: expected a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode and not module._frozen
        return self

    def eval(self) -> Self:
        """Inference mode: running statistics are used and nothing is dropped."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Learn the parameters, or leave them (``nn.utils.freeze`` is for running statistics)."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter._grad = None
            elif parameter._grad is not None:
                parameter._grad = parameter._grad.detach().zero_()

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the parameters and buffers to a device, or the floating ones to a dtype.

        The tensors stay the same objects, so an optimizer made before still holds them.
        """
        dtype, device = destination(args, **kwargs)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}.to: expected a floating dtype, got {dtype}")
        held: chain[Tensor] = chain(self.parameters(), self.buffers())
        for tensor in held:
            for one in (tensor, tensor._grad):
                if one is None:
                    continue
                name = "blank" if is_lazy(one) else "array"
                old = array = getattr(one, name)
                if dtype is not None and array.dtype.kind == "f":
                    array = array.astype(dtype, copy=False)
                if device is not None:
                    array = to_device(array, device)
                if array is not old:
                    setattr(one, name, array)
                    one.written = [one.written[0], False]  # the values are as old as before
        return self

    def float(self) -> Self:
        return self.to(np.dtype("float32"))

    def double(self) -> Self:
        return self.to(np.dtype("float64"))

    def half(self) -> Self:
        return self.to(np.dtype("float16"))

    def cpu(self) -> Self:
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Self:
        return self.to(device="cuda" if device is None else device)

    # -- hooks and text --------------------------------------------------------------------------

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns takes its place."""
        if self._forward_hooks is None:
            self._forward_hooks = {}
        return RemovableHandle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; what it returns takes their place."""
        if self._forward_pre_hooks is None:
            self._forward_pre_hooks = {}
        return RemovableHandle(self._forward_pre_hooks, hook)

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self._entries().items():
            lines.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        extra = ", ".join(filter(None, (self.extra_repr(), "frozen" if self._frozen else "")))
        if not lines:
            return f"{type(self).__name__}({extra})"
        if extra:
            lines.insert(0, extra)
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
