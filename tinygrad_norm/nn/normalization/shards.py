"""One batch in several parts: what each tells of itself, and what they know together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ops.normalize import unit as unit_of
from ...tensors.creation import ones, zeros
from ...tensors.tensor import Tensor
from .algebra import (
    FLOAT16,
    Moments,
    apply_scale,
    batch_axes,
    check_count,
    is_moderate,
    may_try,
    merge,
    moments,
    per_channel,
    standardize,
)

Standardized = tuple[Tensor, int, Tensor, Tensor]
"""y, the number of values behind each mean, mean, var."""


class Part(NamedTuple):
    """What a part of a batch tells of itself. The tensors are (C,), of float16 in float32.

    The mean is a distance from ``origin``, one of the part's own values, which is taken as a
    constant: a float32 mean of values about 1e6 with a spread of 1 would have lost its digits.
    Mean and variance are those of (x - origin) unit, a power of two that keeps the variance in
    range.
    """

    n: int
    origin: Tensor
    unit: Tensor
    mean: Tensor
    var: Tensor


class Merged(NamedTuple):
    """What parts know together: the moments of (x - origin) unit, for all x."""

    origin: Tensor
    unit: Tensor
    n: int
    mean: Tensor
    var: Tensor

    def seen(self, x: Tensor) -> Tensor:
        """(x - origin) unit"""
        x = wide(x)
        if is_one(self.unit):
            return x - per_channel(self.origin, x)
        # not (x - origin) unit: both ends of the range may be among the values
        return x * per_channel(self.unit, x) - per_channel(self.origin * self.unit, x)

    def apply(self, away: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
        """The output, from what is seen."""
        small = eps if is_one(self.unit) else self.unit * self.unit * eps
        return apply_scale(away, self.mean, (self.var + small).rsqrt(), weight, bias)

    @np.errstate(over="ignore")
    def moments(self) -> Moments:
        """Of x itself. The variance of large values overflows and is infinite."""
        size = 1 / self.unit
        mean = (self.origin * self.unit + self.mean) * size
        return Moments(self.n, mean, self.var * size * size)


def is_one(unit: Tensor) -> bool:
    """Whether nothing has to be multiplied by it, where asking costs nothing."""
    return type(unit.array) is np.ndarray and bool((unit.array == 1).all())


def wide(x: Tensor) -> Tensor:
    """float16 as float32, others as they are."""
    return x.float() if x.array.dtype == FLOAT16 else x


@np.errstate(over="ignore", invalid="ignore")
def part_of(x: Tensor, eps: float, device: Any = None) -> Part:
    """What x (N, C, *spatial) tells of itself, on ``device`` or its own."""
    array = x.array
    x = wide(x)
    device = x.device if device is None else device
    channels = array.shape[1]
    if not array.size:
        nothing = zeros(channels, dtype=x.array.dtype, device=device)
        return Part(0, nothing, nothing + 1, nothing, nothing)
    one = slice(0, 1)
    origin = x.detach()[(one, slice(None), *[one] * (array.ndim - 2))].clone()  # frees x
    axes = batch_axes(array.ndim)
    unit = None
    if may_try(array):
        n, mean, var = moments(x - origin, axes)
        if is_moderate(var.array, eps):
            unit = ones(channels, dtype=origin.array.dtype)
    if unit is None:
        unit = unit_of(x.detach(), axes=axes, eps=eps, centred=True)
        n, mean, var = moments(x * unit - origin * unit, axes)
    return Part(n, *(v.reshape(channels).to(device=device) for v in (origin, unit, mean, var)))


def merged(parts: Sequence[Part]) -> Merged:
    """What the parts know together. One at least is not empty."""
    parts = [part for part in parts if part.n]
    origin, unit = parts[0].origin, parts[0].unit
    for part in parts[1:]:
        unit = unit.minimum(part.unit)
    seen = []
    for n, own, size, mean, var in parts:
        ratio = unit / size
        seen.append(Moments(n, mean * ratio + (own * unit - origin * unit), var * ratio * ratio))
    return Merged(origin, unit, *merge(seen))


def standardize_batch(
    who: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Standardized:
    """x normalized over the batch, and the moments of it.

    Raises:
        ValueError: fewer than two values for each channel.
    """
    array = x.array
    n = array.size // array.shape[1] if array.shape[1] else 2
    check_count(who, x, n, "value per channel")
    y, _, mean, var = standardize(x, per_channel(weight, array), per_channel(bias, array),
                                  axes=batch_axes(array.ndim), eps=eps)
    return y, n, mean, var
