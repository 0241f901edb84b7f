"""Gradients compared with finite differences, at first and at second order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.array import device_of, to_device, to_numpy
from ..errors import ShapeError
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

    Running statistics of layers inside ``func`` stay as they were. Outputs that are no tensors of
    floats are passed over.

    Raises:
        GradcheckError: a difference, or a gradient that is NaN.
        ValueError: no input requires grad, or one that does is not float64 or is expanded.
        TypeError: ``func`` returns no tensor of floats.
    """
    xs = _inputs("gradcheck", inputs, eps)
    with keep_statistics():
        _floats("gradcheck", func(*xs))
    names = [f"input {i}" for i in range(len(xs))]
    return _agree("gradcheck", "output", func, xs, names, (eps, atol, rtol), raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Value | Sequence[Value] | None = None,
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
    xs = _inputs("gradgradcheck", inputs, eps)
    with keep_statistics():
        outputs = _floats("gradgradcheck", func(*xs))
    seeds = _seeds(outputs, grad_outputs)
    count = len(xs)

    @enable_grad
    def gradients(*arguments: Any) -> Any:
        ys, dys = _floats("gradgradcheck", func(*arguments[:count])), arguments[count:]
        wanted = [x for x in arguments[:count] if isinstance(x, Value) and x.tracked]
        used = [i for i, y in enumerate(ys) if y.requires_grad]
        found = grad([ys[i] for i in used], wanted, [dys[i] for i in used],
                     create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    names = [f"input {i}" for i in range(count)]
    names += [f"grad_output {i}" for i in range(len(seeds))]
    return _agree("gradgradcheck", "gradient", gradients, (*xs, *seeds), names, (eps, atol, rtol),
                  raise_exception)


def _inputs(who: str, inputs: Any, eps: float) -> tuple[Any, ...]:
    """The inputs, of which those to be checked can be."""
    xs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    checked = {i: x for i, x in enumerate(xs) if isinstance(x, Value) and x.tracked}
    if not checked:
        raise ValueError(f"{who}: expected at least one input with requires_grad=True")
    for i, x in checked.items():
        if x.array.dtype != np.float64:
            raise ValueError(f"{who}: input {i} is {x.array.dtype}; differences of step {eps} "
                             "need float64: pass x.double()")
        steps = zip(x.array.shape, x.array.strides, strict=True)
        if x.array.size and any(n > 1 and not step for n, step in steps):
            raise ValueError(f"{who}: input {i} is expanded, several of its entries share memory "
                             "and cannot be moved one by one; pass x.clone()")
    return xs


def _floats(who: str, outputs: Any) -> list[Any]:
    """The outputs that can carry a gradient."""
    found = _carriers(outputs)
    if not found:
        raise TypeError(f"{who}: expected func to return a tensor of floats or a tuple with one, "
                        f"got {type(outputs).__name__}")
    return found


def _carriers(outputs: Any) -> list[Any]:
    many = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [y for y in many if isinstance(y, Value) and y.array.dtype.kind == "f"]


def _seeds(outputs: Sequence[Any], given: Any) -> list[Any]:
    """The gradients of the outputs, as leaves."""
    if given is None:
        random = np.random.default_rng(0)
        given = [wrap(y.result_class, to_device(random.standard_normal(y.array.shape),
                                                device_of(y.array))) for y in outputs]
    seeds = list(given) if isinstance(given, tuple | list) else [given]
    shapes = [g.array.shape if isinstance(g, Value) else type(g).__name__ for g in seeds]
    if shapes != [y.array.shape for y in outputs]:
        raise ShapeError("gradgradcheck: expected grad_outputs to be tensors of the outputs' "
                         f"shapes {[y.array.shape for y in outputs]}, got {shapes}")
    return [g.detach().requires_grad_() for g in seeds]


def _agree(
    who: str, what: str, func: Callable[..., Any], xs: Sequence[Any], names: Sequence[str],
    tolerance: tuple[float, float, float], raise_exception: bool,
) -> bool:
    """Whether the Jacobians of what ``func`` returns agree, for each input that is tracked."""
    eps, atol, rtol = tolerance
    with keep_statistics():
        try:
            for x, name in zip(xs, names, strict=True):
                if isinstance(x, Value) and x.tracked:
                    outputs = _carriers(func(*xs))
                    analytical = [_analytical(y, x) for y in outputs]
                    numerical = _numerical(who, func, xs, x, outputs, eps)
                    for j, pair in enumerate(zip(analytical, numerical, strict=True)):
                        _compare(f"{who}: Jacobian of {what} {j} with respect to {name}", *pair,
                                 atol, rtol)
        except GradcheckError:
            if raise_exception:
                raise
            return False
    return True


def _compare(where: str, a: np.ndarray, n: np.ndarray, atol: float, rtol: float) -> None:
    """Raise where an entry is off by more than the tolerance; NaN is off by more than all else."""
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(a - n)
        wrong = (a != n) & ~(np.isfinite(n) & (off <= atol + rtol * np.abs(n)))
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1)),
                                 a.shape)
        raise GradcheckError(
            f"{where} differs in {int(wrong.sum())} of {wrong.size} entries; at (output, input) "
            f"entry {tuple(map(int, worst))} analytical {a[worst]:.10g}, numerical {n[worst]:.10g}"
            f"\nanalytical:\n{a}\nnumerical:\n{n}")


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
    who: str, func: Callable[..., Any], xs: Sequence[Any], x: Any, outputs: Sequence[Any],
    eps: float,
) -> list[np.ndarray]:
    """The same matrices by central differences; the input is put back as it was."""
    array, shapes = x.array, [y.array.shape for y in outputs]
    result = [np.zeros((y.array.size, array.size)) for y in outputs]
    for k, index in enumerate(np.ndindex(array.shape)):
        ends = []
        before = array[index].copy() if array.shape else array.copy()
        for step in (eps, -eps):
            array[index] = before + step
            x.written[0] = tick()
            try:
                with no_grad():
                    ends.append([to_numpy(y.array).astype(np.float64)
                                 for y in _carriers(func(*xs))])
            finally:
                array[index] = before
            if [v.shape for v in ends[-1]] != shapes:
                raise GradcheckError(f"{who}: expected results of shapes {shapes} also near the "
                                     f"inputs, got {[v.shape for v in ends[-1]]}")
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf, 1e308 + 1e308
            for matrix, high, low in zip(result, *ends, strict=True):
                matrix[:, k] = ((high - low) / (2 * eps)).reshape(-1)
    return result
