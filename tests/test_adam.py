"""Adam and AdamW: what they compute, keep and refuse."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
import strict
from test_optim import parameters, same, set_gradients, values

import tinygrad_norm as tn
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.checkpoint import load, save
from tinygrad_norm.optim import SGD, Adam, AdamW, lr_scheduler
from tinygrad_norm.optim.blocks import BLOCK, SMALL

OPTIONS: list[dict[str, Any]] = [
    {},
    {"betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.1},
    {"betas": (0, 0), "amsgrad": True, "maximize": True},
    {"weight_decay": 0.1, "maximize": True, "amsgrad": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True, "amsgrad": True},
    {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
]
MANY = [(3, 4), (4,), (), (2, 0), (5,), (1, 6)]


class Formula:
    """Adam as its docstring has it, for one parameter in float64."""

    def __init__(self, p: np.ndarray) -> None:
        self.p, self.m, self.v, self.high, self.t = p, 0 * p, 0 * p, 0 * p, 0

    def step(self, g: np.ndarray, o: dict[str, Any]) -> None:
        self.t += 1
        b1, b2 = o["betas"]
        g = -g if o["maximize"] else g
        if o["decoupled_weight_decay"]:
            self.p = self.p - o["lr"] * o["weight_decay"] * self.p
        else:
            g = g + o["weight_decay"] * self.p
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        self.high = np.maximum(self.high, self.v)
        m = self.m / (1 - b1**self.t)
        v = (self.high if o["amsgrad"] else self.v) / (1 - b2**self.t)
        self.p = self.p - o["lr"] * m / (np.sqrt(v) + o["eps"])


@pytest.mark.parametrize("shapes", [MANY[:3], MANY], ids=["few", "many"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_follow_the_formula_on_every_device(
    device: str, options: dict[str, Any], shapes: Any
) -> None:
    params = parameters(device, shapes)
    optimizer = Adam(params, lr=0.1, **options)
    expected = [Formula(v) for v in values(params)]
    for step in range(4):
        set_gradients(params, step)
        for one, g in zip(expected, values([p.grad for p in params]), strict=True):
            one.step(g, optimizer.param_groups[0])
        strict.traffic.clear()
        optimizer.step()
        assert not strict.traffic, "a step moves nothing between devices and waits for none"
    for got, want in zip(values(params), expected, strict=True):
        np.testing.assert_allclose(got, want.p, rtol=1e-12)
    assert optimizer.state[params[0]]["step"].device.type == "cpu"


LARGE = [(BLOCK + 1,), (3, SMALL), (300, 300), (1, 2 * BLOCK)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_all_ways_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], dtype: str
) -> None:
    """In blocks, whole, many as one array, one by one; loops round otherwise."""
    results = []
    monkeypatch.setattr("tinygrad_norm.backend.large.update", None)
    for small, foreach in ((0, None), (SMALL, None), (10**9, True), (10**9, False)):
        for file in ("blocks", "together"):
            monkeypatch.setattr(f"tinygrad_norm.optim.{file}.SMALL", small)
        tn.manual_seed(1)
        params = parameters(shapes=[*LARGE, *MANY], dtype=dtype)
        optimizer = Adam(params, lr=0.1, foreach=foreach, **options)
        for step in range(3):
            set_gradients(params, step)
            optimizer.step()
        results.append(values(params))
    for other in results[1:]:
        assert same(results[0], other)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_float32_is_near_float64(kind: type[Adam]) -> None:
    narrow, wide = (parameters(shapes=MANY, dtype=d) for d in ("float32", "float64"))
    for a, b in zip(narrow, wide, strict=True):
        b.data = a.detach().double()
    for params in (narrow, wide):
        optimizer = kind(params, lr=0.1)
        for step in range(20):
            set_gradients(params, step)
            optimizer.step()
    for a, b in zip(values(narrow), values(wide), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


def test_float16_has_its_moments_in_float32() -> None:
    """A gradient of 1e-4 has the square 0 in float16; 0 divided by 0 would be NaN."""
    p = tn.tensor([1.0, 1.0, 1.0], dtype="float16", requires_grad=True)
    optimizer = Adam([p], lr=0.125)
    for _ in range(4):
        p.grad = tn.tensor([1e-4, 0.0, 300.0], dtype="float16")
        optimizer.step()
    assert p.dtype == tn.float16
    assert p.tolist() == [0.5, 1.0, 0.5]
    assert optimizer.state[p]["exp_avg_sq"].dtype == tn.float32
    state = optimizer.state_dict()
    optimizer.load_state_dict(state)
    again = optimizer.state[p]["exp_avg_sq"]
    assert again is not state["state"][0]["exp_avg_sq"]
    assert (again.dtype, again.tolist()) == (tn.float32, state["state"][0]["exp_avg_sq"].tolist())


def test_the_first_step_has_the_size_lr_whatever_the_gradient() -> None:
    p = tn.zeros(5, dtype="float64", requires_grad=True)
    p.grad = tn.tensor([1e-3, -1.0, 1e9, 1e150, 0.0], dtype="float64")
    Adam([p], lr=0.5).step()
    np.testing.assert_allclose(p.detach().numpy(), [-0.5, 0.5, -0.5, -0.5, 0], rtol=1e-4)


def test_a_decay_smaller_than_the_digits_of_float32_near_1_is_kept() -> None:
    """1 - lr weight_decay is 1 in float32; over the small weights the decay is still exact."""
    p = tn.full((4,), 1e-6, requires_grad=True)
    p.grad = tn.zeros(4)
    optimizer = AdamW([p], lr=1e-3, weight_decay=1e-2)
    optimizer.step()
    exact = np.float32(1e-6) * (1 - 1e-5)
    assert abs(p[0].item() - exact) <= np.spacing(np.float32(1e-6)) / 2


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_gradients_that_are_not_finite_are_handed_on_in_silence(value: float) -> None:
    params = [tn.zeros(2, requires_grad=True) for _ in range(5)]
    optimizer = Adam(params, eps=0)
    for _ in range(2):
        for p in params:
            p.grad = tn.tensor([value, 1.0])
        optimizer.step()
    assert [math.isnan(p[0].item()) for p in params] == [True] * 5
    assert [math.isfinite(p[1].item()) for p in params] == [True] * 5


def test_arrays_out_of_order_are_stepped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_norm.backend.large.update", None)  # loops round otherwise
    weight = np.random.default_rng(0).normal(size=(200, 300))
    p = tn.from_numpy(weight.copy()).T.detach().requires_grad_()
    q = tn.tensor(weight.T.copy(), requires_grad=True)
    assert not p.is_contiguous()
    for one in (p, q):
        optimizer = Adam([one], lr=0.1)
        for step in range(2):
            set_gradients([one], step)
            optimizer.step()
    assert same(values([p]), values([q]))


@pytest.mark.parametrize("shapes", [MANY[:3], MANY], ids=["few", "many"])
def test_steps_go_into_the_memory_and_are_stamped(shapes: Any) -> None:
    params = parameters(shapes=shapes)
    optimizer = Adam(params, amsgrad=True, weight_decay=0.1, maximize=True)
    for step in range(3):
        arrays = [p.array for p in params]
        ys = [(p * p).sum() for p in params]
        set_gradients(params, step)
        gradients = values([p.grad for p in params])
        stamps = [p.written[0] for p in params]
        optimizer.step()
        assert all(p.array is array for p, array in zip(params, arrays, strict=True))
        assert same(values([p.grad for p in params]), gradients)
        for p, before in zip(params, stamps, strict=True):
            held = optimizer.state[p]
            assert p.written[0] > before
            assert {t.written[0] for t in held.values()} == {p.written[0]}
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            ys[0].backward()


def test_parameters_without_a_gradient_are_skipped_and_their_steps_not_counted() -> None:
    params = parameters(shapes=MANY)
    optimizer = AdamW(params, lr=0.1)
    for step in range(6):
        set_gradients(params, step)
        if step % 2:
            params[1].grad = None
            before = values([params[1]])
        optimizer.step()
        if step % 2:
            assert same(values([params[1]]), before)
    assert [optimizer.state[p]["step"].item() for p in params] == [6, 3, 6, 6, 6, 6]
    fresh = AdamW(params)
    fresh.step()
    assert list(fresh.state_dict()["state"]) == [0, 2, 3, 4, 5]


def test_a_step_that_was_set_by_hand_is_obeyed() -> None:
    """Counts that are no longer the same make those parameters step apart."""
    results = []
    for foreach in (None, False):
        tn.manual_seed(3)
        params = parameters(shapes=MANY)
        optimizer = Adam(params, lr=0.1, foreach=foreach)
        for step in range(4):
            set_gradients(params, step)
            optimizer.step()
            if step == 1:
                optimizer.state[params[4]]["step"].fill_(100)
        results.append(values(params))
        assert [optimizer.state[p]["step"].item() for p in params] == [4, 4, 4, 4, 102, 4]
    assert same(*results)


def test_amsgrad_may_be_switched_on_later() -> None:
    params = parameters(shapes=MANY)
    optimizer = Adam(params)
    for step in range(4):
        set_gradients(params, step)
        optimizer.param_groups[0]["amsgrad"] = step > 1
        optimizer.step()
    assert list(optimizer.state[params[0]]) == ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]


def test_closure_is_called_with_recording_on() -> None:
    p = tn.tensor([2.0], requires_grad=True)
    optimizer = Adam([p], lr=0.5)

    def closure() -> tn.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tn.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.item() == 1.5
    assert optimizer.step() is None


@pytest.mark.parametrize("shapes", [MANY[:2], MANY], ids=["few", "many"])
def test_a_moved_parameter_is_named_and_nothing_changed(shapes: Any) -> None:
    params = parameters(shapes=shapes)
    optimizer = Adam(params)
    set_gradients(params)
    optimizer.step()
    for p in params:  # as Module.to does it
        p.data = p.detach().to("strict")
    set_gradients(params)
    before = values(params)
    with pytest.raises(tn.errors.DeviceError, match=re.escape(
            "Adam: a parameter of shape (3, 4) is on strict:0, its exp_avg on cpu; move the model "
            "first")):
        optimizer.step()
    assert same(values(params), before)
    assert optimizer.state[params[0]]["step"].item() == 1
    optimizer.load_state_dict(optimizer.state_dict())  # the cure that the message names
    optimizer.step()
    assert optimizer.state[params[0]]["step"].item() == 2


# -- its state -----------------------------------------------------------------------------------


def trained(device: str = "cpu", kind: type[Adam] = AdamW) -> Adam:
    params = parameters(device, MANY)
    optimizer = kind([{"params": params[:5], "lr": 0.5}, {"params": params[5:]}], lr=0.1,
                     amsgrad=True, betas=(0.5, 0.75))
    for step in range(3):
        set_gradients(params, step)
        optimizer.step()
    return optimizer


def all_params(optimizer: Adam) -> list[tn.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def test_state_dict_has_pytorchs_layout() -> None:
    state = trained().state_dict()
    assert list(state["state"]) == list(range(6))
    held = state["state"][1]
    assert {k: (v.shape, v.dtype) for k, v in held.items()} == {
        "step": ((), np.dtype("float32")), "exp_avg": ((4,), np.dtype("float64")),
        "exp_avg_sq": ((4,), np.dtype("float64")), "max_exp_avg_sq": ((4,), np.dtype("float64"))}
    assert held["step"].item() == 3
    assert state["param_groups"][1] == {
        "lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": True,
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False,
        "fused": None, "decoupled_weight_decay": True, "params": [5]}


def test_resumed_from_a_file_the_bits_are_the_same(tmp_path: Any, device: str) -> None:
    first = trained(device)
    save(first.state_dict(), tmp_path / "a.safetensors")
    copies = [p.detach().clone().requires_grad_() for p in all_params(first)]
    second = AdamW([{"params": copies[:5]}, {"params": copies[5:]}], lr=7)
    second.load_state_dict(load(tmp_path / "a.safetensors"))  # its tensors come on the cpu
    for step in range(3, 6):
        for optimizer in (first, second):
            set_gradients(all_params(optimizer), step)
            optimizer.step()
    assert same(values(all_params(first)), values(copies))
    for a, b in zip(all_params(first), copies, strict=True):
        for name, held in first.state[a].items():
            np.testing.assert_array_equal(to_numpy(held.array),
                                          to_numpy(second.state[b][name].array))


def test_a_copy_of_the_optimizer_steps_its_own_copies() -> None:
    first = trained()
    before = values(all_params(first))
    second = copy.deepcopy(first)
    for step in range(3, 6):
        set_gradients(all_params(second), step)
        second.step()
    assert same(values(all_params(first)), before)
    for step in range(3, 6):
        set_gradients(all_params(first), step)
        first.step()
    assert same(values(all_params(first)), values(all_params(second)))


def test_how_it_ran_elsewhere_is_not_taken_over() -> None:
    optimizer = trained(kind=AdamW)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group.update(fused=True, capturable=True, differentiable=True,
                     decoupled_weight_decay=False)
    for held in state["state"].values():
        held["step"] = 3  # as PyTorch once wrote it
    optimizer.load_state_dict(state)
    assert [optimizer.param_groups[0][k] for k in (
        "fused", "capturable", "differentiable", "decoupled_weight_decay")] == [
            None, False, False, True]
    step = optimizer.state[all_params(optimizer)[0]]["step"]
    assert (step.item(), step.dtype, step.shape) == (3, np.dtype("float32"), ())


@pytest.mark.parametrize(("name", "value", "message"), [
    ("step", tn.ones(4), r"a step of tensor\(.* for parameter 1: expected one number >= 0"),
    ("step", -1, "a step of -1 for parameter 1"),
    ("step", None, "a step of None for parameter 1"),
    ("exp_avg", tn.ones(5), r"a exp_avg of shape \(5,\) for parameter 1: expected \(4,\)"),
])
def test_a_state_that_does_not_fit_changes_nothing(name: str, value: Any, message: str) -> None:
    optimizer = trained()
    before = optimizer.state_dict()
    state = copy.deepcopy(before)
    state["param_groups"][0]["lr"] = 99
    state["state"][1][name] = value
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for number, held in after["state"].items():
        assert all(held[k] is v for k, v in before["state"][number].items())


def test_one_cycle_moves_the_first_beta_and_resumes(tmp_path: Any) -> None:
    optimizer = trained()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.3, 20)
    for _ in range(6):
        scheduler.step()
    save([optimizer.state_dict(), scheduler.state_dict()], tmp_path / "a.safetensors")
    again = trained()
    resumed = lr_scheduler.OneCycleLR(again, 0.3, 20)
    states = load(tmp_path / "a.safetensors")
    again.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    seen = set()
    for _ in range(10):
        scheduler.step()
        resumed.step()
        assert ([(g["lr"], g["betas"]) for g in again.param_groups]
                == [(g["lr"], g["betas"]) for g in optimizer.param_groups])
        assert optimizer.param_groups[0]["betas"][1] == 0.75
        seen.add(optimizer.param_groups[0]["betas"][0])
    assert len(seen) == 10
    assert "momentum" not in optimizer.param_groups[0]


# -- options -------------------------------------------------------------------------------------


def test_options_are_plain_numbers_whatever_they_came_as() -> None:
    p, q = parameters()[:2]
    optimizer = Adam([{"params": [p], "betas": [np.float32(0.5), tn.tensor(0.25)]},
                      {"params": [q], "lr": np.float64(3)}], lr=tn.tensor(0.5))
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.25)
    assert [type(b) for b in optimizer.param_groups[0]["betas"]] == [float, float]
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 3.0]
    assert [type(g["lr"]) for g in optimizer.param_groups] == [float, float]
    assert repr(optimizer).startswith("Adam (\nParameter Group 0\n    amsgrad: False\n")


P = tn.ones(2, requires_grad=True)
REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "lr": ({"lr": -1}, ValueError, "Invalid learning rate: expected lr >= 0, got -1"),
    "nan": ({"lr": math.nan}, ValueError, "Invalid learning rate: .* got nan"),
    "eps": ({"eps": -1}, ValueError, "Invalid epsilon value: expected eps >= 0, got -1"),
    "decay": ({"weight_decay": -1}, ValueError, "Invalid weight_decay value: expected"),
    "beta 0": ({"betas": (1.0, 0.9)}, ValueError,
               r"Invalid beta parameter at index 0: expected 0 <= betas\[0\] < 1, got 1.0"),
    "beta 1": ({"betas": (0.9, -0.1)}, ValueError, "Invalid beta parameter at index 1: .* -0.1"),
    "one beta": ({"betas": 0.9}, ValueError, "expected betas to be a pair of numbers, got 0.9"),
    "three": ({"betas": (0.9, 0.9, 0.9)}, ValueError, "expected betas to be a pair of numbers"),
    "text": ({"lr": "0.1"}, TypeError, "expected a number for lr, got '0.1'"),
    "beta text": ({"betas": ("a", 0.9)}, TypeError, r"expected a number for betas\[0\], got 'a'"),
    "capturable": ({"capturable": True}, NotImplementedError,
                   "capturable=True is not supported: no graphs of CUDA calls .* leave it out"),
    "fused": ({"fused": True}, NotImplementedError, "fused=True .* no fused kernel; leave it out"),
    "differentiable": ({"differentiable": True}, NotImplementedError,
                       r"differentiable=True .* autograd.grad\(\.\.\., create_graph=True\)"),
}


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("name", REFUSED)
def test_what_it_refuses(name: str, kind: type[Adam]) -> None:
    options, error, message = REFUSED[name]
    with pytest.raises(error, match=f"^{kind.__name__}: {message}"):
        kind([P], **options)
    with pytest.raises(error, match=message):
        kind([{"params": [P], **options}])
    optimizer = kind([P])
    with pytest.raises(error, match=message):
        optimizer.add_param_group({"params": [tn.ones(1, requires_grad=True)], **options})
    assert len(optimizer.param_groups) == 1


def test_no_dict_as_a_group() -> None:
    with pytest.raises(TypeError, match="Adam: expected a param_group dict, got list"):
        Adam([P]).add_param_group([P])  # type: ignore[arg-type]


def test_a_users_state_of_another_kind_is_left_alone() -> None:
    """Only optimizers that count their steps have "step" read as a count."""
    optimizer = SGD([P])
    optimizer.load_state_dict({"state": {0: {"step": "third"}},
                               "param_groups": [{"params": [0]}]})
    assert optimizer.state[P] == {"step": "third"}
