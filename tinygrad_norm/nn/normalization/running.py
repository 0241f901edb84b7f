"""Running statistics: how they move, and the batches that they do not take in."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.graph import tick
from ...autograd.mode import STATISTICS, flags
from ...backend.array import Array, array_module, device_of, to_numpy
from ...backend.sums import ones
from ...tensors.tensor import Tensor

Update = tuple[Tensor | None, Any, float]
"""A running average, the new value, and by what this is multiplied."""


class Refused:
    """The batches whose statistics were not taken in.

    It stands beside the statistics, as the attribute ``refused`` of the tensor of their spread, so
    that a function that is given the tensors counts as a layer does. A state dict has it not.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.count: Any = 0
        """On a GPU an array of no dimensions, which is not looked at in training."""
        self.last: Any = None
        """Of the last batch: None when it was taken in, a text when not; on a GPU a bool array."""
        self._told = 0

    def add(self, refused: Array) -> None:
        """A bool on a device."""
        if not isinstance(self.count, int) and device_of(self.count) != device_of(refused):
            self.read()
        self.last = refused
        self.count = self.count + refused

    def read(self) -> int:
        """The count as an int, with a warning where it was not known: this waits for a GPU."""
        if not isinstance(self.count, int):
            self.count = int(to_numpy(self.count))
            if self.count > self._told:
                self.warn(f"NaN, Inf or values too large in x{LOOK}")
        return self.count

    def refuse(self, why: str) -> None:
        """One more, with a warning when there are 1, 2, 4, 8 …: all of a run may be bad."""
        self.last = why
        self.count = self.read() + 1
        if self.count & (self.count - 1) == 0:
            self.warn(why)

    def warn(self, why: str) -> None:
        self._told = self.count
        what, cure = why.split("; ", 1)
        warnings.warn(
            f"{self.who}: {what}: the running statistics stay as they were, for "
            f"{self.count} batch{'es' * (self.count > 1)} so far; {cure}", RuntimeWarning,
            stacklevel=outside())


def outside() -> int:
    """How far up the stack the caller of this package is, for a warning."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    return level


INSIDE = (__name__.partition(".")[0], "numpy")


def refused_by(keeper: Tensor, who: str) -> Refused:
    """What is known of the batches that the running spread ``keeper`` did not take in."""
    found = vars(keeper).get("refused")
    if found is None:
        found = keeper.refused = Refused(who)  # type: ignore[attr-defined]
    return found


def remember(who: str, momentum: Any, *updates: Update) -> None:
    """buffer = (1 - momentum) buffer + momentum factor value, in place, for all or for none.

    They stay as they were where NaN or Inf would enter one of them, and inside
    ``autograd.keep_statistics()``. A value that stands for several samples is averaged over them.
    On a GPU that is selected there: nothing is asked, and nothing said until somebody reads
    ``skipped_batches`` or the layer is used in eval.

    Args:
        who: what a warning calls it, unless a layer has given its own name.
        updates: the spread last. It is finite only if what it is a spread of is finite.
    """
    held = [update for update in updates if update[0] is not None]
    if not held or not flags.get() & STATISTICS:
        return
    keeper: Any
    keeper, value, _ = held[-1]
    old = keeper.array
    if type(old) is not np.ndarray:
        return _select(_averages(held, momentum), refused_by(keeper, who))
    flat = value if value.ndim == 1 else value.reshape(-1)
    if (old.ndim > 1 or flat.size != old.size or flat.dtype is not old.dtype
            or not flat.dot(ones(flat.size, flat.dtype, SHARE)) < MODERATE):
        averages = _averages(held, momentum)
        if not are_finite(averages):
            return refused_by(keeper, who).refuse(reason(held))
        write(averages)
    else:
        keep = 1 - momentum
        for buffer, value, factor in held:
            array = buffer.array  # type: ignore[union-attr]
            array *= keep
            array += value.reshape(array.shape) * (momentum * factor)
            buffer.written[0] = tick()  # type: ignore[union-attr]
    known = vars(keeper).get("refused")
    if known is not None:
        known.last = None


SHARE, MODERATE = 2.0**-20, 2.0**80
"""A sum of such shares is the quickest question whether positive values are finite and far from
the largest; and it does not overflow itself."""


@np.errstate(over="ignore", invalid="ignore")
def _averages(updates: Sequence[Update], momentum: Any) -> list[tuple[Any, Array]]:
    """Each buffer and what it would become, in its dtype."""
    result: list[tuple[Any, Array]] = []
    for buffer, value, factor in updates:
        array = buffer.array  # type: ignore[union-attr]
        value = value.reshape(-1, *array.shape)
        value = value[0] if len(value) == 1 else value.mean(axis=0, dtype=np.float64)
        new = array * (1 - momentum) + value * (momentum * factor)
        result.append((buffer, new.astype(array.dtype, copy=False)))
    return result


def _select(averages: list[tuple[Any, Array]], refused: Refused) -> None:
    """Write them where all are finite: decided on the device."""
    module = array_module(averages[0][1])
    good: Any = True
    for buffer, new in averages:
        held_already = module.logical_not(module.isfinite(buffer.array))
        good = (module.isfinite(new) | held_already).all() & good
    refused.add(module.logical_not(good))
    write([(buffer, module.where(good, new, buffer.array)) for buffer, new in averages])


def write(averages: list[tuple[Any, Array]]) -> None:
    """The buffers in place."""
    for buffer, new in averages:
        buffer.array[...] = new
        buffer.written[0] = tick()


def are_finite(averages: list[tuple[Any, np.ndarray]]) -> bool:
    """Whether nothing but what is held already is NaN or Inf."""
    return all(np.isfinite(new[np.isfinite(buffer.array)]).all() for buffer, new in averages)


LOOK = ("; find where it arises with autograd.detect_anomaly(), look at the data and the learning "
        "rate")


def reason(updates: Sequence[Update]) -> str:
    """Why NumPy arrays were not taken in, which channels it was, and what to do."""
    *means, spread = (np.isfinite(v.reshape(-1, len(b.array))).all(axis=0)  # type: ignore[union-attr]
                      for b, v, _ in updates)
    for good in means:
        if not good.all():
            return f"NaN or Inf in {channels(~good)} of x{LOOK}"
    if not spread.all():
        kind = f"a variance beyond {updates[-1][1].dtype}" if means else "NaN, Inf or too much"
        where = f"{channels(~spread)} of " if updates[-1][1].size == spread.size else ""
        return f"{kind} in {where}x; scale the input, or use .double()"
    dtype = updates[-1][0].array.dtype  # type: ignore[union-attr]
    return f"averages beyond {dtype}; keep the layer in float32, beside float16 inputs too"


def channels(bad: np.ndarray) -> str:
    """``channel 3``, ``channels 0, 4``, ``channels 0, 1, 2, … (40 of 64)``."""
    found = np.flatnonzero(bad).tolist()
    if len(found) == 1:
        return f"channel {found[0]}"
    text = ", ".join(map(str, found[:5]))
    return f"channels {text}" + (f", … ({len(found)} of {bad.size})" if len(found) > 5 else "")
