"""docs/lessons.md and examples/README.md are what ``make lessons`` writes of the lessons."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kit import scripts, summary

import numpy as np
import pytest
from docs_scripts import DOCS, script

EXAMPLES = DOCS.parent / "examples"
SCRIPTS = {script.name: script for script in scripts()}


@pytest.fixture(scope="module")
def build() -> Any:
    return script(DOCS / "lessons.py")


@pytest.fixture(scope="module")
def found(build: Any) -> Any:
    return json.loads(build.FOUND.read_text(encoding="utf-8"))


def test_the_pages_are_up_to_date(build: Any, found: Any) -> None:
    """``python docs/lessons.py --text`` writes them anew."""
    assert build.page(found) == (DOCS / "lessons.md").read_text(encoding="utf-8")
    assert build.contents(found) == (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_lesson_has_been_run_with_its_defaults(name: str, found: Any) -> None:
    lesson = found["lessons"][name]
    assert lesson["effort"] == "default"
    assert lesson["seed"] == 0
    assert lesson["claims"]
    made = lesson["made with"].split(", ")  # versions, processor, kernel
    assert [fact.split()[0] for fact in made[:3]] == ["tinygrad_norm", "NumPy", "Python"]
    assert len(made) == 5
    assert (DOCS / "lessons" / f"{name}.png").stat().st_size > 10_000


def test_no_lesson_is_left_over(found: Any) -> None:
    assert list(found["lessons"]) == list(SCRIPTS)
    assert {path.stem for path in (DOCS / "lessons").glob("*.png")} == set(SCRIPTS)


@pytest.mark.parametrize("file", [DOCS / "lessons.md", EXAMPLES / "README.md"], ids=str)
def test_links_lead_somewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert len(targets) > len(SCRIPTS)
    for target in targets:
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize(("errors", "expected"), [((4.0, 5.0), 0), ((4.0, 2.5), 1)])
def test_the_check_finds_verdicts_that_hang_on_the_kernel(
    errors: tuple[float, float], expected: int, build: Any, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {setting: {"claims": [{
        "key": "range", "verdict": "shown" if error >= 3 else "not shown",
        "standard_errors": error}]} for setting, error in zip("AB", errors, strict=True)}
    monkeypatch.setattr(build.blas, "kernels", lambda: {"one": "A", "two": "B"})
    monkeypatch.setattr(build, "verdict", lambda *_, **env: found[env[build.blas.SETTING]])
    assert build.check([SCRIPTS["undo"]], "quick", None) == expected
    line, last = capsys.readouterr().out.splitlines()[1:]
    assert line.split()[:4] == ["undo", "range", *map(str, errors)]
    assert ("DIFFER" in line) == bool(expected)
    assert last == f"{expected} verdicts differ"


# -- the summary -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "expected"), [
    ("none", ()),
    ("batch", ("channel shift", "channel scale")),
    ("batch_renorm", ()),
    ("layer", ("sample shift", "sample scale")),
    ("group", ("sample shift", "sample scale")),
    ("instance", ("instance shift", "instance scale")),
])
def test_invariances_are_measured(method: str, expected: tuple[str, ...]) -> None:
    assert summary.invariances(method) == expected


@pytest.mark.parametrize("method", summary.USE)
def test_only_batch_norms_depend_on_the_batch(method: str) -> None:
    assert (summary.mates(method) > 1e-6) == method.startswith("batch")


@pytest.mark.slow
def test_the_rows_come_from_the_lesson(tmp_path: Path) -> None:
    errors = {2: [0.1, 0.2], 32: [0.05, 0.05]}
    records = [{"seed": seed, "data": kind, "norm": method, "batch": batch, "error": error}
               for kind in ("features", "pictures") for method in summary.USE
               for batch, both in errors.items() for seed, error in enumerate(both)
               if method != "none"]
    (tmp_path / "batch_size").mkdir()
    (tmp_path / "batch_size" / "metrics.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in records))
    none, *rows = summary.summary(tmp_path)
    assert [none.method, *(row.method for row in rows)] == list(summary.TITLES.values())
    assert np.isnan(none.errors["features"]).all()
    for row in rows:
        assert row.errors["features"] == row.errors["pictures"] == pytest.approx((15, 5, 5))
        assert np.isfinite(row.cost)
        assert row.cost > 0
    table = summary.markdown([none, *rows]).splitlines()
    assert len(table) == 3 + len(rows)
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| none | no: 0 | — | — | none | ")
    assert table[3].startswith("| BatchNorm | yes: 0.66 | 15.0 ± 5.0 % (5.0 %) | 15.0 ± 5.0 % "
                               "(5.0 %) | channel shift, channel scale | 1.00 | ")
