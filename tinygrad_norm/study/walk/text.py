"""A study as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .findings import Badge, Jacobian
from .formula import Sum, substituted
from .study import Gradient, Node, Study
from .tables import Block, beside, number, table

WIDTH = 100
LARGEST = 9
"""So many columns of a Jacobian are shown; ``study.jacobians`` has the others."""


def written(study: Study, width: int) -> str:
    """The walk: forward, back, and what there is to learn from it."""
    blocks = [*_head(study, width), *_forward(study, width), *_side(study, width),
              *_backward(study, width), *_truth(study, width), *_ways(study, width),
              *_identities(study, width), *_jacobian(study, width)]
    if study.notes:
        blocks += [[_heading("Notes", width)], [line for note in study.notes
                                                for line in textwrap.wrap(note, width)]]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _head(study: Study, width: int) -> Iterator[Block]:
    found = study.arrangement
    title = study.title + (f", {study.mode}" if study.mode else "")
    yield textwrap.wrap(title, width)
    if found is None:
        return
    axes = ", ".join(f"{a} = {n}" for a, n in zip(found.axes, found.view, strict=True))
    along = ", ".join(found.axes[i] for i in found.reduced)
    reduced = (f"The {found.n} values along {along} are normalized together, in {found.sets} sets."
               if study.constant_statistics else "Nothing is reduced: the statistics are given.")
    yield textwrap.wrap(f"x {tuple(found.shape)}: {axes}. {reduced}", width)
    if study.features:
        yield textwrap.wrap("Features: " + ", ".join(study.features), width)


def _heading(text: str, width: int) -> str:
    return f"── {text} ".ljust(width, "─")


def _forward(study: Study, width: int) -> Iterator[Block]:
    leaves = [n for n in study.forward if not n.step]
    yield [_heading("Given", width)]
    for node in leaves:
        if not node.shape:
            yield [_row(f"     {node.name} = {node.value:g}", node.says, node.finite, width)]
        else:
            yield [_row(f"     {node.name} {_shape(node)}", node.says, node.finite, width),
                   *_table(study, node, width)]
    yield [_heading("Forward", width)]
    for node in study.forward:
        if node.step and node.role != "statistic":
            yield _step(study, node, node.says or node.op, width)


def _backward(study: Study, width: int) -> Iterator[Block]:
    if not study.backward:
        return
    yield [_heading("Backward: d… is the gradient of the loss with respect to …", width)]
    for gradient in study.backward:
        says = {"given": "given", "sum": "the parts meet and are added",
                "part": f"back through {gradient.through}, a part of d{gradient.of}",
                "whole": f"back through {gradient.through}"}[gradient.kind]
        yield _step(study, gradient, says, width)


def _step(study: Study, one: Node | Gradient, says: str, width: int) -> Block:
    text = one.formula.text if one.formula else one.name
    lines = [_row(f"{one.step:3}  {text}", says, one.finite, width)]
    numbers = _numbers(study, one, width)
    return lines + [numbers] * bool(numbers) + _table(study, one, width)


def _row(left: str, says: str, finite: bool, width: int) -> str:
    """Left and right aligned in one line, or in two."""
    right = says if finite else f"{says}  ! NaN or Inf".strip()
    if not right:
        return left
    if len(left) + len(right) + 2 > width:
        return f"{left}\n{right:>{width}}"
    return left + right.rjust(width - len(left))


def _shape(node: Node | Gradient) -> str:
    return str(tuple(node.shape))


def _table(study: Study, one: Node | Gradient, width: int) -> Block:
    axes = study.arrangement.axes if study.arrangement else None
    return table(np.asarray(one.value, float), axes, width, features=study.features)


def _numbers(study: Study, one: Node | Gradient, width: int) -> str:
    """The formula with the numbers of the first cell, of sums as many as there is room for."""
    known = one.formula
    if known is None or not np.size(one.value) or any(r.cells != "aligned" for r in one.reads):
        return ""
    values = {n.name: np.asarray(n.value, float) for n in study.forward}
    values |= {g.name: np.asarray(g.value, float) for g in study.backward}
    if known.expression in values:
        return ""  # it is another value as it stands
    cell = (0,) * len(one.shape)
    place = f"[{', '.join('0' * len(cell))}]" if cell else ""
    last = _short(float(np.asarray(one.value)[cell]))
    for most in (4, 3, 2):
        try:
            text = substituted(known.expression, _sums(study), values, cell, most, _short)
        except NotImplementedError:
            return ""
        line = f"     {one.name}{place} = {text} = {last}"
        if len(line) <= width:
            return line
    return ""


def _sums(study: Study) -> dict[str, Sum]:
    found = study.arrangement
    if found is None:
        return {name: Sum("", None) for name in ("sum", "total")}
    return {name: Sum("", tuple(axes)) for name, axes in
            (("sum", found.reduced), ("share", found.shared), ("average", [0]))}


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


# -- what there is to learn ------------------------------------------------------------------------


def _side(study: Study, width: int) -> Iterator[Block]:
    nodes = [n for n in study.forward if n.role == "statistic"]
    if nodes:
        yield [_heading("On the side: what is remembered; no gradient flows here", width)]
    for node in nodes:
        yield _step(study, node, node.says, width)


def _truth(study: Study, width: int) -> Iterator[Block]:
    badges = study.truth.badges
    if not badges:
        return
    yield [_heading("The same gradients in several ways: the largest difference", width)]
    ways = [column.name for column in study.truth.columns]
    pairs = [(one, other) for i, one in enumerate(ways) for other in ways[i + 1:]]
    names = list(dict.fromkeys(badge.of for badge in badges))
    wide = max(len(f"{one} and {other}") for one, other in pairs)
    column = max(18, max(map(len, names)) + 2)
    fit = max((width - wide - 5) // column, 1)
    for start in range(0, len(names), fit):
        some = names[start:start + fit]
        lines = [" " * (wide + 5) + "".join(f"{name:>{column}}" for name in some)]
        for one, other in pairs:
            found = {b.of: _badge(b) for b in badges if (b.one, b.other) == (one, other)}
            lines.append(f"     {f'{one} and {other}':{wide}}"
                         + "".join(f"{found.get(name, '—'):>{column}}" for name in some))
        yield lines


def _badge(badge: Badge) -> str:
    if badge.verdict == "exact":
        return badge.verdict
    size = "NaN" if badge.difference is None else f"{badge.difference:.1e}"
    return f"{badge.verdict} {size}"


def _ways(study: Study, width: int) -> Iterator[Block]:
    ways, wrong = study.decomposition, study.constant_statistics
    if ways is None or wrong is None:
        return
    yield [_heading(f"dx by the ways from x to {study.output}", width)]
    longest = max(len(part.name) for part in ways.parts)
    yield [*(f"     {part.name:{longest}}  {part.formula.text.replace('dx = ', '', 1):42}"
             f"  ‖·‖ = {number(part.norm)}" for part in ways.parts),
           f"     {'':{longest}}  {'their sum differs from dx by':42}  {ways.difference:.1e}"]
    axes = _own_axes(study)
    yield [_heading("dx with the statistics taken for constants: wrong", width)]
    names = study.features
    yield beside([table(np.asarray(wrong.dx, float), axes, width, "wrong", features=names),
                  table(np.asarray(wrong.right, float), axes, width, "right", 2, names)], width)
    yield [f"     ‖wrong‖ = {number(wrong.norm)}, ‖right‖ = {number(wrong.right_norm)}, "
           f"‖wrong − right‖ = {number(wrong.difference)}",
           *_sets("Σ wrong", wrong.sums, width), *_sets("Σ right", wrong.right_sums, width)]


def _own_axes(study: Study) -> list[str] | None:
    """Names of the axes of x, where it is walked as it is."""
    found = study.arrangement
    return found.axes if found and found.shape == found.view else None


def _sets(name: str, values: Sequence[float], width: int, most: int = 6) -> Block:
    text = "  ".join(f"{number(v):>9}" for v in values[:most])
    return [f"     {name:8} of each set: {text}{' …' if len(values) > most else ''}"]


def _identities(study: Study, width: int) -> Iterator[Block]:
    if study.identities:
        yield [_heading("What must hold of each set, measured", width)]
    for one in study.identities:
        yield [f"     {one.text}    (apart by {one.difference:.1e})",
               *_sets("left", one.left, width), *_sets("right", one.right, width)]


def _jacobian(study: Study, width: int) -> Iterator[Block]:
    if not study.jacobians:
        return
    first: Jacobian = study.jacobians[0]
    yield [_heading(f"∂{study.output}_i/∂x_j of the set {first.set}", width)]
    matrix = np.asarray(first.matrix, float)
    if len(matrix) <= LARGEST:
        yield table(matrix, None, width)
    kept: Any = first.eigenvalues
    lines = [f"     differs from its closed form {first.text} by {number(first.difference)}"]
    lines += textwrap.wrap(f"eigenvalues of ∂{first.of}/∂x · sqrtvar: " + (
        "none, there is a NaN" if kept is None else "  ".join(map(number, kept))),
        width, initial_indent=" " * 5, subsequent_indent=" " * 5)
    for one in first.dead:
        gain = f"none: {first.of} = 0" if one.gain is None else f"{one.gain:.1e} is left"
        lines.append(f"     a {one.name} of x: {gain}")
    yield lines
