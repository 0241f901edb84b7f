"""Running statistics: how they move, the batches that they leave out, whether they are unset.

A layer holds the averages as buffers, so that they are in its state dict, and one
:class:`RunningStatistics`, which moves them and knows what happened to them. A function that is
given tensors moves them by :func:`update` and keeps nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.graph import tick
from ...autograd.mode import STATISTICS, flags
from ...backend import large
from ...backend.array import Array, array_module, device_of, to_numpy
from ...backend.choose import expect
from ...kinds import outside
from ...tensors.tensor import Tensor
from ..checks import NUMBERS, outside_of_range

Update = tuple[Tensor | None, Any, float]
"""(running average, new value, factor of the new value)"""


class RunningStatistics:
    """What one layer knows of its running averages beside their values."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.restart()

    def restart(self) -> None:
        """The averages have their initial values: nothing was taken, skipped or loaded."""
        self.fresh = True
        """Whether neither training nor loading is known to have written the averages."""
        self._skipped: Any = 0
        """On a GPU an array of no dimensions, which is not looked at in training."""
        self._told = 0

    def take(self, momentum: Any, *updates: Update, batches: Tensor | None = None) -> Any:
        """Move the averages, all of them or none, and count the batch where it was taken.

        Args:
            momentum: the weight of the new values, as for :func:`update`.
            batches: num_batches_tracked; it stays as it is for a batch that is skipped.

        Returns:
            Whether the batch was taken: a bool, on a GPU an array of no dimensions.
        """
        if type(momentum) in NUMBERS and not 0 <= momentum <= 1:
            raise outside_of_range(self.who, momentum)
        taken = update(momentum, *updates)
        if taken is True:
            self.fresh = False
        elif taken.__class__ is str:
            self._skip(taken)
            return False
        elif taken is None:
            return False
        else:
            skipped = array_module(taken).logical_not(taken)
            if not isinstance(self._skipped, int) and (
                    device_of(self._skipped) != device_of(skipped)):
                self.skipped()
            self._skipped = self._skipped + skipped
        if batches is not None:
            batches.array[()] += taken
            batches.written[0] = tick()
        return taken

    def skipped(self) -> int:
        """The number of batches that were left out. On a GPU this waits, and warns of those that
        were not known of."""
        if not isinstance(self._skipped, int):
            self._skipped = int(to_numpy(self._skipped))
            if self._skipped > self._told:
                self._warn(f"NaN, Inf or values too large in x{LOOK}")
        return self._skipped

    def use(self, mean: Tensor | None, spread: Tensor, batches: Tensor | None) -> None:
        """Warn once where eval uses averages that neither training nor loading has written.

        On a GPU this waits after training, to hear of batches that were skipped, and once where
        nothing was trained or loaded. Inside ``autograd.keep_statistics()``, where somebody only
        looks at the layer, nothing is said.
        """
        if not flags.get() & STATISTICS:
            return
        self.skipped()
        if self.fresh:
            self.fresh = False
            if are_initial(mean, spread, batches):
                warnings.warn(
                    f"{self.who}: expected running statistics in eval(), got the initial ones: no "
                    "batch was seen in training and none were loaded, so that nothing is "
                    "normalized; train first, load a state dict, or call train()",
                    stacklevel=outside())

    def _skip(self, why: str) -> None:
        """Count a batch that was left out. Of the 1st, 2nd, 4th, 8th … a warning tells, as all
        batches of a run may be bad."""
        self._skipped = self.skipped() + 1
        if self._skipped & (self._skipped - 1) == 0:
            self._warn(why)

    def _warn(self, why: str) -> None:
        self._told = self._skipped
        warn_skipped(self.who, why, self._told)


def are_initial(mean: Tensor | None, spread: Tensor, batches: Tensor | None) -> bool:
    """Whether the averages have the values of the start: 0 and 1 (or I), no batch. On a GPU this
    waits."""
    if batches is not None and to_numpy(batches.array):
        return False
    if mean is not None and to_numpy(mean.array).any():
        return False
    one = 1 if spread.ndim == 1 else np.eye(spread.shape[-1])
    return bool((to_numpy(spread.array) == one).all())


def update(momentum: Any, *updates: Update) -> Any:
    """buffer = (1 - momentum) buffer + momentum factor value, in place, for all or for none.

    They stay as they were where NaN or Inf would enter one of them, and inside
    ``autograd.keep_statistics()``. A value that stands for several samples is averaged over them.

    Args:
        updates: the spread last. A mean that is not finite makes its spread NaN.

    Returns:
        True, also where there is nothing to move; the reason as a text where the batch was left
        out; None inside ``keep_statistics()``. On a GPU, which is not asked, whether the batch was
        taken: selected there.
    """
    if not flags.get() & STATISTICS:
        return None
    moves = []
    for buffer, value, factor in updates:
        if buffer is not None:
            moves.append((buffer, value, momentum * factor))
    if not moves:
        return True
    keeper, spread, _ = moves[-1]
    array, flat = keeper.array, spread.reshape(-1)
    ask = expect(type(array))
    if ask is None and len(moves) == 2 and momentum.__class__ is float:
        taken = _selected(moves[0], moves[1], momentum)
        if taken is not None:
            return taken
    if (ask is None or array.ndim > 1 or flat.size != array.size
            or flat.dtype is not array.dtype or not ask(flat.max(initial=0.0) < FAR)):
        return _write_if_finite(updates, momentum, ask)
    # host memory: loops are for the computer's own processors
    if not (type(array) is np.ndarray and array.size >= FEW and len(moves) == 2
            and momentum.__class__ is float and large.update is not None
            and _looped(moves[0], moves[1], momentum)):
        for one, value, share in moves:
            array = one.array
            array *= 1 - momentum
            array += value.reshape(array.shape) * share
    for one, _, _ in moves:
        one.written[0] = tick()
    return True


def _looped(one: Any, other: Any, momentum: float) -> bool:
    """Move two buffers by loops. False if nothing was done."""
    assert large.update is not None
    (mean, m, share), (var, v, of_var) = one, other
    return large.update(_both, (mean.array, m, var.array, v), {
        "keep": 1 - momentum, "share": share, "of_var": of_var}, {})


def _both(
    mean: Array, m: Array, var: Array, v: Array, *, keep: Any, share: Any, of_var: Any
) -> None:
    """What :func:`update` does to two buffers, as a formula."""
    mean[...] = mean * keep + m.reshape(mean.shape) * share
    var[...] = var * keep + v.reshape(var.shape) * of_var


def _selected(one: Any, other: Any, momentum: float) -> Any:
    """Move two buffers on a device that is not asked; whether they were moved, as an array there.
    None if nothing was done."""
    (mean, m, share), (var, v, of_var) = one, other
    arrays = mean.array, m, var.array, v
    move = large.updates(arrays[0])
    if move is None or m.size != mean.array.size or v.size != var.array.size:
        return None
    taken = array_module(m).empty((), dtype=bool)
    if not move(_both_or_none, (*arrays, taken), {
            "keep": 1 - momentum, "share": share, "of_var": of_var}, {}):
        return None
    for buffer in (mean, var):
        buffer.written[0] = tick()
    return taken


def _both_or_none(
    mean: Array, m: Array, var: Array, v: Array, taken: Array, *, keep: Any, share: Any,
    of_var: Any,
) -> None:
    """What :func:`_write_if_finite` does to two buffers, as a formula."""
    module = array_module(mean)
    news = [old * keep + value.reshape(old.shape) * part
            for old, value, part in ((mean, m, share), (var, v, of_var))]
    fine = [(module.isfinite(new) | module.logical_not(module.isfinite(old))).all()
            for old, new in zip((mean, var), news, strict=True)]
    taken[...] = fine[0] & fine[1]
    for old, new in zip((mean, var), news, strict=True):
        old[...] = module.where(taken, new.astype(old.dtype), old)


FAR = 2.0**80
"""A variance below it is far enough from the end of float32, 2**128, for averages to be finite."""
FEW = 32
"""Of fewer channels it would pay too; but the first loop of each shape takes 10 to 80 ms."""


@np.errstate(over="ignore", invalid="ignore")
def _write_if_finite(updates: Sequence[Update], momentum: Any, ask: Any) -> Any:
    """:func:`update` of what has to be looked at whole."""
    averages: list[tuple[Any, Array]] = []
    updates = [one for one in updates if one[0] is not None]
    for buffer, value, factor in updates:
        array = buffer.array  # type: ignore[union-attr]
        value = value.reshape(-1, *array.shape)
        value = value[0] if len(value) == 1 else value.mean(axis=0, dtype=np.float64)
        new = array * (1 - momentum) + value * (momentum * factor)
        averages.append((buffer, new.astype(array.dtype, copy=False)))
    module = array_module(new)
    taken: Any = True
    for buffer, new in averages:
        held_already = module.logical_not(module.isfinite(buffer.array))
        taken = (module.isfinite(new) | held_already).all() & taken
    if ask is not None and not ask(taken):
        return reason(updates)
    for buffer, new in averages:
        buffer.array[...] = new if ask is not None else module.where(taken, new, buffer.array)
        buffer.written[0] = tick()
    return taken if ask is None else True


# -- what is said --------------------------------------------------------------------------------


def warn_skipped(who: str, taken: Any, count: int | None = None) -> None:
    """Warn where :func:`update` gave a reason; with the number of batches that a layer knows."""
    if taken.__class__ is str:
        what, cure = taken.split("; ", 1)
        so_far = "" if count is None else f", for {count} batch{'es' * (count > 1)} so far"
        warnings.warn(f"{who}: {what}: the running statistics stay as they were{so_far}; {cure}",
                      RuntimeWarning, stacklevel=outside())


LOOK = ("; find where it arises with autograd.detect_anomaly(), look at the data and the learning "
        "rate")


def reason(updates: Sequence[Update]) -> str:
    """Why arrays that can be asked were not taken in, which channels it was, and what to do."""
    *means, spread = (
        np.isfinite(to_numpy(v).reshape(-1, len(b.array))).all(axis=0)  # type: ignore[union-attr]
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


def channels(bad: Any) -> str:
    """``channel 3``, ``channels 0, 4``, ``channels 0, 1, 2, … (40 of 64)``."""
    found = np.flatnonzero(bad).tolist()
    if len(found) == 1:
        return f"channel {found[0]}"
    text = ", ".join(map(str, found[:5]))
    return f"channels {text}" + (f", … ({len(found)} of {bad.size})" if len(found) > 5 else "")
