"""What tensors and modules are called. Modules are known by their methods, not by their class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..autograd.graph import Value
from .model import BUFFER, INPUT, PARAMETER


class Names:
    """Kinds and names, looked up by a tensor, by the memory it shares, or by a module.

    A buffer is often read through a view, and a state dict holds detached tensors: the ``written``
    list, which views share, tells the memory.
    """

    def __init__(self, params: Any, called: Iterable[Any]) -> None:
        """``params`` as ``graph`` takes it, and the outermost modules that were called."""
        self._tensors: dict[int, tuple[Value, str, str]] = {}
        self._memory: dict[int, tuple[Value, str, str]] = {}
        self._modules: dict[int, str] = {}
        called = list(called)
        if _is_module(params):
            called.insert(0, params)
        learned = {id(v) for module in called for _, v in module.named_parameters()}
        for name, variable in _pairs(params):
            if variable.tracked or id(variable) in learned:
                kind = PARAMETER
            else:  # only a module's Buffer says whether it is saved
                kind = BUFFER if hasattr(variable, "persistent") else INPUT
            self._add(variable, kind, name)
        for module in called:
            for name, part in module.named_modules():
                self._modules.setdefault(id(part), name)
            if params is None or module is params:
                for name, variable in module.named_parameters():
                    self._add(variable, PARAMETER, name)
            for name, variable in module.named_buffers():
                self._add(variable, BUFFER, name)

    def _add(self, variable: Value, kind: str, name: str) -> None:
        entry = (variable, kind, name)
        self._tensors.setdefault(id(variable), entry)
        self._memory.setdefault(id(variable.written), entry)

    def leaf(self, source: Any) -> tuple[int, str, str]:
        """(key, kind, name) of a leaf, or of a constant; equal keys are one node."""
        tracked = isinstance(source, Value)
        entry = self._tensors.get(id(source)) or self._memory.get(id(source.written))
        if tracked and entry and entry[0] is not source and entry[0].tracked:
            entry = None  # a leaf of its own in a parameter's memory is not that parameter
        if entry is not None:
            variable, kind, name = entry
            return id(variable), PARAMETER if tracked and kind == INPUT else kind, name
        # Two constants that were one tensor have the same weak reference, also when it is gone.
        return id(source if tracked else source.variable or source), INPUT, INPUT

    def buffers(self, module: Any) -> Iterator[tuple[int, str, Value]]:
        """(key, name, buffer) of the buffers that the module itself holds."""
        for name, variable in module.named_buffers(recurse=False):
            _, _, known = self._memory.get(id(variable.written), (None, None, name))
            yield id(variable), known, variable

    def module(self, module: Any) -> str:
        """Its dotted name, or nothing."""
        return self._modules.get(id(module), "")


def _is_module(params: Any) -> bool:
    return all(hasattr(params, f"named_{what}") for what in ("parameters", "buffers", "modules"))


def _pairs(params: Any) -> Iterator[tuple[str, Value]]:
    """(name, tensor) of what is given by name."""
    if params is None or _is_module(params):
        return
    form = "expected params to be a Module, a dict or pairs (name, tensor)"
    if isinstance(params, Value) or not isinstance(params, Iterable):
        raise TypeError(f"graph: {form}, got {type(params).__name__}")
    for pair in params.items() if isinstance(params, Mapping) else params:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"graph: {form}, got an iterable of {type(pair).__name__}; "
                            "is it parameters()? pass named_parameters()")
        name, variable = pair
        if not isinstance(variable, Value):
            raise TypeError(f"graph: {form}, got {type(variable).__name__} for {name!r}")
        yield str(name), variable
