"""The catalogue as the table of docs/normalization.md."""

from __future__ import annotations

import re

from .catalogue import ENTRIES, Entry
from .forms import joined, names
from .invariances import described

HEAD = ("layer", "take it for", "reduced", "minus", "divided by", "remembers", "weight, bias",
        "invariant to", "paper")


def markdown() -> str:
    """All entries, each layer's name a link to its section."""
    rows = [HEAD, ("---",) * len(HEAD), *map(cells, ENTRIES)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cells(one: Entry) -> tuple[str, ...]:
    """A row of the table."""
    name = f"[`{title(one)}`](#{title(one).lower().replace('/', '')})"
    lazy = names(one.name, lazy=True)
    return (
        f"{name} and Lazy…" if lazy else name, one.use, one.reduced.replace("*", r"\*"),
        one.centred, one.scale, one.memory, one.affine.replace("normalized_shape", "shape"),
        invariant(one).replace("permutation of", "order of"),
        re.sub(r"(\D*) (\d+), arXiv:(\S+)", r"[\2](https://arxiv.org/abs/\3 '\1')", one.paper),
    )  # fmt: skip


def invariant(one: Entry) -> str:
    """To what, in words: as in the table, so in the layer's docstring."""
    return one.said or described(one.invariances)


def title(one: Entry) -> str:
    """Of its section: BatchNorm1d/2d/3d."""
    return joined(names(one.name))
