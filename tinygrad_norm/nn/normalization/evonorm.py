"""EvoNorm: normalization and activation as one formula, found by a search."""

from __future__ import annotations

import math
from typing import Any

from ...backend.reference import grouped
from ...ops import normalize as ops
from ...ops.rounding import widened
from ...tensors.creation import ones
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import as_count, check_weight, does_not_divide
from .algebra import batch_axes, deviation, in_range, per_channel
from .channel import ChannelNorm
from .checks import check_channels, check_input, check_vector, no_places, not_positive, too_few
from .running import Update, update, warn_skipped


def evonorm_b0(
    input: Tensor, running_var: Tensor | None, v: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:
    """x / max(std of the channel, v x + std of the sample's channel) (Liu et al. 2020,
    arXiv:2004.02967, Table 2).

    Args:
        input: (N, C, *spatial) with at least one spatial axis.
        running_var: (C,) or None; updated in place, with the unbiased estimate, when
            ``training``; used instead of the batch's when not.
        v: (C,), or None: then y = x weight + bias, which needs no statistics.
        weight, bias: (C,) or None.
        momentum: the weight of the new value in the running average.
    """
    check_weight("evonorm_b0", momentum)
    y, updates = divided_by_batch(input, running_var, v, weight, bias, training, eps)
    warn_skipped("evonorm_b0", update(momentum, *updates))
    return y


def divided_by_batch(
    x: Tensor, running_var: Tensor | None, v: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, training: bool, eps: float,
) -> tuple[Tensor, tuple[Update, ...]]:
    """:func:`evonorm_b0`, and the updates of the running average."""
    who = "evonorm_b0"
    shape, dtype = _check(who, x, eps, v, running_var, weight, bias), x.dtype
    x, wide_var, v, weight, bias = widened((x, running_var, v, weight, bias))
    if v is None:
        return _affine(x, weight, bias).to(dtype), ()
    if len(shape) < 3:
        raise no_places(who, shape)
    axes = batch_axes(len(shape))
    updates: tuple[Update, ...] = ()
    if training:
        if not eps:
            raise not_positive(who, eps, "")
        n = math.prod(shape) // shape[1] if shape[1] else 2
        if n < 2:
            raise too_few(who, x, n, "value per channel")
        std, var = deviation(x, axes=axes, eps=eps)
        updates = ((running_var, var.array, n / (n - 1)),)
    elif wide_var is None:
        raise RuntimeError(f"{who}: expected running_var when not training")
    else:
        std = per_channel((wide_var + eps).sqrt(), x)
    own = deviation(x, axes=axes[1:], eps=eps)[0]
    y, _ = in_range(_over_larger, (0, 2), x, v, also=(std, own), axes=axes, eps=eps, centred=False)
    return _affine(y, weight, bias).to(dtype), updates


def _over_larger(
    x: Tensor, std: Tensor, own: Tensor, v: Tensor, *, axes: tuple[int, ...], eps: Any,
    centred: bool,
) -> tuple[Tensor, Tensor]:
    """x / max(std, v x + own), and the square of ``own``, each sample's deviation, to be looked at.

    Each deviation was taken in units of its own: in those of a channel, one sample's may vanish
    beside another's.
    """
    return x / std.maximum(per_channel(v, x) * x + own), own.detach().square()


def evonorm_s0(
    input: Tensor, v: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None,
    groups: int = 32, eps: float = 1e-5,
) -> Tensor:
    """x sigmoid(v x) / std of the sample's group of channels (Liu et al. 2020, arXiv:2004.02967,
    Table 2).

    Args:
        input: (N, C, *spatial). groups: must divide C.
        v: (C,), or None: then y = x weight + bias.
        weight, bias: (C,) or None.
    """
    who = "evonorm_s0"
    shape = _check(who, input, eps, v, None, weight, bias)
    if groups < 1 or shape[1] % groups:
        raise does_not_divide(who, "groups", groups, "the channels", shape[1],
                              f"an input of shape {shape}")
    x, v, weight, bias = widened((input, v, weight, bias))
    if v is None:
        return _affine(x, weight, bias).to(input.dtype)
    if not eps:
        raise not_positive(who, eps, "")
    n = shape[1] // groups * math.prod(shape[2:])
    if n < 2 and shape[1]:
        raise too_few(who, input, n, "value per group", "take fewer groups, or a larger input")
    gate = (per_channel(v, x) * x).sigmoid()
    y, _ = in_range(_gated, (0, 2), x, gate, axes=tuple(range(2, len(shape) + 1)), eps=eps,
                    groups=groups)
    return _affine(y, weight, bias).to(input.dtype)


def _gated(
    x: Tensor, gate: Tensor, *, axes: tuple[int, ...], eps: Any, centred: bool,
    groups: int | None = None,
) -> tuple[Tensor, Tensor]:
    """x gate / std of the group, in the shape of x, and the variance of the group."""
    seen = x if groups is None else x.reshape(grouped(x.array.shape, groups))
    var = ops.moments(seen, axes=axes, centred=centred)[2]
    y = seen * gate.reshape(seen.shape) * (var + eps).rsqrt()
    return y.reshape(x.shape), var


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        y = y * per_channel(weight, y)
    return y if bias is None else y + per_channel(bias, y)


def _check(
    who: str, x: Tensor, eps: float, v: Tensor | None, *vectors: Tensor | None
) -> tuple[int, ...]:
    check_input(who, x, eps, *vectors)
    shape = x.array.shape
    if v is not None:
        check_vector(who, "v", x.array, v.array, shape[1:2])
    return shape


class EvoNorm(ChannelNorm):
    """What EvoNormB0 and EvoNormS0 share: v, and the form without v."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        nonlinear: bool, tracked: bool, device: Any, dtype: Any, bias: bool,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, tracked, device, dtype, bias)
        self.nonlinear = nonlinear
        self.v = Parameter(ones(num_features, device=device, dtype=dtype)) if nonlinear else None

    def reset_parameters(self) -> None:
        """v and weight 1, bias 0, and the statistics as at the start."""
        super().reset_parameters()
        if self.v is not None:
            init.ones_(self.v)


class EvoNormB0(EvoNorm):
    """Divide by the batch's deviation, or by one that grows with x: normalization and activation.

    y = x / max(√(Var_batch[x] + eps), v x + √(Var_own[x] + eps)) * weight + bias, Var_batch taken
    over N and all spatial axes, Var_own over the spatial axes of each sample. It replaces a norm
    and the activation after it; nonlinear=False leaves y = x weight + bias, as the paper does
    where no activation follows.
    In training Var_batch is the batch's, and its running average (unbiased) moves; in eval that
    one is used.

    Invariant to: scale of each channel; permutation of samples, channels, positions

    Shape:
        x, y: (N, C, L), (N, C, H, W) or (N, C, D, H, W); v, weight, bias, running_var: (C,)

    Source: Liu, Brock, Simonyan and Le 2020, arXiv:2004.02967, Table 2 and Listing 1.

    >>> import tinygrad_norm as tn
    >>> tn.nn.EvoNormB0(3)(tn.randn(4, 3, 5, 5)).shape
    (4, 3, 5, 5)
    """

    functions = ("evonorm_b0",)
    reduced = "N, *spatial and *spatial"
    dims = (3, 4, 5)
    centred = False
    running_var: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, nonlinear: bool = True, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, nonlinear, nonlinear, device, dtype,
                         bias)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        y, updates = divided_by_batch(x, self.running_var, self.v, self.weight, self.bias,
                                      self.training, self.eps)
        if self.v is None:
            return y
        self.move_or_use(*updates)
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, nonlinear={self.nonlinear}")


class EvoNormS0(EvoNorm):
    """Divide what a gate lets through by the deviation of its group: normalization and activation.

    y = x σ(v x) / √(Var[x] + eps) * weight + bias, σ the sigmoid, Var taken over the C/groups
    channels of a group of a sample and all spatial axes. It replaces a norm and the activation
    after it; nonlinear=False leaves y = x weight + bias. The same in training and eval.

    Invariant to: permutation of samples, positions

    Shape:
        x, y: (N, C, *spatial); v, weight, bias: (C,)

    Source: Liu, Brock, Simonyan and Le 2020, arXiv:2004.02967, Table 2 and Listing 1.

    >>> import tinygrad_norm as tn
    >>> tn.nn.EvoNormS0(6, groups=2)(tn.randn(4, 6, 5, 5)).shape
    (4, 6, 5, 5)
    """

    functions = ("evonorm_s0",)
    reduced = "C/groups, *spatial"
    dims = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, groups: int = 32, eps: float = 1e-5, affine: bool = True,
        nonlinear: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:
        groups = as_count("EvoNormS0", "groups", groups, 1)
        if as_count("EvoNormS0", "num_features", num_features) % groups:
            raise does_not_divide("EvoNormS0", "groups", groups, "num_features", num_features)
        super().__init__(num_features, eps, None, affine, nonlinear, False, device, dtype, bias)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        return evonorm_s0(x, self.v, self.weight, self.bias, self.groups, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_features}, groups={self.groups}, eps={self.eps}, "
                f"affine={self.affine}, bias={self.bias is not None}, nonlinear={self.nonlinear}")
