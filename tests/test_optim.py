"""SGD: what it computes and what it refuses."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.optim import SGD, Optimizer
from tinygrad_norm.optim.blocks import BLOCK, SMALL

SHAPES = [(3, 4), (4,), ()]


def parameters(device: str = "cpu", shapes: Any = None, dtype: str = "float64") -> list[tn.Tensor]:
    return [tn.randn(*shape, dtype=dtype, device=device, requires_grad=True)
            for shape in shapes or SHAPES]


def set_gradients(params: list[tn.Tensor], seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for p in params:
        p.grad = tn.tensor(random.normal(size=p.shape), dtype=p.dtype, device=p.device)


def values(params: list[tn.Tensor]) -> list[np.ndarray]:
    return [to_numpy(p.array).copy() for p in params]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# -- steps ---------------------------------------------------------------------------------------


def formula(p: Any, g: Any, b: Any, o: dict[str, Any]) -> tuple[Any, Any]:
    """SGD as its docstring has it."""
    g = (-g if o["maximize"] else g) + o["weight_decay"] * p
    d = g
    if o["momentum"]:
        b = g if b is None else o["momentum"] * b + (1 - o["dampening"]) * g
        d = g + o["momentum"] * b if o["nesterov"] else b
    return p - o["lr"] * d, b


OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True},
    {"weight_decay": 0.1, "maximize": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_follow_the_formula_on_every_device(device: str, options: dict[str, Any]) -> None:
    params = parameters(device)
    optimizer = SGD(params, lr=0.1, **options)
    expected, buffers = values(params), [None] * len(params)
    for step in range(4):
        set_gradients(params, step)
        for i, g in enumerate(values([p.grad for p in params])):
            expected[i], buffers[i] = formula(expected[i], g, buffers[i], optimizer.param_groups[0])
        strict.traffic.clear()
        optimizer.step()
        assert not strict.traffic, "a step moves nothing between devices"
    for got, want in zip(values(params), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


LARGE = [(BLOCK + 1,), (3, SMALL), (300, 300), (1, 2 * BLOCK), (2, 0)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_blocks_give_the_bits_of_whole_arrays(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], dtype: str
) -> None:
    results = []
    monkeypatch.setattr("tinygrad_norm.backend.large.update", None)  # without loops
    for small in (0, 10**9):
        for file in ("blocks", "together"):
            monkeypatch.setattr(f"tinygrad_norm.optim.{file}.SMALL", small)
        tn.manual_seed(1)
        params = parameters(shapes=[*LARGE, (5, 7)], dtype=dtype)
        optimizer = SGD(params, lr=0.1, **options)
        for step in range(3):
            set_gradients(params, step)
            optimizer.step()
        results.append(values(params))
    assert same(*results)


@pytest.mark.parametrize("make", [
    lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda p: tn.optim.Adam(p, lr=0.1, amsgrad=True), lambda p: tn.optim.AdamW(p, lr=0.1)])
def test_loops_step_as_the_rule_does(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    results = []
    for loops in (True, False):
        if not loops:
            monkeypatch.setattr("tinygrad_norm.backend.large.update", None)
        tn.manual_seed(1)
        params = parameters(shapes=LARGE, dtype="float32")
        optimizer = make(params)
        for step in range(4):
            set_gradients(params, step)
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.step()
        results.append(values(params))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


def test_arrays_out_of_order_are_stepped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygrad_norm.backend.large.update", None)  # loops round otherwise
    weight = np.random.default_rng(0).normal(size=(200, 300))
    p = tn.from_numpy(weight.copy()).T.detach().requires_grad_()
    q = tn.tensor(weight.T.copy(), requires_grad=True)
    assert not p.is_contiguous()
    for one in (p, q):
        optimizer = SGD([one], lr=0.1, momentum=0.9)
        for step in range(2):
            set_gradients([one], step)
            optimizer.step()
    assert same(values([p]), values([q]))


def test_steps_go_into_the_memory_and_are_stamped() -> None:
    p = tn.ones(3, requires_grad=True)
    array = p.array
    y = (p * p).sum()
    set_gradients([p])
    gradient = values([p.grad])
    SGD([p], lr=0.1, momentum=0.9, weight_decay=0.1, maximize=True).step()
    assert p.array is array
    assert same(values([p.grad]), gradient)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_parameters_without_a_gradient_are_skipped() -> None:
    params = parameters()
    optimizer = SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1)
    set_gradients(params[:1])
    before = values(params)
    optimizer.step()
    assert same(values(params)[1:], before[1:])
    assert not same(values(params)[:1], before[:1])
    assert list(optimizer.state_dict()["state"]) == [0]


def test_closure_is_called_with_recording_on() -> None:
    p = tn.tensor([2.0], requires_grad=True)
    optimizer = SGD([p], lr=0.25)

    def closure() -> tn.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tn.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.item() == 1
    assert optimizer.step() is None


def test_zero_grad() -> None:
    params = parameters()
    optimizer = SGD(params, lr=0.1)
    set_gradients(params[:2])
    held = params[0].grad
    optimizer.zero_grad(set_to_none=False)
    assert held.tolist() == np.zeros((3, 4)).tolist()
    assert params[2].grad is None
    optimizer.zero_grad()
    assert [p.grad for p in params] == [None] * 3


def test_momentum_on_another_device_than_its_parameter_is_named() -> None:
    params = parameters()
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    set_gradients(params)
    optimizer.step()
    for p in params:  # as Module.to does it
        p.data = p.detach().to("strict")
    set_gradients(params)
    with pytest.raises(tn.errors.DeviceError, match=re.escape(
            "SGD: a parameter of shape (3, 4) is on strict:0, its momentum_buffer on cpu; move the "
            "model first")):
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())  # the cure that the message names
    optimizer.step()


# -- groups --------------------------------------------------------------------------------------


def test_groups_have_options_of_their_own() -> None:
    a, b, c = parameters()
    optimizer = SGD([{"params": a, "lr": 0.5}, {"params": [b]}], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": iter([c]), "momentum": np.float32(0.5)})
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1, 0.1]
    assert [g["momentum"] for g in optimizer.param_groups] == [0.9, 0.9, 0.5]
    assert type(optimizer.param_groups[2]["momentum"]) is float
    assert optimizer.defaults["lr"] == 0.1
    assert "    lr: 0.5\n" in repr(optimizer)
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n")


def test_options_are_plain_numbers_whatever_they_came_as() -> None:
    optimizer = SGD(parameters(), lr=tn.tensor(0.5), momentum=np.float64(0.5))
    assert [type(optimizer.param_groups[0][k]) for k in ("lr", "momentum")] == [float, float]


def test_named_parameters() -> None:
    named = list(zip(["weight", "bias"], parameters()[:2], strict=True))
    optimizer = SGD(iter(named), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"][1] is named[1][1]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def leaf() -> tn.Tensor:
    return tn.ones(2, requires_grad=True)


P = leaf()
REFUSED = {
    "lr": (lambda: SGD([P], lr=-1), ValueError, "Invalid learning rate: expected lr >= 0, got -1"),
    "nan": (lambda: SGD([P], lr=math.nan), ValueError, "Invalid learning rate: .* got nan"),
    "momentum": (lambda: SGD([P], momentum=-1), ValueError, "Invalid momentum value: .* got -1"),
    "decay": (lambda: SGD([P], weight_decay=-1), ValueError, "Invalid weight_decay value"),
    "text": (lambda: SGD([P], lr="0.1"), TypeError, "expected a number for lr, got '0.1'"),
    "group lr": (lambda: SGD([{"params": [P], "lr": -1}]), ValueError, "Invalid learning rate"),
    "nesterov": (lambda: SGD([P], nesterov=True), ValueError,
                 "Nesterov momentum requires a momentum and zero dampening, got momentum=0"),
    "dampened": (lambda: SGD([P], momentum=0.9, dampening=0.1, nesterov=True), ValueError,
                 "zero dampening, got momentum=0.9, dampening=0.1"),
    "empty": (lambda: SGD([]), ValueError, "got an empty parameter list; does the model have"),
    "momentum on empty": (lambda: SGD(iter(()), momentum=0.9), ValueError, "empty parameter list"),
    "tensor": (lambda: SGD(P), TypeError, "expected an iterable of tensors or dicts, got a single"),
    "module": (lambda: SGD(tn.nn.Linear(1, 1)), TypeError,
               r"got a Linear; pass a model's parameters\(\)"),
    "no tensor": (lambda: SGD([P, 1.0]), TypeError,
                  "can only optimize tensors, got float at position 1"),
    "non-leaf": (lambda: SGD([P, P * 2]), ValueError,
                 r"can't optimize a non-leaf tensor: number 1, of shape \(2,\), was computed"),
    "two groups": (lambda: SGD([{"params": [leaf(), P]}, {"params": [leaf(), P]}]), ValueError,
                   r"more than one parameter group: number 1 of group 1, of shape \(2,\)"),
    "set": (lambda: SGD([{"params": {P}}]), TypeError, "expected an ordered collection"),
    "no dict": (lambda: SGD([P]).add_param_group([P]), TypeError,
                "expected a param_group dict, got list"),
    "no params": (lambda: SGD([P]).add_param_group({"lr": 1}), ValueError,
                  "needs the key 'params', got 'lr'"),
    "some names": (lambda: SGD([("a", P), leaf()]), ValueError,
                   "all parameters with names or all without, got 1 names for 2"),
    "group names": (lambda: SGD([{"params": [P]}, {"params": [("a", leaf())]}]), ValueError,
                    "all parameter groups with names or all without"),
    "no step": (lambda: Optimizer([P], {}).step(), NotImplementedError,
                r"Optimizer: define step\(self, closure=None\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_optimizer_refuses(name: str) -> None:
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


class Foreign:
    """As a tensor of another library."""

    shape, dtype = (2,), "torch.float32"


def test_a_state_of_arrays_or_of_another_library() -> None:
    parameter, state = leaf(), {"momentum_buffer": np.full(2, 3.0, np.float32)}
    optimizer = SGD([parameter], lr=1.0, momentum=0.5)
    saved = {**optimizer.state_dict(), "state": {0: state}}
    optimizer.load_state_dict(saved)
    before = parameter.detach().clone()
    parameter.grad = tn.zeros(2)
    optimizer.step()
    assert (before - parameter).tolist() == [1.5, 1.5]
    assert state["momentum_buffer"].tolist() == [3.0, 3.0]
    state["momentum_buffer"] = Foreign()
    with pytest.raises(TypeError, match=(
            r"SGD: expected as momentum_buffer of parameter 0 a tensor or an array, got a Foreign "
            r"of torch.float32; tensor\(value.numpy\(\)\) makes one of PyTorch's")):
        optimizer.load_state_dict(saved)
    assert optimizer.state[parameter]["momentum_buffer"].tolist() == [1.5, 1.5]


def test_a_parameter_twice_in_a_group_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="holds a parameter twice"):
        SGD([P, P])


@pytest.mark.filterwarnings("ignore:.*a parameter twice")
def test_a_parameter_twice_is_stepped_twice_beside_many_or_few() -> None:
    results = []
    for others in (0, 6):
        p = tn.tensor([1.0, 2.0], requires_grad=True)
        params = [p, p, *(tn.ones(2, requires_grad=True) for _ in range(others))]
        optimizer = SGD(params, lr=0.1, momentum=0.9)
        for _ in range(4):
            optimizer.zero_grad()
            sum((q * q).sum() for q in params).backward()
            optimizer.step()
        results.append(p.tolist())
    assert results[0] == results[1]


def test_a_parameter_added_by_hand_is_stepped_too() -> None:
    """Small parameters are gathered once; a group that changes is gathered anew."""
    parameters = [tn.ones(2, requires_grad=True) for _ in range(6)]
    optimizer = tn.optim.SGD(parameters[:5], lr=0.5)
    for p in parameters:
        p.grad = tn.ones(2)
    optimizer.step()
    optimizer.param_groups[0]["params"].append(parameters[5])
    del optimizer.param_groups[0]["params"][0]
    optimizer.step()
    assert [p[0].item() for p in parameters] == [0.5, 0.0, 0.0, 0.0, 0.0, 0.5]


def test_sgd_of_float16_keeps_the_value_of_its_numbers(device: str) -> None:
    """1e-8 is 0 in float16; the step is not."""
    for momentum in (0, 0.5):
        p = tn.full((2,), 1e-3, dtype=tn.float16, device=device).requires_grad_()
        optimizer = tn.optim.SGD([p], lr=1e-8, momentum=momentum)
        for _ in range(2):
            p.grad = tn.full((2,), 6e4, dtype=tn.float16, device=device)
            optimizer.step()
        steps = 2 + momentum
        exact = np.float16(1e-3).astype(float) - steps * 1e-8 * np.float16(6e4).astype(float)
        assert p.dtype == tn.float16
        np.testing.assert_allclose(p.detach().cpu().numpy(), exact, atol=2e-6)
