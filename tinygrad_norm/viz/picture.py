"""What ``graph`` returns: the graph, its text as DOT and JSON, and what Graphviz draws of it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .dot import to_dot
from .model import BOX, BUFFER, DERIVATIVE, INPUT, OP, PARAMETER, Graph, to_json

FORMATS = ("svg", "png", "pdf", "html", "dot", "json")
LARGEST = 2000
"""Nodes. Layout takes a second for hundreds, minutes for many thousands, and nobody can read it."""
PATIENCE = 120
"""Seconds."""

# In a process of its own: Graphviz is not safe in threads, can exhaust the C stack, and writes to
# standard error, where a progress bar may be.
PYGRAPHVIZ = """\
import sys, pygraphviz
source = sys.stdin.buffer.read().decode()
picture = pygraphviz.AGraph(string=source).draw(format=sys.argv[1], prog="dot", args=sys.argv[2])
sys.stdout.buffer.write(picture)
"""


class Picture:
    """A graph as text and as a picture: ``.dot``, ``.json``, ``.save(path)``, and in notebooks.

    graph:  what is drawn
    full:   the same with nothing collapsed, for viewers that open modules themselves
    """

    def __init__(self, graph: Graph, full: Graph | None = None) -> None:
        self.graph = graph
        self.full = graph if full is None else full

    @functools.cached_property
    def dot(self) -> str:
        """The DOT text; the same graph gives the same text."""
        return to_dot(self.graph)

    @functools.cached_property
    def json(self) -> str:
        """The graph as JSON text; ``viz.model`` describes it."""
        return to_json(self.graph)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``x.svg``, ``.png``, ``.pdf``, ``.html``, ``.dot`` or ``.json``, by the ending; the
        path. The page needs no network: it zooms, finds, opens modules and shows numbers.

        The file is written beside and renamed: none is left half.

        Raises:
            ValueError: another ending, or a graph too large to draw.
            ImportError: nothing here can draw; the DOT text is written beside, as ``x.dot``.
        """
        path = Path(path)
        form = path.suffix[1:].lower()
        if form not in FORMATS:
            raise ValueError(f"save: expected a path that ends in .svg, .png, .pdf, .html, "
                             f".dot or .json, got {str(path)!r}")
        if form in ("dot", "json"):
            return _write(path, (self.dot if form == "dot" else self.json).encode())
        try:
            picture = self._page() if form == "html" else self.render(form)
        except (ImportError, RuntimeError, ValueError) as error:
            beside = path.with_suffix(".dot")
            _write(beside, self.dot.encode())
            raise type(error)(f"{error}; the DOT text is in {beside}") from None
        return _write(path, picture)

    def render(self, form: str = "svg") -> bytes:
        """The picture as SVG, PNG or PDF.

        Raises:
            ValueError: the graph is too large to draw.
            ImportError: nothing here can draw.
            RuntimeError: Graphviz failed.
        """
        self._check_size()
        if form == "svg":
            return with_prefix(self._svg, f"g{zlib.crc32(self.dot.encode()):08x}-").encode()
        return drawn(self.dot, form)

    def _check_size(self) -> None:
        count = len(self.graph.nodes)
        if count > LARGEST:
            cure = ("depth=1 draws a box for each part" if self.graph.clusters
                    else "draw one layer's output, or fewer steps")
            raise ValueError(f"render: the graph has {count} nodes, too many to draw and to read "
                             f"(at most {LARGEST}); {cure}")

    @functools.cached_property
    def _svg(self) -> str:
        """The picture as SVG; its ids have no prefix yet."""
        from .titles import titled

        label = f'<svg role="img" aria-label="computation graph: {self.counts}" '
        return titled(drawn(self.dot, "svg").decode().replace("<svg ", label, 1), self.graph)

    def _page(self) -> bytes:
        from .html import to_html

        return to_html(self).encode()

    def displayed(self) -> str:
        """The picture as SVG whose ids no other display has, of this picture neither.

        Raises:
            as ``render`` does.
        """
        self._check_size()
        return with_prefix(self._svg, f"g{os.urandom(6).hex()}-")

    def _repr_svg_(self) -> str | None:
        try:
            return self.displayed()
        except (ImportError, RuntimeError, ValueError):
            return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            from .notebook import framed

            return {"text/html": framed(self), "image/svg+xml": self.displayed(),
                    "text/plain": repr(self)}
        except (ImportError, RuntimeError, ValueError) as error:
            return {"text/plain": f"{self!r}\n{error}"}

    @property
    def counts(self) -> str:
        """``2 operations, 1 parameter``"""
        counts = []
        for kind, word in ((OP, "operation"), (DERIVATIVE, "operation backward"), (BOX, "box"),
                           (PARAMETER, "parameter"), (BUFFER, "buffer"), (INPUT, "input")):
            n = len(self.graph.of_kind(kind))
            if n:
                first, _, rest = word.partition(" ")
                many = "es" if word == BOX else "s"
                counts.append(f"{n} {first}{many if n > 1 else ''} {rest}".rstrip())
        return ", ".join(counts)

    def __repr__(self) -> str:
        return f'<Picture of {self.counts}; .save("graph.svg") draws it>'


def _write(path: Path, content: bytes) -> Path:
    """Write beside and rename, so that no file is ever half there."""
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        if error.errno:
            error.filename = str(path)  # not that of the hidden file beside
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return path


def tools(form: str) -> Iterator[list[str]]:
    """The commands that read DOT and write a picture, the best first."""
    import shutil

    resolution = "-Gdpi=144" if form == "png" else ""
    if sys.executable and importlib.util.find_spec("pygraphviz"):
        yield [sys.executable, "-P", "-c", PYGRAPHVIZ, form, resolution]
    if dot := shutil.which("dot"):
        yield [dot, f"-T{form}", *([resolution] if resolution else [])]


def drawn(dot: str, form: str) -> bytes:
    """The picture that the first tool that works makes of ``dot``."""
    import subprocess  # here, as shutil above: they would take a tenth of the package's import time

    problem = None
    for command in tools(form):
        try:
            done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False,
                                  timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"render: Graphviz took more than {PATIENCE} s; draw a smaller "
                               "graph") from None
        if done.returncode == 0 and done.stdout:
            return done.stdout
        problem = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    if problem is not None:
        raise RuntimeError(f"render: Graphviz failed: {''.join(problem) or 'no reason given'}")
    raise ImportError("render: nothing here can draw a graph; install pygraphviz (pip install "
                      "pygraphviz; it brings Graphviz along), or Graphviz itself (apt install "
                      "graphviz)")


def with_prefix(svg: str, prefix: str) -> str:
    """Ids with a prefix, so that two pictures in one page do not mix.

    In text Graphviz writes ``<`` as an entity, so only its own tags match.
    """
    return re.sub(r'(<[a-z]+ id=")', rf"\g<1>{prefix}", svg)
