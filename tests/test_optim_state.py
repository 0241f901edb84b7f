"""The state dict of an optimizer: its layout, exact resuming, and what does not fit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from test_optim import parameters, same, set_gradients, values

import tinygrad_norm as tn
from tinygrad_norm.checkpoint import load, save
from tinygrad_norm.optim import SGD, Optimizer


def trained(device: str = "cpu") -> SGD:
    params = parameters(device)
    optimizer = SGD([{"params": params[:2], "lr": 0.5}, {"params": params[2:]}], lr=0.1,
                    momentum=0.9)
    set_gradients(params)
    optimizer.step()
    return optimizer


def all_params(optimizer: Optimizer) -> list[tn.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def test_state_dict_has_pytorchs_layout() -> None:
    optimizer = trained()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [0, 1, 2]
    assert state["state"][1]["momentum_buffer"].shape == (4,)
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    assert state["param_groups"][0] == {
        "lr": 0.5, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False,
        "maximize": False, "params": [0, 1]}


def test_resumed_from_a_file_the_bits_are_the_same(tmp_path: Any, device: str) -> None:
    first = trained(device)
    save(first.state_dict(), tmp_path / "a.safetensors")
    copies = [p.detach().clone().requires_grad_() for p in all_params(first)]
    second = SGD([{"params": copies[:2]}, {"params": copies[2:]}], lr=7)
    second.load_state_dict(load(tmp_path / "a.safetensors"))  # its tensors come on the cpu
    for step in range(1, 4):
        for optimizer in (first, second):
            set_gradients(all_params(optimizer), step)
            optimizer.step()
    assert same(values(all_params(first)), values(copies))


def test_loading_copies_and_casts() -> None:
    first = trained()
    floats = [p.detach().float().requires_grad_() for p in all_params(first)]
    second = SGD([{"params": floats[:2]}, {"params": floats[2:]}])
    state = first.state_dict()
    second.load_state_dict(state)
    held = second.state[floats[0]]["momentum_buffer"]
    assert held.dtype == tn.float32
    third = SGD([{"params": all_params(first)[:2]}, {"params": all_params(first)[2:]}])
    third.load_state_dict(state)
    assert third.state_dict()["state"][0]["momentum_buffer"].array is not (
        state["state"][0]["momentum_buffer"].array)


def test_options_that_a_state_dict_lacks_stay() -> None:
    state = trained().state_dict()
    for group in state["param_groups"]:
        del group["lr"]
    state["state"][0]["momentum_buffer"] = None  # as PyTorch once wrote it
    optimizer = trained()
    optimizer.load_state_dict(state)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    set_gradients(all_params(optimizer))
    optimizer.step()


def _without(key: str) -> Any:
    return lambda state: state.pop(key)


def _wider(state: dict[str, Any]) -> None:
    state["state"][1]["momentum_buffer"] = tn.zeros(5)


MISFITS = {
    "no state": (_without("state"), "expected a state dict with the keys 'state' and"),
    "no params": (lambda s: s["param_groups"][0].pop("params"), "to be a dict with 'params'"),
    "groups": (lambda s: s["param_groups"].pop(),
               "different number of parameter groups: expected 2, got 1; is it of another model"),
    "sizes": (lambda s: s["param_groups"][1]["params"].append(3),
              r"doesn't match the size of optimizer's group: expected \[2, 1\] parameters, got "
              r"\[2, 2\]"),
    "shapes": (_wider, r"a momentum_buffer of shape \(5,\) for parameter 1: expected \(4,\)"),
    "numbers": (lambda s: s["state"].update({9: {}}),
                "a state for parameter 9, but its groups hold 0, 1, 2"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_state_that_does_not_fit_changes_nothing(name: str) -> None:
    change, message = MISFITS[name]
    optimizer = trained()
    before = copy.deepcopy(optimizer.state_dict())
    state = copy.deepcopy(before)
    state["param_groups"][0]["lr"] = 99
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, held in after["state"].items():
        wanted = before["state"][number]["momentum_buffer"]
        assert held["momentum_buffer"].tolist() == wanted.tolist()
