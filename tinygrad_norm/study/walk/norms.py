"""The staged walk through a norm layer: its formulas are run, one after the other."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.backward import grad
from ...autograd.function import Function
from ...autograd.graph import wrap
from ...backend.array import to_numpy
from ...tensors.tensor import Tensor
from ...viz.norm_steps import evaluate
from .arrangement import Norm, arranged
from .backward import Told, backward
from .formula import Sum, formula, names
from .stages import Step, remembered, steps
from .study import Arrangement, Fork, Gradient, Node, Read

LEAVES = {
    "x": ("input", "the input"), "gamma": ("parameter", "weight"), "beta": ("parameter", "bias"),
    "running_mean": ("buffer", "what the layer remembers"),
    "running_var": ("buffer", "what the layer remembers"),
    "running_std": ("buffer", "what the layer remembers"),
    "eps": ("constant", "added under the root"),
    "n": ("constant", "so many values are reduced to one"),
    "momentum": ("constant", "the weight of the new value"),
    "rmax": ("constant", "bounds r"), "dmax": ("constant", "bounds d")}


class Walk(NamedTuple):
    """The values and gradients of a walk, by name, and the same as data."""

    norm: Norm
    values: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    forward: list[Node]
    backward: list[Gradient]
    forks: list[Fork]
    output: str


class Engine(NamedTuple):
    """What the layer itself makes of it: y, dx, dgamma, dbeta, and its statistics afterwards."""

    y: np.ndarray
    gradients: dict[str, np.ndarray]
    buffers: dict[str, np.ndarray]


def engine(layer: Any, x: np.ndarray, dy: np.ndarray) -> Engine:
    """A copy of ``layer`` run forward and back, with its fused rules."""
    layer = copy.deepcopy(layer)
    tensors = {"dx": wrap(Tensor, x.copy())}
    tensors |= {name: own for name, own in (("dgamma", layer.weight),
                                            ("dbeta", getattr(layer, "bias", None)))
                if own is not None}
    for tensor in tensors.values():
        tensor.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        y = layer(tensors["dx"])
        found = grad(y, list(tensors.values()), wrap(Tensor, dy.copy()))
    return Engine(to_numpy(y.array),
                  {name: to_numpy(g.array) for name, g in zip(tensors, found, strict=True)},
                  {name: to_numpy(b.array) for name, b in layer.named_buffers()})


def functions(arrangement: Arrangement) -> dict[str, Any]:
    """What the formulas of stages.py call."""
    reduced, shared = tuple(arrangement.reduced), tuple(arrangement.shared)
    return {"sum": lambda v: v.sum(axis=reduced, keepdims=True),
            "share": lambda v: v.sum(axis=shared, keepdims=True),
            "average": lambda v: v.mean(axis=0, keepdims=True),
            "sqrt": np.sqrt, "clip": np.clip, "ones": np.ones_like}


def sums(arrangement: Arrangement) -> dict[str, Sum]:
    """How the sums among them are written."""
    return {name: Sum("".join(arrangement.axes[i] for i in axes), tuple(axes))
            for name, axes in (("sum", arrangement.reduced), ("share", arrangement.shared))}


def leaves(norm: Norm, x: np.ndarray) -> dict[str, np.ndarray]:
    """What the walk starts from."""
    found = {"x": x.reshape(norm.arrangement.view), "gamma": norm.weight, "beta": norm.bias,
             "running_mean": norm.mean,
             "running_std" if norm.kind == "batch_renorm" else "running_var": norm.spread}
    numbers = {"eps": norm.arrangement.eps, "n": norm.arrangement.n, "momentum": norm.momentum,
               "rmax": norm.rmax, "dmax": norm.dmax}
    program = [*steps(norm), *remembered(norm)]
    read = {name for step in program for name in names(step.expression)}
    read |= {name for step in program for e in step.gradients.values() for name in names(e)}
    arrays = {name: array for name, array in found.items() if array is not None and name in read}
    return arrays | {name: np.array(float(value)) for name, value in numbers.items()
                     if value is not None and name in read}


class Stage(Function):
    """A step of the walk as an operation: the formulas of its value and of its gradients, run."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor, step: Step, run: Callable[..., Tensor]) -> Tensor:
        ctx.step, ctx.run = step, run
        return run(step.expression)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        given = {f"d{ctx.step.name}": dy.array}
        return tuple(ctx.run(formula, **given) for formula in ctx.step.gradients.values())


def walk(layer: Any, kind: str, x: np.ndarray, dy: np.ndarray) -> Walk:
    """``layer``, in float64, on x, with the gradient dy of its output."""
    norm = arranged(layer, kind, x.shape)
    values = leaves(norm, x)
    forward = [leaf(name, value) for name, value in values.items()]
    main = list(steps(norm))
    output = main[-1].name
    known, written = functions(norm.arrangement), sums(norm.arrangement)
    tensors = {name: wrap(Tensor, value).requires_grad_() for name, value in values.items()}

    def run(expression: str, **given: np.ndarray) -> Any:
        return wrap(Tensor, np.asarray(evaluate(expression, {**values, **given}, known)))

    for number, step in enumerate([*main, *remembered(norm)], 1):
        y = Stage.apply(*(tensors[of] for of in step.gradients), step=step, run=run)
        tensors[step.name], values[step.name] = y, y.array
        role = "value" if number <= len(main) else "statistic"
        forward.append(Node(
            step.name, role, "", step.says, formula(step.name, step.expression, written),
            list(y.shape), y.tolist(), bool(np.isfinite(y.array).all()),
            reads(step.expression), number))

    expressions = {step.name: list(step.gradients.values()) for step in main}

    def tell(node: Any, k: int, given: Sequence[str], summed: bool) -> Told:
        expression = expressions[given[0]][k]
        return Told(expression, reads(expression), written)

    edges = {y.edge or y: name for name, y in tensors.items()}
    back, forks = backward(tensors[output], dy.reshape(norm.arrangement.view), edges, tell,
                           sum(n.step > 0 for n in forward) + 1)
    attach(forward, back)
    gradients = {g.name: np.asarray(g.value) for g in back}
    return Walk(norm, values, gradients, forward, back, forks, output)


def leaf(name: str, value: np.ndarray) -> Node:
    role, says = LEAVES[name]
    return Node(name, role, "", says, None, list(value.shape), value.tolist(),
                bool(np.isfinite(value).all()), [])


def reads(expression: str) -> list[Read]:
    """Every stage of a norm computes along the axes of the view."""
    return [Read(name) for name in names(expression)]


def attach(forward: Iterable[Node], back: Iterable[Gradient]) -> None:
    """Put the whole gradients beside their values."""
    nodes = {node.name: node for node in forward}
    for gradient in back:
        if gradient.kind != "part":
            node = nodes[gradient.of]
            node.gradient, node.gradient_name = gradient.value, gradient.name
            node.gradient_step = gradient.step


def norm_of(value: np.ndarray) -> float:
    """Its Euclidean length."""
    return math.sqrt(float((value * value).sum()))
