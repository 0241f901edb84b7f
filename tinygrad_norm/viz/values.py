"""The values that operations read and made, as far as the records still tell.

Some are saved for the backward pass, leaves and living tensors have theirs, and what is missing in
between is computed again: an operation is a pure function of arrays. What was changed in place
since is not told, and neither is what follows from it alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autograd.graph import Node, Value
from ..backend.array import is_array, to_numpy


class Values:
    """The values around ``nodes``, which come in the order in which they were recorded."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._made: dict[tuple[Node, int], Any] = {}
        self._given: dict[tuple[Node, int], Any] = {}
        nodes = list(nodes)
        for node in nodes:
            self._read_saved(node)
        with np.errstate(all="ignore"):
            for node in nodes:
                self._compute(node)

    def of(self, reads: Any) -> np.ndarray | None:
        """What an edge hands over, as ``Tracing.reads`` names it, in the computer's memory."""
        if isinstance(reads, Value):
            value = reads.array
        else:
            value = self._operand(*reads) if reads else None
        return to_numpy(value) if is_array(value) else None

    def made(self, node: Node, output: int = 0) -> Any:
        """An operation's result, or None."""
        return self._made.get((node, output))

    def given(self, node: Node) -> list[Any] | None:
        """All the inputs of an operation, or None where one is not known."""
        values = [self._operand(node, i) for i in range(len(node.edges))]
        return None if any(v is UNKNOWN for v in values) else values

    def _read_saved(self, node: Node) -> None:
        if node.plan is None or not node.saved:
            return
        cells = iter(node.cells)
        for source, value in zip(node.plan.sources, node.saved, strict=True):
            if source.property or next(cells)[0] > node.order:
                continue
            if source.output:
                self._made[node, source.number] = value
                continue
            self._given[node, source.number] = value
            edge = node.edges[source.number]
            if isinstance(edge, tuple):
                self._made.setdefault(edge, value)

    def _compute(self, node: Node) -> None:
        function = getattr(node.op, "function", None)
        missing = [i for i in range(len(node.shapes)) if (node, i) not in self._made]
        if not missing or node.plan is None or function is None:
            return
        given = self.given(node)
        if given is None:
            return
        results = function(*given, **node.settings)
        results = results if isinstance(results, tuple) else (results,)
        for i in missing:
            self._made[node, i] = results[i]

    def _operand(self, node: Node, i: int) -> Any:
        if (node, i) in self._given:
            return self._given[node, i]
        edge = node.edges[i]
        if isinstance(edge, tuple):
            return self._made.get(edge, UNKNOWN)
        if isinstance(edge, Value):
            return edge.array if edge.written[0] <= node.order else UNKNOWN
        place = sum(e is None for e in node.edges[:i])
        constant: Any = node.constants[place] if place < len(node.constants) else None
        if getattr(constant, "shape", None) is None:  # a number, or None itself
            return constant
        held = constant.variable() if constant.variable else None
        return held.array if held is not None and held.written[0] <= node.order else UNKNOWN


UNKNOWN = object()
