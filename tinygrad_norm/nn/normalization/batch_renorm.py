"""Batch renormalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ...autograd.graph import tick, wrap
from ...autograd.mode import statistics_enabled
from ...backend.array import Array, array_module
from ...tensors.tensor import Tensor
from ..checks import check_weight, is_number
from .algebra import (
    FLOAT16,
    apply_scale,
    check_input,
    per_channel,
    widened,
)
from .channel import ChannelNorm
from .functional import channels
from .running import remember
from .shards import standardize_batch

UNKNOWN = -1
"""A time at which no buffer was written."""
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
    input: Tensor, running_mean: Any, running_std: Any, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: Any = 0.01,
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
    return renormalized(input, running_mean, running_std, weight, bias, training, momentum, eps,
                        rmax, dmax)[0]


def renormalized(
    input: Tensor, running_mean: Any, running_std: Any, weight: Any, bias: Any, training: bool,
    momentum: Any, eps: float, rmax: float, dmax: float,
) -> tuple[Tensor, Correction | None]:
    """:func:`batch_renorm` and, in training, how far r and d were from their bounds."""
    c = channels("batch_renorm", input)
    check_input("batch_renorm", input, c, eps, running_mean, running_std, weight, bias)
    check_weight("batch_renorm", momentum)
    if not (rmax >= 1 and dmax >= 0):
        check_bounds("batch_renorm", rmax, dmax)
    eps, rmax, dmax = map(float, (eps, rmax, dmax))  # NumPy's would widen a float32 input
    x = input.array
    half = x.dtype == FLOAT16
    given = (input, running_mean, running_std, weight, bias)
    wide, mean, std, weight, bias = widened(*given) if half else given
    if not training:
        y = apply_scale(wide, mean, 1 / std, weight, bias)
        return y.half() if half else y, None
    y, _, new_mean, new_var = standardize_batch("batch_renorm", wide, None, None, eps)
    now, var, before, spread = (s.detach().array for s in (new_mean, new_var, mean, std))
    module = array_module(var)
    new_std = module.sqrt(var + eps)
    before, spread = before.reshape(var.shape), spread.reshape(var.shape)
    correction = Correction(new_std / spread, (now - before) / spread, rmax, dmax)
    scale = wrap(Tensor, module.clip(correction.ratio, 1 / rmax, rmax))
    offset = wrap(Tensor, module.clip(correction.shift, -dmax, dmax))
    if weight is not None:
        beside = per_channel(weight, x)
        scale, offset = scale * beside, offset * beside
    if bias is not None:
        offset = offset + per_channel(bias, x)
    y = y * scale + offset
    remember("batch_renorm", momentum, (running_mean, now, 1.0), (running_std, new_std, 1.0))
    return y.half() if half else y, correction


class _BatchRenorm(ChannelNorm):
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
        batches: Any = self.num_batches_tracked
        self._steps = 0
        self._counted = batches.written[0] = tick()

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        rmax, dmax = self.bounds() if self.training else (1.0, 0.0)
        y, correction = renormalized(
            x, self.running_mean, self.running_std, self.weight, self.bias, self.training,
            self.factor() if self.training else 0.0, self.eps, rmax, dmax,
        )
        if not self.training:
            self.warn_unset()
            self._counted = UNKNOWN  # on a GPU some batches may not have been taken in
        elif statistics_enabled():
            self._correction = correction
        self.count()
        return y

    def bounds(self) -> tuple[float, float]:
        """rmax and dmax for the next batch."""
        rmax, dmax = self.rmax, self.dmax
        if not (callable(rmax) or callable(dmax)):
            return rmax, dmax
        step = self.steps()
        rmax = rmax(step) if callable(rmax) else rmax
        dmax = dmax(step) if callable(dmax) else dmax
        check_bounds(type(self).__name__, rmax, dmax, f" at step {step}")
        return float(rmax), float(dmax)

    def steps(self) -> int:
        """num_batches_tracked as an int.

        It is counted along here, so that a GPU is waited for only after the buffer was written by
        somebody else, a state dict for one, and after eval.
        """
        batches: Any = self.num_batches_tracked
        if batches.written[0] != self._counted:
            self._steps, self._counted = int(batches.item()), batches.written[0]
        return self._steps

    def count(self) -> None:
        batches: Any = self.num_batches_tracked
        before = batches.written[0]
        super().count()
        if before == self._counted and batches.written[0] != before:
            self._steps, self._counted = self._steps + 1, batches.written[0]

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


class BatchRenorm1d(_BatchRenorm):
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


class BatchRenorm2d(_BatchRenorm):
    """:class:`BatchRenorm1d` for images.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class BatchRenorm3d(_BatchRenorm):
    """:class:`BatchRenorm1d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
