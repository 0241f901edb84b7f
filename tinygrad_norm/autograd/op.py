"""How an operation and its gradient are declared, and what calling it does.

    @primitive
    def mul(a, b):
        return a * b

    mul.gradient(a=lambda dy, b: dy * b, b=lambda dy, a: dy * a)

The function computes on arrays. A rule gives one input's gradient, and *its parameters' names say
what is kept for it*: ``dy`` the gradient of the output ``y``, ``b`` an input, ``y`` an output,
``x_shape``, ``x_dtype``, ``x_device`` a property of an input, keyword-only the call's settings.
What no rule names is freed at once. A rule that shares work between inputs names them together and
returns as many gradients::

    normalize.gradient_of("x", "weight", "bias")(rule)

A rule uses only what arrays and tensors share. Given arrays it runs at array speed; given tensors
it is recorded itself, so each further order of derivative comes from the same line. Broadcasting
is undone by the engine: a rule may return a gradient of the broadcast shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from ..backend.array import array_module, device_of, is_array
from ..errors import DeviceError, DimError, DtypeError, ShapeError
from .anomaly import check_forward, user_line
from .graph import Edge, Node, Variable, _new, wrap
from .mode import ANOMALY, GRAD, flags
from .promotion import promoted

Rule = Callable[..., Any]
PROPERTIES: dict[str, Callable[[Any], Any]] = {
    "shape": lambda value: getattr(value, "shape", ()),
    "dtype": lambda value: getattr(value, "dtype", None),
    "device": lambda value: device_of(value) if is_array(value) else None,
}
INPUT, OUTPUT = "input", "output"


class Source(NamedTuple):
    """Where a rule's argument comes from: ``(INPUT, 1, "")``, ``(INPUT, 0, "shape")``."""

    kind: str
    index: int
    property: str


class Step(NamedTuple):
    """One rule of a plan: which inputs it serves, which dys and which saved values it takes."""

    rule: Rule
    inputs: Any
    """An index, or a tuple of them for a rule that returns several gradients."""
    dys: tuple[int, ...] | None
    """None for all of them in order."""
    start: int
    stop: int


class Plan(NamedTuple):
    """What to keep and what to run when a given subset of the inputs requires grad."""

    sources: tuple[Source, ...]
    steps: tuple[Step, ...]


class Primitive:
    """An operation: a pure function of arrays, with rules for its gradient.

    Called with tensors it computes, and records the call where one of them requires grad. Called
    with arrays only it just computes. Arrays are positional, settings keyword-only.

    name:     labels the graph
    inputs:   the positional parameters' names (a variadic ``*xs`` is named once)
    outputs:  the results' names; with more than one the function returns a tuple
    view:     the result may share memory with the first input
    promote:  None, ``"same"`` (inputs are brought to one dtype) or ``"float"`` (and to a float)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        outputs: tuple[str, ...] = ("y",),
        view: bool = False,
        promote: str | None = None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__.rstrip("_")
        self.outputs = outputs
        self.single = len(outputs) == 1
        self.view = view
        self.promote = promote
        parameters = inspect.signature(function).parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.rules: list[tuple[tuple[str, ...], Rule]] = []
        self.plans: dict[Any, Plan] = {}
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<primitive {self.name}({', '.join(self.inputs)}) -> {', '.join(self.outputs)}>"

    # -- declaring -----------------------------------------------------------------------------

    def gradient(self, **rules: Rule) -> None:
        """Declare a rule for each input named."""
        for name, rule in rules.items():
            self.gradient_of(name)(rule)

    def gradient_of(self, *names: str) -> Callable[[Rule], Rule]:
        """Declare one rule for several inputs; it returns a gradient for each."""
        for name in names:
            assert name in self.inputs, f"{self.name} has no input {name}"

        def declare(rule: Rule) -> Rule:
            self.rules.append((names, rule))
            return rule

        return declare

    def _plan(self, mask: int, count: int) -> Plan:
        """The plan for the inputs whose bits are set in ``mask``."""
        sources: list[Source] = []
        steps: list[Step] = []
        for names, rule in self.rules:
            if self.variadic:
                served = tuple(range(count))
            else:
                served = tuple(self.inputs.index(name) for name in names)
            if not any(mask >> i & 1 for i in served):
                continue
            dys, start = [], len(sources)
            for name, parameter in inspect.signature(rule).parameters.items():
                if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
                    continue
                if name[0] == "d" and name[1:] in self.outputs:
                    dys.append(self.outputs.index(name[1:]))
                else:
                    sources.extend(self._sources(name, count))
            steps.append(Step(
                rule,
                served if len(names) > 1 or self.variadic else served[0],
                None if dys == list(range(len(self.outputs))) else tuple(dys),
                start, len(sources),
            ))
        return Plan(tuple(sources), tuple(steps))

    def _sources(self, name: str, count: int) -> list[Source]:
        base, _, suffix = name.rpartition("_")
        if suffix not in PROPERTIES or base not in self.inputs:
            base, suffix = name, ""
        if base in self.outputs:
            return [Source(OUTPUT, self.outputs.index(base), suffix)]
        if self.variadic and base == self.inputs[-1]:
            return [Source(INPUT, i, suffix) for i in range(len(self.inputs) - 1, count)]
        assert base in self.inputs, f"the rule of {self.name} names {name}, which it lacks"
        return [Source(INPUT, self.inputs.index(base), suffix)]

    # -- calling -------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        arrays = []
        edges: list[Edge] = []
        like = dtype = None
        mixed = False
        mask, bit = 0, 1
        for value in inputs:
            edge = None
            if isinstance(value, Variable):
                array = value.array
                arrays.append(array)
                if like is None:
                    like, dtype = value.result_class, array.dtype
                elif array.dtype is not dtype:
                    mixed = True
                if value.tracked:
                    mask += bit
                    edge = value.edge or value
            else:
                arrays.append(value)
                if value.__class__ not in PLAIN:
                    mixed = True
            edges.append(edge)
            bit += bit
        if like is None:
            return self.function(*arrays, **settings)
        if self.promote is not None and (mixed or dtype.kind != "f"):
            changed = promoted(inputs, to_float=self.promote == "float")
            if changed is not None:
                return self(*changed, **settings)
        try:
            results = self.function(*arrays, **settings)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(self.name, error, arrays) from error
        state = flags.get()
        if state & ANOMALY:
            check_forward(self.name, arrays, results)
        if self.single:
            if isinstance(results, np.generic):
                results = np.asarray(results)
            y = _new(like)
            y.array = results
            if self.view and array_module(results).may_share_memory(results, arrays[0]):
                y.written = inputs[0].written
                y.written[1] = True
            else:
                y.written = [0, False]
            if mask and state & GRAD and self.rules:
                y.tracked = True
                y.edge = (self._record(mask, edges, inputs, arrays, settings, (y,)), 0)
            return y
        ys = tuple(wrap(like, np.asarray(r) if isinstance(r, np.generic) else r) for r in results)
        for y in ys:
            if y.array is arrays[0]:  # handed through: a view
                y.written = inputs[0].written
                y.written[1] = True
        if mask and state & GRAD and self.rules:
            node = self._record(mask, edges, inputs, arrays, settings, ys)
            for i, y in enumerate(ys):
                y.tracked = True
                y.edge = (node, i)
        return ys

    def _record(
        self, mask: int, edges: Sequence[Edge], inputs: Sequence[Any], arrays: Sequence[Any],
        settings: dict[str, Any], ys: Sequence[Any],
    ) -> Node:
        """The node of one call: edges to the inputs, and the values that the rules name."""
        key = (mask, len(inputs)) if self.variadic else mask
        plan = self.plans.get(key)
        if plan is None:
            plan = self.plans[key] = self._plan(mask, len(inputs))
        saved, cells = [], []
        for kind, i, property_ in plan.sources:
            if kind is OUTPUT:
                saved.append(ys[i].array)
                cells.append(ys[i].written)
            elif property_:
                saved.append(PROPERTIES[property_](arrays[i]))
            else:
                saved.append(arrays[i])
                if isinstance(inputs[i], Variable):
                    cells.append(inputs[i].written)
        node = Node(self, edges, settings, [y.array.shape for y in ys], plan, saved, cells)
        if flags.get() & ANOMALY:
            node.trace = user_line()
        return node

    # -- going back ----------------------------------------------------------------------------

    def pull(self, node: Node, dys: Sequence[Any], *, graph: bool) -> Sequence[Any]:
        """The gradients of the inputs: on arrays, or recorded on tensors when ``graph``."""
        values = node.unpacked()
        if graph:
            values = [self._placed(node, *source, value)
                      for source, value in zip(node.plan.sources, values, strict=True)]
        gradients: list[Any] = [None] * len(node.edges)
        settings = node.settings
        for rule, served, wanted, start, stop in node.plan.steps:
            given = dys if wanted is None else [dys[i] for i in wanted]
            result = rule(*given, *values[start:stop], **settings)
            if served.__class__ is int:
                gradients[served] = result
            else:
                for i, gradient in zip(served, result, strict=True):
                    gradients[i] = gradient
        return gradients

    @staticmethod
    def _placed(node: Node, kind: str, i: int, property_: str, value: Any) -> Any:
        """A saved array as a tensor at its place in the graph."""
        edge = (node, i) if kind == OUTPUT else node.edges[i]
        if property_ or not is_array(value):
            return value
        if isinstance(edge, Variable):
            return edge
        tensor = wrap(Variable.result_class, value)
        if edge is not None:
            tensor.tracked = True
            tensor.edge = edge
        return tensor


PLAIN = frozenset((int, float, type(None)))
"""Classes of plain numbers: they take the dtype of the tensor beside them."""


@overload
def primitive(function: Callable[..., Any]) -> Primitive: ...
@overload
def primitive(**options: Any) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Declare an operation: ``@primitive`` or ``@primitive(name=..., outputs=..., ...)``."""
    if function is not None:
        return Primitive(function)
    return lambda function: Primitive(function, **options)


def explained(name: str, error: Exception, arrays: Sequence[Any]) -> Exception:
    """``error`` in the reader's words: who, what it got, and on which devices."""
    if isinstance(error, ShapeError | DtypeError | DeviceError | DimError):
        return error
    held = [a for a in arrays if is_array(a)]
    places = [f"input {i} of shape {a.shape} is on {device_of(a)}" for i, a in enumerate(held)]
    if len({device_of(a) for a in held}) > 1:
        return DeviceError(f"{name}: {', '.join(places)}; move one with .to(device)")
    shapes = ", ".join(str(a.shape) for a in held)
    if isinstance(error, IndexError):  # NumPy's AxisError is one too
        return DimError(f"{name}: {error}; got shapes {shapes}")
    if isinstance(error, TypeError):
        kinds = ", ".join(getattr(a, "dtype", type(a).__name__).__str__() for a in arrays)
        return DtypeError(f"{name}: {error}; got {kinds}")
    return ShapeError(f"{name}: {error}; got shapes {shapes}")
