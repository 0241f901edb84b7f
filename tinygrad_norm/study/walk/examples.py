"""Ready-made inputs: a small batch for each norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd.graph import wrap
from ...errors import ShapeError
from ...nn.module import Module
from ...tensors.tensor import Tensor
from .study import Study
from .trace import trace

SHAPES = {"batch_norm": (8, 4), "batch_renorm": (8, 4), "layer_norm": (8, 4),
          "instance_norm": (2, 3, 5), "group_norm": (2, 4, 3), "rms_norm": (8, 4)}
"""Of x, by the name of the norm."""


@dataclass(frozen=True, slots=True)
class Example:
    """What ``trace`` takes: ``example.trace()`` gives it to it."""

    name: str
    says: str
    layer: Module
    x: Tensor
    grad_output: Tensor
    features: tuple[str, ...] = ()

    def trace(self) -> Study:
        """The walk through it."""
        study = trace(self.layer, self.x, grad_output=self.grad_output)
        study.features = list(self.features)
        return study


def example(
    kind: str, *, shape: Sequence[int] | None = None, seed: int = 0, training: bool = True,
    eps: float = 1e-5,
) -> Example:
    """A layer with weights about 1, a batch of normal numbers, a gradient; the same for each seed.

    In eval its running statistics, if it has any, are those of three other batches.
    """
    check_known(kind)
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
    check_known(kind)
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


def check_known(kind: str) -> None:
    """It is the name of one of the six.

    Raises:
        ValueError: it is not.
    """
    if kind not in SHAPES:
        raise ValueError(f"study: expected one of {', '.join(SHAPES)}, got {kind!r}")


def _tensor(array: np.ndarray) -> Tensor:
    return wrap(Tensor, array)
