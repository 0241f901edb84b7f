"""A compiled step → Graph: its loops, products and calls, and the arrays between them."""

from __future__ import annotations

from typing import Any

from ..compiled.step import Step
from ..compiler.counts import Traffic
from ..compiler.fuse import Nest
from ..compiler.notation import Names
from ..compiler.program import Program
from ..compiler.task import Task
from ..tensors.tensor import Parameter
from .model import BUFFER, INPUT, OP, OUTPUT, PARAMETER, Graph, GraphEdge, GraphNode


def program_graph(step: Step) -> Graph:
    """A box for each nest of loops, product and call of the program that ran last; an edge for each
    array from where it is written to where it is read.

    Raises:
        RuntimeError: nothing was compiled, or it does not run as loops.
    """
    entry = next((one for one in step._entries if isinstance(one.program, Program)), None)
    if entry is None:
        raise RuntimeError(f"graph: {step.name} has no loops yet to draw; call it a few times, and "
                           "see print(step)")
    program: Program = entry.program
    names = Names(program)
    graph = Graph(attributes={"view": "forward", "show": ["shapes"]})
    states = {int(slot): tensor for slot, tensor in zip(
        program.recording.inputs, entry.key.states, strict=False)}
    made: dict[Any, int] = {}

    def source(v: Any) -> int:
        """The node of a value: the step that wrote it, or what is given."""
        key = v.id if v.id in program.fuse.tasks else ("slot", int(v.attr))
        if key not in made:
            tensor = states.get(key[1]) if isinstance(key, tuple) else None
            kind = INPUT if tensor is None else PARAMETER if isinstance(
                tensor, Parameter) else BUFFER
            graph.nodes.append(GraphNode(kind, names.array(v)))
            made[key] = len(graph.nodes) - 1
        return made[key]

    for one in program.order:
        if not isinstance(one, Nest) and one.kind == "check":
            continue
        traffic = Traffic(program, one)
        read = [v for v in traffic.read if v not in traffic.written]
        sources = [(source(v), v) for v in read]
        graph.nodes.append(_node(program, one, names))
        here = len(graph.nodes) - 1
        graph.edges += [GraphEdge(at, here, v.shape, operand=k)
                        for k, (at, v) in enumerate(sources)]
        made.update((v.id, here) for v in traffic.written)
    for i, v in enumerate(program.outputs):
        place = program.fuse.place(v)
        if place.op == "input" or place.id in program.fuse.tasks:
            at = source(place)
            graph.nodes.append(GraphNode(OUTPUT, f"result {i + 1}" if i else "result"))
            graph.edges.append(GraphEdge(at, len(graph.nodes) - 1, v.shape))
    return graph


def _node(program: Program, step: Nest | Task, names: Names) -> GraphNode:
    """One step's box, with what it is for: the names of the state that it writes."""
    if isinstance(step, Nest):
        sizes = " × ".join(map(str, step.sizes)) or "1"
        written = [names.array(t.value) for t in step.tasks if t.slot is not None]
        count = len(step.tasks)
        details = (f"{count} value{'s' * (count > 1)}", *written[:3], *["…"] * (len(written) > 3))
        return GraphNode(OP, f"loops {sizes}", details)
    if step.kind == "product":
        a, b = (x.shape for x in step.product.args)
        return GraphNode(OP, "product", (f"{a[0]}×{a[1]} · {b[0]}×{b[1]}",))
    return GraphNode(OP, getattr(step.value.attr[0].function, "__name__", "call"))
