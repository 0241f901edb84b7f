"""``python -m tinygrad_norm certify``: the catalogue, certified layer by layer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..commandline import named, whole
from ..tensors.random import get_rng_state, manual_seed, set_rng_state
from .catalogue import Entry
from .certificate import Certificate, Row, heading, longest
from .certify import HIGHEST, certify
from .forms import every
from .reverse import has_pytorch


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("layer", nargs="?", default="all", type=known, metavar="LAYER",
                        help="BatchNorm2d, LazyInstanceNorm1d, weight_norm, ..., or all (the "
                             "default): every layer, and each of its 1d, 2d, 3d and lazy forms; "
                             "batch_norm and BatchNorm are BatchNorm1d")
    parser.add_argument("--order", type=whole(1, HIGHEST), default=4,
                        help=f"of the highest derivative, at most {HIGHEST}: each takes several "
                             "times as long as the one before (default: 4)")
    parser.add_argument("--seed", type=whole(0), default=0,
                        help="of the inputs and the lines along which they move (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Print the table row by row; 1 where a row fails."""
    entries = [e for e in every() if args.layer in ("all", e.name)]
    names = longest([e.name for e in entries])
    pytorch = has_pytorch()
    print(heading(names, args.order, pytorch), flush=True)
    rows: list[Row] = []
    for entry in entries:
        for row in certified(entry, order=args.order, seed=args.seed):
            print(row.text(names, args.order, pytorch), flush=True)
            rows.append(row)
    result = Certificate(tuple(rows))
    print(result.verdict())
    return 0 if result.passed else 1


def certified(entry: Entry, *, seed: int = 0, **settings: Any) -> Iterator[Row]:
    """The rows of an entry: with and without affine, or once where it knows no such thing."""
    before = get_rng_state()
    manual_seed(seed)
    layers = [(text, entry.make(affine, dtype=np.float64))
              for text, affine in (("yes", True), ("no", False))]
    set_rng_state(before)
    if repr(layers[0][1]) == repr(layers[1][1]):
        layers = [("—", layers[0][1])]
    for affine, layer in layers:
        inputs = entry.inputs(np.random.default_rng(seed))
        try:
            rows = certify(layer, *inputs, seed=seed, **settings).rows
        except Exception as error:  # whatever a layer raises is its own failure, not the table's
            rows = (Row(entry.name, "", "", (), problem=f"{type(error).__name__}: {error}"),)
        for row in rows:
            yield row._replace(layer=entry.name, affine=affine)


def known(text: str) -> str:
    """Reads a layer's name."""
    return named(text, ("all", *(entry.name for entry in every())))
