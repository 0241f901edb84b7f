"""Numbers as aligned text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CELL = 10
"""The width of a column: two blanks, a sign and seven places."""

Block = list[str]
"""Lines of text that stand together."""


def number(value: float | None) -> str:
    """In at most nine places; — for what is not there."""
    if value is None:
        return "—"
    if not math.isfinite(value):
        return "NaN" if value != value else "Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.1e}" if abs(value) >= 1e100 or 0 < abs(value) < 1e-99 else f"{value:.2e}"


def table(
    value: np.ndarray, axes: Sequence[str] | None, width: int, title: str = "", indent: int = 5,
    features: Sequence[str] = (),
) -> Block:
    """The last axis runs to the right, the others down; what is too wide goes on below.

    ``axes`` names the axes: N0, C2; without names only numbers stand there. ``features`` stand in
    the place of C0, C1, ...
    """
    names = list(axes or [""] * value.ndim)
    kept = [i for i, n in enumerate(value.shape) if n > 1]
    small = value.reshape([value.shape[i] for i in kept])
    names = [names[i] for i in kept]
    columns = small.shape[-1] if small.ndim else 1
    rows = small.reshape(-1, columns)
    labels = [" ".join(f"{name}{i}" for name, i in zip(names[:-1], place, strict=True))
              for place in np.ndindex(small.shape[:-1])]
    wide = max(map(len, labels), default=0)
    fit = max((width - indent - wide) // CELL, 1)
    blank = " " * indent
    lines = [blank + title] if title else []
    last = names[-1] if names else ""
    heads = [f"{last}{i}" for i in range(columns)]
    if last == "C" and len(features) == columns:
        heads = [shortened(name) or head for name, head in zip(features, heads, strict=True)]
    for start in range(0, columns, fit):
        part = rows[:, start:start + fit]
        if small.ndim and (len(rows) > 1 or columns > 1):
            shown = heads[start:start + fit]
            lines.append(blank + " " * wide + "".join(f"{h:>{CELL}}" for h in shown))
        lines += [f"{blank}{label:{wide}}" + "".join(f"{number(v):>{CELL}}" for v in row)
                  for label, row in zip(labels, part.tolist(), strict=True)]
    return lines


def shortened(name: str) -> str:
    """A name as the head of a column."""
    return name if len(name) < CELL else name[:CELL - 2] + "…"


def beside(blocks: Sequence[Block], width: int, gap: int = 2) -> Block:
    """Next to each other where they fit, else below each other."""
    wide = [max(map(len, block), default=0) for block in blocks]
    if sum(wide) + gap * (len(blocks) - 1) > width:
        return [line for block in blocks for line in block]
    high = max(map(len, blocks), default=0)
    filled = [block + [""] * (high - len(block)) for block in blocks]
    return [(" " * gap).join(f"{line:{w}}" for line, w in zip(row, wide, strict=True)).rstrip()
            for row in zip(*filled, strict=True)]
