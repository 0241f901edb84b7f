"""From a Graph to DOT, the language of Graphviz. The same graph gives the same text."""

from __future__ import annotations

from collections.abc import Iterator

from .look import (
    CLUSTERS,
    EDGES,
    FONT,
    FRAME,
    INK,
    LINE,
    QUIET,
    STEPS,
    Looks,
    escaped,
    lined,
    named,
    shape_text,
    title,
)
from .measures import written_bytes
from .model import (
    BOX,
    DERIVATIVE,
    MODULE,
    OP,
    OUTPUT,
    SEED,
    STATE,
    USES,
    Graph,
    GraphEdge,
)

WORK = (OP, DERIVATIVE, BOX)
"""What the data passes through."""


def to_dot(graph: Graph) -> str:
    """The DOT text of ``graph``."""
    return "\n".join(_Writer(graph).lines()) + "\n"


class _Writer:
    """Writes a line for each node, cluster and edge.

    Buffers that a module only holds share a box, which keeps a norm from being five boxes wide.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.looks = Looks(graph)
        self.both = graph.attributes.get("view") == "both"
        self.held: dict[int, list[GraphEdge]] = {}
        for edge in graph.edges:
            if edge.kind == STATE:
                self.held.setdefault(edge.target, []).append(edge)
        merged = {edge.source for edges in self.held.values() for edge in edges[1:]}
        self.members: dict[int | None, list[int]] = {}
        for i, node in enumerate(graph.nodes):
            if i not in merged:
                self.members.setdefault(node.cluster, []).append(i)
        self.children: dict[int | None, list[int]] = {}
        for i, cluster in enumerate(graph.clusters):
            self.children.setdefault(cluster.parent, []).append(i)
        self.boxes = {edges[0].source: [edge.source for edge in edges]
                      for edges in self.held.values()}

    def lines(self) -> Iterator[str]:
        yield "digraph operations {"
        ranks = " newrank=true" if self.both else ""
        yield (f'  graph [rankdir=TB nodesep=0.25 ranksep=0.3 fontname="{FONT}" fontsize=10 '
               f'fontcolor="{QUIET}" color="{FRAME}" labeljust=l bgcolor="#ffffff"{ranks}]')
        yield (f'  node [fontname="{FONT}" fontsize=11 fontcolor="{INK}" height=0.3 '
               'margin="0.12,0.05"]')
        yield (f'  edge [fontname="{FONT}" fontsize=9 fontcolor="{QUIET}" color="{LINE}" '
               'arrowsize=0.6]')
        for i in self.members.get(None, ()):
            yield "  " + self.node(i)
        yield from self.clusters()
        yield from self.edges()
        for target, edges in self.held.items():  # drawn below: a line to the side, off the way
            shapes = " ".join(shape_text(edge.shape) for edge in edges)
            label = f"&#160;{shapes}" if "shapes" in self.looks.show else ""
            yield f"  n{target} -> n{edges[0].source} [label=<{label}>{EDGES[STATE]}]"
        for source, target in _ranks(self.graph):
            yield f"  n{source} -> n{target} [style=invis]"
        if self.both:
            yield from self.pairs()
        captions = self.looks.captions()
        if captions:
            yield f"  graph [label=<{lined(captions)}> labelloc=b]"
        yield "}"

    def clusters(self) -> Iterator[str]:
        """The clusters, one in another, without recursion."""
        stack = [(i, 1) for i in reversed(self.children.get(None, ()))]
        depth = 0
        while stack:
            i, level = stack.pop()
            while depth >= level:
                yield "  " * depth + "}"
                depth -= 1
            depth = level
            yield "  " * depth + f"subgraph cluster_{i} {{"
            inner = "  " * (depth + 1)
            label = '""' if self.alone(i) else f"<{self.title(i)}>"
            yield f"{inner}graph [label={label} {self.frame(i, depth)} margin=10]"
            for j in self.members.get(i, ()):
                yield inner + self.node(j)
            stack.extend((j, depth + 1) for j in reversed(self.children.get(i, ())))
        while depth:
            yield "  " * depth + "}"
            depth -= 1

    def frame(self, index: int, depth: int) -> str:
        cluster = self.graph.clusters[index]
        if cluster.kind != MODULE:
            return STEPS[cluster.kind]
        fill = CLUSTERS[min(depth, len(CLUSTERS)) - 1]
        inherits = (cluster.parent is not None
                    and self.graph.clusters[cluster.parent].kind != MODULE)
        return (f'style="rounded,filled" fillcolor="{fill}"'
                + (f' color="{FRAME}"' if inherits else ""))

    def title(self, index: int) -> str:
        cluster = self.graph.clusters[index]
        text = title(cluster, self.outer(cluster.parent))
        a = cluster.attributes
        if "parameters" in self.looks.show and "parameters" in a:
            text += f" · {a['parameters']:,} parameters"
        if "saved" in self.looks.show and "saved" in a:
            text += f" · saves {written_bytes(a['saved'])}"
        return text

    def outer(self, index: int | None) -> str:
        """The name of the innermost module around a place."""
        while index is not None and self.graph.clusters[index].kind != MODULE:
            index = self.graph.clusters[index].parent
        return "" if index is None else self.graph.clusters[index].name

    def alone(self, index: int) -> bool:
        """Whether a cluster is one operation: its title stands in the box then, since the edge
        would cross it above."""
        members = self.members.get(index, [])
        return (len(members) == 1 and index not in self.children
                and self.graph.nodes[members[0]].kind in (OP, DERIVATIVE))

    def node(self, index: int) -> str:
        node = self.graph.nodes[index]
        label = "<br/>".join(escaped(self.graph.nodes[i].name)
                             for i in self.boxes.get(index, [index]))
        if node.kind == BOX:
            label = self.box_title(index)
        elif node.kind in (OP, DERIVATIVE, OUTPUT, SEED):
            label = f"<b>{label}</b>"
        lines = self.looks.lines(node)
        if node.cluster is not None and self.alone(node.cluster):
            lines.append(self.title(node.cluster))
        for line in lines:
            label += f'<br/><font point-size="9" color="{QUIET}">{line}</font>'
        return f"n{index} [label=<{label}> {self.looks.node(node)}]"

    def box_title(self, index: int) -> str:
        node = self.graph.nodes[index]
        a = node.attributes
        outer = self.outer(node.cluster)
        text = named(node.name.removeprefix(f"{outer}."), a["type"], a, outer)
        text += f" (call {a['call']})" if "call" in a else ""
        return f"gradient of {text}" if node.backward else text

    def edges(self) -> Iterator[str]:
        """The way of the data is drawn as straight as can be."""
        seen = set()
        for edge in self.graph.edges:
            if edge.kind == STATE:
                continue
            source, target, look = edge.source, edge.target, self.looks.edge(edge)
            straight = " weight=10" if self.graph.nodes[source].kind in WORK else ""
            if self.both and edge.kind == USES:
                if (source, target) in seen:
                    continue
                seen.add((source, target))
                look, straight = f'label="" constraint=false arrowsize=0.4{EDGES[USES]}', ""
            elif self.both and self.graph.nodes[target].backward:  # upwards, beside what it is of
                source, target = target, source
                look += " dir=back"
                straight = " weight=4"
            yield f"  n{source} -> n{target} [{look}{straight}]"

    def pairs(self) -> Iterator[str]:
        """An operation and its gradient at one height."""
        seen = set()
        for i, node in enumerate(self.graph.nodes):
            if node.of is not None and node.of not in seen:
                seen.add(node.of)
                yield f"  {{ rank=same; n{node.of}; n{i} }}"


def _ranks(graph: Graph) -> Iterator[tuple[int, int]]:
    """Invisible edges that put a leaf below the operation before the one that uses it.

    Without them the leaves of each layer stand beside the layer before, and the picture becomes a
    staircase.
    """
    before: dict[int, int] = {}
    for edge in graph.edges:
        if graph.nodes[edge.source].kind in WORK and not graph.nodes[edge.target].backward:
            before[edge.target] = max(edge.source, before.get(edge.target, 0))
    seen: set[int] = set()
    for edge in graph.edges:
        leaf = graph.nodes[edge.source].kind not in WORK and edge.kind != STATE
        if leaf and edge.source not in seen and not graph.nodes[edge.target].backward:
            seen.add(edge.source)
            if edge.target in before:
                yield before[edge.target], edge.source
