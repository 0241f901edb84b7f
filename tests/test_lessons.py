"""Every script of examples/lessons, run with --quick: its files, its figure, its verdicts."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from kit import blas, main, scripts

import numpy as np
import pytest
from docs_scripts import script

import tinygrad_norm as tn

pytestmark = pytest.mark.slow
pytest.importorskip("sklearn", reason="the lessons train on scikit-learn's digits")
pytest.importorskip("matplotlib", reason="the lessons draw with matplotlib")

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {script.name: script for script in scripts()}

LARGE = {
    "preprocessing": ["centre_condition", "centre_steps", "scale_condition", "pca_condition",
                      "pca_steps", "zca_condition", "zca_steps", "zigzag"],
    "activations": ["spread"],
    "variance": ["small", "large", "xavier_relu", "batchnorm", "layernorm", "backward",
                 "backward_layer"],
    "undo": ["identity", "values", "fixed", "batches", "eval"],
    "running_statistics": ["unset", "early", "early_none", "late_none"],
    "learning_rate": ["range", "range_layer"],
    "init_scale": ["range_batch", "range_layer", "worst_batch", "worst_layer", "frozen"],
    "convergence": ["large_rate", "best_batch"],
    "gradient_flow": ["vanishing", "explosion", "theory", "level_layer", "level_he", "after_10"],
    "batch_noise": ["by_heart", "gap_4", "gap_both"],
    "smoothness": ["gradient"],
    "effective_rate": ["right_angle", "inverse", "grows", "slows", "remembers"],
    "noisy_batch_norm": ["fast"],
    "batch_size": ["features_small", "features_group", "features_flat"],
    "two_classes": ["fails", "lost", "mates"],
    "distribution_shift": ["brightness_hurts", "brightness_cured", "contrast_cured",
                           "noise_hurts", "brightness_instance", "noise_instance"],
    "mismatch": ["signs", "no_gradient", "refused", "instance", "two_networks", "averages"],
    "transformer": ["none", "after"],
    "contrast": ["contrast", "colour", "layer", "batch", "style"],
    "small_cnn": ["mates", "alone"],
}
"""The claims of each lesson that --quick shows: by 3 standard errors or more, each seed alike."""


@functools.cache
def loaded(name: str) -> Any:
    """The script as a module."""
    return script(SCRIPTS[name].path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """For a name the folder that the lesson left; it runs when it is first asked for."""
    root = tmp_path_factory.mktemp("runs")

    @functools.cache
    def folder(name: str) -> Path:
        out = root / name
        assert main(loaded(name).run, ["--quick", "--quiet", "--out", str(out)]) == 0
        return out

    return folder


def test_every_lesson_is_in_the_table() -> None:
    assert set(LARGE) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_leaves_its_files(name: str, folders: Any) -> None:
    out = folders(name)
    assert sorted(os.listdir(out)) == ["figure.png", "figure.svg", "metrics.jsonl",
                                       "verdict.json", "verdict.txt"]
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert records
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["effort"] == "quick"
    assert verdict["claims"]
    for claim in verdict["claims"]:
        assert claim["verdict"] in ("shown", "not shown", "contradicted")
        assert len(claim["values"]) >= 2, f"{claim['key']} has no spread"
        assert claim["mean"] == pytest.approx(np.mean(claim["values"]))
    assert (out / "verdict.txt").read_text().endswith(f"{verdict['verdict']}\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_its_figure_shows_something(name: str, folders: Any) -> None:
    from matplotlib.image import imread

    out = folders(name)
    picture = imread(out / "figure.png")[..., :3]
    assert min(picture.shape[:2]) >= 300
    ink = (picture < 0.9).any(axis=2)
    assert 0.01 < ink.mean() < 0.9
    halves = [*np.array_split(ink, 2, axis=0), *np.array_split(ink, 2, axis=1)]
    assert all(half.any() for half in halves)
    assert ET.parse(out / "figure.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(("name", "key"), [(n, key) for n, keys in LARGE.items() for key in keys])
def test_what_is_large_is_seen(name: str, key: str, folders: Any) -> None:
    claims = json.loads((folders(name) / "verdict.json").read_text())["claims"]
    claim, = [claim for claim in claims if claim["key"] == key]
    assert claim["verdict"] == "shown", claim
    errors = claim["standard_errors"]  # null: every seed alike
    assert errors is None or errors >= 3


@pytest.mark.parametrize("name", SCRIPTS)
def test_another_kernel_of_the_blas_shows_the_same(name: str, tmp_path: Path) -> None:
    """Nor does it count how many threads the BLAS has: a lesson leaves it one."""
    other = [setting for kernel, setting in blas.kernels().items() if kernel != blas.kernel()]
    if not other:
        pytest.skip(f"there is one kernel to choose from: {blas.kernel() or 'an unknown BLAS'}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), blas.SETTING: other[0],
                   "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, SCRIPTS[name].path, "--quick", "--quiet", "--out", tmp_path],
                   env=environment, check=True, capture_output=True)
    claims = json.loads((tmp_path / "verdict.json").read_text())["claims"]
    shown = [claim["key"] for claim in claims if claim["verdict"] == "shown"]
    assert set(LARGE[name]) <= set(shown), claims


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_seed_gives_the_same_metrics(name: str, folders: Any, tmp_path: Path) -> None:
    first = folders(name)
    tn.manual_seed(12345)  # what ran before makes no difference
    assert main(loaded(name).run, ["--quick", "--quiet", "--out", str(tmp_path / "again")]) == 0
    for file in ("metrics.jsonl", "verdict.json"):
        assert (tmp_path / "again" / file).read_bytes() == (first / file).read_bytes()


@pytest.mark.parametrize("name", SCRIPTS)
def test_bad_arguments_get_one_line_and_status_2(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(loaded(name).run, ["--seed", "-1"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        f"{name}.py: error: argument --seed: expected a whole number from 0, got '-1'\n")


def test_a_script_runs_as_one_types_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, SCRIPTS["learning_rate"].path, "--quick"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True,
                          check=True)
    assert "learning_rate: " in done.stdout
    assert "RuntimeWarning" not in done.stderr
    assert (tmp_path / "runs" / "learning_rate" / "figure.png").exists()
