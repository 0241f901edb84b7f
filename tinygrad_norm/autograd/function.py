"""Operations of the user's own: a forward and a backward, in PyTorch's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.array import array_module, device_of
from ..errors import DeviceError, ShapeError
from .graph import Kept, Node, Value, constant, wrap
from .mode import GRAD, flags, function_forward, no_grad, set_grad_enabled
from .observer import Observer
from .record import record
from .sharing import share


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; any attribute may be set on it."""

    needs_input_grad: tuple[bool, ...] = ()
    _saved: tuple[Any, ...] = ()
    _constant: tuple[int, ...] = ()
    _materialize = True

    def save_for_backward(self, *tensors: Value | None) -> None:
        """Keep inputs or outputs of ``forward``; changed in place later, they are an error."""
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return self._saved

    def mark_non_differentiable(self, *tensors: Value) -> None:
        """Outputs that carry no gradient, such as indices."""
        self._constant = tuple(map(id, tensors))

    def set_materialize_grads(self, value: bool) -> None:
        """Whether an unused output's gradient comes as zeros (the default) or as None."""
        self._materialize = value


class Function:
    """Base class of a user's operation.

    Subclass it with two static methods. ``forward(ctx, *args)`` computes from tensors and
    returns a tensor or a tuple of them; ``backward(ctx, *grad_outputs)`` returns a gradient (or
    None) for each argument. Written in tensor operations, ``backward`` can be differentiated again.
    With a third, ``setup_context(ctx, inputs, output)``, ``forward(*args)`` gets no ctx.

    >>> import tinygrad_norm as tn
    >>> class Cube(tn.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved_tensors
    ...         return dy * 3 * x ** 2
    >>> x = tn.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("Function: define a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise NotImplementedError("Function: define a static method backward(ctx, *grad_outputs)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save for ``backward`` what it needs of a ``forward`` without ctx."""

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the call."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Value) and a.tracked for a in args)
        with function_forward() if flags.get() & GRAD else no_grad():
            if cls.setup_context is Function.setup_context:
                results = cls.forward(ctx, *args, **kwargs)
            else:
                results = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, results)
        if not (any(ctx.needs_input_grad) and flags.get() & GRAD):
            return results
        many = isinstance(results, tuple | list)
        given = list(results) if many else [results]
        ys = [_fresh(y, args) for y in given]
        edges = [(a.edge or a) if needed else None
                 for a, needed in zip(args, ctx.needs_input_grad, strict=True)]
        shapes = [y.array.shape if isinstance(y, Value) else () for y in ys]
        call = _Call(cls, ctx, args)
        node = record(call, call, edges, {}, (), args, given, shapes, flags.get())
        for i, y in enumerate(ys):
            if isinstance(y, Value) and y.array.dtype.kind == "f" \
                    and id(given[i]) not in ctx._constant:
                y.tracked = True
                y.edge = (node, i)
        return tuple(ys) if many else ys[0]


def _fresh(y: Any, inputs: Sequence[Any]) -> Any:
    """An output as a tensor of its own: ``forward`` may hand on an input, or a view of one."""
    if not isinstance(y, Value):
        return y
    alias = wrap(y.result_class, y.array)
    alias.written = y.written
    if y.written[1] or any(y is x for x in inputs):
        share(alias, y)
    return alias


def _saved(value: Any, outputs: Sequence[Any]) -> tuple[Any, Any, int | None]:
    """A saved tensor: its array, its place in the graph, and which output it is.

    An output is kept without its place, or it would keep itself alive. A tensor that an in-place
    operation later moves on in the graph is kept where it stands now.
    """
    if not isinstance(value, Value):
        return None, value, None
    position = next((i for i, y in enumerate(outputs) if y is value), None)
    if value.tracked and value.edge is None:
        return value.array, value, None
    alias = wrap(value.result_class, value.array)
    if position is None and value.edge is not None:
        alias.tracked, alias.edge = True, value.edge
    return value.array, alias, position


class _Call:
    """One ``Function.apply``: the operation, and also its plan; calls the user's backward."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def __init__(self, function: type[Function], ctx: FunctionCtx, args: Sequence[Any]) -> None:
        self.name = function.__name__
        self.function = function
        self.ctx = ctx
        self.wanted = [(a.array.shape, a.array.dtype, device_of(a.array)) if needed else None
                       for a, needed in zip(args, ctx.needs_input_grad, strict=True)]

    def keep(
        self, arrays: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> tuple[list[Any], list[list[int]]]:
        """What ``save_for_backward`` was given, and the ``written`` lists of the tensors in it."""
        given, self.ctx._saved = self.ctx._saved, ()
        return ([_saved(value, outputs) for value in given],
                [value.written for value in given if isinstance(value, Value)])

    def constants(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments that no gradient flows into, described."""
        return tuple(constant(a) for a, needed in
                     zip(inputs, self.ctx.needs_input_grad, strict=True) if not needed)

    def kept(self, node: Node) -> list[Kept]:
        """The arrays that it saved; which inputs or outputs they are is the user's affair."""
        assert node.saved is not None
        cells = iter(node.cells)
        return [Kept(False, None, array,
                     isinstance(value, Value) and next(cells)[0] > node.order)
                for array, value, _ in node.saved]

    def pull(
        self, node: Node, dys: Sequence[Any], graph: bool, seen: Observer | None = None
    ) -> Sequence[Any]:
        like = Value.result_class
        saved = []
        if node.saved is None:
            raise node.freed()
        if any(cell[0] > node.order for cell in node.cells):
            raise node.stale()
        for array, value, position in node.saved:
            if position is not None and graph:  # an output, put back at its place in the graph
                alias = wrap(like, array)
                alias.tracked, alias.edge = True, (node, position)
                value = alias
            elif array is not None and value.array is not array:
                raise node.stale()
            saved.append(value)
        given = []
        for dy, shape in zip(dys, node.shapes, strict=True):
            if dy is None and self.ctx._materialize:
                known = next(d for d in dys if d is not None)
                dy = (known * 0).sum().expand(shape) if graph else array_module(known).zeros(
                    shape, dtype=known.dtype)
            if dy is not None and not isinstance(dy, Value):
                dy = wrap(like, array_module(dy).asarray(dy))
            given.append(dy)
        self.ctx._saved = tuple(saved)
        try:
            with set_grad_enabled(graph):
                results = self.function.backward(self.ctx, *given)
        finally:
            self.ctx._saved = ()
        results = self._checked(results if isinstance(results, tuple | list) else (results,))
        return results if graph else [None if r is None else r.array.copy() for r in results]

    def _checked(self, results: Sequence[Any]) -> list[Any]:
        """One gradient for each argument of forward: its shape (or broadcast), dtype, device."""
        count = len(self.wanted)
        if len(results) < count or any(r is not None for r in results[count:]):
            raise RuntimeError(
                f"{self.name}.backward: returned an incorrect number of gradients: expected "
                f"{count}, one for each argument of forward, got {len(results)}"
            )
        checked: list[Any] = []
        for i, (result, wanted) in enumerate(zip(results, self.wanted, strict=False)):
            if result is None or wanted is None:
                checked.append(None)
                continue
            if not isinstance(result, Value):
                raise TypeError(f"{self.name}.backward: expected a Tensor or None for argument "
                                f"{i}, got {type(result).__name__}")
            shape, dtype, device = wanted
            if device_of(result.array) != device:
                raise DeviceError(f"{self.name}.backward: expected a gradient on {device} for "
                                  f"argument {i}, got {device_of(result.array)}; return "
                                  ".to(device)")
            got = result.array.shape
            if len(got) < len(shape) or any(
                    n not in (1, m) for n, m in zip(shape[::-1], got[::-1], strict=False)):
                raise ShapeError(f"{self.name}.backward: expected a gradient of shape {shape} for "
                                 f"argument {i}, got {got}")
            checked.append(result if result.array.dtype == dtype else
                           result.to(dtype))  # type: ignore[attr-defined]
        return checked
