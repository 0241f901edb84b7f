"""What a graph's parts look like, and what is written beside them.

Names come from users: every one passes through :func:`escaped` before it stands in a label.
"""

from __future__ import annotations

import math
from textwrap import wrap
from typing import Any

from .details import printable, shortened
from .measures import written_bytes
from .model import (
    BACK,
    BOX,
    BUFFER,
    CONSTANT,
    DERIVATIVE,
    GRAD,
    GRADIENT,
    GRADIENT_OF,
    INPUT,
    OP,
    OPENED,
    OUTPUT,
    PARAMETER,
    REPEATED,
    SAVED,
    SEED,
    STATE,
    USES,
    Cluster,
    Graph,
    GraphEdge,
    GraphNode,
)

FONT = "Helvetica,Arial,sans-serif"
INK, QUIET, LINE, FRAME = "#1f2933", "#52606d", "#7b8794", "#b8c2cc"
RED, BROWN = "#c81e1e", "#8a4b08"
LONGEST_NAME = 60

# Kinds differ in shape and in lightness too, so that a print without colour still tells them apart.
NODES = {
    OP: 'shape=box style="rounded,filled" fillcolor="#ffffff" color="#52606d"',
    PARAMETER: 'shape=box style=filled fillcolor="#d6e4f5" color="#2f5d92"',
    BUFFER: 'shape=cylinder style=filled fillcolor="#eceff2" color="#66707c"',
    INPUT: 'shape=ellipse style=filled fillcolor="#dff0d8" color="#4b7a3a"',
    OUTPUT: 'shape=box style="rounded,filled" fillcolor="#3b4754" color="#1f2933" '
            'fontcolor="#ffffff"',
    SEED: f'shape=box style="rounded,filled" fillcolor="{BROWN}" color="#5c3205" '
          'fontcolor="#ffffff"',
    DERIVATIVE: f'shape=box style="rounded,filled" fillcolor="#fdf3e4" color="{BROWN}"',
    GRAD: f'shape=box style=filled fillcolor="#f6d9ae" color="{BROWN}"',
    SAVED: 'shape=box style="rounded,filled,dashed" fillcolor="#ffffff" color="#52606d"',
    BOX: 'shape=box style="rounded,filled" fillcolor="#eaeff4" color="#3b4754" penwidth=1.6',
}
BACK_BOX = f'shape=box style="rounded,filled" fillcolor="#fae6c8" color="{BROWN}" penwidth=1.6'
EDGES = {
    GRADIENT: "",
    CONSTANT: " style=dashed",
    STATE: " style=dotted arrowhead=none",
    BACK: f' color="{BROWN}" fontcolor="{BROWN}"',
    USES: ' style=dotted color="#9aa5b1"',
}
CLUSTERS = ("#f5f7fa", "#eaeff4", "#dfe6ee")
STEPS = {
    GRADIENT_OF: f'style="rounded,dashed" color="{BROWN}" fontcolor="{BROWN}"',
    OPENED: 'style="rounded,dashed" color="#52606d"',
    REPEATED: 'style="rounded,dashed" color="#3b4754"',
}
CAPTIONS = {
    CONSTANT: "dashed: no gradient flows back",
    STATE: "dotted: held by the module, read by no recorded operation",
    BACK: "brown: the backward pass",
    USES: "thin dots: a value of the forward pass that the backward reads",
}
SCALE = ("#8fb0d3", "#6592c4", "#3a6fb0", "#1f4b8e", "#0d2a5c")
"""Of the gradient's norm, from the smallest to the largest."""
SPAN = math.log(1e4)
"""Norms that are smaller by more are drawn alike: one that is 0 but for rounding says nothing."""


class Looks:
    """The looks of one graph's nodes and edges, in words of DOT."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.show = set(graph.attributes.get("show", ("shapes",)))
        norms = [e.attributes["gradient"] for e in graph.edges if "gradient" in e.attributes]
        self.norms = [n for n in norms if 0 < n < math.inf] if "gradients" in self.show else []

    def node(self, node: GraphNode) -> str:
        """The attributes of a box, but for its label."""
        look = BACK_BOX if node.kind == BOX and node.backward else NODES[node.kind]
        trouble = node.attributes.get("nonfinite")
        if trouble and "nonfinite" in self.show:
            look += f' color="{RED}" penwidth={3 if trouble == "origin" else 1.5}'
        return look

    def lines(self, node: GraphNode) -> list[str]:
        """What stands below a node's name, escaped."""
        found = [escaped(line) for line in wrapped(node.details)]
        attributes = node.attributes
        words = []
        if node.kind == BOX:
            n = attributes["operations"]
            words.append(f"{n} operation{'s' if n != 1 else ''}")
        if "parameters" in attributes and "parameters" in self.show:
            n = attributes["parameters"]
            unit = f" parameter{'s' if n != 1 else ''}" if node.kind == BOX else ""
            words.append(f"{n:,}{unit}")
        if attributes.get("saved") and "saved" in self.show:
            words.append(f"saves {written_bytes(attributes['saved'])}")
        if words:
            found.append(" · ".join(words))
        if attributes.get("nonfinite") == "origin" and "nonfinite" in self.show:
            found.append(f'<font color="{RED}"><b>not finite from here on</b></font>')
        return found

    def edge(self, edge: GraphEdge) -> str:
        """The attributes of an edge, its label among them."""
        label = lined([f"&#160;{line}" for line in self._words(edge)])
        style = EDGES[edge.kind]
        a = edge.attributes
        norm = a.get("gradient", 0.0)
        if self.norms and 0 < norm < math.inf:
            share = self._share(norm)
            style += f' color="{SCALE[round(share * 4)]}" penwidth={0.6 + 3.4 * share:.2f}'
        bad = a.get("nonfinite") or ("gradients" in self.show and a.get("nonfinite_gradient"))
        if bad and "nonfinite" in self.show:
            style += f' color="{RED}" fontcolor="{RED}" penwidth=2'
        return (f"label=<{label}>" if label else 'label=""') + style

    def _words(self, edge: GraphEdge) -> list[str]:
        a = edge.attributes
        if "arrays" in a:
            return [escaped(part) for line in a["arrays"] for part in wrap(line, 24)]
        first = [escaped(edge.output)] if edge.output else []
        if "names" in self.show and a.get("name"):
            first.append(f"<b>{escaped(a['name'])}</b>")
        if "shapes" in self.show:
            first.append(shape_text(edge.shape))
        if "dtypes" in self.show and "dtype" in a:
            first.append(escaped(a["dtype"]))
        lines = [" ".join(first)] if first else []
        told = "nonfinite" in self.show and "nonfinite" in a
        if "values" in self.show and "mean" in a and not told:
            spread = f" ± {a['std']:.3g}" if math.prod(edge.shape) != 1 else ""
            lines.append(f"{a['mean']:.3g}{spread}")
        if told:
            lines.append({"nan": "NaN", "inf": "Inf"}.get(a["nonfinite"], "NaN, Inf"))
        if "gradients" in self.show and "gradient" in a:
            lines.append(f"‖grad‖ {a['gradient']:.3g}")
        return lines

    def _share(self, norm: float) -> float:
        high = math.log(max(self.norms))
        low = max(math.log(min(self.norms)), high - SPAN)
        return max(math.log(norm) - low, 0.0) / (high - low) if high > low else 1.0

    def captions(self) -> list[str]:
        """What explains the looks."""
        kinds = {edge.kind for edge in self.graph.edges}
        lines = [text for kind, text in CAPTIONS.items() if kind in kinds]
        if self.norms:
            high = max(self.norms)
            low = max(min(self.norms), high * math.exp(-SPAN))
            lines.append(f"width and colour: norm of the gradient, {low:.2g} to {high:.2g}")
        if "saved" in self.show and "saved" in self.graph.attributes:
            total = written_bytes(self.graph.attributes["saved"])
            lines.append(f"saved for the backward pass: {total}")
        if "hint" in self.graph.attributes:
            lines.append(escaped(self.graph.attributes["hint"], 200))
        return lines


def title(cluster: Cluster, outer: str) -> str:
    """``fc1 Linear``, without what the cluster around it says already."""
    if cluster.kind == GRADIENT_OF:
        return f"gradient of {escaped(cluster.type)}"
    name = cluster.name.removeprefix(f"{outer}.")
    again = f" (call {cluster.call})" if cluster.call > 1 else ""
    return named(name, cluster.type, cluster.attributes, outer) + again


def named(name: str, kind: str, attributes: dict[str, Any], outer: str) -> str:
    """A module's name in bold, its class, and how often it comes: ``0 … 11 Block ×12``."""
    row = ""
    if "repeat" in attributes:
        last = attributes["last"].removeprefix(f"{outer}.")
        if last != name:  # the same module may be called again and again
            name = f"{name} … {last}"
        row = f" <b>×{attributes['repeat']}</b>"
    return (f"<b>{escaped(name)}</b>&#160; " if name else "") + escaped(kind) + row


def lined(lines: list[str]) -> str:
    """Lines one under the other, on the left where there are several."""
    return lines[0] if len(lines) == 1 else "".join(f'{line}<br align="left"/>' for line in lines)


def wrapped(parts: tuple[str, ...], width: int = 30) -> list[str]:
    """The parts in lines of about that width."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def shape_text(shape: tuple[int, ...]) -> str:
    """``(2, 3)``"""
    return str(tuple(map(int, shape)))


def escaped(name: str, longest: int = LONGEST_NAME) -> str:
    """A name as it stands in an HTML-like label: nothing in it is read as markup.

    What cannot be printed (a line break, a control character) is shown as Python writes it. A
    backslash is doubled, since Graphviz replaces ``\\N`` and its like even there.
    """
    text = printable(shortened(name, longest))
    text = text.replace("\\", "\\\\")
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text or "&#160;"
