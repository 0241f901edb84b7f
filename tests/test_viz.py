"""Graphs: what is traced, how it is written, and that it is drawn without changing anything."""

import gc
import shutil
import subprocess
import weakref
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.autograd import Function, Node
from tinygrad_norm.nn.linear import Linear
from tinygrad_norm.nn.module import Buffer, Module
from tinygrad_norm.tensors.tensor import Parameter
from tinygrad_norm.viz import picture
from tinygrad_norm.viz.details import shortened, written
from tinygrad_norm.viz.dot import escaped
from tinygrad_norm.viz.trace import Graph

constants = pytest.mark.skipif(not hasattr(Node, "constants"),
                               reason="the engine does not remember constant inputs")
draws = pytest.mark.skipif(not any(picture.tools("svg")),
                           reason="nothing to draw with: pip install pygraphviz")


class MLP(Module):
    def __init__(self):
        self.fc1 = Linear(4, 3)
        self.fc2 = Linear(3, 2)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Shift(Module):
    """Subtracts a buffer; holds another one that it does not read."""

    def __init__(self):
        self.mean = Buffer(tn.ones(4))
        self.count = Buffer(tn.tensor(0))
        self.scale = Parameter(tn.ones(4))

    def forward(self, x):
        return (x - self.mean) * self.scale


class Chain(Module):
    def __init__(self, *modules):
        for i, module in enumerate(modules):
            setattr(self, str(i), module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
        return x


class ReLU(Module):
    def forward(self, x):
        return x.relu()


class Same(Module):
    def forward(self, x):
        return x


def leaf(*shape):
    return tn.ones(*shape, requires_grad=True)


def names(graph: Graph, kind: str) -> list[str]:
    return [node.name for node in graph.of_kind(kind)]


def edges(graph: Graph) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(graph.nodes[e.source].name, graph.nodes[e.target].name, e.shape)
            for e in graph.edges]


def paths(graph: Graph) -> list[str]:
    """Each cluster with those around it: ``MLP/fc1``."""
    result: list[str] = []
    for cluster in graph.clusters:
        around = "" if cluster.parent is None else result[cluster.parent] + "/"
        result.append(around + (cluster.name or cluster.type))
    return result


def texts(svg: bytes) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(e.itertext()).replace("\xa0", " ")
            for e in root.iter("{http://www.w3.org/2000/svg}text")]


# -- what is traced --------------------------------------------------------------------------------


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
    assert weight == viz.GraphNode("parameter", "w")  # outside both calls that use it
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


@constants
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


@constants
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


@constants
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


@constants
def test_numbers_stand_in_the_box():
    x = leaf(2)
    graph = viz.trace((x * 0.5 + 1 - 1e-5) ** 2)
    assert [n.details for n in graph.of_kind("op")] == [("b=0.5",), ("b=1",), ("b=1e-05",),
                                                        ("b=2",)]


@constants
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
    assert details == [("axis=1", "keepdims=True"), (), ("index=0:1",)]


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


# -- the text --------------------------------------------------------------------------------------


def test_same_graph_same_text():
    def text():
        model = Chain(Shift(), MLP())
        return viz.graph(model(tn.ones(3, 4)).sum(), params=model).dot

    assert text() == text()


def test_exact_text():
    fc = Linear(3, 2)
    lines = viz.graph(fc(leaf(5, 3)), fc).dot.splitlines()
    box = 'shape=box style=filled fillcolor="#d6e4f5" color="#2f5d92"'
    op = 'shape=box style="rounded,filled" fillcolor="#ffffff" color="#52606d"'
    assert lines[0] == "digraph operations {"
    assert lines[4:] == [
        '  n0 [label=<input> shape=ellipse style=filled fillcolor="#dff0d8" color="#4b7a3a"]',
        '  n4 [label=<<b>output</b>> shape=box style="rounded,filled" fillcolor="#3b4754" '
        'color="#1f2933" fontcolor="#ffffff"]',
        "  subgraph cluster_0 {",
        '    graph [label=<Linear> style="rounded,filled" fillcolor="#f5f7fa" margin=10]',
        f"    n1 [label=<weight> {box}]",
        f"    n2 [label=<bias> {box}]",
        f"    n3 [label=<<b>linear</b>> {op}]",
        "  }",
        "  n0 -> n3 [label=<&#160;(5, 3)>]",
        "  n1 -> n3 [label=<&#160;(2, 3)>]",
        "  n2 -> n3 [label=<&#160;(2,)>]",
        "  n3 -> n4 [label=<&#160;(5, 2)> weight=10]",
        "}",
    ]


def test_kinds_look_different():
    model = Shift()
    dot = viz.graph(model(leaf(2, 4)), model).dot
    for look in ("cylinder", "ellipse", "style=filled", "style=dotted", "rounded"):
        assert look in dot
    assert "dotted: held by the module" in dot


def test_an_operation_alone_in_its_module_carries_the_title():
    model = Chain(MLP(), ReLU())
    dot = viz.graph(model(tn.ones(5, 4)), model).dot
    assert '    graph [label="" ' in dot
    assert "<b>relu</b><br/>" in dot
    assert "<b>1</b>&#160; ReLU" in dot
    assert "<b>fc1</b>&#160; Linear" in dot  # without the "0." that the cluster around it says


HOSTILE = ['say "hi"', "<b>bold</b>", "a\\Nb\\", "&lt;&amp;", "]; evil [label=x", "</svg><script>",
           "été 数 🙂", "-->", "%s {x} $y", "\\", "<", '"', "&#92;N"]


@draws
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_survive(name):
    w, model = leaf(2), Chain(ReLU())
    setattr(model, name, ReLU())
    picture = viz.graph(model(w), {name: w})
    assert names(picture.graph, "parameter") == [name]
    svg = texts(picture.render("svg"))
    assert name in svg
    picture = viz.graph(model(w * w), model)
    drawn = texts(picture.render("svg"))
    assert any(name in text for text in drawn)  # the cluster
    root = ElementTree.fromstring(picture.render("svg"))
    assert not [e for e in root.iter() if e.tag.endswith("script")]


@draws
@pytest.mark.parametrize(("name", "shown"), [
    ("a\nb", "a\\nb"), ("tab\t\0", "tab\\t\\x00"), ("\ud800", "\\ud800"),
    ("\u202eabc", "\\u202eabc"),
    ("", " "), ("x" * 500, "x" * 29 + "…" + "x" * 29),
])
def test_what_cannot_be_printed_is_shown(name, shown):
    w = leaf(2)
    svg = viz.graph(w * w, {name: w}).render("svg")
    assert shown in texts(svg)


def test_escaped_and_shortened():
    assert escaped('<a href="x">&\\') == "&lt;a href=&quot;x&quot;&gt;&amp;\\\\"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("abcde", 5) == "abcde"


# -- the picture -----------------------------------------------------------------------------------


@pytest.fixture
def drawing():
    if not any(picture.tools("svg")):
        pytest.skip("nothing to draw with: pip install pygraphviz")
    model = MLP()
    return viz.graph(model(tn.ones(3, 4)).sum(), params=model)


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"),
                                             ("pdf", b"%PDF"), ("dot", b"digraph"),
                                             ("SVG", b"<?xml")])
def test_save(drawing, tmp_path, form, start):
    path = drawing.save(str(tmp_path / f"x.{form}"))
    assert path == tmp_path / f"x.{form}"
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_svg_says_everything(drawing):
    said = " ".join(texts(drawing.render("svg")))
    for text in ("fc1.weight", "fc2.bias", "linear", "relu", "sum", "output", "(3, 4)", "(2,)",
                 "()", "MLP", "Linear"):
        assert text in said


def test_svg_ids_of_two_pictures_differ(drawing):
    def ids(svg):
        return {e.get("id") for e in ElementTree.fromstring(svg).iter() if e.get("id")}

    other = viz.graph(leaf(2).relu())
    first, second = ids(drawing.render()), ids(other.render())
    assert first
    assert second
    assert not first & second
    assert drawing.render() == drawing.render()


def test_notebook(drawing):
    ElementTree.fromstring(drawing._repr_svg_())
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"] == drawing._repr_svg_()
    assert bundle["text/plain"] == repr(drawing)


def test_repr(drawing):
    assert repr(drawing).startswith("<Picture of 4 operations, 4 parameters")


@pytest.mark.parametrize("name", ["x.jpeg", "x", ".svg", "x.dot.txt"])
def test_unknown_ending(tmp_path, name):
    with pytest.raises(ValueError, match=r"save: expected a path that ends in \.svg, \.png"):
        viz.graph(leaf(2).relu()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def without(monkeypatch, pygraphviz=True, dot=True):
    if pygraphviz:
        monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    if dot:
        monkeypatch.setattr(shutil, "which", lambda name: None)


def test_without_tools(monkeypatch, tmp_path):
    without(monkeypatch)
    drawing = viz.graph(leaf(2).relu())
    with pytest.raises(ImportError, match="nothing here can draw a graph; install pygraphviz"):
        drawing.render()
    with pytest.raises(ImportError, match=r"the DOT text is in .*x\.dot"):
        drawing.save(tmp_path / "x.svg")
    assert (tmp_path / "x.dot").read_text(encoding="utf-8") == drawing.dot
    assert not (tmp_path / "x.svg").exists()
    assert drawing._repr_svg_() is None
    assert "install pygraphviz" in drawing._repr_mimebundle_()["text/plain"]


def test_system_dot_is_second(monkeypatch):
    calls = []

    def run(command, **options):
        calls.append(command)
        answer = (0, b"<svg id='x'/>") if command[0] == "/bin/dot" else (1, b"")
        return subprocess.CompletedProcess(command, *answer, stderr=b"no\nbroken")

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", run)
    assert viz.graph(leaf(2).relu()).render("pdf") == b"<svg id='x'/>"
    assert calls[0][0] == picture.sys.executable
    assert calls[1] == ["/bin/dot", "-Tpdf"]
    assert list(picture.tools("png"))[1] == ["/bin/dot", "-Tpng", "-Gdpi=144"]
    without(monkeypatch, pygraphviz=False)
    with pytest.raises(RuntimeError, match="render: Graphviz failed: broken"):
        viz.graph(leaf(2).relu()).render("pdf")


def test_drawing_takes_too_long(monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match="Graphviz took more than 120 s; draw a smaller graph"):
        viz.graph(leaf(2).relu()).render()


def test_too_large_to_draw(tmp_path):
    y = leaf()
    for _ in range(picture.LARGEST):
        y = y.relu()
    drawing = viz.graph(y)
    with pytest.raises(ValueError, match="has 2002 nodes, too many to draw and to read"):
        drawing.save(tmp_path / "x.png")
    assert (tmp_path / "x.dot").exists()
    assert "too many" in drawing._repr_mimebundle_()["text/plain"]


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
