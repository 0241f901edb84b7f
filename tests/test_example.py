"""examples/train_mlp.py as a newcomer uses it: what it reaches, writes, refuses, and resumes."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strict
import train_mlp
from options import DATA, NORMS, Options
from run_folder import RunFolder

import tinygrad_norm as tn

ROOT = Path(__file__).resolve().parent.parent
TIMING = ("seconds", "samples_per_second")
SMALL = ["--data", "moons", "--hidden", "16", "--epochs", "3", "--batch-size", "32", "--quiet"]
"""25 steps an epoch, a few milliseconds."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in an empty folder, from which a process finds the package too."""
    monkeypatch.chdir(tmp_path)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of a small run."""
    monkeypatch.setattr(RunFolder, "draw_curves", lambda *args: "")
    monkeypatch.setattr(RunFolder, "draw_graph", lambda *args: "")


def metrics(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "metrics.jsonl").read_text().splitlines()]


def checkpoint(folder: str) -> Path:
    return Path(folder, "checkpoint.safetensors")


def without_timing(value: Any) -> Any:
    """A state without what the clock decides; arrays as their bytes, so that == is bit for bit."""
    if isinstance(value, dict):
        return {k: without_timing(v) for k, v in value.items() if k not in TIMING}
    if isinstance(value, list | tuple):
        return [without_timing(v) for v in value]
    if isinstance(value, tn.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    return value


def assert_same_run(one: str, other: str) -> None:
    a, b = (without_timing(tn.load(checkpoint(folder))) for folder in (one, other))
    assert a.keys() == b.keys()
    for key in a:
        assert a[key] == b[key], key
    assert without_timing(metrics(one)) == without_timing(metrics(other))
    assert metrics(one) == tn.load(checkpoint(one))["history"]


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


# -- what it refuses -------------------------------------------------------------------------------


def refused(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        train_mlp.main(args)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("train_mlp.py: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(("args", "message"), [
    ("--norm foo", "argument --norm: invalid choice: 'foo' (choose from "),
    ("--data iris", "argument --data: invalid choice: 'iris' (choose from "),
    ("--device tpu", "argument --device: invalid choice: 'tpu' (choose from "),
    ("--lr -1", "argument --lr: expected a number from 0, got '-1'"),
    ("--lr nan", "argument --lr: expected a number from 0, got 'nan'"),
    ("--lr inf", "argument --lr: expected a number from 0, got 'inf'"),
    ("--weight-decay x", "argument --weight-decay: expected a number from 0, got 'x'"),
    ("--momentum 1", "argument --momentum: expected a number from 0 and below 1, got '1'"),
    ("--batch-size 0", "argument --batch-size: expected a whole number from 1, got '0'"),
    ("--epochs 1.5", "argument --epochs: expected a whole number from 1, got '1.5'"),
    ("--seed -1", "argument --seed: expected a whole number from 0, got '-1'"),
    ("--hidden abc", "argument --hidden: expected widths such as 128,128 or 64, got 'abc'"),
    ("--hidden 8,,8", "argument --hidden: expected widths such as 128,128 or 64, got '8,,8'"),
    ("--hidden 0", "argument --hidden: expected widths such as 128,128 or 64, got '0'"),
    ("--batch-size 1", "--batch-size 1: --norm batch needs at least 2 samples"),
    ("--norm batch_renorm --batch-size 1", "--norm batch_renorm needs at least 2 samples"),
    ("--nesterov --momentum 0", "--nesterov needs a --momentum above 0"),
    ("--norm group --hidden 64,30", "--hidden 30: --norm group needs widths that --groups 8 "),
    ("--norm instance --hidden 30", "--hidden 30: --norm instance needs widths that --groups 8 "),
    ("--norm group --hidden 8", "--norm group takes its statistics over 1 feature, which is "
     "always 0 after it; take a width of 16 or more"),
    ("--norm layer --hidden 1", "take a width of 2 or more"),
    ("--resume nowhere", "there is no file nowhere"),
    ("--resume .", "there is no file checkpoint.safetensors"),
    ("--out file/below", "Not a directory"),
    ("--frobnicate", "unrecognized arguments: --frobnicate"),
])
def test_bad_arguments(args: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("in the way")
    refused(args.split(), message, capsys)
    assert not Path("runs").exists()


@pytest.mark.skipif(tn.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    refused([*SMALL, "--device", "cuda"], "device cuda", capsys)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[:-100], "is cut short, damaged or no checkpoint at all"),
    (lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "is damaged"),
    (lambda data: b"PK\x03\x04 something else" * 9, "is cut short, damaged or no checkpoint"),
    (lambda data: b"", "is empty"),
])
def test_a_damaged_checkpoint(
    damage: Callable[[bytes], bytes], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    data = damage(checkpoint("run").read_bytes())
    checkpoint("run").write_bytes(data)
    refused(["--resume", "run"], message, capsys)
    assert checkpoint("run").read_bytes() == data
    assert len(metrics("run")) == 3


@pytest.mark.parametrize("state", [
    {"weight": [1.0]}, [1, 2], {"program": "train_mlp 0", "options": {}}, {"program": "another"}])
def test_a_checkpoint_of_another_program(state: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tn.save(state, "a.safetensors")
    refused(["--resume", "a.safetensors"],
            "a.safetensors was not written by this version of train_mlp.py", capsys)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("args", "message"), [
    ("--hidden 8", "--hidden 8 contradicts the checkpoint, whose run began with --hidden 16"),
    ("--norm layer", "--norm layer contradicts the checkpoint, whose run began with --norm batch"),
    ("--epochs 9", "--epochs 9 contradicts the checkpoint, whose run began with --epochs 3"),
    ("--nesterov", "--nesterov contradicts the checkpoint, whose run began with no --nesterov"),
    ("--no-standardize", "--no-standardize contradicts the checkpoint, whose run began with "
     "no --no-standardize"),
])
def test_a_contradiction_to_the_checkpoint(
    args: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    refused(["--resume", "run", *args.split()], message, capsys)
    assert train_mlp.main(["--resume", "run", "--hidden", "16", "--norm", "batch"]) == 0


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("change", "message"), [
    (lambda state: state["scale"].update(count=5), "the data set moons is not what it was trained"),
    (lambda state: state["model"].pop("linear1.weight"), "Missing key(s) in state_dict: linear1"),
    (lambda state: state["loader"].update(samples=7), "expected the state of a loader of 800"),
    (lambda state: state.pop("random"), "does not fit: 'random'"),
])
def test_a_checkpoint_that_does_not_fit(
    change: Callable[[dict[str, Any]], Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    state = tn.load(checkpoint("run"))
    change(state)
    tn.save(state, checkpoint("run"))
    refused(["--resume", "run"], message, capsys)


@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_diverges(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_mlp.main([*SMALL, "--norm", "none", "--lr", "1e30", "--out", "run"]) == 1
    assert re.fullmatch(r"train_mlp.py: error: training diverged in epoch 1 \(loss (nan|inf)\); "
                        r"take a smaller --lr, or a --norm\n", capsys.readouterr().err)
    for value in tn.load(checkpoint("run"))["model"].values():
        assert value.isfinite().all()


# -- stopping and going on -------------------------------------------------------------------------


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Press Ctrl-C during the steps of these numbers, counted through the process."""
    count = 0
    keys: list[int] = []
    step = tn.optim.SGD.step

    def stepped(self: tn.optim.SGD, closure: Any = None) -> Any:
        nonlocal count
        count += 1
        for _ in range(keys.count(count)):
            signal.raise_signal(signal.SIGINT)
        return step(self, closure)

    def pressing(*steps: int) -> None:
        nonlocal count
        count = 0
        keys[:] = steps

    monkeypatch.setattr(tn.optim.SGD, "step", stepped)
    before = signal.getsignal(signal.SIGINT)
    yield pressing
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("options", [
    *([f"--norm {norm}"] for norm in NORMS), ["--no-standardize --nesterov --data spirals"],
    ["--seed 3 --momentum 0 --batch-size 17"]])
def test_a_stopped_run_ends_as_one_that_was_not(
    options: list[str], press: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in the middle of epoch 1, at the very end of epoch 2, and again in epoch 3."""
    args = [*SMALL, *options[0].split()]
    assert train_mlp.main([*args, "--out", "straight"]) == 0
    batches = 47 if "17" in args[-1] else 25
    press(10)
    assert train_mlp.main([*args, "--out", "run"]) == 130
    out = capsys.readouterr().out
    assert f"interrupted after 0 of 3 epochs and 10 of {batches} batches; saved run/ch" in out
    assert re.search(r"^go on with: .*python\S* \S+ --resume run$", out, re.MULTILINE)
    press(2 * batches - 10)
    assert train_mlp.main(["--resume", "run"]) == 130
    out = capsys.readouterr().out
    assert f"resumed after 0 of 3 epochs and 10 of {batches} batches\n" in out
    assert "interrupted after 2 of 3 epochs; saved" in out
    press(3)
    assert train_mlp.main(["--resume", str(checkpoint("run"))]) == 130
    press()
    assert train_mlp.main(["--resume", "run", "--quiet"]) == 0
    assert_same_run("straight", "run")


@pytest.mark.usefixtures("no_pictures")
def test_ctrl_c_in_the_last_step_is_too_late(press: Callable[..., None]) -> None:
    press(75)
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    assert len(metrics("run")) == 3


@pytest.mark.usefixtures("no_pictures")
def test_a_second_ctrl_c_stops_at_once(
    press: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    press(30, 30)
    assert train_mlp.main([*SMALL, "--out", "run"]) == 130
    assert capsys.readouterr().err == "stopped at once; what was saved before is whole\n"
    assert len(tn.load(checkpoint("run"))["history"]) == 1
    assert train_mlp.main([*SMALL, "--out", "straight"]) == 0
    assert train_mlp.main(["--resume", "run", "--quiet"]) == 0
    assert_same_run("straight", "run")


@pytest.mark.usefixtures("no_pictures")
def test_resuming_into_another_folder(press: Callable[..., None]) -> None:
    press(60)
    assert train_mlp.main([*SMALL, "--out", "run"]) == 130
    press()
    before = checkpoint("run").read_bytes()
    assert train_mlp.main(["--resume", "run", "--out", "deep/down", "--quiet"]) == 0
    assert checkpoint("run").read_bytes() == before
    assert len(metrics("run")) == 2
    assert train_mlp.main([*SMALL, "--out", "straight"]) == 0
    assert_same_run("straight", "deep/down")


@pytest.mark.usefixtures("no_pictures")
def test_lines_of_an_epoch_that_was_not_saved_are_dropped(press: Callable[..., None]) -> None:
    """Killed between the line of metrics and the checkpoint, or in the middle of the line."""
    press(60)
    assert train_mlp.main([*SMALL, "--out", "run"]) == 130
    press()
    with Path("run/metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_loss": 0.5}\n{"epoch": 4, "tra')
    assert train_mlp.main(["--resume", "run", "--quiet"]) == 0
    assert [record["epoch"] for record in metrics("run")] == [1, 2, 3]


@pytest.mark.usefixtures("no_pictures")
def test_resuming_a_finished_run_changes_no_number() -> None:
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    before, lines = tn.load(checkpoint("run")), metrics("run")
    assert train_mlp.main(["--resume", "run", "--quiet"]) == 0
    assert without_timing(tn.load(checkpoint("run"))) == without_timing(before)
    assert metrics("run") == lines


@pytest.mark.parametrize("data", DATA[1:])
def test_drawing_changes_nothing(data: str) -> None:
    training = train_mlp.Training(Options(data=data, hidden=(8,)))
    before = without_timing(training.state_dict())
    loss, names = training.one_step()
    assert tn.viz.graph(loss, names).dot
    assert without_timing(training.state_dict()) == before


# -- as a process ----------------------------------------------------------------------------------

LONG = ["--data", "moons", "--batch-size", "8", "--epochs", "12", "--hidden", "64"]


def started(*args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "train_mlp.py"), *args], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def after_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    """Wait for the line of that epoch."""
    assert process.stdout is not None
    for line in process.stdout:
        if re.match(rf"epoch +{epoch}/", line):
            return
    raise AssertionError(process.communicate()[1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal like this")
def test_ctrl_c_and_kill_in_a_process_of_its_own() -> None:
    straight = started(*LONG, "--out", "straight")
    stopped = started(*LONG, "--out", "run")
    after_epoch(stopped, 2)
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=60)
    assert (stopped.returncode, err) == (130, "")
    found = re.search(r"interrupted after (\d+) of 12 epochs.*; saved run/checkpoint.safetensors\n"
                      r"go on with: (.+)\n\Z", out)
    assert found, out
    assert 2 <= int(found[1]) < 12
    assert found[2].endswith("train_mlp.py --resume run")

    killed = started("--resume", "run")
    after_epoch(killed, int(found[1]) + 1)
    killed.kill()
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(found[2], shell=True, text=True, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    straight.communicate(timeout=60)
    assert straight.returncode == 0
    assert_same_run("straight", "run")
