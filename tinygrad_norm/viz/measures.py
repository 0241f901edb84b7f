"""What is measured on demand and written onto the graph: values, gradients, bytes."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from ..autograd.graph import Node, Value
from ..backend.array import is_array, to_numpy
from .model import BACKWARD, Graph
from .reverse import Walk
from .trace import Tracing
from .values import Values

SHOW = ("shapes", "names", "dtypes", "parameters", "values", "gradients", "nonfinite", "saved")
"""What a picture can write beside the operations."""


def annotate(
    tracing: Tracing, show: Collection[str], values: Values | None, walk: Walk | None,
) -> None:
    """Write onto the tracing's graph what ``show`` asks for."""
    graph = tracing.graph
    graph.attributes["show"] = [one for one in SHOW if one in show]
    if values is not None:
        for i, reads in enumerate(tracing.reads):
            value = values.of(reads)
            if value is not None:
                _note_edge(graph, i, of_value(value))
    if walk is not None and "gradients" in show:
        for i, reads in enumerate(tracing.reads):
            flow = _flow(reads, walk, tracing.tensor)
            if flow is not None:
                _note_edge(graph, i, of_gradient(_array(flow)))
    if values is not None and "nonfinite" in show:
        mark_path(graph)
    if "saved" in show:
        _note_saved(tracing)


def of_value(value: np.ndarray) -> dict[str, Any]:
    """``dtype``, and of floats ``mean``, ``std`` and ``nonfinite``."""
    found: dict[str, Any] = {"dtype": str(value.dtype)}
    if value.dtype.kind != "f" or not value.size:
        return found
    wide = value.astype(np.float64)
    with np.errstate(all="ignore"):
        found["mean"], found["std"] = float(wide.mean()), float(wide.std())
    return {**found, **_trouble("nonfinite", wide)}


def of_gradient(value: np.ndarray) -> dict[str, Any]:
    """``gradient``, its norm, and ``nonfinite_gradient``."""
    wide = value.astype(np.float64)
    with np.errstate(all="ignore"):
        norm = float(np.sqrt(np.square(wide).sum()))
    return {"gradient": norm, **_trouble("nonfinite_gradient", wide)}


def _trouble(name: str, wide: np.ndarray) -> dict[str, str]:
    if np.isfinite(wide).all():
        return {}
    kinds = {"nan": np.isnan(wide).any(), "inf": np.isinf(wide).any()}
    return {name: " ".join(kind for kind, there in kinds.items() if there)}


def mark_path(graph: Graph) -> None:
    """Nodes that make or hand on NaN or Inf: ``origin`` where none came in, else ``path``."""
    into = {e.target for e in graph.edges if "nonfinite" in e.attributes}
    out = {e.source for e in graph.edges if "nonfinite" in e.attributes}
    for i, node in enumerate(graph.nodes):
        if i in into | out:
            kind = "path" if i in into else "origin"
            graph.nodes[i] = replace(node, attributes={**node.attributes, "nonfinite": kind})


def _flow(reads: Any, walk: Walk, tensor: Value) -> Any:
    """What flows back along an edge of the forward pass."""
    if reads is tensor:
        return walk.seed
    return walk.flows.get(reads) if isinstance(reads, tuple) else None


def _note_edge(graph: Graph, i: int, found: dict[str, Any]) -> None:
    edge = graph.edges[i]
    graph.edges[i] = replace(edge, attributes={**edge.attributes, **found})


def _note_saved(tracing: Tracing) -> None:
    """How many bytes each operation keeps for the backward pass: memory counts once, for the
    first who keeps it; that of leaves not at all, since they are there anyway."""
    graph = tracing.graph
    counted = {id(_memory(edge.array)) for node in tracing.nodes for edge in node.edges
               if isinstance(edge, Value)}
    total = 0
    for node in tracing.nodes:
        bytes_ = 0
        for array in _saved(node):
            memory = _memory(array)
            if id(memory) not in counted:
                counted.add(id(memory))
                bytes_ += memory.nbytes
        i = tracing.index[node]
        if graph.nodes[i].kind in BACKWARD:
            continue
        attributes = {**graph.nodes[i].attributes, "saved": bytes_}
        graph.nodes[i] = replace(graph.nodes[i], attributes=attributes)
        total += bytes_
    graph.attributes["saved"] = total


def _saved(node: Node) -> list[Any]:
    """The arrays that an operation keeps."""
    values = [kept.value for kept in node.kept() or ()]
    return [v for v in values if is_array(v) and not isinstance(v, np.generic)]


def _memory(array: Any) -> Any:
    """The array that owns the memory."""
    while is_array(getattr(array, "base", None)):
        array = array.base
    return array


def _array(value: Any) -> np.ndarray:
    return to_numpy(value.array if isinstance(value, Value) else value)


def written_bytes(count: int) -> str:
    """``512 B``, ``1.5 KiB``, ``12 MiB``"""
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log2(count)) // 10, 4)
    return f"{count / 1024**power:.3g} {'KMGT'[power - 1]}iB"
