"""A real browser for the tests of pages: Debian's Chromium, driven by Playwright; ``browser`` is in
conftest.py."""

import shutil

import pytest

pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(not BROWSER, reason="no browser: apt install chromium")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
HOSTILE = "</script><img src=x onerror=document.title='broken'>"
