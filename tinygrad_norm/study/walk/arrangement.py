"""Which values of x a norm layer normalizes together, and what it normalizes them with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...backend.array import to_numpy
from ...nn.normalization import GroupNorm, LayerNorm, RMSNorm
from ...nn.normalization.batch import BatchNorm
from ...nn.normalization.batch_renorm import BatchRenorm
from ...nn.normalization.instance import InstanceNorm
from ...nn.utils.parametrize import is_parametrized
from .study import Arrangement


def spatial(count: int) -> list[str]:
    """Names of the axes after N and C."""
    known = {1: ["L"], 2: ["H", "W"], 3: ["D", "H", "W"]}
    return known.get(count, [f"S{i + 1}" for i in range(count)])


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm layer as the walk sees it. All arrays are float64 and stand beside the view of x.

    own:      whether the statistics are those of x; else ``mean`` and ``spread`` are used
    weight, bias, mean, spread: None where there is none; spread is running_var, of BatchRenorm
              running_std
    momentum: the weight of the new value; None where nothing is remembered
    """

    kind: str
    arrangement: Arrangement
    own: bool
    weight: np.ndarray | None
    bias: np.ndarray | None
    mean: np.ndarray | None = None
    spread: np.ndarray | None = None
    momentum: float | None = None
    rmax: float = 1.0
    dmax: float = 0.0


def kind_of(layer: Any) -> str:
    """``batch_norm`` …, or "" for what is no such norm, or one that computes in its own way."""
    kinds: tuple[tuple[type, str], ...] = (
        (BatchNorm, "batch_norm"), (BatchRenorm, "batch_renorm"), (LayerNorm, "layer_norm"),
        (InstanceNorm, "instance_norm"), (GroupNorm, "group_norm"), (RMSNorm, "rms_norm"))
    for base, kind in kinds:
        if isinstance(layer, base):
            return kind if _computes_as(layer, base) else ""
    return ""


def _computes_as(layer: Any, base: Any) -> bool:
    same = type(layer).forward is base.forward and not is_parametrized(layer)
    return same and not (layer._forward_hooks or layer._forward_pre_hooks)


def arranged(layer: Any, kind: str, shape: tuple[int, ...]) -> Norm:
    """How ``layer``, which is in float64 and has not seen x yet, normalizes x of that shape."""
    if kind in ("layer_norm", "rms_norm"):
        return _over_last(layer, kind, shape)
    if kind == "group_norm":
        return _over_groups(layer, shape)
    return _per_channel(layer, kind, shape)


def _over_last(layer: Any, kind: str, shape: tuple[int, ...]) -> Norm:
    k = len(layer.normalized_shape)
    leading = len(shape) - k
    before, last = _before(leading, k), _last(leading, k)
    centred = kind == "layer_norm"
    eps = layer.eps if layer.eps is not None else float(np.finfo(np.float64).eps)
    found = _arrangement(shape, shape, before + last, range(leading, len(shape)), range(leading),
                         layer.normalized_shape, eps, centred)
    return Norm(kind, found, True, _beside(layer.weight, found),
                _beside(layer.bias, found) if centred else None)


def _before(leading: int, k: int) -> list[str]:
    """Names of the axes before the last k: (N, C, H, W) where H, W are normalized, (N, T, C)."""
    second = "C" if k == 2 else "T"
    return {1: ["N"], 2: ["N", second]}.get(leading, [f"N{i + 1}" for i in range(leading)])


def _last(leading: int, k: int) -> list[str]:
    """Names of the last k axes: C, and in the place of all but the samples C, L or C, H, W."""
    if k == 2:
        return ["C", "L"] if leading < 2 else ["H", "W"]
    return {1: ["C"], 3: ["C", "H", "W"]}.get(k, [f"C{i + 1}" for i in range(k)])


def _over_groups(layer: Any, shape: tuple[int, ...]) -> Norm:
    n, c, *size = shape
    view = (n, layer.num_groups, c // layer.num_groups, *size)
    found = _arrangement(shape, view, ["N", "G", "K", *spatial(len(size))],
                         range(2, len(view)), (0, *range(3, len(view))), (c,), layer.eps)
    return Norm("group_norm", found, True, _beside(layer.weight, found), _beside(layer.bias, found))


def _per_channel(layer: Any, kind: str, shape: tuple[int, ...]) -> Norm:
    single = kind == "instance_norm" and len(shape) not in layer.dims  # one sample, without N
    view = (1, *shape) if single else shape
    others = (0, *range(2, len(view)))
    reduced = others[1:] if kind == "instance_norm" else others
    found = _arrangement(shape, view, ["N", "C", *spatial(len(view) - 2)], reduced, others,
                         view[1:2], layer.eps)
    remembers = layer.running_mean is not None
    if kind == "instance_norm":
        own = layer.training or not layer.track_running_stats
    else:
        own = layer.training or not remembers
    updates = remembers and layer.training and layer.track_running_stats
    numbers = layer.numbers() if updates else {}
    return Norm(
        kind, found, own, _beside(layer.weight, found), _beside(layer.bias, found),
        _beside(layer.running_mean, found), _beside(getattr(layer, layer.spread), found),
        float(numbers["momentum"]) if updates else None, numbers.get("rmax", 1.0),
        numbers.get("dmax", 0.0))


def _arrangement(
    shape: Sequence[int], view: Sequence[int], axes: list[str], reduced: Sequence[int],
    shared: Sequence[int], parameters: Sequence[int], eps: float, centred: bool = True,
) -> Arrangement:
    n = math.prod(view[i] for i in reduced)
    return Arrangement(list(shape), list(view), axes, list(reduced), list(shared),
                       list(parameters), n, math.prod(view) // n, float(eps), centred)


def _beside(tensor: Any, found: Arrangement) -> np.ndarray | None:
    """A parameter's or buffer's values, of length 1 along the axes that share them."""
    if tensor is None:
        return None
    shape = [1 if i in found.shared else n for i, n in enumerate(found.view)]
    return np.array(to_numpy(tensor.array), np.float64).reshape(shape)
