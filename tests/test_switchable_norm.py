"""SwitchableNorm against a transcription of Luo et al. 2018 (arXiv:1806.10779), eq. 2 to 5."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array, randomize, tensor
from norm_runs import check_device, check_gradients, check_statistics_stay, refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = 1e-3
FORMS = [
    (1, (5, 3), {}), (1, (3, 3, 4), {}), (1, (3, 3, 4), {"using_in": True}),
    (2, (3, 4, 2, 3), {}), (2, (3, 4, 2, 3), {"using_bn": False}),
    (2, (3, 4, 2, 3), {"using_bn": False, "using_in": False}), (3, (2, 3, 2, 1, 3), {}),
]  # fmt: skip

forms = pytest.mark.parametrize(("dims", "shape", "options"), FORMS,
                                ids=[f"{d}d {s} {o}" for d, s, o in FORMS])


def make(dims: int, shape: tuple[int, ...], options: Any, **settings: Any) -> Any:
    settings = {"eps": EPS, "dtype": tn.float64, **settings}
    return getattr(tn.nn, f"SwitchableNorm{dims}d")(shape[1], **settings, **options)


def batch(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Samples and channels of different offsets and widths."""
    random = np.random.default_rng(seed)
    own, each = ((n if i == axis else 1 for i, n in enumerate(shape)) for axis in (0, 1))
    x = random.standard_normal(shape) * random.uniform(0.5, 2, tuple(own))
    return x + random.uniform(-2, 2, tuple(each))


def softmax(logits: np.ndarray) -> list[float]:
    powers = [np.exp(λ) for λ in logits]
    return [p / sum(powers) for p in powers]


class Paper:
    """h_ncij, and the means and variances of IN, LN and BN over its sets of values."""

    def __init__(self, layer: Any, momentum: float) -> None:
        self.values = {k: array(v) for k, v in layer.state_dict().items()}
        self.using_in, self.using_bn = layer.using_in, layer.using_bn
        self.momentum = momentum
        c = layer.num_features
        self.μ_bn, self.σ2_bn = np.zeros(c), np.ones(c)

    def __call__(self, h: np.ndarray, *, training: bool) -> np.ndarray:
        """ĥ = γ (h - Σ wₖ μₖ) / √(Σ w'ₖ σ²ₖ + ε) + β"""
        N, C = h.shape[:2]
        if training and self.using_bn:
            μ, σ2 = ([f(h[:, c]) for c in range(C)] for f in (np.mean, np.var))
        else:
            μ, σ2 = self.μ_bn, self.σ2_bn
        y = np.empty_like(h)
        w, w2 = softmax(self.values["mean_weight"]), softmax(self.values["var_weight"])
        for n, c in itertools.product(range(N), range(C)):
            means, variances = [h[n].mean()], [h[n].var()]
            if self.using_in:
                means.insert(0, h[n, c].mean())
                variances.insert(0, h[n, c].var())
            if self.using_bn:
                means.append(μ[c])
                variances.append(σ2[c])
            mean = sum(a * b for a, b in zip(w, means, strict=True))
            var = sum(a * b for a, b in zip(w2, variances, strict=True))
            y[n, c] = (self.values["weight"][c] * (h[n, c] - mean) / np.sqrt(var + EPS)
                       + self.values["bias"][c])
        if training and self.using_bn:
            self.μ_bn = self.μ_bn + self.momentum * (np.array(μ) - self.μ_bn)
            self.σ2_bn = self.σ2_bn + self.momentum * (np.array(σ2) - self.σ2_bn)
        return y


@forms
def test_equations_2_to_5(dims: int, shape: tuple[int, ...], options: Any, device: str) -> None:
    """Training and inference in turn, with the running averages."""
    layer = make(dims, shape, options, momentum=0.3, device=device)
    randomize(layer, np.random.default_rng(0))
    layer.reset_running_stats()
    paper = Paper(layer, 0.3)
    for step in range(4):
        for training in (True, False):
            x = batch(shape, 2 * step + training)
            y = layer.train(training)(tensor(x, device))
            np.testing.assert_allclose(array(y), paper(x, training=training), rtol=1e-11,
                                       atol=1e-13)
        if layer.using_bn:
            np.testing.assert_allclose(array(layer.running_mean), paper.μ_bn, rtol=1e-12)
            np.testing.assert_allclose(array(layer.running_var), paper.σ2_bn, rtol=1e-12)


@forms
def test_gradients_of_first_and_second_order(
    dims: int, shape: tuple[int, ...], options: Any
) -> None:
    """Those of the switches too."""
    layer = make(dims, shape, options)
    randomize(layer, np.random.default_rng(0))
    for training in (True, False):
        check_gradients(layer.train(training), batch(shape))


@forms
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_it_stays_on_its_device(
    dims: int, shape: tuple[int, ...], options: Any, dtype: str, training: bool, device: str
) -> None:
    check_device(lambda: make(dims, shape, options), batch(shape), device, dtype,
                 training=training)


# -- what it is at the corners -------------------------------------------------------------------

X = batch((4, 6, 3, 5))
CORNERS = [
    (0, lambda x: F.instance_norm(x, eps=EPS)),
    (1, lambda x: F.group_norm(x, 1, eps=EPS)),
    (2, lambda x: F.batch_norm(x, None, None, training=True, eps=EPS)),
]


@pytest.mark.parametrize(("kind", "plain"), CORNERS, ids=["instance", "layer", "batch"])
def test_with_one_share_it_is_that_norm(kind: int, plain: Callable[..., Any]) -> None:
    """With the gradient; e⁻⁸⁰⁰ is 0."""
    layer = make(2, X.shape, {})
    for switch in (layer.mean_weight, layer.var_weight):
        switch.data = tensor(np.where(np.arange(3) == kind, 0.0, -800.0))
    x, other = tensor(X, grad=True), tensor(X, grad=True)
    y, expected = layer(x), plain(other)
    np.testing.assert_allclose(array(y), array(expected), rtol=1e-11, atol=1e-13)
    dy = tensor(np.cos(X))
    y.backward(dy)
    expected.backward(dy)
    np.testing.assert_allclose(array(x.grad), array(other.grad), atol=1e-12)


def test_all_switches_start_alike_and_learn() -> None:
    layer = make(2, X.shape, {})
    np.testing.assert_array_equal(array(layer.mean_weight), [1, 1, 1])
    np.testing.assert_array_equal(array(layer.var_weight), [1, 1, 1])
    layer(tensor(X)).backward(tensor(np.cos(X)))
    for switch in (layer.mean_weight, layer.var_weight):
        gradient = array(switch.grad)
        assert np.abs(gradient).min() > 1e-4
        assert abs(gradient.sum()) < 1e-12  # all logits moved alike change nothing


# -- numbers of few digits -----------------------------------------------------------------------

@pytest.mark.parametrize("offset", ["none", "one", "each"])
@pytest.mark.parametrize("logits", [(1, 1, 1), (9, 0, 0), (0, 9, 0), (0, 0, 9)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_float32_keeps_its_digits(offset: str, logits: tuple[int, ...], training: bool) -> None:
    """Of an offset 1e6 times the spread, of all channels or of each its own.

    Against float64 on the same values. With offsets of its own, a channel's spread is lost beside
    them, but for the share of the instance's or the channel's own statistics.
    """
    far = {"none": 0.0, "one": 1e6, "each": np.array([0, 1e6, -1e6]).reshape(1, 3, 1)}[offset]
    x = (batch((64, 3, 50)) + far).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        layer = tn.nn.SwitchableNorm1d(3, momentum=1.0, using_in=True, dtype=dtype)
        for switch in (layer.mean_weight, layer.var_weight):
            switch.data = tn.tensor(np.array(logits), dtype=dtype)
        leaf = tensor(x.astype(dtype), grad=True)
        if not training:
            layer.running_mean.copy_(tn.tensor(x.mean((0, 2)) + np.float32(0.5)))
            layer.eval()
        y = layer(leaf)
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)))
        results.append((array(y), array(leaf.grad)))
    (y, dx), (expected, gradient) = results
    assert np.abs(y - expected).max() < 4e-6
    assert np.abs(dx - gradient).max() < 1e-5 * np.abs(gradient).max()


@pytest.mark.parametrize("size", [1e-30, 1e15, 1e30])
@forms
def test_float32_of_any_size(
    dims: int, shape: tuple[int, ...], options: Any, size: float
) -> None:
    """The square of 1e30 is beyond float32, the result is not; with the gradients."""
    x = (batch(shape) * size).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        layer = make(dims, shape, options, eps=1e-5, momentum=None, dtype=dtype)
        leaf = tensor(x.astype(dtype), grad=True)
        with tn.autograd.keep_statistics():  # a variance of 1e60 would be refused
            y = layer(leaf)
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)))
        results.append((array(y), array(leaf.grad)))
    for got, expected in zip(*results, strict=True):
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("offsets", [(3, 3), (1e3, 1e3), (1e6, 1e6), (5, -3), (0, 1e6)], ids=str)
def test_float32_gradient_of_the_mean_switches(offsets: tuple[float, float]) -> None:
    """Of many values a channel: means of samples that differ by 1/500 of the spread."""
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 2, 500, 500)) + np.array(offsets).reshape(1, 2, 1, 1)
    x, dy = x.astype("float32"), random.standard_normal(x.shape).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        layer = tn.nn.SwitchableNorm2d(2, dtype=dtype)
        layer(tensor(x.astype(dtype))).backward(tensor(dy.astype(dtype)))
        results.append([array(switch.grad) for switch in (layer.mean_weight, layer.var_weight)])
    (mean, var), (exact, exact_var) = results
    assert np.abs(mean - exact).max() < 1e-6 * np.abs(exact).max()
    assert np.abs(var - exact_var).max() < 2e-4 * np.abs(exact_var).max()  # rounded variances


def test_float16_is_computed_in_float32() -> None:
    """A spread of 300, whose square is beyond float16."""
    x = (batch((8, 3, 4, 4)) * 300).astype("float16")
    y = tn.nn.SwitchableNorm2d(3, dtype=tn.float16)(tn.tensor(x))
    expected = array(tn.nn.SwitchableNorm2d(3, dtype=tn.float64)(tensor(x.astype("float64"))))
    assert y.dtype == tn.float16
    np.testing.assert_allclose(array(y), expected, atol=4e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
@pytest.mark.parametrize("options", [{}, {"using_bn": False}], ids=str)
def test_a_constant_input_gives_the_bias(value: float, options: Any) -> None:
    layer = make(2, X.shape, options, dtype=tn.float32)
    randomize(layer, np.random.default_rng(0))
    x = tn.full(X.shape, value, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    bias = array(layer.bias).reshape(1, 6, 1, 1)
    np.testing.assert_array_equal(array(y), np.broadcast_to(bias, X.shape))
    assert np.isfinite(array(x.grad)).all()


def test_places_of_one_value() -> None:
    """The instance's variance is 0 there; the others are not, so the output is finite."""
    x = tensor(batch((5, 4, 1, 1)), grad=True)
    y = make(2, (5, 4), {})(x)
    y.square().sum().backward()
    assert np.isfinite(array(y)).all()
    assert np.isfinite(array(x.grad)).all()


# -- statistics ----------------------------------------------------------------------------------

def test_statistics_stay_when_they_should() -> None:
    check_statistics_stay(make(2, X.shape, {}), X)


def test_momentum_none_averages_all_batches() -> None:
    """The paper's batch average."""
    layer = make(1, (6, 3), {}, momentum=None)
    batches = [batch((6, 3), seed) for seed in range(4)]
    for x in batches:
        layer(tensor(x))
    np.testing.assert_allclose(array(layer.running_mean), np.mean(batches, axis=(0, 1)))
    np.testing.assert_allclose(array(layer.running_var), np.var(batches, axis=1).mean(axis=0))


def test_defaults_names_text_and_reset() -> None:
    layer = tn.nn.SwitchableNorm2d(4)
    assert (layer.eps, layer.momentum, layer.using_in, layer.using_bn) == (1e-5, 0.1, True, True)
    assert {*layer.state_dict()} == {"weight", "bias", "mean_weight", "var_weight", "running_mean",
                                     "running_var", "num_batches_tracked"}
    assert {*tn.nn.SwitchableNorm1d(4, using_bn=False, affine=False).state_dict()} == {
        "mean_weight", "var_weight"}
    assert [tn.nn.SwitchableNorm1d(4).mean_weight.shape, layer.var_weight.shape,
            tn.nn.SwitchableNorm3d(4, using_bn=False).var_weight.shape] == [(2,), (3,), (2,)]
    assert repr(layer) == ("SwitchableNorm2d(4, eps=1e-05, momentum=0.1, affine=True, bias=True, "
                           "using_in=True, using_bn=True)")
    randomize(layer, np.random.default_rng(0))
    layer.reset_parameters()
    fresh = tn.nn.SwitchableNorm2d(4).state_dict()
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(array(value), array(fresh[name]))


# -- what bad input is told ----------------------------------------------------------------------

def call(x: Any, *logits: int, **settings: Any) -> Any:
    switches = [tn.ones(n) for n in logits]
    return F.switchable_norm(x, None, None, *switches, **settings)


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tn.nn.SwitchableNorm2d(4)(tn.ones(2, 4)), ValueError,
     "SwitchableNorm2d: expected input (N, 4, H, W), got (2, 4)"),
    (lambda: tn.nn.SwitchableNorm1d(4)(tn.ones(2, 5)), ValueError,
     "SwitchableNorm1d: expected input (N, 4) or (N, 4, L), got (2, 5)"),
    (lambda: tn.nn.SwitchableNorm1d(4)(tn.ones(1, 4)), ValueError,
     "SwitchableNorm1d: Expected more than 1 value per channel when training or without running"),
    (lambda: tn.nn.SwitchableNorm1d(4, using_in=True)(tn.ones(3, 4)), ValueError,
     "SwitchableNorm1d: expected input (N, C, *spatial), got (3, 4); a channel of a sample has one "
     "value there: pass using_in=False"),
    (lambda: tn.nn.SwitchableNorm1d(4, eps=-1.0), ValueError,
     "SwitchableNorm1d: expected eps >= 0, got -1.0"),
    (lambda: tn.nn.SwitchableNorm1d(4, eps=0.0)(tn.ones(3, 4)), ValueError,
     "SwitchableNorm1d: expected eps > 0 when training, got 0.0"),
    (lambda: tn.nn.SwitchableNorm1d(4, momentum=-0.1), ValueError,
     "SwitchableNorm1d: expected momentum in [0, 1], got -0.1"),
    (lambda: tn.nn.SwitchableNorm1d(4)(tn.ones((3, 4), dtype=tn.int32)), TypeError,
     "SwitchableNorm1d: expected a floating point input, got int32"),
    (lambda: tn.nn.SwitchableNorm1d(4).double()(tn.ones(3, 4)), TypeError,
     "SwitchableNorm1d: the input is float32, running_mean float64"),
    (lambda: call(np.ones((2, 3)), 2, 2), TypeError,
     "switchable_norm: expected input to be a Tensor, got ndarray"),
    (lambda: call(tn.ones(2, 3, 4), 2, 3, training=True), RuntimeError,
     "switchable_norm: expected mean_weight of shape (3,) for an input of shape (2, 3, 4), got "
     "(2,)"),
    (lambda: call(tn.ones(2, 3, 4), 2, 1, training=True, using_in=False), ValueError,
     "switchable_norm: expected var_weight of shape (2,) for an input of shape (2, 3, 4), got "
     "(1,)"),
    (lambda: call(tn.ones((2, 3, 4), dtype=tn.float64), 3, 3, training=True), TypeError,
     "switchable_norm: the input is float64, mean_weight float32"),
    (lambda: call(tn.ones(2, 3, 4), 3, 3), RuntimeError,
     "switchable_norm: expected running_mean and running_var when not training"),
    (lambda: call(tn.ones(2, 3, 4), 3, 3, training=True, momentum=3), ValueError,
     "switchable_norm: expected momentum in [0, 1], got 3"),
]  # fmt: skip


test_bad_input = refusals(BAD)


@pytest.mark.parametrize(("training", "options"), [(False, {}), (True, {"using_bn": False})],
                         ids=["eval", "without batch statistics"])
@pytest.mark.parametrize(("dims", "shape"), [(1, (4, 3)), (1, (4, 3, 5)), (2, (4, 3, 2, 2))])
def test_nan_stays_in_its_sample(
    dims: int, shape: tuple[int, ...], training: bool, options: Any
) -> None:
    layer = make(dims, shape, options)
    randomize(layer, np.random.default_rng(0))
    x = batch(shape)
    expected = array(layer.train(training)(tensor(x)))
    x[0] = np.nan
    y = array(layer(tensor(x)))
    np.testing.assert_allclose(y[1:], expected[1:], rtol=1e-12)
    assert np.isnan(y[0]).all()


def test_one_sample_without_batch_statistics() -> None:
    y = make(2, X.shape, {"using_bn": False})(tensor(X[:1]))
    assert np.isfinite(array(y)).all()


def test_an_empty_batch_in_eval() -> None:
    for dims, shape in ((1, (0, 3)), (2, (0, 3, 2, 2))):
        layer = make(dims, shape, {}, dtype=tn.float32)
        randomize(layer, np.random.default_rng(0))
        x = tn.ones(shape, requires_grad=True)
        layer.eval()(x).sum().backward()
        assert x.grad.shape == shape
