"""The graph as plain data: nodes, edges, clusters, attributes, and the same as JSON.

It holds text and numbers only, so it keeps no tensor alive. Tracing makes it, transformations take
one and give another, and what is drawn is written from it.

The JSON form is an object with the same fields, each node, edge and cluster an object too; nodes
and clusters are named by their place in their list. What is None, empty or the default is left out.
Numbers that are not finite are the text ``"nan"``, ``"inf"``, ``"-inf"``; ``<``, ``>`` and ``&``
stand as ``\\u003c`` and so on, so that the text can stand within an HTML page::

    {"format": "tinygrad_norm graph 1",
     "nodes": [{"kind": "parameter", "name": "w"}, {"kind": "op", "name": "mul"}],
     "edges": [{"source": 0, "target": 1, "shape": [2], "kind": "gradient"}],
     "clusters": [{"name": "fc1", "type": "Linear", "parent": 0}],
     "attributes": {"view": "forward"}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

OP, PARAMETER, BUFFER, INPUT, OUTPUT = "op", "parameter", "buffer", "input", "output"
SEED, DERIVATIVE, GRAD, SAVED = "seed", "derivative", "grad", "saved"
BOX = "box"
GRADIENT, CONSTANT, STATE = "gradient", "constant", "state"
BACK, USES = "back", "uses"
MODULE, GRADIENT_OF, OPENED, REPEATED = "module", "gradient", "opened", "repeated"

FORMAT = "tinygrad_norm graph 1"
BACKWARD = (SEED, DERIVATIVE, GRAD)
"""The kinds of nodes that belong to the backward pass."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An operation or a tensor.

    kind:        ``op``, ``parameter``, ``buffer``, ``input``, ``output``; of the backward pass
                 ``seed`` (the gradient of the output, where it starts), ``derivative`` (an
                 operation), ``grad`` (the gradient of a leaf, where it ends), ``saved`` (a value of
                 the forward pass, where this is not drawn); ``box``, a closed cluster
    name:        the operation's name; a parameter's or buffer's dotted name; a box's title
    details:     an operation's settings and plain numbers, as text: ``dim=1``, ``b=2``
    cluster:     the index of the innermost cluster it lies in
    of:          of a node of the backward pass the index of the node whose gradient it computes
    attributes:  ``parameters`` (how many numbers), ``saved`` (bytes kept for the backward pass),
                 ``nonfinite`` (``origin`` or ``path``), ``type`` and ``operations`` of a box,
                 ``backward`` (a box or a constant of the backward pass); of a compiled step
                 ``names`` (what a folded box stands for, or writes)
    """

    kind: str
    name: str
    details: tuple[str, ...] = ()
    cluster: int | None = None
    of: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def backward(self) -> bool:
        """Whether it belongs to the backward pass."""
        return self.kind in BACKWARD or bool(self.attributes.get("backward"))


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """A value on its way from one node to another, by their indices.

    shape:       of the value
    kind:        ``gradient``: one flows back along it; ``constant``: none does; ``state``: the
                 module holds this buffer, but no recorded operation read it; ``back``: a value of
                 the backward pass; ``uses``: a value of the forward pass that the backward reads
    output:      the value's name, where the source has several results and this is not the first
    operand:     which input of the target it is
    attributes:  ``name`` (dotted, of the module that returned it), ``dtype``, ``mean``, ``std``,
                 ``nonfinite`` (``nan``, ``inf``), ``gradient`` (the norm of what flows back along
                 it), ``nonfinite_gradient``; of a compiled step ``arrays`` (names and shape of
                 all that go this way, one shape a line)
    """

    source: int
    target: int
    shape: tuple[int, ...]
    kind: str = GRADIENT
    output: str = ""
    operand: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What belongs together: one call of a module, or the steps of one operation.

    name:        a module's dotted name, empty where it has none
    type:        its class; an operation's name
    parent:      the index of the cluster around this one, which stands before it
    call:        1 for the first call of this module, 2 for the next
    kind:        ``module``; ``gradient``: an operation's derivatives; ``opened``: an operation's
                 steps; ``repeated``: several modules of a row that comes ``repeat`` times
    attributes:  ``parameters`` (how many numbers), ``repeat`` (so many equal ones in a row),
                 ``last`` (the name of the last of them)
    """

    name: str
    type: str
    parent: int | None = None
    call: int = 1
    kind: str = MODULE
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Graph:
    """Nodes in the order in which they were computed, the edges between them, clusters.

    attributes:  ``view`` (``forward``, ``backward``, ``both``), ``show`` (what a picture writes),
                 ``saved`` (bytes kept for the backward pass), ``hint`` (what was left out)
    """

    nodes: list[GraphNode] = field(default_factory=list)
    edges: list[GraphEdge] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[GraphNode]:
        """The nodes of one kind."""
        return [node for node in self.nodes if node.kind == kind]

    def around(self, cluster: int | None) -> list[int]:
        """The clusters around a place, from the outermost to that one."""
        result: list[int] = []
        while cluster is not None:
            result.append(cluster)
            cluster = self.clusters[cluster].parent
        return result[::-1]


def to_json(graph: Graph) -> str:
    """The graph as JSON text, a node, edge or cluster a line."""
    parts = [f'{{"format": "{FORMAT}"']
    for name in ("nodes", "edges", "clusters"):
        lines = ",\n  ".join(_text(_plain(one)) for one in getattr(graph, name))
        parts.append(f' "{name}": [\n  {lines}]' if lines else f' "{name}": []')
    parts.append(f' "attributes": {_text(_value(graph.attributes))}}}')
    return ",\n".join(parts) + "\n"


def from_json(text: str) -> Graph:
    """The graph of such a text; not-finite numbers stay text.

    Raises:
        ValueError: it is another form, or no JSON.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"from_json: expected the format {FORMAT!r}, got {found!r}")
    return Graph(
        [GraphNode(**{**n, "details": tuple(n.get("details", ()))}) for n in data["nodes"]],
        [GraphEdge(**{**e, "shape": tuple(e.get("shape", ()))}) for e in data["edges"]],
        [Cluster(**c) for c in data["clusters"]],
        data["attributes"],
    )


def _plain(one: Any) -> dict[str, Any]:
    """The fields that say something; kind, name, source and target always do."""
    known = ((f.name, getattr(one, f.name), f.default) for f in fields(one))
    return {name: _value(value) for name, value, default in known
            if name == "kind" or (value != default and value != {})}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(k): _value(v) for k, v in value.items()}
    return list(map(_value, value)) if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    text = json.dumps(value, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def renumbered(graph: Graph, nodes: Iterable[tuple[int | None, GraphNode]]) -> Graph:
    """A graph of ``nodes``, given with their old numbers; edges between others are left out."""
    place: dict[int, int] = {}
    kept: list[GraphNode] = []
    for old, node in nodes:
        if old is not None:
            place[old] = len(kept)
        kept.append(node)
    return Graph(
        [node if node.of is None else replace(node, of=place.get(node.of)) for node in kept],
        [replace(edge, source=place[edge.source], target=place[edge.target])
         for edge in graph.edges if edge.source in place and edge.target in place],
        list(graph.clusters), dict(graph.attributes))
