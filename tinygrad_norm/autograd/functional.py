"""Products with Jacobians and Hessians, and the matrices themselves.

Signatures and results are those of ``torch.autograd.functional``. Forward-mode products are made
of two reverse passes: the vector-Jacobian product is linear in its vector, so its own gradient
with respect to that vector is the Jacobian-vector product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import public
from ..backend.array import array_module
from ..errors import ShapeError, not_a_tensor
from .backward import grad
from .graph import Value, wrap
from .mode import enable_grad

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Inputs = Value | Sequence[Value] | None
"""A tensor or a tuple of tensors; results have the same form."""


def vjp(
    func: Callable[..., Any], inputs: Inputs, v: Inputs = None,
    create_graph: bool = False, strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)`` and the product vᵀJ.

    Args:
        func: takes the tensors of ``inputs``, returns a tensor or a tuple of them.
        v: of the outputs' shapes; may be left out for one scalar output.
        create_graph: make the result differentiable.
        strict: an input that no output depends on is an error instead of a zero.
    """
    with enable_grad():
        xs = _prepare("vjp", inputs, create_graph)
        ys = func(*xs)
        outputs = _outputs("vjp", ys)
        vs = _vectors("vjp", v, outputs)
        results = _grads(outputs, xs, vs, create_graph, strict)
    return _result(ys, outputs, create_graph), _like(inputs, results)


def jvp(
    func: Callable[..., Any], inputs: Inputs, v: Inputs = None,
    create_graph: bool = False, strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)`` and the product Jv; ``v`` has the inputs' shapes. Else as :func:`vjp`."""
    with enable_grad():
        xs = _prepare("jvp", inputs, create_graph)
        vs = _vectors("jvp", v, xs)
        ys = func(*xs)
        outputs = _outputs("jvp", ys)
        us = tuple(_full(y, 0).requires_grad_() for y in outputs)
        pulled = _grads(outputs, xs, us, True, strict)
        results = _grads(pulled, us, vs, create_graph, False)
    return _result(ys, outputs, create_graph), _like(ys, results)


def jacobian(
    func: Callable[..., Any], inputs: Inputs, create_graph: bool = False, strict: bool = False
) -> Any:
    """∂y/∂x of shape ``(*y.shape, *x.shape)``; nested tuples for several outputs or inputs."""
    with enable_grad():
        xs = _prepare("jacobian", inputs, create_graph)
        ys = func(*xs)
        outputs = _outputs("jacobian", ys)
        table = []
        for y in outputs:
            rows: list[tuple[Any, ...]] = []
            for index in range(y.array.size):
                one = y.reshape(-1)[index]
                rows.append(_grads((one,), xs, (None,), create_graph, strict, keep=True))
            if rows:
                blocks = tuple(
                    x._stack([row[j] for row in rows]).reshape((*y.shape, *x.shape))
                    for j, x in enumerate(xs)
                )
            else:
                blocks = tuple(x.detach().reshape(-1)[:0].reshape((*y.shape, *x.shape))
                               for x in xs)
            table.append(_like(inputs, blocks))
    return _like(ys, tuple(table))


def hessian(
    func: Callable[..., Any], inputs: Inputs, create_graph: bool = False, strict: bool = False
) -> Any:
    """∂²y/∂x∂x of a scalar function, of shape ``(*x.shape, *x.shape)``."""

    def gradient(*xs: Value) -> Any:
        y = func(*xs)
        _check_scalar("hessian", y)
        return _grads((y,), xs, (None,), True, strict)

    result = jacobian(gradient, inputs, create_graph, strict)
    return result if _is_many(inputs) else result[0]


def hvp(
    func: Callable[..., Any], inputs: Inputs, v: Inputs = None,
    create_graph: bool = False, strict: bool = False,
) -> tuple[Any, Any]:
    """``func(*inputs)`` and the product Hv of a scalar function's Hessian with ``v``."""
    with enable_grad():
        xs = _prepare("hvp", inputs, create_graph)
        vs = _vectors("hvp", v, xs)
        y = func(*xs)
        _check_scalar("hvp", y)
        gradients = _grads((y,), xs, (None,), True, strict)
        results = _grads(gradients, xs, vs, create_graph, strict)
    return _result(y, (y,), create_graph), _like(inputs, results)


vhp = hvp  # the Hessian is symmetric


def _is_many(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if _is_many(value) else (value,)


def _like(form: Any, values: Sequence[Any]) -> Any:
    return tuple(values) if _is_many(form) else values[0]


def _prepare(who: str, inputs: Inputs, create_graph: bool) -> tuple[Any, ...]:
    """Inputs of our own: connected to the caller's graph, or cut off from it."""
    xs = _tuple(inputs)
    for x in xs:
        if not isinstance(x, Value):
            raise not_a_tensor(who, x, "inputs")
    return tuple(
        x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_()
        for x in xs
    )


def _outputs(who: str, ys: Any) -> tuple[Any, ...]:
    outputs = _tuple(ys)
    for y in outputs:
        if not isinstance(y, Value):
            raise TypeError(f"{who}: expected func to return a tensor or a tuple of them, got "
                            f"{'one with ' * (y is not ys)}{type(y).__name__}")
    return outputs


def _vectors(who: str, v: Any, targets: Sequence[Any]) -> tuple[Any, ...]:
    if v is None:
        if len(targets) != 1 or targets[0].array.size != 1:
            raise RuntimeError(f"{who}: v may be left out only for one scalar; pass v")
        return (_full(targets[0], 1),)
    vs = _tuple(v)
    shapes, expected = [tuple(u.shape) for u in vs], [tuple(t.shape) for t in targets]
    if shapes != expected:
        raise ShapeError(f"{who}: expected v of shapes {expected}, got {shapes}")
    return vs


def _full(like: Any, value: int) -> Any:
    """That value in the shape of ``like``, which may be infinite or NaN."""
    xp = array_module(like.array)
    return wrap(like.result_class, xp.full_like(like.array, value))


def _check_scalar(who: str, y: Any) -> None:
    if not isinstance(y, Value) or y.array.size != 1:
        got = y.array.shape if isinstance(y, Value) else type(y).__name__
        raise RuntimeError(f"{who}: expected a function that returns one scalar, got {got}")


def _grads(
    outputs: Sequence[Any], inputs: Sequence[Any], vectors: Sequence[Any],
    create_graph: bool, strict: bool, keep: bool = False,
) -> tuple[Any, ...]:
    """Gradients with zeros where nothing depends, unless ``strict``."""
    used = [i for i, y in enumerate(outputs) if y.requires_grad]
    found: tuple[Any, ...] = (None,) * len(inputs)
    if used:
        found = grad(
            [outputs[i] for i in used], inputs, [vectors[i] for i in used],
            retain_graph=keep or create_graph, create_graph=create_graph, allow_unused=True,
        )
    if strict and any(g is None for g in found):
        raise RuntimeError("strict: an input has no influence on the outputs")
    return tuple(_full(x, 0) if g is None else g for x, g in zip(inputs, found, strict=True))


def _result(ys: Any, outputs: Sequence[Any], create_graph: bool) -> Any:
    return ys if create_graph else _like(ys, [y.detach() for y in outputs])


public.publish(globals())
