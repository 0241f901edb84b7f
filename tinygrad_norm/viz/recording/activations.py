"""How the values of each layer are distributed, and how that changes in training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .choices import matching
from .figure import (
    ALARM,
    DARK,
    GREY,
    INK,
    LIGHT,
    Runs,
    alarms,
    caption,
    finished,
    histories,
    labels,
    panels,
    shades,
    some,
    spread,
)
from .history import Distribution, History

MOST = 24
"""Panels in a figure."""
OVERLAP = 1.5
"""The height of a ridge, in distances of the baselines."""
Rows = list[Distribution]


class Panel(NamedTuple):
    """One layer of one run."""

    run: str
    label: str
    kind: str
    rows: Rows
    quantiles: tuple[float, ...]


def activations(
    runs: Runs, layers: Iterable[str] | str | None = None, *, kind: str = "ridge",
    part: str = "outputs", steps: int | Iterable[int] = 8,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """How the values of each layer are distributed over the training, a panel for each.

    - ``"ridge"``: the histograms of some steps, each as high as the others, the first at the
      bottom, light when early. Values that are exactly 0 are left out of them, and their share is
      written beside.
    - ``"box"``: boxes from 25 to 75 % of the values of some steps, with the median.
    - ``"percentiles"``: the recorded percentiles over all steps, as in Figure 1 of Ioffe, Szegedy
      2015, arXiv:1502.03167.

    Args:
        runs: a ``Recorder`` or its ``history``, or a dict of several by name, to compare them.
        layers: names or patterns; by default those without layers within.
        kind: one of these three.
        part: ``"outputs"``, ``"inputs"`` or ``"units"``, of what was recorded.
        steps: how many of the recorded steps are drawn, or which.
        path: where to save the figure; the ending says how.

    Returns:
        A matplotlib ``Figure``.

    Raises:
        ValueError: there is nothing to draw, or too much. ImportError: there is no matplotlib.
    """
    if kind not in KINDS or part not in ("outputs", "inputs", "units"):
        raise ValueError(f"activations: expected kind to be one of {', '.join(KINDS)} and part of "
                         f"outputs, inputs, units, got {kind!r} and {part!r}")
    found = histories("activations", runs)
    every = [panel for run, history in found.items()
             for panel in of_run(run, history, part, usual=layers is None)]
    if not every:
        raise ValueError(f"activations: expected recorded {part}, got none; run the model in "
                         "training mode while the recorder is attached, and call step()")
    known = list(dict.fromkeys(panel.label for panel in every))
    names = known if layers is None else matching("activations", layers, known)
    chosen = [panel for name in names for panel in every if panel.label == name]
    if len(chosen) > MOST:
        raise ValueError(f"activations: expected {MOST} panels at most, got {len(chosen)}; choose "
                         "some with layers=, as layers=\"encoder.*\"")
    draw, words = KINDS[kind]
    for panel in chosen:
        check(panel, kind)
    columns = len(found) if len(found) > 1 and len(names) * len(found) == len(chosen) else 4
    figure, grid = panels("activations", len(chosen), columns, (3.4, 2.9))
    for axes, panel in zip(grid, chosen, strict=True):
        rows = panel.rows
        if kind != "percentiles":
            rows = [rows[i] for i in some([row.step for row in rows], steps)]
        if not rows:
            raise ValueError(f"activations: expected steps among those recorded, "
                             f"{panel.rows[0].step} to {panel.rows[-1].step}, got none of them")
        alike = [row for other in chosen if other.label == panel.label for row in other.rows]
        draw(axes, panel, rows, limits(alike, 0.3 if kind == "ridge" else 0))
        title = ": ".join(filter(None, (panel.run, panel.label)))
        labels(axes, *(("value", "step") if kind == "ridge" else ("step", "value")), title,
               panel.kind)
    caption(figure, words(part.capitalize(), chosen[0].quantiles))
    return finished(figure, path)


def of_run(run: str, history: History, part: str, *, usual: bool) -> list[Panel]:
    """A panel for each label; of the outputs those without layers within, if they are usual."""
    found = []
    for label, rows in getattr(history, part).items():
        layer = history.layers.get(label)
        if not (usual and part == "outputs" and layer and not layer.leaf):
            found.append(Panel(run, label, layer.kind if layer else "", rows, history.quantiles))
    return found


def check(panel: Panel, kind: str) -> None:
    """Whether what this kind of picture needs was recorded."""
    if kind == "ridge" and not panel.rows[0].histogram:
        raise ValueError("activations: a ridge needs histograms, but bins=0 was recorded; "
                         "take kind=\"percentiles\"")
    if kind == "box" and not {0.25, 0.5, 0.75} <= set(panel.quantiles):
        raise ValueError("activations: a box needs the quantiles 0.25, 0.5 and 0.75, but "
                         f"{panel.quantiles} were recorded")
    if kind == "percentiles" and not panel.quantiles:
        raise ValueError("activations: percentiles need quantiles, but none were recorded")


def limits(rows: Rows, more: float) -> tuple[float, float]:
    """A range that shows the outer quantiles of all rows; by the share ``more`` wider where there
    are values."""
    low, high = spread([q for row in rows for q in (row.quantiles or (row.least, row.largest))])
    least, largest = spread([v for row in rows for v in (row.least, row.largest)])
    width = high - low
    return (max(low - more * width, least) - 0.04 * width,
            min(high + more * width, largest) + 0.04 * width)


# -- kinds -----------------------------------------------------------------------------------------


def ridge(axes: Any, panel: Panel, rows: Rows, limit: tuple[float, float]) -> None:
    """Histograms one above the other, each as high as the others."""
    axes.axvline(0, color="#dfe3e9", linewidth=0.8, zorder=0)
    for i in reversed(range(len(rows))):
        row, (x, y), color = rows[i], outline(rows[i]), shades(len(rows))[i]
        # to its own height: beside a narrow one the others would be flat
        top = i + OVERLAP * y / (y.max(initial=0.0) or 1.0)
        depth = 2 * (len(rows) - i)
        axes.fill_between(x, i, top, color=color, alpha=0.9, linewidth=0, zorder=depth)
        axes.plot(x, np.where(top > i + 0.03, top, np.nan), color="white", linewidth=1.1,
                  zorder=depth + 1)
        axes.plot(limit, (i, i), color="#9aa5b4", linewidth=0.6, zorder=depth)
        note(axes, i, row)
    axes.set_xlim(limit)
    axes.set_ylim(-0.15, len(rows) - 1 + OVERLAP * 1.08)
    axes.set_yticks(range(len(rows)), [str(row.step) for row in rows])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def outline(row: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """The density at the middle of each bin, without the values that are exactly 0."""
    counts = np.array(row.histogram, float)
    width = (row.largest - row.least) / len(counts)
    if not counts.sum():
        return np.zeros(0), np.zeros(0)
    if not width:
        return np.full(3, row.least), np.array([0.0, counts.sum() - row.zeros, 0.0])
    edges = row.least + width * np.arange(len(counts) + 1)
    place = int(np.clip(np.searchsorted(edges, 0.0, side="right") - 1, 0, len(counts) - 1))
    counts[place] -= row.zeros
    middles = (edges[1:] + edges[:-1]) / 2
    x = np.concatenate([edges[:1], middles, edges[-1:]])
    return x, np.concatenate([[0.0], counts / (row.size - row.nonfinite) / width, [0.0]])


def note(axes: Any, height: float, row: Distribution) -> None:
    """Beside it the share of zeros; in red how many values are not finite."""
    text, color = "", GREY
    if row.nonfinite:
        text, color = f"{row.nonfinite}\nNaN, ∞", ALARM
    elif row.size and row.zeros >= 0.005 * row.size:
        text = f"{row.zeros / row.size:.0%} zeros"
    axes.text(1.01, height, text, color=color, fontsize=7, ha="left", va="center",
              transform=axes.get_yaxis_transform())


def box(axes: Any, panel: Panel, rows: Rows, limit: tuple[float, float]) -> None:
    """A box for each step, of the quantiles that were recorded."""
    from matplotlib.patheffects import withStroke

    place = [panel.quantiles.index(q) for q in (0.25, 0.5, 0.75)]
    stats = []
    for row in rows:
        q1, med, q3 = (row.quantiles[i] for i in place)
        stats.append({"q1": q1, "med": med, "q3": q3, "whislo": row.quantiles[0],
                      "whishi": row.quantiles[-1], "label": str(row.step)})
    ink = {"color": "#3b4754", "linewidth": 0.9}
    drawn = axes.bxp(stats, showfliers=False, patch_artist=True, widths=0.62, whiskerprops=ink,
                     capprops=ink, boxprops={"edgecolor": "#3b4754", "linewidth": 0.9},
                     medianprops={"color": "white", "linewidth": 1.6, "path_effects": [
                         withStroke(linewidth=3.2, foreground=INK)]})
    for patch, color in zip(drawn["boxes"], shades(len(rows) + 2), strict=False):
        patch.set_facecolor(color)
    axes.axhline(0, color="#dfe3e9", linewidth=0.8, zorder=0)
    for i, row in enumerate(rows, 1):
        alarms(axes, np.array([i]), np.array([np.nan if row.nonfinite else 0.0]))
    axes.set_ylim(limit)


def percentiles(axes: Any, panel: Panel, rows: Rows, limit: tuple[float, float]) -> None:
    """A line for each quantile, the space between the outer ones filled."""
    steps = np.array([row.step for row in rows])
    lines = np.array([row.quantiles for row in rows])
    count = lines.shape[1]
    axes.axhline(0, color="#dfe3e9", linewidth=0.8, zorder=0)
    for i in range(count // 2):
        t = 0.25 + 0.6 * i / max(count // 2, 1)
        tone = tuple((1 - t) * 1 + t * c for c in LIGHT)
        axes.fill_between(steps, lines[:, i], lines[:, -1 - i], color=tone, linewidth=0)
    for i, q in enumerate(panel.quantiles):
        middle = q == 0.5
        axes.plot(steps, lines[:, i], color=DARK, linewidth=1.8 if middle else 0.7,
                  marker="o" if len(steps) == 1 else "", markersize=3)
    alarms(axes, steps, np.array([np.nan if row.nonfinite else 0.0 for row in rows]))
    axes.set_ylim(limit)


# -- captions --------------------------------------------------------------------------------------


def of_ridges(part: str, quantiles: tuple[float, ...]) -> str:
    return (f"{part}: histograms of some steps, each as high as the others, light when early and "
            "dark when late in training")


def of_boxes(part: str, quantiles: tuple[float, ...]) -> str:
    return (f"{part}: boxes hold the values from 25 to 75 %, whiskers those from "
            f"{100 * quantiles[0]:.3g} to {100 * quantiles[-1]:.3g} %; the white bar is the median")


def of_lines(part: str, quantiles: tuple[float, ...]) -> str:
    percents = ", ".join(f"{100 * q:.3g}" for q in quantiles)
    return f"{part}: below the lines lie {percents} % of the values"


Draw = Callable[[Any, Panel, Rows, tuple[float, float]], None]
KINDS: dict[str, tuple[Draw, Callable[[str, tuple[float, ...]], str]]] = {
    "ridge": (ridge, of_ridges), "box": (box, of_boxes), "percentiles": (percentiles, of_lines),
}
