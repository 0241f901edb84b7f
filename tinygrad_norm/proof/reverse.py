"""Derivatives of any order by reverse mode over reverse mode: of a layer here, and of PyTorch's."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import grad, keep_statistics
from ..autograd.graph import Value, wrap
from ..nn.container import ModuleDict
from ..nn.module import Module
from ..nn.utils.parametrize import type_before_parametrizations
from ..tensors.random import manual_seed
from ..tensors.tensor import Tensor


class Line(NamedTuple):
    """Along which inputs and parameters move, and w in Σ w y of the outputs."""

    inputs: list[np.ndarray]
    parameters: dict[str, np.ndarray]
    outward: list[np.ndarray]


def directional(
    gradient: Callable[..., Any], value: Any, leaves: Sequence[Any], along: Sequence[Any],
    order: int,
) -> np.ndarray:
    """The value and its derivatives along a line: the gradient's product with it, again and again.

    Args:
        gradient: the ``autograd.grad`` of the library that the tensors are of.
    """
    results = np.zeros(order + 1)
    results[0] = value.item()
    for k in range(1, order + 1):
        if not value.requires_grad:  # a constant: the rest is 0
            break
        slopes = gradient(value, leaves, create_graph=True, allow_unused=True)
        parts = [(g * v).sum() for g, v in zip(slopes, along, strict=True) if g is not None]
        if not parts:  # of something that stays
            break
        value = sum(parts[1:], parts[0])
        results[k] = value.item()
    return results


class Reverse:
    """One forward of a copy of the layer, whose derivatives are taken along many lines."""

    def __init__(self, layer: Any, arrays: Any, seed: int) -> None:
        layer = copy.deepcopy(layer)
        inputs = each(lambda a: leaf(a, moving=True), arrays)
        self.inputs = [t for t in flat(inputs) if t.requires_grad]
        self.parameters = learned(layer)
        manual_seed(seed)
        with keep_statistics():
            self.outputs = floats(layer(*inputs))

    def derivatives(self, line: Line, order: int) -> np.ndarray:
        """dᵏ/dtᵏ Σ w y at t = 0 for k = 0 … order."""
        value = sum((y * leaf(w)).sum() for y, w in zip(self.outputs, line.outward, strict=True))
        along = [leaf(v) for v in (*line.inputs, *line.parameters.values())]
        return directional(grad, value, [*self.inputs, *self.parameters.values()], along, order)


class PyTorchReverse:
    """The same by PyTorch, with its layer of the same name and the same values.

    Raises:
        LookupError: there is no such layer.
    """

    def __init__(self, layer: Module, arrays: Any) -> None:
        self.torch = torch = importlib.import_module("torch")
        theirs = _pytorch_layer(torch, layer)
        theirs.load_state_dict({name: torch.from_numpy(value.array.copy())
                                for name, value in layer.state_dict().items()})
        theirs.train(layer.training)
        inputs = each(lambda a: torch.from_numpy(a.copy()).requires_grad_(a.dtype.kind == "f"),
                      arrays)
        self.inputs = [t for t in flat(inputs) if t.requires_grad]
        self.parameters = dict(theirs.named_parameters())
        self.outputs = [y for y in flat(theirs(*inputs)) if torch.is_tensor(y)]

    def derivatives(self, line: Line, order: int) -> np.ndarray:
        """As :meth:`Reverse.derivatives`."""
        tensor = self.torch.from_numpy
        leaves = [*self.inputs, *(self.parameters[name] for name in line.parameters)]
        along = [tensor(v) for v in (*line.inputs, *line.parameters.values())]
        value = sum((y * tensor(w)).sum()
                    for y, w in zip(self.outputs, line.outward, strict=True))
        return directional(self.torch.autograd.grad, value, leaves, along, order)


def _pytorch_layer(torch: Any, layer: Module) -> Any:
    """Its layer of that name, made with what ours has of the arguments' names.

    A layer with a method ``in_pytorch(torch)`` says itself what its counterpart is.
    """
    if hasattr(layer, "in_pytorch"):
        return layer.in_pytorch(torch).double()
    base = type_before_parametrizations(layer)
    kind = getattr(torch.nn, base.__name__, None)
    if kind is None or not base.__module__.startswith("tinygrad_norm."):
        raise LookupError(f"PyTorch has no {base.__name__}")
    settings = _settings(kind, layer)
    if "bias" in settings:
        settings["bias"] = settings["bias"] is not None
    theirs = kind(**settings)
    for name, applied in vars(layer).get("parametrizations", ModuleDict()).items():
        for one in applied:  # _WeightNorm of weight_norm
            known = torch.nn.utils.parametrizations
            function = {f.replace("_", ""): getattr(known, f) for f in known.__all__}[
                type(one).__name__.lstrip("_").lower()]
            function(theirs, name, **_settings(function, one))
    return theirs.double()


def _settings(function: Callable[..., Any], module: Module) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {name: getattr(module, name) for name in names if hasattr(module, name)}


def has_pytorch() -> bool:
    return importlib.util.find_spec("torch") is not None


def pytorch_of(layer: Any, arrays: Any) -> PyTorchReverse | None:
    """PyTorch's side; None where it, or a layer of that name, arguments and state, is missing."""
    if not isinstance(layer, Module) or not has_pytorch():
        return None
    try:
        return PyTorchReverse(layer, arrays)
    except (ImportError, OSError, LookupError, TypeError, ValueError, RuntimeError):
        return None


# -- arguments, within tuples and lists ------------------------------------------------------------


def each(function: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, tuple | list):
        return type(values)(each(function, v) for v in values)
    return function(values)


def flat(values: Any) -> Iterator[Any]:
    if isinstance(values, tuple | list):
        for value in values:
            yield from flat(value)
    else:
        yield values


def leaf(array: np.ndarray, *, moving: bool = False) -> Tensor:
    """A tensor of a copy; ``moving`` asks for gradients, where it is floating."""
    result: Tensor = wrap(Tensor, array.copy())
    return result.requires_grad_() if moving and array.dtype.kind == "f" else result


def learned(layer: Any) -> dict[str, Any]:
    """The parameters that require grad."""
    named = layer.named_parameters() if isinstance(layer, Module) else ()
    return {name: p for name, p in named if p.requires_grad}


def floats(outputs: Any) -> list[Any]:
    """The outputs that can have derivatives."""
    found = [y for y in flat(outputs) if isinstance(y, Value) and y.array.dtype.kind == "f"]
    if not found:
        raise TypeError("certify: expected the layer to give floating tensors, got none")
    return found
