"""Batch renormalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ...autograd.graph import wrap
from ...autograd.mode import statistics_enabled
from ...backend.array import Array, array_module
from ...ops.normalize import renorm
from ...ops.rounding import in_float32, widened
from ...tensors.tensor import Tensor
from ..checks import check_weight, is_number
from .algebra import apply_scale, per_channel
from .batch import standardize_batch
from .channel import ChannelNorm
from .checks import check_channels, check_input
from .running import Update, update, warn_skipped

Bound = float | Callable[[int], float]
"""A number, or a function from the number of the step: 0 for the first batch."""


@dataclass(frozen=True)
class Ramp:
    """``low`` up to step ``first``, then in a straight line to ``high`` at step ``last``."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, step: int) -> float:
        if step <= self.first:
            return self.low
        if step >= self.last:
            return self.high
        return self.low + (self.high - self.low) * (step - self.first) / (self.last - self.first)


def renorm_ramp(scale: float = 1.0) -> tuple[Ramp, Ramp]:
    """rmax and dmax as functions of the step, as in the paper (section 4.1).

    Batch normalization (1 and 0) for 5000 steps; then rmax grows to 3 at step 40 000 and dmax to 5
    at step 25 000.

    Args:
        scale: multiplies these numbers of steps, for runs that are shorter or longer.

    >>> import tinygrad_norm as tn
    >>> rmax, dmax = renorm_ramp(scale=0.01)
    >>> rmax(0), rmax(225), rmax(1000), dmax(1000)
    (1.0, 2.0, 3.0, 5.0)
    >>> layer = tn.nn.BatchRenorm1d(3, rmax=rmax, dmax=dmax)
    """
    if not is_number(scale) or not 0 < scale < float("inf"):
        raise ValueError(f"renorm_ramp: expected a scale > 0, got {scale!r}; 1.0 is the paper's "
                         "schedule of 40 000 steps, 0.1 one of 4000")
    return (Ramp(1.0, 3.0, 5000 * scale, 40_000 * scale),
            Ramp(0.0, 5.0, 5000 * scale, 25_000 * scale))


def check_bounds(who: str, rmax: Any, dmax: Any, when: str = "") -> None:
    """rmax and dmax leave room for r = 1 and d = 0.

    Raises:
        TypeError: no numbers. ValueError: rmax < 1 or dmax < 0.
    """
    for name, value in (("rmax", rmax), ("dmax", dmax)):
        if not is_number(value):
            raise TypeError(f"{who}: expected {name} to be a number{when}, got {value!r}; a layer "
                            "takes a function of the step too")
    if not (rmax >= 1 and dmax >= 0):
        raise ValueError(f"{who}: expected rmax >= 1 and dmax >= 0{when}, got {rmax} and {dmax}; "
                         "1 and 0 give batch normalization")


class Correction(NamedTuple):
    """What r and d are before they are clipped, (C,) values each, and their bounds."""

    ratio: Array
    shift: Array
    rmax: float
    dmax: float


class Clipped(NamedTuple):
    """The shares of the features whose r and whose d met a bound."""

    r: float
    d: float


def batch_renorm(
    input: Tensor, running_mean: Tensor, running_std: Tensor, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.01,
    eps: float = 1e-5, rmax: float = 3.0, dmax: float = 5.0,
) -> Tensor:
    """Batch normalization corrected towards the running statistics (Ioffe 2017,
    arXiv:1702.03275, Algorithm 1).

    With σ = √(var + eps) of the batch:  x̂ = (x - mean)/σ r + d,
    r = clip(σ/running_std, 1/rmax, rmax), d = clip((mean - running_mean)/running_std, -dmax, dmax),
    both without gradient. The paper averages σ, not the variance; eps is in it once and for all.

    Args:
        input: (N, C, *spatial). running_mean, running_std, weight, bias: (C,).
        momentum: the weight of the new value (the paper's α).
    """
    who = "batch_renorm"
    check_weight(who, momentum)
    if training:
        y, _, updates = renormalized(input, running_mean, running_std, weight, bias, eps, rmax,
                                     dmax)
        warn_skipped(who, update(momentum, *updates))
        return y
    check_input(who, input, eps, running_mean, running_std, weight, bias)
    check_bounds(who, rmax, dmax)
    return apply_running(input, running_mean, running_std, weight, bias)


@in_float32
def apply_running(x: Tensor, mean: Any, std: Any, weight: Any, bias: Any) -> Tensor:
    """Inference: the deviation is what is remembered."""
    return apply_scale(x, mean, 1 / std, weight, bias)


def renormalized(
    input: Tensor, running_mean: Any, running_std: Any, weight: Any, bias: Any, eps: float,
    rmax: float, dmax: float,
) -> tuple[Tensor, Correction, tuple[Update, ...]]:
    """:func:`batch_renorm` in training, how far r and d were from their bounds, and the
    updates of the running averages."""
    who = "batch_renorm"
    check_input(who, input, eps, running_mean, running_std, weight, bias)
    if not (rmax >= 1 and dmax >= 0):
        check_bounds(who, rmax, dmax)
    eps, rmax, dmax = (v if v.__class__ is float else float(v)  # NumPy's would widen float32
                       for v in (eps, rmax, dmax))
    x, weight, bias = widened((input, weight, bias))
    y, _, new_mean, new_var = standardize_batch(who, x, None, None, eps)
    now, var = new_mean.detach().array, new_var.detach().array
    module = array_module(var)
    before, spread = (v.array.reshape(var.shape) for v in widened((running_mean, running_std)))
    new_std = module.sqrt(var + eps)
    correction = Correction(new_std / spread, (now - before) / spread, rmax, dmax)
    r = module.clip(correction.ratio, 1 / rmax, rmax)
    d = module.clip(correction.shift, -dmax, dmax)
    y = renorm(y, wrap(Tensor, r), wrap(Tensor, d), per_channel(weight, x), per_channel(bias, x))
    updates = (running_mean, now, 1.0), (running_std, new_std, 1.0)
    return y.to(input.dtype), correction, updates


class BatchRenorm(ChannelNorm):
    """What the batch renormalizations of all dimensions share."""

    functions = ("batch_renorm",)
    reduced = "N, *spatial"
    spread: ClassVar[str] = "running_std"
    running_std: Tensor | None
    _correction: Correction | None = None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.01,
        affine: bool = True, rmax: Bound = 3.0, dmax: Bound = 5.0, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        check_bounds(type(self).__name__, 1.0 if callable(rmax) else rmax,
                     0.0 if callable(dmax) else dmax)
        super().__init__(num_features, eps, momentum, affine, True, device, dtype, bias)
        self.rmax = rmax
        self.dmax = dmax

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        mean: Any = self.running_mean
        std: Any = self.running_std
        if not self.training:
            y = batch_renorm(x, mean, std, self.weight, self.bias, eps=self.eps)
            self.use_statistics()
            return y
        numbers = self.numbers()
        y, correction, updates = renormalized(
            x, mean, std, self.weight, self.bias, self.eps, numbers["rmax"], numbers["dmax"])
        if statistics_enabled():
            self._correction = correction
            self.statistics.take(numbers["momentum"], *updates, batches=self.num_batches_tracked)
        return y

    def numbers(self) -> dict[str, Any]:
        """momentum, and rmax and dmax for the next batch; functions of the step wait for a GPU."""
        rmax, dmax = self.rmax, self.dmax
        if callable(rmax) or callable(dmax):
            step = self.steps()
            rmax = rmax(step) if callable(rmax) else rmax
            dmax = dmax(step) if callable(dmax) else dmax
            check_bounds(type(self).__name__, rmax, dmax, f" at step {step}")
        return super().numbers() | {"rmax": float(rmax), "dmax": float(dmax)}

    def steps(self) -> int:
        """num_batches_tracked as an int. Reading waits for a GPU."""
        batches: Any = self.num_batches_tracked
        return int(batches.item())

    @property
    def clipped(self) -> Clipped | None:
        """The shares of the features whose r and whose d were clipped in the last training batch.

        None before the first. At rmax 1 and dmax 0 nearly all are. Reading it waits for a GPU.
        """
        if self._correction is None:
            return None
        ratio, shift, rmax, dmax = self._correction
        beyond = (ratio > rmax) | (ratio < 1 / rmax), abs(shift) > dmax
        count = max(self.num_features, 1)
        return Clipped(*(part.sum().item() / count for part in beyond))

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, rmax={self.rmax}, dmax={self.dmax}")


class BatchRenorm1d(BatchRenorm):
    """Batch normalization whose training output agrees with its inference output.

    In training x̂ = (x - μ)/σ r + d with the batch's μ and σ = √(Var + eps);
    r = clip(σ/running_std, 1/rmax, rmax) and d = clip((μ - running_mean)/running_std, ±dmax)
    carry no gradient. Then μ and σ enter their running averages.
    In eval x̂ = (x - running_mean)/running_std. With rmax=1, dmax=0 training is BatchNorm's.

    rmax and dmax are numbers, or functions of the step (num_batches_tracked before the batch):
    ``renorm_ramp`` has the paper's. ``clipped`` tells how many r and d met them.

    Invariant to: permutation of samples, channels, positions

    Shape:
        x, y: (N, C) or (N, C, L); weight, bias, running_mean, running_std: (C,)

    Source: Ioffe 2017, arXiv:1702.03275, Algorithm 1.

    >>> import tinygrad_norm as tn
    >>> tn.nn.BatchRenorm1d(3)(tn.randn(10, 3)).shape
    (10, 3)
    """

    dims = (2, 3)


class BatchRenorm2d(BatchRenorm):
    """:class:`BatchRenorm1d` for images.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class BatchRenorm3d(BatchRenorm):
    """:class:`BatchRenorm1d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
