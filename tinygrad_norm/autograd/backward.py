"""The reverse walk. It knows no operation: it sorts, sums, undoes broadcasting, and hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from operator import attrgetter
from typing import Any

import numpy as np

from ..backend.array import Array, array_module, device_of
from ..errors import DeviceError, ShapeError
from .anomaly import check_backward
from .broadcasting import unbroadcast
from .graph import Edge, Node, Value, tick, wrap
from .mode import ANOMALY, GRAD, UNHOOKED, flags, set_grad_enabled

Tensors = Value | Sequence[Value]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
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
    token = flags.set(flags.get() & ~GRAD | create_graph)
    try:
        leaves = _walk(roots, graph=create_graph, keep=keep)
    finally:
        flags.reset(token)
    for leaf, gradient in leaves.items():
        if leaf.hooks:
            for hook in tuple(leaf.hooks.values()):
                gradient = _hooked(hook, leaf.result_class, gradient, create_graph)
        _accumulate(leaf, gradient, create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
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
    for i, variable in enumerate(inputs):
        if not variable.tracked:
            raise RuntimeError(
                f"grad: input {i} of shape {variable.array.shape} does not require grad; "
                "set requires_grad_() before it is used"
            )
    roots = _roots("grad", outputs, grad_outputs, create_graph)
    targets: list[Any] = [v.edge or v for v in inputs]
    with set_grad_enabled(create_graph):
        found = _walk(roots, graph=create_graph, keep=keep, targets=frozenset(targets))
    results = []
    for i, (variable, target) in enumerate(zip(inputs, targets, strict=True)):
        gradient = found.get(target)
        if gradient is None and materialize_grads:
            gradient = array_module(variable.array).zeros_like(variable.array)
        elif gradient is None and not allow_unused:
            raise RuntimeError(
                f"grad: input {i} of shape {variable.array.shape} is not part of the graph of the "
                "outputs; pass allow_unused=True to get None for it"
            )
        elif gradient is not None and not isinstance(target, tuple):
            for hook in tuple((variable.hooks or {}).values()):
                gradient = _hooked(hook, variable.result_class, gradient, create_graph)
        if gradient is not None and not isinstance(gradient, Value):
            gradient = wrap(variable.result_class, array_module(gradient).asarray(gradient))
        results.append(gradient)
    return tuple(results)


def reachable(edges: Iterable[Edge]) -> list[Node]:
    """Every node that the edges lead to, each after all that depend on it."""
    seen: set[Node] = set()
    stack = [edge[0] for edge in edges if isinstance(edge, tuple)]
    seen.update(stack)
    while stack:
        for edge in stack.pop().edges:
            if edge.__class__ is tuple and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return sorted(seen, key=attrgetter("order"), reverse=True)


def _walk(
    roots: Sequence[tuple[Edge, Any]],
    *,
    graph: bool,
    keep: bool,
    targets: Set[Any] | None = None,
) -> dict[Any, Any]:
    """Carry gradients from the roots back.

    Gradients are arrays, or tensors when ``graph`` (their arithmetic is then recorded). Returned
    is the gradient of each leaf reached, or, with ``targets``, of those: leaves or (node, output).
    What is returned shares no memory with anything else.
    """
    found: dict[Any, Any] = {}
    pending: dict[Node, list[Any]] = {}
    for edge, gradient in roots:
        if isinstance(edge, tuple):
            dys = pending.setdefault(edge[0], [None] * len(edge[0].shapes))
            dys[edge[1]] = gradient if dys[edge[1]] is None else dys[edge[1]] + gradient
        elif targets is None or edge in targets:
            found[edge] = found[edge] + gradient if edge in found else _copy(gradient)
    nodes = reachable(edge for edge, _ in roots)
    ends: Set[Node] = frozenset()
    if targets is not None:
        nodes, ends = _towards(nodes, targets)
    anomaly = flags.get() & ANOMALY
    for node in nodes:
        dys = pending.pop(node, None)  # type: ignore[arg-type]
        if dys is None:
            continue
        if node.watched:
            _look(node, dys, graph, retain=targets is None)
        if targets is not None:
            for i, dy in enumerate(dys):
                if dy is not None and (node, i) in targets:
                    found[node, i] = _copy(dy)
            if node in ends:
                continue
        gradients = node.op.pull(node, dys, graph)
        if anomaly:
            check_backward(node, dys, gradients)
        for edge, gradient in zip(node.edges, gradients):  # noqa: B905 (hot)
            if edge is None or gradient is None:
                continue
            if edge.__class__ is tuple:
                to, i = edge
                if gradient.shape != to.shapes[i]:
                    gradient = unbroadcast(gradient, to.shapes[i])
                held = pending.get(to)
                if held is None:
                    held = pending[to] = [None] * len(to.shapes)
                before = held[i]
                held[i] = gradient if before is None else before + gradient
            elif targets is None or edge in targets:
                shape = edge.array.shape  # type: ignore[union-attr]
                if gradient.shape != shape:
                    gradient = unbroadcast(gradient, shape)
                if edge in found:
                    found[edge] = found[edge] + gradient
                elif graph:  # written[1]: it shares memory
                    shared = gradient is dys[0] or gradient.written[1]
                    found[edge] = _copy(gradient) if shared else gradient
                else:  # a rule's own new array is kept, dy itself or a view of it is copied
                    new = gradient.base is None and gradient is not dys[0]
                    found[edge] = gradient if new else gradient.copy()
        if not keep and node.cells:  # shapes alone are kept, as in PyTorch
            node.saved = None
    return found


def _copy(gradient: Any) -> Any:
    return gradient.copy() if not isinstance(gradient, Value) else gradient.clone()  # type: ignore[attr-defined]


def _towards(nodes: Sequence[Node], targets: Set[Any]) -> tuple[list[Node], Set[Node]]:
    """Those of ``nodes`` that lead to a target, in the same order, and those where it ends."""
    captured = {target[0] for target in targets if isinstance(target, tuple)}
    leading: set[Node] = set()
    for node in reversed(nodes):
        if any(
            edge[0] in leading or edge[0] in captured if isinstance(edge, tuple)
            else edge in targets
            for edge in node.edges
            if edge is not None
        ):
            leading.add(node)
    return [node for node in nodes if node in leading or node in captured], captured - leading


def _look(node: Node, dys: list[Any], graph: bool, *, retain: bool) -> None:
    """Run the hooks of a node's outputs and fill their retained gradients."""
    for i, dy in enumerate(dys):
        if dy is None:
            continue
        for hook in tuple((node.hooks or {}).get(i, {}).values()):
            dy = dys[i] = _hooked(hook, Value.result_class, dy, graph)
        reference = (node.retained or {}).get(i) if retain else None
        variable = reference() if reference else None
        if variable is not None:
            _accumulate(variable, _copy(dy), graph)


def _hooked(hook: Callable[[Any], Any], like: type[Value], gradient: Any, graph: bool) -> Any:
    """What ``hook`` makes of a gradient; None leaves it as it is."""
    if flags.get() & UNHOOKED:
        return gradient
    given = gradient if isinstance(gradient, Value) else wrap(like, _array(gradient))
    result = hook(given)
    if result is None:
        return gradient
    if not isinstance(result, Value):
        raise TypeError(f"hook: expected a Tensor or None, got {type(result).__name__}")
    if result.array.shape != given.array.shape:
        raise ShapeError(
            f"hook: expected a gradient of shape {given.array.shape}, got {result.array.shape}"
        )
    return result if graph else result.array


def _accumulate(leaf: Value, gradient: Any, graph: bool) -> None:
    """Add to ``leaf.grad``: in place, so that whoever holds it sees the sum."""
    old = leaf._grad
    if graph:
        leaf._grad = gradient if old is None else old + gradient
    elif old is None:
        leaf._grad = wrap(leaf.result_class, _array(gradient))
    elif old.tracked:
        leaf._grad = old.detach() + wrap(leaf.result_class, gradient)
    else:
        array = old.array
        array += gradient
        old.written[0] = tick()


def _array(value: Any) -> Array:
    """NumPy's reductions give scalars; everywhere else an array without dimensions is meant."""
    return np.asarray(value) if isinstance(value, np.generic) else value


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
        shape = output.array.shape
        if not output.tracked:
            raise RuntimeError(
                f"{who}: output {i} of shape {shape} does not require grad and has no grad_fn; "
                "set requires_grad=True on an input, and leave no_grad() and detach()"
            )
        module = array_module(output.array)
        if gradient is None:
            if output.array.size != 1:
                raise RuntimeError(
                    f"{who}: grad can be implicitly created only for scalar outputs, got shape "
                    f"{shape}; pass a gradient of that shape, or take .sum() or .mean() first"
                )
            gradient = module.ones(shape, output.array.dtype)
        elif not isinstance(gradient, Value):
            gradient = module.asarray(gradient, dtype=output.array.dtype)
        elif device_of(gradient.array) != device_of(output.array):
            raise DeviceError(f"{who}: output {i} is on {device_of(output.array)}, its gradient "
                              f"on {device_of(gradient.array)}; move one with .to(device)")
        if gradient.shape != shape:
            raise ShapeError(
                f"{who}: expected a gradient of shape {shape}, got {tuple(gradient.shape)}"
            )
        if graph and not isinstance(gradient, Value):
            gradient = wrap(output.result_class, gradient)
        elif not graph and isinstance(gradient, Value):
            gradient = gradient.array
        if gradient.dtype != output.array.dtype:
            gradient = gradient.to(output.array.dtype) if graph else gradient.astype(
                output.array.dtype)
        roots.append((output.edge or output, gradient))
    return roots
