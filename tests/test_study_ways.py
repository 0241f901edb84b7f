"""What a walk through a norm proves, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, SAME, array, axes_of, plain, slopes

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
    two = studies["batch of 2"]
    assert two.arrangement
    assert two.arrangement.n == 2
    if kind != "rms_norm":
        np.testing.assert_allclose(np.abs(array(two.node(name).value)), 1, atol=5e-3)
        assert two.constant_statistics
        assert two.constant_statistics.right_norm < 0.05 * two.constant_statistics.norm
    same = studies["constant feature"]
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
