"""What a picture says when the pointer rests on a part: its name, its kind, its shape."""

from __future__ import annotations

import re
from html import escape

from .details import printable, shortened
from .model import (
    BOX,
    BUFFER,
    DERIVATIVE,
    GRAD,
    INPUT,
    MODULE,
    OP,
    OUTPUT,
    PARAMETER,
    SAVED,
    SEED,
    STATE,
    Cluster,
    Graph,
    GraphEdge,
    GraphNode,
)

KINDS = {
    OP: "operation", PARAMETER: "parameter", BUFFER: "buffer", INPUT: "input", OUTPUT: "output",
    SEED: "gradient of the output", DERIVATIVE: "operation of the backward pass",
    GRAD: "gradient of a leaf", SAVED: "value of the forward pass", BOX: "closed module",
}
PART = re.compile(r'class="(?:node|cluster|edge)">\s*<title>'
                  r"(?:n(\d+)|cluster_(\d+)|n(\d+)&#45;&gt;n(\d+))</title>")
LONGEST = 200


def titled(svg: str, graph: Graph) -> str:
    """Graphviz's SVG with words in the place of its own numbers.

    The numbers stand beside them, as ``data-node``, ``data-cluster``, ``data-from`` and
    ``data-to``. In text Graphviz writes ``<`` as an entity, so only its own tags match.
    """
    given: dict[int, list[GraphEdge]] = {}
    between: dict[tuple[int, int], list[GraphEdge]] = {}
    for edge in graph.edges:
        given.setdefault(edge.source, []).append(edge)
        between.setdefault((edge.source, edge.target), []).append(edge)

    def words(found: re.Match[str]) -> str:
        node, cluster, tail, head = (None if n is None else int(n) for n in found.groups())
        if node is not None:
            return _part("node", f'data-node="{node}"', *_node(graph, node, given))
        if cluster is not None:
            return _part("cluster", f'data-cluster="{cluster}"',
                         of_cluster(graph.clusters[cluster]))
        assert tail is not None
        assert head is not None
        # what is drawn from the right to the left, or upwards, was given to Graphviz in reverse
        parallel = between.get((tail, head)) or between.get((head, tail)) or []
        edge = parallel.pop(0) if len(parallel) > 1 else parallel[0] if parallel else None
        return _part("edge", f'data-from="{tail}" data-to="{head}"', _edge(graph, edge))

    return PART.sub(words, svg.replace("<title>operations</title>\n", "", 1))


def _part(kind: str, numbers: str, *lines: str) -> str:
    text = "\n".join(escape(printable(shortened(line, LONGEST))) for line in lines)
    return f'class="{kind}" {numbers}>\n<title>{text}</title>'


def name_of(node: GraphNode) -> str:
    """``0 Linear``, ``0.weight``; of a gradient's box what it is the gradient of."""
    kind = node.attributes.get("type", "")
    name = f"{node.name} {kind}".strip() if kind != node.name else node.name
    return f"gradient of {name}" if node.kind == BOX and node.backward else name


def of_cluster(cluster: Cluster) -> str:
    """``0 Linear: module, 40 parameters``"""
    if cluster.kind != MODULE:
        return {"gradient": "gradient of ", "opened": "steps of "}.get(cluster.kind, "") + (
            f"{cluster.name} {cluster.type}".strip())
    words = ["module"]
    if cluster.call > 1:
        words.append(f"call {cluster.call}")
    if "parameters" in cluster.attributes:
        words.append(_counted(cluster.attributes["parameters"]))
    if "repeat" in cluster.attributes:
        words.append(f"×{cluster.attributes['repeat']}")
    return f"{cluster.name} {cluster.type}".strip() + f": {', '.join(words)}"


def _node(graph: Graph, index: int, given: dict[int, list[GraphEdge]]) -> list[str]:
    node = graph.nodes[index]
    kind = KINDS[node.kind] if not (node.kind == BOX and node.backward) else "closed"
    shared = [edge.target for edge in given.get(index, []) if edge.kind == STATE]
    if shared:  # the buffers that a module only holds share a box
        return [f"{graph.nodes[e.source].name}: {kind} {shape_of(e)}"
                for e in graph.edges if e.kind == STATE and e.target == shared[0]]
    words = [kind, *node.details]
    if node.kind == BOX and "parameters" in node.attributes:
        words.append(_counted(node.attributes["parameters"]))
    shapes = list(dict.fromkeys(shape_of(edge) for edge in given.get(index, [])))
    text = f"{name_of(node)}: {', '.join(words)}" if name_of(node) != kind else kind
    told = ", ".join(shapes[:4])
    if "names" in node.attributes:
        return [text, *node.attributes["names"]]
    if node.kind in (PARAMETER, BUFFER, INPUT):
        return [f"{text} {told}".rstrip()]
    return [text, f"gives {told}"] if told else [text]


def _edge(graph: Graph, edge: GraphEdge | None) -> str:
    if edge is None:
        return ""
    ends = f"{name_of(graph.nodes[edge.source])} → {name_of(graph.nodes[edge.target])}"
    dtype = edge.attributes.get("dtype")
    if "arrays" in edge.attributes:
        return f"{ends}: {', '.join(edge.attributes['arrays'])}"
    return " ".join(filter(None, [f"{ends}:", edge.output, shape_of(edge), dtype]))


def shape_of(edge: GraphEdge) -> str:
    """``(6, 4)``"""
    return str(tuple(map(int, edge.shape)))


def _counted(n: int) -> str:
    return f"{n:,} parameter{'s' * (n != 1)}"
