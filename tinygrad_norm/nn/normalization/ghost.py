"""Ghost batch normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.mode import statistics_enabled
from ...backend.array import Array, array_module
from ...errors import not_a_tensor
from ...tensors.creation import cat
from ...tensors.tensor import Tensor
from ..checks import as_count, check_weight
from .algebra import standardize
from .batch import BatchNorm, batch_norm
from .checks import check_channels, check_input, not_positive, too_few
from .running import update, warn_skipped


def ghost_batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5, ghost_batch_size: int = 128, *, in_turn: bool = True,
) -> Tensor:
    """Batch normalization of each piece of a batch by itself (Hoffer, Hubara and Soudry 2017,
    arXiv:1705.08741, Algorithm 1).

    Args:
        input: (N, C, *spatial).
        ghost_batch_size: the number of samples in one ghost batch, in order; those left over join
            the last one. With fewer than two ghost batches it is :func:`batch_norm`.
        momentum, in_turn: the weight of each ghost batch, one after the other; or, if not
            ``in_turn``, that of the whole batch, in which all ghost batches count alike.
        Else as :func:`batch_norm`.
    """
    who = "ghost_batch_norm"
    size = as_count(who, "ghost_batch_size", ghost_batch_size, 1)
    if not isinstance(input, Tensor):
        raise not_a_tensor(who, input)
    if not training or len(input.array) < 2 * size:
        return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    check_input(who, input, eps, running_mean, running_var, weight, bias)
    check_weight(who, momentum)
    y, moments = standardize_ghosts(input, weight, bias, eps, size)
    if statistics_enabled():
        weight_of_all, mean, var = as_one(moments, momentum, in_turn)
        warn_skipped(who, update(weight_of_all, (running_mean, mean, 1.0),
                                 (running_var, var, 1.0)))
    return y


def standardize_ghosts(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, size: int
) -> tuple[Tensor, list[tuple[int, Array, Array]]]:
    """y, each ghost batch with its own moments; and a list of these moments, an entry for all ghost
    batches of one size: the number of values behind each mean, means and biased variances (G, C).

    Raises:
        ValueError: eps = 0, or one value for each channel of a ghost batch.
    """
    who = "ghost_batch_norm"
    if not eps:
        raise not_positive(who, eps)
    _, c, *spatial = x.array.shape
    places = math.prod(spatial)
    if size * places < 2 and c:
        raise too_few(who, x, size * places, "value per channel in each ghost batch",
                      "take a larger ghost_batch_size")
    plain = weight is None and bias is None
    ys, moments = [], []
    for piece in pieces(x, size):
        ghosts, each = piece.array.shape[:2]
        y, _, mean, var = standardize(
            piece, weight, bias, axes=(1, *range(3, 3 + len(spatial))), eps=eps,
            beside=None if plain else (c,) + (1,) * len(spatial))
        ys.append(y.reshape(ghosts * each, c, *spatial))
        moments.append((each * places, mean.array.reshape(ghosts, -1),
                        var.array.reshape(ghosts, -1)))
    return ys[0] if len(ys) == 1 else cat(ys), moments


def pieces(x: Tensor, size: int) -> list[Tensor]:
    """The ghost batches: (G, size, C, *spatial), and (1, more, C, *spatial) if some are left over.
    """
    samples, *rest = x.array.shape
    count = samples // size
    if samples % size == 0:
        return [x.reshape(count, size, *rest)]
    cut = (count - 1) * size
    return [x[:cut].reshape(count - 1, size, *rest), x[cut:].unsqueeze(0)]


@np.errstate(over="ignore", invalid="ignore")
def as_one(
    moments: Sequence[tuple[int, Array, Array]], momentum: Any, in_turn: bool
) -> tuple[Any, Array, Array]:
    """Many updates of the running averages, written as one: (1 - weight) running + weight value.

    In turn they are (1 - η)^G running + Σ η (1 - η)^(G-i) valueᵢ, i = 1, …, G.

    Args:
        moments: of G ghost batches in order, as :func:`standardize_ghosts` gives them.
        momentum: η; if not ``in_turn`` the weight itself, with equal shares.

    Returns:
        weight, and the values of the mean and of the unbiased variance, (C,) each.
    """
    left = sum(len(mean) for _, mean, _ in moments)
    keep = float(1 - momentum) if in_turn else 1.0
    total = sum(keep**k for k in range(left))
    mean: Any = 0
    var: Any = 0
    for n, means, variances in moments:
        later = array_module(means).arange(left - 1, left - 1 - len(means), -1, dtype=means.dtype)
        shares = keep**later / total
        mean = mean + shares @ means
        var = var + shares @ (variances * (n / (n - 1)))
        left -= len(means)
    return momentum * total if in_turn else momentum, mean, var


class GhostBatchNorm(BatchNorm):
    """Batch normalization of each ghost batch by itself: the noise of small batches in a large one.

    In training the batch is cut, in order, into ghost batches of ``ghost_batch_size`` samples; what
    is left over joins the last. Each is normalized by its own moments, and the running averages
    move as BatchNorm's would if it saw one after the other:
    running = (1 - η)^G running + Σ η (1 - η)^(G-i) newᵢ with η = momentum; None: the plain average.
    Eval is BatchNorm's, and so is training with fewer than two ghost batches.

    Invariant to: shift and scale of each channel; permutation of channels, positions

    Shape:
        x, y: (N, C), (N, C, L), (N, C, H, W) or (N, C, D, H, W); weight, bias, running_mean,
        running_var: (C,)

    Source: Hoffer, Hubara and Soudry 2017, arXiv:1705.08741, Algorithm 1. There the weights are
    printed as (1 - η)^|B_S| and η (1 - η)^i, which do not add up to 1, and σ is averaged; this is
    what the authors' program does, a BatchNorm that is given the ghost batches in turn.

    >>> import tinygrad_norm as tn
    >>> x = tn.randn(64, 3)
    >>> y = tn.nn.GhostBatchNorm(3, ghost_batch_size=16)(x)
    >>> bool((y[:16].mean(0).abs() < 1e-6).all())
    True
    """

    functions = ("batch_norm", "ghost_batch_norm")
    reduced = "some of N, *spatial"
    dims = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, ghost_batch_size: int = 128, eps: float = 1e-5,
        momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)
        self.ghost_batch_size = as_count("GhostBatchNorm", "ghost_batch_size", ghost_batch_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        own = self.training or self.running_mean is None
        if not own or len(x.array) < 2 * self.ghost_batch_size:
            return super().forward(x)
        mean, var = self.running_mean, self.running_var
        if self.training and not self.track_running_stats:  # turned off since
            mean = var = None
        check_input("ghost_batch_norm", x, self.eps, mean, var, self.weight, self.bias)
        y, moments = standardize_ghosts(x, self.weight, self.bias, self.eps, self.ghost_batch_size)
        if self.training and self.track_running_stats and statistics_enabled():
            weight, new_mean, new_var = as_one(moments, self.numbers()["momentum"],
                                               in_turn=self.momentum is not None)
            self.statistics.take(weight, (mean, new_mean, 1.0), (var, new_var, 1.0),
                                 batches=self.num_batches_tracked)
        return y

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ghost_batch_size={self.ghost_batch_size}"
