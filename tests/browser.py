"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright; ``browser`` is in
conftest.py."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(not BROWSER, reason="no browser: apt install chromium")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
HOSTILE = "</script><img src=x onerror=document.title='broken'>"


class Browser:
    """Chromium, and its tabs: one that a test is done with serves the next, which opens a page of
    its own in it. To make a tab takes longer than most tests."""

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self.free: dict[bool, list[Any]] = {False: [], True: []}

    @contextmanager
    def tab(self, size: Any, scheme: str, touch: bool = False) -> Iterator[tuple[Any, Heard]]:
        """A tab of that size and look, with nothing in it, and what will be heard of it."""
        page = (self.free[touch].pop() if self.free[touch]
                else self.chromium.new_context(has_touch=touch).new_page())
        page.set_viewport_size(size)
        page.emulate_media(media="null", color_scheme=scheme)
        heard = Heard(page)
        yield page, heard
        heard.stop()
        page.mouse.move(0, 0)
        page.goto("about:blank")
        self.free[touch].append(page)

    def new_context(self, **settings: Any) -> Any:
        """For what a tab cannot be told later."""
        return self.chromium.new_context(**settings)


class Heard:
    """What a page says on the console, and what it asks for."""

    def __init__(self, page: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = page
        self.listeners = {"console": lambda message: self.said.append(message.text),
                          "pageerror": lambda error: self.said.append(str(error)),
                          "request": lambda one: self.asked.append(one.url)}
        for event, listener in self.listeners.items():
            page.on(event, listener)

    def stop(self) -> None:
        for event, listener in self.listeners.items():
            self.page.remove_listener(event, listener)
