"""The study's page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import DESKTOP, HOSTILE, LOOKS, PHONE, needs_browser
from study_pages import heading, overflows, titles, visits

import tinygrad_norm as tn
from tinygrad_norm.study.walk import example, what_ifs

pytestmark = [needs_browser, pytest.mark.slow]


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
    with visits(browser, folder) as visit:
        yield visit


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_steps_to_the_end_by_keyboard(opened, study, size, scheme):
    page = opened(size=size, scheme=scheme)
    page.locator("#next").focus()
    assert heading(page) == "Start"
    page.keyboard.press("ArrowRight")
    for i, name in enumerate(study.steps, 1):
        assert heading(page) == name
        if i % 5 == 3:
            assert page.locator("#count").inner_text() == f"{i} / {len(study.steps)}"
            assert page.url.endswith(f"#step={i}")  # one count, that of the text and of the docs
            assert page.locator(".node.current").count() == 1
            assert overflows(page) == []
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "previous"  # the other one is off
    assert page.locator("#said").inner_text() == "step 28: dx"
    page.keyboard.press("Home")
    assert heading(page) == "Start"


@pytest.mark.parametrize(("name", "size"), [
    ("group_norm", DESKTOP), ("group_norm", PHONE), ("eval", PHONE), ("function", PHONE),
    ("hostile", PHONE), ("nan", PHONE), ("wide", PHONE), ("wide", DESKTOP)])
def test_every_page_steps(opened, name, size):
    page = opened(name, size=size)
    last = int(page.locator("#slider").get_attribute("max"))
    for step in (*range(0, last, 6), last):
        page.locator("#slider").fill(str(step))
        assert overflows(page) == []
    assert page.locator("#next").is_disabled()
    assert page.locator("#step .main td").count() > 0


def test_values_and_gradients_that_are_not_yet_known(opened, study):
    page = opened(hash="#step=1")
    assert page.locator("#step .beside td").all_inner_texts() == ["—"] * 4
    shown = titles(page.locator("#step .main td"))
    assert shown == study.node("mu").value[0]
    page.keyboard.press("End")
    shown = titles(page.locator("#step .main td"))
    assert shown == np.ravel(study.gradient("dx").value).tolist()


def test_pointing_at_a_cell_lights_what_it_reads(opened, study):
    page = opened(hash="#step=4")  # var, of the column of sq
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


def test_arrow_keys_after_each_control(opened):
    """They go on to the next step, or have a use in the control itself: none is dead."""
    page = opened(hash="#step=5")
    states = """() => [...document.querySelectorAll("input, select")].map((e) => e.value)"""
    controls = page.locator("button:not([disabled]), input, select, summary, [tabindex='0']")
    for i in range(controls.count()):
        control = controls.nth(i)
        if control.get_attribute("data-cell"):
            continue  # the arrows go from cell to cell
        name = control.evaluate("e => e.id || e.textContent")
        control.focus()
        before, step = page.evaluate(states), heading(page)
        page.keyboard.press("ArrowRight")
        own = control.evaluate("e => e.matches('select, [type=range]')")
        assert (heading(page) != step) or (own and page.evaluate(states) != before), name
        page.keyboard.press("ArrowLeft")
        assert heading(page) == step, name


def test_guessing_leaves_the_arrow_keys(opened):
    page = opened(hash="#step=13")
    page.get_by_label("guess gradients first").check()
    for name in ("dbeta", "dgammax"):
        page.keyboard.press("ArrowRight")
        assert heading(page) == name
    page.get_by_label("guess gradients first").uncheck()
    page.get_by_label("as constants").check()
    page.keyboard.press("ArrowLeft")
    assert heading(page) == "dbeta"


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
    page = opened(hash="#step=18")
    assert heading(page) == "divar"
    page.keyboard.press("ArrowRight")
    page.reload()
    assert heading(page) == "dxmu1"
    page.evaluate("location.hash = '#step=6&case=1'")
    page.wait_for_function("document.querySelector('#step .name').textContent === 'ivar'")
    assert "batch of 2" in page.locator("#cases [aria-pressed=true]").inner_text()
    page.reload()
    assert heading(page) == "ivar"
    for wrong, name in (("step=999", "dx"), ("step=x&case=-7", "Start"), ("step=2", "xmu"),
                        ("%E0%A4%A&step=1e1&case=9e9", "Start"), ("step=2.5", "Start"),
                        ("step=0", "Start"),
                        ("step=4&case=99", "var"), ("", "Start")):
        page.evaluate("hash => { location.hash = hash; }", wrong)
        page.wait_for_function(
            "name => document.querySelector('#step .name').textContent === name", arg=name)
    assert "as given" in page.locator("#cases [aria-pressed=true]").inner_text()


def test_what_ifs(opened):
    page = opened()
    page.get_by_role("button", name="batch of 2").click()
    page.locator('.node[data-node="xhat"]').click()
    shown = titles(page.locator("#step .main td"))
    assert np.abs(np.abs(shown) - 1).max() < 1e-2


def test_the_wrong_gradient_beside_the_right_one(opened, study):
    page = opened()
    assert page.locator(".wrong").count() == 0
    page.get_by_label("as constants").check()
    shown = titles(page.locator(".wrong td"))
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
    assert "Nothing to compare: 9 cells are NaN in both." in text
    assert "1 cell is NaN in only one" in text  # of the sums of dx, which should be 0
    assert "≈" in page.locator(".badges li").first.inner_text()
    assert "3 cells are NaN in both" in page.locator(".badges li").first.inner_text()
    assert "; 3 cells are NaN." in text  # of dx
    assert "0 of 3 outputs move; of 3 it cannot be said: NaN" in text
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
    page = opened(hash="#step=17")
    page.get_by_label("guess gradients first").check()
    right = study.gradient("dxhat").value[0][0]
    assert set(page.locator("#step .main td").all_inner_texts()) == {"?"}
    assert page.locator("#step .math").count() == 1  # without the numbers: they give it away
    assert not page.locator("#findings").is_visible()
    page.get_by_label("Your guess").fill(f"{right + 1:.3f}")
    page.get_by_role("button", name="Reveal").click()
    assert re.search(r"apart", page.locator("#step .answer").inner_text())
    assert "?" not in page.locator("#step .main td").all_inner_texts()
    assert page.locator("#step .math").count() == 2
    page.keyboard.press("ArrowLeft")  # of dgammax = dout, too
    page.keyboard.press("ArrowLeft")
    assert heading(page) == "dgammax"
    assert set(page.locator("#step .main td").all_inner_texts()) == {"?"}
    page.locator("#slider").fill("4")
    assert page.locator("#step .math").count() == 2  # of a value on the way forward all is shown
    page.get_by_label("guess gradients first").uncheck()
    assert page.locator("#findings").is_visible()
