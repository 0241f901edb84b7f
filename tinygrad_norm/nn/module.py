"""Module: what holds parameters, buffers and other modules, and finds them by their type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..autograd.graph import Variable, tick
from ..backend.array import to_device
from ..tensors.conversion import destination
from ..tensors.tensor import Parameter, RemovableHandle, Tensor


class Buffer(Tensor):
    """A tensor that belongs to a module's state without being learned: running statistics."""

    def __init__(self, data: Any = (), persistent: bool = True) -> None:
        if isinstance(data, Variable):
            self.array = data.array
            self.written = [0, False]
        else:
            super().__init__(data)
        self.persistent = persistent


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
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
    _forward_hooks: dict[int, Callable[..., Any]] | None = None
    _forward_pre_hooks: dict[int, Callable[..., Any]] | None = None

    def __init__(self) -> None:
        """Nothing to do: subclasses may call it, as PyTorch's must."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = tick()
        if self._forward_pre_hooks:
            for hook in tuple(self._forward_pre_hooks.values()):
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        if self._forward_hooks:
            for hook in tuple(self._forward_hooks.values()):
                changed = hook(self, args, result)
                result = result if changed is None else changed
        if isinstance(result, Variable) and result.edge is not None:
            node = result.edge[0]  # lets a drawing group the operations recorded since `start`
            node.calls = (self, start, node.calls)
        return result

    # -- what it holds ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        old = self.__dict__.get(name)
        if isinstance(old, Parameter) and not isinstance(value, Parameter) and value is not None:
            raise TypeError(
                f"cannot assign {type(value).__name__} as parameter {name!r}: expected a "
                f"Parameter or None; write into it with {name}.copy_(...) inside no_grad()"
            )
        if isinstance(old, Buffer) and isinstance(value, Tensor) and not isinstance(
                value, Buffer | Parameter):
            value = Buffer(value, old.persistent)
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set a parameter by name; None reserves the name."""
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set a buffer by name; one that is not persistent stays out of the state dict."""
        setattr(self, name, None if tensor is None else Buffer(tensor, persistent))

    def register_module(self, name: str, module: Module | None) -> None:
        """Set a submodule by name."""
        setattr(self, name, module)

    add_module = register_module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, by dotted name; a parent before its children."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            below = [(f"{name}.{key}" if name else key, child)
                     for key, child in module.named_children()]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module of that dotted name."""
        for name, module in self.named_modules():
            if name == target:
                return module
        raise AttributeError(f"{type(self).__name__} has no submodule {target!r}")

    def _named_tensors(
        self, kind: type[Tensor], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Each parameter once, by dotted name."""
        return self._named_tensors(Parameter, prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Each buffer once, by dotted name."""
        return self._named_tensors(Buffer, prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        return (b for _, b in self.named_buffers(recurse=recurse))

    # -- what is done to all of it ---------------------------------------------------------------

    def train(self, mode: bool = True) -> Any:
        """Training mode for this module and all below it."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: expected a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Any:
        """Inference mode: running statistics are used and nothing is dropped."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call ``fn`` on every module, children first."""
        for module in reversed(list(self.modules())):
            fn(module)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Learn the parameters, or freeze them (running statistics are another matter)."""
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

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the parameters and buffers to a device, or the floating ones to a dtype.

        The tensors stay the same objects, so an optimizer made before still holds them.
        """
        dtype, device = destination(args, **kwargs)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}.to: expected a floating dtype, got {dtype}")
        for _, tensor in [*self.named_parameters(), *self.named_buffers()]:
            for one in (tensor, tensor._grad):
                if one is None:
                    continue
                array = one.array
                if dtype is not None and array.dtype.kind == "f":
                    array = array.astype(dtype, copy=False)
                if device is not None:
                    array = to_device(array, device)
                if array is not one.array:
                    one.array = array
                    one.written = [tick(), False]
        return self

    def float(self) -> Any:
        return self.to(np.dtype("float32"))

    def double(self) -> Any:
        return self.to(np.dtype("float64"))

    def half(self) -> Any:
        return self.to(np.dtype("float16"))

    def cpu(self) -> Any:
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Any:
        return self.to(device="cuda" if device is None else device)

    # -- its state -------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, sharing memory with the module."""
        result: dict[str, Tensor] = {}
        for path, module in self._all_modules(prefix):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) or (isinstance(value, Buffer) and value.persistent):
                    result[f"{path}.{name}" if path else name] = value.detach()
        return result

    def _all_modules(self, prefix: str) -> Iterator[tuple[str, Module]]:
        """As ``named_modules``, a module that is held twice under both its names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._all_modules(f"{prefix}.{name}" if prefix else name)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names.

        Nothing is changed when anything does not fit.

        Raises:
            RuntimeError: lists missing keys, unexpected keys (both unless ``strict`` is False),
                and shapes that differ.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        wrong = [
            f"size mismatch for {key}: expected {own[key].shape}, got {tuple(value.shape)}"
            for key, value in state_dict.items()
            if key in own and tuple(value.shape) != own[key].shape
        ]
        problems = list(wrong)
        if strict and missing:
            problems.append("Missing key(s): " + ", ".join(missing))
        if strict and unexpected:
            problems.append("Unexpected key(s): " + ", ".join(unexpected))
        if problems:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n  "
                + "\n  ".join(problems)
            )
        for key, value in state_dict.items():
            if key in own:
                target = own[key]
                array = value.array if isinstance(value, Variable) else np.asarray(value)
                target.array[...] = to_device(array, target.device)
                target.written[0] = tick()
        return IncompatibleKeys(missing, unexpected)

    # -- hooks and text --------------------------------------------------------------------------

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns replaces the output."""
        if self._forward_hooks is None:
            self._forward_hooks = {}
        return RemovableHandle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, args)`` before forward; what it returns replaces the arguments."""
        if self._forward_pre_hooks is None:
            self._forward_pre_hooks = {}
        return RemovableHandle(self._forward_pre_hooks, hook)

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self.named_children():
            lines.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        if extra:
            lines.insert(0, extra)
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
