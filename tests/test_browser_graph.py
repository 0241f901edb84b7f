"""The page of a graph in a real browser: Debian's Chromium, driven by Playwright."""

import re

import pytest
from browser import DESKTOP, HOSTILE, LOOKS, PHONE, needs_browser
from graph_page import opened
from viz_case import Block, Chain, Normed, draws

import tinygrad_norm as tn
from tinygrad_norm import viz

pytestmark = [draws, needs_browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    model = Chain(Normed(), Chain(Block(2), Block(2)))
    x = tn.ones(4, 3)
    y = model(x).sum()
    folder = tmp_path_factory.mktemp("page")
    params = {**dict(model.named_parameters()), HOSTILE: x}
    return {view: viz.graph(y, params=params, show="all", view=view)
            .save(folder / f"{view}.html").as_uri() for view in ("forward", "both")}


@pytest.fixture
def page(browser, addresses, request):
    """The open page; at the end nothing was complained of, nothing asked for."""
    size, scheme, view = (*getattr(request, "param", (DESKTOP, "light")), "forward")[:3]
    with opened(browser, addresses[view], size, scheme) as page:
        yield page
        assert page.title() == "Computation graph"


def numbers(page):
    return page.locator("#numbers").inner_text()


def heading(page):
    return page.locator("#numbers h2").inner_text()


def view_box(page):
    return [float(v) for v in page.locator("#stage svg").get_attribute("viewBox").split()]


def node(page, name):
    return page.locator(f'.node[aria-label^="{name}"]').first


def overflows(page):
    return page.evaluate("""() => {
      const wide = document.documentElement.clientWidth, high = innerHeight;
      return [...document.querySelectorAll("body *:not(svg *):not(svg)")].filter((e) => {
        const r = e.getBoundingClientRect();
        if (!r.width || e.closest("aside") && e.tagName !== "ASIDE") {
          return r.right > wide + 1 || e.scrollWidth > e.clientWidth + 1 && e.tagName === "ASIDE";
        }
        return r.right > wide + 1 || r.left < -1 || r.bottom > high + 1;
      }).map((e) => e.outerHTML.slice(0, 80));
    }""")


@pytest.mark.parametrize("page", LOOKS, indirect=True)
def test_nothing_overflows(page):
    assert overflows(page) == []
    page.keyboard.press("/")
    page.keyboard.type("normalize")
    page.keyboard.press("Enter")
    assert heading(page) == "normalize"
    assert overflows(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("page", LOOKS, indirect=True)
def test_click_shows_numbers_and_lights_edges(page):
    page.keyboard.press("0")
    node(page, "normalize").click()
    text = numbers(page)
    for word in ("operation", "BatchNorm1d", "eps=1e-05", "0.bn.weight", "(4, 4) float32", "‖grad‖",
                 "mean 1 ± 0"):
        assert word in text
    assert page.locator(".edge.lit").count() >= 4
    assert page.locator(".node.chosen").count() == 1
    page.get_by_role("button", name="0.bn.weight", exact=True).click()
    assert heading(page) == "0.bn.weight"
    page.keyboard.press("Escape")
    assert "Choose a node" in numbers(page)
    assert page.locator(".chosen, .lit").count() == 0


@pytest.mark.parametrize("page", [(PHONE, "light")], indirect=True)
def test_touch(page):
    page.keyboard.press("0")
    node(page, "normalize").tap()
    assert heading(page) == "normalize"
    before = view_box(page)
    page.get_by_role("button", name="Zoom in").tap()
    assert view_box(page)[2] < before[2]


def test_arrow_keys_after_each_control(page):
    """They go on in the picture, but from where they have a use: typing, choosing."""
    for control in (*page.locator("button:not([disabled])").all(), page.locator("summary")):
        page.keyboard.press("Escape")
        control.focus()
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.matches('.node, .cluster')"), (
            control.inner_text())


def test_keyboard_walks_the_nodes(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.node, .cluster')"):
            break
    names, kinds = set(), set()
    for _ in range(24):
        page.keyboard.press("ArrowDown")
        names.add(heading(page))
        assert page.evaluate("document.activeElement.matches('.chosen')")
        kinds.add(page.evaluate("document.activeElement.classList[0]"))
    assert len(names) > 8
    assert kinds == {"node", "cluster"}
    assert page.locator('#stage [tabindex="0"]').count() == 1
    node(page, "output").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert heading(page) == "output"


def test_every_part_can_be_reached_by_arrows(page):
    """From the first stop of the Tab key, by some way: what no arrow leads to does not exist."""
    unreached = page.evaluate("""() => {
      const all = [...nodes(), ...clusters()], seen = new Set([all.find((e) => e.tabIndex === 0)]);
      for (const part of seen) {
        for (const [dx, dy] of Object.values(ARROWS)) {
          const next = towards(part, dx, dy);
          if (next) seen.add(next);
        }
      }
      return all.filter((e) => !seen.has(e)).map((e) => e.getAttribute("aria-label"));
    }""")
    assert unreached == []


def test_focus_can_be_seen(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        seen = page.evaluate("""() => {
          const e = document.activeElement, s = getComputedStyle(e);
          if (e === document.body) return "body";
          if (!e.matches(".node, .cluster")) {
            return s.outlineStyle !== "none" && parseFloat(s.outlineWidth);
          }
          const shape = e.querySelector("path, polygon, ellipse");
          return parseFloat(getComputedStyle(shape).strokeWidth);
        }""")
        if seen == "body":
            break
        assert seen >= 3


def test_zoom_pan_and_fit(page):
    page.keyboard.press("0")
    whole = view_box(page)
    page.keyboard.press("+")
    assert view_box(page)[2] == pytest.approx(whole[2] / 1.25, abs=0.01)
    page.keyboard.press("-")
    assert view_box(page) == pytest.approx(whole, abs=0.01)
    page.keyboard.press("Shift+ArrowRight")
    assert view_box(page)[0] > whole[0]
    page.get_by_role("button", name="Fit").click()
    assert view_box(page) == pytest.approx(whole, abs=0.01)
    page.get_by_role("button", name="Zoom in").click()
    assert view_box(page)[2] < whole[2]
    page.get_by_role("button", name="Zoom out").click()
    page.mouse.move(300, 400)
    page.mouse.down()
    page.mouse.move(350, 430, steps=4)
    page.mouse.up()
    assert view_box(page)[0] < whole[0]
    assert "Choose a node" in numbers(page)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"document.querySelector('svg').viewBox.baseVal.width < {whole[2] - 1}")


def test_search(page):
    page.keyboard.press("/")
    page.keyboard.type("NORM")
    assert re.fullmatch(r"\d+ found", page.locator("#found").inner_text())
    assert page.locator(".match").count() > 3
    page.keyboard.press("Enter")
    first = page.locator(".chosen").get_attribute("id")
    page.keyboard.press("Enter")
    assert page.locator(".chosen").get_attribute("id") != first
    assert page.locator("#found").inner_text().startswith("2 of ")
    page.locator("#search").fill("nowhere")
    assert page.locator("#found").inner_text() == "none"
    page.keyboard.press("Escape")
    assert page.locator(".match").count() == 0


def test_modules_close_and_open(page):
    opened = page.locator(".node").count()
    node(page, "normalize").click()
    page.keyboard.press("c")
    fewer = page.locator(".node").count()
    assert fewer < opened
    page.locator("#depth").select_option("closed")
    assert page.locator(".node").count() == 4
    assert overflows(page) == []
    node(page, "Chain").dblclick()
    assert page.locator("#depth").input_value() == "1"
    node(page, "0 Normed").click()
    assert "closed module" in numbers(page)
    page.get_by_role("button", name="Open this module").click()
    assert heading(page) == "0 Normed"
    assert "closed" not in numbers(page)
    page.get_by_role("button", name="Close this module").click()
    assert "closed module" in numbers(page)
    for _ in range(5):
        page.locator("body").press("o")
    assert page.locator(".node").count() == opened


def test_search_opens_what_is_closed(page):
    page.locator("#depth").select_option("closed")
    page.keyboard.press("/")
    page.keyboard.type("fc.weight")
    assert page.locator("#found").inner_text() == "1 found, inside"
    assert page.locator(".holds").get_attribute("aria-label") == "Chain, closed module"
    page.keyboard.press("Enter")
    assert heading(page) == "0.fc.weight"
    assert page.locator("#found").inner_text() == "1 of 1"


def test_hostile_name_is_only_text(page):
    page.keyboard.press("/")
    page.keyboard.type("</script>")
    page.keyboard.press("Enter")
    assert heading(page) == HOSTILE
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("page", [*LOOKS, (DESKTOP, "light", "both"), (DESKTOP, "dark", "both")],
                         indirect=True)
def test_contrast(page):
    """Of every text against what is drawn behind it, in the page and in the picture."""
    page.keyboard.press("0")
    page.evaluate("toggle({ kind: 'cluster', index: graphs[view].clusters.length - 1 })")
    assert page.locator("text.shut").count() > 1
    node(page, "normalize").click()
    low = page.evaluate("""() => {
      const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
      const light = (c) => rgb(c).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ratio = (a, b) => {
        const [low, high] = [light(a), light(b)].sort((p, q) => p - q);
        return (high + 0.05) / (low + 0.05);
      };
      const clear = (c) => c === "none" || rgb(c)[3] === 0;
      const page = getComputedStyle(document.body).backgroundColor, found = [];
      for (const text of document.querySelectorAll("#stage text")) {
        const node = text.closest(".node, .cluster");
        if (!text.getClientRects().length) continue;
        const shape = node?.querySelector("path:not(.gone), polygon, ellipse");
        const fills = shape ? [getComputedStyle(shape).fill]
          : [...document.querySelectorAll(".cluster > path")].map((p) => getComputedStyle(p).fill);
        for (const fill of fills.filter((one) => !clear(one)).concat(shape ? [] : [page])) {
          const got = ratio(getComputedStyle(text).fill, fill);
          if (got < 4.5) found.push([text.textContent, fill, got]);
        }
      }
      for (const e of document.querySelectorAll("body *:not(svg *)")) {
        const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !e.getClientRects().length) continue;
        let back = e;
        while (back && clear(getComputedStyle(back).backgroundColor)) back = back.parentElement;
        const got = ratio(getComputedStyle(e).color,
                          back ? getComputedStyle(back).backgroundColor : page);
        if (got < 4.5) found.push([e.textContent, got]);
      }
      return found;
    }""")
    assert low == []


def test_print_shows_the_whole(page):
    page.keyboard.press("+")
    page.emulate_media(media="print", color_scheme="dark")
    for control in ("#tools", "aside", ".fold >> nth=0"):
        assert not page.locator(control).is_visible()
    assert page.locator("#legend").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    last = page.locator(".node").last.bounding_box()
    frame = page.locator("#stage svg").bounding_box()
    assert frame["x"] <= last["x"] <= frame["x"] + frame["width"]
    assert last["y"] + last["height"] <= frame["y"] + frame["height"] + 1
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")
    page.locator("aside #legend").wait_for()


def test_without_javascript(browser, addresses):
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(addresses["both"])
    stage, svg = page.locator("#stage"), page.locator("#stage > svg")
    assert stage.bounding_box()["width"] <= PHONE["width"]
    assert svg.bounding_box()["width"] > 700  # its own size, in a box that scrolls
    sizes = page.evaluate("""() => [...document.querySelectorAll("#stage text")].map((text) =>
      parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)""")
    assert min(sizes) >= 9 - 1e-6
    stage.evaluate("stage => stage.scrollLeft = 300")
    assert stage.evaluate("stage => stage.scrollLeft") == 300
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator("#legend").is_visible()
    assert not page.locator("#tools").is_visible()
    assert not page.locator("aside").is_visible()
    context.close()
