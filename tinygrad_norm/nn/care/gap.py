"""Why a norm's running statistics are not those of a batch: an exact sum of three parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...backend.array import to_numpy
from ...tensors.tensor import Tensor
from ..normalization.channel import ChannelNorm
from ..normalization.ghost import GhostBatchNorm
from ..normalization.instance import InstanceNorm
from ..normalization.switchable import SwitchableNorm
from .find import is_unset

FEW = 8
"""Of fewer samples their scatter is too uncertain to tell drift from chance."""


CHANCE = 3.0
"""Up to this many standard errors, RMS over channels, a drift is taken for chance."""


@dataclass(frozen=True, eq=False)
class Gap:
    """running - batch for each channel, (C,), as bessel + lag + drift.

    With u what the batch itself would add to the average (its mean; its variance with Bessel's
    correction; for BatchRenorm its deviation), w the share of the initial value (``start``, 0 or
    1) that is still in the average, and a the average of all batches seen, running = w start +
    (1 - w) a, so that

        running - batch = (u - batch) + w (start - u) + (1 - w) (a - u)
    """

    bessel: np.ndarray
    """u - batch: the running variance is unbiased, the one that normalizes in training is not."""
    lag: np.ndarray
    """w (start - u): the initial value has not yet faded."""
    drift: np.ndarray
    """(1 - w) (a - u): the batches seen were unlike this one, by chance or not."""

    @classmethod
    def of(cls, running: np.ndarray, batch: np.ndarray, u: np.ndarray, start: float,
           w: float) -> Gap:
        lag = w * (start - u)
        return cls(u - batch, lag, running - u - lag)

    @property
    def total(self) -> np.ndarray:
        return self.bessel + self.lag + self.drift

    def shares(self, scale: np.ndarray) -> tuple[float, float, float]:
        """How much is Bessel's correction, lag, drift: Σ|part|/scale, as shares of 1."""
        sizes = [float(np.sum(np.abs(part) / scale))
                 for part in (self.bessel, self.lag, self.drift)]
        total = sum(sizes) or 1.0
        return sizes[0] / total, sizes[1] / total, sizes[2] / total


@dataclass(frozen=True, eq=False)
class BatchMoments:
    """What a batch says of each channel, in float64; ``_error`` is the standard error."""

    n: int
    """The number of values that are normalized together in training."""
    samples: int
    updates: int
    """The number of times that a batch like this moves the running averages."""
    mean: np.ndarray
    var: np.ndarray
    """Biased, as it normalizes."""
    mean_error: np.ndarray
    var_error: np.ndarray
    dead: np.ndarray
    """Channels with no spread, or none that counts beside eps."""


def batch_moments(norm: ChannelNorm, x: Tensor | list[Tensor]) -> BatchMoments:
    """The moments as the layer takes them: InstanceNorm's and GhostBatchNorm's are averages over
    the samples and the ghost batches.

    The standard errors come from the scatter between samples, so that values of one image, which
    are alike, do not count as so many independent ones.
    """
    shards = [_samples(norm, shard) for shard in (x if isinstance(x, list | tuple) else [x])]
    if len({shard.shape[2] for shard in shards}) > 1:  # each place a sample
        shards = [shard.swapaxes(1, 2).reshape(-1, shard.shape[1], 1) for shard in shards]
    values = np.concatenate(shards)
    samples, _, length = values.shape
    together = _together(norm, samples)
    means = [values[part].mean(axis=(0, 2)) for part in together]
    squares = np.concatenate([
        ((values[part] - mean[:, None]) ** 2).mean(axis=2)
        for part, mean in zip(together, means, strict=True)])
    mean = np.mean(means, axis=0)
    var = np.mean([squares[part].mean(axis=0) for part in together], axis=0)
    dtype = (x if isinstance(x, Tensor) else x[0]).dtype
    rounding = 4 * np.finfo(dtype).eps * np.abs(mean)
    return BatchMoments(
        len(values[together[0]]) * length, samples,
        1 if isinstance(norm, InstanceNorm) else len(together), mean, var,
        _error(values.mean(axis=2)), _error(squares),
        var <= np.maximum(1e-3 * norm.eps, rounding**2))


def _together(norm: ChannelNorm, samples: int) -> list[slice]:
    """The samples that are normalized together."""
    if isinstance(norm, InstanceNorm):
        return [slice(i, i + 1) for i in range(samples)]
    count = samples // norm.ghost_batch_size if isinstance(norm, GhostBatchNorm) else 1
    if count < 2:
        return [slice(0, samples)]
    cuts = [i * norm.ghost_batch_size for i in range(count)]  # type: ignore[attr-defined]
    return [slice(a, b) for a, b in pairwise([*cuts, samples])]


def _samples(norm: ChannelNorm, x: Tensor) -> np.ndarray:
    """(N, C, L) in float64."""
    values = to_numpy(x.detach().array).astype(np.float64)
    if values.ndim not in norm.dims and norm.takes_one_sample:
        values = values[None]
    return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))


def _error(values: np.ndarray) -> np.ndarray:
    """The standard error of the mean over the first axis."""
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return values.std(axis=0, ddof=1) / math.sqrt(len(values))


class Explanation(NamedTuple):
    """The gaps of a layer's two statistics, and how far from chance their drifts are."""

    initial_share: float
    mean_gap: Gap | None
    spread_gap: Gap | None
    drift_errors: float


def explain(
    norm: ChannelNorm, batch: BatchMoments, mean: np.ndarray | None, spread: np.ndarray | None,
    batches: int,
) -> Explanation:
    """Take running statistics apart, each None or (C,).

    The share of the initial values is (1 - momentum)^updates, if the averages began with them.
    They did not when statistics were recalibrated, or loaded without their count. That is what is
    believed where the spread is smaller than that share of 1, or where without it the batch is no
    surprise, and with it one.
    """
    updates = batches * batch.updates
    if is_unset(norm):
        return _explain(norm, batch, mean, spread, updates, norm.momentum, 1.0)
    if not updates or norm.momentum is None:
        return _explain(norm, batch, mean, spread, updates, None, 0.0)
    w = (1.0 - float(norm.momentum)) ** updates
    usual = _explain(norm, batch, mean, spread, updates, norm.momentum, w)
    exact = _explain(norm, batch, mean, spread, updates, None, 0.0)
    impossible = spread is not None and bool((spread < w * (1 - 1e-3)).any())
    if impossible or (usual.drift_errors > CHANCE and exact.drift_errors < CHANCE):
        return exact
    return usual


def _explain(
    norm: ChannelNorm, batch: BatchMoments, mean: np.ndarray | None, spread: np.ndarray | None,
    updates: int, momentum: float | None, w: float,
) -> Explanation:
    mean_gap = spread_gap = None
    drifts = [math.nan]
    if mean is not None:
        mean_gap = Gap.of(mean, batch.mean, batch.mean, 0.0, w)
        drifts.append(_surprise(mean_gap.drift, batch.mean_error, momentum, updates, w, batch))
    if spread is not None:
        own, added, error = _spread(norm, batch)
        spread_gap = Gap.of(spread, own, added, 1.0, w)
        drifts.append(_surprise(spread_gap.drift, error, momentum, updates, w, batch))
    return Explanation(w, mean_gap, spread_gap, float(np.fmax.reduce(drifts)))


def _spread(norm: ChannelNorm, batch: BatchMoments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the batch's spread, what it would add to the average, its standard error)."""
    if norm.spread == "running_std":
        std = np.sqrt(batch.var + norm.eps)
        return std, std, batch.var_error / (2 * std)
    biased = isinstance(norm, SwitchableNorm)  # as the paper's
    correction = 1.0 if biased else batch.n / (batch.n - 1) if batch.n > 1 else np.nan
    return batch.var, batch.var * correction, batch.var_error


def _surprise(
    drift: np.ndarray, error: np.ndarray, momentum: float | None, updates: int, w: float,
    batch: BatchMoments,
) -> float:
    """The drift in standard errors, RMS over channels: about 1 when it is chance.

    The averages scatter as well: beside the batch's error², theirs is m/(2 - m) times as large
    after many updates, 1/updates of it for the plain average.
    """
    live = ~batch.dead & (error > 0)
    if batch.samples < FEW or w == 1 or not live.any():
        return math.nan
    if not momentum or not updates:
        own = 1 / max(updates, 1)
    else:
        m, kept = float(momentum), 1 - float(momentum)
        own = m / (2 - m) * (1 - kept ** (2 * updates)) / (1 - kept**updates) ** 2
    z = drift[live] / (1 - w) / (error[live] * math.sqrt(1 + own))
    return float(np.sqrt(np.mean(z * z)))
