"""The reverse walk. It knows no operation: it sorts, sums, undoes broadcasting, and hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from operator import attrgetter
from sys import getrefcount
from typing import Any, ClassVar

from .broadcasting import unbroadcast
from .graph import Edge, Node
from .mode import ANOMALY, flags
from .observer import Hooks, Observer, copied


@dataclass(slots=True)
class Part:
    """A gradient that is 0 but at an index. The walk adds up many of one tensor in one array.

    dy:     its values there
    index:  where
    size:   the shape of the tensor
    put:    ``put(*dys, indices=, shape=)``, the operation that adds each at its index
    """

    dy: Any
    index: Any
    size: tuple[int, ...]
    put: Callable[..., Any]

    shape: ClassVar[None] = None  # equal to no shape: no other gradient is asked what it is


def whole(parts: Sequence[Part], rest: Any = None) -> Any:
    """The sum of the parts, and of what else came to the same place."""
    first = parts[0]
    total = first.put(*(part.dy for part in parts), indices=tuple(part.index for part in parts),
                      shape=first.size)
    return total if rest is None else rest + total


def is_alone(view: Any) -> bool:
    """Whether it is all that reads or writes the memory of its base, and each value has a place of
    its own: so are large results that begin at a line of the cache."""
    flags = view.flags  # what is spread from fewer values is not contiguous, or not to be written
    return (flags.c_contiguous and getattr(flags, "writeable", True)
            and getrefcount(view.base) == ALONE)


ALONE = getrefcount(object()) + 1
"""What is counted of a base that one array alone refers to."""


def reachable(edges: Iterable[Edge]) -> list[Node]:
    """Every node that the edges lead to, each after all that depend on it."""
    seen: set[Node] = set()
    stack = [edge[0] for edge in edges if isinstance(edge, tuple)]
    seen.update(stack)
    while stack:
        for edge in stack.pop().edges:
            if edge.__class__ is tuple and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return sorted(seen, key=attrgetter("order"), reverse=True)


def walk(
    roots: Sequence[tuple[Edge, Any]],
    *,
    graph: bool,
    keep: bool,
    targets: Set[Any] | None = None,
    seen: Observer | None = None,
) -> dict[Any, Any]:
    """Carry gradients from the roots back.

    Args:
        roots: where the walk begins: (edge, its gradient).
        graph: gradients are tensors, whose arithmetic is recorded; else they are arrays.
        keep: leave the saved values for another walk.
        targets: go no further than to these leaves and (node, output).
        seen: looks on, without targets; then no hook is called and no gradient stored.

    Returns:
        The gradient of each leaf reached, or of the targets. It shares no memory with anything
        else, but in a recorded walk that is looked on at: a copy would be one more operation.
    """
    found: dict[Any, Any] = {}
    pending: dict[Node, list[Any]] = {}
    parts: dict[Edge, list[Part]] = {}
    for edge, gradient in roots:
        if isinstance(edge, tuple):
            dys = pending.setdefault(edge[0], [None] * len(edge[0].shapes))
            dys[edge[1]] = gradient if dys[edge[1]] is None else dys[edge[1]] + gradient
        elif targets is None or edge in targets:
            found[edge] = found[edge] + gradient if edge in found else copied(gradient)
    nodes = reachable(edge for edge, _ in roots)
    captured: Set[Node] = frozenset()
    ends: Set[Node] = frozenset()
    if targets is not None:
        nodes, captured, ends = _towards(nodes, targets)
    observer = Hooks(graph, targets, found) if seen is None else seen
    looking = seen is not None
    checking = seen is not None or flags.get() & ANOMALY
    for node in nodes:
        dys = pending.pop(node, None)  # type: ignore[arg-type]
        if dys is None:
            continue
        if parts:
            for i, dy in enumerate(dys):
                if (node, i) in parts:
                    dys[i] = whole(parts.pop((node, i)), dy)
        if looking or node.watched or node in captured:
            observer.node(node, dys)
            if node in ends:
                continue
        if checking:
            pulled = [whole([one]) if one.__class__ is Part else one
                      for one in node.op.pull(node, dys, graph, seen)]
            gradients = observer.pulled(node, dys, pulled)
        else:
            gradients = node.op.pull(node, dys, graph)
        for edge, gradient in zip(node.edges, gradients):  # noqa: B905 (hot)
            if edge is None or gradient is None:
                continue
            if edge.__class__ is tuple:
                to, i = edge
                if gradient.shape != to.shapes[i]:
                    if gradient.__class__ is Part:
                        parts.setdefault(edge, []).append(gradient)
                        pending.setdefault(to, [None] * len(to.shapes))
                        continue
                    gradient = unbroadcast(gradient, to.shapes[i])
                held = pending.get(to)
                if held is None:
                    held = pending[to] = [None] * len(to.shapes)
                before = held[i]
                held[i] = gradient if before is None else before + gradient
            elif targets is None or edge in targets:
                shape = edge.array.shape  # type: ignore[union-attr]
                if gradient.shape != shape:
                    if gradient.__class__ is Part:
                        parts.setdefault(edge, []).append(gradient)
                        continue
                    gradient = unbroadcast(gradient, shape)
                if edge in found:
                    found[edge] = found[edge] + gradient
                elif graph:  # written[1]: it shares memory
                    shared = gradient is dys[0] or gradient.written[1]
                    found[edge] = copied(gradient) if shared and seen is None else gradient
                else:  # a rule's own new array is kept, dy itself or a view of it is copied
                    new = gradient is not dys[0] and (
                        gradient.base is None or is_alone(gradient))
                    found[edge] = gradient if new else gradient.copy()
        if not keep and node.cells:  # shapes alone are kept, as in PyTorch
            node.saved = None
    for edge, many in parts.items():
        found[edge] = whole(many, found.get(edge))
    return found


def _towards(
    nodes: Sequence[Node], targets: Set[Any]
) -> tuple[list[Node], Set[Node], Set[Node]]:
    """Those of ``nodes`` that lead to a target, in the same order; those whose outputs are
    targets; and those of them that lead to no other."""
    captured = {target[0] for target in targets if isinstance(target, tuple)}
    leading: set[Node] = set()
    wanted = captured.copy()
    for node in reversed(nodes):
        for edge in node.edges:
            if edge[0] in wanted if edge.__class__ is tuple else edge in targets:
                leading.add(node)
                wanted.add(node)
                break
    return [node for node in nodes if node in wanted], captured, captured - leading
