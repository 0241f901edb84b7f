"""``python -m tinygrad_norm study batch_norm``: the walk in a terminal, as JSON, as a page."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...autograd.graph import wrap
from ...checkpoint import replace_file
from ...tensors.tensor import Tensor
from .examples import SHAPES, Example, example, layer_for, what_ifs


def arguments(command: argparse.ArgumentParser) -> None:
    """Its options."""
    command.add_argument("norm", metavar="NORM", choices=list(SHAPES), help=", ".join(SHAPES))
    command.add_argument("--text", action="store_true",
                         help="print the walk (the default, unless --out or --json is "
                         "given)")
    command.add_argument("--out", metavar="FILE", type=target, help="write the page there: HTML")
    command.add_argument("--json", metavar="FILE", type=target, help="write the numbers there")
    data = command.add_mutually_exclusive_group()
    data.add_argument("--csv", metavar="FILE", help="your batch: a sample a line, a feature a "
                      "column, with or without a line of names")
    data.add_argument("--npz", metavar="FILE", help="your batch: x, and if you like grad_output, "
                      "weight, bias")
    data.add_argument("--what-if", metavar="CASE", help="a ready-made case: list shows which")
    command.add_argument("--rows", metavar="N", type=positive, help="take the first N samples")
    command.add_argument("--eval", action="store_true", help="with running statistics")
    command.add_argument("--seed", metavar="N", type=seed, default=0,
                         help="of what is drawn at random (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Trace, print, write; 1 with a line of its own where that is not possible."""
    try:
        if args.what_if == "list":
            for one in what_ifs(args.norm, seed=args.seed):
                print(textwrap.fill(one.says, 100, initial_indent=f"{one.name:18}",
                                    subsequent_indent=" " * 18))
            return 0
        study = chosen(args).trace()
        if args.json:
            put(args.json, study.json(indent=1) + "\n")
        if args.out:
            put(args.out, study.html(beside(args)))
    except (OSError, TypeError, ValueError) as error:
        print(f"study: {str(error).removeprefix('study: ').removeprefix('trace: ')}",
              file=sys.stderr)
        return 1
    written = [path for path in (args.json, args.out) if path]
    if args.text or not written:
        print(study)
    for path in written:
        print(path)
    return 0


class Batch(NamedTuple):
    """What a file holds; None for what it does not."""

    x: np.ndarray
    grad_output: np.ndarray | None = None
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


def chosen(args: argparse.Namespace) -> Example:
    """What is walked through."""
    if args.what_if:
        if args.eval or args.rows:
            raise ValueError("--what-if is ready-made: leave --eval and --rows out")
        return case(args.norm, args.what_if, args.seed)
    if args.csv or args.npz:
        return own(args.norm, from_csv(args.csv) if args.csv else from_npz(args.npz), args)
    shape = (args.rows, *SHAPES[args.norm][1:]) if args.rows else None
    return example(args.norm, shape=shape, seed=args.seed, training=not args.eval)


def beside(args: argparse.Namespace) -> list[Example]:
    """What else the page shows: the ready-made cases, beside the ready-made batch."""
    own = args.csv or args.npz or args.what_if or args.rows or args.eval
    return [] if own else what_ifs(args.norm, seed=args.seed)


def case(norm: str, name: str, seed: int) -> Example:
    """The ready-made one of that name."""
    cases = {one.name: one for one in what_ifs(norm, seed=seed)}
    if name not in cases:
        raise ValueError(f"expected --what-if to be one of {', '.join(cases)}, got {name!r}")
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
    return Example(norm, "your own", layer, wrap(Tensor, x), wrap(Tensor, dy))


def from_csv(path: str) -> Batch:
    """Numbers, a sample a line; a first line without a number is names."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: expected lines of numbers: {error}") from None
    if rows and not any(map(_is_number, rows[0])):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path}: expected lines of numbers, got none")
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"{path}: expected {len(rows[0])} numbers in each line, got "
                             f"{len(row)} in line {i} of the numbers")
        for cell in row:
            if not _is_number(cell):
                raise ValueError(f"{path}: expected a number, got {cell!r} in line {i} of the "
                                 "numbers")
    return Batch(np.array([[float(cell) for cell in row] for row in rows]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def from_npz(path: str) -> Batch:
    """The arrays x, grad_output, weight, bias; or a single one, which is x."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected a file that numpy.savez wrote: {error}") from None
    if len(arrays) == 1:
        arrays = {"x": next(iter(arrays.values()))}
    known = set(Batch._fields)
    if "x" not in arrays or not set(arrays) <= known:
        raise ValueError(f"{path}: expected arrays named {', '.join(Batch._fields)}, got "
                         f"{', '.join(arrays) or 'none'}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected {name} to hold numbers, got {array.dtype}")
    return Batch(**{name: array.astype(np.float64) for name, array in arrays.items()})


def put(path: Path, text: str) -> None:
    """Write all of it, or leave what is there."""
    replace_file(os.path.realpath(path), text.encode())


def target(text: str) -> Path:
    """Reads where a file goes."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a folder that exists, got {text!r}; make {path.parent} first")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file, got the folder {text!r}")
    return path


def positive(text: str) -> int:
    """Reads a whole number from 1."""
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")


def seed(text: str) -> int:
    """Reads a whole number from 0."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
