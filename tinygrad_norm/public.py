"""What a public module shows: its names, the later ones, and errors in the caller's words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import FunctionType, MappingProxyType
from typing import Any

from .absent import TABLES
from .kinds import PACKAGE, checking, telling

CHECKED = tuple(f"{PACKAGE}.{part}" for part in ("tensors", "nn", "optim", "data"))
"""Where classes are seldom made, and an argument is kept for later."""

NONE: Mapping[str, str] = MappingProxyType({})


def publish(names: dict[str, Any], later: Mapping[str, str] = NONE) -> None:
    """Say what a module shows: ``publish(globals())`` as its last line.

    ``dir`` lists ``__all__``. The functions in it, and its classes when one is made, say which
    argument is of a wrong kind.

    Args:
        later: names that are imported when they are asked for, and the module that each is in or,
            where it has none of that name, is.
    """
    module = names["__name__"]

    def __getattr__(name: str) -> Any:
        if name not in later:
            advice = TABLES.get(module.partition(".")[2], NONE).get(name)
            text = (f"module {module!r} has no attribute {name!r}" if advice is None else
                    not_here(f"{module}.{name}", advice))
            raise AttributeError(text, name=name, obj=sys.modules[module])
        found = import_module(later[name], module)
        names[name] = told(getattr(found, name, found), module)
        return names[name]

    names["__getattr__"] = __getattr__
    names["__dir__"] = lambda: names["__all__"]
    for name in names.keys() & set(names["__all__"]):
        names[name] = told(names[name], module)


def not_here(name: str, advice: str) -> str:
    """The error for a name of PyTorch's, in the words of ``absent.py``."""
    return f"{name}: not here; " + (advice[2:] if advice[0] == "—" else f"use {advice}")


class Absent:
    """A method that a class has not: asking for it is an error that says what to use.

    ``__getattr__`` of the class would be asked for every attribute, and slow each down.
    """

    def __init__(self, name: str, advice: str) -> None:
        self.name, self.advice = name, advice

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(not_here(f"{owner.__name__}.{self.name}", self.advice),
                             name=self.name, obj=owner if instance is None else instance)


def told(value: Any, module: str) -> Any:
    """A function that tells of wrong kinds; a class that does is changed in place."""
    if isinstance(value, type):
        owner = next(base for base in value.__mro__ if "__init__" in vars(base))
        made = vars(owner)["__init__"]
        if owner.__module__.startswith(CHECKED) and speaks(made):
            setattr(owner, "__init__", checking(made))  # noqa: B010, a method is replaced
    return telling(value, module) if speaks(value) else value


def speaks(function: Any) -> bool:
    """Whether it is a function with arguments that does not yet tell of their kinds."""
    return (isinstance(function, FunctionType) and not hasattr(function, "__wrapped__")
            and len(function.__annotations__) > ("return" in function.__annotations__))
