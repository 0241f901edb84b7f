"""curves, activations, gradients: what is drawn is what was recorded, named, and in a file."""

from __future__ import annotations

import io
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.viz.recording.activations import OVERLAP, Panel, limits, outline
from tinygrad_norm.viz.recording.curves import smoothed
from tinygrad_norm.viz.recording.figure import some
from tinygrad_norm.viz.recording.gradients import merged
from tinygrad_norm.viz.recording.history import Magnitude, Metric

pytest.importorskip("matplotlib", reason="it draws")

DRAWINGS: dict[str, Any] = {
    "curves": viz.curves,
    "curves, smooth, log": lambda run, **o: viz.curves(run, window=3, log=True, **o),
    "ridge": viz.activations,
    "box": lambda run, **o: viz.activations(run, kind="box", **o),
    "percentiles": lambda run, **o: viz.activations(run, kind="percentiles", **o),
    "a unit": lambda run, **o: viz.activations(run, part="units", kind="percentiles", **o),
    "gradients": viz.gradients,
    "gradients of parameters": lambda run, **o: viz.gradients(run, of="parameters", **o),
    "largest gradients": lambda run, **o: viz.gradients(run, measure="largest", **o),
}


def run(norm: bool = True, steps: int = 6, **options: Any) -> viz.History:
    tn.manual_seed(0)
    layers: dict[str, nn.Module] = {"linear1": nn.Linear(5, 8)}
    if norm:
        layers["norm1"] = nn.BatchNorm1d(8)
    model = nn.Sequential({**layers, "act1": nn.ReLU(), "linear2": nn.Linear(8, 3)})
    with viz.Recorder(model, units={"linear1": 2}, **options) as recorder:
        for _ in range(steps):
            x = tn.randn(32, 5)
            loss = (model(x) ** 2).mean()
            model.zero_grad()
            loss.backward()
            recorder.step(loss=loss, norm=x.abs().max())
    return recorder.history


def pixels(figure: Any) -> np.ndarray:
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=50)
    file.seek(0)
    return imread(file)


def panels(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize(("name", "several"), [
    *((name, False) for name in DRAWINGS), ("curves", True), ("a unit", True), ("gradients", True),
])  # fmt: skip
def test_figures_are_drawn_and_labelled(name: str, several: bool, tmp_path: Path) -> None:
    from matplotlib.image import imread

    given: Any = {"with": run(), "without": run(norm=False)} if several else run()
    figure = DRAWINGS[name](given, path=tmp_path / "figure.png")
    image = imread(tmp_path / "figure.png")
    assert image.std() > 0.02
    for axes in panels(figure):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        box = axes.get_window_extent().transformed(figure.transFigure.inverted()).extents
        height, width = image.shape[:2]
        left, bottom, right, top = box * (width, height, width, height)
        inner = image[int(height - top) : int(height - bottom), int(left) : int(right), :3]
        assert inner.min() < 0.6, "a panel is blank"
    assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]


def test_curves_are_the_metrics() -> None:
    one, other = run(), run(norm=False, steps=9)
    figure = viz.curves({"with": one, "without": other}, "loss")
    (axes,) = panels(figure)
    for line, history in zip(axes.lines, (one, other), strict=True):
        assert_array_equal(line.get_ydata(), history.column("metrics", "loss", "value"))
        assert_array_equal(line.get_xdata(), history.column("metrics", "loss", "step"))
    assert axes.get_ylabel() == "loss"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["with", "without"]
    assert {line.get_linestyle() for line in axes.lines} == {"-", "--"}, "in grey too"
    assert len(panels(viz.curves(one))) == 2
    assert not viz.curves(one).legends


def test_the_mean_of_a_window_ends_with_its_value() -> None:
    assert_allclose(smoothed(np.array([4.0, 2.0, 6.0, 8.0]), 3), [4, 3, 4, 16 / 3])
    assert_array_equal(smoothed(np.array([1.0, math.nan, 3.0]), 1), [1, math.nan, 3])


def test_what_is_not_finite_is_crossed() -> None:
    history = run()
    history.metrics["loss"][2:4] = [Metric(2, math.nan), Metric(3, math.inf)]
    rows = history.outputs["linear1"]
    rows[3] = rows[3]._replace(nonfinite=7, quantiles=(math.nan,) * 7, histogram=(0,) * 32)
    history.gradients["linear1"][5] = Magnitude(5, 0, 4, math.nan, math.nan)
    for figure in (viz.curves(history, "loss"), viz.gradients(history),
                   viz.gradients({"a": history, "b": run()})):
        crosses = [line for line in panels(figure)[0].lines if line.get_marker() == "x"]
        assert crosses
        assert "NaN or infinite" in [t.get_text() for t in figure.legends[0].get_texts()]
    assert crosses[0].get_xdata() == [0], "of the first layer"
    (axes,) = panels(viz.activations(history, "linear1"))
    assert [text.get_text() for text in axes.texts][::-1] == ["", "", "", "7\nNaN, ∞", "", ""]
    for kind in ("box", "percentiles"):
        (axes,) = panels(viz.activations(history, "linear1", kind=kind))
        assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"] == [
            {"box": 4, "percentiles": 3}[kind]]


# -- distributions ---------------------------------------------------------------------------------


def test_a_ridge_is_a_density_without_the_zeros() -> None:
    row = run().outputs["act1"][0]
    assert 0 < row.zeros < row.size
    x, y = outline(row)
    width = (row.largest - row.least) / 32
    assert_allclose(y.sum() * width, 1 - row.zeros / row.size)
    assert (y >= 0).all()
    assert x[0] == row.least
    assert x[-1] == pytest.approx(row.largest)
    constant = row._replace(least=2.0, largest=2.0, zeros=0)
    assert outline(constant)[0].tolist() == [2, 2, 2]
    assert not outline(row._replace(histogram=(0,) * 32))[0].size


def test_ridges_of_some_steps() -> None:
    history = run(steps=20)
    figure = viz.activations(history, steps=4)
    titles = [axes.get_title(loc="left") for axes in panels(figure)]
    assert titles == ["linear1", "norm1", "act1", "linear2"], "those without layers within"
    axes = panels(figure)[2]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "6", "13", "19"]
    zeros = [text.get_text() for text in axes.texts][::-1]
    assert zeros == [f"{history.outputs['act1'][i].zeros / 256:.0%} zeros" for i in (0, 6, 13, 19)]
    figure = viz.activations(history, "act1", steps=[2, 3])
    assert [label.get_text() for label in panels(figure)[0].get_yticklabels()] == ["2", "3"]


def test_every_ridge_can_be_read() -> None:
    """A step whose values lie close together leaves the others their height."""
    history = run()
    rows = history.outputs["linear1"]
    rows[0] = rows[0]._replace(least=-0.01, largest=0.01, zeros=0)
    (axes,) = panels(viz.activations(history, "linear1"))
    heights = [np.ptp(one.get_paths()[0].vertices[:, 1]) for one in axes.collections]
    assert len(heights) == len(rows)
    assert_allclose(heights, OVERLAP)


def test_boxes_and_percentiles_are_the_quantiles() -> None:
    history = run()
    lines = history.column("outputs", "norm1", "quantiles")
    axes = panels(viz.activations(history, "norm1", kind="percentiles"))[0]
    drawn = np.array([line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 6])
    assert_array_equal(drawn, lines.T)
    axes = panels(viz.activations(history, "norm1", kind="box"))[0]
    boxes = np.array([patch.get_path().vertices[:, 1] for patch in axes.patches])
    assert_array_equal(boxes.min(1), lines[:, 2])
    assert_array_equal(boxes.max(1), lines[:, 4])


def test_runs_stand_side_by_side_on_one_scale() -> None:
    figure = viz.activations({"with": run(), "without": run(norm=False)}, ["act1", "linear2"])
    shown = panels(figure)
    assert [axes.get_title(loc="left") for axes in shown] == [
        "with: act1", "without: act1", "with: linear2", "without: linear2"]
    assert shown[0].get_xlim() == shown[1].get_xlim() != shown[2].get_xlim()
    inputs = viz.activations(run(inputs=True), "norm1", part="inputs")
    assert panels(inputs)[0].get_title(loc="left") == "norm1"


def test_the_range_is_that_of_the_quantiles() -> None:
    row = run().outputs["linear1"][0]._replace(
        least=-1000.0, largest=3.0, quantiles=(-1.0, 0.0, 2.0))
    low, high = limits([row], 0.3)
    assert (low, high) == pytest.approx((-1 - 0.9 - 0.12, 2 + 0.9 + 0.12))
    assert limits([row._replace(quantiles=(1.0, 1.0))], 0) == pytest.approx((0.46, 1.54))
    assert Panel("", "a", "", [row], ()).rows == [row]


# -- gradients -------------------------------------------------------------------------------------


def test_gradient_flow_by_step_and_by_run() -> None:
    history = run()
    axes = panels(viz.gradients(history, steps=[1, 5]))[0]
    names = ["linear1", "norm1", "act1", "linear2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    for line, step in zip(axes.lines, (1, 5), strict=True):
        assert line.get_label() == str(step)
        assert_array_equal(line.get_ydata(), [history.gradients[n][step].norm for n in names])
    axes = panels(viz.gradients({"with": history, "without": run(norm=False)}, measure="rms"))[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names, "merged in order"
    middles = [np.median(history.column("gradients", n, "rms")) for n in names]
    assert_array_equal(axes.lines[0].get_ydata(), middles)
    assert axes.lines[1].get_xdata().tolist() == [0, 2, 3], "the run without it goes on"


def test_gradients_that_are_0_stand_on_a_strip_of_their_own() -> None:
    history = run()
    rows = history.gradients["linear1"]
    rows[:] = [row._replace(norm=0.0, largest=0.0) for row in rows]
    tiny = history.gradients["norm1"]
    tiny[0] = tiny[0]._replace(norm=1e-30)
    axes = panels(viz.gradients(history))[0]
    assert axes.lines[0].get_ydata()[1] == 1e-30
    assert axes.get_yticklabels()[0].get_text() == "0"
    positive = [y for line in axes.lines for y in line.get_ydata()[1:]]
    assert axes.lines[0].get_ydata()[0] < min(positive)
    rows = [row for label in history.gradients.values() for row in label]
    for label, found in history.gradients.items():
        history.gradients[label] = [row._replace(norm=0.0) for row in found]
    assert pixels(viz.gradients(history)).std() > 0.02


def test_order_and_choice() -> None:
    assert merged(["a", "c", "d"], ["a", "b", "c", "e"]) == ["a", "b", "c", "e", "d"]
    assert merged([], ["b", "a"]) == ["b", "a"]
    assert some(range(100), 3) == [0, 50, 99] or some(range(100), 3) == [0, 49, 99]
    assert some([0, 1], 8) == [0, 1]
    assert some([0, 3, 3, 6], [3, 5]) == [1, 2]


# -- files, matplotlib, errors ---------------------------------------------------------------------


def test_names_are_text_and_no_formulas(tmp_path: Path) -> None:
    history = run(steps=2)
    history.metrics["$\\bad{$"] = history.metrics.pop("loss")
    history.layers["$\\x"] = history.layers["act1"]
    history.outputs["$\\x"] = history.outputs["act1"]
    history.gradients["$\\x"] = history.gradients["act1"]
    long = "encoder." * 12 + "norm"
    history.layers[long], history.outputs[long] = history.layers["act1"], history.outputs["act1"]
    for draw, names in ((viz.curves, None), (viz.activations, "$*"), (viz.gradients, None)):
        assert pixels(draw({"$\\run{": history, "b": run(steps=2)}, names)).std() > 0.02
    titles = [axes.get_title(loc="left") for axes in panels(viz.activations(history))]
    assert max(map(len, titles)) <= 41


@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_other_endings(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"figure.{ending}"
    viz.curves(run(steps=2), path=str(path))
    assert path.read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_no_file_is_overwritten_halfway(tmp_path: Path) -> None:
    path = tmp_path / "figure.xyz"
    path.write_text("before")
    with pytest.raises(ValueError, match="xyz"):
        viz.curves(run(steps=2), path=path)
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_window_and_no_pyplot() -> None:
    """Where there is no display, and a backend that wants one."""
    code = ("import sys, tinygrad_norm as tn\n"
            "model = tn.nn.Linear(2, 2)\n"
            "with tn.viz.Recorder(model) as r:\n"
            "    model(tn.ones(3, 2)).sum().backward(); r.step(loss=1)\n"
            "assert 'matplotlib' not in sys.modules\n"
            "for draw in (tn.viz.curves, tn.viz.activations, tn.viz.gradients): draw(r)\n"
            "assert 'matplotlib.pyplot' not in sys.modules\n")
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True,
                          text=True, check=False, cwd=Path(tn.__file__).parent.parent,
                          env={"MPLBACKEND": "tkagg", "PATH": ""})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DRAWINGS)
def test_without_matplotlib(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    history = run(steps=2)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"drawing needs matplotlib; pip install "
                                          r"'tinygrad_norm\[viz\]'"):
        DRAWINGS[name](history)


def test_nothing_to_draw() -> None:
    empty = viz.History()
    for draw, message in ((viz.curves, "recorded metrics, got none; call recorder.step"),
                          (viz.activations, "recorded outputs, got none; run the model"),
                          (viz.gradients, "recorded gradients, got none; call backward")):
        with pytest.raises(ValueError, match=message):
            draw(empty)
        with pytest.raises(TypeError, match=r"a Recorder, a History or a dict .* got list"):
            draw([empty])
        with pytest.raises(ValueError, match="expected one run or more, got none"):
            draw({})


@pytest.mark.parametrize(("draw", "options", "message"), [
    (viz.curves, {"metrics": "los"}, "expected some of loss, norm, got 'los'; did you mean"),
    (viz.curves, {"window": 0}, "a window of 1 or more values, got 0"),
    (viz.activations, {"kind": "violin"}, "kind to be one of ridge, box, percentiles"),
    (viz.activations, {"part": "gradients"}, "part of outputs, inputs, units, got"),
    (viz.activations, {"layers": "norm2"}, "activations: expected some of linear1"),
    (viz.activations, {"steps": [99]}, "steps among those recorded, 0 to 5, got none"),
    (viz.gradients, {"of": "inputs"}, "of to be one of outputs, parameters"),
    (viz.gradients, {"measure": "mean"}, "measure of norm, rms, largest, got"),
    (viz.gradients, {"layers": "norm2"}, "gradients: expected some of linear1"),
    (viz.gradients, {"steps": [99]}, "steps among those recorded, 0 to 5, got none"),
])  # fmt: skip
def test_bad_arguments(draw: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(run(), **options)


def test_what_was_not_recorded() -> None:
    with pytest.raises(ValueError, match="a ridge needs histograms, but bins=0 was recorded"):
        viz.activations(run(bins=0))
    few = run(quantiles=(0.1, 0.9))
    with pytest.raises(ValueError, match=r"a box needs the quantiles 0.25, 0.5 and 0.75, but "):
        viz.activations(few, kind="box")
    with pytest.raises(ValueError, match="a ridge needs histograms"):
        viz.activations({"a": run(), "b": run(bins=0)})
    with pytest.raises(ValueError, match="percentiles need quantiles, but none were recorded"):
        viz.activations(run(quantiles=()), kind="percentiles")
    history = run(steps=1)
    for i in range(30):
        history.outputs[f"more{i}"] = history.outputs["act1"]
    with pytest.raises(ValueError, match="24 panels at most, got 34; choose some with layers="):
        viz.activations(history)


def test_an_empty_output_is_drawn() -> None:
    class Cut(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:0]

    model = nn.Sequential(nn.Linear(2, 2), Cut())
    with viz.Recorder(model) as recorder:
        model(tn.ones(3, 2))
        recorder.step()
    for kind in ("ridge", "box", "percentiles"):
        assert viz.activations(recorder.history, kind=kind).axes
