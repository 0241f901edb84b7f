"""Fused operations opened into their steps."""

import numpy as np
import pytest
from viz_case import Normed, draws, edges, names, sound

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.ops import normalize as fused
from tinygrad_norm.viz.opened import FORMULAS

STEPS = ["mean", "sub", "square", "mean", "add", "sqrt", "div", "mul", "mul", "add"]


@pytest.mark.parametrize("expand", ["BatchNorm1d", "bn", "normalize", "all", ["bn", "out"]])
def test_a_norm_opened(expand):
    model = Normed()
    loss = model(tn.randn(5, 3)).sum()
    graph = viz.graph(loss, model, expand=expand).graph
    sound(graph)
    assert names(graph, "op") == ["linear", *STEPS, "linear", "sum"]
    (home,) = [i for i, c in enumerate(graph.clusters) if c.kind == "opened"]
    assert graph.clusters[home].type == "normalize"
    assert graph.clusters[graph.clusters[home].parent].name == "bn"
    assert [n.name for n in graph.nodes if n.cluster == home] == STEPS
    found = {e.output for e in graph.edges}
    assert found == {"", "mu", "xmu", "sq", "var", "sqrtvar", "ivar", "xhat", "gammax"}
    assert {e for e in edges(graph) if e[0].startswith("bn.")} == {
        ("bn.weight", "mul", (4,)), ("bn.bias", "add", (4,)),
        ("bn.running_mean", "add", (4,)), ("bn.running_var", "add", (4,)),
        ("bn.num_batches_tracked", "add", ())}


def test_nothing_else_is_opened():
    model = Normed()
    loss = model(tn.randn(5, 3)).sum()
    plain = viz.graph(loss, model).graph
    assert viz.graph(loss, model, expand="fc").graph == plain
    assert viz.graph(loss, model, expand=()).graph == plain


def test_several_norms_opened():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.LayerNorm(3), nn.RMSNorm(3),
                          nn.BatchNorm1d(3, affine=False))
    graph = viz.graph(model(tn.randn(5, 3, requires_grad=True)).sum(), model, expand="all").graph
    sound(graph)
    ops = names(graph, "op")
    assert ops == [*STEPS, *STEPS, *STEPS[2:9], *STEPS[:8], "sum"]
    one = viz.graph(model(tn.randn(5, 3, requires_grad=True)).sum(), model, expand="2").graph
    assert names(one, "op") == ["normalize", "normalize", *STEPS[2:9], "normalize", "sum"]


def test_opened_with_its_gradient():
    model = Normed()
    loss = model(tn.randn(5, 3)).sum()
    closed = viz.graph(loss, model, view="both").graph
    graph = viz.graph(loss, model, view="both", expand="bn").graph
    sound(graph)
    assert [n.name for n in graph.of_kind("box")] == []
    assert len(closed.of_kind("box")) == 1
    group = [c for c in graph.clusters if c.kind == "gradient" and c.type == "normalize"]
    assert len(group) == 1
    last = {graph.nodes[n.of].name for n in graph.of_kind("derivative")
            if graph.clusters[n.cluster].type == "normalize"}
    assert last == {"add"}  # beside the last step


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("shape", "axes"), [((6, 3), (0,)), ((6, 3), (-1,)), ((2, 4, 3), (0, 2))])
def test_the_steps_compute_what_the_operation_does(shape, axes, centred, affine, device):
    x = tn.randn(*shape, device=device, dtype=tn.float64)
    weight = tn.rand(*(x.sum(axes, keepdim=True).shape if 0 in axes else (shape[-1],)),
                     device=device, dtype=tn.float64) if affine else None
    if shape == (6, 3) and axes == (0,) and affine:
        weight = weight.reshape(3)
    settings = {"axes": axes, "centred": centred}
    y, _, mean, var = fused.normalize(x, weight, weight, eps=1e-3, **settings)
    steps = FORMULAS["normalize"](x, weight, weight, eps=1e-3, **settings)
    assert ("mu" in steps) is ("xmu" in steps) is centred
    expected = {"out" if affine else "xhat": y, "var": var}
    for name, value in (expected | ({"mu": mean, "xmu": x - mean} if centred else {})).items():
        assert steps[name].shape == value.shape
        np.testing.assert_allclose(steps[name].tolist(), value.tolist(), rtol=1e-13, atol=1e-15)
    parts = FORMULAS["moments"](x, **settings)
    np.testing.assert_allclose(parts["var"].tolist(), fused.moments(x, **settings)[2].tolist())


def test_its_other_results_are_steps():
    x = tn.randn(5, 3, requires_grad=True)
    _, rest, mean, var = fused.normalize(x, None, None, axes=(0,), eps=1e-5, centred=True)
    graph = viz.graph(rest.sum() + mean.sum() + var.sum(), expand="all").graph
    sound(graph)
    into = {e.output: graph.nodes[e.source].name for e in graph.edges
            if graph.nodes[e.target].name == "sum"}
    assert into == {"rest": "mean", "mean": "mean", "var": "mean"}


def test_moments_opened():
    x = tn.randn(5, 3, requires_grad=True)
    xc, mean, var = fused.moments(x, axes=(0,), centred=True)
    graph = viz.graph(xc.sum() + mean.sum() + var.sum(), expand="moments").graph
    sound(graph)
    assert names(graph, "op")[:4] == ["mean", "sub", "square", "mean"]
    assert [graph.nodes[e.source].name for e in graph.edges
            if graph.nodes[e.target].name == "sum"] == ["sub", "mean", "mean"]


def test_what_is_not_centred_hands_its_input_through():
    norm, w = nn.RMSNorm(3), tn.randn(5, 3, requires_grad=True)
    graph = viz.graph(norm(w.exp()).sum(), norm, view="both", expand="all").graph
    sound(graph)
    group = {i for i, c in enumerate(graph.clusters) if c.type == "normalize"
             and c.kind == "gradient"}
    used = {graph.nodes[e.source].name for e in graph.edges
            if e.kind == "uses" and graph.nodes[e.target].cluster in group}
    assert used == {"exp", "mean", "weight"}


def test_eps_may_be_of_each_mean(device):
    """Where asking for the size of the values would make a device wait."""
    model = Normed().to(device=device)
    picture = viz.graph(model(tn.randn(5, 3, device=device)).sum(), model, expand="all",
                        view="both", show="all")
    sound(picture.graph)
    eps = [n for n in picture.graph.of_kind("input") if n.name == "eps"]
    assert len(eps) == (0 if device in ("cpu", "compiled") else 1)  # these answer
    assert picture.dot


def test_values_of_the_steps():
    model = Normed()
    x = tn.randn(50, 3)
    graph = viz.graph(model(x).sum(), model, expand="bn", show="values").graph
    h = model.fc(x).tolist()
    (mu,) = [e for e in graph.edges if e.output == "mu"]
    assert mu.attributes["mean"] == pytest.approx(np.mean(h), abs=1e-6)
    hats = [e.attributes for e in graph.edges if e.output == "xhat"]
    assert hats[0]["mean"] == pytest.approx(0, abs=1e-6)
    assert hats[0]["std"] == pytest.approx(1, abs=1e-3)


@draws
def test_opened_is_drawn(tmp_path):
    model = Normed()
    path = viz.graph(model(tn.randn(5, 3)).sum(), model, expand="all", show="all",
                     view="both").save(tmp_path / "x.pdf")
    assert path.stat().st_size > 1000


def test_unknown_name():
    model = Normed()
    with pytest.raises(ValueError, match="expand='conv': no operation or module of that name or "
                                         "class is in the graph; there are BatchNorm1d, Linear"):
        viz.graph(model(tn.randn(5, 3)).sum(), model, expand="conv")
