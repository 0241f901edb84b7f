"""Ready-made inputs: a small batch for each norm, and the cases that teach most."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd.graph import Value, wrap
from ...errors import ShapeError
from ...nn.lazy import LazyModuleMixin
from ...nn.module import Module
from ...tensors.tensor import Tensor
from .arrangement import arranged, kind_of
from .limits import given, outward
from .study import Study

SHAPES = {"batch_norm": (8, 4), "batch_renorm": (8, 4), "layer_norm": (8, 4),
          "instance_norm": (2, 3, 5), "group_norm": (2, 4, 3), "rms_norm": (8, 4)}
"""Of x, by the name of the norm."""
PAIRS = {"batch_norm": (2, 4), "batch_renorm": (2, 4), "layer_norm": (8, 2),
         "instance_norm": (2, 3, 2), "group_norm": (4, 4), "rms_norm": (8, 2)}
"""Where two values are normalized together."""
EPS = (1e-8, 1e-5, 1e-2, 1.0, 100.0)
"""Of the sweep."""


@dataclass(frozen=True, slots=True)
class Example:
    """What ``trace`` takes: ``example.trace()`` gives it to it."""

    name: str
    says: str
    layer: Module
    x: Tensor
    grad_output: Tensor

    def trace(self) -> Study:
        """The walk through it."""
        from .trace import trace

        return trace(self.layer, self.x, grad_output=self.grad_output)


def example(
    kind: str, *, shape: Sequence[int] | None = None, seed: int = 0, training: bool = True,
    eps: float = 1e-5,
) -> Example:
    """A layer with weights about 1, a batch of normal numbers, a gradient; the same for each seed.

    In eval its running statistics are those of three other batches.
    """
    _known(kind)
    random = np.random.default_rng(seed)
    size = tuple(shape or SHAPES[kind])
    x, dy = random.standard_normal(size), random.standard_normal(size)
    layer = layer_for(kind, size, random, eps)
    if not training:
        for _ in range(3):
            layer(_tensor(random.standard_normal(size) * 1.5 + 0.5))
        layer.eval()
    return Example(kind, "normal numbers", layer, _tensor(x), _tensor(dy))


def layer_for(
    kind: str, shape: tuple[int, ...], random: np.random.Generator, eps: float = 1e-5
) -> Module:
    """A float64 layer of that kind for x of that shape, its weight and bias drawn at random.

    Raises:
        ValueError: it takes no such shape.
    """
    _known(kind)
    least = 3 if kind == "instance_norm" else 2
    if not least <= len(shape) <= 5:
        raise ShapeError(f"study: expected x of {least} to 5 axes for {kind}, got {shape}; "
                         "give such an array with --npz")
    layer = _makers(shape)[kind](eps=eps, dtype=np.float64)
    for tensor, middle in ((layer.weight, 1.0), (getattr(layer, "bias", None), 0.0)):
        if tensor is not None:
            tensor.array[...] = middle + 0.3 * random.standard_normal(tensor.array.shape)
    return layer


def _makers(shape: tuple[int, ...]) -> dict[str, Callable[..., Any]]:
    dims = {2: 1, 3: 1, 4: 2, 5: 3}[len(shape)]
    c = shape[1]

    def channels(name: str, **settings: Any) -> Callable[..., Any]:
        return lambda **options: getattr(nn, f"{name}{dims}d")(c, **settings, **options)

    return {
        "batch_norm": channels("BatchNorm"), "batch_renorm": channels("BatchRenorm"),
        "instance_norm": channels("InstanceNorm", affine=True),
        "group_norm": lambda **options: nn.GroupNorm(2 if c % 2 == 0 else 1, c, **options),
        "layer_norm": lambda **options: nn.LayerNorm(shape[1:], **options),
        "rms_norm": lambda **options: nn.RMSNorm(shape[1:], **options)}


def what_ifs(
    kind: str | Module, x: Any = None, grad_output: Any = None, *, seed: int = 0
) -> list[Example]:
    """A batch of 2, a constant feature, γ = 0, and a sweep over eps, for a norm.

    Each comes ready for ``trace``: ``[case.trace() for case in what_ifs("batch_norm")]``; and
    ``study.save(path, what_ifs(layer, x))`` shows them beside the study of a layer of your own.
    It has none where its statistics are given: in eval no value sees another.

    Raises:
        TypeError: neither a name nor one of the six norms with its x.
    """
    if isinstance(kind, str):
        _known(kind)
        case = example(kind, seed=seed)
        two = example(kind, shape=PAIRS[kind], seed=seed)
        return [_few("batch of 2", two.layer, two.x, two.grad_output, kind), *_others(case, kind)]
    if x is None:
        raise TypeError(f"what_ifs: expected the layer and its x, got {kind!r} alone")
    layer: Any = copy.deepcopy(kind)
    (values,) = given([x])
    if isinstance(layer, LazyModuleMixin):
        layer.initialize_parameters(_tensor(values))
    own = kind_of(layer) if isinstance(layer, Module) else ""
    if not own:
        raise TypeError(f"what_ifs: expected {', '.join(SHAPES)}, or a layer of these kinds and "
                        f"its x, got {kind!r}")
    if not arranged(layer, own, values.shape).own:
        return []
    if layer.eps is None:  # that of the dtype which the layer computes in
        dtype = x.array.dtype if isinstance(x, Value) else x.dtype
        layer.eps = float(np.finfo(np.promote_types(dtype, np.float32)).eps)
    case = Example(own, "", layer, _tensor(values), _tensor(outward(grad_output, values.shape)))
    return [*_first_two(case, own), *_others(case, own)]


def _others(case: Example, kind: str) -> list[Example]:
    found = [_constant(case, kind)]
    if getattr(case.layer, "weight", None) is not None:
        found.append(_zero_gamma(case))
    for eps in EPS:
        layer: Any = copy.deepcopy(case.layer)
        layer.eps = eps
        found.append(Example(
            f"eps = {eps:g}", "the larger eps beside the variance, the less is normalized, and "
            "the more of the gradient along x̂ survives", layer, case.x, case.grad_output))
    return found


def _few(name: str, layer: Module, x: Tensor, dy: Tensor, kind: str) -> Example:
    n = arranged(layer, kind, x.shape).arrangement.n
    says = f"{n} values are normalized together"
    if n == 2:
        says = ("two values are divided by their root mean square: what is left of them is their "
                "direction") if kind == "rms_norm" else (
                f"two {says[2:]}: all that is left of them is which is the larger, x̂ = ±1, and "
                "next to no gradient comes back")
    return Example(name, says, layer, x, dy)


def _first_two(case: Example, kind: str) -> list[Example]:
    """The first two samples, features or positions, where the norm reduces these alone."""
    x, dy = case.x.array, case.grad_output.array
    layer: Any = copy.deepcopy(case.layer)
    name: str = "batch of 2"
    cut: Any = slice(2)
    if kind in ("layer_norm", "rms_norm") and len(layer.normalized_shape) == 1:
        name, cut = "2 features", (..., slice(2))
        layer.normalized_shape = (2,)
        for tensor in (layer.weight, getattr(layer, "bias", None)):
            if tensor is not None:
                tensor.data = tensor.data[:2]
    elif kind == "instance_norm" and x.ndim == 3:
        name, cut = "2 positions", (..., slice(2))
    elif kind not in ("batch_norm", "batch_renorm"):
        return []
    if x[cut].shape == x.shape:
        return []
    return [_few(name, layer, _tensor(x[cut].copy()), _tensor(dy[cut].copy()), kind)]


def _constant(case: Example, kind: str) -> Example:
    """The first set is a constant."""
    norm = arranged(case.layer, kind, case.x.shape)
    view = np.array(case.x.array).reshape(norm.arrangement.view)
    first: list[Any] = [0] * view.ndim
    for axis in norm.arrangement.reduced:
        first[axis] = slice(None)
    centred = norm.arrangement.centred
    view[tuple(first)] = 3.0 if centred else 0.0
    value = "all values of a set are 3: x̂ = 0 whatever they are" if centred else (
        "all values of a set are 0: x̂ = 0")
    return Example("constant feature", f"{value}, and the gradient is multiplied by 1/√ε = "
                   f"{1 / math.sqrt(norm.arrangement.eps):.0f}", case.layer,
                   _tensor(view.reshape(case.x.shape)), case.grad_output)


def _zero_gamma(case: Example) -> Example:
    layer: Any = copy.deepcopy(case.layer)
    layer.weight.array.reshape(-1)[0] = 0.0
    return Example("gamma = 0", "where γ = 0 no gradient reaches x, but γ itself learns",
                   layer, case.x, case.grad_output)


def _known(kind: str) -> None:
    if kind not in SHAPES:
        raise ValueError(f"study: expected one of {', '.join(SHAPES)}, got {kind!r}")


def _tensor(array: np.ndarray) -> Tensor:
    return wrap(Tensor, array)
