"""Batch normalization."""

from __future__ import annotations

from typing import Any, ClassVar

from ...tensors.tensor import Tensor
from ..checks import check_weight
from .algebra import apply_statistics, batch_axes, standardize
from .channel import ChannelNorm
from .checks import check_channels, check_input, not_positive, too_few
from .running import update, warn_skipped


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167, Alg. 1).

    Args:
        input: (N, C, *spatial).
        running_mean, running_var: (C,) or None; updated in place when ``training``, the variance
            with its unbiased estimate; used instead of the batch's when not.
        weight, bias: (C,) or None.
        momentum: the weight of the new value in the running averages.
    """
    who = "batch_norm"
    check_weight(who, momentum)
    if not training:
        check_input(who, input, eps, running_mean, running_var, weight, bias)
        if running_mean is None or running_var is None:
            raise RuntimeError(f"{who}: expected running_mean and running_var when not training")
        return apply_statistics(input, running_mean, running_var, weight, bias, eps)
    if not eps:
        raise not_positive(who, eps)
    y, n, mean, var = standardize_batch(who, input, weight, bias, eps, running_mean, running_var)
    warn_skipped(who, update(momentum, (running_mean, mean.array, 1.0),
                             (running_var, var.array, n / (n - 1))))
    return y


def standardize_batch(
    who: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float,
    *running: Tensor | None,
) -> tuple[Tensor, int, Tensor, Tensor]:
    """(y, n, mean, var): x (N, C, *spatial) with the moments of the batch, in training, and in eval
    where no averages are kept.

    n is the number of values behind each mean; var is biased. The ``running`` averages must fit x,
    and are not used.

    Raises:
        ValueError: fewer than two values for each channel.
    """
    check_input(who, x, eps, *running, weight, bias)
    size, shape = x.array.size, x.array.shape
    c, ndim = shape[1], len(shape)
    n = size // c if c else 2
    if n < 2:
        raise too_few(who, x, n, "value per channel")
    plain = ndim == 2 or (weight is None and bias is None)
    y, _, mean, var = standardize(x, weight, bias, axes=batch_axes(ndim), eps=eps,
                                  beside=None if plain else (c,) + (1,) * (ndim - 2))
    return y, n, mean, var


class BatchNorm(ChannelNorm):
    """What the batch norms of all dimensions share."""

    functions: ClassVar[tuple[str, ...]] = ("batch_norm",)
    reduced = "N, *spatial"
    running_var: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        running_mean, running_var = self.running_mean, self.running_var
        if not self.training and running_mean is not None:
            y = batch_norm(x, running_mean, running_var, self.weight, self.bias, eps=self.eps)
            self.use_statistics()
            return y
        if self.training and not self.track_running_stats:  # turned off since
            running_mean = running_var = None
        if not self.eps:
            raise not_positive("batch_norm", self.eps)
        y, n, mean, var = standardize_batch("batch_norm", x, self.weight, self.bias, self.eps,
                                            running_mean, running_var)
        if self.training and self.track_running_stats:
            momentum = self.momentum
            if momentum is None:
                momentum = self.numbers()["momentum"]
            self.statistics.take(momentum, (running_mean, mean.array, 1.0),
                                 (running_var, var.array, n / (n - 1)),
                                 batches=self.num_batches_tracked)
        return y


class BatchNorm1d(BatchNorm):
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


class BatchNorm2d(BatchNorm):
    """:class:`BatchNorm1d` for images: the moments are taken over N, H, W.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class BatchNorm3d(BatchNorm):
    """:class:`BatchNorm1d` for volumes: the moments are taken over N, D, H, W.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
