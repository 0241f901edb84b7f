"""What ``graph`` returns: the DOT text, and the picture that Graphviz makes of it."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..autograd.graph import Variable
from .dot import to_dot
from .trace import BUFFER, INPUT, OP, OUTPUT, PARAMETER, Graph, trace

FORMATS = ("svg", "png", "pdf", "dot")
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


def graph(tensor: Variable, params: Any = None) -> Picture:
    """The computation graph of ``tensor``, to look at or to save.

    Nothing is run and nothing is changed, and the picture keeps no tensor alive.

    Args:
        tensor: a result of recorded operations.
        params: names for tensors: a module, a dict, or pairs (name, tensor). By default those of
            the modules that were called on the way. A dict may name the data too: a tensor in it
            that does not require grad is an input, or a buffer if it is a ``Buffer``.

    Raises:
        TypeError: no tensor, or names in another form.
        RuntimeError: nothing was recorded.

    >>> import tinygrad_norm as tn
    >>> from tinygrad_norm import viz
    >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> viz.graph((w * w).sum(), {"w": w})
    <Picture of 2 operations, 1 parameter; .save("graph.svg") draws it>
    """
    return Picture(trace(tensor, params))


class Picture:
    """A graph as text and as a picture: ``.dot``, ``.save(path)``, and display in notebooks."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @functools.cached_property
    def dot(self) -> str:
        """The DOT text; the same graph gives the same text."""
        return to_dot(self.graph)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``x.svg``, ``x.png``, ``x.pdf`` or ``x.dot``, by the ending; return the path.

        Raises:
            ValueError: another ending, or a graph too large to draw.
            ImportError: nothing here can draw; the DOT text is written beside, as ``x.dot``.
        """
        path = Path(path)
        form = path.suffix[1:].lower()
        if form not in FORMATS:
            raise ValueError(f"save: expected a path that ends in .svg, .png, .pdf or .dot, got "
                             f"{str(path)!r}")
        if form == "dot":
            path.write_text(self.dot, encoding="utf-8")
            return path
        try:
            picture = self.render(form)
        except (ImportError, RuntimeError, ValueError) as error:
            beside = path.with_suffix(".dot")
            beside.write_text(self.dot, encoding="utf-8")
            raise type(error)(f"{error}; the DOT text is in {beside}") from None
        path.write_bytes(picture)
        return path

    def render(self, form: str = "svg") -> bytes:
        """The picture as SVG, PNG or PDF.

        Raises:
            ValueError: the graph is too large to draw.
            ImportError: nothing here can draw.
            RuntimeError: Graphviz failed.
        """
        count = len(self.graph.nodes)
        if count > LARGEST:
            raise ValueError(f"render: the graph has {count} nodes, too many to draw and to read "
                             f"(at most {LARGEST}); draw one layer's output, or fewer steps")
        picture = drawn(self.dot, form)
        if form == "svg":
            prefix = "g" + f"{zlib.crc32(self.dot.encode()):08x}" + "-"
            return with_prefix(picture, prefix)
        return picture

    def _repr_svg_(self) -> str | None:
        try:
            return self.render("svg").decode()
        except (ImportError, RuntimeError, ValueError):
            return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"image/svg+xml": self.render("svg").decode(), "text/plain": repr(self)}
        except (ImportError, RuntimeError, ValueError) as error:
            return {"text/plain": f"{self!r}\n{error}"}

    def __repr__(self) -> str:
        counts = []
        for kind, word in ((OP, "operation"), (PARAMETER, "parameter"), (BUFFER, "buffer"),
                           (INPUT, "input"), (OUTPUT, "")):
            n = len(self.graph.of_kind(kind))
            if n and word:
                counts.append(f"{n} {word}{'s' if n > 1 else ''}")
        return f'<Picture of {", ".join(counts)}; .save("graph.svg") draws it>'


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


def with_prefix(svg: bytes, prefix: str) -> bytes:
    """Ids with a prefix, so that two pictures in one page do not mix.

    In text Graphviz writes ``<`` as an entity, so only its own tags match.
    """
    return re.sub(rb'(<[a-z]+ id=")', rb"\1" + prefix.encode(), svg)
