"""Losses at special points, and each of their errors."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_losses import CLASS_WEIGHT, LABELS, C, N, P, Q, V, W, X, wide

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.autograd import grad
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn import functional as F

random = np.random.default_rng(4)

# -- special points -----------------------------------------------------------------------------


def values_and_gradients(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """The value, the gradients, and the gradients of their sum."""
    xs = [wide(np.array(a), requires_grad=True) for a in arrays]
    y = function(*xs)
    first = grad(y.sum(), xs, create_graph=True)
    total = sum(g.sum() for g in first)
    second = grad(total, xs, allow_unused=True, materialize_grads=True) \
        if total.requires_grad else ()
    return [v.detach().numpy() for v in (y, *first, *second)]


@pytest.mark.parametrize("function", [
    F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss,
    lambda x, t: F.smooth_l1_loss(x, t, beta=0.0),
])
def test_no_error_at_all_has_gradient_zero(function: Callable[..., Any]) -> None:
    loss, dx, dt, *second = values_and_gradients(function, X, X)
    assert loss == 0
    np.testing.assert_array_equal(dx, 0)
    np.testing.assert_array_equal(dt, 0)
    assert all(np.isfinite(v).all() for v in second)


def test_huber_of_huge_errors_is_finite() -> None:
    x = tn.tensor([1e30, -1e30, 0.0], requires_grad=True)
    loss = F.huber_loss(x, tn.zeros(3), reduction="sum")
    loss.backward()
    assert loss.item() == pytest.approx(2e30)
    assert x.grad.tolist() == [1, -1, 0]


def test_certain_probabilities() -> None:
    x, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    each = F.binary_cross_entropy(wide(x), wide(t), reduction="none")
    assert each.tolist() == [0, 0, 100, 100]
    assert all(np.isfinite(v).all() for v in values_and_gradients(F.binary_cross_entropy, x, t))
    small = F.binary_cross_entropy(wide(x).float(), wide(t).float(), reduction="none")
    assert small.tolist() == [0, 0, 100, 100]


def test_logits_of_any_size() -> None:
    x = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    for t in (0.0, 1.0):
        target = np.full(5, t)
        each = F.binary_cross_entropy_with_logits(wide(x), wide(target), reduction="none")
        expected = np.maximum(-x if t else x, 0)
        expected[2] = math.log(2)
        np.testing.assert_allclose(each.numpy(), expected)
        assert all(np.isfinite(v).all() for v in values_and_gradients(
            F.binary_cross_entropy_with_logits, x, target))
    loss, dx = values_and_gradients(
        lambda x: F.cross_entropy(x, tn.tensor([0, 1])), np.array([[1e4, -1e4], [1e4, -1e4]]))[:2]
    assert loss == 1e4
    np.testing.assert_allclose(dx, [[0, 0], [0.5, -0.5]])


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"weight": CLASS_WEIGHT},
                                     {"ignore_index": 2}])
def test_masked_logits(options: dict[str, Any]) -> None:
    """-inf switches a class off: it has probability 0 and no gradient."""
    x = np.array([[0.0, -np.inf, 1.0, 2.0], [1.0, 0.0, 3.0, -np.inf]])
    options = {k: wide(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    loss, dx = values_and_gradients(
        lambda x: F.cross_entropy(x, tn.tensor([0, 2]), **options), x)[:2]
    assert np.isfinite(loss).all()
    assert np.isfinite(dx).all()
    assert (dx[0, 1], dx[1, 3]) == (0, 0)


@pytest.mark.parametrize(("function", "options"), list(itertools.product(
    [F.cross_entropy, F.nll_loss], [{}, {"weight": CLASS_WEIGHT}])))
def test_nothing_but_ignored_labels(function: Any, options: dict[str, Any], device: str) -> None:
    """The mean is NaN as PyTorch's, the gradient 0; the sum is 0."""
    options = {k: tn.tensor(v, device=device) for k, v in options.items()}
    for reduction, expected in (("mean", math.nan), ("sum", 0.0)):
        x = tn.tensor(X, device=device, requires_grad=True)
        labels = tn.full((N,), -100, device=device)
        loss = function(x, labels, reduction=reduction, **options)
        loss.backward()
        np.testing.assert_equal(loss.item(), expected)
        np.testing.assert_array_equal(to_numpy(x.grad.array), 0)


def _as_row(x: Any, k: Any, **options: Any) -> Any:
    """(N, C) as (1, C, N)."""
    return F.cross_entropy(x.T[None], k[None], **options)


@pytest.mark.parametrize("value", [1e300, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"reduction": "sum"}, {"reduction": "none"}], ids=str)
def test_ignored_samples_are_of_no_effect_whatever_they_hold(
    value: float, options: dict[str, Any]
) -> None:
    """Values, gradients, and theirs."""
    x = X.copy()
    x[1] = value
    x[1, 0] = 0.0
    labels = np.where(np.arange(N) == 1, -100, LABELS)
    rest = np.arange(N) != 1
    functions = [F.cross_entropy, _as_row]
    if "label_smoothing" not in options:
        functions.append(F.nll_loss)
    for function, weight in itertools.product(functions, (None, wide(CLASS_WEIGHT))):
        run = functools.partial(function, weight=weight, **options)
        loss, *gradients = values_and_gradients(lambda x, f=run: f(x, wide(labels)), x)
        alone, *others = values_and_gradients(lambda x, f=run: f(x, wide(labels[rest])), x[rest])
        if loss.shape:
            loss = loss.reshape(-1)[rest].reshape(alone.shape)
        np.testing.assert_allclose(loss, alone, rtol=1e-13)
        for dx, expected in zip(gradients, others, strict=True):
            np.testing.assert_allclose(dx[rest], expected, rtol=1e-12, atol=1e-15)
            np.testing.assert_array_equal(dx[1], 0)


def test_the_mean_over_many_samples_keeps_its_digits() -> None:
    n = 200_000
    x = tn.tensor(random.standard_normal((n, 3)), dtype="float32")
    labels = tn.randint(0, 3, (n,))
    exact = F.cross_entropy(x.double(), labels).item()
    assert F.cross_entropy(x, labels).item() == pytest.approx(exact, rel=1e-6)
    ones = tn.ones(3, dtype="float16")  # their sum overflows float16
    half = F.cross_entropy(x.half(), labels, ones).item()
    assert half == pytest.approx(exact, rel=1e-2)


# -- errors -------------------------------------------------------------------------------------

x = wide(X)
labels = wide(LABELS)
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.cross_entropy(x, labels + 1), IndexError,
     "cross_entropy: Target 4 is out of bounds: expected labels 0 to 3 for input of shape (5, 4), "
     "or ignore_index -100"),
    (lambda: F.cross_entropy(x, labels - 1), IndexError, "Target -1 is out of bounds"),
    (lambda: F.cross_entropy(x, labels + 1, ignore_index=2), IndexError, "Target 4 is out"),
    (lambda: F.nll_loss(x, labels + 1), IndexError, "nll_loss: Target 4 is out of bounds"),
    (lambda: F.cross_entropy(x, labels.double()), TypeError,
     "cross_entropy: expected class indices of dtype int64 and shape (5,), or for cross_entropy "
     "probabilities of shape (5, 4); got float64 of shape (5,); call .long()"),
    (lambda: F.cross_entropy(x, labels.double() * math.nan), TypeError, "with NaN in it"),
    (lambda: F.cross_entropy(x, labels == 1), TypeError, "got bool of shape (5,)"),
    (lambda: F.cross_entropy(x, x * math.nan), ValueError, "got NaN in the target"),
    (lambda: F.cross_entropy(x, labels[:4]), ValueError,
     "cross_entropy: expected class indices of shape (5,) for input of shape (5, 4), got (4,); "
     "is the class dimension not the second?"),
    (lambda: F.cross_entropy(x, labels[:, None]), ValueError, "got (5, 1)"),
    (lambda: F.cross_entropy(x[None], labels), ValueError, "of shape (1, 4) for input"),
    (lambda: F.cross_entropy(x[0], labels), ValueError, "of shape () for input of shape (4,)"),
    (lambda: F.cross_entropy(x[0, 0], labels[0]), TypeError, "floating point probabilities"),
    (lambda: F.cross_entropy(x[0, 0], labels), ValueError, "(N, C, *) or (C,), got a scalar"),
    (lambda: F.cross_entropy(x, LABELS), TypeError,
     "cross_entropy: expected target to be a Tensor, got ndarray; wrap it with tensor(...)"),
    (lambda: F.cross_entropy(X, labels), TypeError, "expected input to be a Tensor, got ndarray"),
    (lambda: F.cross_entropy(x.long(), labels), TypeError,
     "cross_entropy: expected a floating point input, got int64; call .float()"),
    (lambda: F.cross_entropy(x, labels, wide(W[0, :3])), ValueError,
     "cross_entropy: expected a weight for each of 4 classes, got shape (3,)"),
    (lambda: F.cross_entropy(x, labels, wide(V, requires_grad=True)), RuntimeError,
     "cross_entropy: the weight requires grad"),
    (lambda: F.cross_entropy(x, labels, reduction="avg"), ValueError,
     "cross_entropy: expected reduction mean, sum, none; got 'avg'"),
    (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "CrossEntropyLoss: expected red"),
    (lambda: F.cross_entropy(x, labels, label_smoothing=1.1), RuntimeError,
     "cross_entropy: expected label_smoothing from 0 to 1, got 1.1"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=-0.1), RuntimeError,
     "CrossEntropyLoss: expected label_smoothing from 0 to 1, got -0.1"),
    (lambda: F.cross_entropy(x, x.softmax(1), ignore_index=1), RuntimeError,
     "cross_entropy: ignore_index is not supported for probabilities, got 1"),
    (lambda: F.cross_entropy(x, x.long()), TypeError,
     "cross_entropy: expected floating point probabilities for a target of the input's shape "
     "(5, 4), got int64; class indices have shape (5,)"),
    (lambda: F.cross_entropy(x[:0], labels[:0]), ValueError,
     "cross_entropy: expected at least one value, got input of shape (0, 4); skip empty batches, "
     "or use reduction='sum'"),
    (lambda: F.nll_loss(x[:0], labels[:0]), ValueError, "nll_loss: expected at least one value"),
    (lambda: F.mse_loss(x[:0], x[:0]), ValueError, "mse_loss: expected at least one value"),
    (lambda: F.binary_cross_entropy(x[:0], x[:0]), ValueError, "expected at least one value"),
    (lambda: F.mse_loss(x, x[:2]), ValueError,
     "mse_loss: expected a target of the input's shape (5, 4), got (2, 4)"),
    (lambda: F.mse_loss(x.long(), x), TypeError, "mse_loss: expected a floating point input"),
    (lambda: F.mse_loss(x, x, weight=x[0]), ValueError,
     "mse_loss: expected a weight of the input's shape (5, 4), got (4,)"),
    (lambda: F.mse_loss(x, x, "sum"), TypeError, "positional"),
    (lambda: F.smooth_l1_loss(x, x, beta=-1), RuntimeError,
     "smooth_l1_loss: expected beta >= 0, got -1"),
    (lambda: nn.SmoothL1Loss(beta=-1), RuntimeError, "SmoothL1Loss: expected beta >= 0, got -1"),
    (lambda: F.huber_loss(x, x, delta=0), RuntimeError, "huber_loss: expected delta > 0, got 0"),
    (lambda: nn.HuberLoss(delta=0), RuntimeError, "HuberLoss: expected delta > 0, got 0"),
    (lambda: F.binary_cross_entropy(wide(P), wide(Q[:, :1])), ValueError,
     "binary_cross_entropy: expected a target of the input's shape (5, 4), got (5, 1); is a "
     "dimension of length 1 to be squeezed?"),
    (lambda: F.binary_cross_entropy_with_logits(x, x[0]), ValueError,
     "binary_cross_entropy_with_logits: expected a target"),
    (lambda: F.binary_cross_entropy(wide(P + 1), wide(Q)), RuntimeError,
     "binary_cross_entropy: expected all elements of input between 0 and 1"),
    (lambda: F.binary_cross_entropy(wide(P - 1), wide(Q)), RuntimeError, "for logits use"),
    (lambda: F.binary_cross_entropy(wide(P * math.nan), wide(Q)), RuntimeError, "from nan to nan"),
    (lambda: F.binary_cross_entropy(wide(P), wide(Q + 1)), RuntimeError, "elements of target"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS,
                         ids=[m[:60] for _, _, m in ERRORS])
def test_error(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_shapes_that_differ_are_broadcast_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=re.escape(
            "mse_loss: input of shape (5, 4) and target of shape (4,) are broadcast")) as caught:
        loss = F.mse_loss(x, x[0])
    assert caught[0].filename == __file__
    assert loss.item() == pytest.approx(((X - X[0]) ** 2).mean())


def test_an_empty_batch_has_a_sum() -> None:
    none = tn.zeros(0, 4, requires_grad=True)
    loss = F.cross_entropy(none, tn.zeros(0, dtype="int64"), reduction="sum")
    loss.backward()
    assert (loss.item(), none.grad.shape) == (0, (0, 4))
    assert F.mse_loss(none, none, reduction="none").shape == (0, 4)


# -- layers -------------------------------------------------------------------------------------


def test_weights_are_buffers() -> None:
    w = tn.ones(C)
    layer = nn.CrossEntropyLoss(w, ignore_index=1, label_smoothing=0.1)
    assert list(layer.state_dict()) == ["weight"]
    assert not list(layer.parameters())
    assert layer.double().weight.dtype == tn.float64
    assert list(nn.CrossEntropyLoss().state_dict()) == []
    both = nn.BCEWithLogitsLoss(w, pos_weight=w)
    assert list(both.state_dict()) == ["weight", "pos_weight"]
    assert both(tn.zeros(2, C), tn.zeros(2, C)).item() == pytest.approx(math.log(2))


def test_repr() -> None:
    assert repr(nn.MSELoss()) == "MSELoss(reduction='mean')"
    assert repr(nn.HuberLoss(delta=2.0)) == "HuberLoss(reduction='mean', delta=2.0)"
    assert repr(nn.CrossEntropyLoss()) == (
        "CrossEntropyLoss(reduction='mean', ignore_index=-100, label_smoothing=0.0)")


def test_an_input_changed_after_the_loss_is_noticed() -> None:
    leaf = wide(X, requires_grad=True)
    y = leaf * 1
    loss = F.cross_entropy(y, labels)
    with tn.no_grad():
        y *= 2
    with pytest.raises(RuntimeError, match="cross_entropy"):
        loss.backward()
