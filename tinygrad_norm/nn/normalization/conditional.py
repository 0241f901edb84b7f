"""Batch normalization whose weight and bias are looked up by class."""

from __future__ import annotations

import math
from typing import Any

from ...backend.choose import expect
from ...errors import DimError, DtypeError, ShapeError, not_a_tensor
from ...ops.rounding import widened
from ...tensors.arithmetic import where
from ...tensors.creation import ones, zeros
from ...tensors.tensor import Parameter, Tensor
from ..checks import as_count, check_weight
from .algebra import apply_statistics
from .batch import standardize_batch
from .channel import ChannelNorm
from .checks import check_channels, check_input, check_vector, not_positive
from .running import Update, update, warn_skipped


def conditional_batch_norm(
    input: Tensor, labels: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalization, then each sample scaled and shifted by what its class has learned
    (Dumoulin, Shlens and Kudlur 2017, arXiv:1610.07629; de Vries et al. 2017, arXiv:1707.00683).

    Args:
        input: (N, C, *spatial). labels: (N,), ints from 0 to K-1.
        weight, bias: (K, C), a row for each class; bias may be None.
        Else as :func:`batch_norm`.

    On a GPU, where looking at the labels would wait, one out of range makes its sample NaN.
    """
    who = "conditional_batch_norm"
    check_weight(who, momentum)
    y, updates = scaled_by_class(input, labels, running_mean, running_var, weight, bias, training,
                                 eps)
    warn_skipped(who, update(momentum, *updates))
    return y


def scaled_by_class(
    x: Tensor, labels: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor, bias: Tensor | None, training: bool, eps: float,
) -> tuple[Tensor, tuple[Update, ...]]:
    """:func:`conditional_batch_norm`, and the updates of the running averages."""
    who = "conditional_batch_norm"
    check_input(who, x, eps, running_mean, running_var, None, None)
    shape, classes = x.array.shape, weight.array.shape[:1]
    tables = [("weight", weight)] if bias is None else [("weight", weight), ("bias", bias)]
    for name, table in tables:
        check_vector(who, name, x.array, table.array, (*classes, shape[1]))
    rows = [_rows(who, table, labels, shape[0]) for _, table in tables]
    updates: tuple[Update, ...] = ()
    if training:
        if not eps:
            raise not_positive(who, eps)
        y, n, mean, var = standardize_batch(who, widened(x), None, None, eps)
        updates = (running_mean, mean.array, 1.0), (running_var, var.array, n / (n - 1))
    elif running_mean is None or running_var is None:
        raise RuntimeError(f"{who}: expected running_mean and running_var when not training")
    else:
        y = apply_statistics(widened(x), running_mean, running_var, None, None, eps)
    beside = (*shape[:2], *(1 for _ in shape[2:]))
    y = y * rows[0].reshape(beside)
    for shift in rows[1:]:
        y = y + shift.reshape(beside)
    return y.to(x.array.dtype), updates


def _rows(who: str, table: Tensor, labels: Tensor, samples: int) -> Tensor:
    """(N, C): the row of each label. float16 in float32.

    Raises:
        DimError: a label out of range (on the cpu; else its row is NaN).
    """
    if not isinstance(labels, Tensor):
        raise not_a_tensor(who, labels, "labels")
    if labels.array.dtype.kind != "i":
        raise DtypeError(f"{who}: expected labels of dtype int64, got {labels.dtype}; "
                         "call .long()")
    if labels.array.shape != (samples,):
        raise ShapeError(f"{who}: expected labels of shape ({samples},), one for each sample, got "
                         f"{labels.array.shape}")
    table = widened(table)
    classes = table.array.shape[0]
    inside = (labels >= 0) & (labels < classes)
    ask = expect(type(labels.array))
    if ask is None:
        return where(inside.unsqueeze(1), table[where(inside, labels, 0)], math.nan)
    if not ask(inside.array.all()):
        wrong = labels.array[~inside.array].flat[0]
        raise DimError(f"{who}: label {wrong} is out of bounds: expected labels 0 to "
                       f"{classes - 1}, one of {classes} classes")
    return table[labels]


class ConditionalBatchNorm(ChannelNorm):
    """What the conditional batch norms of all dimensions share."""

    functions = ("conditional_batch_norm",)
    reduced = "N, *spatial"
    running_var: Tensor | None
    weight: Parameter

    def __init__(
        self, num_features: int, num_classes: int, eps: float = 1e-5,
        momentum: float | None = 0.1, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        num_classes = as_count(type(self).__name__, "num_classes", num_classes, 1)
        super().__init__(num_features, eps, momentum, False, track_running_stats, device, dtype,
                         False)
        options = {"device": device, "dtype": dtype}
        self.num_classes = num_classes
        self.affine = True
        shape = num_classes, self.num_features
        self.weight = Parameter(ones(shape, **options))
        self.bias = Parameter(zeros(shape, **options)) if bias else None

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        check_channels(self, x)
        mean, var = self.running_mean, self.running_var
        own = self.training or mean is None
        if self.training and not self.track_running_stats:  # turned off since
            mean = var = None
        y, updates = scaled_by_class(x, labels, mean, var, self.weight, self.bias, own, self.eps)
        if not own:
            self.use_statistics()
        elif self.training and self.track_running_stats:
            self.statistics.take(self.numbers()["momentum"], *updates,
                                 batches=self.num_batches_tracked)
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, num_classes={self.num_classes}, eps={self.eps}, "
                f"momentum={self.momentum}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")


class ConditionalBatchNorm1d(ConditionalBatchNorm):
    """Batch normalization with a weight and a bias for each class.

    y = (x - E[x]) / √(Var[x] + eps) * weight[k] + bias[k], k the sample's label; the moments are
    those of the whole batch, whatever the classes. Training and eval as in :class:`BatchNorm1d`.
    The tables start at 1 and 0. The state dict has weight, bias, running_mean, running_var and
    num_batches_tracked, as BatchNorm's.

    Invariant to: shift and scale of each channel; permutation of samples, channels, positions

    Shape:
        x, y: (N, C) or (N, C, L); labels: (N,) of ints below num_classes;
        weight, bias: (num_classes, C); running_mean, running_var: (C,)

    Source: Dumoulin, Shlens and Kudlur 2017, arXiv:1610.07629, eq. 5; for batch statistics
    de Vries et al. 2017, arXiv:1707.00683, §4.

    >>> import tinygrad_norm as tn
    >>> norm = tn.nn.ConditionalBatchNorm1d(3, num_classes=10)
    >>> norm(tn.randn(4, 3), tn.tensor([1, 0, 9, 1])).shape
    (4, 3)
    """

    dims = (2, 3)


class ConditionalBatchNorm2d(ConditionalBatchNorm):
    """:class:`ConditionalBatchNorm1d` for images.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class ConditionalBatchNorm3d(ConditionalBatchNorm):
    """:class:`ConditionalBatchNorm1d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
