"""A compiled step → Graph: its loops, products and calls, and the arrays between them.

Boxes have the numbers, and arrays the names, of the text of ``step.program()``. What is given has a
box at each step that reads it: state is read in many places, and lines to one box for all of them
would cross the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..compiled.step import Step
from ..compiler.counts import Traffic, passes_of
from ..compiler.fuse import Nest
from ..compiler.listing import listing
from ..compiler.notation import NEW, Names, plural
from ..compiler.program import Program
from ..compiler.task import Task
from ..nn.tree import Buffer
from ..tensors.tensor import Parameter
from .look import shape_text
from .model import BUFFER, INPUT, OP, OUTPUT, PARAMETER, Graph, GraphEdge, GraphNode

LISTED = 3
"""So many names stand in a box; of more their kinds are counted."""


def program_graph(step: Step) -> Graph:
    """A box for each nest of loops, product and call of the program that ran last; an edge with the
    arrays that one writes and another reads.

    Raises:
        RuntimeError: nothing was compiled, or it does not run as loops.
    """
    entry = next((one for one in step._entries if isinstance(one.program, Program)), None)
    if entry is None:
        raise RuntimeError(f"graph: {step.name} has no loops yet to draw; call it a few times, and "
                           "see print(step)")
    return _Drawing(entry.program, entry.key.states).graph


class _Drawing:
    """The graph of one program, made step by step.

    states:  the tensors of the state, by their slots
    made:    the node that wrote a value
    """

    def __init__(self, program: Program, states: list[Any]) -> None:
        self.program, self.names = program, Names(program)
        self.states = {int(slot): tensor for slot, tensor in zip(
            program.recording.inputs, states, strict=False)}
        self.graph = Graph(attributes={"view": "forward", "show": ["shapes"]})
        self.made: dict[int, int] = {}
        self.checked = {program.fuse.place(v).id for v in program.fuse.guards}
        self.check = next((k for k, one in enumerate(program.order, 1)
                           if isinstance(one, Task) and one.kind == "check"), None)
        listing(program, self.names)  # arrays are named in the order of the text
        for number, one in enumerate(program.order, 1):
            if number != self.check:
                self._step(number, one)
        for i, v in enumerate(program.outputs):
            place = program.fuse.place(v)
            if place.id in self.made:
                self.graph.nodes.append(GraphNode(OUTPUT, f"result {i + 1}" if i else "result"))
                self._edge(self.made[place.id], len(self.graph.nodes) - 1, [place])

    def _step(self, number: int, one: Nest | Task) -> None:
        traffic = Traffic(self.program, one)
        read = [v for v in traffic.read if v not in traffic.written]
        given = [v for v in read if v.id not in self.made]
        groups: dict[int, list[Any]] = {}
        for v in read:
            if v.id in self.made:
                groups.setdefault(self.made[v.id], []).append(v)
        held = [v for v in given if self._slot(v) in self.states]
        for group in (held, *([v] for v in given if v not in held)):
            if group:
                self.graph.nodes.append(self._given(group))
                groups[len(self.graph.nodes) - 1] = group
        self.graph.nodes.append(self._box(number, one, list(traffic.written)))
        here = len(self.graph.nodes) - 1
        for k, (source, values) in enumerate(groups.items()):
            self._edge(source, here, values, k)
        self.made.update((v.id, here) for v in traffic.written)

    def _edge(self, source: int, target: int, values: list[Any], operand: int = 0) -> None:
        """One for all arrays that go this way, a line for those of one shape."""
        shapes: dict[Any, list[str]] = {}
        if self.graph.nodes[source].kind == OP:
            for v in values:
                shapes.setdefault(v.shape, []).append(self.names.array(v))
        arrays = [f"{', '.join(names)} {shape_text(shape)}" for shape, names in shapes.items()]
        self.graph.edges.append(GraphEdge(source, target, values[0].shape, operand=operand,
                                          attributes={"arrays": arrays}))

    def _slot(self, v: Any) -> int:
        task = self.program.fuse.tasks.get(v.id)
        return int(v.attr if task is None else -1 if task.slot is None else task.slot)

    def _given(self, values: list[Any]) -> GraphNode:
        """What the step is given: state, or one argument."""
        state = [self.states.get(self._slot(v)) for v in values]
        kind = INPUT if state[0] is None else PARAMETER if all(
            isinstance(one, Parameter) for one in state) else BUFFER
        names = [f"{self.names.array(v)} {shape_text(v.shape)}" for v in values]
        if len(values) <= LISTED:
            return GraphNode(kind, names[0], tuple(names[1:]))
        return GraphNode(kind, ", ".join(self._kinds(values)), attributes={"names": names})

    def _kinds(self, values: Iterable[Any]) -> list[str]:
        """``12 parameters``, ``12 momentum buffers``"""
        counts: dict[str, int] = {}
        for v in values:
            tensor = self.states.get(self._slot(v))
            last = self.names.array(v).removesuffix(NEW).rpartition(".")[2].replace("_", " ")
            word = "parameter" if isinstance(tensor, Parameter) else "buffer" if isinstance(
                tensor, Buffer) else last
            counts[word] = counts.get(word, 0) + 1
        return [plural(count, word) for word, count in counts.items()]

    def _box(self, number: int, one: Nest | Task, written: list[Any]) -> GraphNode:
        """One step's box, with what it is for: the state that it writes."""
        state = [v for v in written if self._slot(v) in self.states]
        details = []
        if isinstance(one, Nest):
            name = f"loops {' × '.join(map(str, one.sizes)) or '1'}"
            if passes_of(one) > 1:
                details.append(plural(passes_of(one), "pass"))
        elif one.kind == "product":
            name = "product"
            a, b = (x.shape for x in one.product.args)
            details.append(f"{a[0]}×{a[1]} · {b[0]}×{b[1]}")
        else:
            name = getattr(one.value.attr[0].function, "__name__", "call")
        if state:
            names = [self.names.array(v) for v in state]
            details += [f"writes {', '.join(self._kinds(state))}"] if len(state) > LISTED else names
        if any(v.id in self.checked for v in written):
            details.append(f"for the check {self.check}")
        attributes = {"names": names} if len(state) > LISTED else {}
        return GraphNode(OP, f"{number}. {name}", tuple(details), attributes=attributes)
