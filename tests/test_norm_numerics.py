"""Where norms lose digits, overflow or divide by nothing; and what they say to bad input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import CASES, Case, array, formula, randomize, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

cases = pytest.mark.parametrize("case", CASES, ids=map(str, CASES))


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
    with pytest.warns(RuntimeWarning, match="overflow"):
        tn.nn.BatchNorm1d(2, momentum=1.0).half()(tensor(x))


@pytest.mark.parametrize("make", [lambda: tn.nn.BatchNorm1d(4), lambda: tn.nn.LayerNorm(4)],
                         ids=["batch", "layer"])
def test_squares_beyond_float32_are_not_silent(make: Callable[[], Any]) -> None:
    """PyTorch gives 0 or NaN for values of 1e30 without a word. Here NumPy warns; float64 holds
    them."""
    x = np.random.default_rng(0).standard_normal((8, 4)) * 1e30
    with pytest.warns(RuntimeWarning, match="overflow"):
        y = make()(tensor(x.astype("float32")))
    assert not array(y).any()
    layer = make().double()
    np.testing.assert_allclose(array(layer(tensor(x))), array(layer(tensor(x * 1e-30))), rtol=1e-4)


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


# -- devices -----------------------------------------------------------------------------------

RENORMS = [Case(f"BatchRenorm{c.layer[-2:]}", c.arguments, c.shape, c.axes, c.beside)
           for c in CASES if c.layer.startswith("BatchNorm")]


@pytest.mark.parametrize("case", [*CASES, *RENORMS], ids=map(str, [*CASES, *RENORMS]))
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_every_layer_stays_on_its_device(
    case: Case, dtype: str, training: bool, momentum: float | None, device: str
) -> None:
    """Forward and backward; nothing crosses, and the numbers are the cpu's."""
    settings: dict[str, Any] = {}
    if case.layer.startswith(("Batch", "Instance")):
        settings["momentum"] = momentum
    if case.layer.startswith("Instance"):
        settings["track_running_stats"] = True
    results = []
    x = case.input().astype(dtype)
    for place in (device, "cpu"):
        layer = case.make(tn.nn, eps=1e-2, **settings)
        randomize(layer, case.random())
        layer.to(dtype).to(place).train(training)
        leaf = tensor(x, place, grad=True)
        outward = tensor(np.cos(x), place)
        strict.traffic.clear()
        y = layer(leaf)
        y.backward(outward)
        assert not strict.traffic
        gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
        for value in (y, *gradients, *layer.buffers()):
            assert value.device.type == place
        results.append([array(v) for v in (y, *gradients, *layer.buffers())])
    for got, expected in zip(*results, strict=True):
        tolerance = 2e-3 if expected.dtype == "float16" else 1e-5
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchRenorm1d", "InstanceNorm1d"])
def test_a_layer_on_another_device_is_refused(kind: str, training: bool, affine: bool) -> None:
    settings = {} if "Renorm" in kind else {"track_running_stats": True}
    layer = getattr(tn.nn, kind)(3, affine=affine, device="strict", **settings).train(training)
    with pytest.raises(RuntimeError, match=(
            r"_re?norm: the input is on cpu, running_mean on strict:0; move one with \.to\(device\)"
            if "Renorm" in kind else
            r"_norm: the input is on cpu, running_mean on strict:0; move one with \.to\(device\)")):
        layer(tn.ones(2, 3, 4))
    with pytest.raises(RuntimeError, match="layer_norm: the input is on strict:0, weight on cpu"):
        tn.nn.LayerNorm(3)(tn.ones(2, 3, device="strict"))


# -- what bad input is told --------------------------------------------------------------------

ALONE = ("; use a larger batch (DataLoader(drop_last=True)), eval(), or a norm that does not "
         "depend on the batch: GroupNorm, LayerNorm")
ONE_DTYPE = "bring them to one dtype with .to(dtype)"


def ones(*shape: int, dtype: Any = tn.float32) -> tn.Tensor:
    return tn.ones(shape, dtype=dtype)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "channels": (lambda: tn.nn.BatchNorm1d(64)(ones(32, 128)), ValueError,
                 "BatchNorm1d: expected input (N, 64) or (N, 64, L), got (32, 128)"),
    "channels last": (
        lambda: tn.nn.BatchNorm2d(3)(ones(8, 32, 32, 3)), ValueError,
        "BatchNorm2d: expected input (N, 3, H, W), got (8, 32, 32, 3); is the channel axis last? "
        "move it with permute()"),
    "channels last 1d": (
        lambda: tn.nn.BatchNorm1d(3)(ones(8, 5, 3)), ValueError,
        "BatchNorm1d: expected input (N, 3) or (N, 3, L), got (8, 5, 3); is the channel axis "
        "last? move it with permute()"),
    "channels last of one sample": (
        lambda: tn.nn.InstanceNorm2d(3)(ones(32, 32, 3)), ValueError,
        "InstanceNorm2d: expected input (N, 3, H, W) or (3, H, W), got (32, 32, 3); is the "
        "channel axis last? move it with permute()"),
    "channels of one sample": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 5)), RuntimeError,
        "InstanceNorm1d: expected input (N, 3, L) or (3, L), got (4, 5)"),
    "renorm channels": (lambda: tn.nn.BatchRenorm3d(2)(ones(2, 3, 4, 5, 6)), ValueError,
                        "BatchRenorm3d: expected input (N, 2, D, H, W), got (2, 3, 4, 5, 6)"),
    "dims": (lambda: tn.nn.BatchNorm2d(3)(ones(4, 3)), ValueError,
             "BatchNorm2d: expected input (N, 3, H, W), got (4, 3)"),
    "group channels": (lambda: tn.nn.GroupNorm(2, 4)(ones(2, 3, 5)), RuntimeError,
                       "GroupNorm: expected input (N, 4, *), got (2, 3, 5)"),
    "one value": (
        lambda: tn.nn.BatchNorm1d(3)(ones(1, 3)), ValueError,
        "batch_norm: Expected more than 1 value per channel when training, got input size (1, 3), "
        "which has 1" + ALONE),
    "one value without statistics": (
        lambda: tn.nn.BatchNorm1d(3, track_running_stats=False).eval()(ones(1, 3)), ValueError,
        "which has 1" + ALONE),
    "empty batch": (
        lambda: tn.nn.BatchNorm2d(3)(ones(0, 3, 2, 2)), ValueError,
        "batch_norm: Expected more than 1 value per channel when training, got input size "
        "(0, 3, 2, 2), which has 0" + ALONE),
    "renorm empty": (lambda: tn.nn.BatchRenorm1d(3)(ones(0, 3)), ValueError,
                     "batch_renorm: Expected more than 1 value per channel"),
    "renorm one value": (lambda: tn.nn.BatchRenorm1d(3)(ones(1, 3)), ValueError,
                         "batch_renorm: Expected more than 1 value per channel"),
    "one place": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 1)), ValueError,
        "instance_norm: Expected more than 1 spatial element when training, got input size "
        "(4, 3, 1), which has 1"),
    "int": (lambda: tn.nn.BatchNorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
            "batch_norm: expected a floating point input, got int64; call .float()"),
    "int eval": (lambda: tn.nn.BatchNorm1d(3).eval()(ones(4, 3, dtype=tn.int32)), TypeError,
                 "batch_norm: expected a floating point input, got int32; call .float()"),
    "int renorm": (lambda: tn.nn.BatchRenorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                   "batch_renorm: expected a floating point input, got int64; call .float()"),
    "int instance": (lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 5, dtype=tn.int64)), TypeError,
                     "instance_norm: expected a floating point input, got int64; call .float()"),
    "int group": (lambda: tn.nn.GroupNorm(1, 3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "group_norm: expected a floating point input, got int64; call .float()"),
    "int layer": (lambda: tn.nn.LayerNorm(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "layer_norm: expected a floating point input, got int64; call .float()"),
    "bool rms": (lambda: tn.nn.RMSNorm(3)(ones(4, 3, dtype=tn.bool)), TypeError,
                 "rms_norm: expected a floating point input, got bool; call .float()"),
    "dtype": (lambda: tn.nn.BatchNorm1d(3).double()(ones(4, 3)), TypeError,
              "batch_norm: the input is float32, running_mean float64; " + ONE_DTYPE),
    "dtype layer": (lambda: tn.nn.LayerNorm(3).double()(ones(4, 3)), RuntimeError,
                    "layer_norm: the input is float32, weight float64; " + ONE_DTYPE),
    "dtype bias": (lambda: F.layer_norm(ones(4, 3), (3,), bias=ones(3, dtype=tn.float64)),
                   TypeError, "layer_norm: the input is float32, bias float64; " + ONE_DTYPE),
    "groups": (lambda: tn.nn.GroupNorm(4, 6), ValueError,
               "GroupNorm: num_channels (6) must be divisible by num_groups (4)"),
    "groups 0": (lambda: tn.nn.GroupNorm(0, 6), ValueError,
                 "GroupNorm: num_channels (6) must be divisible by num_groups (0)"),
    "groups of a function": (
        lambda: F.group_norm(ones(2, 6), 4), RuntimeError,
        "group_norm: num_groups must divide the channels, got 4 groups for an input of shape "
        "(2, 6)"),
    "normalized_shape": (
        lambda: tn.nn.LayerNorm((3, 4))(ones(2, 4, 3)), RuntimeError,
        "layer_norm: Given normalized_shape=[3, 4], expected input (*, 3, 4), got (2, 4, 3)"),
    "normalized_shape rms": (
        lambda: tn.nn.RMSNorm(5)(ones(2, 4)), ValueError,
        "rms_norm: Given normalized_shape=[5], expected input (*, 5), got (2, 4)"),
    "normalized_shape 0": (lambda: tn.nn.LayerNorm(0), ValueError,
                           "LayerNorm: expected normalized_shape of positive ints, got (0,)"),
    "normalized_shape ()": (lambda: tn.nn.RMSNorm(()), ValueError,
                            "RMSNorm: expected normalized_shape of positive ints, got ()"),
    "normalized_shape 0 of a function": (
        lambda: F.layer_norm(ones(2, 0), (0,)), ValueError,
        "layer_norm: expected at least one value to normalize over, got normalized_shape=[0]"),
    "eps": (lambda: tn.nn.BatchNorm1d(3, eps=-1e-5), ValueError,
            "BatchNorm1d: expected eps >= 0, got -1e-05"),
    "eps instance": (lambda: tn.nn.InstanceNorm3d(3, eps=-1.0), ValueError,
                     "InstanceNorm3d: expected eps >= 0, got -1.0"),
    "eps layer": (lambda: tn.nn.LayerNorm(3, eps=-1.0)(ones(2, 3)), ValueError,
                  "layer_norm: expected eps >= 0, got -1.0"),
    "eps rms": (lambda: tn.nn.RMSNorm(3, eps=-1.0)(ones(2, 3)), ValueError,
                "rms_norm: expected eps >= 0, got -1.0"),
    "eps group": (lambda: tn.nn.GroupNorm(1, 3, eps=-1.0)(ones(2, 3)), ValueError,
                  "group_norm: expected eps >= 0, got -1.0"),
    "eps 0": (lambda: tn.nn.BatchNorm1d(3, eps=0.0)(ones(4, 3)), ValueError,
              "batch_norm: expected eps > 0 when training, got 0.0"),
    "features": (lambda: tn.nn.BatchNorm1d(-3), ValueError,
                 "BatchNorm1d: expected num_features >= 0, got -3"),
    "rmax": (lambda: tn.nn.BatchRenorm1d(3, rmax=0.5), ValueError,
             "BatchRenorm1d: expected rmax >= 1 and dmax >= 0, got 0.5 and 5.0"),
    "function dims": (lambda: F.batch_norm(ones(4), None, None, training=True), IndexError,
                      "batch_norm: expected input (N, C, *spatial), got (4,)"),
    "function dims instance": (lambda: F.instance_norm(ones(4, 3)), ValueError,
                               "instance_norm: expected input (N, C, *spatial), got (4, 3)"),
    "function dims group": (lambda: F.group_norm(ones(4), 2), RuntimeError,
                            "group_norm: expected input (N, C, *spatial), got (4,)"),
    "function mean": (
        lambda: F.batch_norm(ones(2, 4), ones(3), ones(4)), RuntimeError,
        "batch_norm: expected running_mean of shape (4,) for an input of shape (2, 4), got (3,)"),
    "function var": (
        lambda: F.batch_norm(ones(2, 4), ones(4), ones(3)), RuntimeError,
        "batch_norm: expected the running spread of shape (4,) for an input of shape (2, 4), got "
        "(3,)"),
    "function weight": (
        lambda: F.group_norm(ones(2, 4), 2, ones(1, 4)), RuntimeError,
        "group_norm: expected weight of shape (4,) for an input of shape (2, 4), got (1, 4)"),
    "function bias": (
        lambda: F.layer_norm(ones(2, 4), (4,), ones(4), ones(2, 4)), RuntimeError,
        "layer_norm: expected bias of shape (4,) for an input of shape (2, 4), got (2, 4)"),
    "function none": (lambda: F.batch_norm(ones(2, 4), None, ones(4)), RuntimeError,
                      "batch_norm: expected running_mean and running_var when not training"),
    "function none instance": (
        lambda: F.instance_norm(ones(2, 4, 3), use_input_stats=False), RuntimeError,
        "instance_norm: expected running_mean and running_var when use_input_stats is False"),
}  # fmt: skip


@pytest.mark.parametrize(("run", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(run: Callable[[], Any], error: type[Exception], message: str) -> None:
    """Who, what was expected, what came, what to do."""
    with pytest.raises(error) as caught:
        run()
    assert message in str(caught.value)


EMPTY = [c for c in CASES if (0 not in c.axes or c.remembers) and c.beside[0] == 1]


@pytest.mark.parametrize("case", EMPTY, ids=map(str, EMPTY))
def test_an_empty_batch_where_nothing_depends_on_it(case: Case) -> None:
    """Passes through, with gradients of zero: in eval where the batch's statistics are used."""
    layer = case.make(tn.nn).train(not case.remembers)
    x = tn.ones((0, *case.shape[1:]), requires_grad=True)
    before = [array(b).copy() for b in layer.buffers()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(x)
        y.sum().backward()
    assert y.shape == x.shape == x.grad.shape
    assert all(not array(p.grad).any() for p in layer.parameters())
    for buffer, value in zip(layer.buffers(), before, strict=True):
        np.testing.assert_array_equal(array(buffer), value)


@cases
def test_values_agree_with_the_plain_formula_in_float32(case: Case) -> None:
    """Of ordinary values, to the last digits."""
    layer = case.make(tn.nn)
    values = randomize(layer, case.random())
    x = case.input().astype("float32")
    eps = layer.eps if layer.eps is not None else float(np.finfo("float32").eps)
    expected = formula(case, x.astype("float64"), values.get("weight"), values.get("bias"),
                       eps=eps)
    np.testing.assert_allclose(array(layer(tensor(x))), expected, rtol=0, atol=3e-6)
