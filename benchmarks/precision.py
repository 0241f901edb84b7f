"""How exact a normalization is: against the offset of the data, their number, their layout.

    python benchmarks/precision.py BatchNorm1d [--sweep offset] [--quick] [--out FILE] [--seed N]

The layer's standardized output is compared with the same formula in a wider type on the same data,
and so are three textbook ways to the statistics, and PyTorch's layer where PyTorch is installed.
Printed is a table, drawn a picture. Beside it: precision_layers.py, which layers; textbook.py, the
textbooks' statistics; precision_errors.py, the measuring; precision_plot.py, the picture.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from precision_errors import DTYPES, QUICK, Point, Row, Sizes, measured, methods, points
from precision_layers import LAYERS
from precision_plot import draw, missing

HEADS = {"offset": "the offset in spreads", "N": "N, the values normalized together",
         "layout": "form and memory layout"}


class Parser(argparse.ArgumentParser):
    """One line for an error, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help lists what there is\n")


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for, or the end of the process where it cannot be."""
    parser = Parser(description=(
        "Draw how exact a normalization is, by offset, number and layout of the data."))
    parser.add_argument("layer", metavar="LAYER", help=", ".join(LAYERS))
    parser.add_argument("--out", metavar="FILE", type=Path,
                        help="the picture: .png, .svg or .pdf (default: precision_LAYER.png)")
    parser.add_argument("--seed", metavar="N", default="0", help="of the data")
    parser.add_argument("--sweep", choices=HEADS, help="measure against this alone")
    parser.add_argument("--quick", action="store_true",
                        help="few and small sizes: seconds instead of minutes")
    args = parser.parse_args(argv)
    args.out = args.out or Path(f"precision_{args.layer}.png")
    if args.layer not in LAYERS:
        parser.error(f"LAYER: expected one of {', '.join(LAYERS)}, got {args.layer!r}; the others "
                     "give something else than (input - mean) / √(variance + eps)")
    if args.out.suffix.lower() not in (".png", ".svg", ".pdf"):
        parser.error(f"--out: expected a name in .png, .svg or .pdf, got '{args.out}'")
    if not args.out.parent.is_dir():
        parser.error(f"--out: expected a folder that exists, got '{args.out}'; make "
                     f"{args.out.parent} first")
    if not args.seed.isdecimal():
        parser.error(f"--seed: expected a whole number from 0, got {args.seed!r}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, draw; 1 where nothing could be drawn."""
    args = options(argv)
    gap = missing()
    if gap:
        print(gap, file=sys.stderr)
    sizes = QUICK if args.quick else Sizes()
    todo = [point for point in points(args.layer, sizes) if args.sweep in (None, point.sweep)]
    rows = []
    for point in todo:
        rows.append(measured(args.layer, point, sizes, int(args.seed)))
        progress(len(rows), len(todo))
    print(table(args.layer, rows), flush=True)
    if gap:
        return 1
    try:
        draw(args.layer, rows, sizes).savefig(args.out)
    except OSError as error:  # after minutes of measuring: a line, as all is printed above
        print(f"no picture: {args.out} cannot be written ({error.strerror}); choose another with "
              "--out", file=sys.stderr)
        return 1
    print(f"\n{args.out}")
    return 0


def progress(done: int, of: int) -> None:
    """One line that grows on a terminal, a line every quarter elsewhere."""
    if sys.stderr.isatty():
        bar = "#" * (30 * done // of)
        end = "\n" if done == of else ""
        print(f"\rmeasuring [{bar:<30}] {done}/{of}", end=end, file=sys.stderr, flush=True)
    elif done == of or done % -(-of // 4) == 0:
        print(f"measured {done}/{of}", file=sys.stderr, flush=True)


def table(layer: str, rows: Sequence[Row]) -> str:
    """The largest absolute error of the standardized output, a column for each method."""
    names = methods(rows)
    lines = [f"{layer}: the largest error of the standardized output"]
    for sweep, head in HEADS.items():
        chosen = [row for row in rows if row.point.sweep == sweep]
        if not chosen:
            continue
        width = max(len(place(row.point)) for row in chosen)
        lines += ["", f"Against {head} ({fixed(sweep, chosen)})",
                  f"{'':8}  {'':{width}}" + "".join(f"{name:>10}" for name in names)]
        for row in chosen:
            cells = "".join(f"{number(row.errors.get(name)):>10}" for name in names)
            lines.append(f"{row.point.dtype:8}  {place(row.point):>{width}}{cells}")
    return "\n".join(lines)


def fixed(sweep: str, rows: Sequence[Row]) -> str:
    """What does not vary in a sweep."""
    point = rows[0].point
    offsets = {row.point.dtype: f"{row.point.offset:g}" for row in rows}
    parts = [] if sweep == "layout" else [f"form {point.form.label}"]
    if sweep != "N":
        parts.append(f"N = {point.n}")
    if sweep != "offset":
        parts.append("offset " + ", ".join(offsets[d] for d in DTYPES if d in offsets))
    return "; ".join(parts)


def place(point: Point) -> str:
    """Where a point stands in its sweep."""
    if point.sweep == "layout":
        return point.layout
    return f"{point.n}" if point.sweep == "N" else f"{point.offset:g}"


def number(error: float | None) -> str:
    """— where a method does not go."""
    if error is None:
        return "—"
    return f"{error:.1e}" if math.isfinite(error) and error else f"{error:g}"


if __name__ == "__main__":
    sys.exit(main())
