"""Losses: values against NumPy, derivatives to order 3, each device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import grad, gradcheck
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn import functional as F
from tinygrad_norm.ops import loss as ops

random = np.random.default_rng(3)
N, C = 5, 4
X = random.standard_normal((N, C))
T = X + random.uniform(0.2, 2, (N, C)) * random.choice([-1, 1], (N, C))
P = random.uniform(0.05, 0.95, (N, C))
Q = random.uniform(0.05, 0.95, (N, C))
W = random.uniform(0.5, 2, (N, C))
LABELS = np.array([0, 3, 1, 1, 2])
CLASS_WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
PROBABILITIES = Q / Q.sum(1, keepdims=True)


def wide(array: np.ndarray, *, requires_grad: bool = False) -> Any:
    return tn.tensor(array, requires_grad=requires_grad)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(1, keepdims=True))


# -- values -------------------------------------------------------------------------------------

D = np.abs(X - T)
SMOOTH = np.where(D < 0.7, D * D / 1.4, D - 0.35)
BINARY = -(Q * np.log(P) + (1 - Q) * np.log(1 - P))
ONE_HOT = np.eye(C)[LABELS]
PICKED = CLASS_WEIGHT[LABELS]
TABLE: dict[str, tuple[Callable[[], Any], Any]] = {
    "mse": (lambda: F.mse_loss(wide(X), wide(T)), ((X - T) ** 2).mean()),
    "mse sum": (lambda: F.mse_loss(wide(X), wide(T), reduction="sum"), ((X - T) ** 2).sum()),
    "mse none": (lambda: F.mse_loss(wide(X), wide(T), reduction="none"), (X - T) ** 2),
    "mse weight": (lambda: F.mse_loss(wide(X), wide(T), weight=wide(W)),
                   (W * (X - T) ** 2).sum() / W.sum()),
    "mse of ints": (lambda: F.mse_loss(wide(X), tn.tensor([1] * C)[None].expand(N, C)),
                    ((X - 1) ** 2).mean()),
    "l1": (lambda: F.l1_loss(wide(X), wide(T)), D.mean()),
    "smooth_l1": (lambda: F.smooth_l1_loss(wide(X), wide(T), beta=0.7), SMOOTH.mean()),
    "smooth_l1 beta 0": (lambda: F.smooth_l1_loss(wide(X), wide(T), beta=0), D.mean()),
    "huber": (lambda: F.huber_loss(wide(X), wide(T), delta=0.7), (0.7 * SMOOTH).mean()),
    "huber by position": (lambda: F.huber_loss(wide(X), wide(T), "sum", 0.7),
                          (0.7 * SMOOTH).sum()),
    "huber weight": (lambda: F.huber_loss(wide(X), wide(T), delta=0.7, weight=wide(W)),
                     (0.7 * W * SMOOTH).mean()),
    "bce": (lambda: F.binary_cross_entropy(wide(P), wide(Q)), BINARY.mean()),
    "bce weight": (lambda: F.binary_cross_entropy(wide(P), wide(Q), wide(W)), (W * BINARY).mean()),
    "bce ints": (lambda: F.binary_cross_entropy(wide(P), (wide(Q) > 0.5).long()),
                 -np.log(np.where(Q > 0.5, P, 1 - P)).mean()),
    "bce logits": (lambda: F.binary_cross_entropy_with_logits(wide(np.log(P / (1 - P))), wide(Q)),
                   BINARY.mean()),
    "bce logits pos_weight": (
        lambda: F.binary_cross_entropy_with_logits(
            wide(np.log(P / (1 - P))), wide(Q), wide(W), pos_weight=wide(CLASS_WEIGHT)),
        -(W * (CLASS_WEIGHT * Q * np.log(P) + (1 - Q) * np.log(1 - P))).mean()),
    "nll": (lambda: F.nll_loss(wide(X), wide(LABELS)), -(X * ONE_HOT).sum() / N),
    "nll weight": (lambda: F.nll_loss(wide(X), wide(LABELS), wide(CLASS_WEIGHT)),
                   -(X * ONE_HOT * CLASS_WEIGHT).sum() / PICKED.sum()),
    "ce": (lambda: F.cross_entropy(wide(X), wide(LABELS)), -(log_softmax(X) * ONE_HOT).sum() / N),
    "ce int32": (lambda: F.cross_entropy(wide(X), wide(LABELS).int()),
                 -(log_softmax(X) * ONE_HOT).sum() / N),
    "ce weight": (lambda: F.cross_entropy(wide(X), wide(LABELS), wide(CLASS_WEIGHT)),
                  -(log_softmax(X) * ONE_HOT * CLASS_WEIGHT).sum() / PICKED.sum()),
    "ce ignore": (lambda: F.cross_entropy(wide(X), wide(LABELS), ignore_index=1),
                  -(log_softmax(X) * ONE_HOT)[[0, 1, 4]].sum() / 3),
    "ce none": (lambda: F.cross_entropy(wide(X), wide(LABELS), reduction="none"),
                -(log_softmax(X) * ONE_HOT).sum(1)),
    "ce probabilities": (lambda: F.cross_entropy(wide(X), wide(PROBABILITIES)),
                         -(log_softmax(X) * PROBABILITIES).sum() / N),
    "ce smoothing": (
        lambda: F.cross_entropy(wide(X), wide(LABELS), label_smoothing=0.2),
        -(log_softmax(X) * (0.8 * ONE_HOT + 0.2 / C)).sum() / N),
}


@pytest.mark.parametrize("name", TABLE)
def test_value(name: str) -> None:
    function, expected = TABLE[name]
    np.testing.assert_allclose(function().numpy(), expected, rtol=1e-13)


LAYERS: dict[str, tuple[Any, Any]] = {
    "MSELoss": (lambda: nn.MSELoss(), T),
    "L1Loss": (lambda: nn.L1Loss(reduction="sum"), T),
    "SmoothL1Loss": (lambda: nn.SmoothL1Loss(beta=0.5), T),
    "HuberLoss": (lambda: nn.HuberLoss("sum", 0.5), T),
    "BCEWithLogitsLoss": (lambda: nn.BCEWithLogitsLoss(), Q),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(), LABELS),
    "NLLLoss": (lambda: nn.NLLLoss(), LABELS),
}


@pytest.mark.parametrize("name", LAYERS)
def test_float32_and_float16_stay_what_they_are(name: str) -> None:
    layer, target = LAYERS[name][0](), LAYERS[name][1]
    exact = layer(wide(X), wide(target)).item()
    for dtype, tolerance in (("float32", 1e-6), ("float16", 3e-3)):
        x = tn.tensor(X, dtype=dtype, requires_grad=True)
        t = tn.tensor(target, dtype=dtype if target.dtype.kind == "f" else None)
        loss = layer(x, t)
        assert loss.dtype == dtype
        assert loss.item() == pytest.approx(exact, rel=tolerance)
        loss.backward()
        assert x.grad.dtype == dtype


# -- derivatives --------------------------------------------------------------------------------


def derivative(function: Callable[..., Any], order: int) -> Callable[..., Any]:
    """The derivative of ``function`` of that order along fixed directions, as a function."""
    if order == 0:
        return function

    def next_one(*xs: Any) -> Any:
        with tn.enable_grad():
            y = derivative(function, order - 1)(*xs)
            used = [x for x in xs if x.requires_grad]
            gradients = grad((y * y).sum() + y.sum(), used, create_graph=True)
            return sum((g * wide(np.cos(np.arange(g.numel()) + order).reshape(g.shape))).sum()
                       for g in gradients)

    return next_one


def sample(*arrays: np.ndarray) -> list[Any]:
    return [wide(a[:2], requires_grad=True) for a in arrays]


K = LABELS[:2]
V = CLASS_WEIGHT
DIFFERENTIABLE: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "mse": (lambda x, t: F.mse_loss(x, t), sample(X, T)),
    "mse weight": (lambda x, t, w: F.mse_loss(x, t, weight=w), sample(X, T, W)),
    "huber": (lambda x, t: F.huber_loss(x, t, delta=0.7), sample(X, T)),
    "smooth_l1": (lambda x, t: F.smooth_l1_loss(x, t, beta=0.7, reduction="none"), sample(X, T)),
    "l1": (lambda x, t: F.l1_loss(x, t), sample(X, T)),
    "bce": (lambda x, t, w: F.binary_cross_entropy(x, t, w), sample(P, Q, W)),
    "bce logits": (lambda x, t: F.binary_cross_entropy_with_logits(x, t), sample(X, Q)),
    "bce logits pos_weight": (
        lambda x, t, q: F.binary_cross_entropy_with_logits(x, t, pos_weight=q), sample(X, Q, W)),
    "nll": (lambda x: F.nll_loss(x, wide(K), wide(V)), sample(X)),
    "ce": (lambda x: F.cross_entropy(x, wide(K)), sample(X)),
    "ce sum": (lambda x: F.cross_entropy(x, wide(K), reduction="sum"), sample(X)),
    "ce none": (lambda x: F.cross_entropy(x, wide(K), reduction="none"), sample(X)),
    "ce weight": (lambda x: F.cross_entropy(x, wide(K), wide(V)), sample(X)),
    "ce ignore": (lambda x: F.cross_entropy(x, wide(K), ignore_index=3), sample(X)),
    "ce smoothing": (lambda x: F.cross_entropy(x, wide(K), wide(V), label_smoothing=0.1),
                     sample(X)),
    "ce probabilities": (lambda x, q: F.cross_entropy(x, q), sample(X, PROBABILITIES)),
    "ce probabilities, all": (
        lambda x, q: F.cross_entropy(x, q, wide(V), label_smoothing=0.1, reduction="none"),
        sample(X, PROBABILITIES)),
    "ce spatial": (lambda x: F.cross_entropy(x.reshape(1, 4, 2), wide(K[None])), sample(X)),
}


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives_of_order_1_to_3(name: str, order: int) -> None:
    function, xs = DIFFERENTIABLE[name]
    assert gradcheck(derivative(function, order - 1), xs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("layout", ["few classes", "many classes"])
def test_one_operation_gives_what_its_parts_give(layout: str) -> None:
    """Both memory layouts of the fused loss, to third order, against log_softmax."""
    classes = 5 if layout == "few classes" else ops.FEW + 3
    data, k = random.standard_normal((3, classes)), wide(np.array([1, 0, 4]))

    def parts(x: Any) -> Any:
        return -x.log_softmax(1).gather(1, k[:, None]).mean()

    results = []
    for function in (lambda x: F.cross_entropy(x, k), parts):
        x = wide(data, requires_grad=True)
        run = [y := function(x)]
        for _ in range(3):
            (g,) = grad(y, x, create_graph=True)
            y = (g * g * wide(np.arange(3.0 * classes).reshape(3, classes))).sum()
            run.append(g)
        results.append([v.detach().numpy() for v in run])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_inputs_are_left_as_they_were() -> None:
    for name, (function, xs) in DIFFERENTIABLE.items():
        before = [x.array.copy() for x in xs]
        grad(function(*xs).sum(), xs)
        for x, b in zip(xs, before, strict=True):
            np.testing.assert_array_equal(x.array, b, err_msg=name)


# -- devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in DIFFERENTIABLE if not n.startswith("ce ")])
def test_elementwise_losses_on_each_device(name: str, device: str) -> None:
    function, xs = DIFFERENTIABLE[name]
    if name in ("nll", "ce"):
        function = {"nll": F.nll_loss, "ce": F.cross_entropy}[name]
        xs = [xs[0], tn.tensor(K)]
    check_device(function, xs, device)


@pytest.mark.parametrize("options", [
    {}, {"reduction": "sum"}, {"reduction": "none"}, {"weight": V}, {"ignore_index": 3},
    {"label_smoothing": 0.1}, {"weight": V, "label_smoothing": 0.1, "reduction": "none"},
])
def test_cross_entropy_on_each_device(options: dict[str, Any], device: str) -> None:
    def function(x: Any, k: Any) -> Any:
        given = {name: tn.tensor(v, device=x.device) if isinstance(v, np.ndarray) else v
                 for name, v in options.items()}
        return F.cross_entropy(x, k, **given)

    check_device(function, [wide(X[:2], requires_grad=True), tn.tensor(K)], device)
    if "ignore_index" not in options:
        check_device(function, sample(X, PROBABILITIES), device)


def check_device(function: Callable[..., Any], xs: list[Any], device: str) -> None:
    """The same value and gradients as on the cpu, and nothing leaves the device on the way."""
    results = []
    for place in ("cpu", device):
        here = [x.detach().to(place).requires_grad_(x.requires_grad) for x in xs]
        before = dict(strict.traffic)
        y = function(*here)
        used = [x for x in here if x.requires_grad]
        gradients = grad(y.sum(), used, create_graph=True)
        if gradients[0].requires_grad:
            grad(sum((g * g).sum() for g in gradients), used, allow_unused=True)
        assert (strict.traffic["out"], strict.traffic["item"]) == (
            before.get("out", 0), before.get("item", 0))
        assert all(g.device == y.device == here[0].device for g in gradients)
        results.append([to_numpy(v.array) for v in (y, *gradients)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_labels_out_of_range_on_a_device_give_nan() -> None:
    """A look at them would wait for the device."""
    labels = tn.tensor([0, C, 1, -1, 2], device="strict")
    x = tn.tensor(X, device="strict")
    assert math.isnan(F.cross_entropy(x, labels).item())
    each = to_numpy(F.cross_entropy(x, labels, reduction="none").array)
    np.testing.assert_array_equal(np.isnan(each), [False, True, False, True, False])


def test_devices_are_not_mixed() -> None:
    with pytest.raises(tn.errors.DeviceError, match="cpu"):
        F.mse_loss(tn.tensor(X, device="strict"), tn.tensor(T))
    with pytest.raises(tn.errors.DeviceError, match="cpu"):
        F.cross_entropy(tn.tensor(X, device="strict"), tn.tensor(LABELS))
