"""Layers, losses and functions against PyTorch: value, first and second derivative."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nn_cases import CASES, VECTOR, C, Case, N, X, random

import tinygrad_norm as tn

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

# -- the comparison -----------------------------------------------------------------------------


def second_order(case: Case, library: Any, tensors: list[Any]) -> tuple[Any, list[Any], list[Any]]:
    """(value, first derivatives, second derivatives) along fixed directions."""
    y = case.function(library.nn, library.nn.functional, *tensors)
    xs = tensors[: case.floats]
    v = library.from_numpy(np.cos(np.arange(y.numel() or 1.0)).reshape(tuple(y.shape)))
    first = library.autograd.grad(y, xs, v, create_graph=True, allow_unused=True)
    total = 0
    for i, g in enumerate(first):
        if g is not None:
            along = np.sin(np.arange(float(g.numel())) + i).reshape(tuple(g.shape))
            total = total + (g * library.from_numpy(along)).sum()
    if not getattr(total, "requires_grad", False):
        return y, list(first), [None] * len(xs)
    return y, list(first), list(library.autograd.grad(total, xs, allow_unused=True))


def tensors(case: Case, library: Any) -> list[Any]:
    made = [library.from_numpy(np.array(x)) for x in case.inputs]
    for x in made[: case.floats]:
        x.requires_grad_()
    return made


def as_array(value: Any, like: np.ndarray) -> np.ndarray:
    """A derivative; PyTorch has None where ours is a 0 that depends on nothing, or the reverse."""
    if isinstance(value, torch.Tensor):
        return value.numpy(force=True)
    return np.zeros_like(like) if value is None else value.detach().numpy()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_value_and_two_derivatives(case: Case) -> None:
    ours = second_order(case, tn, tensors(case, tn))
    theirs = second_order(case, torch, tensors(case, torch))
    np.testing.assert_allclose(ours[0].detach().numpy(), theirs[0].detach().numpy(),
                               rtol=1e-10, atol=1e-10)
    for order in (1, 2):
        for i, (a, b) in enumerate(zip(ours[order], theirs[order], strict=True)):
            like = case.inputs[i]
            np.testing.assert_allclose(as_array(a, like), as_array(b, like), rtol=1e-10,
                                       atol=1e-10, err_msg=f"order {order}, input {i}")


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_float32_stays_float32(case: Case) -> None:
    small = case._replace(inputs=tuple(
        x.astype("f4") if x.dtype.kind == "f" else x for x in case.inputs))
    ours = small.function(tn.nn, tn.nn.functional, *tensors(small, tn))
    theirs = small.function(torch.nn, torch.nn.functional, *tensors(small, torch))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=2e-5, atol=2e-5)
    ours.sum().backward()


# -- states -------------------------------------------------------------------------------------


def models(library: Any, dtype: str) -> dict[str, Any]:
    """The same modules from either library."""
    nn = library.nn
    weight = library.ones(3, dtype=getattr(library, dtype))
    return {
        "Linear": nn.Linear(3, 2),
        "Linear no bias": nn.Linear(3, 2, bias=False),
        "CrossEntropyLoss": nn.CrossEntropyLoss(weight),
        "CrossEntropyLoss plain": nn.CrossEntropyLoss(),
        "NLLLoss": nn.NLLLoss(weight),
        "BCELoss": nn.BCELoss(weight),
        "BCEWithLogitsLoss": nn.BCEWithLogitsLoss(weight, pos_weight=weight),
        "Sequential": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)),
        "Sequential named": nn.Sequential(OrderedDict(
            [("first", nn.Linear(2, 3)), ("act", nn.Tanh()), ("last", nn.Linear(3, 1))])),
        "Sequential sliced": nn.Sequential(
            nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.Linear(1, 1))[2:],
        "ModuleList": nn.ModuleList([nn.Linear(1, 2), nn.ModuleList([nn.Linear(2, 1)])]),
        "ModuleDict": nn.ModuleDict({"b": nn.Linear(1, 2), "a": nn.Identity()}),
    }


@pytest.mark.parametrize("name", models(tn, "float32"))
def test_state_dict_has_the_same_keys_and_goes_across(name: str) -> None:
    ours, theirs = models(tn, "float32")[name], models(torch, "float32")[name]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [n for n, _ in ours.named_parameters("p")] == [
        n for n, _ in theirs.named_parameters("p")]
    assert list(ours.state_dict(prefix="p.")) == list(theirs.state_dict(prefix="p."))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())


def test_tied_and_shared_names_are_the_same() -> None:
    def build(library: Any) -> Any:
        nn = library.nn
        one = nn.Linear(2, 2)
        model = nn.Sequential(one, nn.ReLU(), one, nn.Linear(2, 2))
        model[3].weight = one.weight
        model.extra = nn.ModuleList([one])
        return model

    ours, theirs = build(tn), build(torch)
    for names in ("named_parameters", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, names)()] == [n for n, _ in getattr(theirs, names)()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    order: dict[str, list[str]] = {"ours": [], "theirs": []}
    ours.apply(lambda m: order["ours"].append(type(m).__name__))
    theirs.apply(lambda m: order["theirs"].append(type(m).__name__))
    assert order["ours"] == order["theirs"]


def test_parameters_come_before_buffers_in_the_state() -> None:
    def build(library: Any) -> Any:
        class Mixed(library.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("seen", library.zeros(1))
                self.child = library.nn.Linear(1, 1)
                self.register_buffer("hidden", library.zeros(1), persistent=False)
                self.register_parameter("none", None)
                self.weight = library.nn.Parameter(library.ones(1))

        return Mixed()

    assert list(build(tn).state_dict()) == list(build(torch).state_dict())


# -- special points, errors ---------------------------------------------------------------------


def test_certain_and_wrong_probabilities_as_in_pytorch() -> None:
    x, t = np.array([0.0, 1.0, 0.0, 1.0, 0.3]), np.array([1.0, 0.0, 0.0, 1.0, 0.6])
    results = []
    for library in (tn, torch):
        p = library.from_numpy(x.copy()).requires_grad_()
        each = library.nn.functional.binary_cross_entropy(
            p, library.from_numpy(t), reduction="none")
        each.sum().backward()
        results.append((each.detach().numpy(), p.grad.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    wrong = [0, 1, 4]  # PyTorch gives 0 at the certain and right ones, where the slope is ±1
    np.testing.assert_allclose(results[0][1][wrong], results[1][1][wrong], rtol=1e-8)
    np.testing.assert_allclose(results[0][1][2:4], [1, -1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_nothing_but_ignored_labels(smoothing: float) -> None:
    for library in (tn, torch):
        x = library.from_numpy(X.copy()).requires_grad_()
        loss = library.nn.functional.cross_entropy(
            x, library.from_numpy(np.full(N, -100)), label_smoothing=smoothing)
        loss.backward()
        assert np.isnan(loss.item())
        np.testing.assert_array_equal(x.grad.numpy(), 0)


L = np.arange(N) % C
ERRORS: dict[str, Callable[..., Any]] = {
    "out of range": lambda t, F, x: F.cross_entropy(x, t(L + 1)),
    "negative": lambda t, F, x: F.cross_entropy(x, t(L - 1)),
    "nll out of range": lambda t, F, x: F.nll_loss(x, t(L + 1)),
    "float labels": lambda t, F, x: F.cross_entropy(x, t(L.astype(float))),
    "short labels": lambda t, F, x: F.cross_entropy(x, t(L[:-1])),
    "labels of two dimensions": lambda t, F, x: F.cross_entropy(x, t(L[:, None])),
    "no tensor": lambda t, F, x: F.cross_entropy(x, L.tolist()),
    "weight shape": lambda t, F, x: F.cross_entropy(x, t(L), t(np.ones(C + 1))),
    "weight requires grad": lambda t, F, x: F.cross_entropy(
        x, t(L), t(np.ones(C)).requires_grad_()),
    "reduction": lambda t, F, x: F.cross_entropy(x, t(L), reduction="avg"),
    "mse reduction": lambda t, F, x: F.mse_loss(x, x, reduction="avg"),
    "smoothing": lambda t, F, x: F.cross_entropy(x, t(L), label_smoothing=1.5),
    "ignored probabilities": lambda t, F, x: F.cross_entropy(x, x.softmax(1), ignore_index=0),
    "integer probabilities": lambda t, F, x: F.cross_entropy(x, t(np.ones((N, C), int))),
    "mse shapes": lambda t, F, x: F.mse_loss(x, x[:2]),
    "bce shapes": lambda t, F, x: F.binary_cross_entropy(x.sigmoid(), t(np.ones(N))),
    "bce range": lambda t, F, x: F.binary_cross_entropy(x * 100, t(np.ones((N, C)))),
    "bce nan": lambda t, F, x: F.binary_cross_entropy(x * np.nan, t(np.ones((N, C)))),
    "bce target range": lambda t, F, x: F.binary_cross_entropy(x.sigmoid(), t(X * 9)),
    "bce logits shapes": lambda t, F, x: F.binary_cross_entropy_with_logits(x, t(np.ones(N))),
    "huber delta": lambda t, F, x: F.huber_loss(x, x, delta=0),
    "smooth_l1 beta": lambda t, F, x: F.smooth_l1_loss(x, x, beta=-1),
    "dropout p": lambda t, F, x: F.dropout(x, 1.5),
    "gelu": lambda t, F, x: F.gelu(x, approximate="fast"),
    "softmax dim": lambda t, F, x: F.softmax(x, dim=5),
    "softmax of ints": lambda t, F, x: F.softmax(t(L), dim=0),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_can_be_caught_as_pytorchs(name: str) -> None:
    def failure(library: Any) -> BaseException:
        def make(values: np.ndarray) -> Any:
            return library.from_numpy(np.array(values))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(Exception) as caught:
                ERRORS[name](make, library.nn.functional, make(X).requires_grad_())
        return caught.value

    theirs = failure(torch)
    kind = RuntimeError if isinstance(theirs, RuntimeError) else type(theirs)
    assert isinstance(failure(tn), kind)


@pytest.mark.parametrize("shapes", [((3, 2), (3, 1)), ((3,), (3, 1))])
def test_shapes_that_differ_warn_and_broadcast(shapes: Any) -> None:
    a, b = (random.standard_normal(s) for s in shapes)
    for function in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        values = []
        for library in (tn, torch):
            with pytest.warns(UserWarning, match=r"target size|broadcast"):
                values.append(getattr(library.nn.functional, function)(
                    library.from_numpy(a), library.from_numpy(b)).item())
        assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_an_implicit_dimension_is_pytorchs() -> None:
    for shape in [(3,), (3, 2), (3, 2, 2), (3, 2, 2, 2)]:
        x = random.standard_normal(shape)
        values = []
        for library in (tn, torch):
            with pytest.warns(UserWarning, match="dim"):
                values.append(library.nn.Softmax()(library.from_numpy(x)).numpy())
        np.testing.assert_allclose(values[0], values[1], rtol=1e-12)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, 0.5, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize("max_norm", [0.7, 1e3])
def test_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    results = []
    for library in (tn, torch):
        parameters = [library.nn.Parameter(library.from_numpy(np.zeros_like(x)))
                      for x in (X, VECTOR, np.array(1.5), X)]
        for p, x in zip(parameters[:3], (X, VECTOR, np.array(1.5)), strict=True):
            p.grad = library.from_numpy(x.copy())
        total = library.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type)
        assert parameters[3].grad is None
        assert total.shape == ()
        results.append((total.item(), [p.grad.numpy() for p in parameters[:3]]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_clip_grad_value() -> None:
    results = []
    for library in (tn, torch):
        p = library.nn.Parameter(library.from_numpy(np.zeros_like(X)))
        p.grad = library.from_numpy(X.copy())
        library.nn.utils.clip_grad_value_(p, 0.3)
        results.append(p.grad.numpy())
    np.testing.assert_array_equal(*results)


INITS = [
    ("xavier_uniform_", {"gain": 2.0}), ("xavier_normal_", {}), ("kaiming_uniform_", {"a": 0.3}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}), ("orthogonal_", {}),
    ("uniform_", {"a": -1.0, "b": 3.0}), ("normal_", {"mean": 1.0, "std": 2.0}),
    ("trunc_normal_", {"std": 0.5, "a": -0.3, "b": 0.4}), ("ones_", {}), ("zeros_", {}),
    ("constant_", {"val": 3.0}), ("eye_", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), INITS, ids=[n for n, _ in INITS])
def test_initial_values_have_pytorchs_spread(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    facts = []
    for library in (tn, torch):
        w = library.zeros(80, 120)
        assert getattr(library.nn.init, name)(w, **settings) is w
        values = w.numpy()
        facts.append([values.mean(), values.std(), values.min(), values.max()])
    spread = facts[1][1]
    np.testing.assert_allclose(facts[0][:2], facts[1][:2], atol=0.03 * spread + 1e-7)
    np.testing.assert_allclose(facts[0][2:], facts[1][2:], atol=1.2 * spread + 1e-7)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains(name: str) -> None:
    for param in (None, 0.2) if name == "leaky_relu" else (None,):
        assert tn.nn.init.calculate_gain(name, param) == pytest.approx(
            torch.nn.init.calculate_gain(name, param))
