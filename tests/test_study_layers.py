"""A study changes nothing, takes any layer, and refuses what is too much to look at."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, array

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.study.walk import example, what_ifs
from tinygrad_norm.study.walk.arrangement import kind_of


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_changed(kind: str, training: bool) -> None:
    case = example(kind, training=training)
    before = copy.deepcopy(case.layer.state_dict())
    weight: Any = case.layer.parameters().__next__()
    weight.grad = tn.ones_like(weight)
    x = case.x.detach().requires_grad_()
    random = tn.get_rng_state()
    with tn.no_grad():
        tn.study.trace(case.layer, x, grad_output=case.grad_output)
    assert str(tn.get_rng_state()) == str(random)
    assert case.layer.training is training
    assert x.grad is None
    assert weight.grad.array.tolist() == np.ones(weight.shape).tolist()
    for name, value in case.layer.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name].array)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_the_side_branch_is_what_the_layer_does(momentum: float | None) -> None:
    layer = nn.BatchNorm1d(3, momentum=momentum, dtype=np.float64)
    layer(tn.randn(5, 3, dtype=tn.float64))
    x = tn.randn(4, 3, dtype=tn.float64)
    study = tn.study.trace(layer, x)
    layer(x)
    for name in ("running_mean", "running_var"):
        assert study.node(f"new_{name}").gradient is None
        np.testing.assert_allclose(study.node(f"new_{name}").value[0],
                                   getattr(layer, name).array, rtol=1e-14)
    np.testing.assert_allclose(study.node("var").value[0], x.array.var(0), rtol=1e-14)
    np.testing.assert_allclose(study.node("var_unbiased").value[0], x.array.var(0, ddof=1),
                               rtol=1e-14)


def test_instance_norm_remembers_the_mean_over_the_samples() -> None:
    layer = nn.InstanceNorm1d(2, track_running_stats=True, dtype=np.float64)
    study = tn.study.trace(layer, x := tn.randn(3, 2, 4, dtype=tn.float64))
    layer(x)
    np.testing.assert_allclose(study.node("new_running_var").value[0],
                               layer.running_var.array[:, None], rtol=1e-14)  # type: ignore[union-attr]
    assert "running_var" in {r.name for r in tn.study.trace(layer.eval(), x).node("sqrtvar").reads}
    assert tn.study.trace(layer.train(), x[0]).arrangement.shape == [2, 4]


def test_any_array_any_float(device: str) -> None:
    """It is computed in float64, with the layer's own eps."""
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    layer = nn.RMSNorm(3).to(device=device)
    study = tn.study.trace(layer, tn.tensor(x).to(device=device))
    assert study.dtype == "float32"
    assert study.arrangement
    assert study.arrangement.eps == np.finfo("float32").eps
    np.testing.assert_allclose(study.node("var").value, (x.astype("float64") ** 2).mean(
        1, keepdims=True), rtol=1e-15)
    assert str(layer.weight.device) == str(tn.tensor(x).to(device=device).device)  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [nn.LazyBatchNorm1d, nn.LazyInstanceNorm1d, nn.LazyBatchNorm2d])
def test_a_lazy_layer_becomes_what_it_is(make: Any) -> None:
    layer = make()
    x = tn.randn(*{"2": (2, 3, 2, 2), "1": (4, 3, 2)}[make.__name__[-2]])
    study = tn.study.trace(layer, x)
    assert study.kind in ("batch_norm", "instance_norm")
    assert type(layer) is make


def test_who_computes_otherwise_is_walked_as_recorded() -> None:
    class Own(nn.BatchNorm1d):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    hooked = nn.LayerNorm(3)
    hooked.register_forward_hook(lambda module, args, y: y * 2)
    for layer in (Own(3), hooked, nn.GhostBatchNorm(3, 2)):
        assert kind_of(layer) == ""
        study = tn.study.trace(layer, tn.randn(4, 3))
        assert study.kind == "function"
        assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.LayerNorm(4), (4,)), (nn.LayerNorm((2, 2)), (3, 2, 2)), (nn.RMSNorm(1), (3, 1)),
    (nn.LayerNorm((1, 2, 1, 2)), (2, 1, 2, 1, 2)), (nn.GroupNorm(1, 2), (1, 2, 2, 1, 1, 2)),
    (nn.BatchNorm1d(2), (100, 2))])
def test_any_shape(layer: Any, shape: tuple[int, ...]) -> None:
    study = tn.study.trace(layer, tn.randn(*shape))
    assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}
    assert study.arrangement
    assert len(study.arrangement.axes) == len(study.arrangement.view)
    assert bool(study.jacobians) == (shape != (100, 2))
    assert any("too much to look at" in note for note in study.notes) == (shape == (100, 2))
    assert max(map(len, str(study).splitlines())) <= 100
    json.loads(study.json())


@pytest.mark.parametrize(("last", "shape", "axes"), [
    (1, (3, 2), "N C"), (1, (3, 2, 2), "N T C"), (2, (3, 2, 2), "N C L"), (2, (2, 2), "C L"),
    (2, (2, 3, 2, 2), "N C H W"), (3, (2, 3, 2, 2), "N C H W"), (3, (1, 2, 3, 2, 2), "N T C H W")])
def test_axes_of_what_is_normalized_over_the_last(
    last: int, shape: tuple[int, ...], axes: str
) -> None:
    for layer in (nn.LayerNorm(shape[-last:]), nn.RMSNorm(shape[-last:])):
        study = tn.study.trace(layer, tn.randn(*shape))
        assert study.arrangement
        assert " ".join(study.arrangement.axes) == axes


@pytest.mark.parametrize(("offset", "spread"), [(0, 1e10), (1e3, 1e-3), (1e6, 1), (3.0, 0)])
def test_digits_that_the_data_have_not_are_not_asked_for(offset: float, spread: float) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3)) * spread + offset
    badges = tn.study.trace(nn.BatchNorm1d(3), x).truth.badges
    assert {b.verdict for b in badges} <= {"exact", "≈"}


# -- bad input -------------------------------------------------------------------------------------


def test_nan_is_walked_and_marked() -> None:
    x = np.random.default_rng(0).standard_normal((6, 3))
    x[2, 1], x[3, 2] = np.nan, np.inf
    layer = nn.BatchNorm1d(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = tn.study.trace(layer, x)
    assert not study.node("mu").finite
    assert study.node("gamma").finite
    assert np.isfinite(array(study.gradient("dx").value)).tolist() == [[True, False, False]] * 6
    assert "! NaN or Inf" in str(study)
    assert "Inf" in str(study)
    found = json.loads(study.json(), parse_constant=pytest.fail)
    assert next(n for n in found["forward"] if n["name"] == "x")["value"][2][1] == "NaN"
    assert next(n for n in found["forward"] if n["name"] == "mu")["value"][0][2] == "Infinity"
    assert study.jacobians[1].eigenvalues is None
    for badge in study.truth.badges:
        assert badge.verdict in ("exact", "≈") or badge.other == "finite differences"
    assert any("does not take this batch" in note for note in study.notes)
    assert layer.skipped_batches == 0


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(1000, 4)), ValueError,
     r"at most 512 values in x, got \(1000, 4\), which are 4000: .* first rows, x\[:128\]"),
    (lambda: tn.study.trace(nn.LayerNorm(3), tn.ones(0, 3)), ValueError, "at least one value in x"),
    (lambda: tn.study.trace(nn.LayerNorm(600), tn.ones(2, 600)), ValueError,
     "a row alone has 600: study fewer features"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), [[1.0]]), TypeError, "tensors or arrays .* list"),
    (lambda: tn.study.trace(nn.BatchNorm1d, tn.ones(2, 4)), TypeError, "of a class make a layer"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4)), TypeError, "inputs after the layer, got none"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(2, 4).long()), TypeError, "floating"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(2, 3)), ValueError, "BatchNorm1d: expected"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(1, 4)), ValueError, "more than 1 value"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(2, 4), grad_output=tn.ones(4)), ValueError,
     r"the output's shape \(2, 4\), got \(4,\)"),
    (lambda: tn.study.trace(nn.BatchNorm1d(4), tn.ones(2, 4), grad_output=1), TypeError,
     "grad_output to be a tensor or an array, got int"),
    (lambda: what_ifs("batch"), ValueError, "one of batch_norm, .*, got 'batch'"),
    (lambda: example("instance_norm", shape=(4, 3)), ValueError, "3 to 5 axes for instance_norm"),
])
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_parametrized_norm_is_walked_as_recorded() -> None:
    layer = nn.BatchNorm1d(4)
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.ReLU())
    study = tn.study.trace(layer, np.random.default_rng(0).standard_normal((5, 4)))
    assert study.kind == "function"
    assert {badge.verdict for badge in study.truth.badges} <= {"exact", "≈"}
