"""Claim: a sentence about a measured effect, and whether the measurements show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = 3.0
"""Standard errors between the mean and what the claim says it lies above."""
NEARLY_ALL = 0.9
"""The share of the seeds that must lie on that side as well: of fewer than 10, each."""


@dataclass(frozen=True)
class Claim:
    """Whether an effect lies above a bound, from one value for each seed.

    key:       a short name, for tests and tables
    text:      the claim, a sentence
    values:    the effect, one value for each seed
    above:     what the effect is claimed to be larger than
    unit:      of the values, as it stands behind a number
    reason:    why it may not show at this scale
    verdict:   "shown": the mean lies 3 standard errors or more above the bound, and of the seeds
               nine in ten (of fewer than ten, each); "contradicted": as far below; "not shown"
               otherwise
    """

    key: str
    text: str
    values: tuple[float, ...]
    above: float = 0.0
    unit: str = ""
    reason: str = ""

    @property
    def mean(self) -> float:
        """Of the values."""
        return float(np.mean(self.values))

    @property
    def error(self) -> float:
        """The standard error of the mean, from the spread of the seeds; NaN of a single seed."""
        n = len(self.values)
        return float(np.std(self.values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan

    @property
    def errors(self) -> float:
        """How many standard errors the mean lies above the bound; infinite where all seeds agree
        to the last digit."""
        distance = self.mean - self.above
        if not self.error:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / self.error

    @property
    def verdict(self) -> str:
        """See the class."""
        values = np.array(self.values)
        if self.errors >= ENOUGH and np.mean(values > self.above) >= NEARLY_ALL:
            return "shown"
        if self.errors <= -ENOUGH and np.mean(values < self.above) >= NEARLY_ALL:
            return "contradicted"
        return "not shown"

    @property
    def measured(self) -> str:
        """The figures behind the verdict."""
        far = (f"{abs(self.errors):.1f} standard errors {'above' if self.errors > 0 else 'below'} "
               f"{self.above:.4g}{self.unit}" if math.isfinite(self.errors)
               else f"the same for every seed; the bound is {self.above:.4g}{self.unit}"
               if math.isinf(self.errors) else "a single seed has no spread")
        return (f"{self.mean:.4g}{self.unit} ± {self.error:.2g}, {len(self.values)} seeds, {far}")

    def __str__(self) -> str:
        because = f"\n    {self.reason}" if self.reason and self.verdict != "shown" else ""
        return f"{self.verdict:12}  {self.text}\n    {self.measured}{because}"


def judged(
    key: str, text: str, effect: Sequence[float] | np.ndarray, *,
    above: float = 0.0, unit: str = "", reason: str = "",
) -> Claim:
    """The claim that ``effect``, one value for each seed, lies above a bound.

    Raises:
        ValueError: there is no value, or one is NaN: a run without a result must be counted by the
            lesson (as the worst value, say), and not left out.
    """
    values = tuple(float(v) for v in np.asarray(effect, dtype=np.float64).ravel())
    if not values or any(map(math.isnan, values)):
        raise ValueError(f"claim {key!r}: expected a number for each seed, got {list(values)}")
    return Claim(key, text, values, float(above), unit, reason)
