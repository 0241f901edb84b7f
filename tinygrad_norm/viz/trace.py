"""From a tensor to a Graph: plain data about what it was computed from.

Only the engine's records are read (``Node``, ``Variable``); nothing is run, changed or kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..autograd.backward import reachable
from ..autograd.graph import Node, Variable
from .details import details
from .names import BUFFER, INPUT, PARAMETER, Names

OP, OUTPUT = "op", "output"
GRADIENT, CONSTANT, STATE = "gradient", "constant", "state"

__all__ = ["BUFFER", "CONSTANT", "GRADIENT", "INPUT", "OP", "OUTPUT", "PARAMETER", "STATE",
           "Cluster", "Graph", "GraphEdge", "GraphNode", "trace"]


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An operation or a tensor.

    kind:      ``op``, ``parameter``, ``buffer``, ``input`` or ``output``
    name:      the operation's name; a parameter's or buffer's dotted name
    details:   an operation's settings and plain numbers, as text: ``axis=1``, ``b=2``
    cluster:   the index of the innermost module call it belongs to
    """

    kind: str
    name: str
    details: tuple[str, ...] = ()
    cluster: int | None = None


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """A value on its way from one node to another, by their indices.

    shape:    of the value
    kind:     ``gradient``: one flows back along it; ``constant``: none does; ``state``: the module
              holds this buffer, but no recorded operation read it
    output:   the value's name, where the source has several results and this is not the first
    operand:  which input of the target it is
    """

    source: int
    target: int
    shape: tuple[int, ...]
    kind: str = GRADIENT
    output: str = ""
    operand: int = 0


@dataclass(frozen=True, slots=True)
class Cluster:
    """One call of a module.

    name:    its dotted name, empty where it has none
    type:    its class
    parent:  the index of the call that made this one
    call:    1 for the first call of this module, 2 for the next
    """

    name: str
    type: str
    parent: int | None = None
    call: int = 1


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they were computed, the edges between them, module calls.

    It holds text and numbers only, so it keeps no tensor alive.
    """

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[GraphNode]:
        """The nodes of one kind."""
        return [node for node in self.nodes if node.kind == kind]


def trace(tensor: Variable, params: Any = None) -> Graph:
    """The graph of ``tensor``.

    Args:
        tensor: a result of recorded operations, or a leaf that requires grad.
        params: names for tensors: a module, a dict, or pairs (name, tensor). By default those of
            the modules that were called on the way.

    Raises:
        TypeError: no tensor, or names in another form.
        RuntimeError: nothing was recorded.
    """
    if not isinstance(tensor, Variable):
        raise TypeError(f"graph: expected a Tensor, got {type(tensor).__name__}; "
                        "of several results draw one, or their sum")
    if not tensor.tracked:
        raise RuntimeError(
            f"graph: the tensor of shape {tensor.array.shape} has no graph: it does not require "
            "grad; compute it from a tensor with requires_grad=True, outside no_grad() and "
            "without detach()"
        )
    nodes = reachable([tensor.edge])[::-1]
    calls = _calls(nodes)
    builder = _Builder(calls, _enclosed(calls),
                       Names(params, [call.module for call in calls if call.parent is None]))
    for node in nodes:
        builder.place(node)
    for node in nodes:
        builder.draw(node)
    return builder.finish(tensor)


# -- the calls of modules --------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """A module's call: the operations recorded after ``start`` that lead to ``last``."""

    module: Any
    start: int
    last: Node
    parent: int | None = None


def _calls(nodes: Sequence[Node]) -> list[_Call]:
    """Every call that recorded something, in the order in which they began."""
    calls = []
    for node in nodes:
        link = node.calls
        while link is not None:
            module, start, link = link
            if start < node.order:  # else it handed its input through
                calls.append(_Call(module, start, node))
    return sorted(calls, key=lambda call: call.start)


def _enclosed(calls: Sequence[_Call]) -> dict[Node, int]:
    """The innermost call of each operation; sets each call's parent too.

    Of two calls around an operation, the one that began later lies inside the other.
    """
    inside: dict[Node, int] = {}
    for index, call in enumerate(calls):
        call.parent = inside.get(call.last)
        seen, stack = {call.last}, [call.last]
        while stack:
            node = stack.pop()
            inside[node] = index
            for edge in node.edges:
                if isinstance(edge, tuple) and edge[0].order > call.start and edge[0] not in seen:
                    seen.add(edge[0])
                    stack.append(edge[0])
    return inside


# -- nodes and edges -------------------------------------------------------------------------------


class _Value(NamedTuple):
    """Where a value comes from, and what its edge says."""

    source: int
    shape: tuple[int, ...]
    kind: str
    output: str = ""


class _Builder:
    """Numbers the nodes: operations as they were recorded, a leaf just before its first use."""

    def __init__(self, calls: Sequence[_Call], inside: dict[Node, int], names: Names) -> None:
        self.graph = Graph()
        self.calls = calls
        self.inside = inside
        self.names = names
        self.index: dict[Any, int] = {}
        self.homes: dict[int, int | None] = {}
        self.shown: set[int] = set()
        self.returned: dict[Node, list[int]] = {}
        for i, call in enumerate(calls):
            self.returned.setdefault(call.last, []).append(i)

    def place(self, node: Node) -> None:
        """Parameters and buffers lie in the innermost call around all who use them."""
        home = self.inside.get(node)
        for _, source in operands(node):
            if not isinstance(source, tuple):
                key = self.names.leaf(source)[0]
                self.homes[key] = self._common(self.homes.get(key, home), home)

    def _common(self, one: int | None, other: int | None) -> int | None:
        while one != other:
            if one is None or other is None:
                return None
            if one > other:  # a parent has the smaller index
                one = self.calls[one].parent
            else:
                other = self.calls[other].parent
        return one

    def draw(self, node: Node) -> None:
        """The operation, the leaves that it is the first to use, and the edges into it."""
        given = [(operand, self._value(source)) for operand, source in operands(node)]
        target = self._add(node, GraphNode(OP, node.op.name, details(node), self.inside.get(node)))
        self.graph.edges.extend(GraphEdge(v.source, target, v.shape, v.kind, v.output, operand)
                                for operand, v in given)
        for i in self.returned.get(node, ()):
            self._hold(i, target)

    def _hold(self, call: int, target: int) -> None:
        """The buffers of a module that no recorded operation read, beside what it returned."""
        module = self.calls[call].module
        if id(module) in self.shown:
            return
        self.shown.add(id(module))
        for key, name, shape in self.names.buffers(module):
            if key not in self.homes and key not in self.index:
                source = self._add(key, GraphNode(BUFFER, name, cluster=call))
                self.graph.edges.append(GraphEdge(source, target, shape, STATE))

    def finish(self, tensor: Variable) -> Graph:
        """The output and the clusters."""
        value = self._value(tensor.edge or tensor)
        target = self._add(None, GraphNode(OUTPUT, "output"))
        self.graph.edges.append(
            GraphEdge(value.source, target, value.shape, value.kind, value.output))
        times: dict[int, int] = {}
        for call in self.calls:
            key = id(call.module)
            times[key] = times.get(key, 0) + 1
            self.graph.clusters.append(Cluster(
                self.names.module(call.module), type(call.module).__name__, call.parent,
                times[key]))
        return self.graph

    def _value(self, source: Any) -> _Value:
        if isinstance(source, tuple):
            node, i = source
            outputs = getattr(node.op, "outputs", ())
            output = outputs[i] if 0 < i < len(outputs) else ""
            return _Value(self.index[node], node.shapes[i], GRADIENT, output)
        key, kind, name = self.names.leaf(source)
        if key not in self.index:
            home = None if kind == INPUT else self.homes.get(key)
            self._add(key, GraphNode(kind, name, cluster=home))
        if isinstance(source, Variable):
            return _Value(self.index[key], source.array.shape, GRADIENT)
        return _Value(self.index[key], source.shape, CONSTANT)

    def _add(self, key: Any, node: GraphNode) -> int:
        index = self.index[key] = len(self.graph.nodes)
        self.graph.nodes.append(node)
        return index


def operands(node: Node) -> Iterator[tuple[int, Any]]:
    """(position, edge or constant) of each input that is a tensor or an array."""
    constants = iter(node.constants)
    for i, edge in enumerate(node.edges):
        source = next(constants, None) if edge is None else edge
        if edge is not None or getattr(source, "shape", None) is not None:
            yield i, source
