"""EvoNorm against a transcription of Liu et al. 2020 (arXiv:2004.02967), Table 2."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import Series, array, directional, randomize, tensor
from norm_runs import check_device, check_gradients, check_statistics_stay, refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = 1e-3
B0 = [(3, 4, 5), (3, 4, 2, 3), (2, 4, 2, 1, 3)]
S0 = [(3, 4), *B0]

b0 = pytest.mark.parametrize("shape", B0, ids=["x".join(map(str, s)) for s in B0])
s0 = pytest.mark.parametrize("shape", S0, ids=["x".join(map(str, s)) for s in S0])


def batch(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Samples and channels of different offsets and widths, so that either deviation may win."""
    random = np.random.default_rng(seed)
    own = random.uniform(0.2, 2, (*shape[:2], *(1 for _ in shape[2:])))
    return random.standard_normal(shape) * own + random.uniform(-1, 1, own.shape)


def table_b0(
    x: np.ndarray, batch_var: np.ndarray, v: np.ndarray, γ: np.ndarray, β: np.ndarray
) -> np.ndarray:
    """x / max(√s²_{b,w,h}(x), v₁ x + √s²_{w,h}(x)) γ + β, value by value."""
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        n, c = i[:2]
        instance = np.sqrt(x[n, c].var() + EPS)
        y[i] = x[i] / max(np.sqrt(batch_var[c] + EPS), v[c] * x[i] + instance) * γ[c] + β[c]
    return y


def table_s0(
    x: np.ndarray, groups: int, v: np.ndarray, γ: np.ndarray, β: np.ndarray
) -> np.ndarray:
    """x σ(v₁ x) / √s²_{w,h,c/g}(x) γ + β, value by value."""
    y = np.empty_like(x)
    each = x.shape[1] // groups
    for i in np.ndindex(x.shape):
        n, c = i[:2]
        group = x[n, c // each * each : (c // each + 1) * each]
        gate = 1 / (1 + np.exp(-v[c] * x[i]))
        y[i] = x[i] * gate / np.sqrt(group.var() + EPS) * γ[c] + β[c]
    return y


@b0
def test_b0(shape: tuple[int, ...], device: str) -> None:
    """Training and inference in turn, with the running variance."""
    layer = tn.nn.EvoNormB0(4, eps=EPS, momentum=0.3, dtype=tn.float64, device=device)
    p = randomize(layer, np.random.default_rng(0))
    layer.reset_running_stats()
    running, n = np.ones(4), np.prod(shape) / 4
    for step in range(4):
        x = batch(shape, step)
        var = np.array([x[:, c].var() for c in range(4)])
        running = 0.7 * running + 0.3 * var * n / (n - 1)
        y = layer.train()(tensor(x, device))
        np.testing.assert_allclose(array(y), table_b0(x, var, p["v"], p["weight"], p["bias"]),
                                   rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(array(layer.running_var), running, rtol=1e-12)
        x = batch(shape, 100 + step)
        y = layer.eval()(tensor(x, device))
        np.testing.assert_allclose(array(y), table_b0(x, running, p["v"], p["weight"], p["bias"]),
                                   rtol=1e-11, atol=1e-13)
    assert layer.num_batches_tracked.item() == 4


@s0
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_s0(shape: tuple[int, ...], groups: int, training: bool, device: str) -> None:
    layer = tn.nn.EvoNormS0(4, groups, eps=EPS, dtype=tn.float64, device=device)
    p = randomize(layer, np.random.default_rng(0))
    x = batch(shape)
    y = layer.train(training)(tensor(x, device))
    np.testing.assert_allclose(array(y), table_s0(x, groups, p["v"], p["weight"], p["bias"]),
                               rtol=1e-11, atol=1e-13)


def test_either_deviation_wins_somewhere() -> None:
    """So that the test of B0 tells max from either."""
    x = batch(B0[0])
    p = randomize(tn.nn.EvoNormB0(4), np.random.default_rng(0))
    won = {bool(np.sqrt(x[:, c].var() + EPS) > p["v"][c] * x[n, c, k]
                + np.sqrt(x[n, c].var() + EPS))
           for n, c, k in itertools.product(*map(range, x.shape))}
    assert won == {True, False}


LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    *((lambda **o: tn.nn.EvoNormB0(4, eps=EPS, **o), s) for s in B0),
    *((lambda **o: tn.nn.EvoNormS0(4, 2, eps=EPS, **o), s) for s in S0),
    (lambda **o: tn.nn.EvoNormB0(4, nonlinear=False, **o), (3, 4, 2)),
    (lambda **o: tn.nn.EvoNormS0(4, 2, nonlinear=False, bias=False, **o), (3, 4)),
]
layers = pytest.mark.parametrize(("make", "shape"), LAYERS,
                                 ids=[f"{m()} of {s}" for m, s in LAYERS])


@layers
def test_gradients_of_first_and_second_order(make: Any, shape: tuple[int, ...]) -> None:
    layer = make(dtype=tn.float64)
    randomize(layer, np.random.default_rng(0))
    for training in (True, False):
        check_gradients(layer.train(training), batch(shape))


@s0
@pytest.mark.parametrize("groups", [1, 2])
def test_derivatives_of_order_1_to_4_of_s0(shape: tuple[int, ...], groups: int) -> None:
    """Along a line, against Taylor series, with σ(z) as (1 + tanh(z/2))/2 written as a power."""
    layer = tn.nn.EvoNormS0(4, groups, eps=EPS, dtype=tn.float64)
    randomize(layer, np.random.default_rng(0))
    random = np.random.default_rng(1)
    x, along, outward = batch(shape), *random.standard_normal((2, *shape))
    beside = (1, 4, *(1 for _ in shape[2:]))
    line = Series.line(x, along)
    grouped = line.reshape((shape[0], groups, -1))
    n = grouped.c.shape[-1]
    away = grouped - grouped.sum(axis=(2,), keepdims=True) * (1 / n)
    var = (away * away).sum(axis=(2,), keepdims=True) * (1 / n)
    gate = (exponential(line * (-array(layer.v).reshape(beside))) + 1.0) ** -1
    y = ((line * gate).reshape(grouped.c.shape[1:]) * (var + EPS) ** -0.5).reshape(shape)
    y = y * array(layer.weight).reshape(beside) + array(layer.bias).reshape(beside)
    leaf = tensor(x, grad=True)
    value = (layer(leaf) * tensor(outward)).sum()
    np.testing.assert_allclose(directional(value, [leaf], [tensor(along)]),
                               (y * outward).sum().derivatives, rtol=1e-9)


def exponential(u: Series) -> Series:
    """From y' = u' y, coefficient by coefficient."""
    y = [np.exp(u.c[0])]
    for k in range(1, len(u.c)):
        y.append(sum(j * u.c[j] * y[k - j] for j in range(1, k + 1)) / k)
    return Series(y)


@layers
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_they_stay_on_their_device(
    make: Any, shape: tuple[int, ...], dtype: str, training: bool, device: str
) -> None:
    check_device(make, batch(shape), device, dtype, training=training)


# -- identities --------------------------------------------------------------------------------

X = batch((3, 4, 5))


def test_without_slope_b0_divides_by_the_larger_deviation() -> None:
    layer = tn.nn.EvoNormB0(4, eps=EPS, dtype=tn.float64)
    tn.nn.init.zeros_(layer.v)
    std = np.sqrt(np.maximum(X.var((0, 2), keepdims=True), X.var(2, keepdims=True)) + EPS)
    np.testing.assert_allclose(array(layer(tensor(X))), X / std, rtol=1e-12)


def test_with_a_steep_gate_s0_is_relu_of_x_over_the_deviation() -> None:
    layer = tn.nn.EvoNormS0(4, 2, eps=EPS, dtype=tn.float64)
    layer.v.data = tensor(np.full(4, 1e6))
    std = np.sqrt(X.reshape(3, 2, 10).var(2) + EPS).repeat(2, 1)[:, :, None]
    np.testing.assert_allclose(array(layer(tensor(X))), np.maximum(X, 0) / std, atol=1e-12)


@pytest.mark.parametrize("layer", [tn.nn.EvoNormB0(4, nonlinear=False, dtype=tn.float64),
                                   tn.nn.EvoNormS0(4, 2, nonlinear=False, dtype=tn.float64)])
def test_what_is_not_nonlinear_is_a_scale_and_a_shift(layer: Any) -> None:
    p = randomize(layer, np.random.default_rng(0))
    assert {*p} == {"weight", "bias"}
    expected = X * p["weight"].reshape(1, 4, 1) + p["bias"].reshape(1, 4, 1)
    np.testing.assert_allclose(array(layer(tensor(X))), expected, rtol=1e-13)


# -- numbers of few digits ---------------------------------------------------------------------

@pytest.mark.parametrize("offset", [0, 1e3, 1e6])
@pytest.mark.parametrize("kind", ["b0", "s0"])
def test_float32_keeps_its_digits(kind: str, offset: float) -> None:
    """The output is not centred, so its own size counts; its deviation keeps all digits."""
    x = (batch((64, 2, 50)) + offset).astype("float32")
    y, expected = (array(F.evonorm_b0(t, None, v, training=True) if kind == "b0" else
                         F.evonorm_s0(t, v, groups=1))
                   for t, v in ((tn.tensor(x), tn.ones(2)),
                                (tensor(x.astype("float64")), tn.ones(2).double())))
    assert np.abs(y - expected).max() < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("size", [1e-30, 1e15, 1e30])
@pytest.mark.parametrize("kind", ["b0", "s0"])
def test_float32_of_any_size(kind: str, size: float) -> None:
    """The square of 1e30 is beyond float32, the result is not; with finite gradients."""
    x = (batch((4, 2, 5)) * size).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        leaf, v = tensor(x.astype(dtype), grad=True), tn.ones(2, dtype=dtype)
        y = (F.evonorm_b0(leaf, None, v, training=True) if kind == "b0" else
             F.evonorm_s0(leaf, v, groups=1))
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)))
        results.append((array(y), array(leaf.grad)))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("make", [lambda: tn.nn.EvoNormB0(4), lambda: tn.nn.EvoNormS0(4, 2)])
def test_a_constant_input(make: Any, value: float) -> None:
    """Finite: x over √eps; 0 gives the bias."""
    layer = make()
    randomize(layer, np.random.default_rng(0))
    x = tn.full(X.shape, value, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert np.isfinite(array(y)).all()
    assert np.isfinite(array(x.grad)).all()
    if not value:
        bias = np.broadcast_to(array(layer.bias).reshape(1, 4, 1), X.shape)
        np.testing.assert_array_equal(array(y), bias)


# -- statistics ----------------------------------------------------------------------------------

def test_statistics_stay_when_they_should() -> None:
    check_statistics_stay(tn.nn.EvoNormB0(4, dtype=tn.float64), X)


def test_momentum_none_averages_all_batches() -> None:
    layer = tn.nn.EvoNormB0(4, momentum=None, dtype=tn.float64)
    batches = [batch(X.shape, seed) for seed in range(4)]
    for x in batches:
        layer(tensor(x))
    np.testing.assert_allclose(array(layer.running_var),
                               np.mean([x.var((0, 2), ddof=1) for x in batches], axis=0))


def test_defaults_names_text_and_reset() -> None:
    b, s = tn.nn.EvoNormB0(64), tn.nn.EvoNormS0(64)
    assert (b.eps, b.momentum, s.eps, s.groups) == (1e-5, 0.1, 1e-5, 32)
    assert {*b.state_dict()} == {"weight", "bias", "v", "running_var", "num_batches_tracked"}
    assert {*s.state_dict()} == {"weight", "bias", "v"}
    assert repr(b) == ("EvoNormB0(64, eps=1e-05, momentum=0.1, affine=True, bias=True, "
                       "nonlinear=True)")
    assert repr(s) == "EvoNormS0(64, groups=32, eps=1e-05, affine=True, bias=True, nonlinear=True)"
    for layer in (b, s):
        before = {name: array(v).copy() for name, v in layer.state_dict().items()}
        randomize(layer, np.random.default_rng(0))
        layer.reset_parameters()
        for name, value in layer.state_dict().items():
            np.testing.assert_array_equal(array(value), before[name])


# -- what bad input is told ----------------------------------------------------------------------

ONE = tn.ones(4)
BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tn.nn.EvoNormS0(48), ValueError,
     "EvoNormS0: expected groups to divide num_features, got groups=32 for num_features=48; take "
     "one that divides 48: 1, 2, 3, 4, 6, 8, 12, 16, 24, 48"),
    (lambda: tn.nn.EvoNormS0(4, 0), ValueError, "EvoNormS0: expected groups >= 1, got 0"),
    (lambda: tn.nn.EvoNormB0(4, eps=-1.0), ValueError, "EvoNormB0: expected eps >= 0, got -1.0"),
    (lambda: tn.nn.EvoNormB0(4, momentum=7.0), ValueError,
     "EvoNormB0: expected momentum in [0, 1], got 7.0"),
    (lambda: tn.nn.EvoNormB0(4)(tn.ones(2, 4)), ValueError,
     "EvoNormB0: expected input (N, 4, L) or (N, 4, H, W) or (N, 4, D, H, W), got (2, 4)"),
    (lambda: tn.nn.EvoNormS0(4, 2)(tn.ones(2, 5)), ValueError,
     "EvoNormS0: expected input (N, 4) or (N, 4, L) or "),
    (lambda: tn.nn.EvoNormB0(4)(tn.ones(1, 4, 1)), ValueError,
     "EvoNormB0: Expected more than 1 value per channel when training or without running "
     "statistics, got input size (1, 4, 1)"),
    (lambda: tn.nn.EvoNormS0(4, 4)(tn.ones(3, 4)), ValueError,
     "EvoNormS0: Expected more than 1 value per group, got input size (3, 4), which has 1; take "
     "fewer groups, or a larger input"),
    (lambda: tn.nn.EvoNormB0(4, eps=0.0)(tn.ones(3, 4, 2)), ValueError,
     "EvoNormB0: expected eps > 0, got 0.0"),
    (lambda: tn.nn.EvoNormS0(4, 2, eps=0.0)(tn.ones(3, 4, 2)), ValueError,
     "EvoNormS0: expected eps > 0, got 0.0"),
    (lambda: tn.nn.EvoNormB0(4)(tn.ones((3, 4, 2), dtype=tn.int64)), TypeError,
     "EvoNormB0: expected a floating point input, got int64"),
    (lambda: tn.nn.EvoNormS0(4, 2).double()(tn.ones(3, 4, 2)), TypeError,
     "EvoNormS0: the input is float32, weight float64"),
    (lambda: F.evonorm_s0(np.ones((2, 4)), None), TypeError,
     "evonorm_s0: expected input to be a Tensor, got ndarray"),
    (lambda: F.evonorm_s0(tn.ones(2, 4, 3), ONE, groups=3), RuntimeError,
     "evonorm_s0: expected groups to divide the channels, got groups=3 for an input of shape "
     "(2, 4, 3); take one that divides 4: 1, 2, 4"),
    (lambda: F.evonorm_s0(tn.ones(2, 5, 3), ONE, groups=1), ValueError,
     "evonorm_s0: expected v of shape (5,) for an input of shape (2, 5, 3), got (4,)"),
    (lambda: F.evonorm_b0(tn.ones(2, 4), None, ONE, training=True), ValueError,
     "evonorm_b0: expected input (N, C, *spatial), got (2, 4)"),
    (lambda: F.evonorm_b0(tn.ones(2, 4, 3), None, ONE), RuntimeError,
     "evonorm_b0: expected running_var when not training"),
    (lambda: F.evonorm_b0(tn.ones(2, 4, 3), None, ONE, training=True, momentum=2), ValueError,
     "evonorm_b0: expected momentum in [0, 1], got 2"),
    (lambda: F.evonorm_b0(tn.ones(2, 4, 3), tn.ones(3), ONE), ValueError,
     "evonorm_b0: expected the running spread of shape (4,) for an input of shape (2, 4, 3)"),
]  # fmt: skip


test_bad_input = refusals(BAD)
