"""The backward pass, run to be looked at: every operation of it recorded, and whose it is.

The engine's walk gives gradients. This one also says which operations each rule ran, which values
of the forward pass they read, and what flowed along each edge. The rules are the engine's own. No
hook is called and no ``.grad`` is written, and the graph stays as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.backward import reachable
from ..autograd.broadcasting import unbroadcast
from ..autograd.graph import Node, Value, tick, wrap
from ..autograd.mode import ANOMALY, GRAD, STATISTICS, Mode
from ..backend.array import array_module, is_array


class recorded(Mode):
    """What is run to be drawn is recorded, moves no statistics, and NaN in it is no error."""

    on = GRAD
    off = ANOMALY | STATISTICS


class Walk:
    """One backward pass from ``tensor``, whose gradient is 1 everywhere.

    seed:       that gradient
    gradients:  of each leaf
    flows:      what came back along an input: by (operation, which operand)
    constants:  which value of the forward pass a leaf stands for, by its id: (operation, operand)

    Raises:
        RuntimeError: the values that it needs were freed, or changed in place.
    """

    def __init__(self, tensor: Value) -> None:
        self.seed = _tracked(tensor.result_class, array_module(tensor.array).ones_like(
            tensor.array))
        self.gradients: dict[Value, Any] = {}
        self.flows: dict[tuple[Node, int], Any] = {}
        self.constants: dict[int, tuple[Node, int]] = {}
        self._kept: list[Value] = []
        self._times = [tick()]
        self._owners: list[Any] = [None]
        with recorded(), np.errstate(all="ignore"):
            self._run(tensor)
        self._times.append(tick())
        self._owners.append(None)

    def owner(self, node: Node) -> Any:
        """Whose gradient an operation of this pass computes: an operation's, or a leaf's."""
        return self._owners[bisect_right(self._times, node.order) - 1]

    def ran(self, node: Node) -> bool:
        """Whether an operation belongs to this pass."""
        return node.order > self._times[0]

    def _run(self, tensor: Value) -> None:
        if tensor.edge is None:
            self.gradients[tensor] = self.seed
            return
        first, output = tensor.edge
        pending: dict[Node, list[Any]] = {first: [None] * len(first.shapes)}
        pending[first][output] = self.seed
        for node in reachable([tensor.edge]):
            dys = pending.pop(node, None)
            if dys is None:
                continue
            self._mark(node)
            for i, gradient in enumerate(self._pulled(node, dys)):
                edge = node.edges[i]
                if edge is None or gradient is None:
                    continue
                to, shape = (edge, edge.array.shape) if isinstance(edge, Value) else (
                    edge[0], edge[0].shapes[edge[1]])
                self._mark(node)
                if gradient.shape != shape:
                    gradient = unbroadcast(gradient, shape)
                self.flows[node, i] = gradient
                self._mark(to)  # where gradients meet, the sum is the value's, not the reader's
                if isinstance(edge, Value):
                    held = self.gradients.get(edge)
                    self.gradients[edge] = gradient if held is None else held + gradient
                else:
                    slots = pending.setdefault(edge[0], [None] * len(edge[0].shapes))
                    held = slots[edge[1]]
                    slots[edge[1]] = gradient if held is None else held + gradient

    def _mark(self, owner: Any) -> None:
        """What is recorded from now on is the owner's."""
        self._owners.append(owner)
        self._times.append(tick())

    def _pulled(self, node: Node, dys: Sequence[Any]) -> Sequence[Any]:
        """The gradients of the inputs. Constants that the rule reads are tracked here, so that
        the operations on them are recorded and can be told apart."""
        if node.saved is None:
            raise RuntimeError(
                f"graph: the backward pass needs values of {node.op.name} that a backward() has "
                "freed; draw it before, or call backward(retain_graph=True)")
        if node.plan is None:  # a user's Function
            return node.op.pull(node, dys, True)
        if any(cell[0] > node.order for cell in node.cells):
            raise node.stale()
        saved = [self._placed(node, source, value)
                 for source, value in zip(node.plan.sources, node.saved, strict=True)]
        return node.plan.pull(dys, saved, node.settings)

    def _placed(self, node: Node, source: Any, value: Any) -> Any:
        if source.property or not is_array(value):
            return value
        edge = (node, source.number) if source.output else node.edges[source.number]
        if isinstance(edge, Value):
            if edge.array is not value:
                raise node.stale()
            return edge
        tensor = _tracked(Value.result_class, value)
        tensor.edge = edge
        if edge is None:
            self.constants[id(tensor)] = (node, source.number)
            self._kept.append(tensor)
        return tensor


def _tracked(like: type[Value], array: Any) -> Any:
    tensor = wrap(like, array)
    tensor.tracked = True
    return tensor
