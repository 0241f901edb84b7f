"""What a walk through a norm proves, against plain NumPy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, SAME, array, axes_of, expected_of, plain, slopes

import tinygrad_norm as tn
from tinygrad_norm.study.walk import example, what_ifs


@pytest.mark.parametrize("kind", KINDS)
def test_the_ways_from_x_to_y(kind: str) -> None:
    case = example(kind)
    study = case.trace()
    ways, wrong = study.decomposition, study.constant_statistics
    assert ways
    assert wrong
    np.testing.assert_allclose(sum(array(p.value) for p in ways.parts), wrong.right, **SAME)
    assert ways.difference < 1e-14
    assert all(p.norm == pytest.approx(np.linalg.norm(array(p.value))) for p in ways.parts)
    if kind != "rms_norm":
        assert ways.parts[-1].name == "through σ², then μ"
        assert ways.parts[-1].norm < 1e-14
    # wrong: the same layer with its statistics detached
    layer: Any = case.layer
    tensor = case.x.detach().requires_grad_()
    view = tensor.reshape(2, 2, 2, 3) if kind == "group_norm" else tensor
    axes = axes_of(kind, tensor.ndim)
    mean = view.mean(axes, keepdims=True).detach() * (kind != "rms_norm")
    var = (view - mean).square().mean(axes, keepdims=True).detach()
    y = (view / (var + layer.eps).sqrt()).reshape(tensor.shape)
    weight = layer.weight.array.reshape(-1, *[1] * (tensor.ndim - 2))
    if kind == "batch_renorm":
        weight = weight * array(study.node("r").value)[0]
    if kind in ("layer_norm", "rms_norm"):
        weight = layer.weight.array
    (dx,) = tn.autograd.grad(y, tensor, case.grad_output * weight)
    np.testing.assert_allclose(wrong.dx, dx.array, **SAME)
    assert wrong.difference == pytest.approx(np.linalg.norm(array(wrong.dx) - array(wrong.right)))
    if kind != "rms_norm":
        assert max(map(abs, wrong.sums)) > 0.1
        assert max(map(abs, wrong.right_sums)) < 1e-14


@pytest.mark.parametrize("kind", KINDS)
def test_identities_and_jacobians(kind: str) -> None:
    case = example(kind)
    study = case.trace()
    found = study.arrangement
    assert found
    assert len(study.identities) == (1 if kind == "rms_norm" else 2)
    for one in study.identities:
        assert one.difference < 1e-14
        assert len(one.left) == found.sets
        np.testing.assert_allclose(one.left, one.right, atol=1e-14)
    assert max(map(abs, study.identities[-1].left)) > 1e-7
    layer: Any = case.layer
    forward, x = plain(layer, kind, case.x.array), case.x.array
    beta = None if kind == "rms_norm" else layer.bias.array
    assert len(study.jacobians) == found.sets
    for jacobian in study.jacobians[:3]:
        places = [np.unravel_index(c, x.shape) for c in jacobian.cells]
        rows = [slopes(lambda v, at=at: forward(v, layer.weight.array, beta)[at], x).reshape(-1)
                for at in places]
        for i, row in enumerate(rows):
            np.testing.assert_allclose(np.delete(row, jacobian.cells), 0, atol=1e-12)
            for matrix in (jacobian.matrix, jacobian.closed):
                np.testing.assert_allclose(matrix[i], row[jacobian.cells], **SAME)
        assert jacobian.difference < 1e-12
        np.testing.assert_allclose(jacobian.eigenvalues, jacobian.expected, atol=1e-12)
        assert jacobian.expected[-1] == 1
        kept = jacobian.expected[0 if kind == "rms_norm" else 1]
        assert [(d.name, d.gain) for d in jacobian.dead] == [
            *([("shift", pytest.approx(0, abs=1e-12))] * (kind != "rms_norm")),
            ("scale", pytest.approx(kept, abs=1e-12))]


@pytest.mark.parametrize("kind", KINDS)
def test_what_ifs(kind: str) -> None:
    cases = {case.name: case for case in what_ifs(kind, seed=5)}
    studies = {name: case.trace() for name, case in cases.items()}
    for study in studies.values():
        assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}
    name = "xnorm" if kind == "batch_renorm" else "xhat"
    two, same = list(studies.values())[:2]
    assert two.arrangement
    assert two.arrangement.n == 2
    if kind != "rms_norm":
        np.testing.assert_allclose(np.abs(array(two.node(name).value)), 1, atol=5e-3)
        assert two.constant_statistics
        assert two.constant_statistics.right_norm < 0.05 * two.constant_statistics.norm
    assert same.jacobians[0].dead[-1].gain is None
    assert not array(same.node(name).value).reshape(-1)[same.jacobians[0].cells].any()
    zero = studies["gamma = 0"]
    cell = np.flatnonzero(np.broadcast_to(array(zero.node("gamma").value) == 0,
                                          zero.node("x").shape))
    if kind in ("batch_norm", "batch_renorm", "instance_norm"):
        assert not array(zero.gradient("dx").value).reshape(-1)[cell].any()
    assert array(zero.gradient("dgamma").value).reshape(-1)[0] != 0
    sweep = [s for n, s in studies.items() if n.startswith("eps")]
    kept = [s.jacobians[0].dead[-1].gain for s in sweep]
    assert kept == sorted(kept)
    assert kept[-1] > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_json_of_what_ifs_is_numpys(kind: str) -> None:
    """Outputs and gradients, relative to the largest of them: eps = 1e-8 makes some 1e4 large."""
    for case in what_ifs(kind, seed=2):
        study = json.loads(case.trace().json())
        nodes = {node["name"]: node for node in study["forward"]}
        found = {"out": nodes[study["output"]]["value"]} | {
            f"d{name}": nodes[name]["gradient"] for name in ("x", "gamma", "beta") if name in nodes}
        expected = expected_of(case, kind)
        assert set(found) == set(expected)
        for name, value in expected.items():
            scale = max(np.abs(value).max(), 1.0)
            np.testing.assert_allclose(array(found[name]).reshape(value.shape) / scale,
                                       value / scale, err_msg=f"{case.name}: {name}", **SAME)


def test_the_json_of_a_function_is_numpys() -> None:
    """Every value and gradient of a small network, over four axes."""
    random = np.random.default_rng(4)
    x, w, dy = (random.standard_normal(s) for s in ((2, 2, 3, 4), (4, 2), (2, 2, 3, 2)))

    def function(x: Any, w: Any) -> Any:
        return (x @ w).tanh() * 2 + 1

    study = json.loads(tn.study.trace(function, x, w, grad_output=dy).json())
    inner = x @ w
    back = dy * 2 * (1 - np.tanh(inner)**2)
    values = {"x": x, "w": w, "v1": inner, "v2": np.tanh(inner), "v3": np.tanh(inner) * 2,
              "out": np.tanh(inner) * 2 + 1}
    gradients = {"x": back @ w.T, "w": np.einsum("abci,abcj->ij", x, back), "v1": back,
                 "v2": 2 * dy, "v3": dy, "out": dy}
    assert [node["name"] for node in study["forward"]] == list(values)
    for node in study["forward"]:
        np.testing.assert_allclose(node["value"], values[node["name"]], **SAME)
        np.testing.assert_allclose(node["gradient"], gradients[node["name"]], **SAME)
    assert {badge["verdict"] for badge in study["truth"]["badges"]} <= {"exact", "≈"}


def test_what_float64_cannot_hold_is_said() -> None:
    x = np.random.default_rng(0).standard_normal((8, 3)) * 1e300
    study = tn.study.trace(tn.nn.BatchNorm1d(3), x)
    assert not study.node("sq").finite
    assert study.notes[1] == (
        "sq is too large for float64; the layer divides x by a power of two first.")
    assert {badge.verdict for badge in study.truth.badges} >= {"differs"}


def test_layouts_do_not_matter() -> None:
    """The mean of equal numbers is not always exact, and sums round as the layout has it."""
    row = np.random.default_rng(0).standard_normal((1, 4))
    for x in (np.broadcast_to(row, (8, 4)), np.repeat(row, 8, 0).copy(order="F")):
        study = tn.study.trace(tn.nn.BatchNorm1d(4), x)
        assert {badge.verdict for badge in study.truth.badges} <= {"exact", "≈"}


def test_finite_differences_round_as_the_loss_does() -> None:
    layer = tn.nn.BatchNorm1d(2, dtype=tn.float64)
    layer.bias.array[...] = 1e9  # type: ignore[union-attr]
    study = tn.study.trace(layer, np.random.default_rng(0).standard_normal((6, 2)))
    rough = [b for b in study.truth.badges if b.other == "finite differences" and b.of != "dx"]
    assert {b.verdict for b in rough} == {"≈"}
    assert all(b.scale > 1e8 for b in rough)
