"""What the norms with one affine value per channel share: attributes, statistics, checks."""

from __future__ import annotations

from typing import Any, ClassVar

from ...autograd.graph import tick
from ...autograd.mode import statistics_enabled
from ...errors import ShapeError, not_a_tensor
from ...tensors.creation import ones, tensor, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..module import Buffer, Module

FORMS = {2: "(N, {c})", 3: "(N, {c}, L)", 4: "(N, {c}, H, W)", 5: "(N, {c}, D, H, W)"}


class ChannelNorm(Module):
    """A norm of (N, C, *spatial) with per-channel weight, bias and running statistics."""

    dims: ClassVar[tuple[int, ...]] = ()
    """The numbers of dimensions that the input may have."""
    takes_one_sample: ClassVar[bool] = False
    """Whether the input may lack N."""
    spread: ClassVar[str] = "running_var"
    """The buffer beside running_mean."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, device: Any, dtype: Any, bias: bool,
    ) -> None:
        if num_features < 0:
            raise ShapeError(f"{type(self).__name__}: expected num_features >= 0, got "
                             f"{num_features}")
        if eps < 0:
            raise ValueError(f"{type(self).__name__}: expected eps >= 0, got {eps}")
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
        if not isinstance(x, Tensor):
            raise not_a_tensor(type(self).__name__, x)
        shape = x.array.shape
        if len(shape) in self.dims and shape[1] == self.num_features:
            return
        forms = [FORMS[n].format(c=self.num_features) for n in self.dims]
        ranks = self.dims
        if self.takes_one_sample:
            ranks = (*self.dims, self.dims[0] - 1)
            if len(shape) == ranks[-1] and shape[0] == self.num_features:
                return
            forms.append(forms[0].replace("N, ", ""))
        last = shape[-1:] == (self.num_features,) and len(shape) in ranks
        hint = "; is the channel axis last? move it with permute()" if last else ""
        raise ShapeError(f"{type(self).__name__}: expected input {' or '.join(forms)}, got "
                         f"{shape}{hint}")

    def factor(self) -> Any:
        """The weight of the next batch's statistics: momentum, or 1/batches for None."""
        if self.momentum is not None:
            return self.momentum
        return 0.0 if self.num_batches_tracked is None else 1.0 / (
            self.num_batches_tracked.array + 1)

    def count(self) -> None:
        """One more batch has entered the statistics."""
        batches = self.num_batches_tracked
        if (self.training and self.track_running_stats and batches is not None
                and statistics_enabled()):
            array = batches.array
            array += 1
            batches.written[0] = tick()

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")
