"""Where norms lose digits, overflow or divide by nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array, formula, randomize, tensor

import tinygrad_norm as tn

pytestmark = pytest.mark.usefixtures("loops")

# -- float32 with an offset --------------------------------------------------------------------

def exact(x: np.ndarray, dy: np.ndarray, axes: tuple[int, ...], eps: float) -> tuple[Any, ...]:
    """y and dx without an affine part, in float64, of the same float32 data."""
    x, dy = x.astype("float64"), dy.astype("float64")
    away = x - x.mean(axis=axes, keepdims=True)
    rstd = 1 / np.sqrt((away * away).mean(axis=axes, keepdims=True) + eps)
    y = away * rstd
    dx = dy - dy.mean(axis=axes, keepdims=True) - y * (dy * y).mean(axis=axes, keepdims=True)
    return y, dx * rstd


def far(shape: tuple[int, ...], offset: float, seed: int = 0) -> np.ndarray:
    """Standard normal values about ``offset``, in float32."""
    return (np.random.default_rng(seed).standard_normal(shape) + offset).astype("float32")


FAR: dict[str, tuple[Callable[[], Any], tuple[int, ...], tuple[int, ...], float]] = {
    "batch (65536, 8) at 1e4": (lambda: tn.nn.BatchNorm1d(8), (65536, 8), (0,), 1e4),
    "batch (1e6, 2) at 1e3": (lambda: tn.nn.BatchNorm1d(2), (1000000, 2), (0,), 1e3),
    "batch (1e6, 2) at 1e6": (lambda: tn.nn.BatchNorm1d(2), (1000000, 2), (0,), 1e6),
    "batch (1, 8, 65536)": (lambda: tn.nn.BatchNorm1d(8), (1, 8, 65536), (0, 2), 1e4),
    "batch (16, 4, 64, 64)": (lambda: tn.nn.BatchNorm2d(4), (16, 4, 64, 64), (0, 2, 3), 1e4),
    "batch (8, 2, 16, 16, 16)": (lambda: tn.nn.BatchNorm3d(2), (8, 2, 16, 16, 16), (0, 2, 3, 4),
                                 1e4),
    "batch (255, 8)": (lambda: tn.nn.BatchNorm1d(8), (255, 8), (0,), 1e5),
    "batch (256, 8)": (lambda: tn.nn.BatchNorm1d(8), (256, 8), (0,), 1e5),
    "batch (257, 8)": (lambda: tn.nn.BatchNorm1d(8), (257, 8), (0,), 1e5),
    "instance (2, 4, 65536)": (lambda: tn.nn.InstanceNorm1d(4), (2, 4, 65536), (2,), 1e4),
    "instance (2, 4, 256, 256)": (lambda: tn.nn.InstanceNorm2d(4), (2, 4, 256, 256), (2, 3), 1e4),
    "group (2, 4, 32768)": (lambda: tn.nn.GroupNorm(1, 4), (2, 4, 32768), (1, 2), 1e4),
    "layer (8, 65536)": (lambda: tn.nn.LayerNorm(65536), (8, 65536), (1,), 1e4),
    "layer (4, 256, 256)": (lambda: tn.nn.LayerNorm((256, 256)), (4, 256, 256), (1, 2), 1e4),
    "layer (1000, 10)": (lambda: tn.nn.LayerNorm(10), (1000, 10), (1,), 1e6),
}


@pytest.mark.parametrize(("make", "shape", "axes", "offset"), FAR.values(), ids=FAR)
def test_outputs_and_gradients_far_from_zero(
    make: Callable[[], Any], shape: tuple[int, ...], axes: tuple[int, ...], offset: float
) -> None:
    """float32 against float64 arithmetic on the same data: 1e-5 is asked for, 2e-6 is met."""
    x, dy = far(shape, offset), far(shape, 0.5, seed=1)
    layer = make()
    leaf = tensor(x, grad=True)
    y = layer(leaf)
    y.backward(tensor(dy))
    expected, dx = exact(x, dy, axes, layer.eps)
    got = array(y).astype("float64")
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(got.mean(axis=axes), 0, atol=1e-6)
    np.testing.assert_allclose(got.std(axis=axes), expected.std(axis=axes), rtol=1e-6)
    np.testing.assert_allclose(array(leaf.grad), dx, rtol=0, atol=2e-6 * np.abs(dx).max())
    per_element = isinstance(layer, tn.nn.LayerNorm)
    for parameter, terms in zip(layer.parameters(), (dy * expected, dy.astype("float64")),
                                strict=False):
        kept = range(x.ndim - parameter.ndim, x.ndim) if per_element else [1]
        over = tuple(i for i in range(x.ndim) if i not in kept)
        np.testing.assert_allclose(array(parameter.grad), terms.sum(axis=over), rtol=1e-6,
                                   atol=1e-7 * np.abs(terms).sum(axis=over).max())


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "a block of columns": lambda x: np.concatenate([x, x + 1], axis=1)[:, : x.shape[1]],
    "rows backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_far_from_zero(layout: Callable[[np.ndarray], np.ndarray]) -> None:
    """A matrix that is not contiguous is summed as exactly."""
    x, dy = far((20000, 6), 1e4), far((20000, 6), 0.0, seed=1)
    leaf = tn.from_numpy(layout(x)).requires_grad_()
    y = tn.nn.BatchNorm1d(6)(leaf)
    y.backward(tn.from_numpy(layout(dy)))
    expected, dx = exact(x, dy, (0,), 1e-5)
    np.testing.assert_allclose(array(y), expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(array(leaf.grad), dx, rtol=0, atol=2e-6 * np.abs(dx).max())


def test_channels_last_far_from_zero() -> None:
    x = far((8, 32, 32, 4), 1e4)
    y = tn.nn.BatchNorm2d(4)(tn.from_numpy(x).permute(0, 3, 1, 2))
    expected, _ = exact(x, x, (0, 1, 2), 1e-5)
    np.testing.assert_allclose(array(y).transpose(0, 2, 3, 1), expected, rtol=0, atol=2e-6)


def test_rms_norm_of_many_values() -> None:
    x = far((4, 100000), 3.0)
    wide = x.astype("float64")
    expected = wide / np.sqrt((wide * wide).mean(axis=1, keepdims=True))
    np.testing.assert_allclose(array(tn.nn.RMSNorm(100000)(tensor(x))), expected, rtol=1e-6)


def test_the_second_derivative_far_from_zero() -> None:
    """float32 against float64 on the same data."""
    x = far((65536, 2), 1e4)
    v = far((65536, 2), 0.0, seed=1)
    results = []
    for dtype in ("float32", "float64"):
        leaf = tensor(x.astype(dtype), grad=True)
        y = tn.nn.BatchNorm1d(2, dtype=dtype)(leaf)
        (dx,) = tn.autograd.grad((y**3).sum(), leaf, create_graph=True)
        (ddx,) = tn.autograd.grad((dx * tensor(v.astype(dtype))).sum(), leaf)
        results.append(array(ddx))
    scale = np.abs(results[1]).max()
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=float(1e-5 * scale))


def test_running_statistics_far_from_zero() -> None:
    layer = tn.nn.BatchNorm1d(4, momentum=1.0)
    x = far((65536, 4), 1e4)
    layer(tensor(x))
    wide = x.astype("float64")
    np.testing.assert_allclose(array(layer.running_mean), wide.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(array(layer.running_var), wide.var(axis=0, ddof=1), rtol=1e-6)


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchRenorm1d"])
def test_inference_far_from_zero(kind: str) -> None:
    """The mean is subtracted first; folded into the bias it would cost four digits."""
    layer = getattr(tn.nn, kind)(4)
    values = randomize(layer, np.random.default_rng(0))
    layer.running_mean.copy_(tn.tensor([1e4, -1e5, 1e6, 3.0]))
    x = far((1000, 4), 0.0) + array(layer.running_mean)
    held = {name: array(v).astype("float64") for name, v in layer.state_dict().items()}
    std = (np.sqrt(held["running_var"] + layer.eps) if "running_var" in values
           else held["running_std"])
    expected = (x.astype("float64") - held["running_mean"]) / std * held["weight"] + held["bias"]
    np.testing.assert_allclose(array(layer.eval()(tensor(x))), expected, rtol=0, atol=2e-6)


def test_an_outlier_in_the_first_row_costs_no_more_than_elsewhere() -> None:
    """The statistics are shifted by the first value; a bad choice must not be a disaster."""
    for row in (0, 40000):
        x = far((65536, 2), 0.0)
        x[row] = 1e6
        expected, _ = exact(x, x, (0,), 1e-5)
        got = array(tn.nn.BatchNorm1d(2)(tensor(x)))
        np.testing.assert_allclose(got, expected, rtol=0, atol=float(1e-7 * expected.max()))


# -- float16, large values ---------------------------------------------------------------------

@pytest.mark.parametrize("std", [1e-3, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("parameters", ["float16", "float32"])
@pytest.mark.parametrize("make", [
    lambda: tn.nn.BatchNorm1d(4), lambda: tn.nn.LayerNorm(4), lambda: tn.nn.RMSNorm(4, 1e-5),
    lambda: tn.nn.GroupNorm(2, 4), lambda: tn.nn.InstanceNorm1d(4, affine=True),
], ids=["batch", "layer", "rms", "group", "instance"])  # fmt: skip
def test_float16_is_computed_in_float32(
    make: Callable[[], Any], parameters: str, std: float, device: str
) -> None:
    """300² = 90000 is beyond float16 and 1e-3² below it, so neither may be held in it."""
    layer = make().to(parameters).to(device)
    shape = (512, 4, 6) if "Instance" in repr(layer) else (512, 4)
    x = (np.random.default_rng(0).standard_normal(shape) * std).astype("float16")
    leaf = tensor(x, device, grad=True)
    y = layer(leaf)
    dy = np.cos(np.arange(x.size)).reshape(shape).astype("float16")
    y.backward(tensor(dy, device))
    assert y.dtype == leaf.grad.dtype == tn.float16
    assert all(p.grad.dtype == parameters for p in layer.parameters())
    wide = tensor(x.astype("float64"), grad=True)
    reference = make().double()
    expected = reference(wide)
    expected.backward(tensor(dy.astype("float64")))
    np.testing.assert_allclose(array(y), array(expected), rtol=1e-3, atol=1e-3)
    scale = np.abs(array(wide.grad)).max()
    np.testing.assert_allclose(array(leaf.grad), array(wide.grad), rtol=0,
                               atol=float(1e-3 * scale + 6e-8))


def test_float16_statistics_of_a_float32_layer_are_wide() -> None:
    """std 3000: the variance, 9e6, is kept; a layer in float16 could not hold it."""
    layer = tn.nn.BatchNorm1d(2)
    x = (np.random.default_rng(0).standard_normal((512, 2)) * 3000).astype("float16")
    layer.momentum = 1.0
    layer(tensor(x))
    np.testing.assert_allclose(array(layer.running_var), x.astype("float64").var(axis=0, ddof=1),
                               rtol=1e-5)
    y = array(layer.eval()(tensor(x)))
    assert y.dtype == "float16"
    np.testing.assert_allclose(y.astype("float64").std(axis=0), 1, rtol=2e-3)
    with pytest.warns(RuntimeWarning, match="BatchNorm1d: averages beyond float16: .* keep the la"):
        tn.nn.BatchNorm1d(2, momentum=1.0).half()(tensor(x))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_default_eps_of_rms_norm_is_of_the_dtype_computed_in(dtype: str) -> None:
    """float32 for float16: the machine epsilon of float16, 1e-3, would swallow what is small."""
    x = np.array([[1e-3, -2e-3, 5e-4]], dtype)
    wide = x.astype("float64")
    eps = np.finfo("float64" if dtype == "float64" else "float32").eps
    expected = wide / np.sqrt((wide**2).mean() + eps)
    y = tn.nn.RMSNorm(3, elementwise_affine=False)(tensor(x))
    np.testing.assert_allclose(array(y), expected, rtol=4 * np.finfo(dtype).eps)


# -- constant channels, batches of two ---------------------------------------------------------

CONSTANT = [(c, v) for c in CASES for v in (0.0, 0.1, -7e3) if c.centred or not v]
"""RMSNorm keeps a constant; only 0 has no size."""


@pytest.mark.parametrize(("case", "value"), CONSTANT, ids=[f"{c} {v}" for c, v in CONSTANT])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_is_constant_gives_beta_exactly(case: Case, dtype: str, value: float) -> None:
    """The sum of n copies of 0.1, divided by n, is not 0.1: the difference must be 0 all the same.

    First and second derivatives are finite.
    """
    layer = case.make(tn.nn, eps=0.1 if dtype == "float16" else 1e-5)  # it reaches to 65504
    randomize(layer, case.random())
    layer.to(dtype)
    x = tensor(np.full(case.shape, value, dtype), grad=True)
    y = layer(x)
    beta = array(layer.bias).reshape(case.beside) if case.layer != "RMSNorm" else np.zeros(1, dtype)
    np.testing.assert_array_equal(array(y), np.broadcast_to(beta, case.shape))
    dy = tensor(case.random(1).standard_normal(case.shape).astype(dtype), grad=True)
    inputs = [x, dy, *layer.parameters()]
    first = tn.autograd.grad((y * dy).sum(), inputs, create_graph=True)
    second = tn.autograd.grad(sum((g * g.detach()).sum() for g in first) * 1e-3, inputs,
                              allow_unused=True)
    for gradient in (*first, *second):
        assert gradient is None or np.isfinite(array(gradient)).all()


def test_many_copies_of_a_number_are_constant() -> None:
    """Also where blocks are added up."""
    for shape, layer in (((100000, 3), tn.nn.BatchNorm1d(3)), ((3, 100000), tn.nn.LayerNorm(
            100000)), ((2, 3, 100, 100), tn.nn.BatchNorm2d(3))):
        x = np.full(shape, 0.1, "float32")
        assert not array(layer(tensor(x))).any()


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_a_batch_of_two_is_plus_or_minus_one(eps: float) -> None:
    """Whatever the input: x̂ = ±√(var/(var + eps)), and the gradient is nearly 0."""
    x = np.random.default_rng(0).standard_normal((2, 5)) * 10
    leaf = tensor(x, grad=True)
    y = tn.nn.BatchNorm1d(5, eps, dtype=tn.float64)(leaf)
    half = (x[0] - x[1]) / 2
    expected = half / np.sqrt(half**2 + eps)
    np.testing.assert_allclose(array(y), [expected, -expected], rtol=1e-12)
    np.testing.assert_allclose(np.abs(array(y)), 1, atol=eps)
    y.backward(tensor(np.random.default_rng(1).standard_normal((2, 5))))
    assert np.abs(array(leaf.grad)).max() < eps


def test_a_vanishing_deviation_is_held_up_by_eps() -> None:
    """Values that differ in the last digit are normalized by √eps, not blown up."""
    x = np.full((4, 1), 1.0, "float32")
    x[0] = np.nextafter(np.float32(1), np.float32(2))
    y = array(tn.nn.BatchNorm1d(1)(tensor(x)))
    expected, _ = exact(x, x, (0,), 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert np.abs(y).max() < 1e-4


@pytest.mark.parametrize("case", CASES, ids=map(str, CASES))
def test_values_agree_with_the_plain_formula_in_float32(case: Case) -> None:
    """Of ordinary values, to the last digits."""
    layer = case.make(tn.nn)
    values = randomize(layer, case.random())
    x = case.input().astype("float32")
    eps = layer.eps if layer.eps is not None else float(np.finfo("float32").eps)
    expected = formula(case, x.astype("float64"), values.get("weight"), values.get("bias"),
                       eps=eps)
    np.testing.assert_allclose(array(layer(tensor(x))), expected, rtol=0, atol=3e-6)
