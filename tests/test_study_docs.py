"""docs/study.md: its numbers are those of a walk, its code and its commands run."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_norm.__main__ import main
from tinygrad_norm.study.walk import Study, example

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "study.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(columns: int) -> list[list[str]]:
    found = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in PAGE.splitlines() if line.startswith("|")]
    return [row for row in found if len(row) == columns and not set(row[0]) <= set("-")]


def numbers(values: Any) -> str:
    return ", ".join(f"{v:.4f}" for v in np.ravel(values)).replace("-", "−")


@pytest.fixture(scope="module")
def study() -> Study:
    """What the page's code makes; it checks itself on the way."""
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block.replace("print(study)", "str(study)"), "docs/study.md", "exec"), names)
    return names["study"]


def test_every_step_is_there_with_its_numbers(study: Study) -> None:
    found = [row for row in rows(3) if row[0].isdecimal()]
    known = {one.step: one for one in (*study.forward, *study.backward)}
    assert [int(row[0]) for row in found] == list(range(1, len(study.steps) + 1))
    for step, formula, values in found:
        one = known[int(step)]
        assert formula == f"`{one.formula.text if one.formula else one.name}`"
        assert values == numbers(one.value)


def test_one_count_of_the_steps(study: Study) -> None:
    """What the page says of their number, its table, the walk and its text; the page in a browser
    is in test_browser_study.py."""
    kinds = Counter(one.role for one in study.forward if one.step)
    counts = [kinds["value"], len(study.backward), kinds["statistic"]]
    said = re.search(r"is (\d+) small steps forward and (\d+) back", PAGE)
    more = re.search(r"remembers, in (\d+) more steps", PAGE)
    assert said
    assert more
    assert [*map(int, (*said.groups(), *more.groups()))] == counts
    assert len([row for row in rows(3) if row[0].isdecimal()]) == sum(counts) == len(study.steps)
    shown = re.findall(r"^ {0,2}(\d+)  (\w+)", str(study), re.MULTILINE)
    assert shown == [(str(i), name) for i, name in enumerate(study.steps, 1)]


def test_the_ways(study: Study) -> None:
    assert study.decomposition
    assert len(rows(4)) == 1 + 3
    for row, part in zip(rows(4)[1:], study.decomposition.parts, strict=False):
        formula = part.formula.text.removeprefix("dx = ")
        assert row == [part.name, f"`{formula}`", numbers(part.value), f"{part.norm:.4f}"]
    assert study.decomposition.parts[3].norm == 0


def test_the_formulas_of_the_norms() -> None:
    found = {row[0].strip("`"): row[2].strip("`") for row in rows(3) if row[0].startswith("`")}
    found.pop("study")
    assert len(found) == 6
    for kind, text in found.items():
        assert example(kind).trace().node("var").formula.text == text  # type: ignore[union-attr]


def test_the_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        command = shlex.split(line, comments=True)
        assert command[:3] == ["python", "-m", "tinygrad_norm"]
        assert main(command[3:]) == 0
        assert capsys.readouterr().out
    assert (tmp_path / "study.json").exists()
    assert (tmp_path / "study.html").exists()
