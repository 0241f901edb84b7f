"""Gradients compared with finite differences, at first and at second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.array import device_of, to_device, to_numpy
from .backward import grad
from .graph import Value, tick, wrap
from .mode import enable_grad, keep_statistics, no_grad


class GradcheckError(RuntimeError):
    """The analytical and the numerical gradient differ; the message shows both."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare ``func``'s gradients with central differences (f(x + eps) - f(x - eps)) / 2 eps.

    Args:
        func: takes the tensors of ``inputs``, returns a tensor or a tuple of them.
        inputs: tensors in float64; those that require grad are checked.
        eps: the step. atol, rtol: the tolerance |a - n| <= atol + rtol |n|, entry by entry.
        raise_exception: raise on a difference instead of returning False.

    Running statistics of layers inside ``func`` stay as they were.

    Raises:
        GradcheckError: a difference.
        ValueError: no input requires grad, or one that does is not float64.
    """
    xs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    checked = [i for i, x in enumerate(xs) if isinstance(x, Value) and x.tracked]
    if not checked:
        raise ValueError("gradcheck: expected at least one input with requires_grad=True")
    for i in checked:
        if xs[i].array.dtype != np.float64:
            raise ValueError(
                f"gradcheck: input {i} is {xs[i].array.dtype}; differences of step {eps} need "
                "float64: pass x.double()"
            )
    with keep_statistics():
        try:
            for i in checked:
                _check_input(func, xs, i, eps, atol, rtol)
        except GradcheckError:
            if raise_exception:
                raise
            return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Check second derivatives: :func:`gradcheck` of the gradients of ``func``.

    Args:
        grad_outputs: the outputs' gradients; drawn at random (seed 0) when None.
        Else as :func:`gradcheck`.
    """
    xs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    with keep_statistics():
        outputs = _floats(func(*xs))
    if grad_outputs is None:
        random = np.random.default_rng(0)
        grad_outputs = [
            wrap(y.result_class, to_device(random.standard_normal(y.array.shape),
                                           device_of(y.array)))
            for y in outputs
        ]
    elif isinstance(grad_outputs, Value):
        grad_outputs = [grad_outputs]
    seeds = [g.detach().requires_grad_() for g in grad_outputs]
    count = len(xs)

    @enable_grad
    def gradients(*arguments: Any) -> Any:
        ys, dys = _floats(func(*arguments[:count])), arguments[count:]
        wanted = [x for x in arguments[:count] if isinstance(x, Value) and x.tracked]
        used = [i for i, y in enumerate(ys) if y.requires_grad]
        found = grad([ys[i] for i in used], wanted, [dys[i] for i in used],
                     create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(gradients, (*xs, *seeds), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception)


def _floats(outputs: Any) -> list[Any]:
    """The outputs that can carry a gradient."""
    many = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [y for y in many if isinstance(y, Value) and y.array.dtype.kind == "f"]


def _check_input(
    func: Callable[..., Any], xs: Sequence[Any], i: int, eps: float, atol: float, rtol: float
) -> None:
    outputs = _floats(func(*xs))
    analytical = [_analytical(y, xs[i]) for y in outputs]
    numerical = _numerical(func, xs, i, eps)
    for j, (a, n) in enumerate(zip(analytical, numerical, strict=True)):
        wrong = ~(np.abs(a - n) <= atol + rtol * np.abs(n))
        if wrong.any():
            worst = np.unravel_index(np.nanargmax(np.where(wrong, np.abs(a - n), -1)), a.shape)
            raise GradcheckError(
                f"gradcheck: Jacobian of output {j} with respect to input {i} differs in "
                f"{int(wrong.sum())} of {wrong.size} entries; at (output, input) entry "
                f"{tuple(map(int, worst))} analytical {a[worst]:.10g}, numerical {n[worst]:.10g}"
                f"\nanalytical:\n{a}\nnumerical:\n{n}"
            )


def _analytical(y: Any, x: Any) -> np.ndarray:
    """∂y/∂x as a matrix of y.size rows."""
    rows = np.zeros((y.array.size, x.array.size))
    if not y.requires_grad:
        return rows
    for k in range(y.array.size):
        seed = np.zeros(y.array.size)
        seed[k] = 1
        dy = wrap(y.result_class, to_device(seed.reshape(y.array.shape), device_of(y.array)))
        (row,) = grad(y, x, dy, retain_graph=True, allow_unused=True)
        if row is not None:
            rows[k] = to_numpy(row.array).reshape(-1)
    return rows


def _numerical(
    func: Callable[..., Any], xs: Sequence[Any], i: int, eps: float
) -> list[np.ndarray]:
    """The same matrices by central differences; the input is put back as it was."""
    x = xs[i].array
    columns: list[list[np.ndarray]] = []
    for index in np.ndindex(x.shape):
        ends = []
        before = x[index].copy() if x.shape else x.copy()
        for step in (eps, -eps):
            x[index] = before + step
            xs[i].written[0] = tick()
            try:
                with no_grad():
                    ends.append([to_numpy(y.array).reshape(-1).copy()
                                 for y in _floats(func(*xs))])
            finally:
                x[index] = before
        columns.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
    return [np.stack(c, axis=1) for c in zip(*columns, strict=True)] if columns else []
