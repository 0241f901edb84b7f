"""The backward pass, run to be looked at: every operation of it recorded, and whose it is.

The engine's walk gives gradients. Looked on at, it also says which operations each rule ran, which
values of the forward pass they read, and what flowed along each edge. No hook is called and no
``.grad`` is written, and the graph stays as it is.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from ..autograd.graph import Node, Value, tick, wrap
from ..autograd.mode import ANOMALY, GRAD, STATISTICS, STEPS, Mode
from ..autograd.observer import Observer
from ..autograd.walk import walk
from ..backend.array import array_module


class recorded(Mode):
    """What is run to be drawn is recorded, moves no statistics, and NaN in it is no error."""

    on = GRAD | STEPS
    off = ANOMALY | STATISTICS


class Walk(Observer):
    """One backward pass from ``tensor``, whose gradient is 1 everywhere.

    seed:       that gradient
    gradients:  of each leaf
    flows:      what came back along an input: by (operation, which operand)
    constants:  which value of the forward pass a leaf stands for, by its id: (operation, operand)

    Raises:
        RuntimeError: the values that it needs were freed, or changed in place.
    """

    def __init__(self, tensor: Value) -> None:
        ones = array_module(tensor.array).ones_like(tensor.array)
        self.seed = wrap(tensor.result_class, ones)
        self.seed.tracked = True
        self.gradients: dict[Value, Any] = {tensor: self.seed}
        self.flows: dict[tuple[Node, int], Any] = {}
        self.constants: dict[int, tuple[Node, int]] = {}
        self._kept: list[Value] = []
        self._times: list[int] = []
        self._owners: list[Any] = []
        self._mark(None)
        if tensor.edge is not None:
            with recorded(), np.errstate(all="ignore"):
                self.gradients = walk([(tensor.edge, self.seed)], graph=True, keep=True, seen=self)
        self._mark(None)

    def owner(self, node: Node) -> Any:
        """Whose gradient an operation of this pass computes: an operation's, or a leaf's."""
        return self._owners[bisect_right(self._times, node.order) - 1]

    def ran(self, node: Node) -> bool:
        """Whether an operation belongs to this pass."""
        return node.order > self._times[0]

    def _mark(self, owner: Any) -> None:
        """What is recorded from now on is the owner's."""
        self._owners.append(owner)
        self._times.append(tick())

    def node(self, node: Node, dys: list[Any]) -> None:
        if node.kept() is None:
            raise RuntimeError(
                f"graph: the backward pass needs values of {node.op.name} that a backward() has "
                "freed; draw it before, or call backward(retain_graph=True)")
        self._mark(node)

    def constant(self, node: Node, i: int, tensor: Value) -> None:
        """It is tracked, so that the operations on it are recorded and can be told apart."""
        tensor.tracked = True
        self.constants[id(tensor)] = (node, i)
        self._kept.append(tensor)

    def flow(self, node: Node, i: int, gradient: Any) -> Any:
        self._mark(node)
        gradient = self.flows[node, i] = super().flow(node, i, gradient)
        edge = node.edges[i]  # where gradients meet, the sum is the value's, not the reader's
        self._mark(edge[0] if isinstance(edge, tuple) else edge)
        return gradient
