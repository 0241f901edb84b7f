"""Lesson: what an experiment logs, draws and claims, and the folder that it leaves."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinygrad_norm.viz.recording.files import replacing

from .claim import Claim, judged

T = TypeVar("T")
EFFORTS = ("quick", "default", "full")
METRICS, VERDICT = "metrics.jsonl", "verdict.json"
FILES = (METRICS, VERDICT, "verdict.txt", "figure.png", "figure.svg")


class Lesson:
    """One experiment: records, a figure, claims; ``runs/NAME/`` holds them when it is done.

    metrics.jsonl   a record a line; what is not finite is null
    figure.png, figure.svg
    verdict.json    each claim with its values, mean, standard error and verdict
    verdict.txt     the same to read

    The files are written together at the end: a lesson that is stopped leaves the last one whole.

    Args:
        name: of the lesson, and of its folder.
        out: the folder; ``runs/name`` by default.
        effort: "quick" (seconds, rough), "default", or "full" (smooth curves).
        seed: the first of the seeds.
        quiet: whether only the verdict is printed.
    """

    def __init__(self, name: str, *, out: Path | None = None, effort: str = "default",
                 seed: int = 0, quiet: bool = False) -> None:
        if effort not in EFFORTS:
            raise ValueError(f"Lesson: expected effort to be one of {', '.join(EFFORTS)}, got "
                             f"{effort!r}")
        self.name, self.effort, self.seed, self.quiet = name, effort, seed, quiet
        self.out = Path("runs", name) if out is None else out
        self.records: list[dict[str, Any]] = []
        self.claims: list[Claim] = []
        self.drawn: Any = None
        self.begin = time.perf_counter()

    # -- how much of it ----------------------------------------------------------------------------

    def choose(self, *, quick: T, default: T, full: T) -> T:
        """The one for this effort."""
        return {"quick": quick, "default": default, "full": full}[self.effort]

    def seeds(self, *, quick: int = 2, default: int = 5, full: int = 10) -> range:
        """As many seeds as this effort asks for, from the first on."""
        return range(self.seed, self.seed + self.choose(quick=quick, default=default, full=full))

    def progress(self, items: Iterable[T], label: str = "") -> Iterator[T]:
        """The items, with a bar on a terminal."""
        items = list(items)
        if self.quiet:
            return iter(items)
        try:
            from tqdm import tqdm
        except ImportError:
            print("no progress bar: tqdm is not installed; pip install 'tinygrad_norm[examples]'",
                  file=sys.stderr)
            return iter(items)
        return iter(tqdm(items, desc=label or self.name, leave=False, disable=None))

    # -- what it finds -----------------------------------------------------------------------------

    def log(self, **record: Any) -> None:
        """One line of metrics.jsonl: names with numbers, words, or lists of them."""
        self.records.append({name: _plain(value) for name, value in record.items()})

    def values(self, name: str, **where: Any) -> np.ndarray:
        """That entry of every record in which ``where`` holds, in the order of logging.

        Raises:
            LookupError: there is no such record.
        """
        chosen = [record[name] for record in self.records
                  if name in record and all(record.get(k) == _plain(v) for k, v in where.items())]
        if not chosen:
            raise LookupError(f"{self.name}: expected records of {name} with {where}, got none")
        return np.array(chosen, dtype=np.float64 if _numbers(chosen) else None)

    def figure(self, figure: Any) -> None:
        """What figure.png and figure.svg show: a matplotlib Figure."""
        self.drawn = figure

    def claim(
        self, key: str, text: str, effect: Sequence[float] | np.ndarray, *,
        above: float = 0.0, unit: str = "", reason: str = "",
    ) -> Claim:
        """State a claim: that ``effect``, one value for each seed, lies above ``above``.

        Its verdict is computed from the values. ``reason`` says why it may not show at this scale,
        and is printed only where it does not.
        """
        claim = judged(key, text, effect, above=above, unit=unit, reason=reason)
        self.claims.append(claim)
        return claim

    # -- what it leaves ----------------------------------------------------------------------------

    @property
    def verdict(self) -> str:
        """The verdict line."""
        shown = sum(claim.verdict == "shown" for claim in self.claims)
        return f"{self.name}: {shown} of {len(self.claims)} claims shown"

    def check_folder(self) -> None:
        """Refuse a place where files of another kind would be overwritten, or none can be written.

        Raises:
            FileExistsError: ``out`` is a file or below one, or holds files that are no lesson's.
            PermissionError: nothing may be written there.
        """
        there = next(path for path in (self.out, *self.out.parents) if path.exists())
        if not there.is_dir():
            raise FileExistsError(f"--out {self.out}: {there} is a file; name a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(f"--out {self.out}: {there} may not be written to; name another "
                                  "folder")
        found = [file for file in FILES if (self.out / file).exists()]
        if found and VERDICT not in found:
            raise FileExistsError(f"--out {self.out} holds {found[0]}, but of no lesson; name "
                                  "another folder")

    def save(self) -> None:
        """Write the folder."""
        self.check_folder()
        self.out.mkdir(parents=True, exist_ok=True)
        for ending in ("png", "svg") if self.drawn is not None else ():
            with replacing(self.out / f"figure.{ending}") as beside, _reproducible(self.name):
                self.drawn.savefig(beside, metadata={"Date": None} if ending == "svg" else {})
                if ending == "png":
                    _fewer_colors(beside, any(axes.images for axes in self.drawn.axes))
        lines = [json.dumps(record, allow_nan=False) + "\n" for record in self.records]
        claims = [{"key": claim.key, "text": claim.text, "verdict": claim.verdict,
                   "measured": claim.measured, "mean": _plain(claim.mean),
                   "standard_error": _plain(claim.error),
                   "standard_errors": _plain(claim.errors), "above": claim.above,
                   "unit": claim.unit, "values": list(claim.values), "reason": claim.reason}
                  for claim in self.claims]
        verdict = {"lesson": self.name, "effort": self.effort, "seed": self.seed,
                   "verdict": self.verdict, "claims": claims}
        for file, text in ((METRICS, "".join(lines)), ("verdict.txt", f"{self}\n"),
                           (VERDICT, json.dumps(verdict, indent=1) + "\n")):
            with replacing(self.out / file) as beside:
                beside.write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        return "\n".join([*map(str, self.claims), self.verdict])

    def report(self) -> None:
        """Print the verdict and where the files are."""
        print(self)
        if not self.quiet:
            seconds = time.perf_counter() - self.begin
            print(f"{seconds:.1f} s; {self.out / 'figure.png'}, {METRICS}, {VERDICT}")


def _plain(value: Any) -> Any:
    """As JSON has it: what is not finite is null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays, and tensors
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _numbers(values: Sequence[Any]) -> bool:
    """Whether they are numbers, lists of numbers, or null."""
    return all(_numbers(v) if isinstance(v, list) else v is None or isinstance(v, int | float)
               for v in values)


def _reproducible(name: str) -> contextlib.AbstractContextManager[None]:
    """The same run gives the same bytes: the ids in an SVG are random otherwise."""
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": name})


def _fewer_colors(png: Path, photographs: bool) -> None:
    """256 of them: a third of the bytes. Colours that cover few pixels, as lines, are kept too,
    which a median cut merges; but of photographs it leaves the best likeness."""
    from PIL import Image  # matplotlib needs it too

    with Image.open(png) as image:
        method = Image.Quantize.MEDIANCUT if photographs else Image.Quantize.MAXCOVERAGE
        small = image.convert("RGB").quantize(256, method, kmeans=2 if photographs else 0,
                                              dither=Image.Dither.NONE)
    small.save(png, optimize=True)
