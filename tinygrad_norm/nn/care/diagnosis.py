"""Running statistics against a batch: how far apart, why, what it costs, what helps."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...autograd.mode import keep_statistics, no_grad
from ...backend.array import to_numpy
from ...tensors.random import get_rng_state, set_rng_state
from ...tensors.tensor import Tensor
from ..module import Module
from ..normalization.batch import BatchNorm
from ..normalization.channel import ChannelNorm
from .cures import Finding, findings
from .find import check_model, is_unset, named_norms, remembers
from .gap import Gap, batch_moments, explain

SPREADS = ("running_var", "running_std")
WIDTH = 100


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """One call of one norm. Arrays are (C,), float64."""

    name: str
    kind: str
    n: int
    """The number of values that are normalized together in training."""
    batches: int
    momentum: float | None
    frozen: bool
    unset: bool
    skipped: int
    """Batches with NaN or Inf that did not enter the statistics."""
    running_mean: np.ndarray | None
    """None for a layer that keeps none."""
    running_var: np.ndarray | None
    """None for a layer that keeps none."""
    batch_mean: np.ndarray
    batch_var: np.ndarray
    """Biased, as it normalizes in training."""
    mean_gap: Gap | None
    spread_gap: Gap | None
    """Of the variance; for BatchRenorm of √(variance + eps), which is what it averages."""
    shares: tuple[float, float, float]
    """How much of that gap is Bessel's correction, momentum lag, drift."""
    initial_share: float
    """How much of the initial values is still in the averages."""
    drift_errors: float
    """Drift in standard errors (RMS over channels): about 1 when it is chance; NaN when unknown."""
    poisoned: np.ndarray
    dead: np.ndarray
    output_error: float
    """Of the layer's output with running instead of the batch's statistics: relative RMS."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def mean_distance(self) -> np.ndarray:
        """|running - batch| mean in the batch's standard deviations; NaN where none is kept."""
        if self.mean_gap is None:
            return np.full_like(self.batch_mean, np.nan)
        return np.abs(self.mean_gap.total) / np.sqrt(np.where(self.dead, np.nan, self.batch_var))

    @property
    def var_ratio(self) -> np.ndarray:
        """Running over batch variance; NaN where the layer keeps none."""
        if self.running_var is None:
            return np.full_like(self.batch_var, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.running_var / self.batch_var

    @property
    def worst_mean(self) -> int:
        """The channel whose mean is furthest off, among those that are not dead."""
        return _worst(np.where(self.dead, -1, self.mean_distance))

    @property
    def worst_var(self) -> int:
        """The channel whose variance is furthest off, in proportion."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return _worst(np.where(self.dead, -1, np.abs(np.log(self.var_ratio))))


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What :func:`diagnose` found; printed, a table and the findings."""

    layers: list[LayerDiagnosis]
    """In the order of their calls; a layer that is called twice is there twice."""
    output_error: float
    """Of the model's output, all norms with running instead of the batch's statistics: relative
    RMS; NaN where the output has no floating point tensors."""
    unused: list[str]
    """Norms with running statistics that this batch did not come to."""
    forgetful: list[str]
    """Batch norms without running statistics: their inference depends on the batch."""

    def __str__(self) -> str:
        lines = [f"output in training and inference differs by {_percent(self.output_error)} "
                 "(relative RMS), with Dropout off"]
        if self.layers:
            lines += [*HEAD, *map(_row, self.layers)]
        else:
            lines.append("no norm with running statistics was called")
        found: dict[str, list[str]] = {}
        for layer in self.layers:
            for finding in layer.findings:
                found.setdefault(str(finding), []).append(layer.name or layer.kind)
        for text, names in found.items():
            lines += _wrapped(f"{', '.join(names)}: {text}")
        for name in self.unused:
            lines += _wrapped(f"{name}: was not called")
        for name in self.forgetful:
            lines += _wrapped(f"{name}: keeps no running statistics, so that its inference depends "
                              "on the batch -> track_running_stats=True, or GroupNorm, LayerNorm")
        if self.layers and len(lines) == len(self.layers) + 1 + len(HEAD):
            lines.append("all is well")
        return "\n".join(lines)


def diagnose(model: Module, batch: Any) -> Diagnosis:
    """Compare each norm's running statistics with the moments of a batch, and say what to do.

    The model runs twice, its norms with the batch's statistics and with the running ones, all else
    in inference mode, so that no Dropout blurs the comparison. Nothing in it changes: modes,
    buffers, gradients, random numbers.

    Printed, it has a row for each norm: n, the values normalized together; the batches in the
    averages; how far the running mean is from the batch's, in standard deviations; running over
    batch variance (the mean is a geometric one); how much of that is Bessel's correction (unbiased
    there, biased here), lag (initial values are still in the averages) and drift (the rest: weights
    or data have changed); and by how much the norm's own output is off.

    Args:
        batch: the input, or a tuple of the model's arguments; a training batch of usual size.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.BatchNorm1d(2, momentum=0.5))
    >>> x = tn.randn(64, 2) * 3
    >>> _ = net(x)
    >>> layer = tn.nn.normalization.diagnose(net, x).layers[0]
    >>> layer.initial_share
    0.5
    >>> print(layer.findings[0])  # doctest: +NORMALIZE_WHITESPACE
    momentum lag: after 1 batch 50% of the initial values 0 and 1 are still in the averages
    -> more steps (7 leave 1%), a larger momentum, or recalibrate(model, loader)
    """
    check_model("diagnose", model)
    arguments = batch if isinstance(batch, tuple) else (batch,)
    layers: list[LayerDiagnosis] = []
    norms = {name: norm for name, norm in named_norms(model)
             if isinstance(norm, ChannelNorm) and remembers(norm)}
    state = get_rng_state()
    with _untouched(model), keep_statistics(), no_grad(), np.errstate(all="ignore"):
        for module in model.modules():
            module.training = False
        for name, norm in norms.items():
            vars(norm)["forward"] = _watched(name, norm, layers)
        trained = model(*arguments)
        for norm in norms.values():
            del vars(norm)["forward"]
        set_rng_state(state)
        error = relative(trained, model(*arguments))
    called = {layer.name for layer in layers}
    return Diagnosis(layers, error, [name for name in norms if name not in called], [
        name for name, norm in named_norms(model)
        if isinstance(norm, BatchNorm) and not remembers(norm)])


def _watched(name: str, norm: ChannelNorm, layers: list[LayerDiagnosis]) -> Callable[..., Any]:
    """forward that computes with both statistics, notes what it saw, and returns what training
    would."""
    def forward(x: Any, *args: Any, **settings: Any) -> Any:
        outputs = []
        for norm.training in (True, False):
            outputs.append(type(norm).forward(norm, x, *args, **settings))
        layer = _compared(name, norm, x, relative(*outputs))
        layer.findings.extend(findings(layer))
        layers.append(layer)
        return outputs[norm._frozen]

    return forward


def _compared(name: str, norm: ChannelNorm, x: Any, output_error: float) -> LayerDiagnosis:
    """The numbers of one call."""
    batch = batch_moments(norm, x)
    mean = _float64(norm.running_mean)
    spread = _float64(getattr(norm, norm.spread)) if norm.spread in SPREADS else None
    counter = norm.num_batches_tracked
    batches = 0 if counter is None else int(counter.item())
    why = explain(norm, batch, mean, spread, batches)
    poisoned, shares, var = np.zeros_like(batch.dead), (0.0, 0.0, 0.0), None
    if mean is not None:
        poisoned |= ~np.isfinite(mean)
    if spread is not None and why.spread_gap is not None:
        poisoned |= ~np.isfinite(spread) | (spread < 0) | (spread == 0) & ~batch.dead
        own = spread - why.spread_gap.total
        shares = why.spread_gap.shares(np.where(own > 0, own, 1.0))
        var = spread if norm.spread == "running_var" else spread**2 - norm.eps
    return LayerDiagnosis(
        name, type(norm).__name__, batch.n, batches, norm.momentum, norm._frozen, is_unset(norm),
        norm.skipped_batches, mean, var, batch.mean, batch.var, why.mean_gap,
        why.spread_gap, shares, why.initial_share, why.drift_errors, poisoned, batch.dead,
        output_error)


@contextmanager
def _untouched(model: Module) -> Iterator[None]:
    """Afterwards all modules have the attributes, all buffers the values that they had before."""
    modules = [(vars(module), dict(vars(module))) for module in model.modules()]
    buffers = [(buffer, buffer.array.copy(), buffer.written[0]) for buffer in model.buffers()]
    state = get_rng_state()
    try:
        yield
    finally:
        for attributes, before in modules:
            attributes.clear()
            attributes.update(before)
        for buffer, values, when in buffers:
            buffer.array[...] = values
            buffer.written[0] = when
        set_rng_state(state)


def _float64(x: Any) -> Any:
    return None if x is None else to_numpy(x.array).astype(np.float64)


def relative(one: Any, other: Any) -> float:
    """RMS of the difference over the RMS of ``one``, of all floating point tensors in both."""
    pairs = [(_float64(a), _float64(b)) for a, b in zip(_tensors(one), _tensors(other),
                                                        strict=True)]
    if not pairs:
        return math.nan
    difference = math.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in pairs))
    size = math.sqrt(sum(float(np.sum(a * a)) for a, _ in pairs))
    return difference / size if size else 0.0 if not difference else math.inf


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _tensors(one)


def _worst(sizes: np.ndarray) -> int:
    return int(np.argmax(np.where(np.isnan(sizes), np.inf, sizes))) if sizes.size else 0


# -- the table ---------------------------------------------------------------------------------

HEAD = (
    f"{'':37}|{'mean off by, std':^18}|{'variance ratio':^16}|{'why it differs':^17}|output",
    f"{'layer':21}{'n':>8}{'batches':>8}|{'rms':>9}{'worst':>9}|{'mean':>8}{'worst':>8}|"
    f"{'Bessel':>6}{'lag':>5}{'drift':>6}|off by",
)


def _row(layer: LayerDiagnosis) -> str:
    name = layer.name or layer.kind
    if len(name) > 20:
        name = "…" + name[-19:]
    distance, ratio = layer.mean_distance, layer.var_ratio
    live = ~layer.dead
    with np.errstate(divide="ignore", invalid="ignore"):
        rms = np.sqrt(np.mean(distance[live] ** 2)) if live.any() else math.nan
        typical = np.exp(np.mean(np.log(ratio[live]))) if live.any() else math.nan
    worst = [v[i] if v.size else math.nan for v, i in (
        (distance, layer.worst_mean), (ratio, layer.worst_var))]
    shares = [_percent(s) if layer.spread_gap is not None else "-" for s in layer.shares]
    return (f"{name:21}{layer.n:>8}{layer.batches:>8}|{_short(rms):>9}{_short(worst[0]):>9}|"
            f"{_short(typical):>8}{_short(worst[1]):>8}|"
            f"{shares[0]:>6}{shares[1]:>5}{shares[2]:>6}|{_percent(layer.output_error):>6}")


def _short(value: float) -> str:
    return "-" if math.isnan(value) else "0" if 0 <= value < 5e-4 else f"{value:.3g}"


def _percent(share: float) -> str:
    if share > 99.5:
        return ">9950%"
    return "-" if math.isnan(share) else f"{share:.0%}" if share >= 0.095 or share < 5e-4 else (
        f"{share:.1%}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ")
