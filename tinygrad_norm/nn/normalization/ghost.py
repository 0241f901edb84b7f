"""Ghost batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.mode import statistics_enabled
from ...backend.array import Array, array_module
from ...tensors.creation import cat
from ...tensors.tensor import Tensor
from ..checks import as_count, check_weight
from .algebra import bessel, check_count, check_input, per_channel, standardize
from .batch import _BatchNorm
from .functional import batch_norm, channels
from .running import remember


def ghost_batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: Any = 0.1, eps: float = 1e-5, ghost_batch_size: int = 128, *, in_turn: bool = True,
) -> Tensor:
    """Batch normalization of each piece of a batch by itself (Hoffer, Hubara and Soudry 2017,
    arXiv:1705.08741, Algorithm 1).

    Args:
        input: (N, C, *spatial).
        ghost_batch_size: so many samples make one ghost batch, in order; those left over join the
            last one. With fewer than two ghost batches it is :func:`batch_norm`.
        momentum, in_turn: the weight of each ghost batch, one after the other; or, if not
            ``in_turn``, that of the whole batch, in which all ghost batches count alike.
        Else as :func:`batch_norm`.
    """
    size = as_count("ghost_batch_norm", "ghost_batch_size", ghost_batch_size, 1)
    c = channels("ghost_batch_norm", input)
    if not training or len(input.array) < 2 * size:
        return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    check_input("ghost_batch_norm", input, c, eps, running_mean, running_var, weight, bias)
    check_weight("ghost_batch_norm", momentum)
    if not eps:
        raise ValueError(f"ghost_batch_norm: expected eps > 0 when training, got {eps}")
    shape = input.array.shape
    samples, *rest = shape
    places = input.array.size // max(samples * shape[1], 1)
    check_count("ghost_batch_norm", input, size * places if shape[1] else 2,
                "value per channel in each ghost batch", "take a larger ghost_batch_size")
    beside = per_channel(weight, input.array), per_channel(bias, input.array)
    ys, moments = [], []
    for x in pieces(input, size):
        y, _, mean, var = standardize(x, *beside, axes=(1, *range(3, x.ndim)), eps=eps)
        ys.append(y.reshape(-1, *rest))
        moments.append((x.array.shape[1] * places, mean.array, var.array))
    if statistics_enabled():
        _remember(running_mean, running_var, moments, momentum, in_turn)
    return ys[0] if len(ys) == 1 else cat(ys)


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
def _remember(
    running_mean: Tensor | None, running_var: Tensor | None,
    moments: Sequence[tuple[int, Array, Array]], momentum: Any, in_turn: bool,
) -> None:
    """Move the running averages by (n, means, variances) of the pieces."""
    flat = [(n, mean.reshape(len(mean), -1), var.reshape(len(var), -1)) for n, mean, var in moments]
    mean, weight = as_one([means for _, means, _ in flat], momentum, in_turn)
    var, _ = as_one([variances * bessel(n) for n, _, variances in flat], momentum, in_turn)
    remember("ghost_batch_norm", weight, (running_mean, mean, 1.0), (running_var, var, 1.0))


def as_one(values: Sequence[Array], momentum: Any, in_turn: bool) -> tuple[Array, Any]:
    """Many updates of a running average, written as one: (1 - weight) running + weight value.

    In turn they are (1 - η)^G running + Σ η (1 - η)^(G-i) valueᵢ, i = 1, …, G.

    Args:
        values: (G₁, C), (G₂, C), … in order; G rows in all.
        momentum: η; if not ``in_turn`` the weight itself, with equal shares.

    Returns:
        value, (C,), and weight.
    """
    left = sum(map(len, values))
    keep = float(1 - momentum) if in_turn else 1.0
    total = sum(keep**k for k in range(left))
    value: Any = 0
    for rows in values:
        later = array_module(rows).arange(left - 1, left - 1 - len(rows), -1, dtype=rows.dtype)
        value = value + (keep**later / total) @ rows
        left -= len(rows)
    return value, momentum * total if in_turn else momentum


class GhostBatchNorm(_BatchNorm):
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

    dims = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, ghost_batch_size: int = 128, eps: float = 1e-5,
        momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)
        self.ghost_batch_size = as_count("GhostBatchNorm", "ghost_batch_size", ghost_batch_size, 1)

    def normalize(
        self, x: Tensor, mean: Any, var: Any, weight: Any, bias: Any, training: bool,
        momentum: Any, eps: float,
    ) -> Tensor:
        return ghost_batch_norm(x, mean, var, weight, bias, training, momentum, eps,
                                self.ghost_batch_size, in_turn=self.momentum is not None)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ghost_batch_size={self.ghost_batch_size}"
