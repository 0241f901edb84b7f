"""What the norms with one affine value per channel share: attributes, statistics, checks."""

from __future__ import annotations

from typing import Any, ClassVar

from ...autograd.graph import tick
from ...autograd.mode import statistics_enabled
from ...errors import ShapeError
from ...tensors.creation import ones, tensor, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..module import Buffer, Module

FORMS = {2: "(N, {c})", 3: "(N, {c}, L)", 4: "(N, {c}, H, W)", 5: "(N, {c}, D, H, W)"}


class ChannelNorm(Module):
    """A norm of (N, C, *spatial) with per-channel weight, bias and running statistics."""

    dims: ClassVar[tuple[int, ...]] = ()
    """The numbers of dimensions that the input may have."""
    spread: ClassVar[str] = "running_var"
    """The buffer beside running_mean."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, device: Any, dtype: Any, bias: bool,
    ) -> None:
        if num_features < 0 or eps < 0:
            raise ValueError(f"{type(self).__name__}: expected num_features and eps that are not "
                             f"negative, got {num_features} and {eps}")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(ones(num_features, **options)) if affine else None
        self.bias = Parameter(zeros(num_features, **options)) if affine and bias else None
        tracked = track_running_stats
        self.running_mean = Buffer(zeros(num_features, **options)) if tracked else None
        setattr(self, self.spread, Buffer(ones(num_features, **options)) if tracked else None)
        self.num_batches_tracked = Buffer(tensor(0, device=device)) if tracked else None

    def reset_running_stats(self) -> None:
        """The statistics as they were at the start: mean 0, spread 1, no batch seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)  # type: ignore[arg-type]
            init.ones_(getattr(self, self.spread))
            init.zeros_(self.num_batches_tracked)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the statistics as at the start."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def check(self, x: Tensor) -> None:
        """The input must have the right number of dimensions and channels."""
        shape = x.array.shape
        if len(shape) in self.dims and shape[1] == self.num_features:
            return
        forms = " or ".join(FORMS[n].format(c=self.num_features) for n in self.dims)
        last = shape[-1:] == (self.num_features,) and len(shape) > 2
        hint = "; is the channel axis last? move it with permute()" if last else ""
        error = ShapeError if len(shape) in self.dims else ValueError
        raise error(f"{type(self).__name__}: expected input {forms}, got {shape}{hint}")

    def factor(self) -> Any:
        """Count a batch; return the weight of its statistics: momentum, or 1/batches for None."""
        if self.num_batches_tracked is None or not statistics_enabled():
            return self.momentum or 0.0
        count = self.num_batches_tracked.array
        count += 1
        self.num_batches_tracked.written[0] = tick()
        return 1.0 / count if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")
