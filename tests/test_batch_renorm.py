"""BatchRenorm against a transcription of Ioffe 2017 (arXiv:1702.03275), Algorithm 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from norm_cases import Series, array, directional, randomize, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = 1e-3
FORMS = [(1, (6, 3)), (1, (4, 3, 2)), (2, (3, 2, 2, 3)), (3, (2, 2, 2, 1, 3))]

forms = pytest.mark.parametrize(("dims", "shape"), FORMS,
                                ids=["x".join(map(str, s)) for _, s in FORMS])


class Algorithm1:
    """The paper's symbols: moving averages μ and σ, their rate α, and the bounds r_max, d_max."""

    def __init__(self, shape: tuple[int, ...], α: float, r_max: float, d_max: float) -> None:
        self.beside = (1, shape[1], *(1 for _ in shape[2:]))
        self.axes = tuple(i for i in range(len(shape)) if i != 1)
        self.m = math.prod(shape) // shape[1]
        self.μ, self.σ = np.zeros(self.beside), np.ones(self.beside)
        self.α, self.r_max, self.d_max = α, r_max, d_max

    def correction(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """μ_B, σ_B, r, d"""
        μ_B = x.mean(axis=self.axes, keepdims=True)
        σ_B = np.sqrt(EPS + ((x - μ_B) ** 2).mean(axis=self.axes, keepdims=True))
        r = np.clip(σ_B / self.σ, 1 / self.r_max, self.r_max)
        d = np.clip((μ_B - self.μ) / self.σ, -self.d_max, self.d_max)
        return μ_B, σ_B, r, d

    def train(self, x: np.ndarray, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
        """y; then μ and σ move."""
        μ_B, σ_B, r, d = self.correction(x)
        y = γ * ((x - μ_B) / σ_B * r + d) + β
        self.μ = self.μ + self.α * (μ_B - self.μ)
        self.σ = self.σ + self.α * (σ_B - self.σ)
        return y

    def gradients(self, x: np.ndarray, γ: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        """∂x, ∂γ, ∂β as the paper writes them out, r and d held constant."""
        μ_B, σ_B, r, d = self.correction(x)
        dx_hat = dy * γ
        dσ_B = (dx_hat * (x - μ_B) * (-r / σ_B**2)).sum(axis=self.axes, keepdims=True)
        dμ_B = (dx_hat * (-r / σ_B)).sum(axis=self.axes, keepdims=True)
        dx = dx_hat * r / σ_B + dσ_B * (x - μ_B) / (self.m * σ_B) + dμ_B / self.m
        x_hat = (x - μ_B) / σ_B * r + d
        return dx, (dy * x_hat).sum(axis=self.axes), dy.sum(axis=self.axes)

    def infer(self, x: np.ndarray, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
        return γ * (x - self.μ) / self.σ + β


def prepared(
    dims: int, shape: tuple[int, ...], device: str = "cpu", **settings: Any
) -> tuple[Any, Algorithm1, np.ndarray, np.ndarray]:
    """A float64 layer with random γ and β, the algorithm, and these two as they stand beside x."""
    settings = {"momentum": 0.3, "rmax": 1.5, "dmax": 0.5, **settings}
    layer = getattr(tn.nn, f"BatchRenorm{dims}d")(shape[1], eps=EPS, dtype=tn.float64,
                                                  device=device, **settings)
    values = randomize(layer, np.random.default_rng(0))
    layer.reset_running_stats()
    layer.load_state_dict(layer.state_dict())  # as if loaded: eval does not warn
    paper = Algorithm1(shape, settings["momentum"], settings["rmax"], settings["dmax"])
    γ, β = (values.get(name, default * np.ones(shape[1])).reshape(paper.beside)
            for name, default in (("weight", 1), ("bias", 0)))
    return layer, paper, γ, β


def batch(step: int, shape: tuple[int, ...]) -> np.ndarray:
    """Channels of different offsets and widths, so that some are clipped and some are not."""
    random = np.random.default_rng(100 + step)
    own = (1, shape[1], *(1 for _ in shape[2:]))
    wide = np.resize([1.0, 3.0, 0.2], shape[1]).reshape(own)
    return random.standard_normal(shape) * wide + np.resize([0.1, 2.0, -0.8], own)


def close(got: Any, expected: Any, rtol: float = 1e-11) -> None:
    np.testing.assert_allclose(array(got), expected, rtol=rtol, atol=1e-13)


@forms
@pytest.mark.parametrize("bounds", [(1.5, 0.5), (3.0, 5.0), (1.0, 0.0), (100.0, 100.0)])
def test_algorithm_1_from_step_0(
    dims: int, shape: tuple[int, ...], bounds: tuple[float, float], device: str
) -> None:
    """Inference before the first batch, then training and inference in turn, with gradients."""
    layer, paper, γ, β = prepared(dims, shape, device, rmax=bounds[0], dmax=bounds[1])
    for step in range(5):
        x, dy = batch(step, shape), np.random.default_rng(step).standard_normal(shape)
        close(layer.eval()(tensor(x, device)), paper.infer(x, γ, β))
        expected = paper.gradients(x, γ, dy)
        leaf = tensor(x, device, grad=True)
        y = layer.train()(leaf)
        layer.zero_grad()
        y.backward(tensor(dy, device))
        close(y, paper.train(x, γ, β))
        for got, one in zip((leaf.grad, layer.weight.grad, layer.bias.grad), expected,
                            strict=True):
            close(got, one)
        close(layer.running_mean, paper.μ.reshape(-1))
        close(layer.running_std, paper.σ.reshape(-1))
        assert layer.num_batches_tracked.item() == step + 1


def test_both_bounds_are_met_in_these_batches() -> None:
    """So that the test above tells clipped from free."""
    _, paper, _, _ = prepared(1, (6, 3))
    corrections = [paper.correction(batch(step, (6, 3)))[2:] for step in range(5)]
    r, d = (np.concatenate([c[i].reshape(-1) for c in corrections]) for i in (0, 1))
    assert {1 / 1.5, 1.5} < set(r)
    assert {-0.5, 0.5} < set(d)
    assert ((r > 1 / 1.5) & (r < 1.5)).any()
    assert (np.abs(d) < 0.5).any()


@forms
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_derivatives_of_order_1_to_4(dims: int, shape: tuple[int, ...], affine: bool) -> None:
    """Taylor series along a line in x, weight and bias, with r and d held constant."""
    layer, paper, γ, β = prepared(dims, shape, affine=affine)
    x, random = batch(0, shape), np.random.default_rng(1)
    _, _, r, d = paper.correction(x)
    moving = [x, γ, β] if affine else [x]
    along = [random.standard_normal(m.shape) for m in moving]
    lines = [Series.line(m, v) for m, v in zip(moving, along, strict=True)]
    mean = lines[0].sum(axis=paper.axes, keepdims=True) * (1 / paper.m)
    centred = lines[0] - mean
    var = (centred * centred).sum(axis=paper.axes, keepdims=True) * (1 / paper.m)
    expected = centred * (var + EPS) ** -0.5 * r + d
    if affine:
        expected = expected * lines[1] + lines[2]
    outward = random.standard_normal(shape)

    inputs = [tensor(x, grad=True), *layer.parameters()]
    value = (layer(inputs[0]) * tensor(outward)).sum()
    got = directional(value, inputs, [tensor(v.reshape(i.shape))
                                      for v, i in zip(along, inputs, strict=True)])
    np.testing.assert_allclose(got, (expected * outward).sum().derivatives, rtol=1e-9)


@forms
def test_training_gives_what_inference_gives_while_nothing_is_clipped(
    dims: int, shape: tuple[int, ...]
) -> None:
    """The point of the method, true at every step: the statistics are those before the batch."""
    layer, *_ = prepared(dims, shape, rmax=1e3, dmax=1e3)
    for step in range(4):
        x = tensor(batch(step, shape))
        expected = array(layer.eval()(x))
        close(layer.train()(x), expected)


def test_training_and_inference_meet_once_the_statistics_have_settled() -> None:
    """Then r = 1, d = 0, and both are batch normalization."""
    layer, *_ = prepared(1, (6, 3))
    x = tensor(batch(0, (6, 3)))
    assert np.abs(array(layer(x) - layer.eval()(x))).max() > 0.1
    for _ in range(200):
        layer.train()(x)
    close(layer.train()(x), array(layer.eval()(x)))
    plain = F.batch_norm(x, None, None, layer.weight, layer.bias, True, eps=EPS)
    close(layer.train()(x), array(plain))


def test_the_bounds_may_change_while_training() -> None:
    """The paper starts with r_max = 1, d_max = 0, which is batch normalization, and widens them."""
    layer, *_ = prepared(1, (6, 3), rmax=1, dmax=0)
    x = tensor(batch(1, (6, 3)))
    plain = F.batch_norm(x, None, None, layer.weight, layer.bias, True, eps=EPS)
    close(layer(x), array(plain))
    layer.rmax, layer.dmax = 3.0, 5.0
    assert np.abs(array(layer(x) - plain)).max() > 0.1


def test_momentum_none_averages_all_batches() -> None:
    layer = tn.nn.BatchRenorm1d(3, EPS, None, dtype=tn.float64)
    batches = [batch(step, (6, 3)) for step in range(4)]
    for x in batches:
        layer(tensor(x))
    close(layer.running_mean, np.mean(batches, axis=(0, 1)))
    close(layer.running_std, np.sqrt(np.var(batches, axis=1) + EPS).mean(axis=0))


def test_the_deviation_is_averaged_and_not_the_variance() -> None:
    """Of two batches with deviations 1 and 3 it is 2; the root of the mean variance is 2.2."""
    layer = tn.nn.BatchRenorm1d(1, 0.0, None, dtype=tn.float64)
    layer(tensor([[-1.0], [1.0]]))
    layer(tensor([[-3.0], [3.0]]))
    assert layer.running_std.item() == 2


def test_defaults_names_and_text() -> None:
    layer = tn.nn.BatchRenorm2d(4)
    assert (layer.momentum, layer.eps, layer.rmax, layer.dmax) == (0.01, 1e-5, 3.0, 5.0)
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_std", "num_batches_tracked"]
    assert [n for n, _ in layer.named_buffers()] == [
        "running_mean", "running_std", "num_batches_tracked"]
    assert repr(layer) == (
        "BatchRenorm2d(4, eps=1e-05, momentum=0.01, affine=True, rmax=3.0, dmax=5.0)")
    assert list(tn.nn.BatchRenorm1d(4, bias=False).state_dict()) == [
        "weight", "running_mean", "running_std", "num_batches_tracked"]
    assert list(tn.nn.BatchRenorm1d(4, affine=False).state_dict()) == [
        "running_mean", "running_std", "num_batches_tracked"]


@pytest.mark.parametrize(("rmax", "dmax"), [(0.9, 5.0), (3.0, -0.1), (-1, 0)])
def test_bounds_that_make_no_sense(rmax: float, dmax: float) -> None:
    with pytest.raises(ValueError, match=(
            rf"BatchRenorm1d: expected rmax >= 1 and dmax >= 0, got {rmax} and {dmax}; "
            "1 and 0 give batch normalization")):
        tn.nn.BatchRenorm1d(3, rmax=rmax, dmax=dmax)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("parameters", ["float16", "float32"])
@pytest.mark.parametrize("std", [30, 300])
def test_float16(training: bool, parameters: str, std: float) -> None:
    """Computed in float32: 300² is beyond float16, and 1e-3² below it."""
    layer = tn.nn.BatchRenorm1d(2, rmax=1e4, dmax=1e4).to(parameters)
    layer.running_std.copy_(tn.tensor([float(std), 1e-3]))
    x = np.random.default_rng(0).standard_normal((64, 2)) * [std, 1e-3]
    leaf = tn.tensor(x, dtype=tn.float16, requires_grad=True)
    y = layer.train(training)(leaf)
    assert y.dtype == tn.float16
    y.sum().backward()
    assert leaf.grad.dtype == tn.float16
    assert np.isfinite(array(leaf.grad)).all()
    expected = array(leaf).astype("float64") / [std, float(np.dtype(parameters).type(1e-3))]
    np.testing.assert_allclose(array(y), expected, atol=4e-3)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_mixed_dtypes_are_refused(training: bool, affine: bool) -> None:
    layer = tn.nn.BatchRenorm1d(3, affine=affine, dtype=tn.float64).train(training)
    with pytest.raises(TypeError, match=r"BatchRenorm1d: the input is float32, running_.* float"):
        layer(tn.ones(4, 3))
