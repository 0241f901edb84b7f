"""Graphs as DOT text: exact, the same each time, and safe whatever the names."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from viz_case import MLP, Chain, ReLU, Shift, draws, leaf, names, texts

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.nn.linear import Linear
from tinygrad_norm.viz.details import shortened
from tinygrad_norm.viz.look import escaped


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
@pytest.mark.parametrize("options", [
    {"depth": 1}, {"fold": True}, {"view": "both", "show": "all"}, {"view": "backward"}],
    ids=["boxes", "rows", "both", "backward"])
def test_hostile_names_survive_everywhere(options):
    """Of modules, of classes and of parameters: in boxes, rows, groups and on edges."""
    model = Chain()
    for name in HOSTILE:
        for i in range(2):
            setattr(model, f"{name}{i}", type(name, (Linear,), {})(2, 2))
    picture = viz.graph(model(leaf(2, 2)).exp(), model, **options)
    svg = picture.render("svg")
    said = texts(svg)
    assert [name for name in HOSTILE if not any(name in text for text in said)] == []
    root = ElementTree.fromstring(svg)
    assert not [e for e in root.iter() if e.tag.endswith(("script", "}b"))]
    assert json.loads(picture.json)["format"]


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


