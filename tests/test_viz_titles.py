"""What a picture says when the pointer rests on a part, in every form that is drawn as SVG."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from viz_case import MLP, Chain, Normed, ReLU, draws, leaf

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.nn.linear import Linear
from tinygrad_norm.viz import html

pytestmark = draws
SVG = "{http://www.w3.org/2000/svg}"


def titles(svg):
    """By class and number: ``{"node": ["input: (3, 4)", …], …}``."""
    found = {}
    for part in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        title = part.find(f"{SVG}title")
        found.setdefault(part.get("class"), []).append(None if title is None else title.text)
    return found


def test_names_kinds_and_shapes():
    fc = Linear(4, 2)
    said = titles(viz.graph(fc(leaf(3, 4)).sum(), fc).render())
    assert {kind: set(found) for kind, found in said.items()} == {
        "graph": {None},
        "cluster": {"Linear: module, 10 parameters"},
        "node": {"input (3, 4)", "linear: operation\ngives (3, 2)", "weight: parameter (2, 4)",
                 "bias: parameter (2,)", "sum: operation\ngives ()", "output"},
        "edge": {"input → linear: (3, 4)", "weight → linear: (2, 4)", "bias → linear: (2,)",
                 "linear → sum: (3, 2)", "sum → output: ()"},
    }


@pytest.mark.parametrize("options", [{}, {"view": "both", "show": "all"}, {"depth": 1},
                                     {"fold": True}, {"expand": "all"}, {"view": "backward"}],
                         ids=["forward", "both", "boxes", "rows", "steps", "backward"])
def test_no_part_shows_a_number_of_graphviz(options):
    model = Chain(Normed(), Chain(Linear(2, 2), ReLU(), Linear(2, 2), ReLU()))
    picture = viz.graph(model(tn.ones(3, 3)).sum(), params=model, **options)
    page = html.to_html(picture)
    for svg in (picture.render("svg").decode(), picture._repr_svg_(),
                picture._repr_mimebundle_()["text/html"], page):
        said = re.findall(r"<title>(.*?)</title>", svg, re.DOTALL)
        assert len(said) > 5
        assert not [one for one in said if not one or re.match(r"n\d|cluster_|operations$", one)]
    for kind, found in titles(picture.render()).items():
        assert kind == "graph" or all(found)
    if "depth" not in options and options.get("view") != "backward":
        assert ("0.bn.running_mean: buffer (4,)\n0.bn.running_var: buffer (4,)\n"
                "0.bn.num_batches_tracked: buffer ()") in page


def test_parallel_edges_and_results():
    w = leaf(2)
    said = titles(viz.graph((w * w).sum(), {"w": w}, show=("shapes", "dtypes")).render())
    assert said["edge"].count("w → mul: (2,) float32") == 2
    model = MLP()
    said = titles(viz.graph(model(tn.ones(3, 4)).sum(), params=model, view="both").render())
    assert None not in said["edge"]
    assert "gradient of linear" in said["cluster"]


@pytest.mark.parametrize("name", ["</title><script>alert(1)</script>", "a & b", '"\'', "\x00\ud800",
                                  "\u202eabc", "é漢🙂", "x" * 5000, "]]>", "n1", "cluster_0"])
def test_hostile_names(name):
    w = leaf(2)
    said = titles(viz.graph((w * w).sum(), {name: w}).render())
    (shown,) = [text for text in said["node"] if text.endswith(": parameter (2,)")]
    assert len(shown) < 300
    if name.isprintable() and len(name) < 100:
        assert shown == f"{name}: parameter (2,)"
