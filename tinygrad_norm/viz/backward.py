"""The backward pass beside the forward pass: its operations, put into the graph of the tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..autograd.graph import Node, Value
from ..autograd.walk import reachable
from .details import details, is_inner
from .model import (
    BACK,
    BUFFER,
    CONSTANT,
    DERIVATIVE,
    GRAD,
    GRADIENT_OF,
    INPUT,
    OUTPUT,
    PARAMETER,
    SAVED,
    SEED,
    USES,
    Cluster,
    Graph,
    GraphNode,
    renumbered,
)
from .reverse import Walk
from .trace import Origin, Tracing


def add_backward(tracing: Tracing, walk: Walk) -> list[Node]:
    """Put the operations of the walk into the tracing's graph; these operations.

    Those of one operation's gradient are a cluster, within the module of that operation.
    """
    return _Backward(tracing, walk).nodes


class _Backward:
    def __init__(self, tracing: Tracing, walk: Walk) -> None:
        self.tracing, self.walk = tracing, walk
        self.graph, self.index = tracing.graph, tracing.index
        self.sources = {(e.target, e.operand): e.source for e in self.graph.edges}
        self.groups: dict[int, int] = {}
        ends = [gradient.edge for gradient in walk.gradients.values() if gradient.edge]
        self.nodes = [node for node in reachable(ends)[::-1] if walk.ran(node)]
        tracing.add(id(walk.seed), GraphNode(SEED, "d output", of=self.index[OUTPUT]))
        for node in self.nodes:
            self._draw(node)
        for leaf, gradient in walk.gradients.items():
            of = self._number(leaf)
            forward = self.graph.nodes[of]
            end = GraphNode(GRAD, f"d {forward.name}", cluster=forward.cluster, of=of)
            value = self._value(gradient.edge or gradient)
            tracing.link(value, tracing.add(("grad", of), end), reads=gradient)
        self.graph.attributes["view"] = "both"

    def _draw(self, node: Node) -> None:
        """An operation of the backward pass, in the group of the one whose gradient it is."""
        of = self._number(self.walk.owner(node))
        if of not in self.groups:
            forward = self.graph.nodes[of]
            self.groups[of] = len(self.graph.clusters)
            self.graph.clusters.append(
                Cluster("", forward.name, forward.cluster, kind=GRADIENT_OF))
        group = self.groups[of]
        given = [(operand, value) for operand, source in self.tracing.operands(node)
                 if (value := self._given(node, operand, source, group))]
        drawn = GraphNode(DERIVATIVE, node.op.name, details(node), group, of)
        target = self.tracing.add(node, drawn)
        for operand, value in given:
            self.tracing.link(value, target, operand, reads=(node, operand))

    def _given(self, node: Node, operand: int, source: Any, group: int) -> Origin | None:
        """Where an operand comes from; None for what is part of the operation, as a mask."""
        known = self.walk.constants.get(id(source))
        if known and is_inner(*known) and self._place(known) is None:
            return None if is_inner(node, operand) else self._constant(*known, source, group)
        own = not isinstance(source, tuple | Value) and (
            self.tracing.names.leaf(source)[0] not in self.index)
        return self._constant(node, operand, source, group) if own else self._value(source)

    def _place(self, known: tuple[Node, int]) -> int | None:
        """What an operand of the forward pass comes from, where that is drawn."""
        return self.sources.get((self.index[known[0]], known[1]))

    def _number(self, owner: Any) -> int:
        """Of an operation or a leaf of the forward pass."""
        return self.index[owner if isinstance(owner, Node) else self.tracing.names.leaf(owner)[0]]

    def _value(self, source: Any) -> Origin:
        if isinstance(source, tuple):
            kind = BACK if self.walk.ran(source[0]) else USES
            return self.tracing.value(source)._replace(kind=kind)
        if source is self.walk.seed:
            return Origin(self.index[id(source)], source.array.shape, BACK)
        known = self.walk.constants.get(id(source))
        place = self._place(known) if known else None
        if place is not None:
            return Origin(place, source.array.shape, USES)
        return self.tracing.value(source)._replace(kind=USES)

    def _constant(self, node: Node, operand: int, source: Any, group: int) -> Origin:
        """What a rule made without recording it, as a mask: named as the operation names it."""
        names = node.op.inputs
        name = names[min(operand, len(names) - 1)] if names else INPUT
        at = self.index.get(id(source))
        if at is None:
            at = self.tracing.add(id(source), GraphNode(INPUT, name, cluster=group,
                                                        attributes={"backward": True}))
        return Origin(at, tuple(source.shape), CONSTANT)


def backward_alone(graph: Graph) -> Graph:
    """The backward pass, and of the forward pass the values that it reads."""
    read = {edge.source for edge in graph.edges
            if graph.nodes[edge.target].backward and not graph.nodes[edge.source].backward}
    kept: list[tuple[int | None, GraphNode]] = []
    for i, node in enumerate(graph.nodes):
        if node.backward:
            kept.append((i, node))
        elif i in read:
            leaf = node.kind in (PARAMETER, BUFFER, INPUT)
            kept.append((i, node if leaf else replace(node, kind=SAVED, details=())))
    result = renumbered(graph, kept)
    result.edges = [edge for edge in result.edges if result.nodes[edge.target].backward]
    result.attributes["view"] = "backward"
    return result
