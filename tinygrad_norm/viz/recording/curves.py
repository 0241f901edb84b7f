"""Metrics over the steps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from .choices import matching
from .figure import Runs, alarms, finished, histories, labels, legend, panels, style


def curves(
    runs: Runs, metrics: Iterable[str] | str | None = None, *, window: int = 1, log: bool = False,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    """Loss and other metrics over the steps, a panel for each.

    Args:
        runs: a ``Recorder`` or its ``history``, or a dict of several by name, to compare them.
        metrics: names or patterns; all by default.
        window: draw the mean of so many values up to each step, over the values in pale.
        log: whether the values have a logarithmic axis.
        path: where to save the figure; the ending says how.

    Returns:
        A matplotlib ``Figure``.

    Raises:
        ValueError: there is nothing to draw. ImportError: there is no matplotlib.
    """
    found = histories("curves", runs)
    known = list(dict.fromkeys(name for history in found.values() for name in history.metrics))
    if not known:
        raise ValueError("curves: expected recorded metrics, got none; call "
                         "recorder.step(loss=loss) in each step")
    names = known if metrics is None else matching("curves", metrics, known)
    if window < 1:
        raise ValueError(f"curves: expected a window of 1 or more values, got {window}")
    figure, grid = panels("curves", len(names), 3, (4.6, 3.1))
    alarm = False
    for axes, name in zip(grid, names, strict=True):
        if log:
            axes.set_yscale("log")
        axes.grid(axis="y", color="#e8eaee", linewidth=0.7)
        for i, history in enumerate(found.values()):
            if name in history.metrics:
                rows = history.metrics[name]
                steps, values = (np.array(column) for column in zip(*rows, strict=True))
                alarm |= line(axes, i, steps, values, window)
        labels(axes, "step", name)
    legend(figure, list(found), marked=False, alarm=alarm)
    return finished(figure, path)


def line(axes: Any, i: int, steps: np.ndarray, values: np.ndarray, window: int) -> bool:
    """One run; whether something in it is not finite."""
    plain = np.where(np.isfinite(values), values, np.nan)
    marker = "o" if len(steps) <= 2 else ""
    if window > 1:
        axes.plot(steps, plain, color=style(i)["color"], linewidth=0.8, alpha=0.3)
    axes.plot(steps, smoothed(plain, window), **style(i), marker=marker, markersize=4)
    return alarms(axes, steps, values)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of up to ``window`` values that end with each one; NaN where one of them is."""
    if window == 1:
        return values
    return np.array([values[max(0, i + 1 - window) : i + 1].mean() for i in range(len(values))])
