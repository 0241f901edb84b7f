"""Modules that hold modules: in a row, in a list, in a dict.

The entries are attributes named "0", "1", … or by their key, as the keys of a state dict show.
"""

from __future__ import annotations

import operator
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from .module import Module


def _checked(who: str, module: object) -> Module:
    if not isinstance(module, Module):
        raise TypeError(f"{who}: expected a Module, got {type(module).__name__}")
    return module


class _Numbered(Module):
    """What Sequential and ModuleList share: entries by position."""

    def _renumber(self, modules: Iterable[Module]) -> None:
        """Hold these modules, named by their position."""
        new = [_checked(type(self).__name__, module) for module in modules]
        for name in self._entries():
            delattr(self, name)
        for i, module in enumerate(new):
            setattr(self, str(i), module)

    def _name(self, index: int) -> str:
        names = list(self._entries())
        index = operator.index(index)
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for "
                             f"{len(names)} modules")
        return names[index]

    def __getitem__(self, index: Any) -> Any:
        """A module; for a slice a container of the same kind, which shares the modules."""
        if not isinstance(index, slice):
            return getattr(self, self._name(index))
        return type(self)(*self._slice(index))

    def _slice(self, index: slice) -> tuple[Any, ...]:
        """The constructor's arguments for a part of it."""
        return (list(self._entries().values())[index],)

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), _checked(type(self).__name__, module))

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._name(index)
        del modules[index]
        self._renumber(modules)

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._entries().values())

    def __contains__(self, module: object) -> bool:
        return any(module is own for own in self)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        setattr(self, str(len(self)), _checked(type(self).__name__, module))
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before position ``index``; those behind move up by one."""
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for "
                             f"{len(modules)} modules")
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it."""
        module: Module = self[index]
        del self[index]
        return module

    def __iadd__(self, modules: Iterable[Module]) -> Any:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> Any:
        result = type(self)()
        return result.extend(self).extend(other)


class Sequential(_Numbered):
    """Modules one after another: each gets the output of the one before.

    Takes modules, or one ``OrderedDict`` (or dict) that names them.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(4, 8), tn.nn.ReLU(), tn.nn.Linear(8, 2))
    >>> net(tn.zeros(5, 4)).shape
    (5, 2)
    >>> list(net.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *args: Any) -> None:
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, _checked("Sequential", module))
        else:
            self._renumber(args)

    def _slice(self, index: slice) -> tuple[Any, ...]:
        return (dict(list(self._entries().items())[index]),)  # keeps the names, as PyTorch

    def forward(self, input: Any) -> Any:
        for module in tuple(vars(self).values()):
            if isinstance(module, Module):
                input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules whose parameters are found; what is called and when is up to you."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._renumber(modules or ())


class ModuleDict(Module):
    """A dict of modules whose parameters are found, in the order in which they were added."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[Any] | None = None) -> None:
        self.update({} if modules is None else modules)

    def __getitem__(self, key: str) -> Module:
        return self._entries()[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, _checked("ModuleDict", module))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __contains__(self, key: object) -> bool:
        return key in self._entries()

    def keys(self) -> KeysView[str]:
        return self._entries().keys()

    def values(self) -> ValuesView[Module]:
        return self._entries().values()

    def items(self) -> ItemsView[str, Module]:
        return self._entries().items()

    def update(self, modules: Mapping[str, Module] | Iterable[Any]) -> None:
        """Add the pairs of a mapping, or of a list of (key, module)."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in self._entries():
            delattr(self, key)
