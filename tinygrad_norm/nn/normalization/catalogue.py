"""The catalogue: every normalization, what it does in the words of the algebra, and one to try.

It is what the table in docs/normalization.md, ``python -m tinygrad_norm certify`` and the tests of
invariances run through; a new normalization is a new entry. Not imported with the package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import normalization as norms
from .invariances import declared, strongest

Inputs = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


class Entry(NamedTuple):
    """One normalization. ``make`` and ``inputs`` give a small one to experiment with."""

    name: str
    """The layer's name; the 2d and 3d forms are not listed beside the 1d."""
    reduced: str
    """The axes along which the values are normalized together."""
    centred: str
    """What is subtracted."""
    scale: str
    """What is divided by."""
    memory: str
    """What is remembered from training."""
    affine: str
    """The shape of weight and bias."""
    paper: str
    use: str
    """When to take it."""
    make: Callable[..., Any]
    """make(affine: bool, **options) -> the layer; options: dtype, device."""
    inputs: Inputs
    """The arguments of its forward, from random numbers: float64 values or integer labels."""
    invariances: tuple[str, ...] = ()
    """What may be done to its input, in training: names of ``invariances.py``."""


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Normal values with an offset, one array for each shape."""
    return lambda random: tuple(random.normal(0.3, 1.2, shape) for shape in shapes)


PERMUTATIONS = ("sample permutation", "channel permutation", "position permutation")

ENTRIES: list[Entry] = [
    Entry(
        "BatchNorm1d", "N, *spatial", "mean", "√(var + eps)", "mean, variance", "(C,)",
        "Ioffe, Szegedy 2015, arXiv:1502.03167", "batches of 16 and more of one distribution",
        lambda affine, **o: norms.BatchNorm1d(3, affine=affine, **o), normal((4, 3, 2)),
        declared("channel shift", "channel scale", *PERMUTATIONS),
    ),
    Entry(
        "BatchRenorm1d", "N, *spatial", "mean", "√(var + eps), corrected by r and d",
        "mean, deviation", "(C,)", "Ioffe 2017, arXiv:1702.03275",
        "small batches, or batches that are not alike",
        lambda affine, **o: norms.BatchRenorm1d(3, affine=affine, **o), normal((4, 3, 2)),
        PERMUTATIONS,
    ),
    Entry(
        "InstanceNorm1d", "*spatial", "mean", "√(var + eps)", "if asked for", "(C,)",
        "Ulyanov et al. 2016, arXiv:1607.08022", "style: contrast of an image must not matter",
        lambda affine, **o: norms.InstanceNorm1d(3, affine=affine, **o), normal((2, 3, 5)),
        declared("instance shift", "instance scale", *PERMUTATIONS),
    ),
    Entry(
        "GroupNorm", "C/groups, *spatial", "mean", "√(var + eps)", "nothing", "(C,)",
        "Wu, He 2018, arXiv:1803.08494", "images in batches of 1 to 8",
        lambda affine, **o: norms.GroupNorm(2, 4, affine=affine, **o), normal((2, 4, 3)),
        declared("sample shift", "sample scale", "sample permutation", "position permutation"),
    ),
    Entry(
        "LayerNorm", "the last k axes", "mean", "√(var + eps)", "nothing", "normalized_shape",
        "Ba, Kiros, Hinton 2016, arXiv:1607.06450", "sequences, transformers",
        lambda affine, **o: norms.LayerNorm(5, elementwise_affine=affine, **o), normal((4, 5)),
        declared("sample shift", "sample scale", "sample permutation", "channel permutation"),
    ),
    Entry(
        "RMSNorm", "the last k axes", "nothing", "√(mean square + eps)", "nothing",
        "normalized_shape", "Zhang, Sennrich 2019, arXiv:1910.07467",
        "transformers, where centring is not worth its time",
        lambda affine, **o: norms.RMSNorm(5, elementwise_affine=affine, **o), normal((4, 5)),
        declared("sample scale", "sample permutation", "channel permutation"),
    ),
]  # fmt: skip


def entry(name: str) -> Entry:
    """The entry of a layer.

    Raises:
        ValueError: there is none of that name.
    """
    for found in ENTRIES:
        if found.name == name:
            return found
    raise ValueError(f"catalogue: expected one of {', '.join(e.name for e in ENTRIES)}, got {name}")


HEAD = ("layer", "reduced", "minus", "divided by", "remembers", "weight, bias", "invariances",
        "paper", "take it for")


def markdown() -> str:
    """All entries as one Markdown table, each layer's name a link to its section."""
    rows = [HEAD, ("---",) * len(HEAD), *map(cells, ENTRIES)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cells(one: Entry) -> tuple[str, ...]:
    """A row of the table."""
    return (
        f"[`{forms(one.name)}`](#{forms(one.name).lower().replace('/', '')})",
        f"`{one.reduced}`", one.centred, f"`{one.scale}`", one.memory, f"`{one.affine}`",
        strongest(one.invariances) or "none",
        re.sub(r"(.*), arXiv:(\S+)", r"[\1](https://arxiv.org/abs/\2)", one.paper),
        one.use,
    )  # fmt: skip


def forms(name: str) -> str:
    """A layer's name, with the forms for images and volumes where there are some."""
    wide = name.removesuffix("1d")
    return f"{wide}1d/2d/3d" if wide != name and hasattr(norms, f"{wide}2d") else name
