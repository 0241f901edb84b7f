"""The norms: values, derivatives of order 1 to 4, and the identities they obey."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import (
    CASES,
    Case,
    Series,
    array,
    close,
    directional,
    formula,
    moments,
    randomize,
    tensor,
)

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm.ops.normalize import normalize

EPS = 1e-3

cases = pytest.mark.parametrize("case", CASES, ids=map(str, CASES))


# -- values and derivatives --------------------------------------------------------------------

def prepared(case: Case, device: str, *, affine: bool, training: bool) -> tuple[Any, ...]:
    """A layer in float64 with random values, and these by name."""
    layer = case.make(tn.nn, affine=affine, eps=EPS, dtype=tn.float64, device=device)
    return layer.train(training), randomize(layer, case.random(1))


@cases
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_derivatives_of_order_1_to_4(
    case: Case, affine: bool, training: bool, device: str
) -> None:
    """d/dt of Σ w y along x + t v, in which weight and bias move too, against Taylor series."""
    layer, values = prepared(case, device, affine=affine, training=training)
    statistics = None
    if case.remembers and not training:
        statistics = values["running_mean"], values["running_var"]
    random = case.random(2)
    x = case.input()
    moving = [x, *(values[name] for name in ("weight", "bias") if name in values)]
    inputs = [tensor(x, device, grad=True), *layer.parameters()]
    for _ in range(3):
        outward = random.standard_normal(case.shape)
        along = [random.standard_normal(m.shape) for m in moving]
        lines = [Series.line(m, v) for m, v in zip(moving, along, strict=True)]
        expected = (formula(case, *lines, eps=EPS, statistics=statistics) * outward).sum()
        with tn.autograd.keep_statistics():
            value = (layer(inputs[0]) * tensor(outward, device)).sum()
        assert value.item() == pytest.approx(float(expected.c[0]), rel=1e-12)
        got = directional(value, inputs, [tensor(v, device) for v in along])
        np.testing.assert_allclose(got, expected.derivatives, rtol=1e-9, atol=1e-12)


@cases
def test_derivatives_through_the_statistics(case: Case, device: str) -> None:
    """Every result of the operation can be differentiated: y, mean and var."""
    random = case.random(3)
    x, weight = random.standard_normal(case.view), random.uniform(0.5, 2, case.view[1:])
    expected = [random.standard_normal(case.view), random.standard_normal(weight.shape)]
    lines = [Series.line(a, v) for a, v in zip((x, weight), expected, strict=True)]
    mean, var = moments(case, lines[0])
    centred = lines[0].reshape(case.view) - mean
    scaled = centred * (var + EPS) ** -0.5 * lines[1].reshape((1, *weight.shape))
    parts = [scaled, mean, var] if case.centred else [scaled, var]
    outward = [random.standard_normal(p.c.shape[1:]) for p in parts]
    total = sum(((p * w).sum() for p, w in zip(parts, outward, strict=True)), Series([0.0] * 5))

    inputs = [tensor(x, device, grad=True), tensor(weight, device, grad=True)]
    y, _, m, v = normalize(*inputs, None, axes=case.axes, eps=EPS, centred=case.centred)
    results = [y, m, v] if case.centred else [y, v]
    value = sum((r * tensor(w, device)).sum() for r, w in zip(results, outward, strict=True))
    got = directional(value, inputs, [tensor(e, device) for e in expected])
    np.testing.assert_allclose(got, total.derivatives, rtol=1e-9)


@cases
def test_gradcheck_and_gradgradcheck(case: Case) -> None:
    """Finite differences agree, and checking a layer in training leaves its buffers alone."""
    layer, _ = prepared(case, "cpu", affine=True, training=True)
    before = {name: b.array.tobytes() for name, b in layer.named_buffers()}
    x = tensor(case.input(), grad=True)
    assert tn.autograd.gradcheck(layer, x)
    assert tn.autograd.gradgradcheck(layer, x)
    assert {name: b.array.tobytes() for name, b in layer.named_buffers()} == before


# -- identities --------------------------------------------------------------------------------

def gradient_of(case: Case, *, eps: float = EPS) -> tuple[np.ndarray, ...]:
    """x̂, the gradient dy weight that reaches it, the gradient of x, and the variance."""
    layer = case.make(tn.nn, eps=eps, dtype=tn.float64)
    weight = randomize(layer, case.random(1))["weight"]
    x, dy = tensor(case.input(), grad=True), case.random(4).standard_normal(case.shape)
    (dx,) = tn.autograd.grad(layer(x), x, tensor(dy))
    _, var = moments(case, x.array)
    x_hat = formula(case, x.array, eps=eps)
    arrays = x_hat, dy * weight.reshape(case.beside), array(dx)
    return *(a.reshape(case.view) for a in arrays), var


@cases
def test_what_is_normalized_has_mean_0_and_variance_var_over_var_plus_eps(case: Case) -> None:
    layer = case.make(tn.nn, affine=False, eps=0.1, dtype=tn.float64)
    _, var = moments(case, case.input())
    mean, spread = moments(case, array(layer(tensor(case.input()))))
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    np.testing.assert_allclose(spread, var / (var + 0.1), rtol=1e-13)


@cases
def test_the_gradient_is_orthogonal_to_1_and_nearly_to_x_hat(case: Case) -> None:
    """Σ dx = 0 and Σ dx x̂ = rstd Σ (weight dy x̂) eps/(var + eps): moving x along 1 or along
    itself changes nothing, or nothing but the share of eps."""
    x_hat, g, dx, var = gradient_of(case)
    if case.centred:
        np.testing.assert_allclose(dx.sum(axis=case.axes), 0, atol=1e-14)
    along = (g * x_hat).sum(axis=case.axes, keepdims=True)
    expected = (var + EPS) ** -0.5 * along * EPS / (var + EPS)
    np.testing.assert_allclose((dx * x_hat).sum(axis=case.axes, keepdims=True), expected,
                               rtol=1e-9, atol=1e-14)


def test_the_jacobian_is_a_projection_with_known_eigenvalues() -> None:
    """J = weight/√(σ²+ε) (I - 11ᵀ/N - x̂x̂ᵀ/N); scaled, its eigenvalues are 0, ε/(σ²+ε), 1, …, 1."""
    n, eps, weight = 7, 0.05, 1.7
    x = np.random.default_rng(0).standard_normal((n, 1))
    jacobian = array(tn.autograd.functional.jacobian(
        lambda x: F.batch_norm(x, None, None, tensor([weight]), training=True, eps=eps),
        tensor(x))).reshape(n, n)
    var = x.var()
    x_hat = (x - x.mean()) / np.sqrt(var + eps)
    projection = np.eye(n) - 1 / n - x_hat @ x_hat.T / n
    close(jacobian, weight / np.sqrt(var + eps) * projection)
    scaled = np.linalg.eigvalsh(jacobian * np.sqrt(var + eps) / weight)
    close(scaled, [0, eps / (var + eps), *[1] * (n - 2)])


@cases
def test_second_derivatives_at_weight_0_are_finite_and_right(case: Case) -> None:
    """The gradient must not be divided by weight anywhere."""
    layer = case.make(tn.nn, eps=EPS, dtype=tn.float64)
    tn.nn.init.zeros_(layer.weight)
    x, v, outward = (case.random(s).standard_normal(case.shape) for s in (5, 6, 7))
    u = case.random(8).standard_normal(layer.weight.shape)
    inputs = [tensor(x, grad=True), layer.weight]
    value = (layer(inputs[0]) * tensor(outward)).sum()
    lines = Series.line(x, v), Series.line(0 * u, u)
    expected = (formula(case, *lines, eps=EPS) * outward).sum().derivatives
    np.testing.assert_allclose(directional(value, inputs, [tensor(v), tensor(u)]), expected,
                               rtol=1e-9)


def outputs_and_gradients(layer: Any, x: np.ndarray) -> list[np.ndarray]:
    """y, dx, and the gradients of the parameters, with a fixed dy."""
    leaf = tensor(x, grad=True)
    y = layer(leaf)
    dy = np.cos(np.arange(x.size)).reshape(x.shape)
    layer.zero_grad()
    y.backward(tensor(dy.reshape(y.shape)))
    return [array(y), array(leaf.grad), *(array(p.grad) for p in layer.parameters())]


def same(a: Any, b: Any, x: np.ndarray, y: np.ndarray | None = None) -> None:
    """Two layers do the same to x (the second to y, the same values in another shape)."""
    for one, other in zip(outputs_and_gradients(a, x), outputs_and_gradients(b, x if y is None
                                                                             else y), strict=True):
        close(one.reshape(-1), other.reshape(-1))


X = np.random.default_rng(1).standard_normal((3, 4, 2, 3)) * 2 + 1


def test_group_norm_with_a_group_for_each_channel_is_instance_norm() -> None:
    same(tn.nn.GroupNorm(4, 4).double(), tn.nn.InstanceNorm2d(4, affine=True).double(), X)


def test_group_norm_with_one_group_is_layer_norm_over_channels_and_space() -> None:
    plain = tn.nn.GroupNorm(1, 4, affine=False)
    same(plain, tn.nn.LayerNorm((4, 2, 3), elementwise_affine=False), X)


def test_instance_norm_is_batch_norm_of_one_sample() -> None:
    same(tn.nn.InstanceNorm2d(4, affine=True).double(), tn.nn.BatchNorm2d(4).double(), X[:1])


def test_instance_norm_is_batch_norm_of_samples_as_channels() -> None:
    batch = tn.nn.BatchNorm2d(12, affine=False).double()
    same(tn.nn.InstanceNorm2d(4), batch, X, X.reshape(1, 12, 2, 3))


def test_batch_norm_is_layer_norm_of_the_transposed_matrix() -> None:
    x = X.reshape(12, 6)
    one = tn.nn.BatchNorm1d(6, affine=False, track_running_stats=False)
    other = tn.nn.LayerNorm(12, elementwise_affine=False)
    close(array(one(tensor(x))), array(other(tensor(x.T))).T)


def test_layer_norm_is_rms_norm_of_centred_values() -> None:
    x = X.reshape(12, 6)
    centred = x - x.mean(axis=1, keepdims=True)
    one = tn.nn.LayerNorm(6, elementwise_affine=False)
    close(array(one(tensor(x))), array(tn.nn.RMSNorm(6, 1e-5, False)(tensor(centred))))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_batch_renorm_without_correction_is_batch_norm_in_training(dims: int) -> None:
    x = X.reshape({1: (12, 6), 2: (3, 4, 2, 3), 3: (3, 4, 1, 2, 3)}[dims])
    c = x.shape[1]
    renorm = getattr(tn.nn, f"BatchRenorm{dims}d")(c, rmax=1, dmax=0).double()
    same(renorm, getattr(tn.nn, f"BatchNorm{dims}d")(c).double(), x)


WITHOUT_WEIGHT = {
    "layer_norm": lambda x, b: F.layer_norm(x, (6,), None, b),
    "group_norm": lambda x, b: F.group_norm(x, 2, None, b),
    "batch_norm": lambda x, b: F.batch_norm(x, None, None, None, b, training=True),
    "group_norm of images": lambda x, b: F.group_norm(x.unsqueeze(-1) + x[:1, :1], 2, None, b),
    "instance_norm": lambda x, b: F.instance_norm(
        x.unsqueeze(-1) + tensor(np.array([1.0, -2, 4])), None, None, None, b),
}


@pytest.mark.parametrize("norm", WITHOUT_WEIGHT.values(), ids=WITHOUT_WEIGHT)
def test_a_bias_without_a_weight(norm: Any) -> None:
    """Its gradient is the sum of dy over all that it was added to."""
    random = np.random.default_rng(0)
    x = tensor(random.standard_normal((4, 6)), grad=True)
    bias = tensor(random.standard_normal(6), grad=True)
    y = norm(x, bias)
    dy = random.standard_normal(y.shape)
    y.backward(tensor(dy))
    axes = tuple(i for i in range(dy.ndim) if i != 1)
    np.testing.assert_allclose(array(bias.grad), dy.sum(axis=axes), rtol=1e-13)
    assert tn.autograd.gradgradcheck(norm, (x, bias))
