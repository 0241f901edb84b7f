"""From a tensor to a Graph: plain data about what it was computed from.

Only the engine's records are read (``Node``, ``Value``); nothing is run, changed or kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..autograd.graph import Node, Value
from ..autograd.walk import reachable
from .calls import calls_of, enclosed
from .details import details, is_inner
from .model import (
    BUFFER,
    CONSTANT,
    GRADIENT,
    INPUT,
    OP,
    OUTPUT,
    STATE,
    Cluster,
    Graph,
    GraphEdge,
    GraphNode,
)
from .names import Names


def trace(tensor: Value, params: Any = None) -> Graph:
    """The graph of ``tensor``.

    Args:
        tensor: a result of recorded operations, or a leaf that requires grad.
        params: names for tensors: a module, a dict, or pairs (name, tensor). By default those of
            the modules that were called on the way.

    Raises:
        TypeError: no tensor, or names in another form.
        RuntimeError: nothing was recorded.
    """
    return Tracing(tensor, params).graph


class Origin(NamedTuple):
    """Where a value comes from, and what its edge says."""

    source: int
    shape: tuple[int, ...]
    kind: str
    output: str = ""
    name: str = ""


class Tracing:
    """A graph in the making, and what its nodes and edges stand for in the records.

    Operations are numbered as they were recorded, a leaf just before its first use.

    graph:   the result so far
    tensor:  what it is the graph of
    nodes:   the operations, each after all that it depends on
    index:   the number of an operation; of a leaf, by its key
    reads:   for each edge what it hands over: (operation, which operand), or a tensor
    """

    def __init__(self, tensor: Value, params: Any = None) -> None:
        _check(tensor)
        self.graph = Graph(attributes={"view": "forward", "show": ["shapes"]})
        self.tensor = tensor
        self.nodes = reachable([tensor.edge])[::-1]
        self.index: dict[Any, int] = {}
        self.reads: list[Any] = []
        self.calls = calls_of(self.nodes)
        self.inside = enclosed(self.calls)
        outermost = [call.module for call in self.calls if call.parent is None]
        self.names = Names(params, outermost)
        self._homes: dict[int, int | None] = {}
        self._shown: set[int] = set()
        self._returned: dict[Node, list[int]] = {}
        for i, call in enumerate(self.calls):
            self._returned.setdefault(call.last, []).append(i)
        for node in self.nodes:
            self._place(node)
        for node in self.nodes:
            self._draw(node)
        value = self.value(tensor.edge or tensor)
        self.link(value, self.add(OUTPUT, GraphNode(OUTPUT, "output")), reads=tensor)
        self.graph.clusters.extend(self._clusters())

    def _place(self, node: Node) -> None:
        """Parameters and buffers lie in the innermost call around all who use them."""
        home = self.inside.get(node)
        for _, source in self.operands(node):
            if not isinstance(source, tuple):
                key = self.names.leaf(source)[0]
                self._homes[key] = self._common(self._homes.get(key, home), home)

    def _common(self, one: int | None, other: int | None) -> int | None:
        while one != other:
            if one is None or other is None:
                return None
            if one > other:  # a parent has the smaller index
                one = self.calls[one].parent
            else:
                other = self.calls[other].parent
        return one

    def _draw(self, node: Node) -> None:
        """The operation, the leaves that it is the first to use, and the edges into it."""
        given = [(operand, self.value(source)) for operand, source in self.operands(node)]
        target = self.add(node, GraphNode(OP, node.op.name, details(node), self.inside.get(node)))
        for operand, value in given:
            self.link(value, target, operand, reads=(node, operand))
        for i in self._returned.get(node, ()):
            self._hold(i, target)

    def _hold(self, call: int, target: int) -> None:
        """The buffers of a module that no recorded operation read, beside what it returned."""
        module = self.calls[call].module
        if id(module) in self._shown:
            return
        self._shown.add(id(module))
        for key, name, buffer in self.names.buffers(module):
            if key not in self._homes and key not in self.index:
                source = self.add(key, GraphNode(BUFFER, name, cluster=call))
                shape = buffer.array.shape
                self.link(Origin(source, shape, STATE), target, reads=buffer)

    def _clusters(self) -> Iterator[Cluster]:
        times: dict[int, int] = {}
        for call in self.calls:
            key = id(call.module)
            times[key] = times.get(key, 0) + 1
            count = sum(math.prod(p.array.shape) for p in call.module.parameters())
            yield Cluster(self.names.module(call.module), type(call.module).__name__, call.parent,
                          times[key], attributes={"parameters": count} if count else {})

    # -- what others build on ------------------------------------------------------------------

    def operands(self, node: Node) -> Iterator[tuple[int, Any]]:
        """Those of its operands that are drawn: a mask is part of its operation, but where the
        user gave it a name."""
        for i, source in operands(node):
            if (node.edges[i] is not None or not is_inner(node, i)
                    or self.names.leaf(source)[2] != INPUT):
                yield i, source

    def value(self, source: Any) -> Origin:
        """What an edge of the records leads to; a leaf seen for the first time gets its node."""
        if isinstance(source, tuple):
            node, i = source
            outputs = node.op.outputs
            output = outputs[i] if 0 < i < len(outputs) else ""
            name = self._name(node) if i == 0 else ""
            return Origin(self.index[node], node.shapes[i], GRADIENT, output, name)
        key, kind, name = self.names.leaf(source)
        if key not in self.index:
            home = None if kind == INPUT else self._homes.get(key)
            shape = source.array.shape if isinstance(source, Value) else source.shape
            count = {} if kind == INPUT else {"parameters": math.prod(shape)}
            self.add(key, GraphNode(kind, name, cluster=home, attributes=count))
        if isinstance(source, Value):
            return Origin(self.index[key], source.array.shape, GRADIENT)
        return Origin(self.index[key], source.shape, CONSTANT)

    def _name(self, node: Node) -> str:
        """The dotted name of the innermost module that returned the result."""
        calls = self._returned.get(node)
        return self.names.module(self.calls[calls[-1]].module) if calls else ""

    def add(self, key: Any, node: GraphNode) -> int:
        """One more node; its number."""
        index = self.index[key] = len(self.graph.nodes)
        self.graph.nodes.append(node)
        return index

    def link(
        self, value: Origin, target: int, operand: int = 0, *, kind: str = "", reads: Any = None,
    ) -> None:
        """One more edge."""
        attributes = {"name": value.name} if value.name else {}
        self.graph.edges.append(GraphEdge(value.source, target, value.shape, kind or value.kind,
                                          value.output, operand, attributes))
        self.reads.append(reads)


def _check(tensor: Any) -> None:
    if not isinstance(tensor, Value):
        raise TypeError(f"graph: expected a Tensor, got {type(tensor).__name__}; "
                        "draw what a model returned, graph(model(x), params=model), and of "
                        "several results one, or their sum")
    if not tensor.tracked:
        raise RuntimeError(
            f"graph: the tensor of shape {tensor.array.shape} has no graph: it does not require "
            "grad; compute it from a tensor with requires_grad=True, outside no_grad() and "
            "without detach()"
        )


def operands(node: Node) -> Iterator[tuple[int, Any]]:
    """(position, edge or constant) of each input that is a tensor or an array."""
    for i, source in enumerate(node.inputs()):
        if node.edges[i] is not None or getattr(source, "shape", None) is not None:
            yield i, source
