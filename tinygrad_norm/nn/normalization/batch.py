"""Batch normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ...tensors.tensor import Tensor
from .channel import ChannelNorm
from .functional import batch_norm


class _BatchNorm(ChannelNorm):
    normalize: ClassVar[Callable[..., Any]] = staticmethod(batch_norm)
    running_var: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        mean, var = self.running_mean, self.running_var
        own = self.training or mean is None
        if self.training and not self.track_running_stats:  # turned off since
            mean = var = None
        y = self.normalize(x, mean, var, self.weight, self.bias, own,
                           self.factor() if self.training else 0.0, self.eps)
        if not own:
            self.warn_unset()
        self.count()
        return y


class BatchNorm1d(_BatchNorm):
    """Normalize each channel over the batch, then scale and shift it.

    y = (x - E[x]) / √(Var[x] + eps) * weight + bias, the moments taken over N (and L).
    In training the batch's own moments (biased variance), and the running averages move:
    running = (1 - momentum) running + momentum new (unbiased variance). In eval the running ones.
    momentum=None keeps the plain average of all batches. A batch with NaN or Inf leaves them as
    they were, and ``skipped_batches`` counts it.

    Invariant to: shift and scale of each channel; permutation of samples, channels, positions

    Shape:
        x, y: (N, C) or (N, C, L); weight, bias, running_mean, running_var: (C,)

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.BatchNorm1d(3)(tn.randn(100, 3))
    >>> bool((y.mean(0).abs() < 1e-6).all())
    True
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """:class:`BatchNorm1d` for images: the moments are taken over N, H, W.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """:class:`BatchNorm1d` for volumes: the moments are taken over N, D, H, W.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
