"""What the pictures of a history share: runs, panels, ink, and the way into a file.

Lines differ in lightness and dashes too, so that a print without colour still tells them apart.
No window is opened: the figures are matplotlib's own, made without pyplot.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..details import shortened
from .files import replacing
from .history import History
from .recorder import Recorder

Runs = Recorder | History | Mapping[str, Recorder | History]
"""What is drawn: one run, or several by name."""

INK, GREY, LINE, ALARM = "#1f2937", "#6b7280", "#c5cad3", "#b3261e"
COLORS = ("#12305a", "#d0632f", "#3f9c8f", "#a9822a", "#8c6bb1", "#7d8794")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)),
                           (0, (3, 1)), (0, (1, 2.6)))
MARKERS = "osD^vP"
LIGHT, DARK = (0.72, 0.80, 0.88), (0.05, 0.14, 0.29)
"""What is early in training, and what is late."""


def histories(who: str, runs: Any) -> dict[str, History]:
    """The histories by name; of a single one the name is empty.

    Raises:
        TypeError: something else. ValueError: there is none.
    """
    given = runs if isinstance(runs, Mapping) else {"": runs}
    found = {}
    for name, run in given.items():
        if not isinstance(run, Recorder | History):
            raise TypeError(f"{who}: expected a Recorder, a History or a dict of them by name, got "
                            f"{type(run).__name__}")
        found[str(name)] = run.history if isinstance(run, Recorder) else run
    if not found:
        raise ValueError(f"{who}: expected one run or more, got none")
    return found


def panels(
    who: str, count: int, columns: int, size: tuple[float, float]
) -> tuple[Any, list[Any]]:
    """A figure, and axes for each panel, row by row.

    Raises:
        ImportError: there is no matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"{who}: drawing needs matplotlib; pip install "
                          "'tinygrad_norm[viz]'") from error
    columns = min(columns, count)
    lines = -(-count // columns)
    figure: Any = Figure(figsize=(size[0] * columns, size[1] * lines + 0.6), dpi=120,
                         layout="constrained", facecolor="white")
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.06)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in grid[count:]:
        axes.remove()
    for axes in grid[:count]:
        axes.set_facecolor("white")
        axes.tick_params(colors=GREY, labelsize=8, length=2.5, which="both")
        axes.tick_params(which="minor", length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(LINE)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_offset_text().set(fontsize=8, color=GREY)
    return figure, grid[:count]


def plain(text: str) -> str:
    """A name as matplotlib shall write it: ``$`` begins no formula."""
    return str(text).replace("$", r"\$")


def labels(axes: Any, x: str, y: str, title: str = "", kind: str = "") -> None:
    """What stands at the axes, and above them where there is room."""
    axes.set_xlabel(plain(x), color=GREY, fontsize=9)
    axes.set_ylabel(plain(y), color=GREY, fontsize=9, labelpad=7)
    if title:
        title = shortened(title, 40)
        axes.set_title(plain(title), loc="left", fontsize=9.5, fontweight="bold", color=INK)
        if len(title) + len(kind) <= 38:
            axes.set_title(kind, loc="right", fontsize=8, color=GREY)


def caption(figure: Any, text: str) -> None:
    """What the figure shows, above it."""
    figure.suptitle(text, x=0.012, ha="left", fontsize=9.5, color=GREY)


def shades(count: int) -> list[tuple[float, ...]]:
    """Colours from early to late, from light to dark."""
    return [tuple((1 - t) * a + t * b for a, b in zip(LIGHT, DARK, strict=True))
            for t in np.linspace(0, 1, count)] if count > 1 else [DARK]


def some(steps: Sequence[int], wanted: Any) -> list[int]:
    """The positions of the rows to draw: so many, evenly spread, or those of these steps."""
    if isinstance(wanted, int):
        places = np.linspace(0, len(steps) - 1, max(1, min(wanted, len(steps))))
        return sorted({round(place) for place in places.tolist()})
    chosen = set(wanted)
    return [i for i, step in enumerate(steps) if step in chosen]


def alarms(axes: Any, x: np.ndarray, y: np.ndarray) -> bool:
    """Crosses at the upper edge, where y is NaN or infinite; whether there are any."""
    bad = ~np.isfinite(y)
    if bad.any():
        axes.plot(x[bad], np.full(bad.sum(), 0.99), "x", color=ALARM, markersize=5,
                  markeredgewidth=1.4, transform=axes.get_xaxis_transform(), clip_on=False,
                  zorder=6)
    return bool(bad.any())


def legend(figure: Any, names: Sequence[str], *, marked: bool, alarm: bool) -> None:
    """The runs, each with its line, and what a cross means."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **style(i), marker=MARKERS[i % 6] if marked else "", markersize=5)
               for i in range(len(names))] if len(names) > 1 else []
    texts = [plain(name) for name in names] if len(names) > 1 else []
    if alarm:
        handles.append(Line2D([], [], color=ALARM, marker="x", linestyle="", markersize=5))
        texts.append("NaN or infinite")
    if handles:
        figure.legend(handles, texts, loc="outside lower center", ncols=min(len(handles), 6),
                      frameon=False, fontsize=9, labelcolor=INK, handlelength=3)


def style(i: int) -> dict[str, Any]:
    """The line of run number ``i``."""
    return {"color": COLORS[i % 6], "linestyle": DASHES[i % 6], "linewidth": 1.7}


def finished(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """The figure, saved if there is a path, whole or not at all."""
    if path is not None:
        with replacing(Path(path)) as beside:
            figure.savefig(beside)
    return figure


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest finite value, apart from each other."""
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    return (low, high) if low < high else (low - 0.5, high + 0.5)
