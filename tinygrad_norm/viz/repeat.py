"""Equal modules in a row, drawn once, with how often they come: ``×12``.

Modules are equal when their operations, settings, shapes and inner edges are; what is measured may
differ, and is shown of the first. They are a row when each feeds the next in the same way, and what
else they read is the same for all. The first stands for the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .model import DERIVATIVE, MODULE, OP, REPEATED, Cluster, Graph, GraphEdge

LONGEST_PERIOD = 8
"""So many modules, one after the other, may be what comes again."""


def folded(graph: Graph) -> Graph:
    """The graph with each row of equal modules drawn once."""
    found = _Rows(graph)
    return _without(graph, found) if found.rows else graph


@dataclass(slots=True)
class _Row:
    """``times`` units of as many clusters each."""

    units: list[list[int]]
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """For each node the unit that it lies in, and its place there."""


class _Rows:
    """The rows of a graph: looked for from the outside in, not within what a row drops."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.rows: list[_Row] = []
        self.children: dict[int | None, list[int]] = {}
        self.below: list[list[int]] = [[] for _ in graph.clusters]
        self.inner: list[list[int]] = [[] for _ in graph.clusters]
        self.touching: list[list[GraphEdge]] = [[] for _ in graph.nodes]
        for i, cluster in enumerate(graph.clusters):
            self.children.setdefault(cluster.parent, []).append(i)
            for around in graph.around(i):
                self.inner[around].append(i)
        for i, node in enumerate(graph.nodes):
            for around in graph.around(node.cluster):
                self.below[around].append(i)
        for edge in graph.edges:
            self.touching[edge.source].append(edge)
            if edge.target != edge.source:
                self.touching[edge.target].append(edge)
        self.known: dict[Any, int] = {}
        levels: list[int | None] = [None]
        while levels:
            levels.extend(self._look(levels.pop()))

    def _look(self, parent: int | None) -> list[int]:
        """Find the rows among the modules in ``parent``; those that stay."""
        items = [i for i in self.children.get(parent, ()) if self.graph.clusters[i].kind == MODULE]
        looks = [self.known.setdefault(self._signature(i), len(self.known)) for i in items]
        stay, at = [], 0
        while at < len(items):
            for period, times in _repeats(looks, at):
                units = [items[at + k * period:at + (k + 1) * period] for k in range(times)]
                row = _Row(units)
                if self._is_row(row):
                    self.rows.append(row)
                    stay.extend(units[0])
                    at += period * times
                    break
            else:
                stay.append(items[at])
                at += 1
        return stay

    def _signature(self, item: int) -> Any:
        """What is the same of equal modules: all but names, numbers measured, and what is
        outside."""
        graph = self.graph
        number: dict[int | None, int] = {c: k for k, c in enumerate(self.inner[item])}
        place: dict[int | None, int] = {n: k for k, n in enumerate(self.below[item])}
        clusters = tuple((c.type, c.kind, number.get(c.parent)) for c in
                         (graph.clusters[i] for i in self.inner[item]))
        nodes = tuple(
            (n.kind, n.name if n.kind in (OP, DERIVATIVE) else n.name.rpartition(".")[2],
             n.details, number[n.cluster], place.get(n.of))
            for n in (graph.nodes[i] for i in self.below[item]))
        edges = tuple(
            (place[e.source], place[e.target], _rest(e)) for i in self.below[item]
            for e in self.touching[i] if e.target == i and e.source in place)
        return clusters, nodes, edges

    def _is_row(self, row: _Row) -> bool:
        """Whether each unit feeds the next alike, and only the ends see what the others do not."""
        for u, unit in enumerate(row.units):
            nodes = sorted(node for item in unit for node in self.below[item])
            row.places.update((node, (u, k)) for k, node in enumerate(nodes))
        last = len(row.units) - 1
        inside: list[set[Any]] = [set() for _ in row.units]
        links: list[set[Any]] = [set() for _ in range(last)]
        outside: list[set[Any]] = [set() for _ in row.units]
        for node in row.places:
            for e in self.touching[node]:
                source, target = row.places.get(e.source), row.places.get(e.target)
                if source is None or target is None:
                    at, k = row.places[node]
                    other = e.source if source is None else e.target
                    outside[at].add((k, source is None, other, _rest(e)))
                elif source[0] == target[0]:
                    inside[source[0]].add((source[1], target[1], _rest(e)))
                elif abs(source[0] - target[0]) == 1:
                    links[min(source[0], target[0])].add(
                        (source[0] < target[0], source[1], target[1], _rest(e)))
                else:
                    return False
        return (all(one == inside[0] for one in inside) and all(one == links[0] for one in links)
                and self._only_ends_differ(outside, links[0]))

    @staticmethod
    def _only_ends_differ(outside: list[set[Any]], links: set[Any]) -> bool:
        """What an end has to do with the outside, one in the middle has with its neighbour."""
        common = set.intersection(*outside)
        if any(one != common for one in outside[1:-1]):
            return False
        for end, forward in ((outside[0], True), (outside[-1], False)):
            entering = {(k, rest[-1]) for k, into, _, rest in end - common if into}
            linked = {(target, rest[-1]) for ahead, _, target, rest in links if ahead is forward}
            leaving = {k for k, into, _, _ in end - common if not into}
            sources = {source for ahead, source, _, _ in links if ahead is not forward}
            if entering != linked or not leaving <= sources:
                return False
        return bool(links)


def _rest(edge: GraphEdge) -> tuple[Any, ...]:
    return edge.shape, edge.kind, edge.output, edge.operand


def _repeats(looks: Sequence[int], at: int) -> Iterator[tuple[int, int]]:
    """(period, times) of what repeats from ``at`` on, the longest way first."""
    found = []
    for period in range(1, min(LONGEST_PERIOD, (len(looks) - at) // 2) + 1):
        end = at + period
        while end < len(looks) and looks[end] == looks[end - period]:
            end += 1
        times = (end - at) // period
        if times > 1:
            found.append((-period * times, period, times))
    return ((period, times) for _, period, times in sorted(found))


def _without(graph: Graph, found: _Rows) -> Graph:
    """The graph without the units that the first of their row stands for."""
    stands: dict[int, int] = {}
    gone: set[int] = set()
    links: set[tuple[int, int]] = set()
    for row in found.rows:
        first = {k: node for node, (u, k) in row.places.items() if u == 0}
        stands.update((node, first[k]) for node, (u, k) in row.places.items() if u)
        gone.update(i for unit in row.units[1:] for item in unit for i in found.inner[item])
        for node, (u, _) in row.places.items():
            links.update((e.source, e.target) for e in found.touching[node]
                         if row.places.get(e.source, (u,))[0] != row.places.get(e.target, (u,))[0])

    def representative(node: int) -> int:
        while node in stands:
            node = stands[node]
        return node

    def shown(source: int, target: int) -> tuple[int, int] | None:
        """Between which nodes an edge is drawn; a row within a row is reached step by step."""
        while (source, target) not in links:
            if source not in stands and target not in stands:
                return source, target
            source, target = stands.get(source, source), stands.get(target, target)
        return None

    number, clusters = _clusters(graph, found.rows, gone)
    kept = [i for i in range(len(graph.nodes)) if i not in stands]
    place = {old: new for new, old in enumerate(kept)}
    nodes = [replace(n, cluster=None if n.cluster is None else number[n.cluster],
                     of=None if n.of is None else place[representative(n.of)])
             for n in (graph.nodes[i] for i in kept)]
    edges: dict[Any, GraphEdge] = {}
    for edge in graph.edges:
        ends = shown(edge.source, edge.target)
        if ends:
            source, target = place[ends[0]], place[ends[1]]
            key = source, target, _rest(edge)
            if key not in edges or ends == (edge.source, edge.target):  # the first unit's numbers
                edges[key] = replace(edge, source=source, target=target)
    return Graph(nodes, list(edges.values()), clusters, dict(graph.attributes))


def _clusters(
    graph: Graph, rows: Sequence[_Row], gone: set[int]
) -> tuple[dict[int, int], list[Cluster]]:
    """The clusters that stay, with the rows written on them, and their new numbers."""
    alone = {row.units[0][0]: row for row in rows if len(row.units[0]) == 1}
    frames = {row.units[0][0]: row for row in rows if len(row.units[0]) > 1}
    framed: dict[int, int] = {}
    number: dict[int, int] = {}
    clusters: list[Cluster] = []
    for i, cluster in enumerate(graph.clusters):
        if i in gone:
            continue
        parent = None if cluster.parent is None else number[cluster.parent]
        if i in frames:
            units = frames[i].units
            framed.update((item, len(clusters)) for item in units[0])
            clusters.append(Cluster(cluster.name, "", parent, kind=REPEATED, attributes={
                "repeat": len(units), "last": graph.clusters[units[-1][-1]].name}))
        attributes = cluster.attributes
        if i in alone:
            last = graph.clusters[alone[i].units[-1][0]].name
            attributes = {**attributes, "repeat": len(alone[i].units), "last": last}
        number[i] = len(clusters)
        clusters.append(replace(cluster, parent=framed.get(i, parent), attributes=attributes))
    return number, clusters
