"""The files of a run: numbers, pictures and the checkpoint, in one folder."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import tinygrad_norm as tn

CHECKPOINT = "checkpoint.safetensors"


class RunFolder:
    """``runs/NAME/`` with metrics.jsonl, curves.png, graph.svg and checkpoint.safetensors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.png"
        self.graph = path / "graph.svg"
        self.checkpoint = path / CHECKPOINT

    @classmethod
    def new(cls, out: Path | None, name: str) -> RunFolder:
        """The folder ``out``; without, ``runs/name``, or ``runs/name-2`` and so on.

        Raises:
            FileExistsError: there is a run in ``out``, or ``out`` is a file.
        """
        if out is not None:
            if out.exists() and not out.is_dir():
                raise FileExistsError(f"--out {out} is a file; name a folder")
            out.mkdir(parents=True, exist_ok=True)
            if (out / CHECKPOINT).exists():
                raise FileExistsError(f"there is a run in {out} already; --resume {out} goes on "
                                      "with it, another --out begins a new one")
            return cls(out)
        path, n = Path("runs", name), 2
        while True:
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:
                path, n = Path("runs", f"{name}-{n}"), n + 1

    def save(self, state: Mapping[str, Any]) -> None:
        """Put ``state`` in the place of the last checkpoint, all at once."""
        tn.save(dict(state), self.checkpoint)

    def rewrite_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Let metrics.jsonl hold these lines: a run that was killed may have written more."""
        new = self.metrics.with_suffix(".tmp")
        new.write_text("".join(json.dumps(record) + "\n" for record in history))
        os.replace(new, self.metrics)

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """One more line."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def draw_graph(self, loss: tn.Tensor, names: Mapping[str, tn.Tensor]) -> str:
        """Draw what ``loss`` was computed from; where to, or why not."""
        try:
            return str(tn.viz.graph(loss, names).save(self.graph))
        except (ImportError, RuntimeError, ValueError) as error:
            return f"not drawn: {error}"

    def draw_curves(self, history: Sequence[Mapping[str, Any]], title: str) -> str:
        """Draw loss and accuracy by epoch; where to, or why not."""
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import (
                LogLocator,
                MaxNLocator,
                NullFormatter,
                PercentFormatter,
                StrMethodFormatter,
            )
        except ImportError:
            return ("not drawn: matplotlib is not installed; "
                    "pip install 'tinygrad_norm[examples]'")
        figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
        figure.suptitle(title, fontsize=11)
        left, right = figure.subplots(1, 2)
        epochs = [record["epoch"] for record in history]
        for axes, what in ((left, "loss"), (right, "accuracy")):
            for part, color, line in (("train", "#2f5d92", "o-"), ("test", "#c0562b", "s--")):
                values = [record[f"{part}_{what}"] for record in history]
                axes.plot(epochs, values, line, color=color, label=part, linewidth=1.5,
                          markersize=3 if len(epochs) < 50 else 0)
            axes.set_title(what, loc="left", fontsize=10)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
        right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        figure.savefig(self.curves)
        return str(self.curves)


def checkpoint_at(path: Path) -> Path:
    """The file that ``--resume`` means: a checkpoint, or the one in a run's folder."""
    return path / CHECKPOINT if path.is_dir() else path


class Interrupt:
    """Whether Ctrl-C was pressed."""

    asked = False


@contextmanager
def interrupt() -> Iterator[Interrupt]:
    """Inside, the first Ctrl-C only asks to stop, so that no step is cut in two; a second one
    stops at once."""
    state = Interrupt()

    def ask(number: int, frame: FrameType | None) -> None:
        state.asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, ask)
    try:
        yield state
    finally:
        signal.signal(signal.SIGINT, before)
