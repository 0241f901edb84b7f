"""examples/backprop_through_batchnorm.ipynb runs from top to bottom, and shows what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docs_scripts import DOCS, script

pytest.importorskip("nbclient", reason="it runs the notebook")
pytest.importorskip("ipykernel", reason="the notebook runs in its kernel")
pytest.importorskip("pygraphviz", reason="the notebook draws a graph")


@pytest.fixture(scope="module")
def module() -> Any:
    return script(DOCS / "notebook.py")


@pytest.fixture(scope="module")
def notebook(module: Any) -> Any:
    """The notebook after a fresh run; an assertion of its own that fails is an error here."""
    return module.executed()


def outputs(notebook: Any) -> list[list[str]]:
    """What each cell shows: the kinds."""
    return [sorted(kind for output in cell.get("outputs", [])
                   for kind in output.get("data", {output["output_type"]: ""}))
            for cell in notebook["cells"]]


@pytest.mark.filterwarnings("default")  # the kernel's own machinery
def test_it_shows_what_is_kept_in_the_file(module: Any, notebook: Any) -> None:
    kept = json.loads(module.NOTEBOOK.read_text(encoding="utf-8"))
    assert [cell["source"] for cell in notebook.cells] == [
        "".join(cell["source"]) for cell in kept["cells"]]
    assert outputs(notebook) == outputs(kept)
    assert "error" not in str(outputs(notebook))


@pytest.mark.filterwarnings("default")
def test_the_study_and_the_graph_are_inline(notebook: Any) -> None:
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", [])
             if "data" in output]
    graph, study = (data["text/html"] for data in shown)
    assert "<svg" in graph
    assert "dxmu1" in study
    assert "tinygrad_norm.study/2" in study
    assert "http://" not in study.replace("http://www.w3.org/", "")


@pytest.mark.filterwarnings("default")
def test_nothing_went_to_stderr(notebook: Any) -> None:
    streams = {output["name"] for cell in notebook.cells for output in cell.get("outputs", [])
               if output["output_type"] == "stream"}
    assert streams == {"stdout"}
