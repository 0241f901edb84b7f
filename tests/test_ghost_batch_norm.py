"""GhostBatchNorm against a transcription with loops, and against BatchNorm on each ghost batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import Series, array, close, directional, randomize, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = 1e-3

SHAPES = [((12, 3), 4), ((7, 3), 2), ((9, 3, 2), 4), ((11, 2, 2, 3), 3), ((5, 2, 2, 1, 2), 2)]
"""The shape of a batch and the size of its ghost batches: without and with some left over."""
shapes = pytest.mark.parametrize(("shape", "size"), SHAPES,
                                 ids=[f"{'x'.join(map(str, s))} by {n}" for s, n in SHAPES])


def ghosts(samples: int, size: int) -> list[slice]:
    """X¹, X², …: |B_S| samples each, and the last one with what is left over."""
    count = max(samples // size, 1)
    return [slice(i * size, (i + 1) * size if i < count - 1 else samples) for i in range(count)]


class Algorithm1:
    """Training and test phase for one channel after the other.

    μ_run and σ²_run move by η from one ghost batch to the next, as in the authors' program. (The
    weights that are printed do not add up to 1.) σ²_run takes the unbiased variance.
    """

    def __init__(self, channels: int, size: int, η: float) -> None:
        self.size, self.η = size, η
        self.μ_run, self.σ2_run = np.zeros(channels), np.ones(channels)

    def train(self, x: np.ndarray, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
        y = np.empty_like(x)
        for part in ghosts(len(x), self.size):
            for c in range(x.shape[1]):
                values = x[part, c]
                m = values.size
                μ = sum(values.flat) / m
                σ2 = sum((v - μ) ** 2 for v in values.flat) / m
                y[part, c] = γ[c] * (values - μ) / (σ2 + EPS) ** 0.5 + β[c]
                self.μ_run[c] = (1 - self.η) * self.μ_run[c] + self.η * μ
                self.σ2_run[c] = (1 - self.η) * self.σ2_run[c] + self.η * σ2 * m / (m - 1)
        return y

    def test(self, x: np.ndarray, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            y[:, c] = γ[c] * (x[:, c] - self.μ_run[c]) / (self.σ2_run[c] + EPS) ** 0.5 + β[c]
        return y


def batch(shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    """Neighbours are alike, so that one ghost batch is not as another."""
    random = np.random.default_rng([len(shape), salt])
    drift = np.linspace(-2, 3, shape[0]).reshape(-1, *(1 for _ in shape[1:]))
    return random.standard_normal(shape) * (1.5 + drift / 3) + drift


def prepared(shape: tuple[int, ...], size: int, device: str = "cpu", **settings: Any) -> Any:
    layer = tn.nn.GhostBatchNorm(shape[1], size, EPS, dtype=tn.float64, device=device, **settings)
    values = randomize(layer, np.random.default_rng(0))
    layer.reset_running_stats()
    return layer, values["weight"], values["bias"]


@shapes
@pytest.mark.parametrize("momentum", [0.1, 0.9, 0.0, 1.0])
def test_algorithm_1(
    shape: tuple[int, ...], size: int, momentum: float, device: str
) -> None:
    layer, γ, β = prepared(shape, size, device, momentum=momentum)
    paper = Algorithm1(shape[1], size, momentum)
    for step in range(3):
        x = batch(shape, step)
        close(array(layer.train()(tensor(x, device))), paper.train(x, γ, β))
        close(array(layer.running_mean), paper.μ_run)
        close(array(layer.running_var), paper.σ2_run)
        assert layer.num_batches_tracked.item() == step + 1
        close(array(layer.eval()(tensor(x, device))), paper.test(x, γ, β))


@shapes
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_derivatives_of_order_1_to_4(shape: tuple[int, ...], size: int, affine: bool) -> None:
    """Taylor series along a line in x, weight and bias, ghost batch by ghost batch."""
    layer = tn.nn.GhostBatchNorm(shape[1], size, EPS, affine=affine, dtype=tn.float64)
    random, beside = np.random.default_rng(1), (1, shape[1], *(1 for _ in shape[2:]))
    values = randomize(layer, random)
    moving = [batch(shape), *(values[n].reshape(beside) for n in ("weight", "bias") if affine)]
    along = [random.standard_normal(m.shape) for m in moving]
    outward = random.standard_normal(shape)
    axes = (0, *range(2, len(shape)))
    total = Series([0.0] * 5)
    for part in ghosts(shape[0], size):
        lines = [Series.line(m[part] if i == 0 else m, v[part] if i == 0 else v)
                 for i, (m, v) in enumerate(zip(moving, along, strict=True))]
        n = moving[0][part].size // shape[1]
        centred = lines[0] - lines[0].sum(axis=axes, keepdims=True) * (1 / n)
        var = (centred * centred).sum(axis=axes, keepdims=True) * (1 / n)
        y = centred * (var + EPS) ** -0.5
        if affine:
            y = y * lines[1] + lines[2]
        total = total + (y * outward[part]).sum()
    inputs = [tensor(moving[0], grad=True), *layer.parameters()]
    value = (layer(inputs[0]) * tensor(outward)).sum()
    got = directional(value, inputs, [tensor(v.reshape(i.shape))
                                      for v, i in zip(along, inputs, strict=True)])
    np.testing.assert_allclose(got, total.derivatives, rtol=1e-9)


@shapes
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.7}, {"affine": False}, {"bias": False},
                                      {"track_running_stats": False}])
def test_it_is_batch_norm_on_each_ghost_batch_in_turn(
    shape: tuple[int, ...], size: int, settings: dict[str, Any]
) -> None:
    layer = tn.nn.GhostBatchNorm(shape[1], size, dtype=tn.float64, **settings)
    dims = max(len(shape) - 2, 1)
    plain = getattr(tn.nn, f"BatchNorm{dims}d")(shape[1], dtype=tn.float64, **settings)
    for step in range(2):
        x = tensor(batch(shape, step))
        y = layer(x)
        for part in ghosts(shape[0], size):
            close(array(y[part]), array(plain(x[part])))
    for name, value in plain.state_dict().items():
        if name != "num_batches_tracked":
            close(array(layer.state_dict()[name]), array(value))


@shapes
@pytest.mark.parametrize("momentum", [0.1, None])
def test_fewer_than_two_ghost_batches_are_batch_norm(
    shape: tuple[int, ...], size: int, momentum: float | None
) -> None:
    """Bit for bit: outputs, gradients, buffers, names; in training and in eval."""
    dims = max(len(shape) - 2, 1)
    for enough in (shape[0] // 2 + 1, shape[0], shape[0] + 1, 10**9):
        layer = tn.nn.GhostBatchNorm(shape[1], enough, momentum=momentum)
        plain = getattr(tn.nn, f"BatchNorm{dims}d")(shape[1], momentum=momentum)
        plain.load_state_dict(layer.state_dict())
        for training in (True, True, False):
            results = []
            for one in (layer, plain):
                x = tensor(batch(shape).astype("float32"), grad=True)
                y = one.train(training)(x)
                y.square().sum().backward()
                results.append([y, x.grad, *one.buffers(), *(p.grad for p in one.parameters())])
            for got, expected in zip(*results, strict=True):
                np.testing.assert_array_equal(array(got), array(expected))


def test_momentum_none_is_the_plain_average_of_all_ghost_batches() -> None:
    layer = tn.nn.GhostBatchNorm(3, 4, momentum=None, dtype=tn.float64)
    batches = [batch((12, 3), step) for step in range(3)]
    for x in batches:
        layer(tensor(x))
    pieces = np.concatenate(batches).reshape(-1, 4, 3)
    close(array(layer.running_mean), pieces.mean(axis=(0, 1)))
    close(array(layer.running_var), pieces.var(axis=1, ddof=1).mean(axis=0))


def test_the_order_of_the_samples_matters_only_between_ghost_batches() -> None:
    layer = tn.nn.GhostBatchNorm(3, 4, dtype=tn.float64)
    x = batch((12, 3))
    y = array(layer(tensor(x)))
    within = np.concatenate([4 * i + np.random.default_rng(i).permutation(4) for i in range(3)])
    close(array(layer(tensor(x[within]))), y[within])
    across = np.arange(12).reshape(3, 4).T.reshape(-1)
    assert np.abs(array(layer(tensor(x[across]))) - y[across]).max() > 0.1


def test_float16() -> None:
    """Computed in float32, ghost batch by ghost batch."""
    x = (batch((9, 3)) * 300).astype("float16")
    y = tn.nn.GhostBatchNorm(3, 4)(tensor(x))
    assert y.dtype == tn.float16
    wide = tn.nn.GhostBatchNorm(3, 4, dtype=tn.float64)(tensor(x.astype("float64")))
    np.testing.assert_allclose(array(y), array(wide), atol=2e-3)


def test_statistics_that_are_kept_and_errors_that_change_nothing() -> None:
    layer = tn.nn.GhostBatchNorm(3, 2)
    before = {name: array(b).copy() for name, b in layer.named_buffers()}
    with tn.autograd.keep_statistics():
        layer(tn.randn(6, 3))
    for wrong in (tn.randn(6, 4), tn.randn(6, 3).double(), tn.ones(6, 3).long(), tn.randn(6)):
        with pytest.raises((ValueError, TypeError)):
            layer(wrong)
    layer.ghost_batch_size = 1
    with pytest.raises(ValueError, match="GhostBatchNorm: Expected more than 1 value"):
        layer(tn.randn(6, 3))
    for name, value in layer.named_buffers():
        np.testing.assert_array_equal(array(value), before[name])


def test_the_input_of_any_rank_and_the_text() -> None:
    layer = tn.nn.GhostBatchNorm(3, 16, momentum=0.2)
    assert repr(layer) == (
        "GhostBatchNorm(3, eps=1e-05, momentum=0.2, affine=True, bias=True, "
        "track_running_stats=True, ghost_batch_size=16)")
    assert list(layer.state_dict()) == list(tn.nn.BatchNorm1d(3).state_dict())
    with pytest.raises(ValueError, match=(
            r"GhostBatchNorm: expected input \(N, 3\) or \(N, 3, L\) or \(N, 3, H, W\) or "
            r"\(N, 3, D, H, W\), got \(2, 4\)")):
        layer(tn.ones(2, 4))


def test_gradients_by_finite_differences() -> None:
    layer = tn.nn.GhostBatchNorm(2, 3, EPS, dtype=tn.float64)
    x = tensor(batch((7, 2)), grad=True)
    assert tn.autograd.gradcheck(layer, x)
    assert tn.autograd.gradgradcheck(layer, x)


def test_the_function_takes_what_the_layer_holds() -> None:
    x, mean, var = tensor(batch((8, 3))), tn.zeros(3).double(), tn.ones(3).double()
    layer = tn.nn.GhostBatchNorm(3, 4, dtype=tn.float64)
    y = F.ghost_batch_norm(x, mean, var, training=True, ghost_batch_size=4)
    close(array(y), array(layer(x)))
    close(array(mean), array(layer.running_mean))
    close(array(var), array(layer.running_var))
