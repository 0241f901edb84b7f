"""IterNorm against a transcription of Huang et al. 2019 (arXiv:1904.03441), Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array, randomize, tensor
from norm_runs import check_device, check_gradients, check_statistics_stay, refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm.nn.normalization.iter_norm import inverse_root

EPS = 1e-3
SHAPES = [(9, 4), (3, 4, 5), (3, 4, 2, 3), (2, 4, 2, 1, 3)]

shapes = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, s)) for s in SHAPES])


def correlated(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float64) -> np.ndarray:
    """Each channel with an offset of its own and a share of the others."""
    random = np.random.default_rng(seed)
    c = shape[1]
    x = random.standard_normal(shape) + 0.7 * random.standard_normal((shape[0], 1, *shape[2:]))
    own = (1, c, *(1 for _ in shape[2:]))
    return (x * random.uniform(0.5, 2, own) + random.uniform(-2, 2, own)).astype(dtype)


def newton(cov: np.ndarray, steps: int) -> np.ndarray:
    """The paper's eq. 5 and 6 as they stand: P³ Σ_N."""
    trace = np.trace(cov)
    p = np.eye(len(cov), dtype=cov.dtype)
    for _ in range(steps):
        p = (3 * p - p @ p @ p @ (cov / trace)) / 2
    return p / np.sqrt(trace)


class Algorithm1:
    """The paper's symbols: X of d × m for each group, μ, Σ, D = Σ^(-1/2), and their averages."""

    def __init__(self, c: int, groups: int, T: int, momentum: float) -> None:
        self.groups, self.T, self.λ = groups, T, momentum
        d = c // groups
        self.μ, self.D = np.zeros((groups, d)), np.stack([np.eye(d)] * groups)

    def matrices(self, x: np.ndarray) -> list[np.ndarray]:
        """X of each group: a row for each channel, a column for each value."""
        rows = [[value for sample in x for value in sample[k].reshape(-1)]
                for k in range(x.shape[1])]
        return np.split(np.array(rows), self.groups)

    def back(self, parts: list[np.ndarray], like: np.ndarray) -> np.ndarray:
        rows = np.concatenate(parts)
        y = np.empty_like(like)
        places = like[0, 0].size
        for k, row in enumerate(rows):
            for n in range(len(like)):
                y[n, k] = row[n * places : (n + 1) * places].reshape(like.shape[2:])
        return y

    def train(self, x: np.ndarray) -> np.ndarray:
        parts = []
        for g, X in enumerate(self.matrices(x)):
            d, m = X.shape
            μ = X @ np.ones(m) / m
            X_C = X - np.outer(μ, np.ones(m))
            D = newton(X_C @ X_C.T / m + EPS * np.eye(d), self.T)
            parts.append(D @ X_C)
            self.μ[g] = (1 - self.λ) * self.μ[g] + self.λ * μ
            self.D[g] = (1 - self.λ) * self.D[g] + self.λ * D
        return self.back(parts, x)

    def infer(self, x: np.ndarray) -> np.ndarray:
        return self.back([D @ (X - μ[:, None]) for X, μ, D in
                          zip(self.matrices(x), self.μ, self.D, strict=True)], x)


@shapes
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("T", [1, 3, 5])
def test_algorithm_1(shape: tuple[int, ...], groups: int, T: int, device: str) -> None:
    """Training and inference in turn, with the running averages of both."""
    layer = tn.nn.IterNorm(4, groups, T=T, eps=EPS, momentum=0.3, dtype=tn.float64, device=device)
    values = randomize(layer, np.random.default_rng(0))
    layer.reset_running_stats()
    paper = Algorithm1(4, groups, T, 0.3)
    beside = (1, 4, *(1 for _ in shape[2:]))
    γ, β = values["weight"].reshape(beside), values["bias"].reshape(beside)
    for step in range(4):
        x = correlated(shape, step)
        y = layer.train()(tensor(x, device))
        np.testing.assert_allclose(array(y), γ * paper.train(x) + β, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(array(layer.running_mean), paper.μ.reshape(-1), rtol=1e-12)
        np.testing.assert_allclose(array(layer.running_wm), paper.D, rtol=1e-10, atol=1e-13)
        x = correlated(shape, 100 + step)
        y = layer.eval()(tensor(x, device))
        np.testing.assert_allclose(array(y), γ * paper.infer(x) + β, rtol=1e-10, atol=1e-12)
    assert layer.num_batches_tracked.item() == 4


@pytest.mark.parametrize("T", [1, 2, 5, 12])
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_first_and_second_order(T: int, groups: int) -> None:
    layer = tn.nn.IterNorm(4, groups, T=T, eps=EPS, dtype=tn.float64)
    randomize(layer, np.random.default_rng(0))
    x = correlated((3, 4, 2))
    for training in (True, False):
        check_gradients(layer.train(training), x)


@shapes
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_it_stays_on_its_device(
    shape: tuple[int, ...], dtype: str, training: bool, device: str
) -> None:
    check_device(lambda: tn.nn.IterNorm(4, 2, eps=1e-2), correlated(shape), device, dtype,
                 training=training)


# -- the limit of many steps -------------------------------------------------------------------

def zca(x: np.ndarray) -> np.ndarray:
    """Decorrelated batch normalization (Huang et al. 2018, arXiv:1804.08450): D Λ^(-1/2) Dᵀ."""
    xc = x - x.mean(0)
    values, vectors = np.linalg.eigh(xc.T @ xc / len(x) + EPS * np.eye(x.shape[1]))
    return xc @ (vectors / np.sqrt(values)) @ vectors.T


def test_many_steps_are_zca_whitening() -> None:
    x = correlated((40, 6))
    errors = [np.abs(array(tn.nn.IterNorm(6, T=T, eps=EPS, dtype=tn.float64)(tensor(x)))
                     - zca(x)).max() for T in (3, 5, 7, 9, 11, 13, 60)]
    assert errors == sorted(errors, reverse=True) or errors[-2] < 1e-13
    assert errors[0] > 0.1
    assert errors[-1] < 1e-13


def test_the_gradient_of_many_steps_is_that_of_the_eigendecomposition() -> None:
    """By central differences of the other formula."""
    x, dy = correlated((12, 3)), np.random.default_rng(1).standard_normal((12, 3))
    leaf = tensor(x, grad=True)
    tn.nn.IterNorm(3, T=30, eps=EPS, dtype=tn.float64)(leaf).backward(tensor(dy))
    expected = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-5
        expected[i] = ((zca(x + step) - zca(x - step)) * dy).sum() / 2e-5
    np.testing.assert_allclose(array(leaf.grad), expected, atol=1e-8)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_the_output_is_white_within_its_group(groups: int) -> None:
    """Its covariance is Σ (Σ + eps I)⁻¹, the identity but for eps; between groups it is free."""
    y = array(tn.nn.IterNorm(6, groups, T=40, eps=1e-12, dtype=tn.float64)(
        tensor(correlated((50, 6)))))
    cov = y.T @ y / 50
    d = 6 // groups
    for g in range(groups):
        own = slice(g * d, (g + 1) * d)
        np.testing.assert_allclose(cov[own, own], np.eye(d), atol=1e-10)
    if groups > 1:
        assert np.abs(cov - np.eye(6)).max() > 0.1
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-13)


def test_groups_of_one_channel_are_batch_norm() -> None:
    """P → 1/√Σ_N, and Σ_N = 1 from the start: each step is exact."""
    x = tensor(correlated((5, 4, 3)))
    plain = F.batch_norm(x, None, None, training=True, eps=EPS)
    for T in (1, 5):
        y = tn.nn.IterNorm(4, num_channels=1, T=T, eps=EPS, dtype=tn.float64)(x)
        np.testing.assert_allclose(array(y), array(plain), rtol=1e-12)


# -- numbers of few digits ---------------------------------------------------------------------

@pytest.mark.parametrize(("condition", "bound"), [(1e1, 1e-6), (1e3, 2e-5), (1e5, 2e-3)])
@pytest.mark.parametrize("T", [5, 10, 20, 60])
def test_rounding_does_not_grow_with_the_steps(condition: float, bound: float, T: int) -> None:
    """In float32 the error of the root is a small part of condition 2⁻²³, for any T.

    The paper's own order of products, exact as a formula, leaves all bounds after some ten steps.
    """
    random = np.random.default_rng(0)
    q, _ = np.linalg.qr(random.standard_normal((16, 16)))
    λ = np.geomspace(1, 1 / condition, 16)
    root = np.ones(16)
    for _ in range(T):
        root = (3 * root - root**3 * λ / λ.sum()) / 2
    expected = (q * (root / np.sqrt(λ.sum()))) @ q.T
    cov = ((q * λ) @ q.T).astype("float32")
    got = array(inverse_root(tn.tensor(cov[None]), 0.0, T))[0]
    scale = np.abs(expected).max()
    assert np.abs(got - expected).max() < bound * scale
    if T == 60:
        with np.errstate(all="ignore"):
            assert not np.abs(newton(cov, T) - expected).max() < scale


@pytest.mark.parametrize("offset", [0, 1e3, 1e6])
@pytest.mark.parametrize("shape", [(4096, 3), (16, 3, 256), (65536, 2)])
def test_float32_keeps_its_digits(shape: tuple[int, ...], offset: float) -> None:
    """Against float64 on the same float32 values, whatever the offset."""
    x = (correlated(shape) + offset).astype("float32")
    y = array(tn.nn.IterNorm(shape[1])(tn.tensor(x)))
    expected = array(tn.nn.IterNorm(shape[1], dtype=tn.float64)(tensor(x.astype("float64"))))
    assert np.abs(y - expected).max() < 1e-5


@pytest.mark.parametrize("size", [1e-30, 1e15, 1e30])
def test_float32_of_any_size(size: float) -> None:
    """The square of 1e30 is beyond float32, the result is not; with the gradients."""
    x = (correlated((40, 3)) * size).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        leaf = tensor(x.astype(dtype), grad=True)
        y = tn.nn.IterNorm(3, dtype=dtype)(leaf)
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)))
        results.append((array(y), array(leaf.grad)))
    for got, expected in zip(*results, strict=True):
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_float16_is_computed_in_float32() -> None:
    """A spread of 300, whose square is beyond float16."""
    x = (correlated((64, 3)) * 300).astype("float16")
    layer = tn.nn.IterNorm(3, dtype=tn.float16)
    y = layer(tn.tensor(x))
    expected = array(tn.nn.IterNorm(3, dtype=tn.float64)(tensor(x.astype("float64"))))
    assert y.dtype == tn.float16
    np.testing.assert_allclose(array(y), expected, atol=4e-3)


@pytest.mark.parametrize("T", [5, 25])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fewer_samples_than_channels(T: int, dtype: str) -> None:
    """Σ is of lower rank, eps I makes it whole: the output is finite, and so is the gradient."""
    x = tensor(correlated((3, 8), dtype=dtype), grad=True)
    y = tn.nn.IterNorm(8, T=T, dtype=dtype)(x)
    y.square().sum().backward()
    assert np.isfinite(array(y)).all()
    assert np.isfinite(array(x.grad)).all()
    assert np.abs(array(y)).max() < 2  # of 3 samples x̂ is at most √2


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_a_constant_input_gives_the_bias(value: float) -> None:
    layer = tn.nn.IterNorm(3)
    randomize(layer, np.random.default_rng(0))
    x = tn.full((7, 3), value, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    np.testing.assert_array_equal(array(y), np.broadcast_to(array(layer.bias), (7, 3)))
    assert np.isfinite(array(x.grad)).all()


# -- statistics --------------------------------------------------------------------------------

def test_statistics_stay_when_they_should() -> None:
    check_statistics_stay(tn.nn.IterNorm(4, 2, dtype=tn.float64), correlated((5, 4)))


@pytest.mark.parametrize("affine", [True, False])
def test_training_between_a_forward_in_eval_and_its_backward(affine: bool) -> None:
    """The matrix of the buffer moves, that of the graph does not."""
    layer = tn.nn.IterNorm(3, affine=affine, dtype=tn.float64)
    x = tensor(correlated((6, 3)), grad=True)
    layer(x)
    expected = tn.autograd.grad(layer.eval()(x).pow(3).sum(), x)[0]
    y = layer(x).pow(3).sum()
    layer.train()(x)
    np.testing.assert_array_equal(array(tn.autograd.grad(y, x)[0]), array(expected))


def test_momentum_none_averages_all_batches() -> None:
    layer = tn.nn.IterNorm(3, eps=EPS, momentum=None, dtype=tn.float64)
    batches = [correlated((6, 3), seed) for seed in range(4)]
    for x in batches:
        layer(tensor(x))
    np.testing.assert_allclose(array(layer.running_mean), np.mean(batches, axis=(0, 1)))
    matrices = [newton(np.cov(x.T, bias=True) + EPS * np.eye(3), 5) for x in batches]
    np.testing.assert_allclose(array(layer.running_wm)[0], np.mean(matrices, axis=0))


def test_defaults_names_text_and_reset() -> None:
    layer = tn.nn.IterNorm(6, num_channels=2)
    assert (layer.num_groups, layer.T, layer.eps, layer.momentum) == (3, 5, 1e-5, 0.1)
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_wm", "num_batches_tracked"]
    assert layer.running_wm.shape == (3, 2, 2)
    assert repr(layer) == ("IterNorm(6, num_groups=3, T=5, eps=1e-05, momentum=0.1, affine=True, "
                           "bias=True)")
    assert list(tn.nn.IterNorm(4, affine=False).state_dict()) == [
        "running_mean", "running_wm", "num_batches_tracked"]
    layer(tn.randn(9, 6))
    layer.reset_parameters()
    fresh = tn.nn.IterNorm(6, 3).state_dict()
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(array(value), array(fresh[name]))


# -- what bad input is told ----------------------------------------------------------------------

BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tn.nn.IterNorm(6, 4), ValueError,
     "IterNorm: expected num_groups to divide num_features, got num_groups=4 for num_features=6; "
     "take one that divides 6: 1, 2, 3, 6"),
    (lambda: tn.nn.IterNorm(6, 0), ValueError, "IterNorm: expected num_groups >= 1, got 0"),
    (lambda: tn.nn.IterNorm(6, num_channels=4), RuntimeError,
     "IterNorm: expected num_channels to divide num_features, got num_channels=4 for "
     "num_features=6; take one that divides 6: 1, 2, 3, 6"),
    (lambda: tn.nn.IterNorm(6, T=0), ValueError, "IterNorm: expected T >= 1, got 0"),
    (lambda: tn.nn.IterNorm(6, T=2.5), TypeError, "IterNorm: expected T to be an int, got 2.5"),
    (lambda: tn.nn.IterNorm(6, eps=-1.0), ValueError, "IterNorm: expected eps >= 0, got -1.0"),
    (lambda: tn.nn.IterNorm(6, momentum=2.0), ValueError,
     "IterNorm: expected momentum in [0, 1], got 2.0"),
    (lambda: tn.nn.IterNorm(6)(tn.ones(2, 5)), ValueError, "IterNorm: expected input (N, 6) or "),
    (lambda: tn.nn.IterNorm(6)(np.ones((2, 6))), TypeError,
     "IterNorm: expected input to be a Tensor, got ndarray"),
    (lambda: tn.nn.IterNorm(6)(tn.ones(1, 6)), ValueError,
     "IterNorm: Expected more than 1 value per channel when training or without running "
     "statistics, got input size (1, 6)"),
    (lambda: tn.nn.IterNorm(6, eps=0.0)(tn.ones(2, 6)), ValueError,
     "IterNorm: expected eps > 0 when training, got 0.0"),
    (lambda: tn.nn.IterNorm(6)(tn.ones((2, 6), dtype=tn.int64)), TypeError,
     "IterNorm: expected a floating point input, got int64"),
    (lambda: tn.nn.IterNorm(6).double()(tn.ones(2, 6)), TypeError,
     "IterNorm: the input is float32, running_mean float64"),
    (lambda: F.iter_norm([1.0], None, None), TypeError,
     "iter_norm: expected input to be a Tensor, got list"),
    (lambda: F.iter_norm(tn.ones(2, 6), None, None, training=True, num_groups=4), ValueError,
     "iter_norm: expected num_groups to divide the channels, got num_groups=4 for an input of "
     "shape (2, 6); take one that divides 6: 1, 2, 3, 6"),
    (lambda: F.iter_norm(tn.ones(2, 6), None, None, training=True, T=0), ValueError,
     "iter_norm: expected T >= 1, got 0"),
    (lambda: F.iter_norm(tn.ones(2, 6), None, None), RuntimeError,
     "iter_norm: expected running_mean and running_wm when not training"),
    (lambda: F.iter_norm(tn.ones(2, 6), tn.ones(6), tn.ones(6)), ValueError,
     "iter_norm: expected running_wm of shape (1, 6, 6) for an input of shape (2, 6), got (6,)"),
    (lambda: F.iter_norm(tn.ones(2, 6), None, None, training=True, momentum=-1), ValueError,
     "iter_norm: expected momentum in [0, 1], got -1"),
]  # fmt: skip


test_bad_input = refusals(BAD)


def test_an_empty_batch_in_eval() -> None:
    layer = tn.nn.IterNorm(4, 2)
    layer(tn.randn(8, 4))
    x = tn.ones((0, 4, 3), requires_grad=True)
    layer.eval()(x).sum().backward()
    assert x.grad.shape == (0, 4, 3)
