"""One run of a function under the engine's eyes: the graph, every value in it, names for all."""

from __future__ import annotations

import copy
import inspect
import keyword
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd import keep_statistics
from ...autograd.graph import Node as Recorded
from ...autograd.graph import Value, wrap
from ...autograd.mode import watch
from ...autograd.walk import reachable
from ...backend.array import is_array, to_numpy
from ...errors import DtypeError
from ...nn.module import Module
from ...tensors.random import get_rng_state, set_rng_state
from ...tensors.tensor import Tensor
from .limits import check_nodes, check_size


class Run:
    """One run of a function.

    inputs:      the leaves that it was given
    y, nodes:    its result, and the operations behind it in their order
    seen:        the inputs of each operation: arrays, numbers, None
    values:      the value at each edge
    names:       of each edge
    constants:   arrays that no gradient flows into, by name
    parameters:  a module's, by name
    """

    def __init__(self, function: Any, arrays: Sequence[np.ndarray]) -> None:
        own = isinstance(function, Module)
        self.function = copy.deepcopy(function).double() if own else function
        self.arrays = arrays
        self.random = get_rng_state()
        self.inputs = [wrap(Tensor, array.copy()) for array in arrays]
        self.seen: dict[Recorded, tuple[Any, ...]] = {}
        self.values: dict[Any, np.ndarray] = {}
        for tensor in self.inputs:
            if tensor.array.dtype.kind == "f":
                tensor.requires_grad_()
        with watch(self._watch):
            self.y = self.call(*self.inputs)
        self._check()
        self.nodes = reachable([self.y.edge])[::-1]
        for node in self.nodes:
            if node not in self.seen:
                raise RuntimeError(
                    f"trace: the function uses a result of {node.op.name} that was computed before "
                    "it was called; detach() it, give it as an input, or compute it within")
        check_nodes(len(self.nodes))
        self.values[self.y.edge] = to_numpy(self.y.array)
        self.names: dict[Any, str] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.parameters = dict(self.function.named_parameters()) if own else {}
        self._name()

    def call(self, *tensors: Tensor) -> Any:
        """The function, with the same random numbers each time."""
        set_rng_state(self.random)
        try:
            with keep_statistics():
                return self.function(*tensors)
        except DtypeError as error:
            raise DtypeError(f"trace: {error}; a walk is in float64, and so must be what the "
                             "function brings along: give it as an input, or call .double()"
                             ) from error

    def _watch(self, node: Recorded, inputs: Sequence[Any]) -> None:
        held = []
        for value, edge in zip(inputs, node.edges, strict=True):
            array = value.array if isinstance(value, Value) else value
            array = np.array(to_numpy(array)) if is_array(array) else array
            held.append(array)
            if edge is not None:
                self.values[edge] = array
        self.seen[node] = tuple(held)

    def _check(self) -> None:
        if not isinstance(self.y, Tensor):
            raise TypeError("trace: expected the function to return a Tensor, got "
                            f"{type(self.y).__name__}; of several results return one, or a sum")
        if self.y.edge is None:
            raise RuntimeError("trace: nothing was recorded: the result does not depend on a "
                               "floating input or parameter by an operation; is there a detach() "
                               "or no_grad() in the function?")
        check_size("the result", self.y.array.shape)

    # -- names -------------------------------------------------------------------------------------

    def _name(self) -> None:
        for tensor, name in zip(self.inputs, _parameters(self.function, len(self.inputs)),
                                strict=True):
            self.names[tensor] = self._free(name)
        known = {id(p): name for name, p in self.parameters.items()}
        for node in self.nodes:
            for edge in node.edges:
                if isinstance(edge, Value) and edge not in self.names:
                    name = re.sub(r"\W", "_", known.get(id(edge), f"p{len(self.names)}"))
                    self.names[edge] = self._free(name if name.isidentifier() else f"m{name}")
        for count, node in enumerate(self.nodes, 1):
            outputs = node.op.outputs
            for i in range(len(node.shapes)):
                edge = (node, i)
                if edge == self.y.edge:
                    self.names[edge] = self._free("out")
                elif edge in self.values:
                    which = outputs[i] if i < len(outputs) else i  # a Function names none
                    self.names[edge] = self._free(f"v{count}" + (f"_{which}" if i else ""))

    def _free(self, name: str) -> str:
        """``name``, with a line below it as long as it, or its gradient, would be another's."""
        taken = {*self.names.values(), *self.constants}
        taken |= {f"d{other}" for other in taken}
        while name in taken or f"d{name}" in taken or keyword.iskeyword(name):
            name += "_"
        return name

    def constant(self, array: np.ndarray) -> str:
        """The name of an array that no gradient flows into; equal ones have one name."""
        for name, value in self.constants.items():
            if value.shape == array.shape and np.array_equal(value, array, equal_nan=True):
                return name
        for tensor, given in zip(self.inputs, self.arrays, strict=True):
            if not tensor.tracked and np.array_equal(given, array):
                self.constants[self.names[tensor]] = array
                return self.names[tensor]
        name = self._free(f"c{len(self.constants) + 1}")
        self.constants[name] = array
        return name

    def operands(self, node: Recorded) -> list[str]:
        """The inputs' names; of numbers, what is written in their place."""
        found = []
        for value, edge in zip(self.seen[node], node.edges, strict=True):
            if edge is not None:
                found.append(self.names[edge])
            elif is_array(value):
                found.append(self.constant(value) if value.ndim else repr(value.item()))
            else:
                found.append(repr(value))
        return found


def _parameters(function: Any, count: int) -> list[str]:
    """What the function calls its inputs."""
    try:
        given = inspect.signature(
            function.forward if isinstance(function, Module) else function).parameters.values()
    except (TypeError, ValueError):
        return [f"x{i + 1}" for i in range(count)]
    found = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [*found, *(f"x{i + 1}" for i in range(len(found), count))][:count]
