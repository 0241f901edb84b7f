"""What is wrong with a norm's statistics, in words, and what helps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .gap import CHANCE

if TYPE_CHECKING:
    from .diagnosis import LayerDiagnosis

RECALIBRATE = "recalibrate(model, loader)"
NO_BATCH = "GroupNorm or LayerNorm, which need no batch"
LARGE = 0.05
"""An output error from which on statistics that differ are worth a word."""


class Finding(NamedTuple):
    """A problem and its cure."""

    problem: str
    cure: str

    def __str__(self) -> str:
        return f"{self.problem} -> {self.cure}"


def findings(layer: LayerDiagnosis) -> list[Finding]:
    """All that is to be said of a layer; nothing when it is well."""
    found = [*_values(layer), *_counts(layer)]
    if layer.unset or layer.poisoned.any():
        return found
    found += _averages(layer)
    if not found and layer.output_error > LARGE:
        found.append(Finding(
            f"batches of {layer.n} values scatter so much that output in training and inference "
            f"differs by {layer.output_error:.0%}", f"larger batches; or {NO_BATCH}"))
    return found


def _values(layer: LayerDiagnosis) -> Iterator[Finding]:
    """What is in the buffers and in the batch."""
    if layer.poisoned.any():
        yield Finding(
            f"running statistics that are NaN, infinite or not positive in {_some(layer.poisoned)}",
            f"reset_running_stats(), then train on, or {RECALIBRATE}")
    if layer.unset:
        yield Finding("the running statistics are unset: no batch has entered them",
                      f"train first, load a state dict, or {RECALIBRATE}")
    if not np.isfinite(layer.batch_mean + layer.batch_var).all():
        yield Finding("this batch has NaN or Inf here", "autograd.detect_anomaly() finds the cause")
    if layer.skipped:
        yield Finding(f"left out of the statistics for NaN, Inf or overflow: "
                      f"{_many(layer.skipped, 'batch', 'batches')}",
                      "autograd.detect_anomaly() finds the cause")
    if layer.dead.any():
        yield Finding(f"no spread in {_some(layer.dead)}: the output is the bias",
                      "a unit before it may be dead; smaller steps, or leave the channel out")


def _counts(layer: LayerDiagnosis) -> Iterator[Finding]:
    """What a small number of values does."""
    if layer.n == 2:
        yield Finding("two values for each channel become +1 and -1 whatever they are, and their "
                      "gradient nearly 0", f"larger batches; or {NO_BATCH}")
    elif layer.n <= 10 and layer.shares[0] > 0:
        yield Finding(
            f"Bessel's correction: of {layer.n} values the running variance is "
            f"{layer.n / (layer.n - 1):.2f} times the one that normalizes in training",
            f"larger batches; or {NO_BATCH}")


def _averages(layer: LayerDiagnosis) -> Iterator[Finding]:
    """How well the averages have followed the batches."""
    w, m = layer.initial_share, layer.momentum
    if m == 0:
        yield Finding("momentum 0: the statistics never move", "momentum 0.1, or None for the "
                      f"plain average of all batches; or {RECALIBRATE}")
    elif w > 0.01 and m is not None:
        enough = math.ceil(math.log(0.01) / math.log(1 - m))
        yield Finding(
            f"momentum lag: after {_many(layer.batches, 'batch', 'batches')} {w:.0%} of the "
            "initial values 0 and 1 are still in the averages",
            f"more steps ({enough} leave 1%), a larger momentum, or {RECALIBRATE}")
    if layer.drift_errors > CHANCE:
        cure = (f"{RECALIBRATE} if the weights moved since or a Dropout stands before; if the "
                "data differ, BatchRenorm or GroupNorm")
        if layer.frozen:
            cure = f"{RECALIBRATE}, or unfreeze(model): frozen statistics do not follow the data"
        yield Finding(f"drift: the averages are {layer.drift_errors:.1f} standard errors from this "
                      "batch, more than chance", cure)


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _some(channels: np.ndarray) -> str:
    """'channel 3', 'channels 1, 2, 5, …'."""
    numbers = np.flatnonzero(channels)
    listed = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
    return (f"channel {listed}" if len(numbers) == 1 else
            f"{len(numbers)} of {len(channels)} channels ({listed})")
