"""Operations that do several steps at once, opened into these steps.

A formula is run on tensors and traced, and its graph takes the place of the operation's box.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..autograd.graph import Node, Value, wrap
from ..backend.reference import grouped
from . import norm_steps
from .model import INPUT, MODULE, OP, OPENED, STATE, Cluster, Graph, GraphEdge, GraphNode
from .reverse import recorded
from .trace import Tracing
from .values import Values


def normalize(
    x: Any, weight: Any, bias: Any, *, axes: tuple[int, ...], eps: Any, centred: bool,
    beside: tuple[int, ...] | None = None, groups: int | None = None,
) -> dict[str, Any]:
    """The results of its steps, by name; seen in groups they end with the shape of x again."""
    steps = norm_steps.normalize(centred=centred, gamma=weight is not None, beta=bias is not None)
    seen = x if groups is None else x.reshape(grouped(x.shape, groups))
    gamma, beta = (v if v is None or beside is None else v.reshape(beside) for v in (weight, bias))
    found = _run(steps, axes, x=seen, gamma=gamma, beta=beta, eps=eps)
    return found if groups is None else found | {"y": list(found.values())[-1].reshape(x.shape)}


def moments(x: Any, *, axes: tuple[int, ...], centred: bool) -> dict[str, Any]:
    """The results of its steps, by name."""
    return _run(norm_steps.moments(centred=centred), axes, x=x)


def _run(steps: dict[str, str], axes: tuple[int, ...], **values: Any) -> dict[str, Any]:
    keep = not (axes == (0,) and values["x"].ndim == 2)
    functions = {"mean": lambda v: v.mean(axes, keepdim=keep), "square": lambda v: v.square(),
                 "sqrt": lambda v: v.sqrt()}
    for name, expression in steps.items():
        values[name] = norm_steps.evaluate(expression, values, functions)
    return {name: values[name] for name in steps}


FORMULAS: dict[str, Callable[..., dict[str, Any]]] = {"normalize": normalize, "moments": moments}


@dataclass(slots=True)
class Steps:
    """An operation's formula as a graph.

    tracing:  of its last result
    inputs:   for each leaf there that is an input, which one
    results:  for each step, by its name or by that of the operation's result which it is, its node
              there and its name
    passed:   results that are an input, handed through, and which
    first:    the name of the operation's first result
    """

    tracing: Tracing
    inputs: dict[int, int]
    results: dict[str, tuple[int, str]]
    passed: dict[str, int]
    first: str


def steps_of(node: Node, values: Values | None) -> Steps:
    """The formula of a fused operation, run on the values that it had, or on zeros."""
    given = values.given(node) if values is not None else None
    tensors: list[Any] = []
    for i, source in enumerate(node.inputs()):
        shape = (node.input_shape(i) if node.edges[i] is not None
                 else getattr(source, "shape", None))
        if shape is None:
            tensors.append(source)
            continue
        array = np.zeros(shape) if given is None else given[i]
        tensors.append(wrap(Value.result_class, array))
        tensors[-1].tracked = True
    with recorded(), np.errstate(all="ignore"):
        found = FORMULAS[node.op.name](*tensors, **node.settings)
    tracing = Tracing(list(found.values())[-1], {})
    numbers = {id(tensor): i for i, tensor in enumerate(tensors) if isinstance(tensor, Value)}
    outputs = node.op.outputs
    called = {"mu": "mean", "xmu": "xc"} | ({list(found)[-1]: "y"} if "y" in outputs else {})
    return Steps(
        tracing, {tracing.index[key]: i for key, i in numbers.items() if key in tracing.index},
        {name: (tracing.index[found[step].edge[0]], step) for name, step in (
            *[("rest", "mu")] * ("mu" in found and "rest" in outputs),  # the last is the result
            *((called.get(step, step), step) for step in found))},
        {} if "xmu" in found else {"xc": 0}, outputs[0])


def spliced(graph: Graph, at: int, steps: Steps) -> Graph:
    """``graph`` with the steps in the place of the node ``at``, in a cluster of their own."""
    inner, node, home = steps.tracing.graph, graph.nodes[at], len(graph.clusters)
    kept = [i for i, one in enumerate(inner.nodes)
            if one.kind == OP or (one.kind == INPUT and i not in steps.inputs)]
    place = {old: at + k for k, old in enumerate(kept)}
    last = place[list(steps.results.values())[-1][0]]

    def later(i: int) -> int:
        return i if i < at else last if i == at else i + len(kept) - 1

    nodes = [one if one.of is None else replace(one, of=later(one.of)) for one in graph.nodes]
    nodes[at:at + 1] = [_step(inner.nodes[i], home) for i in kept]
    into = {edge.operand: edge for edge in graph.edges
            if edge.target == at and edge.kind != STATE}
    names = dict(steps.results.values())
    edges: list[GraphEdge] = []
    for edge in inner.edges:
        if edge.target not in place:
            continue
        target = place[edge.target]
        if edge.source in place:
            edges.append(replace(edge, source=place[edge.source], target=target,
                                 output=names.get(edge.source, "")))
        else:
            outer = into[steps.inputs[edge.source]]
            edges.append(replace(outer, source=later(outer.source), target=target,
                                 operand=edge.operand))
    for edge in graph.edges:
        if edge.target == at and edge.kind != STATE:
            continue
        source = later(edge.source)
        name = edge.output or steps.first
        if edge.source == at and name in steps.passed:
            source = later(into[steps.passed[name]].source)
        elif edge.source == at and name in steps.results:
            source = place[steps.results[name][0]]
        edges.append(replace(edge, source=source, target=later(edge.target)))
    saved = {"saved": node.attributes["saved"]} if "saved" in node.attributes else {}
    title = Cluster("", node.name, node.cluster, kind=OPENED, attributes=saved)
    return Graph(nodes, edges, [*graph.clusters, title], dict(graph.attributes))


def _step(node: GraphNode, home: int) -> GraphNode:
    """A node of the formula in its cluster; a constant there is the eps of each mean."""
    return replace(node, cluster=home, name=node.name if node.kind == OP else "eps")


def chosen(graph: Graph, expand: Collection[str]) -> set[int]:
    """The fused operations that ``expand`` names: by the operation, by the class or the dotted
    name of a module around it, or all of them by ``all``.

    Raises:
        ValueError: a name that nothing has.
    """
    found, known = set(), {"all"}
    for i, node in enumerate(graph.nodes):
        around = [graph.clusters[c] for c in graph.around(node.cluster)]
        names = {name for c in around if c.kind == MODULE for name in (c.type, c.name) if name}
        known |= names
        if node.kind == OP and node.name in FORMULAS:
            known.add(node.name)
            if names & {*expand} or node.name in expand or "all" in expand:
                found.add(i)
    for name in expand:
        if name not in known:
            raise ValueError(f"graph: expand={name!r}: no operation or module of that name or "
                             f"class is in the graph; there are {', '.join(sorted(known))}")
    return found
