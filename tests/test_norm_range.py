"""Values of any size: what can be represented neither overflows nor vanishes on the way to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array, compared, randomize, tensor

import tinygrad_norm as tn
from tinygrad_norm.backend import reference

pytestmark = pytest.mark.usefixtures("loops")

FREE = [c for c in CASES if not c.layer.startswith("BatchNorm")]
"""eps may be 0 there."""
cases = pytest.mark.parametrize("case", CASES, ids=map(str, CASES))


def derivatives(
    case: Case, x: np.ndarray, v: np.ndarray, eps: float, dtype: str, device: str = "cpu"
) -> list[np.ndarray]:
    """y, the gradient g of Σ y dy, that of Σ g v, and the gradients of weight and bias."""
    random = case.random(1)
    layer = case.make(tn.nn, eps=eps, dtype=dtype)
    randomize(layer, random)
    layer.to(device)
    dy = tensor(random.standard_normal(case.shape).astype(dtype), device)
    leaf = tensor(x.astype(dtype), device, grad=True)
    with tn.autograd.keep_statistics():
        y = layer(leaf)
    g, *others = tn.autograd.grad((y * dy).sum(), [leaf, *layer.parameters()], create_graph=True)
    (h,) = tn.autograd.grad((g * tensor(v.astype(dtype), device)).sum(), leaf)
    return [array(a).astype("float64") for a in (y, g, h, *others)]


def check(case: Case, scale: float, eps: float, dtype: str, device: str) -> None:
    """Against the same in float64 (or nearly) and in units in which the values are about 1.

    There y is the same, and both gradients are larger by the unit, as v is smaller by it.
    """
    x = (case.input() * scale).astype(dtype)
    v = (case.random(2).standard_normal(case.shape) * scale).astype(dtype)
    unit = 2.0 ** -round(float(np.log2(max(scale, eps**0.5))))
    expected = derivatives(case, x.astype("float64") * unit, v.astype("float64") * unit,
                           eps * unit * unit or 1e-300, "float64")
    got = derivatives(case, x, v, eps, dtype, device)
    got[1:3] = [g / unit for g in got[1:3]]
    bound = 3e-6 if dtype == "float32" else 1e-12
    for one, other in zip(got, expected, strict=True):
        if np.abs(other).max() * unit < np.finfo(dtype).tiny / 1e-7:
            continue  # cannot be represented
        np.testing.assert_allclose(one, other, rtol=0, atol=float(bound * np.abs(other).max()))


@cases
@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e6, 1e12, 1e19, 1e30, 5e37])
def test_float32(case: Case, scale: float, device: str) -> None:
    for eps in (1e-5, 1e-12):
        check(case, scale, eps, "float32", device)


@pytest.mark.parametrize("case", FREE, ids=map(str, FREE))
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e30])
def test_float32_without_eps(case: Case, scale: float, device: str) -> None:
    """And with one that float32 cannot hold."""
    for eps in (0.0, 1e-70):
        check(case, scale, eps, "float32", device)


@cases
@pytest.mark.parametrize("scale", [1e-100, 1e100, 1e200, 1e306])
def test_float64(case: Case, scale: float, device: str) -> None:
    check(case, scale, 1e-5, "float64", device)


LAYERS: dict[str, Callable[[], Any]] = {
    "batch": lambda: tn.nn.BatchNorm1d(4, track_running_stats=False),
    "instance": lambda: tn.nn.InstanceNorm1d(4), "group": lambda: tn.nn.GroupNorm(2, 4),
    "layer": lambda: tn.nn.LayerNorm(300), "rms": lambda: tn.nn.RMSNorm(300),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_values_from_the_smallest_to_the_largest(make: Callable[[], Any], device: str) -> None:
    """Each channel of another size, up to both ends of float32."""
    x = np.random.default_rng(0).uniform(-1, 1, (3, 4, 300))
    x[:, :, :2] = 1, -1
    sizes = np.array([3.4e38, 1e-30, 1.0, 1e20]).reshape(4, 1)
    layer = make().to(device)
    leaf = tensor((x * sizes).astype("float32"), device, grad=True)
    y = layer(leaf)
    wide = (x * sizes).astype("float32").astype("float64")
    axes = {"BatchNorm1d": (0, 2), "GroupNorm": (2, 3)}.get(type(layer).__name__, (2,))
    view = wide.reshape(3, 2, 2, 300) if "Group" in repr(layer) else wide
    centre = 0 if "RMS" in repr(layer) else view.mean(axes, keepdims=True)
    eps = layer.eps if layer.eps is not None else np.finfo("float32").eps
    expected = (view - centre) / np.sqrt(((view - centre) ** 2).mean(axes, keepdims=True) + eps)
    np.testing.assert_allclose(array(y), expected.reshape(wide.shape), rtol=0, atol=4e-6)
    y.square().sum().backward()
    assert np.isfinite(array(leaf.grad)).all()


OTHERS: dict[str, Callable[..., Any]] = {
    "sync": lambda **k: tn.nn.SyncBatchNorm(4, **k), "iter": lambda **k: tn.nn.IterNorm(4, 2, **k),
    "switchable": lambda **k: tn.nn.SwitchableNorm1d(4, using_in=True, **k),
    "switchable vectors": lambda **k: tn.nn.SwitchableNorm1d(4, **k),
    "switchable samples": lambda **k: tn.nn.SwitchableNorm1d(4, using_bn=False, **k),
    "evonorm b0": lambda **k: tn.nn.EvoNormB0(4, **k),
    "evonorm s0": lambda **k: tn.nn.EvoNormS0(4, 2, **k),
    "filter response": lambda **k: tn.nn.FilterResponseNorm1d(4, **k),
}


@pytest.mark.parametrize("sizes", [[3.4e38] * 4, [3.4e38, 1e-30, 1.0, 1e20]], ids=str)
@pytest.mark.parametrize("sign", [-1, 1], ids=["both signs", "mostly one"])
@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_the_ends_of_float32_as_in_float64(
    make: Callable[..., Any], sizes: list[float], sign: int, device: str
) -> None:
    """With the gradients, seen as changes of x in proportion to the size of its channel."""
    x = np.random.default_rng(0).uniform(min(sign, 0), 1, (6, 4, 30))
    x[0, :, :2], x[3, :, 4] = sign, -1
    size = np.array(sizes).reshape(4, 1)
    results = []
    for dtype in ("float32", "float64"):
        layer = make(dtype=dtype).to(device)
        leaf = tensor((x * size).astype("float32").astype(dtype), device, grad=True)
        with tn.autograd.keep_statistics():  # a variance of 1e76 would be refused
            y = tn.cat(layer([leaf[:2], leaf[2:]])) if "Sync" in repr(layer) else layer(leaf)
        y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype), device))
        results.append((array(y), array(leaf.grad)))
    for got, expected, unit in zip(*results, (1, size), strict=True):
        kept = compared(expected, device)
        got, expected = (np.where(kept, value, 0) * unit for value in (got, expected))
        assert np.abs(got - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize("eps", [1e-5, 1e-30])
@pytest.mark.parametrize(("name", "training"), [
    ("evonorm b0", True), *((name, mode) for mode in (True, False)
                            for name in ("switchable", "switchable vectors"))], ids=str)
def test_a_sample_unlike_the_others(name: str, training: bool, eps: float, device: str) -> None:
    """Constant, large among small ones or small among large ones; with the gradients."""
    normal = np.random.default_rng(0).standard_normal((6, 4, 5))
    for own, size in ((1e30, 1), (5, 1e30), (1e30, 0)):
        x = normal * size
        x[0] = own
        results = []
        for dtype in ("float32", "float64"):
            layer = OTHERS[name](dtype=dtype, eps=eps).to(device).train(training)
            layer.load_state_dict(layer.state_dict())
            leaf = tensor(x.astype("float32").astype(dtype), device, grad=True)
            with tn.autograd.keep_statistics():
                y = layer(leaf)
            y.backward(tensor(np.cos(np.arange(x.size)).reshape(x.shape).astype(dtype), device))
            results.append((array(y), array(leaf.grad)))
        for got, expected in zip(*results, strict=True):
            assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max(), (own, size)


@pytest.mark.parametrize("value", [1e30, -3.4e38, 1e-38])
@pytest.mark.parametrize("size", [3, 300])
@pytest.mark.parametrize("make", [
    lambda: tn.nn.BatchNorm1d(4), lambda: tn.nn.InstanceNorm1d(4), lambda: tn.nn.GroupNorm(2, 4),
    lambda: tn.nn.BatchRenorm1d(4, rmax=1, dmax=0), lambda: tn.nn.LayerNorm([4, 1]),
], ids=["batch", "instance", "group", "renorm", "layer"])  # fmt: skip
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_a_constant_gives_beta_whatever_its_size(
    make: Callable[[], Any], size: int, value: float, layout: Any, device: str
) -> None:
    """And the gradients of a constant small enough to leave eps its part are right."""
    layer = make()
    shape = (size, 4, 1) if "LayerNorm" in repr(layer) else (2, 4, size)
    random = np.random.default_rng(0)
    bias = random.standard_normal(4).astype("float32")
    if getattr(layer, "bias", None) is not None:
        layer.load_state_dict({"bias": bias.reshape(layer.bias.shape)}, strict=False)
    else:
        bias[:] = 0
    layer.to(device)
    leaf = tensor(layout(np.full(shape, value, "float32")), device, grad=True)
    with tn.autograd.keep_statistics():
        y = layer(leaf)
    np.testing.assert_array_equal(array(y), np.broadcast_to(bias.reshape(4, 1), shape))
    dy = tensor(random.standard_normal(shape).astype("float32"), device)
    (g,) = tn.autograd.grad((y * dy).sum(), leaf, create_graph=True)
    (h,) = tn.autograd.grad((g * g.detach()).sum(), leaf)
    assert np.isfinite(array(h)).all()
    if "BatchNorm" in repr(layer) and abs(value) < 1e31:
        away = array(dy) - array(dy).mean(axis=(0, 2), keepdims=True)
        np.testing.assert_allclose(array(g), away / 1e-5**0.5, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_nan_and_inf_give_nan_where_they_are(
    make: Callable[[], Any], bad: float, device: str
) -> None:
    """Only among the values that are normalized together, and without a word from NumPy."""
    x = np.random.default_rng(0).standard_normal((3, 4, 300)).astype("float32")
    clean = array(make()(tensor(x)))
    x[1, 2, 7] = bad
    leaf = tensor(x, device, grad=True)
    y = make().to(device)(leaf)
    got = array(y)
    assert np.isnan(got[1, 2, 7])
    np.testing.assert_allclose(got[:, :2], clean[:, :2], rtol=0, atol=1e-6)
    with np.errstate(invalid="ignore"):
        y.sum().backward()
    assert np.isnan(array(leaf.grad)[1, 2, 7])


def test_anomaly_detection_sees_no_anomaly_in_large_values() -> None:
    """It looks at each result: an attempt that overflows must not be among them."""
    x = tensor(np.array([[1e30], [3.4e38], [-3.4e38]], "float32"), grad=True)
    with tn.autograd.detect_anomaly():
        tn.nn.BatchNorm1d(1, track_running_stats=False)(x).sum().backward()
        with pytest.raises(RuntimeError, match="normalize made a NaN from inputs without one"):
            tn.nn.LayerNorm(2)(tn.tensor([1.0, float("inf")]))


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_anomaly_detection_sees_none_in_the_others_either(make: Callable[..., Any]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (6, 4, 30)) * 3.4e38
    x[0, :, :2] = 3.4e38, -3.4e38
    layer, leaf = make(), tensor(x.astype("float32"), grad=True)
    with tn.autograd.detect_anomaly(), tn.autograd.keep_statistics():
        y = layer([leaf])[0] if "Sync" in repr(layer) else layer(leaf)
        y.sum().backward()


def test_inference_with_large_statistics(device: str) -> None:
    x = np.random.default_rng(0).standard_normal((50, 2))
    batch, renorm = tn.nn.BatchNorm1d(2).eval(), tn.nn.BatchRenorm1d(2).eval()
    batch.load_state_dict({**batch.state_dict(), "running_mean": np.array([1e20, -1e19], "f4"),
                           "running_var": np.array([1e38, 1e-30], "f4")})
    renorm.load_state_dict({**renorm.state_dict(), "running_mean": np.array([1e30, 1e-30], "f4"),
                            "running_std": np.array([1e30, 1e-30], "f4")})
    for layer, mean, std in ((batch, [1e20, -1e19], [1e19, 1e-5**0.5]),
                             (renorm, [1e30, 1e-30], [1e30, 1e-30])):
        values = (x * std + mean).astype("float32")
        held = np.array(mean, "f4").astype("float64")
        leaf = tensor(values, device, grad=True)
        y = layer.to(device)(leaf)
        np.testing.assert_allclose(array(y), (values.astype("float64") - held) / std, rtol=2e-6,
                                   atol=1e-6)
        y.sum().backward()
        np.testing.assert_allclose(array(leaf.grad)[0], 1 / np.array(std), rtol=1e-5)


def test_float16_holds_its_largest_values_beside_the_smallest(device: str) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (64, 4)).astype("float16")
    x[:8], x[8:16] = 65504, -65504
    for make in (lambda: tn.nn.BatchNorm1d(4), lambda: tn.nn.LayerNorm(4),
                 lambda: tn.nn.RMSNorm(4), lambda: tn.nn.GroupNorm(1, 4),
                 lambda: tn.nn.BatchRenorm1d(4, rmax=1, dmax=0)):
        wide, leaf = (tensor(x.astype(d), device, grad=True) for d in ("float64", "float16"))
        y = make().to(device)(leaf)
        expected = make().double().to(device)(wide)
        np.testing.assert_allclose(array(y), array(expected), rtol=1e-3, atol=1e-6)
        y.square().sum().backward()
        assert y.dtype == leaf.grad.dtype == tn.float16
        assert np.isfinite(array(leaf.grad)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_unit_is_a_power_of_two_of_the_size_of_the_deviation(dtype: str) -> None:
    random = np.random.default_rng(0)
    sizes = 10.0 ** random.uniform(*((-37, 37) if dtype == "float32" else (-300, 300)), 50)
    x = (random.uniform(-1, 1, (20, 50)) * sizes).astype(dtype)
    for centred in (True, False):
        unit = reference.unit(x, axes=(0,), eps=0.0, centred=centred)
        assert unit.dtype == dtype
        assert set(np.frexp(unit)[0]) == {0.5}
        spread = np.abs(x * unit).max(axis=0)
        assert (spread < 2.1).all()
        assert (spread > 0.4).all()
    for value in (0.0, 1e30, np.nan, np.inf):  # nothing to go by
        with np.errstate(invalid="ignore"):
            unit = reference.unit(np.full((3, 1), value, dtype), axes=(0,), eps=1e-4, centred=True)
        assert np.isfinite(unit).all()
        assert (unit > 0).all()
