"""Pictures: files, notebooks, and what draws them."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import pytest
from viz_case import MLP, leaf, texts

import tinygrad_norm as tn
from tinygrad_norm import viz
from tinygrad_norm.viz import picture


@pytest.fixture
def drawing():
    if not any(picture.tools("svg")):
        pytest.skip("nothing to draw with: pip install pygraphviz")
    model = MLP()
    return viz.graph(model(tn.ones(3, 4)).sum(), params=model)


@pytest.mark.parametrize(("form", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"),
                                             ("pdf", b"%PDF"), ("dot", b"digraph"),
                                             ("SVG", b"<?xml"), ("json", b'{"format"')])
def test_save(drawing, tmp_path, form, start):
    path = drawing.save(str(tmp_path / f"x.{form}"))
    assert path == tmp_path / f"x.{form}"
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_svg_says_everything(drawing):
    said = " ".join(texts(drawing.render("svg")))
    for text in ("fc1.weight", "fc2.bias", "linear", "relu", "sum", "output", "(3, 4)", "(2,)",
                 "()", "MLP", "Linear"):
        assert text in said


def test_svg_ids_of_two_pictures_differ(drawing):
    def ids(svg):
        return {e.get("id") for e in ElementTree.fromstring(svg).iter() if e.get("id")}

    other = viz.graph(leaf(2).relu())
    first, second = ids(drawing.render()), ids(other.render())
    assert first
    assert second
    assert not first & second
    assert drawing.render() == drawing.render()


def test_notebook(drawing):
    bundle = drawing._repr_mimebundle_()
    assert list(bundle) == ["text/html", "image/svg+xml", "text/plain"]
    assert texts(bundle["image/svg+xml"].encode()) == texts(drawing.render("svg"))
    assert bundle["text/plain"] == repr(drawing)


def test_each_display_has_ids_of_its_own(drawing):
    bundles = [drawing._repr_mimebundle_() for _ in range(2)]
    shown = [drawing._repr_svg_(), *(b["image/svg+xml"] for b in bundles),
             *(b["text/html"] for b in bundles), drawing.render("svg").decode()]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in shown]
    assert min(map(len, ids)) > 20
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_what_is_saved_is_the_same_each_time(drawing, tmp_path):
    for form in ("svg", "html"):
        texts_of_it = [drawing.save(tmp_path / f"{i}.{form}").read_bytes() for i in range(2)]
        assert texts_of_it[0] == texts_of_it[1]


def test_repr(drawing):
    assert repr(drawing).startswith("<Picture of 4 operations, 4 parameters")


@pytest.mark.parametrize("name", ["x.jpeg", "x", ".svg", "x.dot.txt"])
def test_unknown_ending(tmp_path, name):
    with pytest.raises(ValueError, match=r"save: expected a path that ends in \.svg, \.png"):
        viz.graph(leaf(2).relu()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_file_is_left_half(monkeypatch, tmp_path):
    path = tmp_path / "x.dot"
    path.write_text("before")

    def replace(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(picture.os, "replace", replace)
    with pytest.raises(OSError, match="disk full"):
        viz.graph(leaf(2).relu()).save(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def without(monkeypatch, pygraphviz=True, dot=True):
    if pygraphviz:
        monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: None)
    if dot:
        monkeypatch.setattr(shutil, "which", lambda name: None)


def test_without_tools(monkeypatch, tmp_path):
    without(monkeypatch)
    drawing = viz.graph(leaf(2).relu())
    with pytest.raises(ImportError, match="nothing here can draw a graph; install pygraphviz"):
        drawing.render()
    with pytest.raises(ImportError, match=r"the DOT text is in .*x\.dot"):
        drawing.save(tmp_path / "x.svg")
    assert (tmp_path / "x.dot").read_text(encoding="utf-8") == drawing.dot
    assert not (tmp_path / "x.svg").exists()
    assert drawing._repr_svg_() is None
    assert "install pygraphviz" in drawing._repr_mimebundle_()["text/plain"]


def test_system_dot_is_second(monkeypatch):
    calls = []

    def run(command, **options):
        calls.append(command)
        answer = (0, b"<svg id='x'/>") if command[0] == "/bin/dot" else (1, b"")
        return subprocess.CompletedProcess(command, *answer, stderr=b"no\nbroken")

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", run)
    assert viz.graph(leaf(2).relu()).render("pdf") == b"<svg id='x'/>"
    assert calls[0][0] == picture.sys.executable
    assert calls[1] == ["/bin/dot", "-Tpdf"]
    assert list(picture.tools("png"))[1] == ["/bin/dot", "-Tpng", "-Gdpi=144"]
    without(monkeypatch, pygraphviz=False)
    with pytest.raises(RuntimeError, match="render: Graphviz failed: broken"):
        viz.graph(leaf(2).relu()).render("pdf")


def test_drawing_takes_too_long(monkeypatch):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(picture.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match="Graphviz took more than 120 s; draw a smaller graph"):
        viz.graph(leaf(2).relu()).render()


def test_too_large_to_draw(tmp_path):
    y = leaf()
    for _ in range(picture.LARGEST):
        y = y.relu()
    drawing = viz.graph(y)
    with pytest.raises(ValueError, match="has 2002 nodes, too many to draw and to read"):
        drawing.save(tmp_path / "x.png")
    assert (tmp_path / "x.dot").exists()
    assert "too many" in drawing._repr_mimebundle_()["text/plain"]


def test_threads_that_save_to_one_path_do_not_meet(tmp_path):
    picture = viz.graph(leaf(3) * 2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: picture.save(tmp_path / "x.dot"), range(100)))
    assert (tmp_path / "x.dot").read_text(encoding="utf-8") == picture.dot
    assert [file.name for file in tmp_path.iterdir()] == ["x.dot"]


def test_a_missing_folder_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "missing" / "graph.dot"
    with pytest.raises(FileNotFoundError) as caught:
        tn.viz.graph(tn.ones(2, requires_grad=True) * 2).save(path)
    assert caught.value.filename == str(path)
