"""The graph on top of the page, as SVG: values, and below each the name of its gradient."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from ..walk.study import Node, Study
from .placing import placed

HIGH = 44
LONGEST = 22


def svg(study: Study, prefix: str) -> str:
    """Ids begin with ``prefix``, so that two pictures in one document do not mix."""
    nodes = [node for node in study.forward if node.role != "constant"]
    names = {node.name for node in nodes}
    edges = [(read.name, node.name) for node in nodes for read in node.reads
             if read.name in names]
    where = placed({node.name: _width(node) for node in nodes}, list(dict.fromkeys(edges)))
    lines = [
        f'<svg class="graph" viewBox="0 0 {where.width:.0f} {where.height:.0f}" '
        f'style="--wide:{where.width:.0f}px" role="group" aria-label="Graph of the computation">',
        _arrow(f"{prefix}-end", "arrow"), _arrow(f"{prefix}-lit", "arrow lit"),
        _arrow(f"{prefix}-back", "arrow back"), _arrow(f"{prefix}-bad", "arrow bad")]
    for (a, b), points in where.edges.items():
        start = (points[0][0] + _width(study.node(a)) / 2, points[0][1])
        stop = (points[-1][0] - _width(study.node(b)) / 2, points[-1][1])
        way = [start, *points[1:-1], stop]
        lines.append(f'<path class="edge" data-from="{escape(a)}" data-to="{escape(b)}" '
                     f'data-marks="{prefix}" d="{_curve(way)}"/>')
    lines += [_box(node, where.x[node.name], where.y[node.name]) for node in nodes]
    return "\n".join([*lines, "</svg>"])


def _width(node: Node) -> float:
    longest = max(len(_short(node.name)), len(_short(node.gradient_name or "")))
    return max(58.0, 8.4 * longest + 18)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[:LONGEST - 1] + "…"


def _arrow(name: str, kind: str) -> str:
    return (f'<marker id="{name}" class="{kind}" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="7" markerHeight="7" orient="auto-start-reverse" '
            'markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z"/></marker>')


def _curve(way: list[tuple[float, float]]) -> str:
    parts = [f"M{way[0][0]:.1f} {way[0][1]:.1f}"]
    for (x, y), (u, v) in pairwise(way):
        bend = min(abs(u - x) / 2, 40)
        parts.append(f"C{x + bend:.1f} {y:.1f} {u - bend:.1f} {v:.1f} {u:.1f} {v:.1f}")
    return "".join(parts)


def _box(node: Node, x: float, y: float) -> str:
    wide = _width(node)
    says = f"{node.name}: {node.says}" if node.says else node.name
    bad = "" if node.finite else " infinite"
    text = [f'<text x="{x:.1f}" y="{y - 3 if node.gradient_name else y + 5:.1f}">'
            f"{escape(_short(node.name))}</text>"]
    if node.gradient_name:
        text.append(f'<text class="grad" x="{x:.1f}" y="{y + 15:.1f}">'
                    f"{escape(_short(node.gradient_name))}</text>")
    return (f'<g class="node {escape(node.role)}{bad}" data-node="{escape(node.name)}" '
            f'role="button" tabindex="0" aria-label="{escape(says)}"><title>{escape(says)}</title>'
            f'<rect x="{x - wide / 2:.1f}" y="{y - HIGH / 2:.1f}" width="{wide:.1f}" '
            f'height="{HIGH}" rx="{3 if node.role in ("parameter", "buffer") else 9}"/>'
            f'{"".join(text)}</g>')
