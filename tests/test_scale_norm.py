"""normalize where the numbers are large, small or zero; ScaleNorm; LocalResponseNorm; DyT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array, close, compared, tensor
from norm_runs import refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

X = np.random.default_rng(2).standard_normal((3, 4, 5)) * 2 + 1
DY = np.random.default_rng(3).standard_normal(X.shape)


# -- the formulas once more --------------------------------------------------------------------

def scale_norm(x: np.ndarray, g: float, eps: float) -> np.ndarray:
    """Nguyen and Salazar 2019, eq. 4, vector by vector."""
    y = np.empty_like(x)
    for index in np.ndindex(x.shape[:-1]):
        y[index] = g * x[index] / max(math.sqrt(math.fsum(v * v for v in x[index])), eps)
    return y


def local_response(x: np.ndarray, n: int, α: float, β: float, k: float) -> np.ndarray:
    """Krizhevsky et al. 2012, §3.3, value by value; its α is PyTorch's divided by n."""
    y = np.empty_like(x)
    channels = x.shape[1]
    for sample, i, *place in np.ndindex(x.shape):
        first, last = max(0, i - n // 2), min(channels - 1, i + (n - 1) // 2)
        total = math.fsum(x[(sample, j, *place)] ** 2 for j in range(first, last + 1))
        y[(sample, i, *place)] = x[(sample, i, *place)] / (k + α / n * total) ** β
    return y


def dyt(x: np.ndarray, α: float, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
    """Zhu et al. 2025, §4, value by value."""
    y = np.empty_like(x)
    for index in np.ndindex(x.shape):
        y[index] = γ[index[-1]] * math.tanh(α * x[index]) + β[index[-1]]
    return y


def scale_norm_layer(**options: Any) -> Any:
    layer = tn.nn.ScaleNorm(5, **options)
    with tn.no_grad():
        layer.weight.fill_(1.7)
    return layer


def dyt_layer(**options: Any) -> Any:
    layer = tn.nn.DyT(5, **options)
    values = np.random.default_rng(4).uniform(0.5, 2, (2, 5))
    layer.load_state_dict({"alpha": np.array([0.8]), "weight": values[0], "bias": values[1]})
    return layer


γ, β = np.random.default_rng(4).uniform(0.5, 2, (2, 5))
LAYERS: dict[str, tuple[Callable[..., Any], Callable[[np.ndarray], np.ndarray]]] = {
    "ScaleNorm": (scale_norm_layer, lambda x: scale_norm(x, 1.7, 1e-5)),
    "ScaleNorm fixed": (lambda **o: tn.nn.ScaleNorm(5, affine=False),
                        lambda x: scale_norm(x, math.sqrt(5), 1e-5)),
    "LocalResponseNorm 3": (lambda **o: tn.nn.LocalResponseNorm(3, 0.7, 0.6, 1.5),
                            lambda x: local_response(x, 3, 0.7, 0.6, 1.5)),
    "LocalResponseNorm 4": (lambda **o: tn.nn.LocalResponseNorm(4, 0.7, 1.2, 0.5),
                            lambda x: local_response(x, 4, 0.7, 1.2, 0.5)),
    "DyT": (dyt_layer, lambda x: dyt(x, 0.8, γ, β)),
    "DyT plain": (lambda **o: tn.nn.DyT(5, 1.3, elementwise_affine=False, **o),
                  lambda x: dyt(x, 1.3, np.ones(5), np.zeros(5))),
}  # fmt: skip
layers = pytest.mark.parametrize(("make", "formula"), LAYERS.values(), ids=LAYERS)


@layers
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_formula(make: Any, formula: Any, training: bool, device: str) -> None:
    """Also on other devices, where forward and backward fetch nothing."""
    layer = make(dtype=tn.float64, device=device).train(training)
    leaf, dy = tensor(X, device, grad=True), tensor(DY, device)
    strict.traffic.clear()
    y = layer(leaf)
    y.backward(dy)
    assert not strict.traffic
    assert y.device == leaf.grad.device == leaf.device
    close(array(y), formula(X), 1e-14)


@layers
def test_gradients_by_finite_differences(make: Any, formula: Any) -> None:
    layer = make(dtype=tn.float64)
    inputs = (tensor(X[:2, :3], grad=True), *layer.parameters())
    assert tn.autograd.gradcheck(lambda x, *_: layer(x), inputs)
    assert tn.autograd.gradgradcheck(lambda x, *_: layer(x), inputs)


@layers
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(make: Any, formula: Any, dtype: str) -> None:
    """Computed in float32 at least: of float16 only the last rounding is left."""
    layer = make(dtype=tn.float32).to(dtype)
    x = X.astype(dtype)
    parameters = {name: array(p).astype(np.float64) for name, p in layer.state_dict().items()}
    exact = make(dtype=tn.float64)
    exact.load_state_dict(parameters)
    y, expected = layer(tensor(x)), array(exact(tensor(x.astype(np.float64))))
    assert y.dtype == np.dtype(dtype)
    unit = {"float16": 2.0**-11, "float32": 2.0**-23}[dtype]
    np.testing.assert_allclose(array(y), expected, rtol=3 * unit, atol=unit)


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_scale_norm_over_several_axes(shape: tuple[int, ...]) -> None:
    y = tn.nn.ScaleNorm(shape).double()(tensor(X))
    flat = X.reshape(-1, math.prod(shape))
    close(array(y).reshape(flat.shape), scale_norm(flat, math.sqrt(math.prod(shape)), 1e-5), 1e-7)


def test_scale_norm_is_rms_norm_without_eps() -> None:
    one, other = tn.nn.ScaleNorm(5, affine=False), tn.nn.RMSNorm(5, 1e-300, False)
    close(array(one(tensor(X))), array(other(tensor(X))), 1e-14)


def test_the_start_and_back_to_it() -> None:
    layer = tn.nn.ScaleNorm((2, 8))
    assert layer.weight.tolist() == [4.0]
    assert repr(layer) == "ScaleNorm((2, 8), eps=1e-05, affine=True)"
    dynamic = tn.nn.DyT(3, 0.25)
    assert repr(dynamic) == ("DyT((3,), alpha_init_value=0.25, elementwise_affine=True, bias=True)")
    assert list(dynamic.state_dict()) == ["alpha", "weight", "bias"]
    for one in (layer, dynamic):
        before = {name: array(p).copy() for name, p in one.state_dict().items()}
        with tn.no_grad():
            for p in one.parameters():
                p.add_(1)
        one.reset_parameters()
        for name, p in one.state_dict().items():
            np.testing.assert_array_equal(array(p), before[name])
    assert tn.nn.ScaleNorm(3, affine=False).weight is None
    tn.nn.ScaleNorm(3, affine=False).reset_parameters()
    tn.nn.DyT(3, elementwise_affine=False).reset_parameters()
    assert tn.nn.DyT(3, bias=False).bias is None


# -- large, small and zero ---------------------------------------------------------------------

NORMS = [0.5, 1, 1.5, 2, 3, 4, math.inf]


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("size", [1e-30, 1e-9, 1.0, 1e19, 1e30, 3e38])
def test_no_size_overflows_or_vanishes(p: float, size: float, device: str) -> None:
    """float32, values whose squares it cannot hold, against float64."""
    x = (np.array([[1, -0.5, 0.25, 0.001]]) * size).astype(np.float32)
    leaf = tensor(x, device, grad=True)
    y = F.normalize(leaf, p, eps=1e-35)
    dy = np.array([[1, 2, -1, 1]], np.float32)
    y.backward(tensor(dy, device))
    wide = tensor(x.astype(np.float64) / size, grad=True)
    exact = F.normalize(wide, p, eps=1e-35 / size)
    exact.backward(tensor(dy.astype(np.float64)))
    np.testing.assert_allclose(array(y), array(exact), rtol=1e-6)
    kept = compared(array(wide.grad) / size, device)
    got, expected = array(leaf.grad).astype(float) * size, array(wide.grad)
    np.testing.assert_allclose(got[kept], expected[kept], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0, *NORMS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_zero_vector(p: float, dtype: str) -> None:
    """Value 0 and gradients dy/eps and 0: nothing is divided by its norm."""
    x = tensor(np.zeros((2, 3), dtype), grad=True)
    y = F.normalize(x, p, eps=1e-4)
    assert not array(y).any()
    (dx,) = tn.autograd.grad(y.sum(), x, create_graph=True)
    np.testing.assert_allclose(array(dx), 1e4, rtol=1e-6)
    if dx.requires_grad:
        assert not array(tn.autograd.grad(dx.sum(), x)[0]).any()


def test_float16_does_not_overflow() -> None:
    x = tensor(np.full((1, 64), 6e4, np.float16), grad=True)
    y = F.normalize(x)
    assert y.dtype == tn.float16
    np.testing.assert_allclose(array(y), 0.125, rtol=1e-3)
    y.sum().backward()
    assert np.isfinite(array(x.grad)).all()
    np.testing.assert_array_equal(array(F.normalize(tensor(np.zeros((1, 3), np.float16)))), 0)


def test_even_powers_are_smooth_at_zero() -> None:
    """The fourth derivative of |x|⁴ at 0 is 24: of an even p nothing is cut off there."""
    def fourth(x0: float) -> float:
        x = tensor(np.array([x0, 1.0]), grad=True)
        value = F.normalize(x, 4, dim=0)[1]
        for _ in range(4):
            value = tn.autograd.grad(value, x, create_graph=True)[0][0]
        return value.item()

    assert fourth(0.0) == pytest.approx(-6.0)  # (1 + x⁴)^-¼ = 1 - x⁴/4 + …
    assert fourth(1e-5) == pytest.approx(-6.0, rel=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e15, 1e30])
@pytest.mark.parametrize("beta", [0.5, 0.75])
def test_local_response_norm_of_any_size(size: float, beta: float) -> None:
    x = (X * size).astype(np.float32)
    y = F.local_response_norm(tensor(x), 3, 0.5, beta)
    exact = F.local_response_norm(tensor(x.astype(np.float64)), 3, 0.5, beta)
    np.testing.assert_allclose(array(y), array(exact), rtol=1e-6)
    assert array(y).any()


def test_neighbours_of_very_different_size() -> None:
    """A sum of a few terms keeps the small ones: none is left over from a difference."""
    x = np.array([1e8, 1.0, 2.0, 3.0, 1e8, 5.0, 6.0])[None, :, None]
    close(array(F.local_response_norm(tensor(x), 3, 1.0, 1.0, 0.0)),
          local_response(x, 3, 1.0, 1.0, 0.0), 1e-15)


def test_a_nan_stays_within_its_window() -> None:
    x = np.ones((1, 8, 1))
    x[0, 0] = math.nan
    y = array(F.local_response_norm(tensor(x), 3))
    assert np.isnan(y[0, :2]).all()
    assert not np.isnan(y[0, 2:]).any()


# -- bad input ---------------------------------------------------------------------------------

ONES = tn.ones(2, 4, 3)
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "lrn array": (lambda: F.local_response_norm(np.ones((2, 3, 4)), 2), TypeError,
                  "local_response_norm: expected input to be a Tensor, got ndarray"),
    "lrn dims": (lambda: F.local_response_norm(tn.ones(2, 3), 2), ValueError,
                 "local_response_norm: Expected 3D or higher dimensionality input (N, C, "
                 "*spatial), got (2, 3)"),
    "lrn int": (lambda: F.local_response_norm(ONES.long(), 2), TypeError,
                "local_response_norm: expected a floating point input, got int64; call .float()"),
    "lrn size": (lambda: F.local_response_norm(ONES, 0), ValueError,
                 "local_response_norm: expected size >= 1, got 0"),
    "lrn size of the layer": (lambda: tn.nn.LocalResponseNorm(0), ValueError,
                              "LocalResponseNorm: expected size >= 1, got 0"),
    "normalize array": (lambda: F.normalize([1.0]), TypeError,
                        "normalize: expected input to be a Tensor, got list"),
    "normalize int": (lambda: F.normalize(ONES.long()), TypeError,
                      "normalize: expected a floating point input, got int64; call .float()"),
    "normalize eps": (lambda: F.normalize(ONES, eps=-1.0), ValueError,
                      "normalize: expected eps >= 0, got -1.0"),
    "normalize p": (lambda: F.normalize(ONES, -1), ValueError,
                    "normalize: expected p >= 0, got -1"),
    "normalize nan": (lambda: F.normalize(ONES, math.nan), ValueError,
                      "normalize: expected p >= 0, got nan"),
    "normalize dim": (lambda: F.normalize(ONES, dim=3), IndexError,
                      "normalize: Dimension out of range: expected -3 to 2, got 3"),
    "normalize dims": (lambda: F.normalize(ONES, dim=(1, -2)), ValueError,
                       "normalize: expected each dim once, got (1, -2)"),
    "normalize no dims": (lambda: F.normalize(ONES, dim=()), ValueError,
                          "normalize: expected each dim once, got ()"),
    "scale shape": (lambda: tn.nn.ScaleNorm(5)(ONES), ValueError,
                    "ScaleNorm: Given normalized_shape=[5], expected input (*, 5), got "
                    "(2, 4, 3); take normalized_shape=[3], its last axes, or check the layer "
                    "before it"),
    "scale eps": (lambda: tn.nn.ScaleNorm(5, eps=-1.0), ValueError,
                  "ScaleNorm: expected eps >= 0, got -1.0"),
    "scale weight": (lambda: F.scale_norm(ONES, (3,), tn.ones(3)), ValueError,
                     "scale_norm: expected weight of shape (1,) for an input of shape (2, 4, 3), "
                     "got (3,)"),
    "scale int": (lambda: tn.nn.ScaleNorm(3)(ONES.long()), TypeError,
                  "ScaleNorm: expected a floating point input, got int64"),
    "scale dtype": (lambda: tn.nn.ScaleNorm(3).double()(ONES), TypeError,
                    "ScaleNorm: the input is float32, weight float64"),
    "dyt shape": (lambda: tn.nn.DyT(5)(ONES), ValueError,
                  "DyT: Given normalized_shape=[5], expected input (*, 5), got (2, 4, 3); take "
                  "normalized_shape=[3], its last axes, or check the layer before it"),
    "dyt alpha": (lambda: F.dyt(ONES, (3,), tn.ones(3)), ValueError,
                  "dyt: expected alpha of shape (1,) for an input of shape (2, 4, 3), got (3,)"),
    "dyt dtype": (lambda: tn.nn.DyT(3, elementwise_affine=False).double()(ONES), TypeError,
                  "DyT: the input is float32, alpha float64"),
}  # fmt: skip


test_bad_input = refusals(BAD)
