"""What the tests of the study's page in a browser share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from browser import DESKTOP, Heard


@contextmanager
def visits(browser: Any, folder: Path) -> Iterator[Callable[..., Any]]:
    """Opens pages; at the end nothing was complained of, nothing asked for."""
    tabs: list[tuple[Any, Heard]] = []

    with ExitStack() as stack:
        def visit(
            name: str = "batch_norm", size: Any = DESKTOP, scheme: str = "light", hash: str = ""
        ) -> Any:
            page, heard = stack.enter_context(browser.tab(size, scheme))
            tabs.append((page, heard))
            page.goto((folder / f"{name}.html").as_uri() + hash)
            return page

        yield visit
        titles = [page.title() for page, _ in tabs]
    assert [text for _, heard in tabs for text in heard.said] == []
    assert [url for _, heard in tabs for url in heard.asked
            if not url.startswith(("data:", "file:"))] == []
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
