"""One batch in several shards: what each tells of itself, and what they know together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.graph import wrap
from ...backend.array import array_module
from ...backend.choose import expect
from ...ops import normalize as ops
from ...ops.rounding import widened
from ...tensors.creation import zeros
from ...tensors.tensor import Tensor
from .algebra import Moments, apply_scale, batch_axes, in_range, merge, per_channel


class Part(NamedTuple):
    """What a shard tells of itself. The tensors are (C,), of float16 in float32.

    The mean is a distance from ``origin``, one of the shard's own values, which is taken as a
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
        x = widened(x)
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
    """Whether the unit is known to be 1 and need not be multiplied by. No device is asked."""
    ask = expect(type(unit.array))
    return ask is not None and ask((unit.array == 1).all())


def part_of(x: Tensor, eps: float, device: Any = None) -> Part:
    """What x (N, C, *spatial) tells of itself, on ``device`` or its own."""
    array = x.array
    x = widened(x)
    device = x.device if device is None else device
    channels = array.shape[1]
    if not array.size:
        nothing = zeros(channels, dtype=x.array.dtype, device=device)
        return Part(0, nothing, nothing + 1, nothing, nothing)
    first = slice(0, 1)
    origin = x.detach()[(first, slice(None), *[first] * (array.ndim - 2))].clone()  # frees x
    one = wrap(Tensor, array_module(array).ones(origin.shape, x.array.dtype))
    unit, mean, var = in_range(_about, (0, 0, 0), x, also=(origin, one),
                               axes=batch_axes(array.ndim), eps=eps)
    return Part(array.size // channels,
                *(v.reshape(channels).to(device=device) for v in (origin, unit, mean, var)))


def _about(
    x: Tensor, origin: Tensor, one: Tensor, *, axes: tuple[int, ...], eps: Any, centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The unit that x is in, and the mean and variance of x - origin in it."""
    _, mean, var = ops.moments(x - origin, axes=axes, centred=centred)
    return one, mean, var


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
