"""examples/train_mlp.py as a newcomer uses it: what it reaches, and what it writes."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import strict
import train_mlp
from example_runs import (  # noqa: F401
    SMALL,
    empty_folder,
    metrics,
    no_pictures,
    refused,
    without_timing,
)
from options import DATA, NORMS, Options

import tinygrad_norm as tn

pytestmark = pytest.mark.usefixtures("empty_folder")

# -- what it reaches -------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("seed", range(5))
def test_the_defaults_learn_the_digits(seed: int) -> None:
    pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    assert train_mlp.main(["--seed", str(seed), "--quiet"]) == 0
    last = metrics("runs/digits-batch")[-1]
    assert last["test_accuracy"] >= 0.975
    assert last["train_accuracy"] > 0.995


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("data", ["moons", "spirals"])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_learns(norm: str, data: str) -> None:
    assert train_mlp.main(["--norm", norm, "--data", data, "--hidden", "32,32", "--epochs", "20",
                           "--quiet"]) == 0
    last = metrics(f"runs/{data}-{norm}")[-1]
    assert last["test_accuracy"] > 0.96
    assert last["epoch"] == 20


def test_the_options_do_what_they_say() -> None:
    options = Options(data="moons", hidden=(8, 4), standardize=False, nesterov=True, momentum=0.5,
                      weight_decay=0.25, lr=0.125, batch_size=100, epochs=2)
    training = train_mlp.Training(options)
    assert training.widths == (2, 8, 4, 2)
    assert training.scale is None
    assert abs(float(training.train_set.tensors[0].mean())) > 0.1
    group = training.optimizer.param_groups[0]
    assert [group[k] for k in ("lr", "momentum", "nesterov", "weight_decay")] == [
        0.125, 0.5, True, 0.25]
    assert len(training.loader) == 8
    standardized = train_mlp.Training(Options(data="moons")).train_set.tensors[0]
    np.testing.assert_allclose(standardized.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(standardized.std(0, correction=0), 1, atol=1e-6)


def test_instance_norm_sees_groups_of_features_as_channels() -> None:
    model = train_mlp.mlp((5, 12, 3), "instance", 4)
    grouped = train_mlp.mlp((5, 12, 3), "group", 4)
    shared = {k: v for k, v in model.state_dict().items() if "norm" not in k}
    grouped.load_state_dict(shared, strict=False)
    x = tn.randn(7, 5)
    np.testing.assert_allclose(model(x).detach(), grouped(x).detach(), rtol=1e-5, atol=1e-6)
    assert model.norm1.instance.weight.shape == (4,)
    assert grouped.norm1.weight.shape == (12,)


def test_a_last_batch_of_one_sample_is_left_out() -> None:
    training = train_mlp.Training(Options(data="moons", batch_size=17, hidden=(4,)))
    assert len(training.train_set) == 800  # 47 · 17 + 1
    assert sum(1 for _ in training.steps()) == 47
    assert training.samples == 799


def test_training_stays_on_its_device(device: str) -> None:
    """Also on the stand-in for a GPU: nothing crosses during the steps."""
    training = train_mlp.Training(Options(data="moons", hidden=(8,), device=device))
    steps = training.steps()
    next(steps)
    strict.traffic.clear()
    assert sum(1 for _ in steps) == 12
    assert not strict.traffic
    assert training.end_epoch()["test_accuracy"] > 0.5
    assert {p.device.type for p in training.model.parameters()} == {device}
    state = training.state_dict()
    train_mlp.Training(training.options).load_state_dict(state)


# -- what it writes --------------------------------------------------------------------------------


def test_files_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="it draws the curves")
    pytest.importorskip("pygraphviz", reason="it draws the graph")
    assert train_mlp.main(SMALL[:-1]) == 0
    out = capsys.readouterr().out
    assert "moons: 800 samples to train, 200 to test\n" in out
    assert "MLP 2-16-2, norm: batch, 114 parameters, on cpu\n" in out
    assert re.findall(
        r"^epoch (\d)/3  loss \d\.\d{4}  train +\d+\.\d\d%  test +\d+\.\d\d%  lr 0\.\d{4} "
        r"+\d+ samples/s$", out, re.MULTILINE) == ["1", "2", "3"]
    last = metrics("runs/moons-batch")[-1]
    assert f"test accuracy {last['test_accuracy']:.4f} (" in out
    for name in ("metrics.jsonl", "curves.png", "graph.svg", "checkpoint.safetensors"):
        assert f" runs/moons-batch/{name}\n" in out
        assert Path("runs/moons-batch", name).stat().st_size > 0
    assert sorted(p.name for p in Path("runs/moons-batch").iterdir()) == [
        "checkpoint.safetensors", "curves.png", "graph.svg", "metrics.jsonl"]
    assert list(last) == ["epoch", "train_loss", "test_loss", "train_accuracy", "test_accuracy",
                          "learning_rate", "samples_per_second", "seconds"]
    assert Path("runs/moons-batch/curves.png").read_bytes().startswith(b"\x89PNG\r\n")
    texts = {e.text for e in ET.parse("runs/moons-batch/graph.svg").iter() if e.tag[-4:] == "text"}
    assert {"linear1.weight", "linear1.bias", "norm1.weight", "norm1.running_var", "linear2.bias",
            "normalize", "cross_entropy", "x"} <= texts


@pytest.mark.usefixtures("no_pictures")
def test_quiet_prints_the_result_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_mlp.main(SMALL) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == [
        "test", "metrics", "curves", "graph", "checkpoint"]
    assert captured.err == ""


@pytest.mark.usefixtures("no_pictures")
def test_no_run_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        assert train_mlp.main(SMALL) == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "moons-batch", "moons-batch-2", "moons-batch-3"]
    refused(["--out", "runs/moons-batch"], "there is a run in runs/moons-batch already; "
            "--resume runs/moons-batch goes on with it", capsys)


@pytest.mark.usefixtures("no_pictures")
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="it draws the bar")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train_mlp.main(SMALL[:-1]) == 0
    assert "/75 [" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_without_the_extras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tqdm", "matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("tinygrad_norm.viz.picture.tools", lambda form: iter(()))
    assert train_mlp.main(SMALL[:-1]) == 0
    out = capsys.readouterr().out
    assert ("no progress bar: tqdm is not installed; pip install 'tinygrad_norm[examples]'\n"
            in out)
    assert ("  curves      not drawn: matplotlib is not installed; "
            "pip install 'tinygrad_norm[examples]'\n" in out)
    assert "  graph       not drawn: render: nothing here can draw a graph" in out
    assert Path("runs/moons-batch/graph.dot").read_text().startswith("digraph")
    assert len(metrics("runs/moons-batch")) == 3


@pytest.mark.parametrize(("package", "data", "message"), [
    ("sklearn.datasets", "digits", "scikit-learn, which is not installed; pip install"),
    ("safetensors", "moons", "checkpoints need safetensors, which is not installed; pip install"),
])
def test_without_what_is_indispensable(
    package: str, data: str, message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    refused(["--data", data], message, capsys)


@pytest.mark.parametrize("data", DATA[1:])
def test_drawing_changes_nothing(data: str) -> None:
    training = train_mlp.Training(Options(data=data, hidden=(8,)))
    before = without_timing(training.state_dict())
    loss, names = training.one_step()
    assert tn.viz.graph(loss, names).dot
    assert without_timing(training.state_dict()) == before
