"""How the lessons draw: panels, and lines over several seeds with their spread.

No window is opened; the inks are those of ``viz.curves``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_norm.viz.recording.figure import COLORS, INK, LINE, MARKERS, labels, style
from tinygrad_norm.viz.recording.figure import panels as _panels


def panels(count: int, columns: int = 2, size: tuple[float, float] = (4.6, 3.2)
           ) -> tuple[Any, list[Any]]:
    """A figure of so many axes, row by row, ``size`` inches each; without pyplot."""
    return _panels("lesson", count, columns, size)


def titles(axes: Any, title: str, x: str, y: str, *, legend: bool = False) -> None:
    """What stands above the axes and beside them, and the names of the lines."""
    labels(axes, x, y)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    if legend:
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, handlelength=2.6)


def curve(
    axes: Any, x: Sequence[float] | np.ndarray, runs: Any, label: str, number: int = 0, *,
    marked: bool = False,
) -> None:
    """The median of the seeds over ``x``, and a band from the least to the largest.

    Args:
        runs: a row for each seed, (seeds, len(x)); NaN is left out.
        number: which of the six styles the line has.
        marked: whether the points are marked, and all seeds shown as small dots.
    """
    rows = np.atleast_2d(np.asarray(runs, dtype=np.float64))
    there = ~np.isnan(rows).all(axis=0)
    at, rows = np.asarray(x)[there], rows[:, there]
    line = {**style(number), "label": label}
    if marked:
        line |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 5}
    axes.plot(at, np.nanmedian(rows, axis=0), **line)
    if len(rows) > 1:
        axes.fill_between(at, np.nanmin(rows, axis=0), np.nanmax(rows, axis=0),
                          color=line["color"], alpha=0.15, linewidth=0)


def bars(axes: Any, runs: Mapping[str, Sequence[float] | np.ndarray]) -> None:
    """A bar of the mean for each name, with every seed as a dot."""
    for i, (name, values) in enumerate(runs.items()):
        color = COLORS[i % len(COLORS)]
        axes.bar(name, float(np.mean(values)), color=color, alpha=0.55, width=0.62)
        spots = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
        axes.plot(i + np.asarray(spots), values, "o", color=color, markersize=3.5)


def bowl(axes: Any, curvature: np.ndarray, best: np.ndarray, path: np.ndarray, number: int = 0
         ) -> None:
    """The lines of equal loss of two weights, each 4 times that of the line within, and a path.

    Args:
        curvature: the Hessian, (2, 2), of a loss that is quadratic.
        best: the weights with the least loss, (2,); they are starred.
        path: the weights before each step, (steps, 2).
        number: the colour of the path.
    """
    grid = np.linspace(-1.25, 1.25, 121) * np.abs(path - best).max()
    away = np.stack(np.meshgrid(grid, grid), axis=-1)
    height = np.einsum("...i,ij,...j", away, curvature, away)
    start = (path[0] - best) @ curvature @ (path[0] - best)
    axes.contour(best[0] + grid, best[1] + grid, height, start * 4.0 ** np.arange(-4, 3),
                 colors=LINE, linewidths=0.9)
    axes.plot(*path.T, ".-", color=COLORS[number % len(COLORS)], linewidth=1.1, markersize=4)
    axes.plot(*best, "*", color=INK, markersize=9)
    axes.set_aspect("equal")
