"""Clusters drawn as one box: modules below a depth, the gradients of fused operations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from .model import (
    BOX,
    DERIVATIVE,
    GRADIENT_OF,
    MODULE,
    OP,
    STATE,
    Cluster,
    Graph,
    GraphEdge,
    GraphNode,
)


def collapsed(graph: Graph, depth: int) -> Graph:
    """So many levels of modules opened, what lies deeper a box each; at 0 a model is one box."""
    return boxed(graph, _below(graph, depth))


def origins(graph: Graph, depth: int) -> tuple[list[int], list[int]]:
    """What the nodes and the clusters of ``collapsed(graph, depth)`` were in ``graph``.

    For each node its number there, or -1 - the number of the cluster whose box it is; for each
    cluster its number there.
    """
    outer = _outermost(graph, _below(graph, depth))
    nodes: list[int] = []
    boxes: set[tuple[int, bool]] = set()
    for i, node in enumerate(graph.nodes):
        cluster = None if node.cluster is None else outer[node.cluster]
        if cluster is None:
            nodes.append(i)
        elif (cluster, node.backward) not in boxes:
            boxes.add((cluster, node.backward))
            nodes.append(-1 - cluster)
    return nodes, [i for i, closed in enumerate(outer) if closed is None]


def _below(graph: Graph, depth: int) -> set[int]:
    """The modules that lie so deep."""
    level: list[int] = []
    closed: set[int] = set()
    for i, cluster in enumerate(graph.clusters):
        above = -1 if cluster.parent is None else level[cluster.parent]
        level.append(above + (cluster.kind == MODULE))
        if level[i] >= depth and cluster.kind == MODULE:
            closed.add(i)
    return closed


def gradients_closed(graph: Graph, fused: Collection[str], opened: Collection[int]) -> Graph:
    """The gradient of each fused operation as one box, but of those that are ``opened``."""
    whose = {node.cluster: node.of for node in graph.nodes if node.of is not None}
    closed = {i for i, cluster in enumerate(graph.clusters)
              if cluster.kind == GRADIENT_OF and cluster.type in fused
              and whose.get(i) not in opened}
    return boxed(graph, closed)


def levels(graph: Graph) -> int:
    """How many modules lie one in another."""
    most = 0
    level: list[int] = []
    for cluster in graph.clusters:
        above = 0 if cluster.parent is None else level[cluster.parent]
        level.append(above + (cluster.kind == MODULE))
        most = max(most, level[-1])
    return most


def boxed(graph: Graph, closed: Collection[int]) -> Graph:
    """The graph with a box in the place of each closed cluster.

    The forward and the backward pass of a module are a box each. What lies inside is counted, and
    of the edges only those that cross the border are left, equal ones once.
    """
    if not closed:
        return graph
    outer = _outermost(graph, closed)
    boxes: dict[tuple[int, bool], int] = {}
    inside: dict[int, list[GraphNode]] = {}
    place: list[int] = []
    nodes: list[GraphNode] = []
    for node in graph.nodes:
        cluster = None if node.cluster is None else outer[node.cluster]
        at = len(nodes)
        if cluster is not None:
            at = boxes.setdefault((cluster, node.backward), at)
            inside.setdefault(at, []).append(node)
        if at == len(nodes):
            nodes.append(node)
        place.append(at)
    for (cluster, backward), at in boxes.items():
        own = graph.clusters[cluster].kind == GRADIENT_OF
        first = inside[at][0].of
        of = place[first] if own and first is not None else boxes.get((cluster, False))
        nodes[at] = _box(graph.clusters[cluster], inside[at], of if backward else None)
    remain = [i for i in range(len(graph.clusters)) if outer[i] is None]
    number: dict[int | None, int] = {old: new for new, old in enumerate(remain)}
    for at, node in enumerate(nodes):
        of = node.of if at in inside or node.of is None else place[node.of]
        nodes[at] = replace(node, cluster=number.get(node.cluster), of=of)
    clusters = [replace(graph.clusters[i], parent=number.get(graph.clusters[i].parent))
                for i in remain]
    return Graph(nodes, list(_crossing(graph, place, inside)), clusters, dict(graph.attributes))


def _crossing(
    graph: Graph, place: list[int], boxes: Collection[int]
) -> Iterator[GraphEdge]:
    """The edges that do not lie within one box; at a box equal ones once."""
    seen = set()
    for edge in graph.edges:
        source, target = place[edge.source], place[edge.target]
        if source == target or (edge.kind == STATE and target in boxes):
            continue
        moved = replace(edge, source=source, target=target,
                        output="" if source in boxes else edge.output,
                        operand=0 if target in boxes else edge.operand)
        if source in boxes or target in boxes:
            key = repr(moved)  # the attributes are a dict
            if key in seen:
                continue
            seen.add(key)
        yield moved


def _outermost(graph: Graph, closed: Collection[int]) -> list[int | None]:
    """For each cluster the outermost closed one around it, or itself, or None."""
    outer: list[int | None] = []
    for i, cluster in enumerate(graph.clusters):
        above = None if cluster.parent is None else outer[cluster.parent]
        outer.append(above if above is not None else i if i in closed else None)
    return outer


def _box(cluster: Cluster, inside: list[GraphNode], of: int | None) -> GraphNode:
    """A closed cluster, of which ``inside`` is drawn by this box."""
    backward = inside[0].backward
    attributes: dict[str, Any] = {"type": cluster.type, **cluster.attributes}
    if backward:
        attributes["backward"] = True
        attributes.pop("parameters", None)
    kinds = (OP, DERIVATIVE)
    attributes["operations"] = sum(
        node.kind in kinds or node.attributes.get("operations", 0) for node in inside)
    saved = [node.attributes["saved"] for node in inside if "saved" in node.attributes]
    if saved:
        attributes["saved"] = sum(saved)
    marks = {node.attributes.get("nonfinite") for node in inside}
    if marks & {"origin", "path"}:
        attributes["nonfinite"] = "origin" if "origin" in marks else "path"
    if cluster.call > 1:
        attributes["call"] = cluster.call
    return GraphNode(BOX, cluster.name, (), cluster.parent, of, attributes)
