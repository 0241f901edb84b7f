"""What the norms with one affine value per channel share: attributes and running statistics."""

from __future__ import annotations

from typing import Any, ClassVar

from ...tensors.creation import ones, tensor, zeros
from ...tensors.tensor import Parameter
from .. import init
from ..checks import as_count, as_eps, as_momentum
from ..module import Buffer
from .norm import Norm
from .running import RunningStatistics, Update


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
        self.statistics = RunningStatistics(who.removeprefix("Lazy"))

    def reset_running_stats(self) -> None:
        """The statistics as they were at the start: mean 0, spread 1, no batch seen."""
        if self.track_running_stats:
            if self.running_mean is not None:
                init.zeros_(self.running_mean)
            init.ones_(getattr(self, self.spread))
            init.zeros_(self.num_batches_tracked)  # type: ignore[arg-type]
            self.statistics.restart()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the statistics as at the start."""
        self.reset_running_stats()
        super().reset_parameters()

    def loaded(self, names: set[str]) -> None:
        if self.spread in names or "running_mean" in names:
            self.statistics.fresh = False

    def numbers(self) -> dict[str, Any]:
        """The numbers that a training step reads; they may be others at the next step.

        momentum: the weight of the next batch's statistics; 1/batches where it is None.
        """
        momentum: Any = self.momentum
        if momentum is None:
            batches = self.num_batches_tracked
            momentum = 0.0 if batches is None else 1.0 / (batches.array + 1)
        return {"momentum": momentum}

    def use_statistics(self) -> None:
        """Eval has used the running statistics: where they are unset, that is said once."""
        self.statistics.use(self.running_mean, getattr(self, self.spread),
                            self.num_batches_tracked)

    def move_or_use(self, *updates: Update) -> None:
        """In training the running statistics move by ``updates``; in eval they have been used."""
        if self.training:
            self.statistics.take(self.numbers()["momentum"], *updates,
                                 batches=self.num_batches_tracked)
        else:
            self.use_statistics()

    @property
    def skipped_batches(self) -> int:
        """The number of batches since the last reset that were left out of the running statistics,
        for NaN or Inf, or as the dtype cannot hold their moments. Reading waits for a GPU.
        """
        return self.statistics.skipped()

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")
