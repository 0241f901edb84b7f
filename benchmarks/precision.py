"""How exact a normalization is, as a table and a picture: what precision_errors.py measures."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from precision_errors import DTYPES, METHODS, QUICK, Point, Row, Sizes, study
from precision_layers import LAYERS
from precision_plot import draw, missing

HEADS = {"offset": "the offset in spreads", "N": "N, the values normalized together",
         "layout": "form and memory layout"}


class Parser(argparse.ArgumentParser):
    """One line for an error, and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; --help lists what there is\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, draw; 1 where nothing could be drawn."""
    parser = Parser(description=(
        "Draw how exact a normalization is, by offset, number and layout of the data."))
    parser.add_argument("layer", metavar="LAYER", type=known, help=", ".join(LAYERS))
    parser.add_argument("--out", metavar="FILE", type=picture,
                        help="the picture: .png, .svg or .pdf (default: precision_LAYER.png)")
    parser.add_argument("--seed", metavar="N", type=seed, default=0, help="of the data")
    parser.add_argument("--sweep", choices=HEADS, help="measure against this alone")
    parser.add_argument("--quick", action="store_true",
                        help="few and small sizes: seconds instead of minutes")
    args = parser.parse_args(argv)
    gap = missing()
    if gap:
        print(gap, file=sys.stderr)
    sizes = QUICK if args.quick else Sizes()
    rows = study(args.layer, sizes, args.seed, progress, [args.sweep] if args.sweep else HEADS)
    print(table(args.layer, rows), flush=True)
    if gap:
        return 1
    out = args.out or Path(f"precision_{args.layer}.png")
    try:
        draw(args.layer, rows, sizes).savefig(out)
    except OSError as error:  # after minutes of measuring: a line, as all is printed above
        print(f"no picture: {out} cannot be written ({error.strerror}); choose another with --out",
              file=sys.stderr)
        return 1
    print(f"\n{out}")
    return 0


def known(text: str) -> str:
    """Reads a layer's name."""
    if text in LAYERS:
        return text
    raise argparse.ArgumentTypeError(
        f"expected one of {', '.join(LAYERS)}, got {text!r}; the others give "
        "something else than (input - mean) / √(variance + eps)")


def picture(text: str) -> Path:
    """Reads where the picture goes."""
    path = Path(text)
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"expected a name in .png, .svg or .pdf, got {text!r}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a folder that exists, got {text!r}; make {path.parent} first")
    return path


def seed(text: str) -> int:
    """Reads a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


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
    methods = [name for name in METHODS if any(name in row.errors for row in rows)]
    lines = [f"{layer}: the largest error of the standardized output"]
    for sweep, head in HEADS.items():
        chosen = [row for row in rows if row.point.sweep == sweep]
        if not chosen:
            continue
        width = max(len(place(row.point)) for row in chosen)
        lines += ["", f"Against {head} ({fixed(sweep, chosen)})",
                  f"{'':8}  {'':{width}}" + "".join(f"{name:>10}" for name in methods)]
        for row in chosen:
            cells = "".join(f"{number(row.errors.get(name)):>10}" for name in methods)
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
