"""The graph as plain data, and its JSON form."""

import dataclasses
import json

import pytest
from test_viz_dot import HOSTILE
from viz_case import MLP, Chain, Normed, ReLU, leaf

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.viz.model import Cluster, Graph, GraphEdge, GraphNode, renumbered


def test_exact_json():
    w = leaf(2)
    assert viz.graph(w * w, {"w": w}).json == """\
{"format": "tinygrad_norm graph 1",
 "nodes": [
  {"kind": "parameter", "name": "w", "attributes": {"parameters": 2}},
  {"kind": "op", "name": "mul"},
  {"kind": "output", "name": "output"}],
 "edges": [
  {"source": 0, "target": 1, "shape": [2], "kind": "gradient"},
  {"source": 0, "target": 1, "shape": [2], "kind": "gradient", "operand": 1},
  {"source": 1, "target": 2, "shape": [2], "kind": "gradient"}],
 "clusters": [],
 "attributes": {"view": "forward", "show": ["shapes"]}}
"""


@pytest.mark.parametrize("options", [
    {}, {"view": "both", "show": "all"}, {"view": "backward"}, {"depth": 0, "view": "both"},
    {"expand": "all", "show": "values"}, {"fold": True}])
def test_there_and_back(options):
    model = Normed()
    graph = viz.graph(model(tn.randn(5, 3)).sum(), model, **options).graph
    assert viz.from_json(viz.to_json(graph)) == graph


def test_numbers_that_json_has_not():
    graph = Graph([GraphNode("op", "a", attributes={"x": [float("nan"), float("inf")]})],
                  attributes={"y": -float("inf")})
    data = json.loads(viz.to_json(graph))
    assert data["nodes"][0]["attributes"] == {"x": ["nan", "inf"]}
    assert data["attributes"] == {"y": "-inf"}


@pytest.mark.parametrize("name", [*HOSTILE, "</script>", "\u2028", "\0", "\ud800"])
def test_hostile_names_in_json(name):
    w, model = leaf(2), Chain(ReLU())
    setattr(model, name, ReLU())
    text = viz.graph(model(w), {name: w}, show="names").json
    assert name in [node["name"] for node in json.loads(text)["nodes"]]
    text = viz.graph(model(w), model, show="names").json
    assert name in [cluster["name"] for cluster in json.loads(text)["clusters"]]
    for character in "<>&\u2028":
        assert character not in text
    text.encode("ascii")


@pytest.mark.parametrize(("text", "message"), [
    ("{}", "expected the format 'tinygrad_norm graph 1', got None"),
    ('{"format": "other"}', "got 'other'"), ("[]", "got 'list'"), ("", "Expecting value")])
def test_json_of_something_else(text, message):
    with pytest.raises(ValueError, match=message):
        viz.from_json(text)


def test_a_graph_is_data():
    model = MLP()
    graph = viz.graph(model(tn.randn(5, 4)).sum(), model, view="both", show="all").graph
    plain = dataclasses.asdict(graph)
    assert json.loads(json.dumps(plain, allow_nan=False))["clusters"][0]["type"] == "MLP"


def test_around():
    graph = Graph(clusters=[Cluster("", "A"), Cluster("b", "B", 0), Cluster("c", "C", 1)])
    assert graph.around(2) == [0, 1, 2]
    assert graph.around(None) == []


def test_renumbered():
    graph = Graph([GraphNode("op", "a"), GraphNode("op", "b"), GraphNode("grad", "c", of=0),
                   GraphNode("grad", "d", of=1)],
                  [GraphEdge(0, 1, ()), GraphEdge(0, 2, ()), GraphEdge(0, 3, ())])
    found = renumbered(graph, [(None, GraphNode("op", "new")),
                               *((i, graph.nodes[i]) for i in (0, 2, 3))])
    assert [n.name for n in found.nodes] == ["new", "a", "c", "d"]
    assert [n.of for n in found.nodes] == [None, None, 1, None]
    assert [(e.source, e.target) for e in found.edges] == [(1, 2), (1, 3)]
