"""The staged walk through the six norms, against plain NumPy."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, SAME, SHAPED, array, expected_of, own_functions, values_of

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.study.walk import example, what_ifs
from tinygrad_norm.viz.opened import FORMULAS

KRATZERT = (["mu", "xmu", "sq", "var", "sqrtvar", "ivar", "xhat", "gammax", "out"],
            ["dbeta", "dgammax", "dgamma", "dxhat", "divar", "dxmu1", "dsqrtvar", "dvar", "dsq",
             "dxmu2", "dx1", "dmu", "dx2", "dx"])

# -- the numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "shape"), SHAPED)
def test_all_ways_are_right(kind: str, shape: tuple[int, ...], training: bool) -> None:
    """The JSON's numbers, against the forward in NumPy and its complex steps."""
    case = example(kind, shape=shape, seed=3, training=training)
    study = json.loads(case.trace().json())
    mode = ("train" if training else "eval") if kind.startswith("batch") else ""
    assert (study["kind"], study["mode"]) == (kind, mode)
    nodes = {node["name"]: node for node in study["forward"]}
    expected = expected_of(case, kind)
    out = array(nodes[study["output"]]["value"]).reshape(shape)
    np.testing.assert_allclose(out, expected.pop("out"), **SAME)
    columns = {c["name"]: c["gradients"] for c in study["truth"]["columns"]}
    assert list(columns) == ["staged", "closed form", "engine", "finite differences"]
    for way, gradients in columns.items():
        assert set(gradients) == set(expected)
        for name, value in gradients.items():
            rough = {"rtol": 1e-8, "atol": 1e-8} if way == "finite differences" else SAME
            np.testing.assert_allclose(value, expected[name], err_msg=f"{way} {name}", **rough)
    assert {b["verdict"] for b in study["truth"]["badges"]} <= {"exact", "≈"}
    assert len(study["truth"]["badges"]) == 6 * len(expected)


@pytest.mark.parametrize("settings", [{"affine": False}, {"bias": False}, {"eps": 0.5}])
@pytest.mark.parametrize("training", [True, False])
def test_settings(settings: dict[str, Any], training: bool) -> None:
    layer = nn.BatchNorm1d(3, dtype=np.float64, **settings)
    layer(tn.randn(6, 3, dtype=tn.float64))
    study = tn.study.trace(layer.train(training), tn.randn(6, 3, dtype=tn.float64))
    assert study.output == ("xhat" if not layer.affine else
                            "out" if layer.bias is not None else "gammax")
    assert {b.verdict for b in study.truth.badges} <= {"exact", "≈"}
    assert set(study.truth.columns[0].gradients) == {
        "dx", *(["dgamma"] * layer.affine), *(["dbeta"] * (layer.bias is not None))}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kind", "shape"), SHAPED)
def test_each_formula_gives_its_value(kind: str, shape: tuple[int, ...], training: bool) -> None:
    """Read as Python, with the values that are shown."""
    study = example(kind, shape=shape, training=training).trace()
    values = values_of(study)
    for one in (*study.forward, *study.backward):
        if one.formula is not None:
            got = eval(one.formula.expression, own_functions(study), dict(values))
            np.testing.assert_allclose(np.broadcast_to(got, values[one.name].shape),
                                       values[one.name], rtol=1e-14, err_msg=one.name)
            assert list(values[one.name].shape) == one.shape


@pytest.mark.parametrize("kind", KINDS)
def test_reads_are_the_cells_that_matter(kind: str) -> None:
    """A cell that is moved moves those that read it, and no others."""
    study = example(kind).trace()
    values, functions = values_of(study), own_functions(study)
    for one in (*study.forward, *study.backward):
        for read in one.reads:
            assert one.formula is not None
            assert read.cells == "aligned"
            moved = dict(values)
            moved[read.name] = values[read.name].copy()
            cell = tuple(n - 1 for n in moved[read.name].shape)
            moved[read.name][cell] += 0.1
            if one.name in ("r", "d") and read.name in ("rmax", "dmax", "running_std"):
                continue  # clipped: it may not matter
            new = eval(one.formula.expression, functions, moved)
            changed = np.broadcast_to(new, values[one.name].shape) != values[one.name]
            expected = np.ones(changed.shape, bool)
            for axis, (n, m) in enumerate(zip(changed.shape, moved[read.name].shape, strict=False)):
                if n > 1 and m > 1:
                    own = np.arange(n) == cell[axis]
                    expected &= own.reshape([-1 if i == axis else 1 for i in range(changed.ndim)])
            np.testing.assert_array_equal(changed, expected, err_msg=f"{one.name} of {read.name}")


# -- its form --------------------------------------------------------------------------------------


def test_the_names_are_kratzerts() -> None:
    study = example("batch_norm").trace()
    assert [n.name for n in study.forward if n.role == "value"] == KRATZERT[0]
    back = [g.name for g in study.backward]
    assert [name for name in back if name not in ("dout", "dxmu")] == KRATZERT[1]
    assert [(f.of, f.parts, f.sum) for f in study.forks] == [
        ("xmu", ["dxmu1", "dxmu2"], "dxmu"), ("x", ["dx1", "dx2"], "dx")]
    assert study.steps == [*KRATZERT[0], "new_running_mean", "var_unbiased", "new_running_var",
                           *back]
    named = {one.step: one.name for one in (*study.forward[8:], *study.backward)}
    assert list(named.items()) == list(enumerate(study.steps, 1))
    assert {one.step for one in study.forward[:8]} == {0}


@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_are_those_of_the_opened_graph(kind: str) -> None:
    """Names, order and values, run there on tensors and here on arrays."""
    case = example(kind)
    study = case.trace()
    found = study.arrangement
    assert found
    weight, bias = (None if name not in values_of(study) else tn.tensor(values_of(study)[name])
                    for name in ("gamma", "beta"))
    opened = FORMULAS["normalize"](case.x.reshape(found.view), weight, bias, eps=found.eps,
                                   axes=tuple(found.reduced), centred=found.centred)
    own = [n.name for n in study.forward if n.role == "value" and n.name not in ("r", "d")]
    if kind == "batch_renorm":
        own.remove("xhat")  # moved on by r and d from what it is elsewhere
        own[own.index("xnorm")] = "xhat"
    assert list(opened) == own
    for name in list(opened)[:6]:
        np.testing.assert_allclose(opened[name].array.reshape(study.node(name).shape),
                                   study.node(name).value, **SAME)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_axes_change(kind: str) -> None:
    """The centred norms share their formulas; only what stands under Σ differs."""
    study = example(kind).trace()
    found = study.arrangement
    assert found
    assert found.names == {"batch_norm": "N", "batch_renorm": "N", "layer_norm": "C",
                           "instance_norm": "L", "group_norm": "KL", "rms_norm": "C"}[kind]
    assert found.n * found.sets == math.prod(found.shape) == math.prod(found.view)
    var = study.node("var").formula
    assert var
    assert var.text == f"var = Σ_{found.names} sq / n"
    assert f'<mrow data-sum="{" ".join(map(str, found.reduced))}">' in var.mathml
    if kind != "rms_norm":
        expressions = {n.name: n.formula.expression for n in study.forward if n.formula}
        reference = {n.name: n.formula.expression for n in example("batch_norm").trace().forward
                     if n.formula}
        for name in KRATZERT[0]:
            if not (kind == "batch_renorm" and name == "xhat"):
                assert expressions[name] == reference[name]


def test_what_is_known_at_a_step() -> None:
    study = example("batch_norm").trace()
    start, var, end = study.at(0), study.at(4), study.at(len(study.steps))
    assert start["x"][0] is not None
    assert start["mu"] == (None, None)
    assert var["var"][0] is not None
    assert var["sqrtvar"][0] is None
    assert all(gradient is None for _, gradient in var.values())
    assert end["x"][1] == study.gradient("dx").value
    assert end["new_running_var"][1] is None  # never
    parts = study.at(study.gradient("dxmu2").step)
    assert parts["xmu"][1] is None  # the parts are there, their sum is not
    with pytest.raises(KeyError, match="'nix' is none of x, gamma"):
        study.node("nix")


@pytest.mark.parametrize("kind", KINDS)
def test_mathml_names_all_that_is_read(kind: str) -> None:
    for one in (*(s := example(kind).trace()).forward, *s.backward):
        if one.formula is None:
            continue
        root = ET.fromstring(one.formula.mathml)
        named = [e.get("data-name") for e in root.iter() if e.get("data-name")]
        assert named[0] == one.name
        assert set(named[1:]) == {read.name for read in one.reads}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_readable_in_100_columns(kind: str, training: bool) -> None:
    study = example(kind, training=training).trace()
    for text in (str(study), *(str(case.trace()) for case in what_ifs(kind)[:3] if training)):
        assert max(map(len, text.splitlines())) <= 100
        assert all(line == line.rstrip() for line in text.splitlines())
    for one in study.forward:
        assert one.name in str(study)


def test_the_text_puts_numbers_into_the_formula() -> None:
    x = tn.tensor([[1.0], [2.0], [6.0]], dtype=tn.float64)
    text = str(tn.study.trace(nn.BatchNorm1d(1, affine=False), x))
    assert "mu[0, 0] = (1 + 2 + 6) / 3 = 3\n" in text
    assert "xmu[0, 0] = 1 − 3 = −2\n" in text
    assert "sq[0, 0] = (−2)² = 4\n" in text
