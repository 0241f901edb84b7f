"""docs/normalization.md: its table is the catalogue's, its code runs, no layer is missing."""

from __future__ import annotations

import re

import pytest
from docs_scripts import DOCS, script

from tinygrad_norm import nn
from tinygrad_norm.proof.catalogue import ENTRIES, Entry
from tinygrad_norm.proof.forms import names as forms
from tinygrad_norm.proof.table import invariant, title

PAGE = (DOCS / "normalization.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def code(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_table_is_the_catalogue() -> None:
    """``python docs/build.py`` writes it anew."""
    assert script(DOCS / "build.py").built(PAGE) == PAGE


@pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])
def test_every_layer_has_its_section(entry: Entry) -> None:
    """With formulas, gradient, and an example that names the layer."""
    section = SECTIONS[title(entry)]
    formulas = "".join(code(section, ""))
    assert "=" in formulas
    assert re.search(r"d[a-zxγβ]\w* ", formulas), "the gradient is missing"
    assert entry.name in "".join(code(section))


@pytest.mark.parametrize("entry", ENTRIES, ids=[e.name for e in ENTRIES])
def test_its_docstring_says_to_what_it_is_invariant(entry: Entry) -> None:
    """In the words of the table; of a layer with several forms one refers to another."""
    places = (nn, nn.functional, nn.utils.parametrizations)
    found = {getattr(place, name) for name in forms(entry.name)
             for place in places if name in dir(place)}
    line = f" Invariant to: {invariant(entry)} "
    assert [line in f"{' '.join(one.__doc__.split())} " for one in found].count(True) == 1


@pytest.mark.parametrize("name", SECTIONS)
def test_the_code_runs(name: str, names: dict[str, object]) -> None:
    """Each section by itself, after the prelude and the shared formulas."""
    for block in code(SECTIONS[name]):
        exec(compile(block, f"docs/normalization.md, {name}", "exec"), names)


@pytest.fixture
def names() -> dict[str, object]:
    """What the blocks before the first layer define."""
    found: dict[str, object] = {}
    for block in code(PAGE[: PAGE.index("## BatchNorm")]):
        exec(compile(block, "docs/normalization.md", "exec"), found)
    return found
