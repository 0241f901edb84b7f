"""The graph: a Value is an array and its place, a Node is one recorded operation.

Edges point from an operation to what it was computed from, never the other way, so there is no
reference cycle and a graph is freed the moment its last tensor goes::

    y (Value) --edge--> (Node mul, output 0) --edges--> a (leaf Value), (Node exp, output 0)

A leaf (a tensor that no recorded operation made) is its own end of an edge.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from ..backend.array import Array

if TYPE_CHECKING:
    from .observer import Observer
    from .sharing import Call

tick: Callable[[], int] = itertools.count(1).__next__
"""One clock for the whole process: it numbers nodes and writes in place.

A node's number is larger than that of every node it depends on, so descending numbers are a
reverse topological order. A write in place with a larger number than a node's came after it.
"""


class Value:
    """An array and its place in the graph. State only: arithmetic comes with ``Tensor``."""

    # Slots for what each has, and a dict for what few get: 4 % of a small operation's time.
    __slots__ = ("__dict__", "__weakref__", "array", "edge", "tracked", "written")

    array: Array
    """The NumPy or CuPy array underneath."""
    written: list[Any]
    """``[time of the last write in place, the tensors that share this list and the memory]``; the
    second is False where there is no other."""
    tracked: bool
    """Whether operations on it are recorded; ``Tensor.requires_grad``."""
    edge: tuple[Node, int] | None
    """The operation that made this value and which of its outputs it is; None for a leaf."""
    hooks: dict[int, Callable[[Any], Any]] | None = None
    """For a leaf, what is called with its gradient; other tensors keep theirs on the node."""
    _base: Value | None = None
    """The tensor that it is a view of, also in the graph."""
    _calls: tuple[Call, ...] | None = None
    """What gives it when run on the first tensor of its memory, which has None; see sharing.py."""
    result_class: ClassVar[type[Value]]
    """The class of results: set by ``Tensor``, so that the engine need not know it."""

    _grad: Any = None

    __hash__ = object.__hash__  # Tensor compares element by element; a key is one object


Value.result_class = Value

Edge = tuple["Node", int] | Value | None


def wrap(like: type[Value], array: Array) -> Any:
    """A new leaf of the class ``like`` around ``array``, which it does not copy."""
    value = _new(like)
    value.array = array
    value.written = [0, False]
    value.tracked = False
    value.edge = None
    return value


_new = object.__new__


class Constant:
    """What a drawing may know of an input without a gradient. It does not keep the memory alive.

    shape:     of the tensor or array; None for what is neither
    written:   the tensor's list, by which a buffer is known also through a view; None for arrays
    variable:  the tensor, while somebody else holds it; None for arrays
    """

    __slots__ = ("shape", "variable", "written")

    def __init__(self, value: Any) -> None:
        held = isinstance(value, Value)
        self.shape: tuple[int, ...] | None = getattr(value.array if held else value, "shape", None)
        self.written: list[int] | None = value.written if held else None
        self.variable: weakref.ref[Value] | None = weakref.ref(value) if held else None


PLAIN = frozenset((int, float, type(None)))
"""Classes of plain numbers: they take the dtype of the tensor beside them."""


def constant(value: Any) -> Any:
    """A plain number as it is, anything else as a Constant."""
    return value if value.__class__ in PLAIN else Constant(value)


class Kept(NamedTuple):
    """A value that an operation keeps for its rule.

    output:  whether it is a result of the call; else it is an input
    number:  which of them; None where a user's Function keeps it, which does not say
    value:   the array, or what the call had in its place: a number, None
    stale:   whether it was changed in place since
    """

    output: bool
    number: int | None
    value: Any
    stale: bool


class Operation(Protocol):
    """What a node calls on the way back: a primitive, or a user's ``Function``.

    name:     labels the graph
    inputs:   the inputs' names; of a Function there are none
    outputs:  the outputs' names, likewise
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def pull(
        self, node: Node, dys: Sequence[Any], graph: bool, seen: Observer | None = None
    ) -> Sequence[Any]:
        """The gradients of the node's inputs from those of its outputs (None where unused)."""
        ...

    def kept(self, node: Node) -> list[Kept]:
        """The values that the node saved."""
        ...


class Node:
    """One recorded call of an operation; ``record`` makes it.

    op:        what was called, with its rule
    edges:     one for each input: where its gradient goes; None for a constant
    settings:  the keyword arguments of the call
    shapes:    the shape of each output
    plan:      what the operation wants to find again on the way back
    saved:     the values that the rule needs; None once they were freed
    cells:     the ``written`` lists of the tensors among them
    order:     when it was recorded, by the clock

    Only the engine reads plan, saved and cells; whoever looks on asks :meth:`kept`.
    """

    # The rest lies in a dict that most nodes never get: 3 % of a small operation's time.
    __slots__ = ("__dict__", "__weakref__", "cells", "edges", "op", "order", "plan", "saved",
                 "settings", "shapes")

    op: Operation
    edges: Sequence[Edge]
    settings: dict[str, Any]
    shapes: Sequence[tuple[int, ...]]
    plan: Any
    saved: Sequence[Any] | None
    cells: Sequence[list[int]]
    order: int

    watched = False
    """Whether it has hooks or retained gradients."""
    hooks: dict[int, dict[int, Callable[[Any], Any]]] | None = None
    """For each output, what is called with its gradient."""
    retained: dict[int, weakref.ref[Value]] | None = None
    """The outputs that asked to have their gradient stored."""
    trace: str | None = None
    """In anomaly mode, the line of the user's file that made the call."""
    constants: Sequence[Any] = ()
    """For each None among the edges, in order: the plain number or None itself, or a Constant."""
    calls: tuple[Any, int, Any] | None = None
    """Modules that returned this node's output: (module, time of its call, next such)."""

    def inputs(self) -> list[Any]:
        """For each input its edge, or what is known of a constant: a number, None, a Constant."""
        constants = iter(self.constants)
        return [next(constants, None) if edge is None else edge for edge in self.edges]

    def input_shape(self, i: int) -> tuple[int, ...]:
        """The shape of input i, which a gradient flows into."""
        edge = self.edges[i]
        assert edge is not None, "a constant"
        return edge.array.shape if isinstance(edge, Value) else edge[0].shapes[edge[1]]

    def kept(self) -> list[Kept] | None:
        """The inputs and outputs that the rule will find again; None once they were freed."""
        return None if self.saved is None else self.op.kept(self)

    def freed(self) -> RuntimeError:
        """The error for saved values that are gone."""
        return RuntimeError(
            f"backward through {self.op.name} a second time: the values it had saved were "
            "freed after the first; pass retain_graph=True to the first backward()"
        )

    def stale(self) -> RuntimeError:
        """The error for a saved value that is not what it was."""
        return RuntimeError(
            f"{self.op.name}: a tensor that its gradient needs was modified by an inplace "
            "operation after it was used; change a clone(), or call backward() first"
        )

    def name(self) -> str:
        """The operation's name, as it labels the graph."""
        return self.op.name

    @property
    def next_functions(self) -> tuple[tuple[Node | Value | None, int], ...]:
        """For each input (node or leaf, output number), as PyTorch gives it."""
        return tuple(e if isinstance(e, tuple) else (e, 0) for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.op.name}>"
