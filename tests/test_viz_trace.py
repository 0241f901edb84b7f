"""Graphs: what is traced of a tensor and its modules; tracing changes nothing and keeps nothing."""

import gc
import weakref

import numpy as np
import pytest
from viz_case import MLP, Chain, ReLU, Same, Shift, draws, edges, leaf, names, paths

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.autograd import Function
from tinygrad_norm.nn.linear import Linear
from tinygrad_norm.nn.module import Buffer
from tinygrad_norm.viz.details import written


def test_operations_leaves_and_shapes():
    a, b = leaf(2, 3), leaf(3)
    graph = viz.trace((a * b).sum(), {"a": a})
    assert names(graph, "op") == ["mul", "sum"]
    assert names(graph, "parameter") == ["a"]
    assert names(graph, "input") == ["input"]
    assert edges(graph) == [("a", "mul", (2, 3)), ("input", "mul", (3,)), ("mul", "sum", (2, 3)),
                            ("sum", "output", ())]
    assert [e.operand for e in graph.edges] == [0, 1, 0, 0]
    assert {e.kind for e in graph.edges} == {"gradient"}


def test_square_has_two_parallel_edges():
    x = leaf(3)
    picture = viz.graph(x * x)
    assert edges(picture.graph)[:2] == [("input", "mul", (3,))] * 2
    assert picture.dot.count("n0 -> n1 ") == 2


def test_shared_nodes_are_drawn_once():
    y = leaf(2) * 0
    for _ in range(200):
        y = y + y
    graph = viz.trace(y)
    assert (len(graph.nodes), len(graph.edges)) == (203, 402)


def test_second_output_is_named():
    from tinygrad_norm.ops.normalize import normalize

    _, _, mean, _ = normalize(leaf(4, 3), None, None, axes=(0,), eps=1e-5, centred=True)
    graph = viz.trace(mean.sum())
    assert graph.edges[1].output == "mean"
    assert "mean (" in viz.graph(mean.sum()).dot


def test_a_leaf_alone():
    w = leaf(2)
    assert edges(viz.trace(w, {"w": w})) == [("w", "output", (2,))]


def test_modules_are_clusters_and_nest():
    model = Chain(MLP(), ReLU(), Same())
    graph = viz.trace(model(tn.ones(5, 4)).sum(), model)
    assert paths(graph) == ["Chain", "Chain/0", "Chain/0/0.fc1", "Chain/0/0.fc2", "Chain/1"]
    assert [c.type for c in graph.clusters] == ["Chain", "MLP", "Linear", "Linear", "ReLU"]
    where = {node.name: node.cluster for node in graph.nodes if node.kind == "parameter"}
    assert where == {"0.fc1.weight": 2, "0.fc1.bias": 2, "0.fc2.weight": 3, "0.fc2.bias": 3}
    ops = [(n.name, n.cluster) for n in graph.of_kind("op")]
    assert ops == [("linear", 2), ("relu", 1), ("linear", 3), ("relu", 4), ("sum", None)]


def test_a_module_called_twice():
    fc = Linear(3, 3)
    graph = viz.trace(fc(fc(leaf(2, 3))), {"w": fc.weight})
    assert [(c.type, c.parent, c.call) for c in graph.clusters] == [("Linear", None, 1),
                                                                    ("Linear", None, 2)]
    (weight,) = graph.of_kind("parameter")
    assert (weight.name, weight.cluster) == ("w", None)  # outside both calls that use it
    assert "(call 2)" in viz.graph(fc(fc(leaf(2, 3)))).dot


@pytest.mark.parametrize("given", ["module", "dict", "pairs", "state_dict", "nothing"])
def test_names_from(given):
    model = MLP()
    params = {"module": model, "dict": dict(model.named_parameters()), "nothing": None,
              "pairs": model.named_parameters(), "state_dict": model.state_dict()}[given]
    graph = viz.trace(model(tn.ones(5, 4)), params)
    assert names(graph, "parameter") == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    assert paths(graph) == ["MLP", "MLP/fc1", "MLP/fc2"]


def test_only_what_is_named_is_a_parameter():
    model = MLP()
    graph = viz.trace(model(tn.ones(5, 4)), {"first": model.fc1.weight})
    assert names(graph, "parameter") == ["first"]
    assert len([n for n in graph.of_kind("input") if n.cluster is None]) >= 3


def test_a_leaf_in_a_parameters_memory_is_another():
    w = leaf(3)
    copy = w.detach().requires_grad_()
    graph = viz.trace(w * copy, {"w": w})
    assert (names(graph, "parameter"), names(graph, "input")) == (["w"], ["input"])


def test_held_buffers():
    model = Shift()
    graph = viz.trace(model(leaf(2, 4)), model)
    assert "count" in names(graph, "buffer")
    (state,) = [e for e in graph.edges if graph.nodes[e.source].name == "count"]
    assert (state.kind, state.shape, graph.nodes[state.source].cluster) == ("state", (), 0)
    assert graph.nodes[state.target].name == "mul"


def test_kinds_are_told_apart():
    model = Shift()
    x = tn.ones(2, 4)
    graph = viz.trace(model(x * leaf(4)).sum(), model)
    assert names(graph, "parameter") == ["scale"]
    assert names(graph, "buffer") == ["mean", "count"]
    assert names(graph, "input") == ["input", "input"]
    kinds = {(graph.nodes[e.source].kind, e.kind) for e in graph.edges}
    assert kinds == {("input", "gradient"), ("input", "constant"), ("buffer", "constant"),
                     ("buffer", "state"), ("parameter", "gradient"), ("op", "gradient")}


def test_constants():
    """One node for each tensor, dead or alive; a view of a buffer is that buffer."""
    w, x, mean = leaf(2, 2), tn.ones(2, 2), Buffer(tn.ones(2))
    y = w * x + x - mean.reshape(2, 1) + tn.ones(2, 2) + np.ones(2, dtype="f4") + x[0] + x[1]
    y.sum().backward()
    graph = viz.trace(y, {"w": w, "mean": mean})
    assert names(graph, "buffer") == ["mean"]
    assert names(graph, "input") == ["input"] * 5
    given = [(s, shape) for s, _, shape in edges(graph) if s in ("input", "mean")]
    assert given == [("input", (2, 2)), ("input", (2, 2)), ("mean", (2, 1)), ("input", (2, 2)),
                     ("input", (2,)), ("input", (2,)), ("input", (2,))]


def test_named_data_and_frozen_parameters():
    model = MLP().requires_grad_(False)
    x, w = tn.ones(5, 4), leaf(4)
    graph = viz.trace(model(x * w), {"x": x, "w": w})
    assert names(graph, "input")[0] == "x"
    for params in (model, dict(model.named_parameters())):
        graph = viz.trace(model(x * w), params)
        assert names(graph, "parameter") == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
        assert {e.kind for e in graph.edges if graph.nodes[e.source].kind == "parameter"} == {
            "constant"}


def test_numbers_stand_in_the_box():
    x = leaf(2)
    graph = viz.trace((x * 0.5 + 1 - 1e-5) ** 2)
    assert [n.details for n in graph.of_kind("op")] == [("b=0.5",), ("b=1",), ("b=1e-05",),
                                                        ("b=2",)]


def test_users_function():
    class Scale(Function):
        @staticmethod
        def forward(ctx, x, factor, mode, buffer):
            ctx.factor = factor
            return x * factor

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.factor, None, None, None

    buffer = Buffer(tn.ones(7))
    graph = viz.trace(Scale.apply(leaf(2), 3.0, "mode", buffer), {"b": buffer})
    assert edges(graph) == [("input", "Scale", (2,)), ("b", "Scale", (7,)),
                            ("Scale", "output", (2,))]
    assert graph.of_kind("op")[0].details == ("input 1=3",)


@pytest.mark.parametrize(("value", "text"), [
    (True, "True"), (3, "3"), (1e-5, "1e-05"), ("sum", "'sum'"), ((1, 2), "(1, 2)"),
    ((0,), "(0,)"), ([1] * 9, "(1, 1, 1, 1, 1, …)"), (slice(1, None), "1:"),
    (slice(None, 5, 2), ":5:2"), (..., "..."), (np.ones((2, 3)), "array (2, 3)"),
    (np.dtype("f4"), "float32"), (object(), "object"), ((None, 1), "(None, 1)"),
])
def test_settings(value, text):
    assert written(value) == text


def test_settings_in_the_graph():
    x = leaf(2, 3)
    graph = viz.trace(x.sum(dim=1, keepdim=True).reshape(2)[0:1])
    details = [n.details for n in graph.of_kind("op")]
    assert details == [("dim=1", "keepdim=True"), (), ("index=0:1",)]


def test_a_chain_of_100000_operations():
    y = leaf()
    for _ in range(100_000):
        y = y.relu()
    picture = viz.graph(y)
    assert len(picture.graph.nodes) == 100_002
    assert picture.dot.endswith("}\n")


def test_calls_nested_1000_deep():
    y = leaf(2).relu()
    node = y.grad_fn
    for i in range(1000):  # as nested modules leave it; calling them would meet Python's limit
        node.calls = (ReLU(), node.order - 1 - i, node.calls)
    assert [c.parent for c in viz.trace(y).clusters] == [None, *range(999)]
    assert viz.graph(y).dot.count("subgraph") == 1000


# -- nothing changes, nothing is kept --------------------------------------------------------------


@draws
def test_drawing_changes_nothing(tmp_path):
    model = Chain(Shift(), MLP())
    loss = model(tn.ones(3, 4)).sum()
    tn.manual_seed(3)
    expected = tn.rand(3).tolist()
    tn.manual_seed(3)
    before = {name: (t.tolist(), t.written[0], t.grad) for name, t in
              [*model.named_parameters(), *model.named_buffers()]}
    viz.graph(loss, params=model).save(tmp_path / "x.svg")
    assert tn.rand(3).tolist() == expected
    for name, t in [*model.named_parameters(), *model.named_buffers()]:
        assert (t.tolist(), t.written[0], t.grad) == before[name]
    loss.backward()
    drawn = [p.grad.tolist() for p in model.parameters()]
    model.zero_grad()
    model(tn.ones(3, 4)).sum().backward()
    assert [p.grad.tolist() for p in model.parameters()] == drawn


def test_nothing_is_kept_alive():
    model = MLP()
    x = tn.ones(3, 4)
    y = model(x)
    gc.disable()
    try:
        picture = viz.graph(y, params=model)
        held = [weakref.ref(v) for v in (model, x, y, y.grad_fn, model.fc1.weight)]
        assert picture.dot
        del model, x, y
        assert [r() for r in held] == [None] * 5
    finally:
        gc.enable()


def test_after_backward_the_graph_is_the_same():
    model = MLP()
    loss = model(tn.ones(3, 4)).sum()
    before = viz.graph(loss, model).dot
    loss.backward()
    assert viz.graph(loss, model).dot == before


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tensor", [None, [1.0], np.ones(2), (leaf(2), leaf(2))])
def test_no_tensor(tensor):
    with pytest.raises(TypeError, match="graph: expected a Tensor, got "):
        viz.graph(tensor)


def test_no_graph():
    with pytest.raises(RuntimeError, match=r"shape \(2,\) has no graph: it does not require grad"):
        viz.graph(tn.ones(2))


@pytest.mark.parametrize(("params", "message"), [
    (3, "expected params to be a Module, a dict or pairs .*, got int"),
    (leaf(2), "or pairs .*, got Tensor"),
    ([leaf(2)], "iterable of Tensor; is it parameters.*pass named_parameters"),
    (["ab"], "got an iterable of str"),
    ({"w": 3}, "got int for 'w'"),
])
def test_bad_params(params, message):
    with pytest.raises(TypeError, match=message):
        viz.graph(leaf(2).relu(), params)
