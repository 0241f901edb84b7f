"""The backward pass as a graph: its operations, whose they are; running it changes nothing."""

import numpy as np
import pytest
from viz_case import MLP, Chain, Normed, Shift, draws, edges, leaf, names, sound

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.autograd import Function
from tinygrad_norm.autograd.walk import reachable
from tinygrad_norm.proof.catalogue import ENTRIES
from tinygrad_norm.viz.reverse import Walk


def groups(graph):
    """The operations of each group: ``{"mul": ["mul", "mul"]}``."""
    found = {}
    for node in graph.nodes:
        if node.kind == "derivative":
            found.setdefault(graph.nodes[node.of].name, []).append(node.name)
    return found


# -- the walk --------------------------------------------------------------------------------------

CASES = {
    "shared": lambda a, b: ((a * b + a) * a.sum()).sum(),
    "broadcast": lambda a, b: (a + b[0]).square().mean(),
    "views": lambda a, b: (a.reshape(6)[1:5] * b.T.reshape(6)[:4]).sum(),
    "products": lambda a, b: (a @ b.T).exp().sum(),
    "choices": lambda a, b: tn.where(a > b, a.relu(), b.abs()).max(),
    "norm": lambda a, b: nn.functional.layer_norm(a * b, (3,)).square().sum(),
    "loss": lambda a, b: nn.functional.cross_entropy(a * b, tn.tensor([0, 2], device=a.device)),
    "many": lambda a, b: a * b,
    "leaf": lambda a, b: a,
}


@pytest.mark.parametrize("name", CASES)
def test_the_gradients_are_the_engines(name, device):
    a, b = (tn.randn(2, 3, device=device, requires_grad=True) for _ in range(2))
    y = CASES[name](a, b)
    walk = Walk(y)
    expected = tn.autograd.grad(y, [a, b], tn.ones_like(y), retain_graph=True, allow_unused=True)
    for leaf_, gradient in zip((a, b), expected, strict=True):
        if gradient is None:
            assert leaf_ not in walk.gradients
        elif name == "norm" and device in ("compiled", "cuda"):  # as loops: in fewer passes
            np.testing.assert_allclose(walk.gradients[leaf_].tolist(), gradient.tolist(),
                                       rtol=1e-5, atol=2e-6)
        else:
            assert walk.gradients[leaf_].tolist() == gradient.tolist()


def test_a_models_gradients_are_the_engines():
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Dropout(0.5),
                          nn.LayerNorm(5), nn.Linear(5, 4))
    y = model(tn.randn(3, 6)).square().sum()
    walk = Walk(y)
    y.backward()
    for parameter in model.parameters():
        assert walk.gradients[parameter].tolist() == parameter.grad.tolist()


# -- the graph -------------------------------------------------------------------------------------


def test_an_operation_and_its_gradient():
    a, b = leaf(2), leaf(2)
    graph = viz.graph((a * b).sum(), {"a": a, "b": b}, view="both").graph
    sound(graph)
    assert groups(graph) == {"mul": ["mul", "mul"], "sum": ["reshape", "expand"]}
    assert [(c.kind, c.type) for c in graph.clusters] == [("gradient", "sum"), ("gradient", "mul")]
    ends = {graph.nodes[n.of].name: n.name for n in graph.nodes if n.kind in ("seed", "grad")}
    assert ends == {"output": "d output", "a": "d a", "b": "d b"}
    read = {(graph.nodes[e.source].name, e.shape) for e in graph.edges if e.kind == "uses"}
    assert read == {("a", (2,)), ("b", (2,))}


def test_where_gradients_meet_the_sum_is_the_values():
    w = leaf(2)
    graph = viz.graph((w * w + w.exp()).sum(), {"w": w}, view="both").graph
    assert groups(graph)["w"] == ["add", "add"]
    assert groups(graph)["exp"] == ["mul"]
    assert "add" not in [graph.nodes[n.of].name for n in graph.of_kind("derivative")]


def test_broadcasting_undone_belongs_to_the_operation():
    model = nn.Linear(3, 2)
    graph = viz.graph(model(leaf(4, 3)).sum(), model, view="both").graph
    assert sorted(groups(graph)["linear"]) == ["matmul", "matmul", "permute", "sum"]


def test_derivatives_lie_in_the_module_of_their_operation():
    model = MLP()
    graph = viz.graph(model(tn.ones(5, 4)).sum(), model, view="both").graph
    sound(graph)
    for node in graph.of_kind("derivative"):
        group = graph.clusters[node.cluster]
        assert group.kind == "gradient"
        assert group.parent == graph.nodes[node.of].cluster
    for node in graph.of_kind("grad"):
        assert node.cluster == graph.nodes[node.of].cluster


def test_constants_that_a_rule_reads_are_those_of_the_forward_pass():
    model, x = MLP(), tn.ones(5, 4)
    graph = viz.graph(model(x).sum(), {**dict(model.named_parameters()), "x": x},
                      view="both").graph
    (used,) = [e for e in graph.edges if graph.nodes[e.source].name == "x" and e.kind == "uses"]
    assert graph.nodes[used.target].name == "matmul"
    masks = [n for n in graph.of_kind("input") if n.name == "keep"]
    assert [graph.clusters[n.cluster].type for n in masks] == ["relu"]
    buffers = Shift()
    graph = viz.graph(buffers(leaf(2, 4)).sum(), buffers, view="both").graph
    sound(graph)


def test_backward_alone():
    model = Normed()
    graph = viz.graph(model(tn.randn(5, 3)).sum(), model, view="backward").graph
    sound(graph)
    assert not graph.of_kind("op")
    assert not graph.of_kind("output")
    assert not graph.of_kind("buffer")
    assert sorted(names(graph, "grad")) == sorted(f"d {n}" for n, _ in model.named_parameters())
    assert names(graph, "saved") == ["linear", "normalize"]
    assert {e.output for e in graph.edges if graph.nodes[e.source].kind == "saved"} == {
        "", "rest", "mean", "var"}
    assert names(graph, "seed") == ["d output"]
    (box,) = graph.of_kind("box")
    assert (box.attributes["type"], box.attributes["backward"]) == ("normalize", True)
    opened = viz.graph(model(tn.randn(5, 3)).sum(), model, view="backward", expand="bn").graph
    assert not opened.of_kind("box")
    assert len(opened.of_kind("derivative")) == (
        len(graph.of_kind("derivative")) + box.attributes["operations"])


def test_a_users_function():
    class Scale(Function):
        @staticmethod
        def forward(ctx, x, factor):
            ctx.save_for_backward(factor)
            return x * factor

        @staticmethod
        def backward(ctx, dy):
            (factor,) = ctx.saved_tensors
            return dy * factor, None

    factor = tn.ones(2)
    graph = viz.graph(Scale.apply(leaf(2), factor), {"f": factor}, view="both").graph
    sound(graph)
    assert groups(graph) == {"Scale": ["mul"]}
    assert ("b", "mul", (2,)) in edges(graph)  # what it saved is a tensor of its own


def test_a_users_function_in_the_backward_of_another():
    """Its inputs have no names: a constant among them is an input."""
    class Masked(Function):
        @staticmethod
        def forward(ctx, dy, mask):
            return dy * mask

        @staticmethod
        def backward(ctx, g):
            return g, None

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, dy):
            return Masked.apply(dy, np.ones(2, np.float32))

    graph = viz.graph(Double.apply(leaf(2)), view="both").graph
    sound(graph)
    assert groups(graph) == {"Double": ["Masked"]}
    assert edges(graph)[-3:] == [
        ("d output", "Masked", (2,)), ("input", "Masked", (2,)), ("Masked", "d input", (2,))]


def test_a_leaf_alone():
    w = leaf(2)
    graph = viz.graph(w, {"w": w}, view="both").graph
    assert edges(graph) == [("w", "output", (2,)), ("d output", "d w", (2,))]


# -- nothing changes -------------------------------------------------------------------------------


def test_running_it_changes_nothing():
    model = Chain(Shift(), nn.BatchNorm1d(4), nn.Dropout(0.5), MLP())
    x = tn.randn(6, 4)
    called = []
    next(model.parameters()).register_hook(called.append)
    h = model(x)
    h.register_hook(called.append)
    h.retain_grad()
    loss = h.square().sum()
    tn.manual_seed(3)
    expected = tn.rand(3).tolist()
    tn.manual_seed(3)
    state = {name: (t.tolist(), t.written[0], t.grad) for name, t in
             [*model.named_parameters(), *model.named_buffers()]}
    nodes = [(node, dict(vars(node)), node.saved) for node in reachable([loss.edge])]
    viz.graph(loss, model, view="both", show="all", expand="all", fold=True)
    assert tn.rand(3).tolist() == expected
    for name, t in [*model.named_parameters(), *model.named_buffers()]:
        assert (t.tolist(), t.written[0], t.grad) == state[name]
    assert not called
    assert h.grad is None
    for node, extra, saved in nodes:
        assert vars(node) == extra
        assert node.saved is saved
    assert tn.is_grad_enabled()
    loss.backward()
    assert len(called) == 2


def test_within_no_grad_and_anomaly():
    w = tn.tensor([-1.0, 2.0], requires_grad=True)
    with np.errstate(invalid="ignore"):
        y = w.log().sum()
    with tn.no_grad(), tn.autograd.detect_anomaly():
        graph = viz.graph(y, {"w": w}, view="both", show="all").graph
    assert names(graph, "grad") == ["d w"]


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
@pytest.mark.parametrize("expand", [(), "all"], ids=["closed", "opened"])
def test_every_normalization(entry, expand):
    """Its graph is sound, its gradients are the engine's, its statistics stay."""
    layer = entry.make(affine=True)
    x, *others = map(tn.tensor, entry.inputs(np.random.default_rng(0)))
    x = x.to(next(layer.parameters(), x).dtype).requires_grad_()
    y = layer(x, *(other.to(x.dtype) if other.dtype == tn.float64 else other for other in others))
    state = {name: value.tolist() for name, value in layer.state_dict().items()}
    graph = viz.graph(y, layer, view="both", show="all", expand=expand).graph
    sound(graph)
    assert {name: value.tolist() for name, value in layer.state_dict().items()} == state
    if expand:
        assert not {"normalize", "moments"} & set(names(graph, "op"))
    walk = Walk(y)
    y.backward(tn.ones_like(y))
    assert walk.gradients[x].tolist() == x.grad.tolist()


@draws
def test_both_is_drawn(tmp_path):
    model = Normed()
    drawing = viz.graph(model(tn.randn(5, 3)).sum(), model, view="both")
    assert drawing.save(tmp_path / "x.svg").stat().st_size > 1000
    assert repr(drawing).startswith("<Picture of 4 operations, 9 operations backward, 1 box, 6 ")


def test_exact_text_of_both():
    w = leaf(2)
    lines = viz.graph(w.exp(), {"w": w}, view="both").dot.splitlines()
    brown = 'color="#8a4b08"'
    assert lines[1].endswith("newrank=true]")
    assert lines[4:] == [
        '  n0 [label=<w> shape=box style=filled fillcolor="#d6e4f5" color="#2f5d92"]',
        '  n1 [label=<<b>exp</b>> shape=box style="rounded,filled" fillcolor="#ffffff" '
        'color="#52606d"]',
        '  n2 [label=<<b>output</b>> shape=box style="rounded,filled" fillcolor="#3b4754" '
        'color="#1f2933" fontcolor="#ffffff"]',
        '  n3 [label=<<b>d output</b>> shape=box style="rounded,filled" fillcolor="#8a4b08" '
        'color="#5c3205" fontcolor="#ffffff"]',
        f'  n5 [label=<d w> shape=box style=filled fillcolor="#f6d9ae" {brown}]',
        "  subgraph cluster_0 {",
        f'    graph [label="" style="rounded,dashed" {brown} fontcolor="#8a4b08" margin=10]',
        '    n4 [label=<<b>mul</b><br/><font point-size="9" color="#52606d">gradient of exp'
        f'</font>> shape=box style="rounded,filled" fillcolor="#fdf3e4" {brown}]',
        "  }",
        "  n0 -> n1 [label=<&#160;(2,)>]",
        "  n1 -> n2 [label=<&#160;(2,)> weight=10]",
        f"  n4 -> n3 [label=<&#160;(2,)> {brown} fontcolor=\"#8a4b08\" dir=back weight=4]",
        '  n1 -> n4 [label="" constraint=false arrowsize=0.4 style=dotted color="#9aa5b1"]',
        f"  n5 -> n4 [label=<&#160;(2,)> {brown} fontcolor=\"#8a4b08\" dir=back weight=4]",
        "  { rank=same; n2; n3 }",
        "  { rank=same; n1; n4 }",
        "  { rank=same; n0; n5 }",
        '  graph [label=<brown: the backward pass<br align="left"/>thin dots: a value of the '
        'forward pass that the backward reads<br align="left"/>> labelloc=b]',
        "}",
    ]


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"view": "both"}, {"view": "backward"},
                                     {"show": "gradients"}])
def test_after_backward(options):
    w = leaf(2)
    y = w.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"values of exp that a backward.* has freed; draw it"):
        viz.graph(y, **options)


def test_changed_in_place():
    w = leaf(2)
    y = w * 2
    z = y.square().sum()
    y.detach().zero_()
    with pytest.raises(RuntimeError, match="was modified by an inplace operation"):
        viz.graph(z, view="both")


def test_unknown_view():
    with pytest.raises(ValueError, match="expected view to be one of forward, backward, both, got"):
        viz.graph(leaf(2).relu(), view="up")
