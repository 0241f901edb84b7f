"""What the lessons are built of: claims, records, files, the training loop, the command."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kit import (
    Lesson,
    Transformer,
    again,
    bars,
    bowl,
    cnn,
    contents,
    curve,
    evaluate,
    fit,
    he_weights,
    judged,
    main,
    mlp,
    panels,
    scripts,
    titles,
    training,
)

import numpy as np
import pytest
from docs_scripts import script

import tinygrad_norm as tn
from tinygrad_norm.data import TensorDataset

command = script(contents.FOLDER / "__main__.py").main

# -- claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "above", "verdict"), [
    ([1.0, 1.1, 0.9], 0.0, "shown"),
    ([1.0, 1.1, 0.9], 2.0, "contradicted"),
    ([1.0, 1.1, 0.9], 0.95, "not shown"),       # 0.9 lies below
    ([3.0, 0.1, 0.2], 0.0, "not shown"),        # 1.1 standard errors
    ([-3.0, -0.1, -0.2], 0.0, "not shown"),
    ([2.0, 2.0], 0.0, "shown"),                 # no spread
    ([2.0, 2.0], 2.0, "not shown"),
    ([-1.0, -1.0], 0.0, "contradicted"),
    ([5.0], 0.0, "not shown"),                  # one seed shows nothing
    ([1.0] * 9 + [-0.1], 0.0, "shown"),         # nine in ten
    ([1.0] * 8 + [-0.1], 0.0, "not shown"),     # of fewer than ten, each
    ([-1.0] * 17 + [0.1] * 3, 0.0, "not shown"),
])
def test_a_verdict_is_computed(values: list[float], above: float, verdict: str) -> None:
    assert judged("key", "A claim.", values, above=above).verdict == verdict


def test_mean_and_standard_error() -> None:
    claim = judged("key", "A claim.", [1, 2, 3, 6], above=1, unit=" steps")
    assert claim.mean == 3
    assert claim.error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert claim.errors == pytest.approx(2 / claim.error)
    assert claim.measured == "3 steps ± 1.1, 4 seeds, 1.9 standard errors above 1 steps"


def test_a_reason_stands_only_where_it_is_needed() -> None:
    shown = judged("key", "A claim.", [1, 1.1], reason="too small")
    missed = judged("key", "A claim.", [1, -1.1], reason="too small")
    assert "too small" not in str(shown)
    assert str(missed).startswith("not shown")
    assert str(missed).endswith("\n    too small")


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_a_run_without_a_result_is_not_left_out(values: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="claim 'key': expected a number for each seed"):
        judged("key", "A claim.", values)


# -- records and files -----------------------------------------------------------------------------


def small(lesson: Lesson) -> None:
    """A lesson of three numbers a seed."""
    for seed in lesson.progress(lesson.seeds(quick=2, default=3, full=4)):
        for norm in ("none", "batch"):
            lesson.log(seed=seed, norm=norm, loss=np.float32(seed + (norm == "none")),
                       curve=np.array([1.0, np.nan]), steps=np.int64(3))
    figure, (axes, _) = panels(2)
    curve(axes, [1, 2], [[1, 2], [2, np.nan]], "batch", marked=True)
    titles(axes, "A title", "x", "y", legend=True)
    lesson.figure(figure)
    gain = lesson.values("loss", norm="none") - lesson.values("loss", norm="batch")
    lesson.claim("gain", "One is larger.", gain)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_what_a_lesson_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small, []) == 0
    out = Path("runs", Path(__file__).stem)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[0] == {"seed": 0, "norm": "none", "loss": 1.0, "curve": [1.0, None], "steps": 3}
    assert len(lines) == 6
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["verdict"] == "test_lesson: 1 of 1 claims shown"
    assert verdict["claims"][0]["values"] == [1, 1, 1]
    assert verdict["claims"][0]["measured"].startswith("1 ± 0, 3 seeds, ")
    assert verdict["claims"][0]["standard_errors"] is None  # infinite: every seed is alike
    printed = capsys.readouterr().out
    assert printed.startswith("shown         One is larger.")
    assert str(out / "figure.png") in printed


@pytest.mark.usefixtures("here")
def test_the_same_run_gives_the_same_bytes() -> None:
    for name in ("one", "two"):
        assert main(small, ["--quick", "--quiet", "--out", name, "--seed", "5"]) == 0
    for file in ("metrics.jsonl", "verdict.json", "verdict.txt", "figure.png"):
        assert Path("one", file).read_bytes() == Path("two", file).read_bytes()
    assert json.loads(Path("one", "metrics.jsonl").read_text().splitlines()[0])["seed"] == 5


@pytest.mark.parametrize(("effort", "count"), [("quick", 2), ("default", 3), ("full", 4)])
def test_effort_decides_the_seeds(effort: str, count: int) -> None:
    lesson = Lesson("name", effort=effort, seed=7, quiet=True)
    small(lesson)
    assert lesson.values("seed", norm="batch").tolist() == list(range(7, 7 + count))
    assert lesson.choose(quick="quick", default="default", full="full") == effort


def test_values_are_found_or_missed_clearly() -> None:
    lesson = Lesson("name", quiet=True)
    lesson.log(norm="batch", rate=0.1, loss=math.inf, name="a")
    assert np.isnan(lesson.values("loss", norm="batch", rate=0.1)[0])
    assert lesson.values("name").tolist() == ["a"]
    with pytest.raises(LookupError, match=r"name: expected records of loss with \{.norm.: .x.\}"):
        lesson.values("loss", norm="x")


def test_an_unknown_effort_is_refused() -> None:
    with pytest.raises(ValueError, match="expected effort to be one of quick, default, full, got"):
        Lesson("name", effort="much")


def test_folders_of_others_are_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("mine")
    (here / "run").mkdir()
    (here / "run" / "metrics.jsonl").write_text("mine")
    (here / "pictures").mkdir()
    (here / "pictures" / "figure.png").write_text("mine")
    for out, message in (
            ("file", "--out file: file is a file; name a folder"),
            ("file/below", "--out file/below: file is a file; name a folder"),
            ("run", "--out run holds metrics.jsonl, but of no lesson; name another folder"),
            ("pictures", "--out pictures holds figure.png, but of no lesson; name another folder"),
            ("", "argument --out: expected the name of a file or a folder, got ''")):
        with pytest.raises(SystemExit) as stopped:
            main(small, ["--out", out])
        assert stopped.value.code == 2
        assert capsys.readouterr().err == f"test_lesson.py: error: {message}\n"
    assert (here / "run" / "metrics.jsonl").read_text() == "mine"


@pytest.mark.parametrize(("error", "status", "message"), [
    (KeyboardInterrupt(), 130, "stopped; nothing was written\n"),
    (ImportError("no pictures"), 1, "test_lesson.py: error: no pictures\n"),
    (MemoryError(), 1, "test_lesson.py: error: not enough memory\n"),
])
def test_a_lesson_that_is_stopped_leaves_the_last_one(
    error: BaseException, status: int, message: str, here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(lesson: Lesson) -> None:
        lesson.log(loss=1)
        raise error

    assert main(small, ["--quiet"]) == 0
    before = (here / "runs/test_lesson/metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert main(stopped, ["--quiet"]) == status
    assert capsys.readouterr().err == message
    assert (here / "runs/test_lesson/metrics.jsonl").read_bytes() == before


@pytest.mark.usefixtures("here")
def test_a_folder_that_cannot_be_written_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_the_way(lesson: Lesson) -> None:
        small(lesson)
        Path("out").write_text("mine")

    assert main(in_the_way, ["--quiet", "--out", "out/below"]) == 1
    assert "test_lesson.py: error: --out out/below: out is a file" in capsys.readouterr().err
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(SystemExit) as stopped:
        main(small, ["--quiet", "--out", "other"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == ("test_lesson.py: error: --out other: . may not be written "
                                       "to; name another folder\n")


@pytest.mark.usefixtures("here")
def test_without_matplotlib_no_time_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(lesson: Lesson) -> None:
        raise AssertionError("it ran")

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(never, []) == 1
    assert capsys.readouterr().err == ("test_lesson.py: error: lesson: drawing needs matplotlib; "
                                       "pip install 'tinygrad_norm[viz]'\n")


# -- pictures --------------------------------------------------------------------------------------


def test_a_curve_is_the_median_and_a_band() -> None:
    _, (axes,) = panels(1)
    curve(axes, [1, 2, 3], [[1, 2, np.nan], [3, 6, np.nan], [2, np.nan, np.nan]], "runs")
    line, = axes.get_lines()
    assert line.get_xdata().tolist() == [1, 2]
    assert line.get_ydata().tolist() == [2, 4]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 1
    assert band[:, 1].max() == 6


def test_a_bowl_and_a_path_in_it() -> None:
    _, (axes,) = panels(1)
    path = np.array([[1.0, 0.0], [0.0, 0.5], [0.1, 0.0]])
    bowl(axes, np.diag([2.0, 8.0]), np.array([0.1, 0.2]), path, 7)
    walked, star = axes.get_lines()
    assert walked.get_xydata().tolist() == path.tolist()
    assert star.get_xydata().tolist() == [[0.1, 0.2]]
    lines, = axes.collections
    assert lines.levels[4] == pytest.approx(0.9**2 * 2 + 0.2**2 * 8)  # through the first point


def test_bars_are_means_with_every_seed() -> None:
    _, (axes,) = panels(1)
    bars(axes, {"a": [1, 3], "b": [5]})
    assert [bar.get_height() for bar in axes.patches] == [2, 5]
    assert [len(line.get_ydata()) for line in axes.get_lines()] == [2, 1]


# -- training --------------------------------------------------------------------------------------


def made(n: int = 64) -> TensorDataset:
    """Two clouds, apart."""
    random = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = random.normal(0, 1, (n, 4)) + 6 * y[:, None]
    return TensorDataset(tn.tensor(x.astype("f4")), tn.tensor(y))


@pytest.mark.parametrize("norm", ["none", "batch", "batch_renorm", "layer", "group", "rms",
                                  "instance", tn.nn.BatchNorm1d])
def test_fit_learns(norm: Any) -> None:
    tn.manual_seed(0)
    model, data, seen = mlp((4, 32, 2), norm, groups=4), made(), []
    losses = fit(model, data, 60, lr=0.1, batch_size=16,
                 each=lambda step, loss: seen.append((step, loss)))
    assert losses.shape == (60,)
    assert seen == list(enumerate(losses))
    assert model.training
    loss, accuracy = evaluate(model, data)
    assert model.training
    assert accuracy == 1
    assert loss < losses[0]


@pytest.fixture
def made_compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps that were compiled."""
    steps: list[Any] = []
    monkeypatch.setattr(again, "compiled", lambda step: (steps.append(tn.compile(step)),
                                                         steps[-1])[1])
    monkeypatch.setattr(again, "_kept", {})
    monkeypatch.setattr(training.machine, "available", lambda: True)
    return steps


def test_a_long_training_is_compiled_and_ends_alike(
    made_compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for worth in (training.WORTH, math.inf):
        monkeypatch.setattr(training, "WORTH", worth)
        monkeypatch.setattr(again, "_kept", {})
        tn.manual_seed(0)
        model = mlp((4, 8, 2), "batch")
        ends.append((fit(model, made(), 100, batch_size=16), *model.state_dict().values()))
    assert "ran 99 times" in repr(*made_compiled)  # the first makes the momentum
    for compiled, plain in zip(*ends, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("norm", "make"), [
    ("batch", lambda parameters, lr: tn.optim.SGD(parameters, lr=lr, momentum=0.9)),
    ("rms", lambda parameters, lr: tn.optim.Adam(parameters, lr=lr / 10))])
def test_networks_of_a_kind_share_a_step(
    made_compiled: list[Any], norm: str, make: Any
) -> None:
    def trained(seed: int) -> list[Any]:
        tn.manual_seed(seed)
        model = mlp((4, 8, 2), norm)
        optimizer = make(model.parameters(), 0.1 + 0.01 * seed)
        schedule = tn.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        losses = fit(model, made(), 12, batch_size=16, optimizer=optimizer,
                     each=lambda *_: schedule.step())
        return [model, losses]

    found = [trained(seed) for seed in range(4)]
    assert "ran 35 times" in repr(*made_compiled)  # of the second, the third and the fourth
    assert "1 kind of calls" in repr(*made_compiled)
    trained_by_loops = [[losses, *model.state_dict().values()] for model, losses in found]
    for seed, ends in enumerate(trained_by_loops):
        again._kept.clear()  # eager: the first of its kind
        model, losses = trained(seed)
        for one, plain in zip(ends, [losses, *model.state_dict().values()], strict=True):
            np.testing.assert_allclose(one, plain, rtol=1e-4, atol=1e-6)


def test_what_a_recorder_sees_is_not_compiled(made_compiled: list[Any]) -> None:
    model = mlp((4, 8, 2))
    with tn.viz.Recorder(model) as recorder:
        fit(model, made(), 100, each=lambda *_: recorder.step())
    assert recorder.history.steps == 100
    assert training._is_looped(cnn((1, 4), 2))
    assert not made_compiled


def test_what_cannot_be_recorded_is_trained_in_silence(made_compiled: list[Any]) -> None:
    class Asking(tn.nn.Linear):
        def forward(self, x: tn.Tensor) -> tn.Tensor:
            y = super().forward(x)
            return y if y.mean().item() < 1e6 else y * 0

    assert np.isfinite(fit(Asking(4, 2), made(), 100)).all()
    assert "not compiled, ran 99 times as it is" in repr(*made_compiled)


@pytest.mark.parametrize("steps", [50, 100])
def test_a_loss_that_is_no_number_moves_nothing(steps: int) -> None:
    tn.manual_seed(0)
    model = mlp((4, 16, 16, 2))
    losses = fit(model, made(), steps, lr=1e6)
    assert np.isnan(losses[-1])
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_run_ends_where_it_is_told_to() -> None:
    tn.manual_seed(0)
    losses = fit(mlp((4, 8, 2)), made(), 9, each=lambda step, loss: step == 3)
    assert np.isfinite(losses).tolist() == [True] * 4 + [False] * 5


def test_a_run_that_diverges_ends_in_nan() -> None:
    tn.manual_seed(0)
    losses = fit(mlp((4, 16, 16, 2), "none"), made(), 50, lr=1e6)
    assert np.isfinite(losses[0])
    first = int(np.isnan(losses).argmax())
    assert first > 0
    assert np.isnan(losses[first:]).all()


def test_the_last_batch_is_not_a_short_one() -> None:
    sizes = []

    class Watched(tn.nn.Linear):
        def forward(self, x: tn.Tensor) -> tn.Tensor:
            sizes.append(len(x))
            return super().forward(x)

    fit(Watched(4, 2), made(50), 7, batch_size=16)
    assert sizes == [16] * 7
    sizes.clear()
    fit(Watched(4, 2), made(10), 2, batch_size=16)
    assert sizes == [10] * 2


@pytest.mark.parametrize("norm", ["none", "batch", "batch_renorm", "layer", "group", "instance"])
def test_cnn_has_the_shape_it_says(norm: str) -> None:
    model = cnn((1, 8, 16), 10, norm)
    assert model(tn.randn(3, 1, 8, 8)).shape == (3, 10)
    assert [name for name, _ in model.named_children()][-3:] == ["mean", "flatten", "linear"]


@pytest.mark.parametrize("make", [lambda: mlp((200, 300, 10), "batch"),
                                  lambda: cnn((20, 40), 10, "layer")])
def test_he_weights(make: Callable[[], tn.nn.Module]) -> None:
    tn.manual_seed(0)
    model = make()
    assert he_weights(model) is model
    for name, parameter in model.named_parameters():
        values, shape = parameter.detach().numpy(), parameter.shape
        if len(shape) > 1:
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            assert abs(values.std() / deviation - 1) < 4 / np.sqrt(2 * values.size), name
        else:
            assert (values == (name.startswith("norm") and name.endswith("weight"))).all(), name


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch"])
def test_transformer_attends_to_no_padding(norm: str, norm_first: bool) -> None:
    tn.manual_seed(0)
    model = Transformer(6, 5, 4, norm, norm_first=norm_first, padding=5, width=8, heads=2, depth=2)
    assert sum(type(layer).__name__ == "PositionsBatchNorm" for layer in model.modules()) == (
        (4 + norm_first) * (norm == "batch"))
    tokens = tn.tensor([[1, 2, 5, 5], [0, 3, 4, 1]])
    with tn.no_grad():
        assert model(tokens).shape == (2, 4, 5)
        before = model.eval()(tokens).numpy()
        model.token.weight[5].fill_(9.0)  # what padding is embedded as
        after = model(tokens).numpy()
    np.testing.assert_array_equal(before[0, :2], after[0, :2])
    np.testing.assert_array_equal(before[1], after[1])
    assert (before[0, 2:] != after[0, 2:]).any() or norm == "none"


def test_a_transformer_of_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="Transformer: expected norm to be none, layer, rms, "
                                         "batch; got 'bach'"):
        Transformer(6, 5, 4, "bach")


@pytest.mark.parametrize(("make", "who"), [(mlp, "mlp"), (cnn, "cnn")])
def test_an_unknown_norm_is_refused(make: Any, who: str) -> None:
    with pytest.raises(ValueError, match=f"{who}: expected norm to be none, batch, .*'bach'"):
        make((2, 3, 2), norm="bach")


# -- the command -----------------------------------------------------------------------------------


def test_the_list_is_in_the_order_one_learns(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[s.number, s.name] for s in scripts()]
    numbers = [script.number for script in scripts()]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(numbers)
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_lessons_run_by_name_or_number(capfd: pytest.CaptureFixture[str],
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(tn.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    assert command(["4a", "--quick"]) == 0
    assert "\n4a. Learning rates" in capfd.readouterr().out
    assert Path("runs/learning_rate/verdict.json").exists()


@pytest.mark.parametrize(("status", "expected"), [([0, 1], 1), ([-9, 0], 137), ([0, 0], 0)])
def test_the_worst_status_counts(
    status: list[int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = (subprocess.CompletedProcess([], one) for one in status)
    monkeypatch.setattr(subprocess, "run", lambda *_: next(done))
    assert command(["4a", "4b"]) == expected


def test_a_chapter_is_all_its_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(subprocess, "run", lambda command: (
        ran.append(Path(command[1]).stem), subprocess.CompletedProcess([], 0))[1])
    assert command(["2", "undo", "3"]) == 0
    assert ran == ["activations", "variance", "undo", "running_statistics"]


def test_ctrl_c_stops_all_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    assert command(["--quick"]) == 130


@pytest.mark.parametrize("arguments", [["nothing"], ["4a", "nothing", "--quick"]])
def test_an_unknown_lesson_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(arguments)
    assert capsys.readouterr().err == ("python examples/lessons: error: expected names of lessons, "
                                       "got 'nothing'; --list prints them\n")


def test_a_script_without_a_number_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contents, "FOLDER", here)
    (here / "odd.py").write_text('"""No number."""\n')
    with pytest.raises(SystemExit, match="2"):
        command(["--list"])
    assert "expected a docstring that begins as '4a. Learning rates: ...'" in (
        capsys.readouterr().err)
