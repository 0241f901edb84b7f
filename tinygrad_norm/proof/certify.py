"""Are a layer's derivatives right, at every order? Two ways to compute them, side by side.

Inputs and parameters move together along a random line. The derivatives of Σ w y along it come
from the engine, reverse mode over reverse mode, in float64; and from the layer's forward on jets
(``jet.py``): Taylor series in a wider arithmetic, in which no gradient rule is used and no step
size is chosen. That the forward computes what the paper says is for other tests.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..autograd import enable_grad, keep_statistics
from ..autograd.graph import Value, wrap
from ..backend.array import is_array, to_numpy
from ..nn.checks import as_int, is_number
from ..nn.module import Module
from ..tensors.random import get_rng_state, manual_seed, set_rng_state
from ..tensors.tensor import Tensor
from .certificate import Certificate, Row
from .jet import Jet, stops
from .jet_backend import jets
from .reverse import Line, PyTorchReverse, Reverse, each, flat, floats, leaf, learned, pytorch_of

HIGHEST = 8
"""Order. Each takes up to five times as long as the one before, IterNorm's 8th a minute or more."""
FLOOR = 1e-3
"""A derivative below this part of the largest of lower order is measured by that part."""


def certify(
    layer: Callable[..., Any], *inputs: Any, order: int = 4, directions: int = 3, seed: int = 0,
    tolerance: float = 1e-9, stop_gradients: bool = True, pytorch: bool = True,
) -> Certificate:
    """Compare the derivatives of ``layer`` with the Taylor series of its forward.

    Args:
        layer: a Module, certified in training and in eval, or a function of tensors. It is copied:
            yours stays as it is. The copy is float64, sees ``inputs`` once in training, and its
            values are changed by some 30 %: weights of 1 and biases of 0 hide faults.
        inputs: tensors or arrays for one call. The floating ones move, as do the parameters that
            require grad; a function must be given all that moves. Ints and bools stay.
        order: of the highest derivative, at most 8.
        directions: so many random lines; the worst counts.
        tolerance: for the error relative to Σ |w y⁽ᵏ⁾|, or to a thousandth of the largest such sum
            of lower order where that is more: a derivative may be 0.
        stop_gradients: whether what is in ``detach()`` or ``no_grad()`` counts as constant. Else it
            is a fault, as a mean that was detached by mistake. The rows tell where it matters.
        pytorch: whether to look at PyTorch's layer of the same name too, where it is installed.

    >>> import tinygrad_norm as tn
    >>> tn.certify(tn.nn.LayerNorm(5), tn.randn(4, 5), pytorch=False).passed
    True
    """
    _check(layer, order, directions, seed, tolerance)
    arrays = each(_float64, inputs)
    if not any(a.dtype.kind == "f" for a in flat(arrays)):
        raise TypeError("certify: expected a floating input after the layer, got "
                        f"{len(inputs)} inputs and none that is")
    chosen = Settings(order, directions, seed, tolerance, stop_gradients, pytorch)
    before = get_rng_state()
    try:
        with enable_grad():  # within no_grad() all would be constant, and agree
            own = _prepared(layer, arrays, seed)
            if not isinstance(own, Module):
                return Certificate((_row(own, arrays, "", chosen),))
            return Certificate(tuple(_row(own.train(mode == "train"), arrays, mode, chosen)
                                     for mode in ("train", "eval")))
    finally:
        set_rng_state(before)


def _check(layer: Any, order: Any, directions: Any, seed: Any, tolerance: Any) -> None:
    if isinstance(layer, type) or not callable(layer):
        raise TypeError(f"certify: expected a layer or a function of tensors, got {layer!r}; of a "
                        "class make a layer first")
    if as_int("certify", "order", order) < 1 or as_int("certify", "directions", directions) < 1:
        raise ValueError(f"certify: expected order and directions of at least 1, got {order} and "
                         f"{directions}")
    if order > HIGHEST:
        raise ValueError(f"certify: expected order to be at most {HIGHEST}, got {order}: each "
                         "order takes several times as long as the one before")
    if as_int("certify", "seed", seed) < 0:
        raise ValueError(f"certify: expected seed >= 0, got {seed}")
    if not is_number(tolerance):
        raise TypeError(f"certify: expected tolerance to be a number, got {tolerance!r}")
    if not tolerance >= 0:
        raise ValueError(f"certify: expected tolerance >= 0, got {tolerance}; 1e-9 is the usual "
                         "one")


class Settings(NamedTuple):
    """How to certify; the arguments of :func:`certify`."""

    order: int
    directions: int
    seed: int
    tolerance: float
    stop_gradients: bool
    pytorch: bool


def _row(layer: Any, arrays: Any, mode: str, chosen: Settings) -> Row:
    ours = Reverse(layer, arrays, chosen.seed)
    theirs = pytorch_of(layer, arrays) if chosen.pytorch else None
    lines = list(_lines(ours, chosen))
    references = [_series(layer, arrays, line, chosen) for line in lines]
    (expected, scale), *_ = references
    other, _ = _series(layer, arrays, lines[0],
                       chosen._replace(stop_gradients=not chosen.stop_gradients))
    value, *errors = _worst(ours, lines, references)
    name = type(layer).__name__ if isinstance(layer, Module) else getattr(
        layer, "__name__", type(layer).__name__)
    row = Row(name, mode, "yes" if ours.parameters else "no", tuple(errors),
              stops=bool((np.abs(other - expected) / scale > chosen.tolerance).any()),
              tolerance=chosen.tolerance)
    if not value <= chosen.tolerance:  # float32 inside, or random numbers of its own
        problem = f"its value is another one on series, by {value:.0e}"
        return row._replace(problem=problem if math.isfinite(value) else "its value is not finite")
    if theirs is None:
        return row
    try:
        value, *errors = _worst(theirs, lines, references)
    except RuntimeError:  # it has no derivative of that order
        return row
    # of another value, it is another function of the same name
    if value <= chosen.tolerance:
        return row._replace(pytorch=tuple(errors))
    return row._replace(differs=True)


def _lines(run: Reverse, chosen: Settings) -> Iterator[Line]:
    random = np.random.default_rng([chosen.seed, 1])
    for _ in range(chosen.directions):
        yield Line([random.standard_normal(x.shape) for x in run.inputs],
                   {name: random.standard_normal(p.shape) for name, p in run.parameters.items()},
                   [random.standard_normal(y.shape) for y in run.outputs])


def _worst(
    run: Reverse | PyTorchReverse, lines: list[Line],
    references: list[tuple[np.ndarray, np.ndarray]],
) -> list[float]:
    """The largest relative error of each order, from 0."""
    errors = [np.abs(run.derivatives(line, len(expected) - 1) - expected) / scale
              for line, (expected, scale) in zip(lines, references, strict=True)]
    return [float(e) for e in np.max(errors, axis=0)]


@jets()
def _series(
    layer: Any, arrays: Any, line: Line, chosen: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """What :meth:`Reverse.derivatives` should give, by jets; and the scale of each order."""
    layer = copy.deepcopy(layer)
    directions = iter(line.inputs)
    inputs = each(lambda a: wrap(Tensor, Jet.line(a, next(directions), chosen.order)
                                 if a.dtype.kind == "f" else Jet([a])), arrays)
    if isinstance(layer, Module):
        layer.to(device="jet")
        for name, parameter in learned(layer).items():
            parameter.requires_grad_(False)
            parameter.array = Jet.line(to_numpy(parameter.array), line.parameters[name],
                                       chosen.order)
    manual_seed(chosen.seed)
    token = stops.set(chosen.stop_gradients)
    try:
        with keep_statistics():
            outputs = floats(layer(*inputs))
    finally:
        stops.reset(token)
    derivatives, scale = np.zeros((2, chosen.order + 1), np.longdouble)
    for y, w in zip(outputs, line.outward, strict=True):
        for k, c in enumerate(y.array.c):
            derivatives[k] += (w * c).sum() * math.factorial(k)
            scale[k] += np.abs(w * c).sum() * math.factorial(k)
    scale = np.maximum(scale, FLOOR * np.maximum.accumulate(scale))
    return derivatives, np.where(scale == 0, 1, scale)


def _prepared(layer: Any, arrays: Any, seed: int) -> Any:
    """A copy in float64 that has seen a batch, with other values in it, of the same signs."""
    layer = copy.deepcopy(layer)
    if not isinstance(layer, Module):
        return layer
    layer.to(device="cpu", dtype=np.float64)
    manual_seed(seed)
    layer.train()(*each(leaf, arrays))
    random = np.random.default_rng([seed, 0])
    for tensor in (*layer.parameters(), *layer.buffers()):
        array = tensor.array
        if array.dtype.kind == "f":
            noise = random.normal(0, 0.3, array.shape)
            array[...] = np.where(array == 0, noise, array * np.exp(noise))
    return layer


def _float64(value: Any) -> np.ndarray:
    if not (isinstance(value, Value) or is_array(value)):
        raise TypeError(f"certify: expected tensors or arrays as inputs, got "
                        f"{type(value).__name__}")
    array = to_numpy(value.array if isinstance(value, Value) else value)
    return array.astype(np.float64 if array.dtype.kind == "f" else array.dtype)
