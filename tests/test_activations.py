"""Activations: formulas, dtypes, derivatives of order 1 to 3, special points."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import grad, gradcheck, gradgradcheck
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn import functional as F

random = np.random.default_rng(11)
X = random.uniform(0.2, 2.5, (3, 4)) * random.choice([-1, 1], (3, 4))
FAR = np.array([-1e4, -800.0, -30.0, -1e-8, 0.0, 1e-8, 30.0, 800.0, 1e4])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def phi(x: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any], Any]] = {
    "ReLU": (lambda: nn.ReLU(), F.relu, lambda x: np.maximum(x, 0)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.1), lambda x: F.leaky_relu(x, 0.1),
                  lambda x: np.where(x > 0, x, 0.1 * x)),
    "ELU": (lambda: nn.ELU(0.7), lambda x: F.elu(x, 0.7),
            lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1))),
    "GELU": (lambda: nn.GELU(), F.gelu, lambda x: x * phi(x)),
    "GELU tanh": (lambda: nn.GELU("tanh"), lambda x: F.gelu(x, approximate="tanh"),
                  lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "SiLU": (lambda: nn.SiLU(), F.silu, lambda x: x * sigmoid(x)),
    "Softplus": (lambda: nn.Softplus(), F.softplus, lambda x: np.log(1 + np.exp(x))),
    "Softplus beta": (lambda: nn.Softplus(2, 3), lambda x: F.softplus(x, 2, 3),
                      lambda x: np.where(2 * x > 3, x, np.log(1 + np.exp(2 * x)) / 2)),
    "Tanh": (lambda: nn.Tanh(), F.tanh, np.tanh),
    "Sigmoid": (lambda: nn.Sigmoid(), F.sigmoid, sigmoid),
    "Softmax": (lambda: nn.Softmax(1), lambda x: F.softmax(x, 1), softmax),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), lambda x: F.log_softmax(x, dim=1),
                   lambda x: np.log(softmax(x))),
    "Identity": (lambda: nn.Identity(3, any="thing"), lambda x: x, lambda x: x),
}
SMOOTH = [n for n in ACTIVATIONS if n not in ("ReLU", "LeakyReLU", "Identity")]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_its_formula(name: str, device: str) -> None:
    layer, function, formula = ACTIVATIONS[name]
    x = tn.tensor(X, device=device)
    before = strict.traffic["out"], strict.traffic["item"]
    ys = layer()(x), function(x)
    assert (strict.traffic["out"], strict.traffic["item"]) == before
    for y in ys:
        assert y.device == x.device
        np.testing.assert_allclose(to_numpy(y.array), formula(X), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(to_numpy(x.array), X)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_the_dtype(name: str, dtype: str) -> None:
    layer, _, formula = ACTIVATIONS[name]
    x = tn.tensor(X, dtype=dtype, requires_grad=True)
    y = layer()(x)
    y.sum().backward()
    assert str(y.dtype) == str(x.grad.dtype) == dtype
    np.testing.assert_allclose(y.detach().numpy(), formula(X), rtol=2e-3 if dtype == "float16"
                               else 1e-5, atol=1e-3 if dtype == "float16" else 1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_derivatives_of_order_1_and_2(name: str) -> None:
    layer = ACTIVATIONS[name][0]()
    x = tn.tensor(X[:2, :3].copy(), requires_grad=True)
    assert gradcheck(layer, x, atol=1e-7, rtol=1e-7)
    assert gradgradcheck(layer, x, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_activation_derivative_of_order_3(name: str) -> None:
    layer = ACTIVATIONS[name][0]()
    v = tn.tensor(np.cos(np.arange(6.0)).reshape(2, 3))

    @tn.enable_grad
    def second(x: tn.Tensor) -> tn.Tensor:
        y = (layer(x) ** 2).sum()
        for _ in range(2):
            y = (grad(y, x, create_graph=True)[0] * v).sum()
        return y

    assert gradcheck(second, tn.tensor(X[:2, :3].copy(), requires_grad=True), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_finite_far_out_and_at_zero_to_order_3(name: str) -> None:
    x = tn.tensor(FAR[None] if "oft" in name else FAR, requires_grad=True)
    y = ACTIVATIONS[name][0]()(x)
    for order in range(4):
        assert np.isfinite(y.detach().numpy()).all(), f"order {order}"
        if not y.requires_grad:
            break
        (y,) = grad(y.sum(), x, create_graph=True)


def test_gradients_at_the_kink_are_pytorchs() -> None:
    for layer, expected in ((nn.ReLU(), 0), (nn.LeakyReLU(0.1), 0.1), (nn.ELU(0.7), 0.7)):
        x = tn.tensor(0.0, requires_grad=True)
        layer(x).backward()
        assert x.grad.item() == pytest.approx(expected)


def test_relu_is_one_operation() -> None:
    x = tn.ones(2, requires_grad=True)
    assert nn.ReLU()(x).grad_fn.next_functions[0][0] is x


def test_inplace_is_accepted_and_leaves_the_input() -> None:
    x = tn.tensor([-1.0, 1.0])
    for layer in (nn.ReLU(inplace=True), nn.LeakyReLU(0.1, True), nn.ELU(1.0, True),
                  nn.SiLU(True), nn.Dropout(0.5, True)):
        layer(x)
        assert x.tolist() == [-1, 1]
    for function in (F.relu, F.leaky_relu, F.elu, F.silu, F.dropout):
        function(x, inplace=True)
        assert x.tolist() == [-1, 1]


def test_relu_of_ints_stays_int_and_others_become_float() -> None:
    x = tn.tensor([-1, 2])
    assert F.relu(x).dtype == tn.int64
    assert F.gelu(x).dtype == tn.float32


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax_options(function: Any) -> None:
    x = tn.tensor(X).half()
    assert function(x, 1, dtype=tn.float64).dtype == tn.float64
    with pytest.warns(UserWarning, match="dim was left out and 1 is taken for 2 dim") as caught:
        implicit = function(x)
    assert implicit.tolist() == function(x, 1).tolist()
    assert caught[0].filename == __file__


def test_elu_of_nan_has_no_gradient_of_one() -> None:
    for n in (2, 512):
        x = tn.tensor([float("nan"), 1.0] * (n // 2), requires_grad=True)
        (dx,) = tn.autograd.grad(tn.nn.functional.elu(x).sum(), x)
        assert np.isnan(dx.numpy()[::2]).all()
        assert (dx.numpy()[1::2] == 1).all()
