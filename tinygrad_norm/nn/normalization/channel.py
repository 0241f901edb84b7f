"""What the norms with one affine value per channel share: attributes, statistics, checks."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from ...autograd.graph import tick
from ...autograd.mode import statistics_enabled
from ...backend.array import array_module
from ...errors import ShapeError, not_a_tensor
from ...tensors.creation import ones, tensor, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import LAST, another_size, as_count, as_eps, as_momentum
from ..module import Buffer
from .norm import Norm
from .running import Refused

FORMS = {2: "(N, {c})", 3: "(N, {c}, L)", 4: "(N, {c}, H, W)", 5: "(N, {c}, D, H, W)"}


class ChannelNorm(Norm):
    """A norm of (N, C, *spatial) with per-channel weight, bias and running statistics."""

    dims: ClassVar[tuple[int, ...]] = ()
    """The numbers of dimensions that the input may have."""
    takes_one_sample: ClassVar[bool] = False
    """Whether the input may lack N."""
    spread: ClassVar[str] = "running_var"
    """The buffer beside running_mean."""
    centred: ClassVar[bool] = True
    """Whether a mean is subtracted, so that there is a running_mean."""
    _unset: int | None = None
    """When the initial statistics were written. While that was the last write, they are unset."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, device: Any, dtype: Any, bias: bool,
    ) -> None:
        who = type(self).__name__
        eps, momentum = as_eps(who, eps), as_momentum(who, momentum)
        self.num_features = num_features = as_count(who, "num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(ones(num_features, **options)) if affine else None
        self.bias = Parameter(zeros(num_features, **options)) if affine and bias else None
        tracked = track_running_stats
        mean = tracked and self.centred
        self.running_mean = Buffer(zeros(num_features, **options)) if mean else None
        setattr(self, self.spread, Buffer(ones(num_features, **options)) if tracked else None)
        self.num_batches_tracked = Buffer(tensor(0, device=device)) if tracked else None
        self._mark_unset()

    def reset_running_stats(self) -> None:
        """The statistics as they were at the start: mean 0, spread 1, no batch seen."""
        if self.track_running_stats:
            if self.running_mean is not None:
                init.zeros_(self.running_mean)
            init.ones_(getattr(self, self.spread))
            init.zeros_(self.num_batches_tracked)  # type: ignore[arg-type]
            self._mark_unset()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the statistics as at the start."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def check(self, x: Tensor) -> None:
        """The input must have the right number of dimensions and channels."""
        if not isinstance(x, Tensor):
            raise not_a_tensor(type(self).__name__, x)
        shape = x.array.shape
        if len(shape) in self.dims and shape[1] == self.num_features:
            return
        single = len(shape) == self.dims[0] - 1 and self.takes_one_sample
        if not (single and shape[0] == self.num_features):
            raise self.wrong_shape(shape)

    def wrong_shape(self, shape: tuple[int, ...]) -> ShapeError:
        """The error for an input of that shape."""
        forms = [FORMS[n].format(c=self.num_features or "C") for n in self.dims]
        ranks = self.dims
        if self.takes_one_sample:
            ranks = (*self.dims, self.dims[0] - 1)
            forms.append(forms[0].replace("N, ", ""))
        name = type(self).__name__
        if len(shape) not in ranks:
            other = f"{name[:-2]}{max(len(shape) - 2, 1)}d"
            known = name[-1] == "d" and 2 <= len(shape) <= 5 and other != name
            cure = f"; use {other}, or reshape the input" if known else "; reshape the input"
        elif shape[-1] == self.num_features:
            cure = LAST
        else:
            size = shape[1] if len(shape) in self.dims else shape[0]
            cure = another_size("num_features", size)
        return ShapeError(f"{name}: expected input {' or '.join(forms)}, got {shape}{cure}")

    def _mark_unset(self) -> None:
        spread = getattr(self, self.spread)
        if spread is not None:
            spread.refused = Refused(type(self).__name__.removeprefix("Lazy"))
            self._stamp_unset()

    def _stamp_unset(self) -> None:
        self._unset = getattr(self, self.spread).written[0] = tick()
        if self.running_mean is not None:
            self.running_mean.written[0] = self._unset

    def _is_unset(self) -> bool:
        mean, spread = self.running_mean, getattr(self, self.spread)
        return (spread is not None and spread.written[0] == self._unset
                and (mean is None or mean.written[0] == self._unset))

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_unset": True if self._is_unset() else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Out of a pickle or a copy, in which times mean nothing."""
        vars(self).update(state)
        if self._unset:
            self._stamp_unset()

    def warn_unset(self) -> None:
        """Warn once when statistics are used that neither training nor loading has written.

        The time of the last write tells, so that a GPU need not be waited for. It is waited for
        once after training, to hear of batches that were skipped.
        """
        _ = self.skipped_batches
        if self._is_unset():
            self._unset = None
            warnings.warn(
                f"{type(self).__name__}: expected running statistics in eval(), got the initial "
                "ones: no batch was seen in training and none were loaded, so that nothing is "
                "normalized; train first, load a state dict, or call train()", stacklevel=4)

    def factor(self) -> Any:
        """The weight of the next batch's statistics: momentum, or 1/batches for None."""
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.num_batches_tracked is None else 1.0 / (
            self.num_batches_tracked.array + 1)

    def count(self) -> None:
        """One more batch has entered the statistics, unless they refused it."""
        batches = self.num_batches_tracked
        if (self.training and self.track_running_stats and batches is not None
                and statistics_enabled()):
            array = batches.array
            refused = self._refused()
            if refused is None or refused.last is None:
                array += 1
            else:
                last, refused.last = refused.last, None
                if isinstance(last, str):
                    return
                array += array_module(last).logical_not(last)
            batches.written[0] = tick()

    def _refused(self) -> Refused | None:
        spread = getattr(self, self.spread)
        return None if spread is None else vars(spread).get("refused")

    @property
    def skipped_batches(self) -> int:
        """So many batches with NaN or Inf, or with statistics that the dtype cannot hold, have
        left the running statistics as they were since these were reset. Reading waits for a GPU.
        """
        refused = self._refused()
        return 0 if refused is None else refused.read()

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")
