"""One HTML file that pans, zooms, finds, opens and closes modules: ``picture.save("graph.html")``.

It holds the picture as SVG, at each depth of modules, and the graph as JSON. Nothing is fetched:
the page's policy forbids it, and it forbids every script but its own, which it names by its hash.
Without JavaScript the first picture stands there alone.

``page/graph.css`` and the scripts beside it are copied into it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from .collapse import collapsed, levels, origins
from .legend import legend
from .model import Graph, to_json
from .repeat import folded

if TYPE_CHECKING:
    from .picture import Picture

SCRIPTS = ("graph.js", "space.js", "closing.js", "moving.js", "modules.js", "numbers.js",
           "search.js", "controls.js")
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
{options}<option value="" hidden>some closed</option>
</select>
<span class="buttons">
<button id="open" type="button" aria-label="Open all modules" title="O">Open all</button>
<button id="close" type="button" aria-label="Close all modules" title="C">Close all</button>
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
<section id="numbers" aria-live="polite"></section>
<details id="keys"><summary>Keys</summary>
<dl>
<dt>arrows</dt><dd>the next node or module that way</dd>
<dt>m</dt><dd>the module around it</dd>
<dt>Enter, space</dt><dd>a node's numbers; opens or closes a module</dd>
<dt>shift + arrows</dt><dd>move the picture</dd>
<dt>o, c</dt><dd>open, close a level of modules</dd>
<dt>O, C</dt><dd>open, close all</dd>
<dt>+, −, 0</dt><dd>zoom, the whole picture</dd>
<dt>/</dt><dd>find; Enter goes to the next</dd>
<dt>Escape</dt><dd>choose nothing</dd>
</dl>
</details>
</aside>
<section id="legend" aria-label="Legend">
<h2>Legend</h2>
{legend}</section>
</main>
{templates}<script type="application/json" id="graphs">
{data}</script>
<script type="application/json" id="places">
{places}</script>
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
    with ThreadPoolExecutor() as pool:  # Graphviz is a process of its own
        drawings = list(pool.map(_drawing, [view.picture for view in views]))
    script = "\n".join(_file(name) for name in SCRIPTS)
    return PAGE.format(
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        css=_file("graph.css"), script=script, counts=escape(_counts(picture)),
        svg=drawings[first], legend=legend(views[-1].picture.graph),
        options="".join(f'<option value="{i}"{" selected" * (i == first)}>{view.label}</option>\n'
                        for i, view in enumerate(views)),
        templates="".join(f'<template id="view-{i}">\n{drawing}</template>\n'
                          for i, drawing in enumerate(drawings) if i != first),
        data=_data([view.picture.graph for view in views]),
        places=json.dumps([view.places for view in views]))


class View(NamedTuple):
    """One drawing of the graph.

    places: where its parts stand in the graph that all depths are made of: ``nodes`` and
            ``clusters`` (see ``collapse.origins``) and ``depth``; None if it is made of another
    """

    label: str
    picture: Picture
    places: dict[str, Any] | None


def _views(picture: Picture) -> tuple[list[View], int]:
    """The picture at each depth that is not too large, and which of them is first."""
    shown, full = picture.graph, picture.full
    notes = [one.attributes for one in shown.clusters] + [n.attributes for n in shown.nodes]
    repeats = any("repeat" in note for note in notes)
    base = folded(full) if repeats or len(full.nodes) > LARGEST_VIEW else full
    found: list[View] = []
    deepest = levels(base)
    for depth in range(deepest + 1):
        graph = collapsed(base, depth)
        same = _same(graph, shown)
        if same or len(graph.nodes) <= LARGEST_VIEW:
            nodes, clusters = origins(base, depth)
            found.append(View(_label(depth, deepest), type(picture)(shown if same else graph),
                              {"depth": depth, "nodes": nodes, "clusters": clusters}))
    first = [i for i, view in enumerate(found) if view.picture.graph is shown]
    if first:
        return found, first[-1]
    at = sum(len(view.picture.graph.nodes) < len(shown.nodes) for view in found)
    return [*found[:at], View("as saved", type(picture)(shown), None), *found[at:]], at


def _same(one: Graph, other: Graph) -> bool:
    """Whether they are drawn alike, but for the hint."""
    return (one.nodes, one.edges, one.clusters) == (other.nodes, other.edges, other.clusters)


def _label(depth: int, deepest: int) -> str:
    if depth == deepest:
        return "all open" if deepest else "none"
    return f"{depth} level{'s' * (depth != 1)} open" if depth else "closed"


def _drawing(picture: Picture) -> str:
    """Graphviz's SVG as it stands within HTML."""
    svg = picture.render("svg").decode()
    width, height, box = re.findall(
        r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"\s+viewBox="([-\d. ]+)"', svg)[0]
    inside = svg[svg.index("<svg"):]
    inside = inside[inside.index(">") + 1:].strip()
    for found in (r"<!--.*?-->\s*", r' xml:space="preserve"', r' font-family="[^"]*"'):
        inside = re.sub(found, "", inside)
    return (f'<svg role="img" aria-label="{escape(_counts(picture))}" width="{width}" '
            f'height="{height}" viewBox="{box}">\n{inside}\n')


def _counts(picture: Picture) -> str:
    """``2 operations, 1 parameter``, and what was left out."""
    hint = picture.graph.attributes.get("hint")
    return f"{picture.counts}. {hint}" if hint else picture.counts


def _data(graphs: list[Graph]) -> str:
    """The graphs as JSON in which nothing can end the script element around it."""
    return "[" + ",\n".join(to_json(graph).strip() for graph in graphs) + "]\n"


def _file(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")
