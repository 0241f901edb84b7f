"""What is measured on demand: values, gradients, NaN and Inf, bytes, dtypes, names."""

import numpy as np
import pytest
from viz_case import MLP, Normed, Shift, draws, edge, leaf, names, texts

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.autograd import Function
from tinygrad_norm.autograd.walk import reachable
from tinygrad_norm.viz.measures import SHOW, written_bytes
from tinygrad_norm.viz.values import Values


def traced(y, params=None, **options):
    return viz.graph(y, params, **options).graph


# -- values ----------------------------------------------------------------------------------------


def test_values_of_every_edge(device):
    model = MLP().to(device=device)
    x = tn.randn(5, 4, device=device)
    loss = model(x).square().mean()
    graph = traced(loss, {**dict(model.named_parameters()), "x": x}, show="values")
    h = model.fc1(x)
    expected = {("x", "linear"): x, ("fc1.weight", "linear"): model.fc1.weight,
                ("linear", "relu"): h, ("linear", "square"): model(x),
                ("square", "mean"): model(x).square(), ("mean", "output"): loss}
    for (source, target), value in expected.items():
        measured = edge(graph, source, target).attributes
        array = np.array(value.tolist())
        assert measured["mean"] == pytest.approx(array.mean(), rel=1e-6)
        assert measured["std"] == pytest.approx(array.std(), rel=1e-6)
        assert measured["dtype"] == "float32"
    assert all("mean" in e.attributes for e in graph.edges)


@pytest.mark.parametrize("make", [
    lambda a, b: (a * b).exp().sum(), lambda a, b: (a[1:] + b.T.reshape(3, 2)[:1, 1]).sum(),
    lambda a, b: tn.cat([a, b]).softmax(1).max(), lambda a, b: nn.functional.gelu(a @ b.T).mean(),
    lambda a, b: nn.functional.layer_norm(a, (3,), b[0], b[1]).sum(),
    lambda a, b: tn.einsum("ij,kj->ik", a, b).cumsum(0).prod(),
    lambda a, b: a.clamp(0).div(3).pow(b.abs()).var(),
    lambda a, b: (a.relu() + b).mul(np.float32(2)).sum(),
])
def test_each_value_is_the_one_that_was(make):
    """Every operation is computed again from what the records hold, and agrees."""
    a, b = tn.randn(2, 3, requires_grad=True), tn.randn(2, 3, requires_grad=True)
    y = make(a, b)
    values = Values(reachable([y.edge])[::-1])
    node, i = y.edge
    np.testing.assert_array_equal(values.made(node, i), y.array)


def test_what_is_not_known_is_not_told():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return dy * 2

    x = leaf(3)
    graph = traced(Double.apply(x).relu().neg().sum(), show=["values", "dtypes"])
    assert edge(graph, "input", "Double").attributes["mean"] == 1
    assert "mean" not in edge(graph, "Double", "relu").attributes
    assert edge(graph, "relu", "neg").attributes["mean"] == 2  # relu keeps its result
    assert edge(graph, "neg", "sum").attributes["mean"] == -2
    graph = traced((x * tn.ones(3)).sum() + np.ones(1, dtype="f4").sum(), show="values")
    assert edge(graph, "sum", "add").attributes["mean"] == 3


def test_what_was_changed_since_is_not_told():
    w = leaf(3)
    y = (w + 1).sum()
    with tn.no_grad():
        w.mul_(5)
    graph = traced(y, {"w": w}, show="values")
    assert "mean" not in edge(graph, "w", "add").attributes
    assert "mean" not in edge(graph, "add", "sum").attributes
    assert edge(graph, "sum", "output").attributes["mean"] == 6


def test_integers_and_empty_tensors_have_no_mean():
    x = tn.randn(2, 3, requires_grad=True)
    labels = tn.tensor([0, 2])
    y = nn.functional.cross_entropy(x, labels)
    found = [e.attributes for e in traced(y, show="values").edges]
    assert {"dtype": "int64"} in found
    del labels  # nothing keeps it now
    assert {} in [e.attributes for e in traced(y, show="values").edges]
    empty = tn.zeros(0, requires_grad=True)
    assert edge(traced(empty.sum(), show="values"), "input", "sum").attributes == {
        "dtype": "float32"}


def test_values_of_the_backward_pass():
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    graph = traced((w * w * w).sum(), {"w": w}, view="both", show="values")
    end = edge(graph, "add", "d w").attributes
    assert (end["mean"], end["std"]) == (7.5, 4.5)  # 3 w² = 3, 12
    assert all("mean" in e.attributes for e in graph.edges)


# -- gradients -------------------------------------------------------------------------------------


def test_gradients_as_they_flow():
    w = tn.tensor([3.0, 4.0], requires_grad=True)
    graph = traced((w.square() * 0.5).sum() + w.sum(), {"w": w}, show="gradients")
    norms = {(graph.nodes[e.source].name, graph.nodes[e.target].name): e.attributes["gradient"]
             for e in graph.edges}
    assert norms == pytest.approx({
        ("w", "square"): 5, ("square", "mul"): 0.5**0.5, ("mul", "sum"): 2**0.5,
        ("sum", "add"): 1, ("w", "sum"): 2**0.5, ("add", "output"): 1})


def test_gradients_are_width_and_colour():
    x = tn.tensor([1.0], requires_grad=True)
    dot = viz.graph((x * 100 * 1e-9).sum(), show="gradients").dot
    assert "norm of the gradient, 0.0001 to 1" in dot  # of 1e-7 it says no more than 1e-4
    assert 'color="#8fb0d3" penwidth=0.60' in dot
    assert 'color="#0d2a5c" penwidth=4.00' in dot
    assert "‖grad‖ 1e-07" in dot
    alike = viz.graph(x.neg().sum(), show="gradients").dot
    assert "penwidth=4.00" in alike
    nothing = viz.graph((x * 0).sum().mul(0), show="gradients").dot
    assert "‖grad‖ 0" in nothing


def test_no_gradients_flow_to_constants():
    model, x = MLP(), tn.ones(5, 4)
    graph = traced(model(x).sum(), {**dict(model.named_parameters()), "x": x}, show="gradients")
    assert "gradient" not in edge(graph, "x", "linear").attributes


# -- NaN and Inf -----------------------------------------------------------------------------------


def test_where_nan_comes_from_and_goes():
    x = tn.tensor([-1.0, 1.0], requires_grad=True)
    w = leaf(2)
    with np.errstate(invalid="ignore"):
        y = (x.exp().sub(1).log() * w).sum()
    picture = viz.graph(y, {"w": w}, show=["nonfinite"])
    marks = {n.name: n.attributes.get("nonfinite") for n in picture.graph.nodes}
    assert marks == {"input": None, "exp": None, "sub": None, "log": "origin", "w": None,
                     "mul": "path", "sum": "path", "output": "path"}
    red = [line for line in picture.dot.splitlines() if "#c81e1e" in line]
    assert len(red) == 4 + 3
    assert sum("not finite from here on" in line for line in red) == 1
    assert sum("NaN" in line for line in red) == 3


def test_inf_in_a_leaf_and_in_the_gradient():
    x = tn.tensor([float("inf"), 1.0], requires_grad=True)
    graph = traced(x.relu().sum(), {"x": x}, show="nonfinite")
    assert edge(graph, "x", "relu").attributes["nonfinite"] == "inf"
    assert graph.nodes[0].attributes["nonfinite"] == "origin"
    z = tn.tensor([0.0], requires_grad=True)
    picture = viz.graph(z.sqrt().sum(), show=["nonfinite", "gradients"])
    attributes = edge(picture.graph, "input", "sqrt").attributes
    assert attributes["nonfinite_gradient"] == "inf"
    assert attributes["gradient"] == float("inf")
    assert "‖grad‖ inf" in picture.dot
    assert '"inf"' in picture.json


def test_a_box_tells_of_nan_inside():
    class Bad(nn.Module):
        def forward(self, x):
            return x.log().mul(2)

    with np.errstate(invalid="ignore"):
        y = Bad()(tn.tensor([-1.0], requires_grad=True))
    graph = traced(y, show="nonfinite", depth=0)
    assert graph.of_kind("box")[0].attributes["nonfinite"] == "origin"


# -- bytes, names, dtypes, counts ------------------------------------------------------------------


def test_saved_bytes():
    x, w = tn.randn(10, 3), tn.randn(3, requires_grad=True)
    y = (x * w).exp()
    graph = traced(y.sum(), {"w": w}, show="saved")
    saved = {n.name: n.attributes.get("saved") for n in graph.of_kind("op")}
    assert saved == {"mul": 120, "exp": 120, "sum": 0}
    assert graph.attributes["saved"] == 240
    assert "saved for the backward pass: 240 B" in viz.graph(y.sum(), show="saved").dot


def test_saved_bytes_count_once():
    w = tn.randn(100, requires_grad=True)
    y = w.exp()
    graph = traced((y * y).sum() + (w * 2).sum(), show="saved")
    assert graph.attributes["saved"] == 400  # the result of exp; w is there anyway
    y.sum().backward()
    assert traced(y.sum() + 0, show="saved").attributes["saved"] == 0  # freed


def test_saved_by_a_users_function():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x * 1)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return dy * 2 * ctx.saved_tensors[0]

    assert traced(Square.apply(leaf(5)), show="saved").attributes["saved"] == 20


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (3 * 1024**2, "3 MiB"),
    (1024**5, "1.02e+03 TiB")])
def test_written_bytes(count, text):
    assert written_bytes(count) == text


def test_dotted_names_on_edges():
    model = Normed()
    picture = viz.graph(model(tn.randn(5, 3)).sum(), model, show=["names"])
    assert edge(picture.graph, "linear", "normalize").attributes["name"] == "fc"
    assert edge(picture.graph, "normalize", "linear").attributes["name"] == "bn"
    assert "label=<&#160;<b>fc</b>>" in picture.dot
    assert "(5, 4)" not in picture.dot  # shapes were not asked for


def test_dtypes_on_edges():
    x = tn.tensor([1.0, 2.0], dtype=tn.float64, requires_grad=True)
    dot = viz.graph(x.float().exp(), show=["shapes", "dtypes"]).dot
    assert "(2,) float64>" in dot
    assert "(2,) float32>" in dot


def test_numbers_of_parameters():
    model = Normed()
    dot = viz.graph(model(tn.randn(5, 3)).sum(), model, show="parameters").dot
    for text in ("Normed · 34 parameters", "<b>fc</b>&#160; Linear · 16 parameters",
                 'bn.weight<br/><font point-size="9" color="#52606d">4</font>'):
        assert text in dot


@draws
def test_all_of_it_is_drawn():
    model = Shift()
    picture = viz.graph(model(tn.randn(3, 4, requires_grad=True)).sum(), model, show="all")
    assert picture.graph.attributes["show"] == list(SHOW)
    said = " ".join(texts(picture.render("svg")))
    for text in ("(3, 4) float32", "‖grad‖", "±", "saves", "parameters"):
        assert text in said
    assert names(picture.graph, "parameter") == ["scale"]


def test_nothing_is_written():
    dot = viz.graph((leaf(2) * 2).sum(), show=()).dot
    assert '[label=""]' in dot
    assert "(2,)" not in dot


def test_unknown_thing_to_show():
    with pytest.raises(ValueError, match=r"expected show to be of shapes, names, .* got 'colour'"):
        viz.graph(leaf(2).relu(), show=["shapes", "colour"])


@pytest.mark.parametrize("name", ["show", "expand"])
def test_show_and_expand_are_names(name):
    with pytest.raises(TypeError, match=f"expected {name} to be a name or several, got None; "):
        viz.graph(leaf(2) * 2, **{name: None})
