"""Looking on at a reverse walk: drawings and studies do, and so do the user's own wishes.

A walk knows one observer. What the user asked for on the way (hooks, retained gradients, the
gradients that ``grad`` returns, the search for NaN) is the engine's own, :class:`Hooks`; whoever
brings another only looks: with it nothing of that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from ..backend.array import Array, device_of
from ..errors import DeviceError, DtypeError, ShapeError
from .anomaly import check_backward
from .broadcasting import unbroadcast
from .graph import Node, Value, tick, wrap
from .mode import UNHOOKED, flags


class Observer:
    """Is told of a walk, step by step; its own methods change nothing."""

    def node(self, node: Node, dys: list[Any]) -> None:
        """The gradients of the node's outputs are complete, and its rule is about to run.

        dys:  one for each output, None where nothing came; the rule gets what is in the list then
        """

    def constant(self, node: Node, i: int, tensor: Value) -> None:
        """In a recorded walk: the rule reads input i, a constant, as this new tensor."""

    def pulled(self, node: Node, dys: Sequence[Any], gradients: Sequence[Any]) -> Iterable[Any]:
        """The rule has run; the walk goes on with what is returned here for its gradients.

        It takes one, adds it to what came to the same place before, and takes the next.
        """
        for i, gradient in enumerate(gradients):
            flows = gradient is not None and node.edges[i] is not None
            yield self.flow(node, i, gradient) if flows else None

    def flow(self, node: Node, i: int, gradient: Any) -> Any:
        """The rule's gradient for input i; returned in the input's shape, it is added next."""
        shape = node.input_shape(i)
        return gradient if gradient.shape == shape else unbroadcast(gradient, shape)


class Hooks(Observer):
    """What a user asked for: hooks, gradients to keep or to return, an error for NaN."""

    def __init__(self, graph: bool, targets: Set[Any] | None, found: dict[Any, Any]) -> None:
        self.graph = graph
        self.targets = targets
        self.found = found

    def node(self, node: Node, dys: list[Any]) -> None:
        for i, dy in enumerate(dys):
            if dy is None:
                continue
            if node.watched:
                dy = dys[i] = self._watched(node, i, dy)
            if self.targets is not None and (node, i) in self.targets:
                self.found[node, i] = copied(dy)

    def _watched(self, node: Node, i: int, dy: Any) -> Any:
        """What the hooks of output i make of its gradient, which is also stored if retained."""
        if node.hooks and i in node.hooks:
            dy = hooked(node.hooks[i], Value.result_class, dy, self.graph)
        reference = (node.retained or {}).get(i) if self.targets is None else None
        variable = reference() if reference else None
        if variable is not None:
            accumulate(variable, copied(dy), self.graph)
        return dy

    def pulled(self, node: Node, dys: Sequence[Any], gradients: Sequence[Any]) -> Iterable[Any]:
        check_backward(node, dys, gradients)
        return gradients


def hooked(
    hooks: Mapping[int, Callable[[Any], Any]], like: type[Value], gradient: Any, graph: bool
) -> Any:
    """What ``hooks`` make of a gradient, one after the other; None leaves it as it is."""
    if flags.get() & UNHOOKED:
        return gradient
    for hook in tuple(hooks.values()):
        given = gradient if isinstance(gradient, Value) else wrap(like, as_array(gradient))
        result = hook(given)
        if result is None:
            continue
        if not isinstance(result, Value):
            raise TypeError(f"hook: expected a Tensor or None, got {type(result).__name__}")
        if result.array.shape != given.array.shape:
            raise ShapeError(f"hook: expected a gradient of shape {given.array.shape}, got "
                             f"{result.array.shape}")
        if result.array.dtype != given.array.dtype:
            raise DtypeError(f"hook: expected a gradient of {given.array.dtype}, got "
                             f"{result.array.dtype}; return .to(gradient.dtype)")
        if device_of(result.array) != device_of(given.array):
            raise DeviceError(f"hook: expected a gradient on {device_of(given.array)}, got "
                              f"{device_of(result.array)}; return .to(gradient.device)")
        gradient = result if graph else result.array
    return gradient


def accumulate(variable: Value, gradient: Any, graph: bool) -> None:
    """Add to ``variable.grad``: in place, so that whoever holds it sees the sum."""
    old = variable._grad
    if graph:
        variable._grad = gradient if old is None else old + gradient
    elif old is None:
        variable._grad = wrap(variable.result_class, as_array(gradient))
    elif old.tracked:
        variable._grad = old.detach() + wrap(variable.result_class, gradient)
    else:
        array = old.array
        array += gradient
        old.written[0] = tick()


def copied(gradient: Any) -> Any:
    """The same gradient in memory of its own."""
    return gradient.copy() if not isinstance(gradient, Value) else gradient.clone()  # type: ignore[attr-defined]


def as_array(value: Any) -> Array:
    """NumPy's reductions give scalars; everywhere else an array without dimensions is meant."""
    return np.asarray(value) if isinstance(value, np.generic) else value
