"""The layers that ``precision`` can measure: those that give (input - mean) / √(variance + eps).

AdaIN does with a fixed style, and those of ``centred=False`` leave the mean where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_norm.tensors.creation import cat, tensor, zeros

EPS = 1e-5

Shape = tuple[int, ...]


class Form(NamedTuple):
    """One form of input: four sets of n values each that are normalized together."""

    label: str
    shape: Callable[[int], Shape]
    axes: Shape
    """What is reduced."""
    suffix: str = ""
    """Of the layer's name: 1d, 2d, 3d."""


class Family(NamedTuple):
    """Layers that differ in the form of their input only."""

    forms: Sequence[Form]
    arguments: Callable[[Shape, Shape], tuple[Any, ...]]
    """The layer's positional arguments for a shape and the reduced axes."""
    settings: dict[str, Any]
    """Its options: no affine part, the batch's own statistics."""
    grouped: bool = False
    """Whether the channels stand in two groups."""
    centred: bool = True
    call: Callable[[Any, Any], Any] = lambda norm, x: norm(x)
    """How the layer is called with x."""
    lazy: bool = False
    """Whether there are lazy forms: made without the first argument."""


def side(n: int) -> int:
    """Of a square image of n pixels; the numbers here are squares."""
    return math.isqrt(n)


CHANNELS = (
    Form("(N, C)", lambda n: (n, 4), (0,), "1d"),
    Form("(N, C, L)", lambda n: (16, 4, n // 16), (0, 2), "1d"),
    Form("(N, C, H, W)", lambda n: (16, 4, side(n // 16), side(n // 16)), (0, 2, 3), "2d"),
    Form("(N, C, D, H, W)", lambda n: (4, 4, 4, side(n // 16), side(n // 16)), (0, 2, 3, 4), "3d"),
)
INSTANCES = (
    Form("(N, C, L)", lambda n: (2, 2, n), (2,), "1d"),
    Form("(N, C, H, W)", lambda n: (2, 2, side(n), side(n)), (2, 3), "2d"),
    Form("(N, C, D, H, W)", lambda n: (2, 2, 16, side(n // 16), side(n // 16)), (2, 3, 4), "3d"),
)
GROUPS = (
    Form("(N, C)", lambda n: (2, 2 * n), (2,)),
    Form("(N, C, L)", lambda n: (2, 8, n // 4), (2, 3)),
    Form("(N, C, H, W)", lambda n: (2, 8, side(n // 4), side(n // 4)), (2, 3, 4)),
)
LAST = (
    Form("(N, D)", lambda n: (4, n), (1,)),
    Form("(N, L, D)", lambda n: (2, 2, n), (2,)),
    Form("(N, H, W)", lambda n: (4, side(n), side(n)), (1, 2)),
)


def features(shape: Shape, axes: Shape) -> tuple[Any, ...]:
    """num_features, eps"""
    return shape[1], EPS


def last(shape: Shape, axes: Shape) -> tuple[Any, ...]:
    """normalized_shape, eps"""
    return tuple(shape[axis] for axis in axes), EPS


def style(x: Any) -> Any:
    """A style of mean 0 and deviation 1: AdaIN with it standardizes."""
    size = math.sqrt(1 - EPS)
    return tensor([size, -size], dtype=x.dtype).expand(*x.shape[:2], 2)


OWN = {"affine": False, "track_running_stats": False}
"""No affine part, the batch's own statistics."""
WHOLE = tuple(form._replace(suffix="") for form in CHANNELS[:3])
"""Of layers with one name for all forms."""

FAMILIES = {
    "BatchNorm": Family(CHANNELS, features, OWN, lazy=True),
    "GhostBatchNorm": Family(WHOLE, lambda shape, axes: (shape[1], shape[0], EPS), OWN),
    "SyncBatchNorm": Family(WHOLE, features, OWN,
                            call=lambda norm, x: cat(norm([x[:1], x[1:]]))),
    "ConditionalBatchNorm": Family(
        CHANNELS, lambda shape, axes: (shape[1], 1, EPS), {"track_running_stats": False},
        call=lambda norm, x: norm(x, zeros(len(x), dtype=np.int64))),
    "BatchRenorm": Family(CHANNELS, features, {"affine": False, "rmax": 1.0, "dmax": 0.0}),
    "InstanceNorm": Family(INSTANCES, features, {"affine": False}, lazy=True),
    "AdaIN": Family(tuple(form._replace(suffix="") for form in INSTANCES),
                    lambda shape, axes: (EPS,), {}, call=lambda norm, x: norm(x, style(x))),
    "FilterResponseNorm": Family(INSTANCES, features, {"affine": False, "tlu": False},
                                 centred=False),
    "GroupNorm": Family(GROUPS, lambda shape, axes: (2, shape[1], EPS), {"affine": False},
                        grouped=True),
    "LayerNorm": Family(LAST, last, {"elementwise_affine": False}),
    "RMSNorm": Family(LAST, last, {"elementwise_affine": False}, centred=False),
}
LAYERS = {lazy + name + form.suffix: name for name, family in FAMILIES.items()
          for lazy in ("", "Lazy")[: 1 + family.lazy] for form in family.forms}
"""The layers that there are, with their families."""
