"""Instance normalization."""

from __future__ import annotations

import math
from typing import Any

from ...tensors.tensor import Tensor
from ..checks import check_weight
from .algebra import apply_statistics, standardize
from .channel import ChannelNorm
from .checks import check_channels, check_input, no_places, too_few
from .running import Update, update, warn_skipped


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample (Ulyanov et al. 2016, arXiv:1607.08022).

    Args:
        input: (N, C, *spatial) with at least one spatial axis.
        running_mean, running_var: (C,) or None; updated with the means over the samples.
        use_input_stats: normalize with the sample's own statistics, not the running ones.
        Else as :func:`batch_norm`.
    """
    who = "instance_norm"
    check_weight(who, momentum)
    if use_input_stats:
        y, updates = standardize_samples(input, running_mean, running_var, weight, bias, eps)
        warn_skipped(who, update(momentum, *updates))
        return y
    check_input(who, input, eps, running_mean, running_var, weight, bias)
    if input.array.ndim < 3:
        raise no_places(who, input.array.shape)
    if running_mean is None or running_var is None:
        raise RuntimeError(f"{who}: expected running_mean and running_var when use_input_stats is "
                           "False")
    return apply_statistics(input, running_mean, running_var, weight, bias, eps)


def standardize_samples(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, eps: float,
) -> tuple[Tensor, tuple[Update, ...]]:
    """Each sample with its own moments, and the updates of the running averages.

    Raises:
        ShapeError: no spatial axis. ValueError: one value for each channel of a sample.
    """
    who = "instance_norm"
    check_input(who, x, eps, running_mean, running_var, weight, bias)
    samples, c, *spatial = x.array.shape
    if not spatial:
        raise no_places(who, x.array.shape)
    n = math.prod(spatial)
    if n < 2:
        raise too_few(who, x, n, "spatial element", "use a larger input, or a norm that takes its "
                      "statistics of more: GroupNorm, LayerNorm")
    ndim = len(spatial) + 2
    plain = weight is None and bias is None
    y, _, mean, var = standardize(x, weight, bias, axes=tuple(range(2, ndim)), eps=eps,
                                  beside=None if plain else (c,) + (1,) * (ndim - 2))
    if not samples:
        return y, ()
    return y, ((running_mean, mean.array, 1.0), (running_var, var.array, n / (n - 1)))


class InstanceNorm(ChannelNorm):
    """What the instance norms of all dimensions share."""

    functions = ("instance_norm",)
    reduced = "*spatial"
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
        check_channels(self, x)
        if x.array.ndim not in self.dims:  # one sample, without N
            return InstanceNorm.forward(self, x.unsqueeze(0)).squeeze(0)
        mean, var = self.running_mean, self.running_var
        if not self.training and self.track_running_stats:
            y = instance_norm(x, mean, var, self.weight, self.bias, False, eps=self.eps)
            self.use_statistics()
            return y
        if self.training and self.momentum is not None:
            check_weight("instance_norm", self.momentum)
        y, updates = standardize_samples(x, mean, var, self.weight, self.bias, self.eps)
        if self.training and mean is not None:  # also when turned off since, as in PyTorch
            counted = self.num_batches_tracked if self.track_running_stats else None
            self.statistics.take(self.numbers()["momentum"], *updates, batches=counted)
        return y


class InstanceNorm1d(InstanceNorm):
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


class InstanceNorm2d(InstanceNorm):
    """:class:`InstanceNorm1d` for images: the moments are taken over H, W.

    Shape:
        x, y: (N, C, H, W) or (C, H, W)
    """

    dims = (4,)


class InstanceNorm3d(InstanceNorm):
    """:class:`InstanceNorm1d` for volumes: the moments are taken over D, H, W.

    Shape:
        x, y: (N, C, D, H, W) or (C, D, H, W)
    """

    dims = (5,)
