"""``backward`` and ``grad``: where a walk begins, and what becomes of the gradients it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.array import array_module, device_of, plain
from ..errors import DeviceError, ShapeError
from .graph import Edge, Value, wrap
from .mode import GRAD, flags
from .observer import accumulate, as_array, hooked
from .walk import walk

Tensors = Value | Sequence[Value]
Gradients = Value | np.ndarray | Sequence[Any] | float | None


def backward(
    tensors: Tensors,
    grad_tensors: Gradients = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Sum the gradients of ``tensors`` into the ``.grad`` of the leaves they depend on.

    Args:
        tensors: what is differentiated; each a scalar, or with an entry in ``grad_tensors``.
        grad_tensors: the gradient of each tensor, of its shape; None stands for 1.
        retain_graph: keep the saved values for a second walk; by default ``create_graph``.
        create_graph: record the walk itself, for derivatives of higher order.

    Raises:
        RuntimeError: a tensor that does not require grad, a non-scalar without a gradient, a graph
            whose values were freed or changed.
    """
    outputs = _as_tuple(tensors)
    keep = create_graph if retain_graph is None else retain_graph
    roots = _roots("backward", outputs, grad_tensors, create_graph)
    token = flags.set(flags.get() & ~GRAD | bool(create_graph))
    try:
        leaves = walk(roots, graph=create_graph, keep=keep)
    finally:
        flags.reset(token)
    for leaf, gradient in leaves.items():
        if leaf.hooks:
            gradient = hooked(leaf.hooks, leaf.result_class, gradient, create_graph)
        accumulate(leaf, gradient, create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Gradients = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; no ``.grad`` is touched.

    Args:
        outputs: what is differentiated; each a scalar, or with an entry in ``grad_outputs``.
        inputs: leaves or intermediate tensors.
        grad_outputs: the gradient of each output, of its shape; None stands for 1.
        retain_graph: keep the saved values for a second walk; by default ``create_graph``.
        create_graph: record the walk itself, so that the results can be differentiated again.
        allow_unused: return None for an input that no output depends on, instead of an error.
        materialize_grads: return zeros there instead.

    Returns:
        One tensor of its shape for each input.

    Raises:
        RuntimeError: as ``backward``, and for an unused input.
    """
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    keep = create_graph if retain_graph is None else retain_graph
    targets: list[Any] = []
    for variable in inputs:
        if not variable.tracked:
            raise RuntimeError(
                f"grad: input {len(targets)} of shape {variable.array.shape} does not require "
                "grad; set requires_grad_() before it is used"
            )
        targets.append(variable.edge or variable)
    roots = _roots("grad", outputs, grad_outputs, create_graph)
    token = flags.set(flags.get() & ~GRAD | bool(create_graph))
    try:
        found = walk(roots, graph=create_graph, keep=keep, targets=frozenset(targets))
    finally:
        flags.reset(token)
    results = []
    for i, (variable, target) in enumerate(zip(inputs, targets, strict=True)):
        gradient = found.get(target)
        if gradient is None:
            if materialize_grads:
                gradient = array_module(variable.array).zeros_like(variable.array)
            elif not allow_unused:
                raise RuntimeError(
                    f"grad: input {i} of shape {variable.array.shape} is not part of the graph of "
                    "the outputs; pass allow_unused=True to get None for it"
                )
        elif variable.hooks and target is variable:
            gradient = hooked(variable.hooks, variable.result_class, gradient, create_graph)
        if gradient is not None and not isinstance(gradient, Value):
            gradient = wrap(variable.result_class, as_array(gradient))
        results.append(gradient)
    return tuple(results)


def _as_tuple(tensors: Tensors) -> tuple[Value, ...]:
    return (tensors,) if isinstance(tensors, Value) else tuple(tensors)


def _roots(
    who: str, outputs: Sequence[Value], gradients: Any, graph: bool
) -> list[tuple[Edge, Any]]:
    """The edge and the first gradient of each output."""
    if gradients is None:
        gradients = [None] * len(outputs)
    elif isinstance(gradients, Value) or not isinstance(gradients, list | tuple):
        gradients = [gradients]
    if len(gradients) != len(outputs):
        raise RuntimeError(f"{who}: {len(outputs)} outputs, but {len(gradients)} gradients")
    roots: list[tuple[Edge, Any]] = []
    for i, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        array = output.array
        shape = array.shape
        if not output.tracked:
            raise RuntimeError(
                f"{who}: output {i} of shape {shape} does not require grad and has no grad_fn; "
                "set requires_grad=True on an input, and leave no_grad() and detach()"
            )
        if gradient is None:
            if array.size != 1:
                raise RuntimeError(
                    f"{who}: grad can be implicitly created only for scalar outputs, got shape "
                    f"{shape}; pass a gradient of that shape, or take .sum() or .mean() first"
                )
            gradient = array_module(array).ones(shape, array.dtype)
        elif not isinstance(gradient, Value):
            gradient = array_module(array).asarray(plain(who, gradient), dtype=array.dtype)
        else:
            here, there = device_of(array), device_of(gradient.array)
            if here is not there and here != there:
                raise DeviceError(f"{who}: output {i} is on {here}, its gradient on {there}; "
                                  "move one with .to(device)")
            if not graph:
                gradient = gradient.array
        if gradient.shape != shape:
            raise ShapeError(
                f"{who}: expected a gradient of shape {shape}, got {tuple(gradient.shape)}"
            )
        if graph and not isinstance(gradient, Value):
            gradient = wrap(output.result_class, gradient)
        if gradient.dtype != array.dtype:
            gradient = gradient.to(array.dtype) if graph else gradient.astype(array.dtype)
        roots.append((output.edge or output, gradient))
    return roots
