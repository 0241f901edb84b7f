"""nn.utils.parametrize and parametrizations against PyTorch's."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor
from torch_compare import close, compare, torch

import tinygrad_norm as tn
from tinygrad_norm.nn.utils import parametrizations, parametrize

LIBRARIES = (tn, torch)
X = np.random.default_rng(1).standard_normal((6, 4))


class Holder:
    """A module of either library with a weight of any shape; called, it multiplies with it."""

    @staticmethod
    def make(m: Any, weight: np.ndarray) -> Any:
        class Scale(m.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = m.nn.Parameter(make(m, weight))

            def forward(self, x: Any) -> Any:
                return self.weight * x

        return Scale()


def make(m: Any, value: np.ndarray) -> Any:
    return tensor(value.copy()) if m is tn else torch.from_numpy(value.copy())


def linear(m: Any, seed: int = 0) -> Any:
    """4 to 3, with the same values in both."""
    random = np.random.default_rng(seed)
    layer = m.nn.Linear(4, 3, dtype=m.float64)
    values = {"weight": random.standard_normal((3, 4)), "bias": random.standard_normal(3)}
    layer.load_state_dict({name: make(m, v) for name, v in values.items()})
    return layer


def registered(m: Any, name: str, layer: Any, **options: Any) -> Any:
    return getattr(m.nn.utils.parametrizations, name)(layer, **options)


def same_state(ours: Any, theirs: Any, *, text: bool = True) -> None:
    """Names in order, values, and text."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, expected in theirs.state_dict().items():
        close(ours.state_dict()[name], expected)
    for names in ("named_parameters", "named_buffers", "named_modules"):
        assert [n for n, _ in getattr(ours, names)()] == [n for n, _ in getattr(theirs, names)()]
    assert repr(ours) == repr(theirs) or not text
    assert type(ours).__name__ == type(theirs).__name__


def copy_state(ours: Any, theirs: Any) -> None:
    """PyTorch's values into ours: the singular vectors start at random."""
    ours.load_state_dict({name: v.numpy() for name, v in theirs.state_dict().items()})


@pytest.fixture(params=[1, 2])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often to differentiate.

    The second derivative of PyTorch's fused weight norm is wrong: its own gradgradcheck says so
    (see the test at the end). For order 2 it is replaced by the formula it stands for.
    """
    if request.param == 2:
        monkeypatch.setattr(torch, "_weight_norm", composed)
    return request.param


def composed(v: Any, g: Any, dim: int) -> Any:
    return v * (g / torch.norm_except_dim(v, 2, dim))


KINDS = [("weight_norm", {}), ("weight_norm", {"dim": 1}), ("weight_norm", {"dim": None}),
         ("weight_norm", {"dim": -1}),
         ("spectral_norm", {}), ("spectral_norm", {"n_power_iterations": 3}),
         ("spectral_norm", {"dim": 1}), ("spectral_norm", {"dim": -1, "eps": 1e-3})]  # fmt: skip
kinds = pytest.mark.parametrize(("name", "options"), KINDS, ids=str)


@kinds
def test_a_layer_in_training_and_eval(name: str, options: dict[str, Any], order: int) -> None:
    """Outputs, two orders of gradient and the buffers, step after step."""
    layers = {m: registered(m, name, linear(m), **options) for m in LIBRARIES}
    ours, theirs = layers[tn], layers[torch]
    copy_state(ours, theirs)
    same_state(ours, theirs)
    for training in (True, True, False):
        for layer in (ours, theirs):
            layer.train(training)
        compare(lambda m, x: layers[m](x), [X], lambda m: list(layers[m].parameters()),
                orders=order)
        same_state(ours, theirs)


SHAPES = [(5,), (3, 4), (2, 3, 2), (2, 1, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weights_of_any_shape(shape: tuple[int, ...], order: int) -> None:
    """As of convolutions, and of vectors."""
    value = np.random.default_rng(2).standard_normal(shape)
    for name in ("weight_norm", "spectral_norm"):
        for dim in range(len(shape)):
            layers = {m: registered(m, name, Holder.make(m, value), dim=dim) for m in LIBRARIES}
            copy_state(layers[tn], layers[torch])
            same_state(layers[tn], layers[torch])
            compare(lambda m, x, layers=layers: layers[m](x), [np.ones(shape)],
                    lambda m, layers=layers: list(layers[m].parameters()), orders=order)


@kinds
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_removing(name: str, options: dict[str, Any], training: bool) -> None:
    layers = {m: registered(m, name, linear(m), **options).train(training) for m in LIBRARIES}
    copy_state(layers[tn], layers[torch])
    for m, layer in layers.items():
        assert m.nn.utils.parametrize.is_parametrized(layer)
        assert m.nn.utils.parametrize.remove_parametrizations(layer, "weight") is layer
        assert not m.nn.utils.parametrize.is_parametrized(layer)
    same_state(*layers.values())
    assert [type(p).__name__ for p in layers[tn].parameters()] == ["Parameter"] * 2
    compare(lambda m, x: layers[m](x), [X], lambda m: list(layers[m].parameters()))


def test_removing_without_leaving_the_result() -> None:
    for m in LIBRARIES:
        layer = registered(m, "spectral_norm", linear(m))
        original = layer.parametrizations.weight.original
        m.nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        assert layer.weight is original
        np.testing.assert_array_equal(original.detach().numpy(),
                                      linear(m).weight.detach().numpy())
        with pytest.raises(ValueError, match="leave_parametrized=False"):
            m.nn.utils.parametrize.remove_parametrizations(
                registered(m, "weight_norm", linear(m)), "weight", leave_parametrized=False)


# -- parametrizations of one's own -------------------------------------------------------------

def doubled(m: Any) -> Any:
    class Doubled(m.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

        def right_inverse(self, x: Any) -> Any:
            return x / 2

    return Doubled()


def cubed(m: Any) -> Any:
    class Cubed(m.nn.Module):
        def forward(self, x: Any) -> Any:
            return x * x * x

    return Cubed()


def rank_one(m: Any) -> Any:
    class RankOne(m.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z: Any) -> Any:
            return z[:, 0], z[0]

    return RankOne()


CHAINS: dict[str, list[Callable[[Any], Any]]] = {
    "one": [doubled], "without inverse": [cubed], "two tensors": [rank_one],
    "two in a row": [doubled, doubled], "mixed": [doubled, cubed],
    "two tensors first": [rank_one, doubled],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_chains(chain: list[Callable[[Any], Any]]) -> None:
    layers = {}
    text = chain != [doubled, doubled]  # PyTorch writes "(0-1): 2 x Doubled()"
    for m in LIBRARIES:
        layers[m] = linear(m)
        for one in chain:
            m.nn.utils.parametrize.register_parametrization(layers[m], "weight", one(m))
    same_state(*layers.values(), text=text)
    compare(lambda m, x: layers[m](x), [X], lambda m: list(layers[m].parameters()))
    invertible = all(one is not cubed for one in chain)
    new = np.outer([1.0, 2.0, -1.0], [1.0, 0.5, 3.0, 2.0])
    for m, layer in layers.items():
        if invertible:
            layer.weight = make(m, new)
        else:
            with pytest.raises(RuntimeError, match="does not implement right_inverse"):
                layer.weight = make(m, new)
    same_state(*layers.values(), text=text)
    compare(lambda m, x: layers[m](x), [X], lambda m: list(layers[m].parameters()))
    copies = {m: copy.deepcopy(layer) for m, layer in layers.items()}
    same_state(*copies.values(), text=text)
    compare(lambda m, x: copies[m](x), [X], lambda m: list(copies[m].parameters()))
    for m, layer in layers.items():
        m.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    same_state(*layers.values(), text=text)
    copies[tn](tensor(X))  # (PyTorch's copies share the property that is gone now)


def test_two_attributes_and_a_buffer() -> None:
    layers = {}
    for m in LIBRARIES:
        layers[m] = linear(m)
        layers[m].register_buffer("scale", make(m, np.array([1.0, 2.0])))
        for name in ("weight", "bias", "scale"):
            m.nn.utils.parametrize.register_parametrization(layers[m], name, doubled(m))
    same_state(*layers.values())
    compare(lambda m, x: layers[m](x), [X], lambda m: list(layers[m].parameters()))
    for name in ("bias", "weight", "scale"):
        for m, layer in layers.items():
            m.nn.utils.parametrize.remove_parametrizations(layer, name)
            assert m.nn.utils.parametrize.is_parametrized(layer) == (name != "scale")
        same_state(*layers.values())


def test_frozen_parameters_stay_frozen() -> None:
    for m in LIBRARIES:
        layer = linear(m).requires_grad_(False)
        registered(m, "weight_norm", layer)
        assert not any(p.requires_grad for p in layer.parameters())
        assert not layer.weight.requires_grad


def test_arguments() -> None:
    for own, other in ((parametrizations, torch.nn.utils.parametrizations),
                       (parametrize, torch.nn.utils.parametrize)):
        for name in own.__all__:
            if not hasattr(other, name) or inspect.isclass(getattr(own, name)):
                continue
            ours, theirs = (
                [(p.name, p.default, p.kind) for p in
                 inspect.signature(getattr(module, name)).parameters.values()]
                for module in (own, other))
            assert ours == theirs, name


def test_bad_registrations_are_refused_by_both() -> None:
    class Shorter:
        @staticmethod
        def of(m: Any) -> Any:
            class Short(m.nn.Module):
                def forward(self, x: Any) -> Any:
                    return x[:1]

            return Short()

    for m in LIBRARIES:
        layer = linear(m)
        register = m.nn.utils.parametrize.register_parametrization
        with pytest.raises(ValueError, match="may not change the shape"):
            register(layer, "weight", Shorter.of(m))
        with pytest.raises(ValueError, match="does not have a parameter, a buffer, or a "):
            register(layer, "nothing", doubled(m))
        with pytest.raises(ValueError, match="does not have a parametrization on"):
            m.nn.utils.parametrize.remove_parametrizations(layer, "weight")
        with pytest.raises(ValueError, match="has no parameter or buffer with name 'nothing'"):
            m.nn.utils.parametrizations.spectral_norm(layer, "nothing")
        with pytest.raises(ValueError, match="n_power_iterations to be positive"):
            m.nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=0)
        with pytest.raises(IndexError, match="Dimension out of range"):
            m.nn.utils.parametrizations.spectral_norm(layer, dim=2)
        assert list(layer.state_dict()) == ["weight", "bias"]
        register(layer, "weight", Shorter.of(m), unsafe=True)
        assert tuple(layer.weight.shape) == (1, 4)


def test_training_with_parametrizations() -> None:
    """Ten steps of SGD with momentum through both normalizations and a chain."""
    models = {}
    y = np.random.default_rng(3).standard_normal((6, 3))
    for m in LIBRARIES:
        first, last = linear(m), m.nn.Linear(3, 3, dtype=m.float64)
        last.load_state_dict({"weight": make(m, np.eye(3) + 0.1), "bias": make(m, np.zeros(3))})
        registered(m, "weight_norm", first)
        registered(m, "spectral_norm", last)
        models[m] = m.nn.Sequential(first, m.nn.Tanh(), last)
    copy_state(models[tn], models[torch])
    for m, model in models.items():
        optimizer = m.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(10):
            loss = ((model(make(m, X)) - make(m, y)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    same_state(models[tn], models[torch])
    assert array(models[tn][0].parametrizations.weight.original0).shape == (3, 1)


def test_the_second_derivative_of_pytorch_s_weight_norm_is_wrong() -> None:
    """When this fails, PyTorch has mended it: compare with it directly then."""
    g, v = (torch.tensor(a, requires_grad=True) for a in (np.ones((3, 1)), X[:3] + 1))
    assert torch.autograd.gradgradcheck(lambda v, g: composed(v, g, 0), (v, g))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradgradcheck(lambda v, g: torch._weight_norm(v, g, 0), (v, g))
    ours = [tensor(a, grad=True) for a in (np.ones((3, 1)), X[:3] + 1)]
    assert tn.autograd.gradgradcheck(parametrizations._WeightNorm(0), ours)
