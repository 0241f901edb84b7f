"""Stopping examples/train_mlp.py and going on: the numbers of a run that was never stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import train_mlp
from example_runs import (  # noqa: F401
    ROOT,
    SMALL,
    assert_same_run,
    checkpoint,
    empty_folder,
    metrics,
    no_pictures,
    without_timing,
)
from options import NORMS

import tinygrad_norm as tn

pytestmark = pytest.mark.usefixtures("empty_folder")


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
    # Behind nohup, or after & in a script, Ctrl-C is ignored from the start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield pressing
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


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


# -- as a process ----------------------------------------------------------------------------------

LONG = ["--data", "moons", "--batch-size", "8", "--epochs", "40", "--hidden", "64"]


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
    found = re.search(r"interrupted after (\d+) of 40 epochs.*; saved run/checkpoint.safetensors\n"
                      r"go on with: (.+)\n\Z", out)
    assert found, out
    assert 2 <= int(found[1]) < 40
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
