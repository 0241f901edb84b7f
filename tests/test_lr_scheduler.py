"""The schedules: what they compute, what they refuse, and that they resume exactly."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.checkpoint import load, save
from tinygrad_norm.optim import SGD, Optimizer, lr_scheduler


def leaf() -> tn.Tensor:
    return tn.ones(2, requires_grad=True)


def trained() -> SGD:
    """An optimizer with two groups after its first step."""
    optimizer = SGD([{"params": [leaf()], "lr": 0.5}, {"params": [leaf()]}], lr=0.1, momentum=0.9)
    for group in optimizer.param_groups:
        group["params"][0].grad = tn.ones(2)
    optimizer.step()
    return optimizer


def halves(epoch: int) -> float:
    return 0.5**epoch


SCHEDULES: dict[str, Any] = {
    "step": lambda o: lr_scheduler.StepLR(o, 3, 0.5),
    "multi": lambda o: lr_scheduler.MultiStepLR(o, [2, 5, 5], 0.5),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 4, 0.001),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, [halves, halves]),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, [0.3, 0.2], 20),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
}


def advance(scheduler: Any, epoch: int) -> tuple[list[float], list[float]]:
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(tn.tensor(1.0 if epoch else 2.0))
    else:
        scheduler.step()
    return scheduler.get_last_lr(), [g["momentum"] for g in scheduler.optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_schedule_goes_on_identically(name: str, tmp_path: Any) -> None:
    optimizer = trained()
    scheduler = SCHEDULES[name](optimizer)
    for epoch in range(6):
        advance(scheduler, epoch)
    save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "a.safetensors")
    again = trained()
    resumed = SCHEDULES[name](again)
    states = load(tmp_path / "a.safetensors")
    again.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    assert resumed.get_last_lr() == scheduler.get_last_lr()
    for epoch in range(6, 16):
        assert advance(resumed, epoch) == advance(scheduler, epoch)


def test_a_state_dict_is_a_copy() -> None:
    scheduler = SCHEDULES["one cycle"](trained())
    state = scheduler.state_dict()
    scheduler.step()
    assert state["last_epoch"] == 0
    state["phases"].clear()
    scheduler.step()


def test_lambdas_are_not_saved() -> None:
    assert "lr_lambdas" not in SCHEDULES["lambda"](trained()).state_dict()


def test_learning_rates_are_python_floats() -> None:
    optimizer = trained()
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: np.float32(0.5))
    assert [type(lr) for lr in scheduler.get_last_lr()] == [float, float]
    assert [type(g["lr"]) for g in optimizer.param_groups] == [float, float]


def test_a_phase_of_no_length_is_at_its_end() -> None:
    scheduler = lr_scheduler.OneCycleLR(trained(), 1.0, total_steps=10, pct_start=0.1)
    assert scheduler.get_last_lr() == [1.0, 1.0]


def test_plateau_takes_groups_that_came_later() -> None:
    optimizer = trained()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, min_lr=0.1)
    optimizer.add_param_group({"params": [leaf()], "lr": 1.0})
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.25, 0.1, 0.5]


def test_a_metric_of_nan_is_no_improvement() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(trained(), patience=0, factor=0.5)
    scheduler.step(math.nan)
    assert scheduler.get_last_lr() == [0.25, 0.05]


def test_stepping_the_schedule_first_is_warned_of() -> None:
    scheduler = lr_scheduler.StepLR(SGD([leaf()]), 2)
    with pytest.warns(UserWarning, match=re.escape("lr_scheduler.step() before optimizer.step()")):
        scheduler.step()
    scheduler.step()


class Quiet(Optimizer):
    """A user's optimizer that does not say whether it was stepped."""


def test_a_users_optimizer_works_with_schedules() -> None:
    optimizer = Quiet([leaf()], {"lr": 1.0})
    lr_scheduler.ExponentialLR(optimizer, 0.5).step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def _late(scheduler: Any) -> None:
    scheduler.load_state_dict({**scheduler.state_dict(), "_last_lr": [1.0]})


def _grown() -> None:
    optimizer = trained()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=[0, 0])
    optimizer.add_param_group({"params": [leaf()]})
    scheduler.step(math.nan)


def one(*args: Any, **options: Any) -> Any:
    return lambda: lr_scheduler.OneCycleLR(trained(), *args, **options)


def plateau(**options: Any) -> Any:
    return lambda: lr_scheduler.ReduceLROnPlateau(trained(), **options)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "optimizer": (lambda: lr_scheduler.StepLR(leaf(), 3), TypeError,
                  "expected an Optimizer, got Tensor"),
    "base": (lambda: lr_scheduler.LRScheduler(trained()), NotImplementedError,
             r"define get_lr\(self\)"),
    "last_epoch": (lambda: lr_scheduler.StepLR(trained(), 3, last_epoch=4), KeyError,
                   r"'initial_lr' is not specified in param_groups\[0\], which last_epoch=4"),
    "step_size": (lambda: lr_scheduler.StepLR(trained(), 0), ValueError, "step_size > 0, got 0"),
    "T_max": (lambda: lr_scheduler.CosineAnnealingLR(trained(), 0), ValueError, "T_max > 0, got 0"),
    "lambdas": (lambda: lr_scheduler.LambdaLR(trained(), [halves]), ValueError,
                "lr_lambda must have the same length as optimizer.param_groups: expected 2"),
    "no total": (one(1.0), ValueError, r"either total_steps OR \(epochs AND steps_per_epoch\)"),
    "total": (one(1.0, 0), ValueError, "Expected positive integer total_steps, got 0"),
    "epochs": (one(1.0, epochs=1.5, steps_per_epoch=2), ValueError, "integer epochs, got 1.5"),
    "pct_start": (one(1.0, 9, pct_start=1), ValueError, "Expected float between 0 and 1"),
    "anneal": (one(1.0, 9, anneal_strategy="sin"), ValueError, "one of 'cos' or 'linear', got"),
    "max_lr": (one([1.0], 9), ValueError, "max_lr must have the same length"),
    "no momentum": (lambda: lr_scheduler.OneCycleLR(Quiet([leaf()], {"lr": 1.0}), 1.0, 9),
                    ValueError, "optimizer must support momentum .* but Quiet has none"),
    "factor": (plateau(factor=1.0), ValueError, "Factor should be < 1.0, got 1.0"),
    "mode": (plateau(mode="least"), ValueError, "mode least is unknown! expected min or max"),
    "threshold": (plateau(threshold_mode="x"), ValueError, "threshold mode x is unknown!"),
    "min_lr": (plateau(min_lr=[0.1]), ValueError, "min_lr must have the same length"),
    "grown": (_grown, RuntimeError, "has 3 param groups, but had 2 when the scheduler was made"),
    "other": (lambda: SCHEDULES["step"](trained()).load_state_dict(
        SCHEDULES["cosine"](trained()).state_dict()), ValueError,
        "StepLR: expected a state dict with .*step_size; got T_max, .*is it of another scheduler"),
    "groups": (lambda: _late(SCHEDULES["step"](trained())), ValueError,
               "the optimizer has 2 parameter groups, the state dict is for 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_schedule_refuses(name: str) -> None:
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        call()


def test_stepping_past_the_cycle_is_refused_and_changes_nothing() -> None:
    optimizer = trained()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=5)
    for _ in range(5):
        scheduler.step()
    before = scheduler.state_dict(), optimizer.state_dict()["param_groups"]
    with pytest.raises(ValueError, match=r"Tried to step 6 times. The specified number of total "
                                         r"steps is 5; call step\(\) once a batch"):
        scheduler.step()
    assert (scheduler.state_dict(), optimizer.state_dict()["param_groups"]) == before
