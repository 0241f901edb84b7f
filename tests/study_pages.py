"""What the tests of the study's page in a browser share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import DESKTOP


@contextmanager
def visits(browser: Any, folder: Path) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end nothing was complained of, nothing asked for."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def visit(
        name: str = "batch_norm", size: Any = DESKTOP, scheme: str = "light", hash: str = ""
    ) -> Any:
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda one: asked.append(one.url))
        page.goto((folder / f"{name}.html").as_uri() + hash)
        return page

    yield visit
    titles = [context.pages[0].title() for context in contexts]
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert "broken" not in titles


def heading(page: Any) -> str:
    return page.locator("#step .name").inner_text()


def titles(cells: Any) -> list[float]:
    """The numbers of table cells, with all their digits."""
    return cells.evaluate_all("all => all.map((e) => Number(e.title))")


def overflows(page: Any) -> list[str]:
    """What sticks out of the page, but for what scrolls in a frame of its own."""
    return page.evaluate("""() => {
      const wide = document.documentElement.clientWidth;
      if (document.documentElement.scrollWidth > wide) return ["the page"];
      return [...document.querySelectorAll("body *:not(svg *)")].filter((e) => {
        const r = e.getBoundingClientRect(), p = e.parentElement;
        return r.width && !p.closest(".scroll, #graph") && (r.right > wide + 1 || r.left < -1);
      }).map((e) => e.outerHTML.slice(0, 80));
    }""")
