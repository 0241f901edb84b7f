"""From a Graph to DOT, the language of Graphviz. The same graph gives the same text.

Names come from users: every one passes through :func:`escaped` before it stands in a label.
"""

from __future__ import annotations

from collections.abc import Iterator

from .details import shortened
from .trace import (
    BUFFER,
    CONSTANT,
    GRADIENT,
    INPUT,
    OP,
    OUTPUT,
    PARAMETER,
    STATE,
    Graph,
    GraphEdge,
)

FONT = "Helvetica,Arial,sans-serif"
INK, QUIET, LINE = "#1f2933", "#52606d", "#7b8794"
LONGEST_NAME = 60

# Kinds differ in shape and in lightness too, so that a print without colour still tells them apart.
NODES = {
    OP: 'shape=box style="rounded,filled" fillcolor="#ffffff" color="#52606d"',
    PARAMETER: 'shape=box style=filled fillcolor="#d6e4f5" color="#2f5d92"',
    BUFFER: 'shape=cylinder style=filled fillcolor="#eceff2" color="#66707c"',
    INPUT: 'shape=ellipse style=filled fillcolor="#dff0d8" color="#4b7a3a"',
    OUTPUT: 'shape=box style="rounded,filled" fillcolor="#3b4754" color="#1f2933" '
            'fontcolor="#ffffff"',
}
EDGES = {
    GRADIENT: "",
    CONSTANT: " style=dashed",
    STATE: " style=dotted arrowhead=none",
}
CAPTIONS = {
    CONSTANT: "dashed: no gradient flows back",
    STATE: "dotted: held by the module, read by no recorded operation",
}
CLUSTERS = ("#f5f7fa", "#eaeff4", "#dfe6ee")


def to_dot(graph: Graph) -> str:
    """The DOT text of ``graph``."""
    return "\n".join(_Writer(graph).lines()) + "\n"


class _Writer:
    """Writes a line for each node, cluster and edge.

    Buffers that a module only holds share a box, which keeps a norm from being five boxes wide.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
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
        yield (f'  graph [rankdir=TB nodesep=0.25 ranksep=0.3 fontname="{FONT}" fontsize=10 '
               f'fontcolor="{QUIET}" color="#b8c2cc" labeljust=l bgcolor="#ffffff"]')
        yield (f'  node [fontname="{FONT}" fontsize=11 fontcolor="{INK}" height=0.3 '
               'margin="0.12,0.05"]')
        yield (f'  edge [fontname="{FONT}" fontsize=9 fontcolor="{QUIET}" color="{LINE}" '
               'arrowsize=0.6]')
        for i in self.members.get(None, ()):
            yield "  " + self.node(i)
        yield from self.clusters()
        for edge in self.graph.edges:
            if edge.kind != STATE:
                yield "  " + self.edge(edge)
        for target, edges in self.held.items():  # drawn below: a line to the side, off the way
            shapes = " ".join(_shape(edge.shape) for edge in edges)
            yield f"  n{target} -> n{edges[0].source} [label=<&#160;{shapes}>{EDGES[STATE]}]"
        for source, target in _ranks(self.graph):
            yield f"  n{source} -> n{target} [style=invis]"
        caption = "<br/>".join(text for kind, text in CAPTIONS.items()
                               if any(edge.kind == kind for edge in self.graph.edges))
        if caption:
            yield f"  graph [label=<{caption}> labelloc=b]"
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
            fill = CLUSTERS[min(depth, len(CLUSTERS)) - 1]
            title = '""' if self.alone(i) else f"<{self.title(i)}>"
            yield (f'{inner}graph [label={title} style="rounded,filled" fillcolor="{fill}" '
                   "margin=10]")
            for j in self.members.get(i, ()):
                yield inner + self.node(j)
            stack.extend((j, depth + 1) for j in reversed(self.children.get(i, ())))
        while depth:
            yield "  " * depth + "}"
            depth -= 1

    def title(self, index: int) -> str:
        """``fc1 Linear``, without what the cluster around it says already."""
        cluster = self.graph.clusters[index]
        outer = "" if cluster.parent is None else self.graph.clusters[cluster.parent].name
        name = cluster.name.removeprefix(f"{outer}.")
        again = f" (call {cluster.call})" if cluster.call > 1 else ""
        return (f"<b>{escaped(name)}</b>&#160; " if name else "") + escaped(cluster.type) + again

    def alone(self, index: int) -> bool:
        """Whether a cluster is one operation: its title stands in the box then, since the edge
        would cross it above."""
        members = self.members.get(index, [])
        return (len(members) == 1 and index not in self.children
                and self.graph.nodes[members[0]].kind == OP)

    def node(self, index: int) -> str:
        node = self.graph.nodes[index]
        label = "<br/>".join(escaped(self.graph.nodes[i].name)
                             for i in self.boxes.get(index, [index]))
        if node.kind in (OP, OUTPUT):
            label = f"<b>{label}</b>"
        lines = [escaped(line) for line in _wrapped(node.details)]
        if node.cluster is not None and self.alone(node.cluster):
            lines.append(self.title(node.cluster))
        for line in lines:
            label += f'<br/><font point-size="9" color="{QUIET}">{line}</font>'
        return f"n{index} [label=<{label}> {NODES[node.kind]}]"

    def edge(self, edge: GraphEdge) -> str:
        label = _shape(edge.shape)
        if edge.output:
            label = f"{escaped(edge.output)} {label}"
        # The way of the data is drawn as straight as can be.
        between = self.graph.nodes[edge.source].kind == OP
        style = EDGES[edge.kind] + (" weight=10" if between else "")
        return f"n{edge.source} -> n{edge.target} [label=<&#160;{label}>{style}]"


def _ranks(graph: Graph) -> Iterator[tuple[int, int]]:
    """Invisible edges that put a leaf below the operation before the one that uses it.

    Without them the leaves of each layer stand beside the layer before, and the picture becomes a
    staircase.
    """
    before: dict[int, int] = {}
    for edge in graph.edges:
        if graph.nodes[edge.source].kind == OP:
            before[edge.target] = max(edge.source, before.get(edge.target, 0))
    seen: set[int] = set()
    for edge in graph.edges:
        leaf = graph.nodes[edge.source].kind != OP and edge.kind != STATE
        if leaf and edge.source not in seen:
            seen.add(edge.source)
            if edge.target in before:
                yield before[edge.target], edge.source


def _wrapped(parts: tuple[str, ...], width: int = 30) -> list[str]:
    """The parts in lines of about that width."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def _shape(shape: tuple[int, ...]) -> str:
    return str(tuple(map(int, shape)))


def escaped(name: str) -> str:
    """A name as it stands in an HTML-like label: nothing in it is read as markup.

    What cannot be printed (a line break, a control character) is shown as Python writes it. A
    backslash is doubled, since Graphviz replaces ``\\N`` and its like even there.
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                   for c in shortened(name, LONGEST_NAME))
    text = text.replace("\\", "\\\\")
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text or "&#160;"
