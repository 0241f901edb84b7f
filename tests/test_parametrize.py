"""Parametrized attributes, and the normalizations of weights: what PyTorch cannot tell."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array, close, tensor

import tinygrad_norm as tn
from tinygrad_norm.nn.utils import parametrizations, parametrize
from tinygrad_norm.nn.utils.parametrize import register_parametrization, remove_parametrizations

RANDOM = np.random.default_rng(6)
W = RANDOM.standard_normal((3, 4)) + 0.5
X = RANDOM.standard_normal((5, 4))
NAMES = list(parametrizations.__all__)
each = pytest.mark.parametrize("name", NAMES)


def linear(name: str | None = None, **options: Any) -> Any:
    """4 to 3 in float64, normalized by that function."""
    layer = tn.nn.Linear(4, 3, **{"dtype": tn.float64, **options})
    layer.load_state_dict({"weight": W, "bias": np.arange(3.0)})
    return layer if name is None else getattr(parametrizations, name)(layer)


class Cubed(tn.nn.Module):
    def forward(self, x: Any) -> Any:
        return x * x * x

    def right_inverse(self, y: Any) -> Any:
        return y.sign() * y.abs() ** (1 / 3)


# -- the formulas once more --------------------------------------------------------------------

def weight_norm(v: np.ndarray) -> np.ndarray:
    """Salimans and Kingma 2016, eq. 2, row by row, with g the rows' lengths."""
    y = np.empty_like(v)
    for i, row in enumerate(v):
        length = math.sqrt(math.fsum(x * x for x in row))
        y[i] = length / length * row
    return y


def spectral_norm(w: np.ndarray) -> np.ndarray:
    """Miyato et al. 2018, eq. 6 and 8."""
    return w / np.linalg.svd(w, compute_uv=False)[0]


def weight_standardization(w: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """Qiao et al. 2019, eq. 5 and 6, row by row."""
    y = np.empty_like(w)
    for i, row in enumerate(w):
        μ = math.fsum(row) / row.size
        σ2 = math.fsum((x - μ) ** 2 for x in row) / row.size
        y[i] = (row - μ) / math.sqrt(σ2 + eps)
    return y


FORMULAS = {"weight_norm": weight_norm, "spectral_norm": spectral_norm,
            "weight_standardization": weight_standardization}  # fmt: skip


@each
def test_formula(name: str, device: str) -> None:
    """Also on other devices, where nothing is fetched."""
    layer = linear(name, device=device)
    with tn.no_grad():
        for _ in range(60):  # the power method converges
            layer(tensor(X, device))
    x, dy = tensor(X, device, grad=True), tensor(np.cos(X[:, :3]), device)
    strict.traffic.clear()
    y = layer(x)
    y.backward(dy)
    assert not strict.traffic
    assert all(p.grad.device == x.device for p in layer.parameters())
    close(array(layer.weight), FORMULAS[name](W), 1e-13)
    close(array(y), X @ FORMULAS[name](W).T + np.arange(3.0), 1e-13)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_weight_standardization_of_a_kernel(dim: int, eps: float) -> None:
    holder = tn.nn.Module()
    w = RANDOM.standard_normal((2, 3, 4))
    holder.weight = tn.nn.Parameter(tensor(w))
    parametrizations.weight_standardization(holder, dim=dim, eps=eps)
    rows = np.moveaxis(w, dim, 0)
    expected = weight_standardization(rows.reshape(len(rows), -1), eps).reshape(rows.shape)
    close(np.moveaxis(array(holder.weight), dim, 0), expected)
    assert list(holder.state_dict()) == ["parametrizations.weight.original"]
    assert "(0): _WeightStandardization(dim=" in repr(holder)


@each
def test_gradients_by_finite_differences(name: str) -> None:
    """Of the input and the originals, in training, and the singular vectors stay."""
    layer = linear(name)
    before = {n: array(b).copy() for n, b in layer.named_buffers()}
    inputs = (tensor(X[:2], grad=True), *layer.parameters())
    assert tn.autograd.gradcheck(lambda x, *_: layer(x), inputs)
    assert tn.autograd.gradgradcheck(lambda x, *_: layer(x), inputs)
    for n, buffer in layer.named_buffers():
        np.testing.assert_array_equal(array(buffer), before[n])


# -- invariances -------------------------------------------------------------------------------

@each
def test_the_scale_of_the_weight_does_not_matter(name: str) -> None:
    """So the gradient is perpendicular to it."""
    def formula(w: np.ndarray) -> np.ndarray:
        return FORMULAS[name](w, *[1e-13] * (name == "weight_standardization"))

    for factor in (1.0, 0.3, 7.0):
        layer = linear(name).eval()
        for module in layer.modules():
            if hasattr(module, "eps"):
                module.eps = 1e-13
        if name == "spectral_norm":
            layer.parametrizations.weight[0]._iterate(tensor(W), 100)
        v = list(layer.parametrizations.weight.originals())[-1]
        with tn.no_grad():
            v.mul_(factor)
        y = layer(tensor(X))
        close(array(y), X @ formula(W).T + np.arange(3.0), 1e-9)
        y.backward(tensor(np.cos(X[:, :3])))
        rows = (array(v) * array(v.grad)).sum(None if name == "spectral_norm" else 1)
        np.testing.assert_allclose(rows, 0, atol=1e-9)


def test_a_shift_of_a_standardized_row_does_not_matter() -> None:
    layer = linear("weight_standardization")
    before = array(layer.weight)
    with tn.no_grad():
        layer.parametrizations.weight.original.add_(tensor(np.array([[1.0], [-3.0], [1e3]])))
    close(array(layer.weight), before, 1e-9)


def test_a_spectral_norm_of_one() -> None:
    layer = linear("spectral_norm")
    for _ in range(40):
        layer(tensor(X))
    assert np.linalg.svd(array(layer.weight), compute_uv=False)[0] == pytest.approx(1, abs=1e-12)


# -- the power method --------------------------------------------------------------------------

def vectors(layer: Any) -> list[np.ndarray]:
    return [array(b).copy() for b in layer.buffers()]


def test_the_vectors_move_in_training_alone() -> None:
    layer = linear("spectral_norm")
    with tn.no_grad():
        layer.parametrizations.weight.original.add_(tensor(RANDOM.standard_normal((3, 4))))
    start = vectors(layer)
    with tn.autograd.keep_statistics():
        layer(tensor(X))
    layer.eval()(tensor(X))
    for before, now in zip(start, vectors(layer), strict=True):
        np.testing.assert_array_equal(before, now)
    layer.train()(tensor(X))
    assert all((a != b).any() for a, b in zip(start, vectors(layer), strict=True))
    assert [b.requires_grad for b in layer.buffers()] == [False, False]


def test_registering_takes_no_step() -> None:
    """15 steps make the start, and looking whether the result fits takes none."""
    tn.manual_seed(3)
    made = parametrizations._SpectralNorm(tensor(W))
    tn.manual_seed(3)
    layer = linear("spectral_norm")
    tn.manual_seed(3)
    # Linear draws its weights first
    tn.nn.Linear(4, 3, dtype=tn.float64)
    made = parametrizations._SpectralNorm(tensor(W))
    np.testing.assert_array_equal(array(layer.parametrizations.weight[0]._u), array(made._u))


def test_two_forwards_before_a_backward() -> None:
    """As a critic on true and on false data: the second does not disturb the first's graph."""
    layer = linear("spectral_norm")
    loss = layer(tensor(X)).sum() - layer(tensor(X + 1)).square().sum()
    loss.backward()
    assert np.isfinite(array(layer.parametrizations.weight.original.grad)).all()


# -- the machinery -----------------------------------------------------------------------------

def test_other_modules_pay_nothing() -> None:
    """The property is on a class of its own, which goes with the last parametrization."""
    layer = linear("weight_norm")
    assert type(layer) is not tn.nn.Linear
    assert isinstance(layer, tn.nn.Linear)
    assert "weight" not in vars(tn.nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is tn.nn.Linear
    remove_parametrizations(layer, "weight")
    assert type(layer) is tn.nn.Linear is parametrize.type_before_parametrizations(layer)
    assert not hasattr(layer, "parametrizations")


@each
def test_copies_and_pickles_are_separate(name: str) -> None:
    layer = linear(name)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with tn.autograd.keep_statistics():
            close(array(other.weight), array(layer.weight), 1e-15)
        with tn.no_grad():
            other.parametrizations.weight.originals()[-1].add_(tensor(W[::-1].copy()))
        with tn.autograd.keep_statistics():
            assert np.abs(array(other.weight) - array(layer.weight)).max() > 1e-3
        register_parametrization(other, "bias", Cubed())
        remove_parametrizations(other, "weight")
        assert parametrize.is_parametrized(layer, "weight")
        assert not parametrize.is_parametrized(layer, "bias")


@each
def test_state_goes_out_and_in(name: str) -> None:
    """Also where the names were saved by another: the keys of PyTorch."""
    one, other = linear(name), getattr(parametrizations, name)(tn.nn.Linear(4, 3).double())
    assert other.load_state_dict(one.state_dict()) == ([], [])
    close(array(other.eval().weight), array(one.eval().weight), 1e-15)
    keys = {"weight_norm": ["original0", "original1"],
            "spectral_norm": ["original", "0._u", "0._v"],
            "weight_standardization": ["original"]}[name]
    assert list(one.state_dict()) == ["bias", *(f"parametrizations.weight.{k}" for k in keys)]


@each
def test_assigning(name: str) -> None:
    """A weight that is already normalized comes back as it is."""
    layer = linear(name).eval()
    if name == "spectral_norm":
        layer.parametrizations.weight[0]._iterate(tensor(W), 100)
    held = layer.parametrizations.weight.originals()
    normalized = FORMULAS[name](W)
    layer.weight = tensor(normalized)
    close(array(layer.weight), normalized, 1e-4 if name == "weight_standardization" else 1e-13)
    assert all(a is b for a, b in zip(held, layer.parametrizations.weight.originals(),
                                      strict=True))


def test_an_optimizer_made_before_still_holds_the_original() -> None:
    """Where there is one original: it is the parameter that was there."""
    layer = linear()
    weight = layer.weight
    optimizer = tn.optim.SGD(layer.parameters(), lr=0.1)
    parametrizations.spectral_norm(layer)
    assert layer.parametrizations.weight.original is weight
    before = array(weight).copy()
    layer(tensor(X)).sum().backward()
    optimizer.step()
    assert (array(weight) != before).any()
    with tn.no_grad():
        expected = layer.eval().weight
    remove_parametrizations(layer, "weight")
    assert layer.weight is weight
    close(array(weight), array(expected), 1e-15)
    optimizer.zero_grad()
    layer(tensor(X)).sum().backward()
    optimizer.step()


def test_new_parameters_have_memory_of_their_own() -> None:
    """A weight that another layer shares is not trained through v."""
    layer, other = linear(), linear()
    other.weight = layer.weight
    parametrizations.weight_norm(layer)
    with tn.no_grad():
        layer.parametrizations.weight.original1.add_(1)
    np.testing.assert_array_equal(array(other.weight), W)


def test_modes_and_dtypes_reach_the_parametrizations() -> None:
    layer = linear().eval()
    parametrizations.spectral_norm(layer)
    assert not layer.parametrizations.weight[0].training
    layer.train()
    assert layer.parametrizations.weight[0].training
    layer.float()
    assert layer.weight.dtype == tn.float32
    assert all(b.dtype == tn.float32 for b in layer.buffers())


def test_cached() -> None:
    """Within, the weight is one tensor, made once: one step of the power method."""
    layer = linear("spectral_norm")
    assert layer.weight is not layer.weight
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            assert layer.weight is first
        assert layer.weight is first
        with tn.no_grad():
            assert not layer.weight.requires_grad
        assert layer.weight.requires_grad
        layer.weight = tensor(W * 3)
        assert layer.weight is not first
        y = (layer(tensor(X)) + layer(tensor(X))).sum()
    assert layer.weight is not first
    y.backward()
    assert layer.parametrizations.weight.original.grad is not None


def test_a_drawing_shows_the_parametrization() -> None:
    layer = linear("weight_norm")
    drawn = tn.viz.graph(layer(tensor(X)).sum(), params=layer).dot
    assert "parametrizations.weight.original0" in drawn


# -- precision ---------------------------------------------------------------------------------

@each
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(name: str, dtype: str) -> None:
    layer = linear(name).eval().to(dtype)
    exact = copy.deepcopy(layer).double()
    y = layer.weight
    assert y.dtype == np.dtype(dtype)
    unit = {"float16": 2.0**-11, "float32": 2.0**-23}[dtype]
    np.testing.assert_allclose(array(y), array(exact.weight), rtol=4 * unit, atol=unit)
    y.sum().backward()
    assert all(p.grad.dtype == np.dtype(dtype) for n, p in layer.named_parameters()
               if n != "bias")


@each
@pytest.mark.parametrize("size", [1e-9, 1e30])
def test_weights_of_any_size(name: str, size: float) -> None:
    """float32: no square overflows, and none vanishes."""
    layer = tn.nn.Linear(4, 3)
    layer.load_state_dict({"weight": (W * size).astype(np.float32), "bias": np.zeros(3)})
    size_of_result = {"weight_norm": size, "spectral_norm": 1.0,
                      "weight_standardization": min(1.0, size / math.sqrt(1e-5))}[name]
    getattr(parametrizations, name)(layer)
    y = array(layer.weight).astype(float)
    assert 0.01 * size_of_result < np.abs(y).max() < 10 * size_of_result


def test_a_row_of_zeros_stays_zero() -> None:
    """PyTorch's is NaN. Its gradient is finite."""
    layer = tn.nn.Linear(4, 3)
    layer.load_state_dict({"weight": np.zeros((3, 4)), "bias": np.zeros(3)})
    parametrizations.weight_norm(layer)
    assert not array(layer.weight).any()
    layer(tn.ones(2, 4)).sum().backward()
    assert all(np.isfinite(array(p.grad)).all() for p in layer.parameters())


# -- bad input ---------------------------------------------------------------------------------

class Shorter(tn.nn.Module):
    def forward(self, x: Any) -> Any:
        return x[:1]


class Wrong(tn.nn.Module):
    """Gives what it was made with, forwards or backwards."""

    def __init__(self, result: Any = None, inverse: Any = None) -> None:
        self.result, self.inverse = result, inverse

    def forward(self, *x: Any) -> Any:
        return x[0] if self.result is None else self.result

    def right_inverse(self, y: Any) -> Any:
        return y if self.inverse is None else self.inverse


def assign(parametrization: Any, value: Any) -> None:
    register_parametrization(linear(), "weight", parametrization).weight = value


def changed(layer: Any, inverse: Any) -> Any:
    layer.parametrizations.weight[0].inverse = inverse
    return layer


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shape": (lambda: register_parametrization(linear(), "weight", Shorter()), ValueError,
              "Shorter: a parametrization may not change the shape or dtype, unless unsafe=True: "
              "expected float64 of shape (3, 4), got float64 of shape (1, 4)"),
    "shape behind": (
        lambda: register_parametrization(linear("weight_norm"), "weight", Shorter()), ValueError,
        "Shorter: a parametrization may not change the shape or dtype"),
    "kind": (lambda: register_parametrization(linear(), "weight", Wrong(3.0)), ValueError,
             "Wrong: a parametrization may not change the shape or dtype, unless unsafe=True: "
             "expected float64 of shape (3, 4), got float"),
    "inverse kind": (lambda: register_parametrization(linear(), "weight", Wrong(None, 3.0)),
                     ValueError, "Wrong: expected right_inverse to give a tensor or a sequence of "
                     "tensors, got float"),
    "inverse dtype": (
        lambda: register_parametrization(linear(), "weight", Wrong(None, tn.ones(3, 4))),
        ValueError, "Wrong: expected right_inverse to give one tensor of float64 on cpu, got "
        "float32 on cpu"),
    "empty": (lambda: parametrize.ParametrizationList([], linear().weight), ValueError,
              "ParametrizationList: expected one or more modules, got none"),
    "name": (lambda: register_parametrization(linear(), "in_features", Cubed()), ValueError,
             "Module Linear does not have a parameter, a buffer, or a parametrized element with "
             "name 'in_features'"),
    "assigned array": (lambda: assign(Cubed(), W), TypeError,
                       "right_inverse: expected a Tensor, got ndarray"),
    "assigned shape": (lambda: assign(Cubed(), tensor(W[:2])), ValueError,
                       "right_inverse: expected float64 of shape (3, 4), got float64 of shape "
                       "(2, 4)"),
    "assigned several": (
        lambda: setattr(changed(register_parametrization(linear(), "weight", Wrong()),
                                (tensor(W), tensor(W))), "weight", tensor(W)),
        ValueError, "right_inverse: expected float64 of shape (3, 4), got float64 of shape "
        "(3, 4), float64 of shape (3, 4)"),
    "no inverse": (lambda: assign(Shorter_safe(), tensor(W)), RuntimeError,
                   "parametrization Same does not implement right_inverse, which assigning needs"),
    "removed": (lambda: remove_parametrizations(linear(), "weight"), ValueError,
                "Module Linear does not have a parametrization on 'weight'"),
    "removed several": (
        lambda: remove_parametrizations(linear("weight_norm"), "weight", leave_parametrized=False),
        ValueError, "remove_parametrizations: cannot leave unparametrized "
        "(leave_parametrized=False) 'weight', which is made of 2 tensors"),
    "weight_norm name": (lambda: parametrizations.weight_norm(linear(), "w"), ValueError,
                         "weight_norm: Module Linear has no parameter or buffer with name 'w'"),
    "weight_norm dim": (lambda: parametrizations.weight_norm(linear(), dim=2), IndexError,
                        "weight_norm: expected dim None or from -1 to 1, got 2"),
    "spectral_norm steps": (
        lambda: parametrizations.spectral_norm(linear(), n_power_iterations=0), ValueError,
        "spectral_norm: expected n_power_iterations to be positive, got 0"),
    "spectral_norm steps float": (
        lambda: parametrizations.spectral_norm(linear(), n_power_iterations=1.5), TypeError,
        "spectral_norm: expected n_power_iterations to be an int, got 1.5"),
    "no parametrization": (
        lambda: register_parametrization(linear(), "weight", tn.exp), TypeError,
        "register_parametrization: expected parametrization to be a Module, got"),
    "no module": (
        lambda: register_parametrization(None, "weight", tn.nn.ReLU()), TypeError,
        "register_parametrization: expected module to be a Module, got NoneType"),
    "spectral_norm eps": (
        lambda: parametrizations.spectral_norm(linear(), eps=-1.0), ValueError,
        "spectral_norm: expected eps >= 0, got -1.0"),
    "spectral_norm dim": (lambda: parametrizations.spectral_norm(linear(), dim=-3), IndexError,
                          "spectral_norm: Dimension out of range: expected -2 to 1, got -3"),
    "standardization vector": (
        lambda: parametrizations.weight_standardization(linear(), "bias"), ValueError,
        "weight_standardization: expected at least two weights for each output, got shape (3,) "
        "with the outputs along dim 0"),
    "standardization eps": (
        lambda: parametrizations.weight_standardization(linear(), eps=0.0), ValueError,
        "weight_standardization: expected eps > 0, got 0.0"),
}  # fmt: skip


def Shorter_safe() -> tn.nn.Module:
    class Same(tn.nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    return Same()


@pytest.mark.parametrize(("run", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(run: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        run()
    assert message in str(caught.value)


def test_a_refused_parametrization_changes_nothing() -> None:
    layer = linear()
    for bad in (Shorter(), Wrong(3.0), Wrong(None, 3.0)):
        with pytest.raises(ValueError, match=r"Shorter|Wrong"):
            register_parametrization(layer, "weight", bad)
        assert type(layer) is tn.nn.Linear
        np.testing.assert_array_equal(array(layer.weight), W)
        assert list(layer.state_dict()) == ["weight", "bias"]
