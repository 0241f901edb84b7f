"""What examples/train_mlp.py refuses: one line, exit status 2."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import train_mlp
from example_runs import (  # noqa: F401
    SMALL,
    checkpoint,
    empty_folder,
    metrics,
    no_pictures,
    refused,
)

import tinygrad_norm as tn

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize(("args", "message"), [
    ("--norm foo", "argument --norm: expected one of none, batch, batch_renorm, layer, instance, "
     "group, rms, got 'foo'"),
    ("--norm LayerNrom", "got 'LayerNrom' (did you mean layer?)"),
    ("--nom layer", "unrecognized arguments: --nom layer (did you mean --norm?)"),
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
    ("--compile --device cuda", "--compile: loops run on the cpu; leave out --device cuda"),
    ("--resume nowhere", "there is no file nowhere"),
    ("--resume .", "there is no file checkpoint.safetensors"),
    ("--out file/below", "Not a directory"),
    ("--out=", "argument --out: expected the name of a file or a folder, got ''"),
    ("--out file", "--out file is a file; name a folder"),
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
    ("--compile", "--compile contradicts the checkpoint, whose run began with no --compile"),
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
def test_a_checkpoint_that_does_not_know_an_option() -> None:
    """Of a version before it: its run began without."""
    assert train_mlp.main([*SMALL, "--out", "run"]) == 0
    state = tn.load(checkpoint("run"))
    del state["options"]["compile"]
    tn.save(state, checkpoint("run"))
    assert train_mlp.main(["--resume", "run"]) == 0


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("more", [[], ["--compile"]])
def test_a_run_that_diverges(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    args = [*SMALL, "--norm", "none", "--lr", "1e30", "--out", "run"]
    assert train_mlp.main([*args, *more]) == 1
    assert re.fullmatch(r"train_mlp.py: error: training diverged in epoch 1 \(loss (nan|inf)\); "
                        r"take a smaller --lr, or a --norm\n", capsys.readouterr().err)
    for value in tn.load(checkpoint("run"))["model"].values():
        assert value.isfinite().all()
