"""What the shapes of a graph mean, in HTML: beside the picture, with or without JavaScript."""

from __future__ import annotations

import re
from html import escape

from .look import BACK_BOX, FRAME, NODES
from .model import BOX, BUFFER, INPUT, OP, SAVED, Graph
from .titles import KINDS

READ = {
    "forward": "Values flow along the arrows, from the top down; the shape of each stands beside "
               "its arrow.",
    "backward": "Gradients flow along the arrows; the shape of each stands beside its arrow.",
    "both": "Values flow down, gradients (brown) flow back up; an operation's gradient stands "
            "beside it.",
}


def legend(graph: Graph) -> str:
    """How to read the picture, then a line for each kind of node and frame that is in it."""
    kinds = {(node.kind, node.kind == BOX and node.backward) for node in graph.nodes}
    rows = []
    for kind, look in NODES.items():
        if (kind, False) in kinds:
            rows.append((_swatch(kind, look), KINDS[kind]))
        if (kind, True) in kinds:
            rows.append((_swatch(kind, BACK_BOX), "closed gradient"))
    if graph.clusters:
        frame = f'fillcolor="#f5f7fa" color="{FRAME}"'
        rows.append((_swatch(OP, frame), "frame: a module, and what it computes"))
    items = "".join(f"<li>{swatch} {escape(word)}</li>\n" for swatch, word in rows)
    read = READ.get(graph.attributes.get("view", ""), READ["forward"])
    return f"<p>{escape(read)}</p>\n<ul>\n{items}</ul>\n"


def _swatch(kind: str, look: str) -> str:
    """A small picture of such a node."""
    fill, line = (re.search(rf'\b{name}="(#[0-9a-f]+)"', look) for name in ("fillcolor", "color"))
    colours = f'fill="{fill[1] if fill else "none"}" stroke="{line[1] if line else "none"}"'
    if kind == SAVED:
        colours += ' stroke-dasharray="3 2"'
    shape = {
        INPUT: f'<ellipse {colours} cx="12" cy="7" rx="11" ry="6"/>',
        BUFFER: f'<path {colours} d="M1,3 C1,0.5 23,0.5 23,3 V11 C23,13.5 1,13.5 1,11 Z"/>',
    }.get(kind)
    if shape is None:
        round_ = 4 if "rounded" in look or kind == OP else 0
        shape = f'<path {colours} d="{_rectangle(round_)}"/>'
    return f'<svg aria-hidden="true" width="24" height="14" viewBox="0 0 24 14">{shape}</svg>'


def _rectangle(r: int) -> str:
    """A path of 22 × 12 with round corners."""
    if not r:
        return "M1,1 H23 V13 H1 Z"
    a = f"A{r},{r} 0 0 1"
    return (f"M{1 + r},1 H{23 - r} {a} 23,{1 + r} V{13 - r} {a} {23 - r},13 H{1 + r} "
            f"{a} 1,{13 - r} V{1 + r} {a} {1 + r},1 Z")
