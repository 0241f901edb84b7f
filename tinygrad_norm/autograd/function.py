"""Operations of the user's own: a forward and a backward, in PyTorch's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .graph import Node, Variable, wrap
from .mode import GRAD, flags, no_grad, set_grad_enabled


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; any attribute may be set on it."""

    needs_input_grad: tuple[bool, ...] = ()
    _saved: tuple[Any, ...] = ()
    _constant: tuple[int, ...] = ()
    _materialize = True

    def save_for_backward(self, *tensors: Variable | None) -> None:
        """Keep inputs or outputs of ``forward``; changed in place later, they are an error."""
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return self._saved

    def mark_non_differentiable(self, *tensors: Variable) -> None:
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

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and record the call."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Variable) and a.tracked for a in args)
        with no_grad():
            results = cls.forward(ctx, *args, **kwargs)
        if not (any(ctx.needs_input_grad) and flags.get() & GRAD):
            return results
        many = isinstance(results, tuple | list)
        given = list(results) if many else [results]
        ys = [_fresh(y, args) for y in given]
        edges = [(a.edge or a) if needed else None
                 for a, needed in zip(args, ctx.needs_input_grad, strict=True)]
        # An output is kept without its edge, or it would keep itself alive.
        saved = [(s, _position(s, given)) for s in ctx._saved]
        ctx._saved = ()
        cells = [s.written for s, _ in saved if isinstance(s, Variable)]
        node = Node(_Call(cls, ctx), edges, {}, [_shape(y) for y in ys], None, saved, cells)
        for i, y in enumerate(ys):
            if isinstance(y, Variable) and y.array.dtype.kind == "f" \
                    and id(given[i]) not in ctx._constant:
                y.tracked = True
                y.edge = (node, i)
        return tuple(ys) if many else ys[0]


def _shape(value: Any) -> tuple[int, ...]:
    return value.array.shape if isinstance(value, Variable) else ()


def _position(value: Any, outputs: Sequence[Any]) -> int | None:
    return next((i for i, y in enumerate(outputs) if y is value), None)


def _fresh(y: Any, inputs: Sequence[Any]) -> Any:
    """An output as a tensor of its own: ``forward`` may hand an input through."""
    if not isinstance(y, Variable):
        return y
    alias = wrap(y.result_class, y.array)
    if any(y is x for x in inputs):
        alias.written = y.written
        alias.written[1] = True
    return alias


class _Call:
    """The operation of one ``Function.apply``: calls the user's backward."""

    def __init__(self, function: type[Function], ctx: FunctionCtx) -> None:
        self.name = function.__name__
        self.function = function
        self.ctx = ctx

    def pull(self, node: Node, dys: Sequence[Any], *, graph: bool) -> Sequence[Any]:
        like = Variable.result_class
        saved = []
        for value, position in node.unpacked():
            if position is not None:  # an output, put back at its place in the graph
                alias = wrap(like, value.array)
                if graph:
                    alias.tracked, alias.edge = True, (node, position)
                value = alias
            saved.append(value)
        self.ctx._saved = tuple(saved)
        given = []
        for dy, shape in zip(dys, node.shapes, strict=True):
            if dy is None and self.ctx._materialize:
                known = next(d for d in dys if d is not None)
                dy = (known * 0).sum().expand(shape) if graph else _zeros(known, shape)
            given.append(dy if dy is None or isinstance(dy, Variable) else wrap(like, dy))
        try:
            with set_grad_enabled(graph):
                results = self.function.backward(self.ctx, *given)
        finally:
            self.ctx._saved = ()
        results = results if isinstance(results, tuple | list) else (results,)
        if len(results) < len(node.edges) or any(r is not None for r in results[len(node.edges):]):
            raise RuntimeError(
                f"{self.name}.backward: expected {len(node.edges)} gradients, one for each "
                f"argument of forward, got {len(results)}"
            )
        if graph:
            return results[: len(node.edges)]
        return [None if r is None else r.array.copy() for r in results[: len(node.edges)]]


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    from ..backend.array import array_module, np

    return array_module(np.asarray(like) if np.isscalar(like) else like).zeros(shape, like.dtype)
