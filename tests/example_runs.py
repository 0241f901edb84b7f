"""Small runs of examples/train_mlp.py, and how to look at what they left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import train_mlp
from run_folder import RunFolder

import tinygrad_norm as tn

ROOT = Path(__file__).resolve().parent.parent
TIMING = ("seconds", "samples_per_second")
SMALL = ["--data", "moons", "--hidden", "16", "--epochs", "3", "--batch-size", "32", "--quiet"]
"""25 steps an epoch, a few milliseconds."""


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs in an empty folder, from which a process finds the package too."""
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
