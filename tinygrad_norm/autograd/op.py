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
from typing import Any, overload

from numpy import asarray, generic

from ..backend.array import array_module, device_of, is_array
from ..errors import DeviceError, DimError, DtypeError, RangeError, ShapeError
from .anomaly import check_forward
from .graph import PLAIN, Edge, Kept, Node, Value, _new, wrap
from .mode import ANOMALY, GRAD, flags
from .observer import Observer
from .plan import Names, Plan, Rule, Source, make_plan
from .promotion import promoted, roomy
from .record import record
from .sharing import share


class Primitive:
    """An operation: a pure function of arrays, with rules for its gradient.

    Called with tensors it computes, and records the call where one of them requires grad. Called
    with arrays only it just computes. Arrays are positional, settings keyword-only.

    name:     labels the graph
    inputs:   the positional parameters' names (a variadic ``*xs`` is named once)
    outputs:  the results' names; with more than one the function returns a tuple
    view:     the result may share memory with the first input
    promote:  None; ``"same"``: the inputs are brought to one dtype; ``"float"``: and to a float;
              ``"near"``: as ``"same"``, for what compares; ``"equal"``: they must have one
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

    def plan(self, mask: int, count: int) -> Plan:
        """What to keep and to run when the inputs whose bits are set in ``mask`` are tracked."""
        key = (mask, count) if self.variadic else mask
        found = self.plans.get(key)
        if found is None:
            names = Names(self.name, self.inputs, self.outputs, self.variadic, count)
            found = self.plans[key] = make_plan(self.rules, names, mask)
        return found

    # -- calling -------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        arrays = []
        edges: list[Edge] = []
        like: type[Value] | None = None
        dtype: Any = None
        mixed = False
        mask, bit = 0, 1
        for value in inputs:
            edge = None
            if isinstance(value, Value):
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
        if self.promote is not None and (mixed or dtype.char not in "fd"):
            changed = promoted(self.name, self.promote, inputs) if mixed or dtype.char != "e" \
                else None
            if changed is not None:
                y = self(*changed[0], **settings)
                return y if changed[1] is None else y.to(changed[1])
            if dtype.char == "e" and (wide := roomy(self.promote, inputs, settings)) is not None:
                y = self(*wide, **settings)
                return y.to(dtype) if y.array.dtype.kind == "f" else y
        try:
            results = self.function(*arrays, **settings) if settings else self.function(*arrays)
        except (ValueError, TypeError, IndexError, OverflowError, AttributeError) as error:
            raise explained(self.name, error, arrays) from error
        state = flags.get()
        if state & ANOMALY:
            check_forward(self.name, arrays, results)
        plan = None
        if mask and state & GRAD and self.rules:
            plan = self.plans.get(mask) or self.plan(mask, len(edges))
        if not self.single:
            return self._many(results, like, plan, edges, settings, arrays, inputs, state)
        if isinstance(results, generic):
            results = asarray(results)
        y = _new(like)
        y.array = results
        if self.view and array_module(results).may_share_memory(results, arrays[0]):
            share(y, inputs[0], ((self, settings),), bool(state & GRAD))
        else:
            y.written = [0, False]
        if plan is None:
            y.tracked = False
            y.edge = None
        else:
            shapes = (results.shape,)
            node = record(self, plan, edges, settings, arrays, inputs, (y,), shapes, state)
            y.tracked = True
            y.edge = (node, 0)
        return y

    def _many(
        self, results: Sequence[Any], like: type[Value], plan: Plan | None, edges: Sequence[Edge],
        settings: dict[str, Any], arrays: Sequence[Any], inputs: Sequence[Any], state: int,
    ) -> tuple[Any, ...]:
        """The tensors of a call with several results."""
        ys: list[Any] = []
        shapes: list[tuple[int, ...]] = []
        first, tracked = arrays[0], plan is not None
        for result in results:
            y = _new(like)  # as wrap() does
            if isinstance(result, generic):
                result = asarray(result)
            y.array = result
            y.written = [0, False]
            y.tracked = tracked
            y.edge = None
            if result is first:  # handed through: a view
                share(y, inputs[0])
            ys.append(y)
            shapes.append(result.shape)
        if plan is not None:
            node = record(self, plan, edges, settings, arrays, inputs, ys, shapes, state)
            for i, y in enumerate(ys):
                y.edge = (node, i)
        return tuple(ys)

    # -- going back ----------------------------------------------------------------------------

    def pull(
        self, node: Node, dys: Sequence[Any], graph: bool, seen: Observer | None = None
    ) -> Sequence[Any]:
        """The gradients of the inputs: on arrays, or recorded on tensors when ``graph``."""
        saved = node.saved
        if saved:
            for cell in node.cells:
                if cell[0] > node.order:
                    raise node.stale()
        elif saved is None:
            raise node.freed()
        plan = node.plan
        if graph:
            saved = [self._placed(node, source, value, seen)
                     for source, value in zip(plan.sources, saved, strict=True)]
        return plan.pull(dys, saved, node.settings)

    @staticmethod
    def _placed(node: Node, source: Source, value: Any, seen: Observer | None) -> Any:
        """A saved array as a tensor at its place in the graph."""
        edge: Edge = (node, source.number) if source.output else node.edges[source.number]
        if source.property or not is_array(value):
            return value
        if isinstance(edge, Value):
            if edge.array is not value:  # given other memory since, by .data or Module.to
                raise node.stale()
            return edge
        tensor = wrap(Value.result_class, value)
        if edge is not None:
            tensor.tracked = True
            tensor.edge = edge
        elif seen is not None:
            seen.constant(node, source.number, tensor)
        return tensor

    def kept(self, node: Node) -> list[Kept]:
        """What the node's rule finds again, but for shapes, dtypes and devices."""
        assert node.saved is not None
        cells = iter(node.cells)
        return [Kept(source.output, source.number, value, next(cells)[0] > node.order)
                for source, value in zip(node.plan.sources, node.saved, strict=True)
                if not source.property]


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
    if isinstance(error, ShapeError | DtypeError | DeviceError | DimError | RangeError):
        return error
    held = [a for a in arrays if is_array(a)]
    kinds = ", ".join(getattr(a, "dtype", type(a).__name__).__str__() for a in arrays)
    if isinstance(error, OverflowError):
        return RangeError(f"{name}: {held[0].dtype} does not hold the number beside it ({error}); "
                          "call .long() or .double() first")
    places = [f"input {i} of shape {a.shape} is on {device_of(a)}" for i, a in enumerate(held)]
    if len({device_of(a) for a in held}) > 1:
        return DeviceError(f"{name}: {', '.join(places)}; move one with .to(device)")
    strange = [a for a in arrays if not is_array(a) and not isinstance(a, int | float)
               and (a is not None or "NoneType" in str(error))]  # None may be an input left out
    if strange and isinstance(error, TypeError | AttributeError):
        return DtypeError(f"{name}: expected tensors, arrays and real numbers, got {kinds}")
    if isinstance(error, AttributeError):  # a number where the function wants an array
        return error if len(held) == len(arrays) else DtypeError(
            f"{name}: expected tensors or arrays, got {kinds}")
    shapes = ", ".join(str(a.shape) for a in held)
    if isinstance(error, IndexError):  # NumPy's AxisError is one too
        return DimError(f"{name}: {error}; got shapes {shapes}")
    if "zero-size" in str(error) or "empty sequence" in str(error):
        return DimError(f"{name}: expected at least one value to choose from, got shape {shapes}")
    if isinstance(error, TypeError):
        return DtypeError(f"{name}: {error}; got {kinds}")
    return ShapeError(f"{name}: {error}; got shapes {shapes}")
