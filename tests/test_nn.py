"""Linear layers, dropout; the errors and the texts of layers."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import gradcheck, gradgradcheck
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn import functional as F

random = np.random.default_rng(11)


# -- linear -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool, device: str) -> None:
    layer = nn.Linear(4, 2, bias=bias, device=device, dtype=tn.float64)
    data = random.standard_normal(shape)
    x = tn.tensor(data, device=device, requires_grad=True)
    y = layer(x)
    w = to_numpy(layer.weight.array)
    b = to_numpy(layer.bias.array) if bias else 0
    np.testing.assert_allclose(to_numpy(y.array), data @ w.T + b, rtol=1e-12)
    y.sum().backward()
    np.testing.assert_allclose(to_numpy(x.grad.array), np.broadcast_to(w.sum(0), shape))
    flat = data.reshape(-1, 4)
    np.testing.assert_allclose(to_numpy(layer.weight.grad.array), [flat.sum(0)] * 2, atol=1e-12)
    if bias:
        assert to_numpy(layer.bias.grad.array).tolist() == [len(flat)] * 2
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + bias]


def test_linear_derivatives() -> None:
    x, w, b = (tn.tensor(random.standard_normal(s), requires_grad=True)
               for s in ((2, 3), (2, 3), (2,)))
    assert gradcheck(F.linear, (x, w, b))
    assert gradgradcheck(F.linear, (x, w, b))
    row = tn.tensor(random.standard_normal(3), requires_grad=True)
    assert gradcheck(F.linear, (x, row))
    assert F.linear(x, row, tn.tensor(1.0)).shape == (2,)


def test_linear_starts_within_its_bound() -> None:
    layer = nn.Linear(100, 50)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= 0.1
        assert values.std() == pytest.approx(0.1 / math.sqrt(3), rel=0.3)
    before = layer.weight.tolist()
    layer.reset_parameters()
    assert layer.weight.tolist() != before
    tn.manual_seed(1)
    a = nn.Linear(3, 3).weight.tolist()
    tn.manual_seed(1)
    assert nn.Linear(3, 3).weight.tolist() == a
    assert nn.Linear(0, 2)(tn.zeros(3, 0)).tolist() == [[0, 0]] * 3


def test_flatten() -> None:
    x = tn.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(0, 2)(x).shape == (24, 5)
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"


# -- dropout ------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_masks_the_gradient(device: str) -> None:
    x = tn.ones(200, 100, device=device, requires_grad=True)
    y = nn.Dropout(0.3)(x)
    y.sum().backward()
    values = to_numpy(y.array)
    assert set(np.unique(values)) == {0.0, np.float32(1 / 0.7)}
    assert (values == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert values.mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(to_numpy(x.grad.array), values)


def test_dropout_is_the_same_on_each_device_for_a_seed(device: str) -> None:
    results = []
    for place in ("cpu", device, device):
        tn.manual_seed(5)
        y = F.dropout(tn.ones(50, device=place), 0.5)
        results.append(to_numpy(y.array).tolist())
    assert results[0] == results[1] == results[2]
    assert to_numpy(F.dropout(tn.ones(50, device=device)).array).tolist() != results[0]


def test_dropout_in_eval_and_at_the_ends() -> None:
    x = tn.ones(5, requires_grad=True)
    layer = nn.Dropout()
    assert layer.eval()(x) is x
    assert F.dropout(x, training=False) is x
    assert F.dropout(x, 0.0).tolist() == [1] * 5
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert y.tolist() == x.grad.tolist() == [0] * 5
    assert F.dropout(tn.ones(()), 0.5).shape == ()
    assert F.dropout(tn.ones(3).half()).dtype == tn.float16
    assert F.dropout(tn.ones(3, dtype="int64")).dtype == tn.float32
    assert repr(layer) == "Dropout(p=0.5)"


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_dropout_checks_p(p: float) -> None:
    for call in (lambda: nn.Dropout(p), lambda: F.dropout(tn.ones(1), p)):
        with pytest.raises(ValueError, match="expected a probability p between 0 and 1, got"):
            call()


# -- errors, texts, names -----------------------------------------------------------------------

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.gelu(tn.ones(1), approximate="fast"), RuntimeError,
     "gelu: expected approximate none or tanh, got 'fast'"),
    (lambda: nn.GELU("fast"), RuntimeError, "GELU: expected approximate none or tanh, got 'fast'"),
    (lambda: nn.Softplus(0), ValueError, "Softplus: expected beta other than 0; it divides"),
    (lambda: F.softmax(tn.ones(2, 2), 3), IndexError, "softmax: "),
    (lambda: F.softmax(tn.ones(2, 2).long(), 1), TypeError,
     "softmax: expected a floating point tensor, got int64"),
    (lambda: nn.Linear(3, 2)(tn.ones(2, 4)), ValueError,
     "Linear: expected input (*, 3), got (2, 4)"),
    (lambda: nn.Linear(3, 2)(tn.ones(())), ValueError, "Linear: expected input (*, 3), got ()"),
    (lambda: F.linear(tn.ones(2, 4), tn.ones(2, 3)), ValueError,
     "linear: expected input (*, in) and weight (out, in), got (2, 4) and (2, 3)"),
    (lambda: F.linear(tn.ones(2, 3), tn.ones(2, 3), tn.ones(3)), ValueError,
     "linear: expected bias (2,) for weight (2, 3), got (3,)"),
    (lambda: nn.Sequential(nn.ReLU(), 3), TypeError, "Sequential: expected a Module, got int"),
    (lambda: nn.Sequential({"a": 3}), TypeError, "Sequential: expected a Module, got int"),
    (lambda: nn.ModuleList([tn.ones(1)]), TypeError, "ModuleList: expected a Module, got Tensor"),
    (lambda: nn.ModuleList().append("x"), TypeError, "ModuleList: expected a Module, got str"),
    (lambda: nn.Sequential(nn.ReLU())[1], IndexError,
     "Sequential: index 1 is out of range for 1 modules"),
    (lambda: nn.ModuleList([nn.ReLU()]).insert(3, nn.ReLU()), IndexError,
     "ModuleList: index 3 is out of range for 1 modules"),
    (lambda: nn.ModuleList().__delitem__(0), IndexError, "index 0 is out of range for 0 modules"),
    (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "attribute 'keys' already exists"),
    (lambda: nn.ModuleDict({1: nn.ReLU()}), TypeError, "name: expected a string, got int"),
    (lambda: nn.ModuleDict({"a": 1}), TypeError, "ModuleDict: expected a Module, got int"),
    (lambda: nn.ModuleDict()["a"], KeyError, "a"),
    (lambda: nn.init.calculate_gain("swish"), ValueError, "calculate_gain: expected one of"),
    (lambda: nn.init.xavier_normal_(tn.ones(2)), ValueError,
     "xavier_normal_: fan in and fan out need at least 2 dimensions, got (2,)"),
    (lambda: nn.init.kaiming_normal_(tn.ones(2, 2), mode="fan"), ValueError,
     "kaiming_normal_: expected mode fan_in or fan_out, got 'fan'"),
    (lambda: nn.init.orthogonal_(tn.ones(2)), ValueError, "orthogonal_: expected at least 2"),
    (lambda: nn.init.eye_(tn.ones(2)), ValueError, "eye_: expected 2 dimensions, got (2,)"),
    (lambda: nn.init.trunc_normal_(tn.ones(2), a=1, b=1), ValueError,
     "trunc_normal_: expected a < b, got 1 and 1"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[m[:50] for _, _, m in ERRORS])
def test_error(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_reprs_show_the_arguments() -> None:
    assert [repr(m) for m in (nn.ReLU(), nn.LeakyReLU(0.1), nn.GELU(), nn.Softplus(), nn.Softmax(1),
                              nn.Identity(), nn.ELU())] == [
        "ReLU()", "LeakyReLU(negative_slope=0.1)", "GELU(approximate='none')",
        "Softplus(beta=1.0, threshold=20.0)", "Softmax(dim=1)", "Identity()", "ELU(alpha=1.0)"]


def test_the_tables_of_contents_are_complete() -> None:
    for module in (nn, F):
        for name in module.__all__:
            assert getattr(module, name) is not None
        shown = {n for n, v in vars(module).items()
                 if n[0] != "_" and (inspect.isclass(v) or inspect.isfunction(v))}
        assert shown <= set(module.__all__)
