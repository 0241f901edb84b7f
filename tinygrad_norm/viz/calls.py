"""The calls of modules, and which operations were recorded in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..autograd.graph import Node


@dataclass(slots=True)
class Call:
    """A module's call: the operations recorded after ``start`` that lead to ``last``."""

    module: Any
    start: int
    last: Node
    parent: int | None = None


def calls_of(nodes: Sequence[Node]) -> list[Call]:
    """Every call that recorded something, in the order in which they began."""
    calls = []
    for node in nodes:
        link = node.calls
        while link is not None:
            module, start, link = link
            if start < node.order:  # else it handed its input through
                calls.append(Call(module, start, node))
    return sorted(calls, key=lambda call: call.start)


def enclosed(calls: Sequence[Call]) -> dict[Node, int]:
    """The innermost call of each operation; sets each call's parent too.

    Of two calls around an operation, the one that began later lies inside the other.
    """
    inside: dict[Node, int] = {}
    for index, call in enumerate(calls):
        call.parent = inside.get(call.last)
        seen, stack = {call.last}, [call.last]
        while stack:
            node = stack.pop()
            inside[node] = index
            for edge in node.edges:
                if isinstance(edge, tuple) and edge[0].order > call.start and edge[0] not in seen:
                    seen.add(edge[0])
                    stack.append(edge[0])
    return inside
