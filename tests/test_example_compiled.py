"""examples/train_mlp.py --compile: the numbers of a run without it, what it says, going on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import train_mlp
from example_runs import SMALL, empty_folder, metrics, no_pictures, without_timing  # noqa: F401
from options import NORMS, Options

from tinygrad_norm.compiler import machine

pytestmark = pytest.mark.usefixtures("empty_folder", "no_pictures")


@pytest.mark.parametrize("options", [
    *([f"--norm {norm}"] for norm in NORMS), ["--nesterov --batch-size 48 --momentum 0.5"]])
def test_the_numbers_are_those_of_the_step_as_it_is(options: list[str]) -> None:
    """Rounding grows from step to step; 75 of them leave five digits. (Not where groups have two
    features, one of which is then 1 and the other -1, whichever is larger.)"""
    args = [*SMALL, "--groups", "2", *options[0].split()]
    assert train_mlp.main([*args, "--out", "plain"]) == 0
    assert train_mlp.main([*args, "--compile", "--out", "compiled"]) == 0
    for one, other in zip(metrics("plain"), metrics("compiled"), strict=True):
        for name in ("train_loss", "test_loss", "learning_rate"):
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5)
        for name in ("train_accuracy", "test_accuracy"):
            assert abs(other[name] - one[name]) <= 1 / 200  # a sample may lie on the border


def test_every_step_but_the_first_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    """The first makes the momentum, as it is."""
    assert train_mlp.main([*SMALL[:-1], "--compile"]) == 0
    out = capsys.readouterr().out
    how = "machine code" if machine.available() else "NumPy's functions: "
    assert f"\nthe training step is {'compiled' if machine.available() else 'recorded'}" in out
    assert how in out
    assert "  compiled step: 1 kind of calls\n" in out
    assert "ran 74 times\n" in out


def test_without_llvmlite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    monkeypatch.delenv(machine.SETTING, raising=False)
    monkeypatch.setattr(machine, "available", lambda: False)
    assert train_mlp.main([*SMALL[:-1], "--compile"]) == 0
    out = capsys.readouterr().out
    assert ("the training step is recorded once, then run by NumPy's functions: llvmlite is not "
            "installed; pip install 'tinygrad_norm[fast]'\n" in out)
    assert "(plain), ran 74 times\n" in out


@pytest.mark.parametrize("done", [1, 10])
def test_going_on_gives_the_same_bits(done: int) -> None:
    options = Options(data="moons", hidden=(16,), batch_size=48, epochs=2, compile=True)
    straight = train_mlp.Training(options)
    for _ in straight.steps():
        pass
    stopped = train_mlp.Training(options)
    for _ in zip(range(done), stopped.steps(), strict=False):
        pass
    state = stopped.state_dict()
    resumed = train_mlp.Training(options)
    resumed.load_state_dict(state)
    for _ in resumed.steps():
        pass
    assert straight.batches == resumed.batches == 17  # 800 of 48: the last has 32
    assert without_timing(straight.state_dict()) == without_timing(resumed.state_dict())
