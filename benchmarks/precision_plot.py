"""What precision_errors.py measures, drawn: a column for each dtype, a row for each sweep."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from precision_errors import METHODS, OFFSETS, Row, Sizes, memories, methods
from precision_layers import FAMILIES, LAYERS

COLORS = {"naive": "#c8553d", "two-pass": "#e0a030", "Welford": "#4f9d69", "PyTorch": "#8067b7",
          "ours": "#1f4e8c"}
MARKERS = dict(zip(COLORS, "vsDXo", strict=True))
CENTRED = {"naive": "naive: E[x²] − E[x]²", "two-pass": "two-pass: E[(x − E[x])²]"}
NOT_CENTRED = {"naive": "naive: Σx²/n", "Welford": "running mean of x²"}
ABOVE = {"ours": 5, "PyTorch": 6}
"""What is drawn over the rest: PyTorch's dashes leave ours visible under them."""
SWEEPS = ("offset", "N", "layout")
INK, GREY, COARSE = "#1f2937", "#6b7280", "#e6e9ee"
STRIP = 0.86
"""From here up, as a share of a panel's height, stands what is NaN or infinite."""


def missing() -> str:
    """What to install so that there is a picture, or nothing."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError:
        return "no picture: matplotlib is not installed; pip install 'tinygrad_norm[examples]'"
    return ""


def draw(layer: str, rows: Sequence[Row], sizes: Sizes) -> Any:
    """A matplotlib Figure; its savefig() writes the file. No window is opened."""
    from matplotlib.figure import Figure

    dtypes = list(dict.fromkeys(row.point.dtype for row in rows))
    sweeps = [sweep for sweep in SWEEPS if any(row.point.sweep == sweep for row in rows)]
    figure: Any = Figure(figsize=(1.5 + 4.6 * len(dtypes), 1.3 + 3.4 * len(sweeps)), dpi=130,
                         layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.08)
    grid = figure.subplots(len(sweeps), len(dtypes), squeeze=False)
    for column, dtype in enumerate(dtypes):
        own = [row for row in rows if row.point.dtype == dtype]
        for line, sweep in enumerate(sweeps):
            axes = grid[line][column]
            chosen = [row for row in own if row.point.sweep == sweep]
            frame(axes, dtype, own)
            (layouts if sweep == "layout" else curves)(axes, chosen)
            heading(axes, sweep, dtype, chosen)
            if not column:
                axes.set_ylabel("largest error", color=GREY, fontsize=9)
    figure.suptitle(f"{layer}: how far the standardized output is off", fontsize=14,
                    fontweight="bold", color=INK)
    legend(figure, layer, rows, sizes)
    return figure


# -- a panel ---------------------------------------------------------------------------------------


def frame(axes: Any, dtype: str, rows: Sequence[Row]) -> None:
    """The error axis: the same for all panels of a dtype."""
    eps = float(np.finfo(dtype).eps)
    errors = [e for row in rows for e in row.errors.values()]
    finite = [e for e in errors if math.isfinite(e) and e > 0]
    low = math.floor(math.log10(min([eps, *finite])) - 0.3)
    high = math.ceil(math.log10(max([eps, *finite])) + 0.1)
    bottom = low - 0.1 * (high - low) * any(e == 0 for e in errors)
    top = bottom + (high - bottom) / STRIP
    axes.set_yscale("log")
    axes.set_ylim(10.0**bottom, 10.0**top)
    step = -(-(high - low) // 6)
    ticks: list[float] = list(range(low + (-low) % step, high + 1, step))
    labels = [f"$10^{{{k}}}$" for k in ticks]
    if bottom < low:
        ticks.append(bottom + 0.05 * (high - low))
        labels.append("0")
        axes.axhspan(10.0**bottom, 10.0**low, color="#eef2f7", linewidth=0, zorder=0)
    ticks.append(high + (top - high) / 2)
    labels.append("NaN, ∞")
    axes.axhspan(10.0**high, 10.0**top, color="#fbeeec", linewidth=0, zorder=0)
    axes.set_yticks([10.0**k for k in ticks], labels)
    axes.minorticks_off()
    axes.tick_params(colors=GREY, labelsize=8, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c5cad3")
    axes.grid(axis="y", color="#e8eaee", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.axhline(eps, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def curves(axes: Any, rows: Sequence[Row]) -> None:
    """Errors against the offset or N."""
    by_offset = rows[0].point.sweep == "offset"
    x = [row.point.offset if by_offset else row.point.n for row in rows]
    axes.set_xscale("log")
    axes.set_xlim((0.5, 2e8) if by_offset else (8, 2e6))
    axes.minorticks_off()
    for name in methods(rows):
        line(axes, name, x, rows, joined=True)
    if by_offset:
        coarse(axes, rows[0].point.dtype)


def layouts(axes: Any, rows: Sequence[Row]) -> None:
    """Errors of each form in each memory layout, the methods side by side."""
    names, places, at = methods(rows), [], 0.0
    for i, row in enumerate(rows):
        if i and row.point.form is not rows[i - 1].point.form:
            axes.axvline(at, color="#dfe2e8", linewidth=0.9, zorder=0)
            at += 0.5
        places.append(at + 0.5)
        at += 1.0
    for i, name in enumerate(names):
        shift = (i - (len(names) - 1) / 2) * 0.16
        line(axes, name, [place + shift for place in places], rows, joined=False)
    axes.set_xlim(-0.25, at + 0.25)
    axes.set_xticks(places, [row.point.memory for row in rows], rotation=35, ha="right",
                    rotation_mode="anchor", fontsize=7.5)
    per = len(memories(rows[0].point.form))
    for i in range(0, len(rows), per):
        axes.text(sum(places[i : i + per]) / per, 1.01, rows[i].point.form.label, color=GREY,
                  transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8.5)


def style(name: str) -> dict[str, Any]:
    """How the line of a method looks, in the panels and in the legend."""
    return {"color": COLORS[name], "marker": MARKERS[name], "markeredgecolor": "white",
            "linestyle": (0, (3, 1.5)) if name == "PyTorch" else "-",
            "linewidth": 2.2 if name == "ours" else 1.4}


def line(axes: Any, name: str, places: Sequence[float], rows: Sequence[Row], *, joined: bool
         ) -> None:
    """One method: a line where it is finite, a marker at the edge where it is NaN, ∞ or 0."""
    x, errors = np.array([(place, row.errors[name]) for place, row in zip(places, rows, strict=True)
                          if name in row.errors]).T
    look = {**style(name), "markersize": 5 if name == "ours" else 4.5, "markeredgewidth": 0.5,
            "zorder": ABOVE.get(name, 3)}
    marks = {**look, "linestyle": ""}
    plain = np.isfinite(errors) & (errors > 0)
    axes.plot(x, np.where(plain, errors, np.nan), label=name, **(look if joined else marks))
    bottom, top = np.log10(axes.get_ylim())
    number = METHODS.index(name)  # not one upon the other
    above = STRIP + (1 - STRIP) * (1 - (number + 1) / (len(METHODS) + 1))
    for there, height in ((~np.isfinite(errors), above), (errors == 0, 0.012 + 0.013 * number)):
        edge = np.full(there.sum(), 10 ** (bottom + (top - bottom) * height))
        axes.plot(x[there], edge, **marks)


def coarse(axes: Any, dtype: str) -> None:
    """Grey, where the data are coarser than their spread, or beyond the dtype."""
    info = np.finfo(dtype)
    begin, end = 1 / float(info.eps), min(float(info.max), 2e8)
    if begin < 2e8:
        axes.axvspan(begin, end, color=COARSE, linewidth=0, zorder=0)
    if end < 2e8:
        axes.axvspan(end, 2e8, color="#d6dae2", linewidth=0, zorder=0)
        axes.text(math.sqrt(end * 2e8), 0.45, f"beyond\n{dtype}", fontsize=8, color=GREY,
                  ha="center", transform=axes.get_xaxis_transform())


# -- words -----------------------------------------------------------------------------------------


def heading(axes: Any, sweep: str, dtype: str, rows: Sequence[Row]) -> None:
    """The worst error of ours, where the data can tell their spread; what does not vary."""
    point, reach = rows[0].point, 1 / float(np.finfo(dtype).eps)
    worst = max((row.errors["ours"] for row in rows if row.point.offset < reach),
                key=lambda e: (math.isnan(e), e))
    n = f"{point.n:,}".replace(",", " ")
    offset = f"{OFFSETS[dtype]:g}".replace("e+0", "e")
    what = {"offset": f"N = {n}, form {point.form.label}",
            "N": f"offset {offset} spreads, form {point.form.label}",
            "layout": f"offset {offset} spreads, N = {n}"}[sweep]
    along = {"offset": "offset of the data, in spreads", "N": "values normalized together, N"}
    axes.set_xlabel(along.get(sweep, ""), color=GREY, fontsize=9)
    pad = 22 if sweep == "layout" else 8
    axes.set_title(f"{dtype}: ours within {worst:.1e}", loc="left", fontsize=10.5, pad=pad + 12,
                   fontweight="bold", color=INK)
    axes.annotate(what, (0, 1), (0, pad), xycoords="axes fraction", textcoords="offset points",
                  fontsize=8.5, color=GREY, va="bottom")


def legend(figure: Any, layer: str, rows: Sequence[Row], sizes: Sizes) -> None:
    """The methods, and how it was measured."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = CENTRED if FAMILIES[LAYERS[layer]].centred else NOT_CENTRED
    handles = [*(Line2D([], [], label=words.get(n, n), **style(n)) for n in methods(rows)),
               Line2D([], [], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)),
                      label="machine epsilon"),
               Patch(color=COARSE, label="data rounded coarser than their spread")]
    loop = f"{sizes.loop:,}".replace(",", " ")
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False,
        fontsize=9, title_fontsize=8.5, labelcolor=INK,
        title="Largest |y − exact| over four sets of N normal values of spread 1. Exact: float64 "
              "on the same data; for float64, long double.\nThe textbooks' ways compute in the "
              f"dtype itself; the one that loops over the values goes up to N = {loop}. Headings "
              "leave out the grey.").get_title().set_color(GREY)
