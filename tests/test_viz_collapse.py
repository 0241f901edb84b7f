"""Large graphs made small: modules closed to a depth, equal ones in a row drawn once."""

import os

import pytest
from viz_case import MLP, Block, Chain, Normed, ReLU, draws, edges, leaf, names, paths, sound

import tinygrad_norm as tn
from tinygrad_norm import nn, viz
from tinygrad_norm.nn.module import Module
from tinygrad_norm.viz.collapse import boxed, collapsed, levels
from tinygrad_norm.viz.repeat import folded


class Stages(Module):
    def __init__(self, stages, blocks):
        self.stages = nn.ModuleList([Chain(*[Block() for _ in range(blocks)])
                                     for _ in range(stages)])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


def boxes(graph):
    return [(n.name, n.attributes["type"]) for n in graph.of_kind("box")]


def traced(model, *shape, view="forward", **options):
    return viz.graph(model(leaf(*shape)).sum(), model, view=view, **options).graph


# -- depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "closed", "opened"), [
    (0, [("", "Chain")], []),
    (1, [("0", "MLP"), ("1", "ReLU")], ["Chain"]),
    (2, [("0.fc1", "Linear"), ("0.fc2", "Linear")], ["Chain", "Chain/0", "Chain/1"]),
])
def test_depth(depth, closed, opened):
    model = Chain(MLP(), ReLU())
    graph = traced(model, 5, 4, depth=depth)
    sound(graph)
    assert boxes(graph) == closed
    assert paths(graph) == opened


def test_what_a_box_tells():
    model = Normed()
    loss = model(tn.randn(5, 3)).sum()
    graph = viz.graph(loss, model, depth=0, show=["shapes", "parameters", "saved"]).graph
    assert edges(graph) == [("input", "", (5, 3)), ("", "sum", (5, 2)), ("sum", "output", ())]
    (box,) = graph.of_kind("box")
    assert box.attributes == {"type": "Normed", "parameters": 34, "operations": 3,
                              "saved": 5 * 3 * 4 + 2 * 5 * 4 * 4 + 3 * 4 * 4}  # rest, mean, var
    dot = viz.graph(loss, model, depth=0, show=["parameters", "saved"]).dot
    assert "Normed<br/>" in dot
    assert "3 operations · 34 parameters · saves 268 B" in dot
    assert "graph [label=<dashed" in dot


def test_depth_of_both():
    model = Normed()
    graph = viz.graph(model(tn.randn(5, 3)).sum(), model, view="both", depth=1).graph
    sound(graph)
    assert boxes(graph) == [("fc", "Linear"), ("bn", "BatchNorm1d"), ("out", "Linear"),
                            ("out", "Linear"), ("bn", "BatchNorm1d"), ("fc", "Linear")]
    pairs = {graph.nodes[n.of].name: n.name for n in graph.of_kind("box") if n.backward}
    assert pairs == {"fc": "fc", "bn": "bn", "out": "out"}
    assert "gradient of <b>bn</b>&#160; BatchNorm1d" in viz.graph(
        model(tn.randn(5, 3)).sum(), model, view="both", depth=1).dot


def test_a_module_called_twice_is_two_boxes():
    fc = nn.Linear(3, 3)
    picture = viz.graph(fc(fc(leaf(2, 3))), depth=0)
    assert len(picture.graph.of_kind("box")) == 2
    assert "Linear (call 2)" in picture.dot
    assert names(picture.graph, "parameter") == ["weight", "bias"]  # both calls use them


def test_equal_edges_into_a_box_are_one():
    class Twice(Module):
        def forward(self, x):
            return x * x + x

    x = leaf(2)
    graph = viz.graph(Twice()(x), depth=0).graph
    assert edges(graph) == [("input", "", (2,)), ("", "output", (2,))]
    graph = viz.graph(Twice()(x), depth=0, show="gradients").graph
    assert [e.attributes.get("gradient") for e in graph.edges[:-1]] == pytest.approx([2**0.5] * 1)


def test_nothing_to_close():
    graph = viz.trace(leaf(2).relu())
    assert collapsed(graph, 0) == graph
    assert levels(graph) == 0
    assert boxed(graph, ()) == graph


@pytest.mark.parametrize("depth", [-1, 1.5, True, "1"])
def test_bad_depth(depth):
    with pytest.raises(ValueError, match=r"expected depth >= 0 or None, got .*; 0 draws a box"):
        viz.graph(leaf(2).relu(), depth=depth)


# -- rows ------------------------------------------------------------------------------------------


def rows(graph):
    return [(c.name, c.attributes["last"], c.attributes["repeat"])
            for c in graph.clusters if "repeat" in c.attributes]


@pytest.mark.parametrize("view", ["forward", "backward", "both"])
def test_equal_blocks_are_drawn_once(view):
    model = Chain(*[Block() for _ in range(6)])
    graph = traced(model, 3, 4, view=view, fold=True)
    sound(graph)
    # The gradient that comes back into a block is a sum, but into the last.
    assert rows(graph) == [("0", "5", 6) if view == "forward" else ("0", "4", 5)]
    one = traced(Chain(*[Block() for _ in range(1 if view == "forward" else 2)]), 3, 4, view=view)
    assert [n.kind for n in graph.nodes] == [n.kind for n in one.nodes]
    assert sorted(edges(graph)) == sorted(
        (a.replace("1.", "5."), b.replace("1.", "5."), shape) for a, b, shape in edges(one))


def test_where_no_gradient_flows_back_the_first_is_another():
    model = Chain(*[Block() for _ in range(6)])
    graph = viz.graph(model(tn.ones(3, 4)).sum(), model, view="both", fold=True).graph
    sound(graph)
    assert rows(graph) == [("1", "4", 4)]


def test_several_modules_may_be_what_comes_again():
    layers = [layer for _ in range(5) for layer in (nn.Linear(4, 4), nn.BatchNorm1d(4), ReLU())]
    model = nn.Sequential(*layers, nn.Linear(4, 2))
    graph = traced(model, 3, 4, fold=True)
    sound(graph)
    assert rows(graph) == [("0", "14", 5)]
    (frame,) = [i for i, c in enumerate(graph.clusters) if c.kind == "repeated"]
    assert [c.name for c in graph.clusters if c.parent == frame] == ["0", "1", "2"]
    dot = viz.graph(model(leaf(3, 4)).sum(), model, fold=True).dot
    assert "<b>0 … 14</b>" in dot
    assert "<b>×5</b>" in dot


def test_rows_within_rows():
    model = Stages(3, 4)
    graph = traced(model, 2, 4, fold=True)
    sound(graph)
    assert rows(graph) == [("stages.0", "stages.2", 3), ("stages.0.0", "stages.0.3", 4)]
    assert len(graph.of_kind("op")) == 5 + 1 + 1
    picture = viz.graph(model(leaf(2, 4)).sum(), model, fold=True, depth=2)
    assert "<b>0 … 3</b>&#160; Block <b>×4</b>" in picture.dot
    sound(picture.graph)


class Kept(Module):
    """Equal layers, of which each is also read at the end."""

    def __init__(self):
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])

    def forward(self, x):
        kept = []
        for layer in self.layers:
            x = layer(x)
            kept.append(x)
        return tn.cat(kept)


class Gated(Module):
    """Layers that all read one more tensor."""

    def __init__(self, shared=True):
        self.shared = shared
        self.layers = nn.ModuleList([Gate() for _ in range(4)])

    def forward(self, x, gates):
        for layer, gate in zip(self.layers, gates, strict=True):
            x = layer(x, gate)
        return x


class Gate(Module):
    def forward(self, x, gate):
        return x.relu() * gate


class Beside(Module):
    """Equal layers side by side."""

    def __init__(self):
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])

    def forward(self, x):
        return sum((layer(x) for layer in self.layers), tn.zeros(1))


class Different(Module):
    def __init__(self):
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 5), nn.Linear(5, 4),
                                     nn.LayerNorm(4), nn.LayerNorm(4, eps=1e-3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@pytest.mark.parametrize("model", [Kept(), Beside(), Different(), nn.Linear(4, 4)])
def test_what_is_no_row_stays(model):
    graph = viz.trace(model(leaf(2, 4)).sum(), model)
    assert folded(graph) == graph


def test_what_all_read_may_come_from_outside():
    gate = leaf(4)
    model = Gated()
    graph = folded(viz.trace(model(leaf(2, 4), [gate] * 4), model))
    sound(graph)
    assert rows(graph) == [("layers.0", "layers.3", 4)]
    own = viz.trace(model(leaf(2, 4), [leaf(4) for _ in range(4)]), model)
    assert folded(own) == own


def test_a_shared_module_in_a_row():
    fc = nn.Linear(4, 4)
    x = leaf(2, 4)
    for _ in range(3):
        x = fc(x)
    picture = viz.graph(x, fc, fold=True)
    sound(picture.graph)
    assert [c.attributes.get("repeat") for c in picture.graph.clusters] == [3]
    assert "Linear <b>×3</b>" in picture.dot
    assert "…" not in picture.dot


# -- large graphs ----------------------------------------------------------------------------------


def spent():
    """Seconds that this process and those it started computed: others may be busy too."""
    return sum(os.times()[:4])


@draws
@pytest.mark.parametrize("view", ["forward", "both"])
def test_5000_nodes_within_5_seconds(tmp_path, view):
    model = Stages(10, 46)
    loss = model(leaf(2, 4)).sum()
    assert len(viz.trace(loss, model).nodes) > 5000
    start = spent()
    picture = viz.graph(loss, model, view=view)
    picture.save(tmp_path / "x.svg")
    assert spent() - start < 5
    assert len(picture.graph.nodes) < 150
    assert len(picture.full.nodes) > 5000
    hint = picture.graph.attributes["hint"]
    assert hint.startswith(f"{len(picture.full.nodes)} nodes, drawn as {len(picture.graph.nodes)}:")
    assert hint.endswith("depth=4, fold=False draws all")
    assert hint in (tmp_path / "x.svg").read_text(encoding="utf-8")
    sound(picture.graph)


def test_where_nothing_is_equal_depth_makes_it_small():
    model = Chain(*[Chain(*[nn.LayerNorm(4, eps=0.1 / (i + 9 * j + 1)) for j in range(8)])
                    for i in range(9)])
    picture = viz.graph(model(leaf(2, 4)).sum(), model)
    sound(picture.graph)
    assert len(picture.graph.nodes) <= 150 < len(picture.full.nodes)
    assert picture.graph.of_kind("box")


def test_asked_for_all_it_is_not_made_small():
    model = Stages(3, 12)
    picture = viz.graph(model(leaf(2, 4)).sum(), model, fold=False, depth=9)
    assert picture.graph == picture.full
    assert "hint" not in picture.graph.attributes


def test_too_large_to_draw_says_how():
    model = Stages(10, 30)
    picture = viz.graph(model(leaf(2, 4)).sum(), model, fold=False, depth=9)
    with pytest.raises(ValueError, match=r"too many to draw .* depth=1 draws a box for each part"):
        picture.render()


@pytest.mark.parametrize("view", ["both", "backward"])
def test_a_row_shows_the_numbers_of_its_first_module(view):
    tn.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(6)])
    loss = (model(tn.randn(5, 4)) * tn.randn(5, 4)).sum()
    graph = viz.graph(loss, model, view=view, fold=True, show="values").graph
    loss.backward()
    held = dict(model.named_parameters())
    shown = {graph.nodes[e.target].name: e.attributes["mean"] for e in graph.edges
             if graph.nodes[e.target].name.endswith("1.weight")}
    assert "d 1.1.weight" in shown
    assert len(shown) < 6
    for name, mean in shown.items():
        gradient = held[name.removeprefix("d ")].grad.array
        assert mean == pytest.approx(float(gradient.mean()), rel=1e-5)


def test_many_operations_without_modules_are_left_as_they_are():
    y = leaf(3)
    for _ in range(200):
        y = y * 1.01
    picture = viz.graph(y.sum(), view="both")
    assert len(picture.graph.nodes) > 400
    sound(picture.graph)
