"""How large gradients are from layer to layer, and how that changes in training."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..details import shortened
from .choices import matching
from .figure import (
    GREY,
    INK,
    MARKERS,
    Runs,
    alarms,
    finished,
    histories,
    labels,
    legend,
    panels,
    plain,
    shades,
    some,
    style,
)
from .history import History

PARTS = {"outputs": "gradients", "parameters": "parameter_gradients"}
MEASURES = {"norm": "gradient norm", "rms": "root mean square of the gradient",
            "largest": "largest gradient"}
Flow = list[tuple[np.ndarray, np.ndarray]]
"""For each layer the steps and the sizes."""


def gradients(
    runs: Runs, layers: Iterable[str] | str | None = None, *, of: str = "outputs",
    measure: str = "norm", steps: int | Iterable[int] = 6,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """The gradient flow: its size in each layer, from the first to the last.

    Of one run the lines are steps of the training, light when early and dark when late. Of several
    each has a line of medians over all steps, in a band from the least to the largest.

    Args:
        runs: a ``Recorder`` or its ``history``, or a dict of several by name, to compare them.
        layers: names or patterns, of layers or parameters; by default those without layers within.
        of: ``"outputs"`` or ``"parameters"``: what the loss is differentiated by.
        measure: ``"norm"``, ``"rms"``, which does not grow with the number of values, or
            ``"largest"``, the largest absolute value.
        steps: how many of the recorded steps are drawn, or which.
        path: where to save the figure; the ending says how.

    Returns:
        A matplotlib ``Figure``.

    Raises:
        ValueError: there is nothing to draw. ImportError: there is no matplotlib.
    """
    if of not in PARTS or measure not in MEASURES:
        raise ValueError(f"gradients: expected of to be one of {', '.join(PARTS)} and measure of "
                         f"{', '.join(MEASURES)}, got {of!r} and {measure!r}")
    found = histories("gradients", runs)
    known: list[str] = []
    for history in found.values():
        known = merged(known, order(history, PARTS[of], usual=layers is None))
    if not known:
        raise ValueError("gradients: expected recorded gradients, got none; call backward() "
                         "while the recorder is attached, and step() after it")
    names = known if layers is None else matching("gradients", layers, known)
    figure, (axes,) = panels("gradients", 1, 1, (max(5.0, 1.8 + 0.55 * len(names)), 3.9))
    axes.set_yscale("log")
    axes.grid(axis="y", color="#e8eaee", linewidth=0.7)
    flows = [flow(history, PARTS[of], names, measure) for history in found.values()]
    zero = frame(axes, names, flows)
    if len(flows) == 1:
        over_time(axes, flows[0], zero, steps)
    else:
        for i, one in enumerate(flows):
            band(axes, i, one, zero)
    alarm = any(not np.isfinite(sizes).all() for one in flows for _, sizes in one)
    what = "layer" if of == "outputs" else "parameter"
    labels(axes, f"{what}, from input to output", MEASURES[measure])
    legend(figure, list(found), marked=True, alarm=alarm)
    return finished(figure, path)


def order(history: History, part: str, *, usual: bool) -> list[str]:
    """Labels from input to output; of the layers those without others within, if they are usual."""
    recorded = getattr(history, part)
    if part == "parameter_gradients":
        return [label for label in history.parameters if label in recorded]
    return [label for label, layer in history.layers.items()
            if label in recorded and (layer.leaf or not usual)]


def merged(known: list[str], more: list[str]) -> list[str]:
    """Both, each in its order: what is new stands behind what it follows in ``more``."""
    result, place = list(known), 0
    for label in more:
        if label in result:
            place = result.index(label) + 1
        else:
            result.insert(place, label)
            place += 1
    return result


def flow(history: History, part: str, names: list[str], measure: str) -> Flow:
    """Steps and sizes; empty where a run has not the layer."""
    found = []
    for name in names:
        rows = getattr(history, part).get(name, [])
        found.append((np.array([row.step for row in rows], int),
                      np.array([getattr(row, measure) for row in rows], float)))
    return found


def frame(axes: Any, names: list[str], flows: list[Flow]) -> float:
    """Layers along the x axis; where a gradient is exactly 0, a strip for it below. Its height."""
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xticks(range(len(names)), [plain(shortened(name, 30)) for name in names], rotation=40,
                    ha="right", rotation_mode="anchor")
    sizes = np.concatenate([sizes for one in flows for _, sizes in one])
    positive = sizes[np.isfinite(sizes) & (sizes > 0)]
    low, high = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
    low, high = low / 1.6, high * 1.6
    zero = 0.0
    if (sizes == 0).any():
        bottom = low / (high / low) ** 0.12 / 2
        zero = math.sqrt(bottom * low)
        axes.axhspan(bottom, low, color="#eef2f7", linewidth=0, zorder=0)
        first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
        powers = range(first, last + 1, max(1, (last - first) // 6))
        axes.set_yticks([zero, *(10.0**k for k in powers)],
                        ["0", *(f"$10^{{{k}}}$" for k in powers)])
        axes.minorticks_off()
        low = bottom
    axes.set_ylim(low, high)
    return zero


def over_time(axes: Any, one: Flow, zero: float, steps: int | Iterable[int]) -> None:
    """A line for each step."""
    every = sorted({step for at, _ in one for step in at.tolist()})
    chosen = [every[i] for i in some(every, steps)]
    if not chosen:
        raise ValueError(f"gradients: expected steps among those recorded, {every[0]} to "
                         f"{every[-1]}, got none of them")
    for step, color in zip(chosen, shades(len(chosen)), strict=True):
        sizes = [values[at == step] for at, values in one]
        line(axes, [v[-1] if v.size else None for v in sizes], zero, color=color, linewidth=1.6,
             marker="o", markersize=4, label=str(step))
    axes.legend(title="step", frameon=False, fontsize=8, title_fontsize=8.5, labelcolor=INK,
                loc="center left", bbox_to_anchor=(1.0, 0.5)).get_title().set_color(GREY)


def band(axes: Any, i: int, one: Flow, zero: float) -> None:
    """Medians, between the least and the largest."""
    finite = [values[np.isfinite(values)] for _, values in one]
    x = np.array([k for k, values in enumerate(finite) if values.size])
    if x.size:
        low, high = (np.array([f(finite[k]) for k in x]) for f in (np.min, np.max))
        axes.fill_between(x, np.where(low > 0, low, zero), np.where(high > 0, high, zero),
                          color=style(i)["color"], alpha=0.14, linewidth=0)
    middles = [float(np.median(values)) if values.size else None for values in finite]
    line(axes, middles, zero, **style(i), marker=MARKERS[i % 6], markersize=5)
    alarms(axes, np.arange(len(one)), np.array([values.sum() for _, values in one]))


def line(axes: Any, sizes: list[float | None], zero: float, **ink: Any) -> None:
    """Sizes by layer; on the strip where they are 0, at the upper edge where they are not finite.

    A run that has not a layer goes on to the next one.
    """
    there = [(k, size) for k, size in enumerate(sizes) if size is not None]
    x, y = np.array([k for k, _ in there]), np.array([size for _, size in there], float)
    heights = np.where(np.isfinite(y), np.where(y > 0, y, zero), np.nan)
    axes.plot(x, heights, markeredgecolor="white", markeredgewidth=0.5, **ink)
    alarms(axes, x, y)
