"""A picture in a notebook: a still frame that teaches, and the page in its place where scripts run.

What a browser makes of it is in the second half.
"""

import math
import re
from html.parser import HTMLParser

import pytest
from browser import BROWSER, DESKTOP, HOSTILE
from viz_case import Chain, Normed, draws, leaf

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.nn import Linear
from tinygrad_norm.viz import html, legend, notebook
from tinygrad_norm.viz.model import BOX
from tinygrad_norm.viz.titles import KINDS

pytestmark = draws
needs_browser = pytest.mark.skipif(not BROWSER, reason="no browser: apt install chromium")


@pytest.fixture(scope="module")
def picture():
    model = Chain(Normed(), Linear(2, 3), Normed())
    params = {**dict(model.named_parameters()), HOSTILE: (x := tn.ones(4, 3))}
    return viz.graph(model(x).sum(), params=params, view="both")


class Frame(HTMLParser):
    """Tags, and the text that is read, without that of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.script = [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.script = tag == "script"

    def handle_endtag(self, tag):
        self.script = False

    def handle_data(self, data):
        if not self.script:
            self.text.append(data)


def test_the_still_frame_teaches(picture):
    text = picture._repr_mimebundle_()["text/html"]
    frame = Frame(text)
    said = " ".join(frame.text)
    for word in ("normalize", "bn.weight", "(4, 3)", "gradients (brown) flow back up",
                 "operation of the backward pass", "frame: a module", "brown: the backward pass"):
        assert word in said
    tags = [tag for tag, _ in frame.tags]
    assert tags.count("script") == 1
    assert not {"img", "iframe", "link", "style"} & set(tags)
    assert not [name for _, a in frame.tags for name in a if name.startswith("on")]
    (page,) = [a["data-page"] for _, a in frame.tags if "data-page" in a]
    assert page.startswith("<!doctype html>")
    assert page == html.to_html(picture)


def test_the_same_but_for_the_names_of_its_ids(picture):
    one, other = (picture._repr_mimebundle_()["text/html"] for _ in range(2))
    names = [re.search(r'<div id="(graph-[0-9a-f]{12})"', text)[1] for text in (one, other)]
    assert names[0] != names[1]
    assert other.count(names[1]) == 2
    assert names[0] not in other


def test_a_large_page_is_left_to_a_file(picture, monkeypatch):
    monkeypatch.setattr(notebook, "LARGEST_PAGE", 1000)
    text = notebook.framed(picture)
    assert "<script" not in text
    assert "data-page" not in text
    assert "Values flow down" in text


@pytest.mark.parametrize("view", ["forward", "backward", "both"])
def test_the_legend_has_what_is_in_the_picture(view):
    model = Normed()
    drawn = viz.graph(model(leaf(4, 3)).sum(), params=model, view=view)
    said = legend.legend(drawn.graph)
    for kind, word in KINDS.items():
        if kind != BOX:
            assert (f"> {word}</li>" in said) == bool(drawn.graph.of_kind(kind))
    assert said.count("<li>") == said.count("<svg")
    assert "frame" not in legend.legend(viz.graph(leaf(2).relu()).graph)


@pytest.fixture
def shown(browser, picture):
    """A page that holds the same picture twice, as notebooks put outputs, and one of another."""
    def show(scripts=True):
        context = browser.new_context(java_script_enabled=scripts,
                                      viewport={"width": 900, "height": 2000})
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        outputs = [p._repr_mimebundle_()["text/html"]
                   for p in (picture, picture, viz.graph(leaf(2).relu()))]
        page.set_content("<!doctype html><title>notebook</title>" + "\n".join(outputs))
        contexts.append(context)
        return page

    said, contexts = [], []
    yield show
    for context in contexts:
        context.close()
    assert said == []


@needs_browser
def test_scripts_open_the_page(shown):
    page = shown()
    assert page.locator("iframe").count() == 3
    assert page.locator("body > div > svg").count() == 0
    frames = [page.frame_locator("iframe >> nth=0"), page.frame_locator("iframe >> nth=1")]
    for frame in frames:
        frame.locator("#tools").wait_for()
    assert frames[0].locator("#stage").evaluate("""stage => {
      const home = stage.getBoundingClientRect();
      return [...stage.querySelectorAll(".node, .cluster")].every((e) => {
        const r = e.getBoundingClientRect();
        return r.top >= home.top && r.bottom <= home.bottom && r.left >= home.left
          && r.right <= home.right;
      });
    }"""), "the whole graph is fitted into its frame"
    high = page.locator("iframe").evaluate_all("all => all.map((e) => e.clientHeight)")
    assert high[0] > high[2] == 640  # a higher graph has more room
    frames[0].get_by_role("button", name="Close all").click()
    assert frames[0].locator("#depth").input_value() == "0"
    assert frames[1].locator("#depth").input_value() != "0"
    assert page.title() == "notebook"


@needs_browser
def test_a_frame_that_is_shown_later_starts_then(browser, picture):
    output = picture._repr_mimebundle_()["text/html"]
    with browser.tab(DESKTOP, "light") as (page, heard):
        page.set_content(f'<div id="tab" style="display: none">{output}</div>')
        page.evaluate("new Promise((done) => setTimeout(done, 300))")
        page.evaluate("document.getElementById('tab').style.display = ''")
        page.frame_locator("iframe").locator(".node >> nth=0").wait_for()
        page.evaluate("new Promise((done) => setTimeout(done, 200))")
        box = page.frame_locator("iframe").locator("#stage > svg").get_attribute("viewBox")
        assert all(math.isfinite(float(v)) for v in box.split())
        assert page.frame_locator("iframe").locator(".node >> nth=0").bounding_box()["width"] > 5
    assert heard.said == []


@needs_browser
def test_without_scripts_the_still_frame_stays(shown):
    page = shown(scripts=False)
    assert page.locator("iframe").count() == 0
    assert page.locator("body > div > svg").count() == 3
    ids = page.locator("[id]").evaluate_all("all => all.map((e) => e.id)")
    assert len(ids) == len(set(ids)) > 100
    assert page.get_by_text("Values flow down").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    assert page.title() == "notebook"
