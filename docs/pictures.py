"""Draw the pictures of the README: ``python docs/pictures.py`` (needs Playwright and Chromium).

docs/study.png: the study's page of BatchNorm, at the step where the parts of a gradient meet.
docs/both.svg: a small model's forward pass beside its backward pass.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.study.walk import example, what_ifs

DOCS = Path(__file__).parent


def graph() -> None:
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    loss = nn.functional.cross_entropy(model(tn.randn(6, 4)), tn.tensor([0, 1, 2, 0, 1, 2]))
    tn.viz.graph(loss, params=model, view="both").save(DOCS / "both.svg")


def study() -> None:
    from playwright.sync_api import sync_playwright

    walk = example("batch_norm").trace()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "study.html"
        walk.save(page_file, what_ifs("batch_norm"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"),
                                             args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1090}, color_scheme="light")
        page.goto(f"{page_file.as_uri()}#step={walk.forks[0].step}")
        page.screenshot(path=DOCS / "study.png")
        browser.close()


if __name__ == "__main__":
    graph()
    study()
