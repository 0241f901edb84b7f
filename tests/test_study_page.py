"""The study's page without a browser: its numbers, its size, and that nothing breaks out of it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_norms import KINDS, SAME, array, own_functions, plain, slopes

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.__main__ import main
from tinygrad_norm.study.page import build
from tinygrad_norm.study.page.drawing import svg
from tinygrad_norm.study.page.placing import placed
from tinygrad_norm.study.walk import example, what_ifs
from tinygrad_norm.study.walk.study import plain as plain_data

HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028\"'"


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="study-data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def merged(one: Any, change: Any) -> Any:
    """What the page makes of a case's changes."""
    if not change or "is" in change:
        return change["is"] if change else one
    copy = one.copy()
    for key, below in change["at"].items():
        place = int(key) if isinstance(one, list) else key
        copy[place] = merged(one[place], below)
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_its_numbers_are_the_engines_and_numpys(kind: str) -> None:
    case = example(kind, seed=2)
    study, layer = case.trace(), case.layer
    found = data_of(study.html())["study"]
    values = {one["name"]: array(one["value"]) for one in (*found["forward"], *found["backward"])}
    x, dy = case.x.array, case.grad_output.array
    beta = None if kind == "rms_norm" else layer.bias.array  # type: ignore[union-attr]
    gamma = layer.weight.array  # type: ignore[union-attr]
    forward = plain(layer, kind, x)
    out = values[found["output"]].reshape(x.shape)
    np.testing.assert_allclose(out, forward(x, gamma, beta), **SAME)
    for name, given, loss in (
            ("dx", x, lambda v: (forward(v, gamma, beta) * dy).sum()),
            ("dgamma", gamma, lambda v: (forward(x, v, beta) * dy).sum())):
        np.testing.assert_allclose(values[name].reshape(given.shape), slopes(loss, given), **SAME)
    x = tn.tensor(x, requires_grad=True)
    layer(x).backward(tn.tensor(dy))
    np.testing.assert_allclose(values["dx"].reshape(x.shape), x.grad.array, **SAME)


@pytest.mark.parametrize("kind", KINDS)
def test_what_ifs_are_those_of_python(kind: str) -> None:
    cases = what_ifs(kind)
    page = example(kind).trace().html(cases)
    assert len(page.encode()) < 300_000
    found = data_of(page)
    by_name = {one.name: one for one in cases}
    assert len(found["cases"]) == len(cases) - 1  # one is the study itself
    for one in found["cases"]:
        got = merged(found["study"], one["changes"])
        wanted = plain_data(asdict(by_name[one["name"]].trace()))
        assert got["title"] == wanted["title"]
        assert build.shorter(got["truth"]["badges"]) == build.shorter(wanted["truth"]["badges"])
        for mine, right in zip((*got["forward"], *got["backward"]),
                               (*wanted["forward"], *wanted["backward"]), strict=True):
            assert mine["reads"] == right["reads"]
            np.testing.assert_allclose(array(mine["value"]), array(right["value"]), rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_programs_compute_what_the_formulas_say(kind: str, training: bool) -> None:
    """The expressions with their operators first are those that Python runs."""
    study = example(kind, training=training).trace()
    does: dict[str, Any] = {
        **own_functions(study), "+": np.add, "-": np.subtract, "*": np.multiply,
        "/": np.divide, "**": np.power}
    values: dict[str, Any] = {}

    def run(what: Any) -> Any:
        if isinstance(what, list):
            return does[what[0]](*map(run, what[1:]))
        return values[what] if isinstance(what, str) else what

    program = build.program(study)
    for one in (*study.forward, *study.backward):
        values[one.name] = run(program[one.name]) if one.formula else array(one.value)
        np.testing.assert_allclose(values[one.name], array(one.value), **SAME)


def test_it_asks_nothing_of_any_network() -> None:
    page = example("batch_norm").trace().html(what_ifs("batch_norm"))
    addresses = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+[^\s\"'\\]*", page))
    assert addresses <= {"http://www.w3.org/1998/Math/MathML"}  # a name, which nobody asks for
    assert "default-src 'none'" in page
    assert not re.search(r"@import|url\((?!#)|\bfetch\(|XMLHttpRequest|WebSocket|\bsrc=", page)


def test_hostile_names_stay_text() -> None:
    study = example("batch_norm").trace()
    study.title = HOSTILE
    study.notes.append(HOSTILE)
    study.forward[0].says = HOSTILE
    page = study.html()
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "\u2028" not in re.search(r"<script.*", page, re.S)[0]  # type: ignore[index]
    found = data_of(page)["study"]
    assert found["title"] == found["notes"][-1] == HOSTILE
    assert "<img" not in study._repr_html_()
    study.forward[0].name = study.forward[0].gradient_name = HOSTILE
    assert "<img" not in svg(study, "a")


def test_a_function_and_what_is_not_finite() -> None:
    x = tn.tensor([[1.0, float("nan")], [float("inf"), -2.0]])
    study = tn.study.trace(lambda x, w: (x @ w).relu().sum(), x, tn.ones(2, 2))
    page = study.html()
    assert "infinite" in page
    assert data_of(page)["study"]["forward"][0]["value"] == [[1.0, "NaN"], ["Infinity", -2.0]]
    assert data_of(page)["program"] is None


def test_frames_do_not_mix() -> None:
    frame = example("rms_norm").trace()._repr_html_()
    assert frame.startswith("<iframe ")
    assert frame.count("<") == 2


def test_the_graph_shows_every_value_and_its_edges() -> None:
    study = tn.study.trace(nn.BatchNorm1d(3), tn.randn(4, 3))
    page = study.html()
    shown = re.findall(r'data-node="(\w+)"', page)
    assert shown == [one.name for one in study.forward if one.role != "constant"]
    edges = re.findall(r'class="edge" data-from="(\w+)" data-to="(\w+)"', page)
    assert ("xmu", "xhat") in edges
    assert ("n", "mu") not in edges
    assert set(re.findall(r'<marker id="([\w-]+)"', page)) == {
        "study-end", "study-lit", "study-back", "study-bad"}


def test_places_of_nodes() -> None:
    """The longest way is straight, no two nodes overlap."""
    edges = [("x", "a"), ("a", "b"), ("x", "b"), ("w", "b"), ("a", "side"), ("v", "side")]
    where = placed(dict.fromkeys(("x", "w", "v", "a", "b", "side"), 60.0), edges)
    assert where.y["x"] == where.y["a"] == where.y["b"]
    assert where.x["x"] < where.x["a"] < where.x["b"]
    assert where.x["w"] == where.x["a"]
    spots = [(where.x[name], where.y[name]) for name in where.x]
    for i, (x, y) in enumerate(spots):
        assert 0 < x < where.width
        assert 0 < y < where.height
        assert all(abs(x - u) > 60 or abs(y - v) >= 50 for u, v in spots[:i])
    assert len(where.edges["x", "b"]) == 3  # it goes around a


def test_a_line_goes_straight_past_the_widest_of_a_column() -> None:
    edges = [("x", "a"), ("a", "b"), ("b", "c"), ("v", "a"), ("v", "c"), ("a", "side"), ("a", "r")]
    widths = {**dict.fromkeys(("x", "v", "a", "b", "c", "r"), 60.0), "side": 150.0}
    where = placed(widths, edges)
    assert where.edges["a", "r"][1:] == [
        (where.x["r"] - 75, where.y["r"]), (where.x["r"], where.y["r"])]
    _, *passing, _ = where.edges["v", "c"]
    inside = [(x, y) for x, y in passing if abs(x - where.x["side"]) <= 75]
    assert [x - where.x["side"] for x, _ in inside] == [-75, 75]
    assert inside[0][1] == inside[1][1]
    assert abs(inside[0][1] - where.y["side"]) > 22


def test_the_way_of_x_is_straight_also_in_eval() -> None:
    """The statistics are given there, and their way to xhat is longer than that of x."""
    edges = [("x", "xmu"), ("mean", "xmu"), ("var", "sqrt"), ("sqrt", "ivar"), ("xmu", "xhat"),
             ("ivar", "xhat")]
    where = placed(dict.fromkeys(("x", "mean", "var", "xmu", "sqrt", "ivar", "xhat"), 60.0), edges)
    assert where.y["x"] == where.y["xmu"] == where.y["xhat"] < where.y["mean"]
    assert {y for _, y in where.edges["xmu", "xhat"]} == {where.y["x"]}
    assert min(where.y["sqrt"], where.y["ivar"]) > where.y["x"] + 40


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "study.html"
    assert main(["study", "batch_norm", "--out", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    found = data_of(target.read_text(encoding="utf-8"))
    assert found["study"]["kind"] == "batch_norm"
    assert [one["name"] for one in found["cases"]][:3] == [
        "batch of 2", "constant feature", "gamma = 0"]
    assert list(tmp_path.iterdir()) == [target]
    assert main(["study", "layer_norm", "--rows", "3", "--out", str(target), "--text"]) == 0
    assert "LayerNorm" in capsys.readouterr().out
    found = data_of(target.read_text(encoding="utf-8"))
    assert found["study"]["arrangement"]["shape"] == [3, 4]
    assert found["cases"][0]["name"] == "2 features"  # of these very rows
    for more in (["--eval"], ["--rows", "65"]):
        assert main(["study", "batch_norm", *more, "--out", str(target)]) == 0
        assert data_of(target.read_text(encoding="utf-8"))["cases"] == []


def own_layer(kind: str) -> tuple[nn.Module, Any]:
    x = tn.randn(4, 6, 5) if kind == "instance_norm" else tn.randn(4, 6)
    layers = {"batch_norm": nn.BatchNorm1d(6, eps=1e-3), "batch_renorm": nn.BatchRenorm1d(6),
              "layer_norm": nn.LayerNorm(6), "instance_norm": nn.InstanceNorm1d(6),
              "group_norm": nn.GroupNorm(3, 6), "rms_norm": nn.RMSNorm(6)}
    return layers[kind], x


@pytest.mark.parametrize("kind", KINDS)
def test_what_ifs_of_a_layer_of_ones_own(kind: str) -> None:
    layer, x = own_layer(kind)
    before = {name: value.array.copy() for name, value in layer.state_dict().items()}
    study = tn.study.trace(layer, x)
    cases = {one.name: one for one in what_ifs(layer, x)}
    assert list(cases)[0 if kind == "group_norm" else slice(2)] == {
        "batch_norm": ["batch of 2", "constant feature"],
        "batch_renorm": ["batch of 2", "constant feature"],
        "instance_norm": ["2 positions", "constant channel"], "group_norm": "constant group",
        "layer_norm": ["2 features", "constant sample"],
        "rms_norm": ["2 features", "zero sample"]}[kind]
    found = data_of(study.html(list(cases.values())))
    by_name = {one["name"]: one for one in found["cases"]}
    for name, case in cases.items():
        assert name[:3] == "eps" or case.layer.eps == study.arrangement.eps
        own = x.array[tuple(map(slice, case.x.shape))]
        changed = (case.x.array != own).sum()
        whole = name.startswith(("constant", "zero"))
        assert changed == (case.trace().arrangement.n if whole else 0)
        assert name in by_name or case.trace().json() == study.json()
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])
    assert ("gamma = 0" in cases) == (getattr(layer, "weight", None) is not None)


def test_what_ifs_where_there_are_none() -> None:
    layer = nn.BatchNorm1d(3)
    assert what_ifs(layer.eval(), tn.randn(4, 3)) == []
    assert what_ifs(nn.LazyBatchNorm1d(), tn.randn(4, 3))[0].name == "batch of 2"
    already = what_ifs(nn.BatchNorm1d(3), tn.randn(2, 3))
    assert already[0].name == "constant feature"
    for what, x, message in (
            (nn.Linear(3, 3), tn.randn(4, 3), r"a layer of these kinds and its x, got Linear"),
            (layer, None, r"expected the layer and its x, got BatchNorm1d.* alone"),
            (3, tn.randn(4, 3), "kinds and its x, got 3")):
        with pytest.raises(TypeError, match=message):
            what_ifs(what, x)  # type: ignore[arg-type]


def test_gradients_that_stand_twice_go_into_a_case_once() -> None:
    data = build.numbers(example("group_norm").trace())
    short = build.shared(data)
    assert short["constant_statistics"]["right"] == {"same": "dx", "shape": [2, 4, 3]}
    assert short["backward"] == data["backward"]
    by_name = {one["name"]: one["value"] for one in data["backward"]}

    def full(one: Any) -> Any:
        if isinstance(one, dict) and "same" in one:
            return np.reshape(by_name[one["same"]], one["shape"]).tolist()
        if isinstance(one, dict):
            return {key: full(value) for key, value in one.items()}
        return [full(value) for value in one] if isinstance(one, list) else one

    assert full(short) == data


def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "study.html"
    target.write_text("before")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        example("rms_norm").trace().save(target)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
