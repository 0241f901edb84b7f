"""The page of a graph: what stands in its file. How it behaves: test_browser_graph.py."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from viz_case import MLP, Block, Chain, Normed, draws, leaf

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.viz import html, look

HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "<!--<script>", "]]></style></svg><b>",
    "\"' onload='x", "&lt;&#60;", "a\u2028b\u2029c", "\x00\x1b[31m", "<title>n1</title>",
    '<g id="node1">', "{css}%s\\N\\E", "javascript:alert(1)", "é漢🙂",
]

pytestmark = draws


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.raw = {}
        self.text = []
        self.within = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.within = attributes.get("id", tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within is None:
            self.text.append(data)
        else:
            self.raw[self.within] = self.raw.get(self.within, "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def pictures(page):
    """The drawings; what else is SVG is a swatch of the legend, which says nothing by itself."""
    all_of_them = page.all("svg")
    drawn = [svg for svg in all_of_them if svg.get("role") == "img"]
    assert all(svg in drawn or svg["aria-hidden"] == "true" for svg in all_of_them)
    return drawn


@pytest.fixture(scope="module")
def text():
    model = Normed()
    picture = viz.graph(model(tn.ones(3, 3)).sum(), params=model, show="all", view="both")
    return html.to_html(picture)


def test_one_file(tmp_path, text):
    model = MLP()
    path = viz.graph(model(tn.ones(3, 4)).sum(), params=model).save(tmp_path / "graph.HTML")
    assert path.read_bytes().startswith(b"<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size < 100_000
    assert len(text) < 300_000


def test_asks_for_nothing_elsewhere(text):
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|WebSocket|\beval\b", text)
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form", "a")
        assert not {"src", "srcset", "action", "xlink:href", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert [link["href"] for link in page.all("link")] == ["data:,"]


def test_policy_names_the_script(text):
    page = Page(text)
    digest = base64.b64encode(hashlib.sha256(page.raw["script"].encode()).digest()).decode()
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_ids_are_unique(text):
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 50


def test_controls_have_labels(text):
    page = Page(text)
    labelled = {label["for"] for label in page.all("label")}
    for control in page.all("input") + page.all("select"):
        assert control["id"] in labelled
    assert all(b.get("aria-label") or b["id"] == "fit" for b in page.all("button"))
    assert all(svg["aria-label"] for svg in pictures(page))


def test_without_scripts_the_picture_stands_there(text):
    start = text[:text.index("<template")]
    page = Page(start)
    assert len(pictures(page)) == 1
    assert "hidden" in page.all("aside")[0]
    (tools,) = [d for d in page.all("div") if d.get("id") == "tools"]
    assert "hidden" in tools
    said = " ".join(page.text)
    for word in ("normalize", "bn.weight", "(3, 4)", "gradient of", "brown: the backward pass",
                 "Legend", "gradients (brown) flow back up", "gradient of a leaf"):
        assert word in said


def test_every_depth_is_there():
    model = Chain(Block(), Block(), MLP())
    picture = viz.graph(model(tn.ones(3, 4)).sum(), params=model, depth=1)
    page = Page(html.to_html(picture))
    graphs = json.loads(page.raw["graphs"])
    *options, some = page.all("option")
    assert some["value"] == ""  # shown when modules are closed one by one
    assert "hidden" in some
    assert len(options) == len(graphs) == len(pictures(page)) == 4
    assert [len(g["nodes"]) for g in graphs] == sorted(len(g["nodes"]) for g in graphs)
    assert ["selected" in option for option in options] == [False, True, False, False]
    assert viz.from_json(json.dumps(graphs[1])).nodes == picture.graph.nodes
    assert len(graphs[3]["nodes"]) == len(picture.full.nodes)
    drawn = [int(tag["data-node"]) for tag in page.all("g") if "data-node" in tag]
    assert len(drawn) == sum(len(g["nodes"]) for g in graphs)
    assert max(drawn) < len(graphs[3]["nodes"])


def test_another_picture_than_any_depth_is_there_too():
    model = Chain(Block(), Block(), Block())
    y = model(tn.ones(3, 4)).sum()
    assert "as saved" not in html.to_html(viz.graph(y, params=model))
    assert "all open" in html.to_html(viz.graph(y, params=model, fold=True))
    alone = Page(html.to_html(viz.graph(leaf(2).relu())))
    assert len(alone.all("option")) == 2


def test_large_graph_is_folded_and_says_so():
    model = Chain(*[Block() for _ in range(60)])
    text = html.to_html(viz.graph(model(tn.ones(3, 4)).sum(), params=model))
    assert len(text) < 200_000
    assert "nodes, drawn as" in text
    assert "as saved" not in text


def test_too_large(tmp_path, monkeypatch):
    from tinygrad_norm.viz import picture

    monkeypatch.setattr(picture, "LARGEST", 3)
    with pytest.raises(ValueError, match=r"too many to draw .*; the DOT text is in .*graph\.dot"):
        viz.graph((leaf(2).relu() + 1).sum()).save(tmp_path / "graph.html")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.dot"]


@pytest.fixture(scope="module")
def usual():
    w = leaf(2)
    return Page(html.to_html(viz.graph((w * w).sum(), {"w": w})))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_break_out(usual, name):
    w = leaf(2)
    page = Page(html.to_html(viz.graph((w * w).sum(), {name: w})))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in usual.tags]
    assert [list(a) for _, a in page.tags] == [list(a) for _, a in usual.tags]
    graphs = json.loads(page.raw["graphs"])
    assert [n["name"] for n in graphs[0]["nodes"] if n["kind"] == "parameter"] == [name]
    assert not set("<>&\u2028\u2029") & set(page.raw["graphs"])
    assert page.raw["script"] == usual.raw["script"]


def test_picture_in_a_notebook_has_a_name():
    svg = viz.graph((leaf(2) * 2).sum())._repr_mimebundle_()["image/svg+xml"]
    (attributes,) = Page(svg).all("svg")
    assert attributes["role"] == "img"
    assert attributes["aria-label"] == "computation graph: 2 operations, 1 input"


def colours():
    """All that a graph is drawn with."""
    told = repr([v for k, v in vars(look).items() if k.isupper()])
    return sorted(set(re.findall(r"#[0-9a-f]{6}", told)))


def test_every_colour_has_its_counterpart_in_the_dark():
    css = html._file("graph.css")
    dark = set(re.findall(r'\[(?:fill|stroke)="(#[0-9a-f]{6})"\]', css))
    assert set(colours()) == dark


def test_files_cannot_end_their_elements():
    assert "</" not in html._file("graph.css")
    for name in html.SCRIPTS:
        assert "</script" not in html._file(name).lower()
        assert "<!--" not in html._file(name)
