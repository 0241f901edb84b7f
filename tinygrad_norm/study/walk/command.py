"""``python -m tinygrad_norm study batch_norm``: the walk in a terminal, as JSON, as a page."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...autograd.graph import wrap
from ...checkpoint import replace_file
from ...commandline import named, near, path, said, whole
from ...tensors.tensor import Tensor
from .batch import Batch, from_csv, from_npz
from .examples import SHAPES, Example, example, layer_for
from .limits import SMALL
from .text import WIDTH
from .text import written as as_text
from .what_ifs import what_ifs


def arguments(command: argparse.ArgumentParser) -> None:
    """Its options."""
    command.add_argument("norm", metavar="NORM", type=norm, help=", ".join(SHAPES))
    command.add_argument("--text", action="store_true",
                         help="print the walk (the default, unless --out or --json is "
                         "given)")
    command.add_argument("--out", metavar="FILE", type=target, help="write the page there: HTML")
    command.add_argument("--json", metavar="FILE", type=target, help="write the numbers there")
    data = command.add_mutually_exclusive_group()
    data.add_argument("--csv", metavar="FILE", type=path, help="your batch: a sample a line, a "
                      "feature a column, between commas, semicolons, tabs or blanks; names in the "
                      "first line name the columns")
    data.add_argument("--npz", metavar="FILE", type=path, help="your batch: x, and if you like "
                      "grad_output, weight, bias")
    data.add_argument("--what-if", metavar="CASE", help="a ready-made case: list shows which")
    command.add_argument("--rows", metavar="N", type=whole(1), help="take the first N samples")
    command.add_argument("--eval", action="store_true",
                         help="with running statistics, where the norm has any")
    command.add_argument("--seed", metavar="N", type=whole(0), default=0,
                         help="of what is drawn at random (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Trace, print, write; with a line of its own 2 for bad input, and 1 for what cannot be
    written."""
    if args.what_if == "list":
        for one in what_ifs(args.norm, seed=args.seed):
            print(textwrap.fill(one.says, columns(), initial_indent=f"{one.name:18}",
                                subsequent_indent=" " * 18))
        return 0
    try:
        shown = chosen(args)
        study = shown.trace()
        written = {args.json: study.json(indent=1) + "\n"} if args.json else {}
        written |= {args.out: study.html(beside(args, shown))} if args.out else {}
    except (OSError, TypeError, ValueError) as error:
        return failed(error, 2)
    try:
        for file, text in written.items():
            put(file, text)
    except OSError as error:
        return failed(error, 1)
    if args.text or not written:
        print(as_text(study, columns()))
    for file in written:
        print(file)
    return 0


def columns() -> int:
    """How wide a text may be: as the terminal, where that is narrower than texts are elsewhere."""
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, 60), WIDTH)


def failed(error: Exception, status: int) -> int:
    """One line; the exit status."""
    print(f"study: {said(error).removeprefix('study: ').removeprefix('trace: ')}", file=sys.stderr)
    return status


def chosen(args: argparse.Namespace) -> Example:
    """What is walked through."""
    if args.what_if:
        if args.eval or args.rows:
            raise ValueError("--what-if is ready-made: leave --eval and --rows out")
        return case(args.norm, args.what_if, args.seed)
    if args.csv or args.npz:
        batch = from_csv(args.csv, args.rows) if args.csv else from_npz(args.npz)
        return own(args.norm, batch, args)
    shape = (args.rows, *SHAPES[args.norm][1:]) if args.rows else None
    return example(args.norm, shape=shape, seed=args.seed, training=not args.eval)


def beside(args: argparse.Namespace, shown: Example) -> list[Example]:
    """What else the page shows: the ready-made cases, or those of a small batch of one's own."""
    if args.what_if or math.prod(shown.x.shape) > SMALL:
        return []
    if args.csv or args.npz or args.rows or args.eval:
        return [replace(one, features=shown.features)
                for one in what_ifs(shown.layer, shown.x, shown.grad_output)]
    return what_ifs(args.norm, seed=args.seed)


def case(norm: str, name: str, seed: int) -> Example:
    """The ready-made one of that name."""
    cases = {one.name: one for one in what_ifs(norm, seed=seed)}
    if name not in cases:
        raise ValueError(f"expected --what-if to be one of {', '.join(cases)}, got {name!r}"
                         f"{near(name, cases)}")
    return cases[name]


def own(norm: str, batch: Batch, args: argparse.Namespace) -> Example:
    """The user's batch, with a layer that fits it."""
    whole = batch.x.shape
    x = batch.x[:args.rows] if args.rows else batch.x
    random = np.random.default_rng(args.seed)
    dy = random.standard_normal(x.shape)
    if batch.grad_output is not None:
        if batch.grad_output.shape != whole:
            raise ValueError(f"expected grad_output of the shape of x, {whole}, got "
                             f"{batch.grad_output.shape}")
        dy = batch.grad_output[:len(x)]
    layer: Any = layer_for(norm, x.shape, random)
    for name, value in (("weight", batch.weight), ("bias", batch.bias)):
        held = getattr(layer, name, None)
        if value is None:
            continue
        if held is None or held.array.shape != value.shape:
            expected = "none" if held is None else f"one of shape {held.array.shape}"
            raise ValueError(f"expected {expected} as {name} of {norm}, got {value.shape}")
        held.array[...] = value
    if args.eval:
        layer(wrap(Tensor, x))
        layer.eval()
    return Example(norm, "your own", layer, wrap(Tensor, x), wrap(Tensor, dy), batch.features)


def put(file: Path, text: str) -> None:
    """Write all of it, or leave what is there."""
    replace_file(os.path.realpath(file), text.encode())


def target(text: str) -> Path:
    """Reads where a file goes."""
    file = path(text)
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a folder that exists, got {text!r}; make {file.parent} first")
    if file.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file, got the folder {text!r}")
    return file


def norm(text: str) -> str:
    """Reads a norm's name, BatchNorm2d too."""
    return named(text, SHAPES)
