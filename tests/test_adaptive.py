"""Norms with a second input: ConditionalBatchNorm, AdaIN, FiLM, AdaptiveNorm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array, close, randomize, tensor
from norm_runs import refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

RANDOM = np.random.default_rng(8)
EPS = 1e-3
CLASSES = 4
LABELS = np.array([2, 0, 2, 3])
FORMS = {1: (4, 3), 11: (4, 3, 5), 2: (4, 3, 2, 3), 3: (4, 3, 2, 1, 3)}
X = {form: RANDOM.standard_normal(shape) * 2 + 1 for form, shape in FORMS.items()}
CONDITION = RANDOM.standard_normal((4, 2))
STYLE = RANDOM.standard_normal((4, 3, 4)) * 3 - 1


# -- the formulas once more --------------------------------------------------------------------

def conditional(
    x: np.ndarray, labels: np.ndarray, γ: np.ndarray, β: np.ndarray,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Dumoulin et al. 2017, eq. 5, with the batch's statistics; sample by sample."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c].ravel()
        μ = math.fsum(values) / values.size
        σ2 = math.fsum((v - μ) ** 2 for v in values) / values.size
        if statistics is not None:
            μ, σ2 = statistics[0][c], statistics[1][c]
        for n, s in enumerate(labels):
            y[n, c] = γ[s, c] * (x[n, c] - μ) / math.sqrt(σ2 + EPS) + β[s, c]
    return y


def adain(x: np.ndarray, s: np.ndarray, eps: float) -> np.ndarray:
    """Huang and Belongie 2017, eq. 8, with μ and σ of eq. 5 and 6; channel by channel."""
    def μσ(values: np.ndarray) -> tuple[float, float]:
        μ = math.fsum(values.ravel()) / values.size
        return μ, math.sqrt(math.fsum((v - μ) ** 2 for v in values.ravel()) / values.size + eps)

    y = np.empty_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        (μ, σ), (μ_s, σ_s) = μσ(x[n, c]), μσ(s[n, c])
        y[n, c] = σ_s * ((x[n, c] - μ) / σ) + μ_s
    return y


def film(x: np.ndarray, γ: np.ndarray, β: np.ndarray) -> np.ndarray:
    """Perez et al. 2018, eq. 2."""
    y = np.empty_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        y[n, c] = γ[n, c] * x[n, c] + β[n, c]
    return y


# -- conditional batch normalization -----------------------------------------------------------

forms = pytest.mark.parametrize("form", FORMS)


def conditional_layer(form: int, **options: Any) -> tuple[Any, dict[str, np.ndarray]]:
    layer = getattr(tn.nn, f"ConditionalBatchNorm{str(form)[-1] if form > 3 else form}d")(
        3, CLASSES, EPS, dtype=tn.float64, **options)
    return layer, randomize(layer, np.random.default_rng(1))


@forms
@pytest.mark.parametrize("bias", [True, False])
def test_conditional_batch_norm(form: int, bias: bool, device: str) -> None:
    layer, values = conditional_layer(form, bias=bias, device=device)
    x, labels = tensor(X[form], device), tensor(LABELS, device)
    β = values.get("bias", np.zeros((CLASSES, 3)))
    statistics = values["running_mean"], values["running_var"]
    strict.traffic.clear()
    y = layer.eval()(x, labels)
    assert not strict.traffic
    close(array(y), conditional(X[form], LABELS, values["weight"], β, statistics))
    layer.train()
    strict.traffic.clear()
    y = layer(x, labels)
    assert not strict.traffic
    close(array(y), conditional(X[form], LABELS, values["weight"], β))
    n = X[form].size // 3
    mean, var = (f(np.moveaxis(X[form], 1, 0).reshape(3, -1), axis=1) for f in (np.mean, np.var))
    close(array(layer.running_mean), 0.9 * statistics[0] + 0.1 * mean)
    close(array(layer.running_var), 0.9 * statistics[1] + 0.1 * var * n / (n - 1))
    assert layer.num_batches_tracked.item() == 1


@forms
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_gradients_of_conditional_batch_norm(form: int, training: bool) -> None:
    """Into the tables too, where a class that comes twice adds up and one that does not gets 0."""
    layer, _ = conditional_layer(form)
    layer.train(training)
    labels = tensor(LABELS)
    inputs = (tensor(X[form], grad=True), layer.weight, layer.bias)
    assert tn.autograd.gradcheck(lambda x, *_: layer(x, labels), inputs)
    assert tn.autograd.gradgradcheck(lambda x, *_: layer(x, labels), inputs)
    y = layer(inputs[0], labels)
    y.backward(tensor(np.ones(y.shape)))
    assert not array(layer.weight.grad)[1].any()
    np.testing.assert_array_equal(array(layer.bias.grad)[:, 0] > 0, [True, False, True, True])


def test_one_class_for_all_is_batch_norm() -> None:
    layer, values = conditional_layer(11)
    plain = tn.nn.BatchNorm1d(3, EPS, dtype=tn.float64)
    plain.load_state_dict({**values, "weight": values["weight"][2], "bias": values["bias"][2],
                           "num_batches_tracked": np.array(0)})
    x = tensor(X[11])
    for _ in range(2):
        close(array(layer(x, tensor(np.full(4, 2)))), array(plain(x)), 1e-14)
    close(array(layer.running_var), array(plain.running_var), 1e-15)


def test_the_start_and_the_names() -> None:
    layer = tn.nn.ConditionalBatchNorm2d(3, 5)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var",
                                        "num_batches_tracked"]
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.weight.shape == layer.bias.shape == (5, 3)
    assert (layer.weight == 1).all()
    assert not layer.bias.any()
    assert repr(layer) == ("ConditionalBatchNorm2d(3, num_classes=5, eps=1e-05, momentum=0.1, "
                           "bias=True, track_running_stats=True)")
    layer.weight.detach().fill_(3)
    layer.reset_parameters()
    assert (layer.weight == 1).all()


def test_without_running_statistics() -> None:
    layer = tn.nn.ConditionalBatchNorm1d(3, CLASSES, EPS, track_running_stats=False,
                                         dtype=tn.float64)
    for training in (True, False):
        y = layer.train(training)(tensor(X[1]), tensor(LABELS))
        close(array(y), conditional(X[1], LABELS, np.ones((4, 3)), np.zeros((4, 3))))
    tracked = tn.nn.ConditionalBatchNorm1d(3, CLASSES, EPS, momentum=None, dtype=tn.float64)
    for _ in range(2):
        tracked(tensor(X[1]), tensor(LABELS))
    close(array(tracked.running_mean), X[1].mean(0))
    tracked.track_running_stats = False  # turned off since
    tracked(tensor(X[1] + 1), tensor(LABELS))
    close(array(tracked.running_mean), X[1].mean(0))
    with tn.autograd.keep_statistics():
        tn.nn.ConditionalBatchNorm1d(3, 4)(tn.randn(4, 3), tensor(LABELS))


def test_unset_statistics_are_warned_about() -> None:
    with pytest.warns(UserWarning, match="ConditionalBatchNorm1d: expected running statistics"):
        tn.nn.ConditionalBatchNorm1d(3, 4).eval()(tn.randn(4, 3), tensor(LABELS))


def test_a_bad_batch_stays_out_of_the_statistics() -> None:
    layer, values = conditional_layer(1)
    bad = X[1].copy()
    bad[0, 1] = math.nan
    with pytest.warns(RuntimeWarning, match="the running statistics stay as they were"):
        layer(tensor(bad), tensor(LABELS))
    np.testing.assert_array_equal(array(layer.running_mean), values["running_mean"])


def test_a_wrong_label_changes_nothing() -> None:
    layer, _ = conditional_layer(1)
    before = [array(b).copy() for b in layer.buffers()]
    for wrong in (4, -1):
        with pytest.raises(IndexError, match=(
                f"ConditionalBatchNorm1d: label {wrong} is out of bounds: expected labels 0 to 3")):
            layer(tensor(X[1]), tensor(np.array([0, 1, wrong, 2])))
    for buffer, value in zip(layer.buffers(), before, strict=True):
        np.testing.assert_array_equal(array(buffer), value)


def test_a_wrong_label_where_looking_would_wait() -> None:
    """Its sample is NaN, the others are what they are."""
    layer, values = conditional_layer(1, device="strict")
    y = array(layer(tensor(X[1], "strict"), tensor(np.array([0, 4, -1, 2]), "strict")))
    assert np.isnan(y[1:3]).all()
    right = conditional(X[1], np.array([0, 0, 0, 2]), values["weight"], values["bias"])
    close(y[[0, 3]], right[[0, 3]])


# -- a style, a condition ----------------------------------------------------------------------

@pytest.mark.parametrize("form", [11, 2, 3])
def test_adain(form: int, device: str) -> None:
    """The style's spatial sizes are its own."""
    leaves = [tensor(v, device, grad=True) for v in (X[form], STYLE)]
    dy = tensor(np.cos(X[form]), device)
    strict.traffic.clear()
    y = tn.nn.AdaIN(EPS)(*leaves)
    y.backward(dy)
    assert not strict.traffic
    close(array(y), adain(X[form], STYLE, EPS))
    close(array(F.adaptive_instance_norm(*leaves, EPS)), array(y))


def test_adain_of_itself_is_the_identity() -> None:
    x = tensor(X[2])
    close(array(F.adaptive_instance_norm(x, x)), X[2], 1e-14)


def test_gradients_of_adain() -> None:
    inputs = [tensor(v[:2, :2], grad=True) for v in (X[11], STYLE)]
    assert tn.autograd.gradcheck(tn.nn.AdaIN(), inputs)
    assert tn.autograd.gradgradcheck(tn.nn.AdaIN(), inputs)


@forms
def test_film(form: int, device: str) -> None:
    layer = tn.nn.FiLM(3, 2, dtype=tn.float64, device=device)
    values = randomize(layer, np.random.default_rng(1))
    both = CONDITION @ values["linear.weight"].T + values["linear.bias"]
    leaves = [tensor(v, device, grad=True) for v in (X[form], CONDITION)]
    dy = tensor(np.cos(X[form]), device)
    strict.traffic.clear()
    y = layer(*leaves)
    y.backward(dy)
    assert not strict.traffic
    close(array(y), film(X[form], 1 + both[:, :3], both[:, 3:]))
    last = np.moveaxis(X[form], 1, -1)
    layer.dim = -1
    close(array(layer(tensor(last, device), leaves[1])), np.moveaxis(array(y), 1, -1))


NORMS: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "BatchNorm1d": (lambda: tn.nn.BatchNorm1d(3, EPS, affine=False, dtype=tn.float64),
                    lambda x: (x - x.mean((0, 2), keepdims=True))
                    / np.sqrt(x.var((0, 2), keepdims=True) + EPS)),
    "GroupNorm": (lambda: tn.nn.GroupNorm(1, 3, EPS, affine=False),
                  lambda x: (x - x.mean((1, 2), keepdims=True))
                  / np.sqrt(x.var((1, 2), keepdims=True) + EPS)),
    "LayerNorm": (lambda: tn.nn.LayerNorm(5, EPS, elementwise_affine=False),
                  lambda x: (x - x.mean(-1, keepdims=True))
                  / np.sqrt(x.var(-1, keepdims=True) + EPS)),
    "ScaleNorm": (lambda: tn.nn.ScaleNorm(5, affine=False),
                  lambda x: math.sqrt(5) * x / np.sqrt((x * x).sum(-1, keepdims=True))),
}  # fmt: skip


@pytest.mark.parametrize(("make", "formula"), NORMS.values(), ids=NORMS)
def test_adaptive_norm(make: Any, formula: Any) -> None:
    """The features are the channels, or the last axis."""
    layer = tn.nn.AdaptiveNorm(make(), 2, dtype=tn.float64)
    values = randomize(layer, np.random.default_rng(1))
    last = layer.film.dim == -1
    both = CONDITION @ values["film.linear.weight"].T + values["film.linear.bias"]
    c = 5 if last else 3
    γ, β = (v.reshape(4, 1, c) if last else v.reshape(4, c, 1)
            for v in (1 + both[:, :c], both[:, c:]))
    close(array(layer(tensor(X[11]), tensor(CONDITION))), γ * formula(X[11]) + β)
    inputs = (tensor(X[11], grad=True), tensor(CONDITION, grad=True), *layer.parameters())
    assert tn.autograd.gradcheck(lambda x, c, *_: layer(x, c), inputs)


def test_second_derivatives_reach_the_condition() -> None:
    layer = tn.nn.AdaptiveNorm(tn.nn.LayerNorm(3, EPS, elementwise_affine=False), 2,
                               dtype=tn.float64)
    inputs = (tensor(X[1], grad=True), tensor(CONDITION, grad=True), *layer.parameters())
    assert tn.autograd.gradgradcheck(lambda x, c, *_: layer(x, c), inputs)


def test_text() -> None:
    assert repr(tn.nn.AdaIN()) == "AdaIN(eps=1e-05)"
    assert repr(tn.nn.AdaptiveNorm(tn.nn.GroupNorm(1, 3, affine=False), 2)) == """\
AdaptiveNorm(
  (norm): GroupNorm(1, 3, eps=1e-05, affine=False, bias=False)
  (film): FiLM(
    3, 2, dim=1
    (linear): Linear(in_features=2, out_features=6, bias=True)
  )
)"""


SECOND: dict[str, Callable[[Any, Any], Any]] = {
    "ConditionalBatchNorm1d": lambda x, o: conditional_layer(11)[0].to(o)(x, tensor(LABELS)),
    "ConditionalBatchNorm1d eval": lambda x, o: conditional_layer(11)[0].to(o).eval()(
        x, tensor(LABELS)),
    "AdaIN": lambda x, o: tn.nn.AdaIN(EPS)(x, tensor(STYLE).to(o)),
    "film": lambda x, o: F.film(x, tensor(STYLE[:, :, 0]).to(o), tensor(STYLE[:, :, 1]).to(o)),
}


@pytest.mark.parametrize("run", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes(run: Any, dtype: str) -> None:
    """Only the output is rounded to float16."""
    x = tensor(X[11].astype(dtype))
    y = run(x, dtype)
    assert y.dtype == np.dtype(dtype)
    # beside parameters, styles and statistics that were rounded too
    unit = {"float16": 2.0**-9, "float32": 2.0**-21}[dtype]
    np.testing.assert_allclose(array(y), array(run(x.double(), "float64")), atol=3 * unit,
                               rtol=unit)


# -- bad input ---------------------------------------------------------------------------------

ONES = tn.ones(4, 3, 5)
INDEX = tensor(LABELS)
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "classes": (lambda: tn.nn.ConditionalBatchNorm1d(3, 0), ValueError,
                "ConditionalBatchNorm1d: expected num_classes >= 1, got 0"),
    "channels": (lambda: tn.nn.ConditionalBatchNorm1d(4, 4)(ONES, INDEX), ValueError,
                 "ConditionalBatchNorm1d: expected input (N, 4) or (N, 4, L), got (4, 3, 5)"),
    "labels array": (lambda: tn.nn.ConditionalBatchNorm1d(3, 4)(ONES, LABELS), TypeError,
                     "ConditionalBatchNorm1d: expected labels to be a Tensor, got ndarray"),
    "labels float": (lambda: tn.nn.ConditionalBatchNorm1d(3, 4)(ONES, INDEX.float()), TypeError,
                     "ConditionalBatchNorm1d: expected labels of dtype int64, got float32; call "
                     ".long()"),
    "labels shape": (lambda: tn.nn.ConditionalBatchNorm1d(3, 4)(ONES, INDEX[:3]), ValueError,
                     "ConditionalBatchNorm1d: expected labels of shape (4,), one for each sample, "
                     "got (3,)"),
    "table": (lambda: F.conditional_batch_norm(ONES, INDEX, None, None, tn.ones(4, 2),
                                               training=True), ValueError,
              "conditional_batch_norm: expected weight of shape (4, 3) for an input of shape "
              "(4, 3, 5), got (4, 2)"),
    "table bias": (lambda: F.conditional_batch_norm(ONES, INDEX, None, None, tn.ones(4, 3),
                                                    tn.ones(5, 3), True), ValueError,
                   "conditional_batch_norm: expected bias of shape (4, 3)"),
    "conditional none": (lambda: F.conditional_batch_norm(ONES, INDEX, None, None, tn.ones(4, 3)),
                         RuntimeError, "conditional_batch_norm: expected running_mean and "
                         "running_var when not training"),
    "conditional eps": (lambda: tn.nn.ConditionalBatchNorm1d(3, 4, 0.0)(ONES, INDEX), ValueError,
                        "ConditionalBatchNorm1d: expected eps > 0 when training, got 0.0"),
    "conditional one": (
        lambda: tn.nn.ConditionalBatchNorm1d(3, 4)(tn.ones(1, 3), INDEX[:1]), ValueError,
        "ConditionalBatchNorm1d: Expected more than 1 value per channel when training"),
    "conditional array": (lambda: F.conditional_batch_norm(LABELS, INDEX, None, None, ONES),
                          TypeError, "conditional_batch_norm: expected input to be a Tensor"),
    "adain array": (lambda: tn.nn.AdaIN()(ONES, STYLE), TypeError,
                    "AdaIN: expected style to be a Tensor, got ndarray"),
    "adain dims": (lambda: tn.nn.AdaIN()(ONES, tn.ones(4, 3)), ValueError,
                   "AdaIN: expected style (N, C, *spatial), got (4, 3)"),
    "adain channels": (lambda: tn.nn.AdaIN()(ONES, tn.ones(4, 2, 5)), ValueError,
                       "AdaIN: expected content and style with the same N and C, "
                       "got (4, 3, 5) and (4, 2, 5)"),
    "adain dtype": (lambda: tn.nn.AdaIN()(ONES, ONES.double()), TypeError,
                    "AdaIN: expected content and style of one floating dtype, "
                    "got float32 and float64; call .to(dtype)"),
    "adain device": (lambda: tn.nn.AdaIN()(ONES, tn.ones(4, 3, 5, device="strict")), RuntimeError,
                     "AdaIN: the content is on cpu, the style on strict:0"),
    "adain one": (lambda: tn.nn.AdaIN()(ONES, ONES[:, :, :1]), ValueError,
                  "AdaIN: Expected more than 1 spatial element of the style, got "
                  "input size (4, 3, 1), which has 1; use larger images"),
    "adain eps": (lambda: tn.nn.AdaIN(0.0), ValueError, "AdaIN: expected eps > 0, got 0.0"),
    "adain eps of the function": (
        lambda: F.adaptive_instance_norm(ONES, ONES, -1.0), ValueError,
        "adaptive_instance_norm: expected eps >= 0, got -1.0"),
    "film array": (lambda: F.film(ONES, STYLE, ONES), TypeError,
                   "film: expected gamma to be a Tensor, got ndarray"),
    "film int": (lambda: F.film(ONES.long(), ONES[:, :, 0], ONES[:, :, 0]), TypeError,
                 "film: expected a floating point input, got int64; call .float()"),
    "film dim": (lambda: F.film(ONES, ONES, ONES, 0), ValueError,
                 "film: expected features along another dimension than the samples', got dim 0"),
    "film gamma": (lambda: F.film(ONES, ONES, ONES[:, :, 0]), ValueError,
                   "film: expected gamma of shape (4, 3) for an input of shape (4, 3, 5), got "
                   "(4, 3, 5)"),
    "film beta": (lambda: F.film(ONES, ONES[:, :, 0], ONES[:, :, 0].double()), TypeError,
                  "film: the input is float32, beta float64"),
    "FiLM features": (lambda: tn.nn.FiLM(2, 2)(ONES, tn.ones(4, 2)), ValueError,
                      "FiLM: expected input of 2 features along dim 1, got (4, 3, 5); make the "
                      "layer with num_features=3, or check the layer before it"),
    "FiLM features last": (
        lambda: tn.nn.FiLM(3, 2, dim=-1)(ONES, tn.ones(4, 2)), ValueError,
        "FiLM: expected input of 3 features along dim -1, got (4, 3, 5); make the layer with "
        "num_features=5"),
    "film features": (lambda: tn.nn.FiLM(0, 2), ValueError,
                      "FiLM: expected num_features >= 1, got 0"),
    "film condition": (lambda: tn.nn.FiLM(3, 0), ValueError,
                       "FiLM: expected condition_features >= 1, got 0"),
    "condition": (lambda: tn.nn.FiLM(3, 2)(ONES, tn.ones(4, 3)), ValueError,
                  "Linear: expected input (*, 2), got (4, 3)"),
    "affine": (lambda: tn.nn.AdaptiveNorm(tn.nn.BatchNorm1d(3), 2), ValueError,
               "AdaptiveNorm(BatchNorm1d): expected a norm without weight and bias, which come "
               "from the second input; make it with affine=False or elementwise_affine=False"),
    "no norm": (lambda: tn.nn.AdaptiveNorm(tn.nn.ReLU(), 2), TypeError,
                "AdaptiveNorm(ReLU): expected a norm with num_features, num_channels or "
                "normalized_shape"),
    "axes": (lambda: tn.nn.AdaptiveNorm(tn.nn.RMSNorm((2, 3), elementwise_affine=False), 2),
             ValueError, "AdaptiveNorm(RMSNorm): expected a normalized_shape of one axis, got "
             "(2, 3)"),
}  # fmt: skip


test_bad_input = refusals(BAD)
