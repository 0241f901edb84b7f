"""Instance normalization."""

from __future__ import annotations

from typing import Any

from ...tensors.tensor import Tensor
from .channel import ChannelNorm
from .functional import instance_norm


class _InstanceNorm(ChannelNorm):
    takes_one_sample = True
    running_var: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = False, track_running_stats: bool = False, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        single = x.array.ndim not in self.dims  # one sample, without N
        own = self.training or not self.track_running_stats
        y = instance_norm(
            x.unsqueeze(0) if single else x, self.running_mean, self.running_var, self.weight,
            self.bias, own, self.factor() if self.training else 0.0, self.eps,
        )
        if not own:
            self.warn_unset()
        self.count()
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    """Normalize each channel of each sample over its own values.

    y = (x - E[x]) / √(Var[x] + eps) * weight + bias, the moments taken over L.
    The same in training and eval, unless track_running_stats: then eval uses running averages of
    the samples' moments. As in BatchNorm num_batches_tracked counts then, and momentum=None keeps
    the plain average of all batches: PyTorch's InstanceNorm counts none and leaves the averages
    as they are. The channels must be num_features also without affine.

    Invariant to: shift and scale of each instance; permutation of samples, channels, positions

    Shape:
        x, y: (N, C, L) or (C, L); weight, bias, running_mean, running_var: (C,)

    Source: Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.InstanceNorm1d(3)(tn.randn(2, 3, 50))
    >>> bool((y.mean(-1).abs() < 1e-6).all())
    True
    """

    dims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """:class:`InstanceNorm1d` for images: the moments are taken over H, W.

    Shape:
        x, y: (N, C, H, W) or (C, H, W)
    """

    dims = (4,)


class InstanceNorm3d(_InstanceNorm):
    """:class:`InstanceNorm1d` for volumes: the moments are taken over D, H, W.

    Shape:
        x, y: (N, C, D, H, W) or (C, D, H, W)
    """

    dims = (5,)
