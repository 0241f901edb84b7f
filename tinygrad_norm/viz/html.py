"""One HTML file that pans, zooms, finds, opens and closes modules: ``picture.save("graph.html")``.

It holds the picture as SVG, at each depth of modules, and the graph as JSON. Nothing is fetched:
the page's policy forbids it, and it forbids every script but its own, which it names by its hash.
Without JavaScript the first picture stands there alone.

``page/graph.css`` and the scripts beside it are copied into it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from .collapse import collapsed, levels
from .model import Graph, to_json
from .repeat import folded

if TYPE_CHECKING:
    from .picture import Picture

SCRIPTS = ("graph.js", "numbers.js", "controls.js")
LARGEST_VIEW = 400
"""Nodes. What is drawn besides the picture itself may take no more: the file would be slow."""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'sha256-{hash}'">
<link rel="icon" href="data:,">
<title>Computation graph</title>
<style>
{css}</style>
</head>
<body>
<header>
<h1>Computation graph</h1>
<p id="counts">{counts}</p>
<div id="tools" role="toolbar" aria-label="Picture" hidden>
<label for="search">Find</label>
<input id="search" type="search" placeholder="name" autocomplete="off" spellcheck="false">
<output id="found" for="search"></output>
<label for="depth">Modules</label>
<select id="depth">
{options}</select>
<span class="zoom">
<button id="in" type="button" aria-label="Zoom in" title="Zoom in: +">+</button>
<button id="out" type="button" aria-label="Zoom out" title="Zoom out: −">−</button>
<button id="fit" type="button" title="The whole picture: 0">Fit</button>
</span>
</div>
</header>
<main>
<div id="stage">
{svg}</div>
<aside aria-label="Numbers" hidden>
<section id="numbers" aria-live="polite"><p>Choose a node to see its numbers.</p></section>
<details id="keys"><summary>Keys</summary>
<dl>
<dt>arrows</dt><dd>the next node that way</dd>
<dt>shift + arrows</dt><dd>move the picture</dd>
<dt>Enter</dt><dd>the node's numbers</dd>
<dt>o, c</dt><dd>open, close a level of modules</dd>
<dt>+, −, 0</dt><dd>zoom, the whole picture</dd>
<dt>/</dt><dd>find; Enter goes to the next</dd>
<dt>Escape</dt><dd>choose nothing</dd>
</dl>
</details>
</aside>
</main>
{templates}<script type="application/json" id="graphs">
{data}</script>
<script>{script}</script>
</body>
</html>
"""


def to_html(picture: Picture) -> str:
    """The page's text.

    Raises:
        ValueError: the graph is too large to draw.
        ImportError: nothing here can draw.
        RuntimeError: Graphviz failed.
    """
    views, first = _views(picture)
    drawings = [_inline(view.render("svg").decode(), _counts(view)) for _, view in views]
    script = "\n".join(_file(name) for name in SCRIPTS)
    return PAGE.format(
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        css=_file("graph.css"), script=script, counts=escape(_counts(picture)),
        svg=drawings[first],
        options="".join(f'<option value="{i}"{" selected" * (i == first)}>{label}</option>\n'
                        for i, (label, _) in enumerate(views)),
        templates="".join(f'<template id="view-{i}">\n{drawing}</template>\n'
                          for i, drawing in enumerate(drawings) if i != first),
        data=_data([view.graph for _, view in views]))


def _views(picture: Picture) -> tuple[list[tuple[str, Picture]], int]:
    """(what to call it, the picture) at each depth that is not too large, and which is first."""
    shown, full = picture.graph, picture.full
    notes = [one.attributes for one in shown.clusters] + [n.attributes for n in shown.nodes]
    repeats = any("repeat" in note for note in notes)
    base = folded(full) if repeats or len(full.nodes) > LARGEST_VIEW else full
    found: list[tuple[str, Graph]] = []
    deepest = levels(base)
    for depth in range(deepest + 1):
        graph = collapsed(base, depth)
        if len(graph.nodes) <= LARGEST_VIEW:
            found.append((_label(depth, deepest), graph))
    same = [i for i, (_, graph) in enumerate(found) if _same(graph, shown)]
    first = same[0] if same else sum(len(graph.nodes) < len(shown.nodes) for _, graph in found)
    found[first:first + len(same)] = [(found[first][0] if same else "as saved", shown)]
    return [(label, type(picture)(graph)) for label, graph in found], first


def _same(one: Graph, other: Graph) -> bool:
    """Whether they are drawn alike, but for the hint."""
    return (one.nodes, one.edges, one.clusters) == (other.nodes, other.edges, other.clusters)


def _label(depth: int, deepest: int) -> str:
    if depth == deepest:
        return "all open" if deepest else "none"
    return f"{depth} level{'s' * (depth != 1)} open" if depth else "closed"


def _inline(svg: str, label: str) -> str:
    """Graphviz's SVG as it stands within HTML: parts are found by number, not by tooltip.

    In text Graphviz writes ``<`` as an entity, so only its own tags match.
    """
    width, height, box = re.findall(
        r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"\s+viewBox="([-\d. ]+)"', svg)[0]
    inside = svg[svg.index("<svg"):]
    inside = inside[inside.index(">") + 1:].strip()
    for found, put in (
        (r' class="node">\s*<title>n(\d+)</title>', r' class="node" data-node="\1">'),
        (r' class="cluster">\s*<title>cluster_(\d+)</title>',
         r' class="cluster" data-cluster="\1">'),
        (r' class="edge">\s*<title>n(\d+)&#45;&gt;n(\d+)</title>',
         r' class="edge" data-from="\1" data-to="\2">'),
        (r"<title>operations</title>\s*", ""),
        (r"<!--.*?-->\s*", ""),
        (r' xml:space="preserve"', ""),
        (r' font-family="[^"]*"', ""),
    ):
        inside = re.sub(found, put, inside)
    return (f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{height}" '
            f'viewBox="{box}">\n{inside}\n')


def _counts(picture: Picture) -> str:
    """``2 operations, 1 parameter``, and what was left out."""
    hint = picture.graph.attributes.get("hint")
    return f"{picture.counts}. {hint}" if hint else picture.counts


def _data(graphs: list[Graph]) -> str:
    """The graphs as JSON in which nothing can end the script element around it."""
    return "[" + ",\n".join(to_json(graph).strip() for graph in graphs) + "]\n"


def _file(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")
