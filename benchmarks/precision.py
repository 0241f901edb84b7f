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
import os
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    import datetime  # noqa: F401  Ctrl-C within it, NumPy makes an error of its own

    from precision_errors import DTYPES, QUICK, Point, Row, Sizes, measured, methods, points
    from precision_layers import LAYERS
    from precision_plot import draw, missing

    from tinygrad_norm import commandline
except KeyboardInterrupt:
    print("stopped", file=sys.stderr, flush=True)
    os._exit(130)

HEADS = {"offset": "the offset in spreads", "N": "N, the values normalized together",
         "layout": "form and memory layout"}


def options(argv: Sequence[str] | None) -> argparse.Namespace:
    """What is asked for, or the end of the process where it cannot be."""
    parser = commandline.Parser(description=(
        "Draw how exact a normalization is, by offset, number and layout of the data."))
    parser.add_argument("layer", metavar="LAYER", help=", ".join(LAYERS))
    parser.add_argument("--out", metavar="FILE", type=commandline.path,
                        help="the picture: .png, .svg or .pdf (default: precision_LAYER.png)")
    parser.add_argument("--seed", metavar="N", default=0, type=commandline.whole(0),
                        help="of the data")
    parser.add_argument("--sweep", choices=HEADS, help="measure against this alone")
    parser.add_argument("--quick", action="store_true",
                        help="few and small sizes: seconds instead of minutes")
    args = parser.parse_args(argv)
    try:
        args.layer = commandline.named(args.layer, LAYERS)
    except argparse.ArgumentTypeError as error:
        parser.error(f"LAYER: {error}; the others give something else than (input - mean) / "
                     "√(variance + eps)")
    args.out = args.out or Path(f"precision_{args.layer}.png")
    if args.out.suffix.lower() not in (".png", ".svg", ".pdf"):
        parser.error(f"--out: expected a name in .png, .svg or .pdf, got '{args.out}'")
    if not args.out.parent.is_dir():
        parser.error(f"--out: expected a folder that exists, got '{args.out}'; make "
                     f"{args.out.parent} first")
    if not os.access(args.out.parent, os.W_OK):
        parser.error(f"--out: {args.out.parent} may not be written to; name another folder")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, draw; 1 where nothing could be drawn."""
    return commandline.run(lambda: _main(options(argv)), "precision.py")


def _main(args: argparse.Namespace) -> int:
    gap = missing()
    if gap:
        print(gap, file=sys.stderr)
    sizes = QUICK if args.quick else Sizes()
    todo = [point for point in points(args.layer, sizes) if args.sweep in (None, point.sweep)]
    rows = []
    for point in todo:
        rows.append(measured(args.layer, point, sizes, args.seed))
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
