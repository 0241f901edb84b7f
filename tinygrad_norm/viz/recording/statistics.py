"""Statistics of an array, computed where it lies.

Each function gives a short float64 vector on the device of its array, so that a GPU need not be
waited for: a recorder brings many of them over at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.array import Array, array_module

MOMENTS = ("nonfinite", "zeros", "mean", "std", "least", "largest")
"""What a distribution's vector begins with; the quantiles and the histogram follow."""
MAGNITUDE = ("norm", "largest")
"""What a magnitude's vector holds."""


@np.errstate(all="ignore")
def distribution(x: Array, quantiles: Sequence[float], bins: int) -> Array:
    """MOMENTS, quantiles and histogram of the finite values; NaN but for the counts without any.

    std is that of these values themselves, divided by their number. Quantiles are interpolated as
    ``numpy.quantile`` does it; the histogram has the bins of ``numpy.histogram``, from the least to
    the largest value.
    """
    module = array_module(x)
    flat = x.reshape(-1)
    if not flat.size:
        return module.asarray([0.0, 0.0] + [math.nan] * (4 + len(quantiles)) + [0.0] * bins)
    flat = flat if flat.dtype.kind == "f" else flat.astype(np.float64)
    ordered = module.sort(flat).astype(np.float64)  # float32 sums lose digits beside a large mean
    finite = module.isfinite(ordered)
    n = finite.sum(dtype=np.float64)
    before = (ordered == -math.inf).sum(dtype=np.float64)
    values = module.where(finite, ordered, 0.0)
    mean = values.sum() / n
    deviations = module.where(finite, values - mean, 0.0)
    std = module.sqrt((deviations * deviations).sum() / n)
    zeros = (ordered == 0).sum(dtype=np.float64)
    marks = _quantiles(module, ordered, before, n, [0.0, *quantiles, 1.0])
    least, largest = marks[:1], marks[-1:]
    return module.concatenate([
        *(part.reshape(1) for part in (flat.size - n, zeros, mean, std)), least, largest,
        marks[1:-1], _histogram(module, ordered, before, n, least, largest, bins)])


def _quantiles(
    module: Any, ordered: Array, before: Array, n: Array, shares: Sequence[float]
) -> Array:
    """Of the ``n`` finite values, which stand after ``before`` that are -inf."""
    place = before + module.asarray(shares) * (n - 1)
    below = module.clip(module.floor(place), 0, ordered.size - 1)
    above = module.clip(module.minimum(below + 1, before + n - 1), 0, ordered.size - 1)
    share = place - below
    one, other = (ordered.take(where.astype(np.int64)) for where in (below, above))
    step = other - one
    found = module.where(share < 0.5, one + step * share, other - step * (1 - share))
    return module.where(n > 0, found, math.nan)


def _histogram(
    module: Any, ordered: Array, before: Array, n: Array, least: Array, largest: Array, bins: int
) -> Array:
    """How many values lie in each of the equal bins; only the last has both its ends."""
    if not bins:
        return least[:0]
    inner = least + module.arange(1, bins) * ((largest - least) / bins)
    below = module.searchsorted(ordered, inner) - before
    below = module.concatenate([module.clip(module.minimum(below, n), 0, None), n.reshape(1)])
    return module.concatenate([below[:1], below[1:] - below[:-1]])


@np.errstate(all="ignore")
def magnitude(x: Array) -> Array:
    """The norm, which is the root of the sum of squares, and the largest absolute value."""
    module = array_module(x)
    wide = x.reshape(-1).astype(np.float64)
    if not wide.size:
        return module.zeros(len(MAGNITUDE))
    norm = module.sqrt((wide * wide).sum())
    return module.concatenate([norm.reshape(1), module.abs(wide).max().reshape(1)])
