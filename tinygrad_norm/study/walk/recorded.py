"""The walk through any small function: what the engine recorded, operation by operation."""

from __future__ import annotations

import ast
import copy
import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...autograd.backward import grad
from ...autograd.graph import Node as Recorded
from ...autograd.graph import Value, wrap
from ...backend.array import is_array, to_numpy
from ...nn.module import Module
from ...tensors.tensor import Tensor
from ...viz.details import details
from . import cells
from .backward import Told, backward
from .findings import Truth
from .formula import Formula, Sum, formula, names, parsed
from .limits import check_size, outward
from .norms import attach
from .op_formulas import RULES
from .recording import Run
from .study import Node, Read, Study
from .truth import ENGINE, FINITE, compared, difference_quotients, largest

WALK = "walk"
STEP = 1e-5
"""Of the finite differences, times |x| where that is more than 1."""


# -- formulas --------------------------------------------------------------------------------------


class _Fill(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, by: Mapping[str, str]) -> None:
        self.by = by

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(parsed(self.by[node.id])) if node.id in self.by else node


def _filled(template: str, by: Mapping[str, str]) -> str:
    return ast.unparse(_Fill(by).visit(copy.deepcopy(parsed(template))))


class Operation:
    """A recorded operation with the names of its values: its formulas, and what it reads."""

    def __init__(self, run: Run, node: Recorded) -> None:
        self.node = node
        self.held = run.seen[node]
        self.operands = run.operands(node)
        self.outputs = {i: run.names[node, i] for i in range(len(node.shapes))
                        if (node, i) in run.names}
        self.targets = [None if edge is None else run.names[edge] for edge in node.edges]
        self.rule = RULES.get(cells.known(node.op))
        inputs = node.op.inputs
        self.inputs = inputs if len(inputs) == len(self.held) else tuple(
            f"x{i}" for i in range(len(self.held)))
        first = self.held[0]
        n = first.size // max(int(np.prod(node.shapes[0])), 1) if is_array(first) else 1
        self.by = {**{k: repr(v) for k, v in node.settings.items() if isinstance(v, int | float)},
                   "n": str(n), **dict(zip(self.inputs, self.operands, strict=True))}
        label = "" if node.settings.get("axis") is None else ",".join(
            map(str, cells.axes_of(node.settings, first.ndim)))
        self.sums = {"sum": Sum(label, None), "total": Sum("", None)}

    def formula(self, i: int, name: str) -> Formula:
        """Of output i."""
        known = self.rule is not None and i == 0 and "None" not in self.operands
        if known:
            assert self.rule is not None
            return formula(name, _filled(self.rule.forward, self.by), self.sums)
        operands = [o for o in self.operands if o != "None"]
        return formula(name, f"{_called(self.node.op.name)}({', '.join(operands)})", self.sums)

    def reads(self, i: int) -> list[Read]:
        """Of output i."""
        arrays = [a for a in self.held if is_array(a)]
        found = iter(cells.forward(self.node.op, arrays, self.node.settings, self.node.shapes[i]))
        result: dict[str, cells.Cells] = {}
        for name, array in zip(self.operands, self.held, strict=True):
            if is_array(array):
                own = next(found)
                if array.ndim or name in self.targets:
                    result[name] = cells.both(result.get(name, own), own)
        return [Read(name, own) for name, own in result.items()]

    def back(self, k: int, given: Sequence[str], summed: bool) -> Told:
        """Of the gradient of input k, as the engine's own rule gives it."""
        expression = self._back(k, given, summed)
        return Told(expression, self._read_back(k, expression, given), self.sums)

    def _back(self, k: int, given: Sequence[str], summed: bool) -> str:
        names_of = [f"d{name}" for name in given]
        template = self.rule.back.get(self.inputs[k]) if self.rule else None
        if "T" in (template or "") and any(a.ndim != 2 for a in self.held[:2]):
            template = None  # of more axes than two a transposed matrix is not all there is to say
        if template is None or "None" in self.operands or given != [self.outputs.get(0)]:
            arguments = [*names_of, *(o for o in self.operands if o != "None")]
            return f"{_called(self.node.op.name)}_back({', '.join(arguments)})"
        text = _filled(template, {**self.by, "y": self.outputs[0], "dy": names_of[0]})
        return f"total({text})" if summed else text

    def _read_back(self, k: int, expression: str, given: Sequence[str]) -> list[Read]:
        arrays = [a for a in self.held if is_array(a)]
        place = [i for i, a in enumerate(self.held) if is_array(a)].index(k)
        found = []
        for i, name in self.outputs.items():
            if name in given:
                forward = cells.forward(self.node.op, arrays, self.node.settings,
                                        self.node.shapes[i])[place]
                found.append(Read(f"d{name}", cells.inverse(forward, self.held[k].size)))
        same = cells.forward(self.node.op, arrays, self.node.settings, self.node.shapes[0])[place]
        for name in names(expression):
            if name in self.outputs.values():
                found.append(Read(name, cells.inverse(same, self.held[k].size)))
            elif name in self.operands:
                beside = any(o == name for j, o in enumerate(self.operands) if j != k)
                found.append(Read(name, cells.beside(cells.known(self.node.op), k, self.held)
                                  if beside else self._own(k)))
        return found

    def _own(self, k: int) -> cells.Cells:
        """Which cells of input k the gradient of one of its cells is computed from."""
        stated = self.rule is not None and self.inputs[k] in self.rule.back
        return cells.ALIGNED if stated else cells.within(self.node.op, self.held[k],
                                                         self.node.settings)


def _called(name: str) -> str:
    return name if name.isidentifier() and not keyword.iskeyword(name) else "operation"


# -- the study -------------------------------------------------------------------------------------


def study(function: Any, arrays: Sequence[np.ndarray], grad_output: Any) -> Study:
    """The walk through ``function``, as the engine recorded it."""
    run = Run(function, arrays)
    operations = [Operation(run, node) for node in run.nodes]
    forward = [*_leaves(run), *_values(run, operations)]
    dout = outward(grad_output, run.y.array.shape)
    last = run.names[run.y.edge]
    steps = [node.name for node in forward if node.step]
    of = {operation.node: operation for operation in operations}

    def tell(node: Recorded, k: int, given: Sequence[str], summed: bool) -> Told:
        return of[node].back(k, given, summed)

    back, forks = backward(run.y, dout, run.names, tell, len(steps) + 1)
    attach(forward, back)
    title = repr(function) if isinstance(function, Module) else getattr(
        function, "__name__", type(function).__name__)
    if "\n" in title:  # it holds other modules
        title = f"{type(function).__name__}(…)"
    walked = {g.of: np.asarray(g.value) for g in back if g.kind != "part"}
    return Study(title, "function", "", str(arrays[0].dtype), None, forward, back, forks,
                 steps + [g.name for g in back], last, _truth(run, walked, dout))


def _leaves(run: Run) -> Iterator[Node]:
    """Inputs, parameters, and arrays that no gradient flows into."""
    given = set(run.inputs)
    used = {edge for node in run.nodes for edge in node.edges if isinstance(edge, Value)}
    for tensor, name in run.names.items():
        if isinstance(tensor, Value) and (tensor in used or tensor in given):
            role = "input" if tensor in given else "parameter"
            yield _node(name, role, to_numpy(tensor.array))
    for name, array in run.constants.items():
        if name not in run.names.values():
            yield _node(name, "constant", array)


def _node(name: str, role: str, value: np.ndarray) -> Node:
    return Node(name, role, "", "", None, list(value.shape), value.tolist(),
                bool(np.isfinite(value).all()), [])


def _values(run: Run, operations: Sequence[Operation]) -> Iterator[Node]:
    step = 1
    for operation in operations:
        for i, name in operation.outputs.items():
            value = run.values[operation.node, i]
            check_size(name, value.shape)
            yield Node(name, "value", operation.node.op.name,
                       ", ".join(details(operation.node)), operation.formula(i, name),
                       list(value.shape), value.tolist(), bool(np.isfinite(value).all()),
                       operation.reads(i), step)
            step += 1


def _truth(run: Run, walked: Mapping[str, np.ndarray], dout: np.ndarray) -> Truth:
    """The walk's own sums, the engine's, and differences of the function."""
    leaves = [leaf for leaf in run.names if isinstance(leaf, Value) and leaf.tracked
              and run.names[leaf] in walked]
    found = grad(run.y, leaves, wrap(Tensor, dout.copy()), retain_graph=True)
    columns = {WALK: {f"d{run.names[leaf]}": walked[run.names[leaf]] for leaf in leaves},
               ENGINE: {f"d{run.names[leaf]}": to_numpy(g.array)
                        for leaf, g in zip(leaves, found, strict=True)}}
    moved = {*run.inputs, *run.parameters.values()}

    def loss(cell: tuple[int, ...]) -> float:
        return float((to_numpy(run.call(*run.inputs).array) * dout).sum())

    columns[FINITE] = {
        f"d{run.names[leaf]}": difference_quotients(
            loss, leaf.array, STEP * np.maximum(np.abs(leaf.array), 1.0))
        for leaf in leaves if leaf in moved}
    total = largest(np.abs(to_numpy(run.y.array) * dout).sum())
    scales = {name: max(total, largest(value))
              for name, value in columns[WALK].items()}
    return compared(columns, scales)
