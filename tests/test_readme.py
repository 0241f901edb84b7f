"""What the README and CONTRIBUTING say: their code runs, their commands, links and names exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import train_mlp
from options import Options

import tinygrad_norm as tn

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = {"python": sys.executable}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """The lines of shell blocks, without their comments."""
    lines = [line.split(" #")[0].strip() for block in blocks(text, "sh")
             for line in block.splitlines()]
    return [line for line in lines if line]


def extras(command: str) -> set[str]:
    """The extras that a ``pip install`` names."""
    return {extra for found in re.findall(r"\[([\w,]+)\]", command) for extra in found.split(",")}


# -- code ------------------------------------------------------------------------------------------


def test_the_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks in their order, as in one session."""
    pytest.importorskip("pygraphviz", reason="it draws the graph")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    found = blocks(README, "python")
    assert len(found) >= 4
    for block in found:
        exec(compile(block, "README.md", "exec"), names)
    first, *rest = capsys.readouterr().out.splitlines()
    accuracy = re.fullmatch(r"(\d+\.\d)%", first)
    assert accuracy
    assert float(accuracy[1]) > 85
    assert "all is well" in rest  # of diagnose
    assert any("Identity" in line for line in rest)  # of fuse
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "activations.png", "both.svg", "gradients.png", "graph.svg", "moons.safetensors"]


def test_the_first_block_is_ten_lines() -> None:
    first, second = (block.splitlines() for block in blocks(README, "python")[:2])
    assert sum(bool(line) for line in first) <= 10
    assert max(map(len, first + second)) <= 58  # what fits beside the picture without scrolling


# -- commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted({*commands(README), *commands(CONTRIBUTING)}))
def test_the_commands_are_right(command: str, tmp_path: Path) -> None:
    """Each is run where that is quick, else looked up where it is defined."""
    words = command.replace("'", "").replace(".venv/bin/", "").split()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] == ["pip", "install"] or words[1:4] == ["-m", "pip", "install"]:
        assert extras(command) <= set(PROJECT["optional-dependencies"])
        assert extras(command) or "torch==" in command
    elif words[:2] == ["python", "examples/train_mlp.py"]:
        quick = ["--data", "moons", "--hidden", "8", "--epochs", "1"]
        if "--resume" in words:
            run([*words[:2], *quick, "--out", words[-1]], tmp_path)
            quick = []
        run(words if "--help" in words else [*words, *quick], tmp_path)
    elif words[:2] == ["python", "examples/lessons"]:
        run(words, tmp_path)
    elif words[:2] == ["python", "benchmarks/precision.py"]:
        run([*words, "--quick"], tmp_path)
    elif words[:3] == ["python", "-m", "pytest"]:
        run([*words, "--collect-only", "-q", "tests/test_cuda.py"], ROOT)
    elif words[:3] == ["python", "-m", "tinygrad_norm"]:
        run(words, tmp_path)
    elif words[:2] in (["python", "docs/build.py"],  # run by test_docs
                       ["python", "docs/notebook.py"],  # by test_notebook
                       ["python", "docs/pictures.py"]):  # needs a browser; looked at by hand
        assert (ROOT / words[1]).exists()
    elif words[0] == ".":
        assert command == ". .venv/bin/activate"  # what make demo made
    elif words[0] == "cp":
        assert (ROOT / words[2]).exists()
    else:
        assert os.access(ROOT / words[0], os.X_OK), command


def run(words: list[str], folder: Path) -> None:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [PYTHON.get(word, word) for word in words]
    words = [str(ROOT / word) if word.startswith(("examples/", "benchmarks/")) else word
             for word in words]
    done = subprocess.run(words, cwd=folder, text=True, capture_output=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert targets or file != "README.md"
    for target in targets:
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(file: str) -> None:
    """`nn/batch.py` and the like, from the root, in the package or in its tests."""
    text = re.sub(r"```.*?```", "", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)
    for name in re.findall(r"`([\w./]+\.(?:py|md|toml|svg|cu))`", text):
        places = [ROOT / name, ROOT / "tinygrad_norm" / name, ROOT / "tests" / name]
        assert any(place.exists() for place in places), name


def test_names_in_the_readme_exist() -> None:
    for name in re.findall(r"`tn\.([\w.]+)`", README):
        value: object = tn
        for part in name.split("."):
            value = getattr(value, part)
    norms = README.partition("## The norms")[2].partition("## ")[0]
    families = re.findall(r"`([A-Z]\w+?)(1d/2d/3d)?`", norms)
    assert len(families) > 20
    for family, forms in families:
        for form in ("1d", "2d", "3d") if forms else ("",):
            assert hasattr(tn.nn, family + form), family


def test_every_dependency_has_its_reason() -> None:
    needed = [*PROJECT["dependencies"], "setuptools", "torch"]
    for extra in PROJECT["optional-dependencies"].values():
        needed += extra
    for requirement in needed:
        name = re.split(r"[\[>=<~ ]", requirement)[0].removesuffix("-cuda12x").removesuffix(
            "-cuda13x")
        assert re.search(rf"^\| .*\b{name}\b.* \| \S", CONTRIBUTING, re.MULTILINE), name


def test_the_picture_is_that_of_the_example() -> None:
    """CONTRIBUTING has the command that draws it anew."""
    training = train_mlp.Training(Options(data="moons", hidden=(32,)))
    graph = tn.viz.graph(*training.one_step()).graph
    svg = ET.parse(ROOT / "docs" / "graph.svg")
    drawn = {element.text for element in svg.iter() if element.tag.endswith("}text")}
    assert {node.name for node in graph.nodes} <= drawn
    assert {cluster.type for cluster in graph.clusters} <= {
        word for text in drawn if text for word in text.split()}
