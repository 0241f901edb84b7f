"""The recorder: how a call becomes a node of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .anomaly import user_line
from .graph import Edge, Node, Operation, _new, tick
from .mode import ANOMALY, LOOKED_AT, WATCH, watcher


def record(
    op: Operation, plan: Any, edges: Sequence[Edge], settings: dict[str, Any],
    arrays: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any],
    shapes: Sequence[tuple[int, ...]], state: int,
) -> Node:
    """The node of one call of ``op``, to which the caller's tensors are then tied.

    Args:
        plan: says what is kept and describes the constants: a ``Plan``, or what stands for one.
        arrays: the inputs' arrays, where an input is a tensor.
        state: the flags in force.

    It takes the place of a constructor: every recorded call runs through it.
    """
    node = _new(Node)
    node.op = op
    node.plan = plan
    node.edges = edges
    node.settings = settings
    node.shapes = shapes
    node.saved, node.cells = plan.keep(arrays, inputs, outputs)
    node.order = tick()
    if plan.constants is not None:
        node.constants = plan.constants(inputs)
    if state & LOOKED_AT:
        if state & ANOMALY:
            node.trace = user_line()
        if state & WATCH:
            watcher.get()(node, inputs)
    return node
