"""What a module holds: parameters, buffers and other modules, found by their type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..autograd.graph import Value
from ..autograd.sharing import share
from ..tensors.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from .module import Module


changes = [0]
"""How often an attribute of a module was set: who knows what modules hold looks again."""


class Buffer(Tensor):
    """A tensor that belongs to a module's state without being learned: running statistics.

    Made of a tensor, it shares that one's memory and its place in the graph.
    """

    persistent = True

    def __init__(self, data: Any = (), persistent: bool = True) -> None:
        if isinstance(data, Value):
            self.array = data.array
            share(self, data, follows=True)
            self.tracked, self.edge = data.tracked and data.edge is not None, data.edge
        else:
            super().__init__(data)
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        result: Any = super().__deepcopy__(memo)
        result.persistent = self.persistent
        return result


class Tree:
    """The part of ``Module`` that keeps names: of its parameters, its buffers, its modules."""

    _empty_buffers: dict[str, bool] | None = None
    """Names that register_buffer was given None for, and whether they will be persistent."""

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
        elif old is None and self._empty_buffers and name in self._empty_buffers and isinstance(
                value, Tensor) and not isinstance(value, Buffer | Parameter):
            value = Buffer(value, self._empty_buffers[name])
        object.__setattr__(self, name, value)
        changes[0] += 1

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        changes[0] += 1

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set a parameter by name; None reserves the name."""
        self._register(name, param, Parameter, "Parameter")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set a buffer by name; one that is not persistent stays out of the state dict.

        After None, the first tensor assigned to the name becomes the buffer.
        """
        if tensor is None:
            self._empty_buffers = {**(self._empty_buffers or {}), name: persistent}
        value = Buffer(tensor, persistent) if isinstance(tensor, Tensor) else tensor
        self._register(name, value, Buffer, "Tensor")

    def register_module(self, name: str, module: Module | None) -> None:
        """Set a submodule by name."""
        self._register(name, module, Tree, "Module")

    add_module = register_module

    def _register(self, name: str, value: Any, kind: type, what: str) -> None:
        """Set an attribute that becomes part of dotted names.

        Raises:
            TypeError: the name is no string, the value of another kind. KeyError: a name that is
                empty, has a dot in it, or is taken by a method or another attribute.
        """
        if not isinstance(name, str):
            raise TypeError(f"{what} name: expected a string, got {type(name).__name__}")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{what} {name!r}: expected a {what} or None, got "
                            f"{type(value).__name__}")
        if not name or "." in name:
            raise KeyError(f"{what} name: expected one without a dot and not empty, got {name!r}")
        if hasattr(self, name) and not isinstance(getattr(self, name), kind | None):
            raise KeyError(f"{what} name: attribute {name!r} already exists")
        setattr(self, name, value)

    def _entries(self) -> dict[str, Any]:
        """The modules that are attributes of this one, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tree)}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, each once."""
        seen: set[int] = set()
        for name, module in self._entries().items():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, by dotted name; a parent before its children."""
        seen: set[int] = set()
        stack: list[tuple[str, Any]] = [(prefix, self)]
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
        module: Any = self
        for name in target.split(".") if target else ():
            found = module._entries().get(name)
            if found is None:
                raise AttributeError(f"{type(self).__name__} has no submodule {target!r}: "
                                     f"{type(module).__name__} has no {name!r}")
            module = found
        return module

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
