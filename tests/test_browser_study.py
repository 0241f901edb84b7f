"""The study's page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import DESKTOP, HOSTILE, LOOKS, PHONE, needs_browser

import tinygrad_norm as tn
from tinygrad_norm.study.walk import example, what_ifs

pytestmark = needs_browser


@pytest.fixture(scope="module")
def study():
    return example("batch_norm").trace()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("study")
    study.save(folder / "batch_norm.html", what_ifs("batch_norm"))
    study.notes.append(HOSTILE)
    study.save(folder / "hostile.html")
    study.notes.pop()
    example("group_norm").trace().save(folder / "group_norm.html")
    example("batch_renorm", training=False).trace().save(folder / "eval.html")
    example("layer_norm", shape=(2, 64)).trace().save(folder / "wide.html")
    x = tn.tensor([[1.0, float("nan")], [float("inf"), -2.0]])
    function = tn.study.trace(lambda x, w: (x @ w).relu().sum(), x, tn.ones(2, 2))
    function.save(folder / "function.html")
    broken = tn.tensor([[float("nan"), 1.0, 2.0], [1.0, -1.0, 0.5], [3.0, 0.0, 2.0]])
    tn.study.trace(tn.nn.LayerNorm(3), broken).save(folder / "nan.html")
    return folder


@pytest.fixture
def opened(browser, folder):
    """Opens pages; at the end nothing was complained of, nothing asked for."""
    said, asked, contexts = [], [], []

    def open_page(name="batch_norm", size=DESKTOP, scheme="light", hash=""):
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda one: asked.append(one.url))
        page.goto((folder / f"{name}.html").as_uri() + hash)
        return page

    yield open_page
    titles = [context.pages[0].title() for context in contexts]
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert "broken" not in titles


def heading(page):
    return page.locator("#step .name").inner_text()


def overflows(page):
    """What sticks out of the page, but for what scrolls in a frame of its own."""
    return page.evaluate("""() => {
      const wide = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth > wide) return ["the page"];
      return [...document.querySelectorAll("body *:not(svg *)")].filter((e) => {
        const r = e.getBoundingClientRect(), p = e.parentElement;
        return r.width && !p.closest(".scroll, #graph") && (r.right > wide + 1 || r.left < -1);
      }).map((e) => e.outerHTML.slice(0, 80));
    }""")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_steps_to_the_end_by_keyboard(opened, study, size, scheme):
    page = opened(size=size, scheme=scheme)
    page.locator("#next").focus()
    for i, name in enumerate(study.steps):
        assert heading(page) == name
        if i % 5 == 3:
            assert page.locator("#count").inner_text() == f"{i + 1} / {len(study.steps)}"
            assert page.locator(".node.current").count() == 1
            assert overflows(page) == []
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    assert heading(page) == study.steps[0]


@pytest.mark.parametrize(("name", "size"), [
    ("group_norm", DESKTOP), ("group_norm", PHONE), ("eval", PHONE), ("function", PHONE),
    ("hostile", PHONE), ("nan", PHONE), ("wide", PHONE), ("wide", DESKTOP)])
def test_every_page_steps(opened, name, size):
    page = opened(name, size=size)
    for i in range(int(page.locator("#slider").get_attribute("max"))):
        if i % 6 == 0:
            assert overflows(page) == []
        page.keyboard.press("ArrowRight")
    assert page.locator("#next").is_disabled()
    assert page.locator("#step .main td").count() > 0


def test_values_and_gradients_that_are_not_yet_known(opened, study):
    page = opened()
    assert page.locator("#step .beside td").all_inner_texts() == ["—"] * 4
    shown = page.locator("#step .main td").evaluate_all("all => all.map((e) => Number(e.title))")
    assert shown == study.node("mu").value[0]
    page.keyboard.press("End")
    shown = page.locator("#step .main td").evaluate_all("all => all.map((e) => Number(e.title))")
    assert shown == np.ravel(study.gradient("dx").value).tolist()


def test_pointing_at_a_cell_lights_what_it_reads(opened, study):
    page = opened(hash="#step=3")  # var, of the column of sq
    page.locator('#step .main td[data-cell="2"]').hover()
    lit = page.locator('#step [data-array="sq"] td.lit')
    assert lit.evaluate_all("all => all.map((e) => Number(e.dataset.cell))") == list(
        range(2, 32, 4))
    text = page.locator("#step .math").nth(1).inner_text()
    for row in study.node("sq").value:
        assert f"{row[2]:.3f}" in text
    assert f"{study.node('var').value[0][2]:.3f}" in text
    page.locator('#step .main td[data-cell="2"]').focus()
    page.keyboard.press("ArrowRight")  # goes to the next cell, not to the next step
    assert heading(page) == "var"
    assert page.locator("#step .main td.chosen").get_attribute("data-cell") == "3"


def test_nodes_and_forks(opened):
    page = opened()
    page.locator('.node[data-node="xmu"]').click()
    assert heading(page) == "xmu"
    page.locator('.node[data-node="xmu"]').press("Enter")
    assert heading(page) == "dxmu"
    assert page.locator("#step .fork figure").evaluate_all(
        "all => all.map((e) => e.querySelector('b').textContent)") == ["dxmu1", "dxmu2", "dxmu"]
    assert page.locator(".edge.back").count() == 2
    page.keyboard.press("ArrowLeft")
    assert "not yet" in page.locator("#step .fork").inner_text()


def test_the_address_keeps_the_step(opened):
    page = opened(hash="#step=17")
    assert heading(page) == "divar"
    page.keyboard.press("ArrowRight")
    page.reload()
    assert heading(page) == "dxmu1"
    page.evaluate("location.hash = '#step=5&case=1'")
    page.wait_for_function("document.querySelector('#step .name').textContent === 'ivar'")
    assert "batch of 2" in page.locator("#cases [aria-pressed=true]").inner_text()
    page.reload()
    assert heading(page) == "ivar"
    page.evaluate("location.hash = '#step=x&case=-7'")
    page.wait_for_function("document.querySelector('#step .name').textContent === 'mu'")


def test_what_ifs(opened):
    page = opened()
    page.get_by_role("button", name="batch of 2").click()
    page.locator('.node[data-node="xhat"]').click()
    shown = page.locator("#step .main td").evaluate_all("all => all.map((e) => Number(e.title))")
    assert np.abs(np.abs(shown) - 1).max() < 1e-2


def test_the_wrong_gradient_beside_the_right_one(opened, study):
    page = opened()
    assert page.locator(".wrong").count() == 0
    page.get_by_label("as constants").check()
    shown = page.locator(".wrong td").evaluate_all("all => all.map((e) => Number(e.title))")
    wrong = study.node("gamma").value[0] * np.array(study.node("ivar").value[0]) * np.array(
        study.gradient("dout").value)
    np.testing.assert_allclose(shown, wrong.ravel(), rtol=1e-12)


def test_nudging_an_input_computes_what_python_computes(opened):
    case = example("batch_norm")
    page = opened()
    page.locator("#nudged").select_option("5")
    page.locator("#nudge").fill("1.5")
    x = np.array(case.x.array)
    x.ravel()[5] += 1.5
    moved = tn.study.trace(case.layer, tn.tensor(x), grad_output=case.grad_output)
    for name, value in (("xhat", moved.node("xhat").value), ("out", moved.node("out").value),
                        ("dx", moved.gradient("dx").value)):
        shown = page.locator(f'.nudged td[data-of="{name}"]').evaluate_all(
            "all => all.map((e) => Number(e.dataset.value))")
        np.testing.assert_allclose(shown, np.array(value)[:, 1], rtol=1e-12, atol=1e-12)
    assert "8 of 8 outputs move" in page.locator("#findings").inner_text()
    page.get_by_role("button", name="Back to 0").click()
    assert "0 of 8 outputs move" in page.locator("#findings").inner_text()


def test_nan_is_shown_to_the_last_section(opened):
    page = opened("nan")
    assert page.locator("#step .main td.bad").count() > 0
    text = page.locator("#findings").inner_text()
    assert "At most NaN apart" in text
    assert "Nudge one input" in text
    assert "Notes" in text
    assert page.locator(".nudged td.bad").first.evaluate("e => getComputedStyle(e).color") == (
        page.locator(".numbers td.bad").first.evaluate("e => getComputedStyle(e).color"))


def test_in_eval_one_input_moves_one_output(opened):
    page = opened("eval")
    page.locator("#nudge").fill("1")
    assert "1 of 8 outputs move" in page.locator("#findings").inner_text()
    assert "share their running statistics" in page.locator("#tensor").inner_text()


def test_a_guess_comes_before_the_gradient(opened, study):
    page = opened(hash="#step=16")
    page.get_by_label("guess gradients first").check()
    right = study.gradient("dxhat").value[0][0]
    assert set(page.locator("#step .main td").all_inner_texts()) == {"?"}
    assert f"{right:.3f}".replace("-", "−") not in page.locator("#step .math").nth(1).inner_text()
    page.get_by_label("Your guess").fill(f"{right + 1:.3f}")
    page.get_by_role("button", name="Reveal").click()
    assert re.search(r"apart", page.locator("#step .answer").inner_text())
    assert "?" not in page.locator("#step .main td").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_control_is_named_and_text_is_readable(opened, scheme):
    page = opened(scheme=scheme, hash="#step=23")
    assert page.evaluate("""() => [...document.querySelectorAll("button, input, select")].filter(
      (e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length""") == 0
    worst = page.evaluate("""() => {
      const canvas = document.createElement("canvas").getContext("2d",
        {willReadFrequently: true});
      const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
      const bright = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928
        ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s
        + v * [.2126, .7152, .0722][i], 0);
      const under = (e) => { for (; e; e = e.parentElement) {
        const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } };
      let worst = [99, ""];
      for (const e of document.querySelectorAll("body *:not(svg *)")) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || e.disabled || !e.getBoundingClientRect().width) continue;
        const [a, b] = [rgb(getComputedStyle(e).color), under(e)].map(bright);
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 90)];
      }
      return worst;
    }""")
    assert worst[0] >= 4.5, worst
