"""``viz.graph``: a tensor is traced, measured, opened, folded, collapsed, and becomes a Picture.

    trace.py (calls.py, names.py, details.py)     Tensor → Graph: the forward pass
    reverse.py, backward.py                       the backward pass is run, and put beside it
    values.py, measures.py                        what is written on nodes and edges
    opened.py, repeat.py, collapse.py             Graph → Graph
    dot.py (look.py), model.py                    Graph → DOT, JSON
    picture.py                                    text → files, notebooks
    titles.py, legend.py                          words for the pointer, and for the reader
    html.py, page/, notebook.py                   Picture → one page to look around in
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..autograd.graph import Value
from ..compiled.step import Step
from .backward import add_backward, backward_alone
from .collapse import collapsed, gradients_closed, levels
from .measures import SHOW, annotate
from .model import Graph
from .opened import FORMULAS, chosen, spliced, steps_of
from .picture import Picture
from .program import program_graph
from .repeat import folded
from .reverse import Walk
from .trace import Tracing
from .values import Values

VIEWS = ("forward", "backward", "both")
READABLE = 150
"""Nodes. A picture of more is folded and collapsed until it has fewer, unless it is said how."""


def graph(
    tensor: Value | Step, params: Any = None, *, view: str = "forward", depth: int | None = None,
    fold: bool | None = None, expand: str | Collection[str] = (),
    show: str | Collection[str] = ("shapes",),
) -> Picture:
    """The computation graph of ``tensor``, to look at or to save.

    The model, its statistics and gradients and the random state stay as they are, no hook is
    called, and the picture keeps no tensor alive.

    Args:
        tensor: a result of recorded operations; or a step of ``tn.compile``, of which the program
            is drawn: boxes are loops and products, edges the arrays between them.
        params: names for tensors: a module, a dict, or pairs (name, tensor). By default those of
            the modules that were called on the way. A dict may name the data too: a tensor in it
            that does not require grad is an input, or a buffer if it is a ``Buffer``.
        view: ``"forward"``; ``"backward"``, the operations that the backward pass runs, from a
            gradient of ones; ``"both"``, an operation beside its own gradient.
        depth: so many levels of modules are opened, the rest are a box each; 0 is one box for a
            model. By default all of them, or in a large graph as many as can be read.
        fold: draw equal modules in a row once, as ``×12``. By default in a large graph.
        expand: fused operations drawn as their steps, and their gradients as its operations: the
            name of the operation (``"normalize"``), the class (``"BatchNorm1d"``) or dotted name
            of a module around it, or ``"all"``.
        show: what is written besides: ``"shapes"``, ``"names"`` (of the values that modules
            returned), ``"dtypes"``, ``"parameters"`` (how many), ``"values"`` (mean ± standard
            deviation), ``"gradients"`` (their norm, as width and colour of the edges too),
            ``"nonfinite"`` (where NaN and Inf come from and go, in red), ``"saved"`` (bytes kept
            for the backward pass); or ``"all"``.

    Raises:
        TypeError: no tensor, or names in another form.
        RuntimeError: nothing was recorded, or the backward pass needs what was freed.
        ValueError: another view, depth, or name to show or to expand.

    >>> import tinygrad_norm as tn
    >>> from tinygrad_norm import viz
    >>> w = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> viz.graph((w * w).sum(), {"w": w})
    <Picture of 2 operations, 1 parameter; .save("graph.svg") draws it>
    """
    if isinstance(tensor, Step):
        drawn = program_graph(tensor)
        return Picture(drawn, drawn)
    shown, opened = _checked(view, depth, expand, show)
    full = _full(tensor, params, view, opened, shown)
    drawn = full
    if fold or (fold is None and depth is None and len(full.nodes) > READABLE):
        drawn = folded(drawn)
    if depth is not None:
        drawn = collapsed(drawn, depth)
    elif len(drawn.nodes) > READABLE and drawn.clusters:
        drawn = _readable(drawn)
    if depth is None and fold is None and drawn is not full:
        drawn.attributes["hint"] = (
            f"{len(full.nodes)} nodes, drawn as {len(drawn.nodes)}: equal modules once, deep ones "
            f"closed; depth={levels(full)}, fold=False draws all")
    return Picture(drawn, full)


def _full(
    tensor: Value, params: Any, view: str, expand: Collection[str], show: Collection[str],
) -> Graph:
    """The graph with its measures, fused operations opened, nothing collapsed."""
    tracing = Tracing(tensor, params)
    forward = list(tracing.nodes)
    fused = chosen(tracing.graph, expand)
    walk = Walk(tensor) if view != "forward" or "gradients" in show else None
    if view != "forward" and walk is not None:
        tracing.nodes += add_backward(tracing, walk)
    known = {"dtypes", "values", "nonfinite"} & set(show)
    values = Values(tracing.nodes) if known else None
    annotate(tracing, show, values, walk)
    result = gradients_closed(tracing.graph, FORMULAS, fused)
    if view == "backward":
        return backward_alone(result)
    at = {tracing.index[node]: node for node in forward}
    for i in sorted(fused, reverse=True):  # from the last: the numbers before stay
        steps = steps_of(at[i], values)
        annotate(steps.tracing, {*show} - {"saved"},
                 Values(steps.tracing.nodes) if values else None, None)
        result = spliced(result, i, steps)
    return result


def _readable(graph: Graph) -> Graph:
    """Collapsed to the greatest depth at which it can be read, or wholly."""
    result = graph
    for depth in range(levels(graph) - 1, -1, -1):
        result = collapsed(graph, depth)
        if len(result.nodes) <= READABLE:
            break
    return result


def _checked(
    view: Any, depth: Any, expand: Any, show: Any
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what to show, what to expand)."""
    if view not in VIEWS:
        raise ValueError(f"graph: expected view to be one of {', '.join(VIEWS)}, got {view!r}")
    whole = isinstance(depth, int) and not isinstance(depth, bool)
    if depth is not None and not (whole and depth >= 0):
        raise ValueError(f"graph: expected depth >= 0 or None, got {depth!r}; 0 draws a box for a "
                         "model, 1 its parts")
    for name, value in (("show", show), ("expand", expand)):
        if not isinstance(value, Collection):
            raise TypeError(f"graph: expected {name} to be a name or several, got {value!r}; () is "
                            "none")
    shown = (show,) if isinstance(show, str) else tuple(show)
    for name in shown:
        if name not in (*SHOW, "all"):
            raise ValueError(f"graph: expected show to be of {', '.join(SHOW)} or all, got "
                             f"{name!r}")
    return (SHOW if "all" in shown else shown,
            (expand,) if isinstance(expand, str) else tuple(expand))
