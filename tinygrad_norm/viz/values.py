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
from ..autograd.op import Primitive
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
        for output, i, value, stale in node.kept() or ():
            if i is None or stale:
                continue
            if output:
                self._made[node, i] = value
                continue
            self._given[node, i] = value
            edge = node.edges[i]
            if isinstance(edge, tuple):
                self._made.setdefault(edge, value)

    def _compute(self, node: Node) -> None:
        missing = [i for i in range(len(node.shapes)) if (node, i) not in self._made]
        if not missing or not isinstance(node.op, Primitive):
            return
        given = self.given(node)
        if given is None:
            return
        results = node.op.function(*given, **node.settings)
        results = results if isinstance(results, tuple) else (results,)
        for i in missing:
            self._made[node, i] = results[i]

    def _operand(self, node: Node, i: int) -> Any:
        if (node, i) in self._given:
            return self._given[node, i]
        source = node.inputs()[i]
        if isinstance(source, tuple):
            return self._made.get(source, UNKNOWN)
        if isinstance(source, Value):
            return source.array if source.written[0] <= node.order else UNKNOWN
        if getattr(source, "shape", None) is None:  # a number, or None itself
            return source
        held = source.variable() if source.variable else None
        return held.array if held is not None and held.written[0] <= node.order else UNKNOWN


UNKNOWN = object()
