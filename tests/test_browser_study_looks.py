"""How the study's page looks in a real browser: the cube, NaN in red, contrast, sizes, on paper."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import DESKTOP, LOOKS, PHONE, needs_browser
from study_pages import heading, overflows, titles, visits

import tinygrad_norm as tn
from tinygrad_norm.study.walk import example, what_ifs

pytestmark = [needs_browser, pytest.mark.slow]

WORST_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const bright = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928
    ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s
    + v * [.2126, .7152, .0722][i], 0);
  const under = (e) => {
    const box = e.closest("svg .node")?.querySelector("rect");
    if (box) return rgb(getComputedStyle(box).fill);
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } };
  let worst = [99, ""], seen = 0;
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.disabled || !e.getBoundingClientRect().width || e.matches("title")) continue;
    const drawn = e.namespaceURI.endsWith("svg"), style = getComputedStyle(e);
    seen += drawn;
    const [a, b] = [rgb(drawn ? style.fill : style.color), under(e)].map(bright);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 90)];
  }
  return [...worst, seen];
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    example("batch_norm").trace().save(folder / "batch_norm.html", what_ifs("batch_norm"))
    for kind in ("rms_norm", "batch_renorm"):
        example(kind).trace().save(folder / f"{kind}.html", what_ifs(kind))
    for kind, shape in (("layer_norm", (2, 4, 3, 1)), ("group_norm", (2, 4, 3)),
                        ("instance_norm", (2, 4, 3))):
        example(kind, shape=shape).trace().save(folder / f"{kind}.html")
    example("batch_norm", shape=(20, 2, 2, 2)).trace().save(folder / "large.html")
    example("batch_norm", training=False).trace().save(folder / "eval.html")
    broken = tn.tensor([[float("nan"), 1.0, 2.0], [1.0, -1.0, 0.5], [3.0, 0.0, 2.0]])
    tn.study.trace(tn.nn.LayerNorm(3), broken).save(folder / "nan.html")
    tn.study.trace(lambda x, w: (x * w).exp().sum(), tn.tensor([1.0, 1e4]),
                   tn.tensor([1.0, 2.0])).save(folder / "function.html")
    tn.study.trace(lambda x: (x - x.amax(-1, keepdim=True)).softmax(-1),
                   tn.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]])).save(folder / "softmax.html")
    return folder


@pytest.fixture
def opened(browser, folder):
    with visits(browser, folder) as visit:
        yield visit


def solid_size(page):
    """Of the solid block's sides top and left, along C, N and down, counted in cells."""
    return page.evaluate("""() => {
      const svg = document.querySelector("#tensor .own svg");
      const corners = (path) => path.getAttribute("d").match(/[\\d.]+ [\\d.]+/g)
        .map((p) => p.split(" ").map(Number));
      const length = ([x, y], [u, v]) => Math.hypot(u - x, v - y);
      const of = (side) => { const c = corners(svg.querySelector(`.solid.${side}`));
        return [length(c[0], c[1]), length(c[1], c[2])]; };
      const whole = (k) => { const c = corners(svg.querySelectorAll(".glass")[k]);
        return [length(c[0], c[1]), length(c[1], c[2])]; };
      const [top, left, T, L] = [of("top"), of("left"), whole(0), whole(1)];
      return [top[0] / T[0], top[1] / T[1], left[1] / L[1]].map((v) => Math.round(v * 100) / 100);
    }""")


SAMPLE = ["C = 4", "N = 2", "L = 3"]


@pytest.mark.parametrize(("name", "share", "labels", "others"), [
    ("batch_norm", [0.25, 1, 1], ["C = 4", "N = 8"], ["LayerNorm", "GroupNorm"]),
    ("layer_norm", [1, 0.5, 1], ["C = 4", "N = 2", "H, W = 3 × 1"],
     ["BatchNorm", "InstanceNorm", "GroupNorm"]),
    ("instance_norm", [0.25, 0.5, 1], SAMPLE, ["BatchNorm", "LayerNorm", "GroupNorm"]),
    ("group_norm", [0.5, 0.5, 1], SAMPLE, ["BatchNorm", "LayerNorm", "InstanceNorm"]),
    ("large", [0.5, 1, 1], ["C = 2", "N = 20", "H, W = 2 × 2"], ["LayerNorm", "InstanceNorm"])])
def test_the_cube_shows_what_is_normalized_together(opened, name, share, labels, others):
    page = opened(name)
    assert solid_size(page) == share
    assert page.locator("#tensor .others figcaption").all_inner_texts() == others
    assert page.locator("#tensor .own svg").get_attribute("aria-label").endswith(
        "are normalized together")
    gap = page.locator("#tensor .own .gap").count()
    assert gap == (6 if name == "large" else 0)  # of 20 samples not all are drawn
    assert page.locator("#tensor .own text").all_text_contents() == labels


def test_the_cube_follows_the_cell(opened):
    page = opened()
    before = page.locator("#tensor .own .solid.top").get_attribute("d")
    page.locator('#step .main td[data-cell="3"]').hover()
    after = page.locator("#tensor .own .solid.top").get_attribute("d")
    assert before != after
    page.locator('#step .main td[data-cell="31"]').hover()  # another sample, the same feature
    assert page.locator("#tensor .own .solid.top").get_attribute("d") == after
    assert not opened("function").locator("#tensor").is_visible()


def test_the_start_shows_what_is_given(opened):
    page = opened()
    assert heading(page) == "Start"
    assert titles(page.locator("#step .main td")) == np.ravel(
        example("batch_norm").x.array).tolist()
    shown = page.locator("#step figure").evaluate_all("all => all.map((e) => e.dataset.array)")
    assert shown[:3] == ["x", "gamma", "beta"]
    assert "eps = 0.00001, n = 8" in page.locator("#step").inner_text()
    assert page.locator("#count").inner_text() == "start"
    assert page.locator("#previous").is_disabled()
    page.locator("#next").click()
    assert heading(page) == "mu"
    page.locator('.node[data-node="gamma"]').click()
    assert heading(page) == "Start"
    page.locator('.node[data-node="gamma"]').click()
    assert heading(page) == "dgamma"


def test_red_goes_along_the_edges(opened):
    def red(page):
        return page.locator(".edge.bad").evaluate_all(
            "all => all.map((e) => `${e.dataset.from} ${e.dataset.to}`)")

    page = opened("nan")
    assert red(page) == []
    page.locator("#slider").fill("2")
    assert set(red(page)) == {"x mu", "x xmu", "mu xmu"}
    assert page.locator('.edge.bad[data-to="xmu"]').first.get_attribute(
        "marker-end") == "url(#study-bad)"
    assert page.locator(".node.spoilt").count() == 0
    page.keyboard.press("End")
    assert page.locator('.node[data-node="x"].spoilt').count() == 1
    assert page.locator('.node[data-node="gamma"].spoilt').count() == 1
    assert page.locator('.node[data-node="beta"].spoilt').count() == 0  # the sum of dout alone
    page = opened("function")  # exp is too large for one cell; so is all after it
    page.locator("#slider").fill("3")
    assert red(page) == ["v2 out"]
    assert not red(opened(hash="#step=28"))


def test_the_way_that_comes_to_nothing_says_so(opened):
    page = opened()
    part = page.locator(".part.rounding")
    assert "Exactly 0 on paper" in part.inner_text()
    most = re.search(r"What stands here is rounding, (\S+) at most", part.inner_text())
    assert most
    assert float(most[1].replace("−", "-")) < 1e-15
    shown = titles(part.locator("td"))
    assert f"{np.abs(shown).max():.1e}"[:3] == most[1][:3]


def test_tables_in_the_shape_of_x_name_its_axes(opened):
    page = opened("group_norm")
    assert page.locator("#findings .arrays").first.locator("caption").all_text_contents()[:2] == [
        "N = 0", "N = 1"]
    assert page.locator("#step caption").first.text_content() == "N = 0, G = 0"


def test_eval_says_why_it_has_no_what_ifs(opened):
    assert "the statistics are given" in opened("eval").locator("#cases").inner_text()
    assert opened("eval").locator("#subtitle").inner_text() == (
        "evaluation, with running statistics · 13 steps: 6 forward, 7 backward · "
        "computed in float64")
    assert opened().locator("#subtitle").inner_text().startswith(
        "training · 28 steps: 9 forward, 3 on the side, 16 backward · ")
    assert not opened("layer_norm").locator("#cases").is_visible()
    assert opened("large").locator("#cases").inner_text().endswith(
        "to 64 values of x at most, not to 160. With --rows 8 it takes the first 8 samples.")


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm", "nan", "rms_norm"])
def test_no_word_of_another_norm(opened, name):
    """Who remembers nothing is in no mode, and reduces no batch; test_study_sentences.py has the
    sentences that Python makes."""
    page = opened(name)
    for case in range(max(page.locator("#cases button").count(), 1)):
        if case:
            page.locator("#cases button").nth(case).click()
        words = page.locator("body").inner_text().lower()
        for named in ("#title", "#tensor .others"):
            words = words.replace(page.locator(named).inner_text().lower(), "")
        assert not re.search("training|evaluation|running|remember|batch|dead", words)


def test_what_the_page_says_of_batch_renorm(opened):
    """Its output moves where the batch's statistics do, and where they are clipped, that far."""
    page = opened("batch_renorm")
    text = page.locator("#findings").inner_text()
    assert "closed form: γ·r·ivar·(I − 11ᵀ/n − xnorm·xnormᵀ/n)" in text
    assert "Eigenvalues of ∂xnorm/∂x · sqrtvar" in text
    page.locator("#nudge").fill("0.5")  # r and d move with it: xhat is what it was, but for one
    assert "1 of 8 outputs move" in page.locator("#findings").inner_text()
    page.get_by_role("button", name="constant feature").click()
    assert "xnorm = 0 whatever they are, xhat = d = 3," in page.locator("#cases").inner_text()
    assert "direction: scale none: xnorm = 0" in page.locator("#findings").inner_text()


def test_numbers_in_the_place_of_names(opened):
    """One cell of x, where the formula means one, and all of them under a sum."""
    page = opened("softmax", hash="#step=1")
    text = page.locator("#step .math").nth(1).inner_text().replace("\n", "")
    assert text == "v10,0=largest([1.000,2.000,4.000])=4"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert heading(page) == "out"
    text = page.locator("#step .math").nth(1).inner_text().replace("\n", "")
    assert text == "out0,0=exp(−3)∑1exp([−3.000,−2.000,0])=0.042"


@pytest.mark.parametrize("name", ["batch_norm", "nan"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_is_named_and_text_is_readable(opened, name, scheme):
    page = opened(name, scheme=scheme)
    assert page.evaluate("""() => [...document.querySelectorAll("button, input, select")].filter(
      (e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length""") == 0
    for step in (0, 5, 24):
        page.locator("#slider").fill(str(step))
        ratio, where, drawn = page.evaluate(WORST_CONTRAST)
        assert ratio >= 4.5, (where, step)
        assert drawn > 20


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_what_is_tapped_is_large_enough(opened, size, scheme):
    page = opened(size=size, scheme=scheme, hash="#step=17")
    page.get_by_label("guess gradients first").check()
    small = """() => [...document.querySelectorAll(
        "button, input, select, .node, #step .main td")].filter((e) => {
      const {width, height} = e.getBoundingClientRect();
      return width && (width < 24 || height < 24);
    }).map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(small) == []
    page.get_by_label("guess gradients first").uncheck()
    assert page.evaluate(small) == []
    assert overflows(page) == []


def test_on_paper(opened):
    page = opened(size=DESKTOP, scheme="dark", hash="#step=24&case=1")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 700, "height": 990})  # of A4 between its margins
    assert overflows(page) == []
    for gone in ("#controls", ".sliders", "#cases .tabs"):
        assert not page.locator(gone).first.is_visible()
    assert page.locator("#step").is_visible()
    assert "two values" in page.locator("#cases").inner_text()  # which case it is
    assert page.locator("body").evaluate("e => getComputedStyle(e).color") == "rgb(23, 33, 43)"
    box = page.locator("svg.graph").bounding_box()
    assert box["x"] + box["width"] <= 700  # all of the graph, without scrolling
    ratio, where, _ = page.evaluate(WORST_CONTRAST)
    assert ratio >= 4.5, where
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm", "large"])
def test_nothing_overflows_on_a_phone(opened, name):
    page = opened(name, size=PHONE)
    assert overflows(page) == []
    for box in page.locator(".cube").all():
        place = box.bounding_box()
        assert place["x"] + place["width"] <= 390
