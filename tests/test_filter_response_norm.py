"""FilterResponseNorm and TLU against Singh and Krishnan 2019 (arXiv:1911.09737), eq. 1 to 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import Series, array, directional, randomize, tensor
from norm_runs import check_device, check_gradients, refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = 1e-3
FORMS = [(1, (5, 3)), (1, (3, 3, 4)), (2, (2, 3, 2, 3)), (3, (2, 3, 2, 1, 3))]
OPTIONS: list[dict[str, Any]] = [
    {}, {"learnable_eps": True}, {"tlu": False}, {"affine": False, "tlu": False},
    {"bias": False, "tlu": False, "learnable_eps": True},
]  # fmt: skip

forms = pytest.mark.parametrize(("dims", "shape"), FORMS, ids=[f"{d}d {s}" for d, s in FORMS])
options = pytest.mark.parametrize("options", OPTIONS, ids=str)


def make(dims: int, shape: tuple[int, ...], options: Any, **settings: Any) -> Any:
    settings = {"eps": EPS, "dtype": tn.float64, **settings}
    return getattr(tn.nn, f"FilterResponseNorm{dims}d")(shape[1], **settings, **options)


def batch(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    own = random.uniform(0.3, 2, (*shape[:2], *(1 for _ in shape[2:])))
    return random.standard_normal(shape) * own + random.uniform(-1, 1, own.shape)


def equations(x: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """ν² = Σ xᵢ²/N; x̂ = x/√(ν² + ε); y = γ x̂ + β; z = max(y, τ), filter by filter."""
    z = np.empty_like(x)
    ε = EPS + abs(p.get("learned_eps", 0.0))
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            values = x[n, c].reshape(-1)
            ν2 = sum(value * value for value in values) / len(values)
            y = x[n, c] / np.sqrt(ν2 + ε)
            y = p["weight"][c] * y if "weight" in p else y
            y = y + p["bias"][c] if "bias" in p else y
            z[n, c] = np.maximum(y, p["tau"][c]) if "tau" in p else y
    return z


@forms
@options
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_equations_1_to_4(
    dims: int, shape: tuple[int, ...], options: Any, training: bool, device: str
) -> None:
    layer = make(dims, shape, options, device=device).train(training)
    p = randomize(layer, np.random.default_rng(0))
    x = batch(shape)
    expected = equations(x, p)
    np.testing.assert_allclose(array(layer(tensor(x, device))), expected, rtol=1e-12, atol=1e-14)
    if "tau" in p:
        cut = expected == p["tau"].reshape(1, 3, *(1 for _ in shape[2:]))
        assert 0 < cut.sum() < cut.size


@forms
@options
def test_gradients_of_first_and_second_order(
    dims: int, shape: tuple[int, ...], options: Any
) -> None:
    """Those of the threshold and of the learned eps too."""
    layer = make(dims, shape, options)
    randomize(layer, np.random.default_rng(0))
    check_gradients(layer, batch(shape))


@pytest.mark.parametrize("learnable", [True, False])
def test_derivatives_of_order_1_to_4(learnable: bool) -> None:
    """Along a line in x and in the learned eps, against Taylor series."""
    layer = make(1, (3, 3, 4), {"learnable_eps": learnable, "tlu": False})
    p = randomize(layer, np.random.default_rng(0))
    random = np.random.default_rng(1)
    x, along, outward = batch((3, 3, 4)), *random.standard_normal((2, 3, 3, 4))
    line = Series.line(x, along)
    square = (line * line).sum(axis=(2,), keepdims=True) * (1 / 4)
    inputs, lines = [tensor(x, grad=True)], [along]
    if learnable:
        e = p["learned_eps"].reshape(1, 1, 1)
        square = square + Series.line(abs(e), 0.7 * np.sign(e))
        inputs, lines = [*inputs, layer.learned_eps], [along, np.array(0.7)]
    y = line * (square + EPS) ** -0.5 * p["weight"].reshape(1, 3, 1)
    value = (layer(inputs[0]) * tensor(outward)).sum()
    got = directional(value, inputs, [tensor(v) for v in lines])
    np.testing.assert_allclose(got, (y * outward).sum().derivatives, rtol=1e-9)


@forms
@options
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_it_stays_on_its_device(
    dims: int, shape: tuple[int, ...], options: Any, dtype: str, device: str
) -> None:
    check_device(lambda: make(dims, shape, options), batch(shape), device, dtype, training=True)


# -- the threshold -----------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_tlu(shape: tuple[int, ...], device: str) -> None:
    layer = tn.nn.TLU(3, dtype=tn.float64, device=device)
    tau = randomize(layer, np.random.default_rng(0))["tau"].reshape(1, 3, *(1 for _ in shape[2:]))
    x, dy = batch(shape), np.random.default_rng(1).standard_normal(shape)
    leaf = tensor(x, device, grad=True)
    y = layer(leaf)
    y.backward(tensor(dy, device))
    np.testing.assert_array_equal(array(y), np.maximum(x, tau))
    np.testing.assert_array_equal(array(leaf.grad), dy * (x > tau))
    axes = tuple(i for i in range(len(shape)) if i != 1)
    np.testing.assert_allclose(array(layer.tau.grad), (dy * (x < tau)).sum(axes), rtol=1e-12)


def test_tlu_starts_as_relu_and_shares_at_the_threshold() -> None:
    layer = tn.nn.TLU(2)
    x = tn.tensor([[0.0, -1.0], [2.0, 0.0]], requires_grad=True)
    layer(x).sum().backward()
    np.testing.assert_array_equal(array(layer(x)), [[0, 0], [2, 0]])
    np.testing.assert_array_equal(array(x.grad), [[0.5, 0], [1, 0.5]])
    np.testing.assert_array_equal(array(layer.tau.grad), [0.5, 1.5])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_tlu_gives_the_dtype_of_its_input(dtype: str) -> None:
    x = tn.ones(2, 3).to(dtype)
    assert tn.nn.TLU(3)(x).dtype == tn.nn.TLU(3).to(dtype)(x).dtype == np.dtype(dtype)


def test_the_layer_is_the_norm_and_then_tlu() -> None:
    """And without affine, threshold and centring it is RMSNorm of each channel."""
    layer = make(2, (2, 3, 4, 5), {})
    randomize(layer, np.random.default_rng(0))
    x = tensor(batch((2, 3, 4, 5)))
    bare = F.filter_response_norm(x, layer.weight, layer.bias, eps=EPS)
    np.testing.assert_array_equal(array(layer(x)), array(F.tlu(bare, layer.tau)))
    np.testing.assert_allclose(array(F.filter_response_norm(x, eps=EPS)),
                               array(F.rms_norm(x, (4, 5), eps=EPS)), rtol=1e-13)


# -- numbers of few digits ---------------------------------------------------------------------

@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e15, 1e30])
@pytest.mark.parametrize("learnable", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 2, 70000)])
def test_float32_of_any_size(size: float, learnable: bool, shape: tuple[int, ...]) -> None:
    """Against float64 on the same values, with the gradients."""
    x = (batch(shape) * size).astype("float32")
    results = []
    for dtype in ("float32", "float64"):
        layer = tn.nn.FilterResponseNorm1d(shape[1], learnable_eps=learnable, dtype=dtype)
        leaf = tensor(x.astype(dtype), grad=True)
        y = layer(leaf)
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype)))
        results.append((array(y), array(leaf.grad)))
    for got, expected in zip(*results, strict=True):
        assert np.abs(got - expected).max() <= 4e-6 * np.abs(expected).max()
    assert np.abs(results[0][0]).max() > 0


def test_float16_is_computed_in_float32() -> None:
    x = (batch((2, 3, 4, 4)) * 300).astype("float16")
    y = tn.nn.FilterResponseNorm2d(3, dtype=tn.float16)(tn.tensor(x))
    expected = array(tn.nn.FilterResponseNorm2d(3, dtype=tn.float64)(tensor(x.astype("float64"))))
    assert y.dtype == tn.float16
    np.testing.assert_allclose(array(y), expected, atol=4e-3)


@pytest.mark.parametrize("learnable", [True, False])
def test_zeros_give_the_bias(learnable: bool) -> None:
    layer = tn.nn.FilterResponseNorm1d(3, learnable_eps=learnable, tlu=False)
    randomize(layer, np.random.default_rng(0))
    x = tn.zeros((2, 3, 4), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    np.testing.assert_array_equal(array(y), np.broadcast_to(array(layer.bias)[:, None], (2, 3, 4)))
    assert np.isfinite(array(x.grad)).all()


def test_one_value_a_channel_needs_a_learned_eps() -> None:
    """Section 3.2 of the paper: without it only the sign is left, and no gradient."""
    x = np.array([[0.1, 1.0, -3.0]])
    plain = array(tn.nn.FilterResponseNorm1d(3, tlu=False)(tn.tensor(x, dtype=tn.float32)))
    np.testing.assert_allclose(plain, np.sign(x), atol=1e-4)
    layer = tn.nn.FilterResponseNorm1d(3, tlu=False, learnable_eps=True)
    assert layer.learned_eps.item() == pytest.approx(1e-4)
    layer.learned_eps.data = tn.tensor(1.0)
    learned = array(layer(tn.tensor(x, dtype=tn.float32)))
    np.testing.assert_allclose(learned, x / np.sqrt(x * x + 1), rtol=1e-5)


# -- names and bad input -------------------------------------------------------------------------

def test_defaults_names_text_and_reset() -> None:
    layer = tn.nn.FilterResponseNorm2d(4, learnable_eps=True)
    assert layer.eps == 1e-6
    assert list(layer.state_dict()) == ["weight", "bias", "tau", "learned_eps"]
    assert list(tn.nn.FilterResponseNorm3d(4).state_dict()) == ["weight", "bias", "tau"]
    assert not list(tn.nn.FilterResponseNorm1d(4, affine=False, tlu=False).state_dict())
    assert repr(layer) == ("FilterResponseNorm2d(4, eps=1e-06, affine=True, bias=True, "
                           "learnable_eps=True, tlu=True)")
    assert repr(tn.nn.TLU(4)) == "TLU(4)"
    for one in (layer, tn.nn.TLU(4)):
        before = {name: array(v).copy() for name, v in one.state_dict().items()}
        randomize(one, np.random.default_rng(0))
        one.reset_parameters()
        for name, value in one.state_dict().items():
            np.testing.assert_array_equal(array(value), before[name])


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: tn.nn.FilterResponseNorm2d(3)(tn.ones(2, 3)), ValueError,
     "FilterResponseNorm2d: expected input (N, 3, H, W), got (2, 3)"),
    (lambda: tn.nn.FilterResponseNorm1d(3)(tn.ones(2, 4)), RuntimeError,
     "FilterResponseNorm1d: expected input (N, 3) or (N, 3, L), got (2, 4)"),
    (lambda: tn.nn.FilterResponseNorm1d(3, eps=-1e-6), ValueError,
     "FilterResponseNorm1d: expected eps >= 0, got -1e-06"),
    (lambda: tn.nn.FilterResponseNorm1d(3)(tn.ones((2, 3), dtype=tn.int64)), TypeError,
     "FilterResponseNorm1d: expected a floating point input, got int64"),
    (lambda: tn.nn.FilterResponseNorm1d(3).double()(tn.ones(2, 3)), TypeError,
     "FilterResponseNorm1d: the input is float32, weight float64"),
    (lambda: F.filter_response_norm(tn.ones(2, 3), tau=tn.ones(2)), ValueError,
     "filter_response_norm: expected tau of shape (3,) for an input of shape (2, 3), got (2,)"),
    (lambda: F.filter_response_norm(tn.ones(2, 3), learned_eps=tn.ones(3)), ValueError,
     "filter_response_norm: expected learned_eps of shape () for an input of shape (2, 3), got "
     "(3,)"),
    (lambda: F.filter_response_norm(np.ones((2, 3))), TypeError,
     "filter_response_norm: expected input to be a Tensor, got ndarray"),
    (lambda: tn.nn.TLU(-1), ValueError, "TLU: expected num_features >= 0, got -1"),
    (lambda: tn.nn.TLU(3)(tn.ones(2, 4)), ValueError,
     "TLU: expected input (N, 3, *spatial), got (2, 4); make the layer with num_features=4, or "
     "check the layer before it"),
    (lambda: tn.nn.TLU(3)(tn.ones(3)), IndexError,
     "TLU: expected input (N, C, *spatial), got (3,)"),
    (lambda: tn.nn.TLU(3)([1.0]), TypeError, "TLU: expected input to be a Tensor, got list"),
    (lambda: tn.nn.TLU(3, device="strict")(tn.ones(2, 3)), RuntimeError,
     "TLU: the input is on cpu, tau on strict:0; move one with .to(device)"),
]  # fmt: skip


test_bad_input = refusals(BAD)
