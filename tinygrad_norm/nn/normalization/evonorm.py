"""EvoNorm: normalization and activation as one formula, found by a search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import ShapeError, not_a_tensor
from ...ops import normalize as ops
from ...tensors.creation import ones
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import as_count, check_weight, does_not_divide
from .algebra import (
    FLOAT16,
    batch_axes,
    bessel,
    check_count,
    check_input,
    check_vector,
    deviation,
    is_moderate,
    per_channel,
    widened,
)
from .channel import ChannelNorm
from .running import remember


def evonorm_b0(
    input: Tensor, running_var: Tensor | None, v: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: Any = 0.1, eps: float = 1e-5,
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
    who = "evonorm_b0"
    shape = _shape(who, input, eps, v, running_var, weight, bias)
    check_weight(who, momentum)
    half = input.array.dtype == FLOAT16
    given: Any = (input, running_var, v, weight, bias)
    x, var, v, weight, bias = widened(*given) if half else given
    y, n = x, 0
    if v is not None:
        if len(shape) < 3:
            raise ShapeError(f"{who}: expected input (N, C, *spatial), got {shape}")
        _positive(who, eps, training)
        if training:
            n = math.prod(shape) // shape[1] if shape[1] else 2
            check_count(who, input, n, "value per channel")
            std, var = deviation(x, batch_axes(len(shape)), eps)
        elif var is None:
            raise RuntimeError(f"{who}: expected running_var when not training")
        else:
            std = per_channel((var + eps).sqrt(), x)
        own, spread = deviation(x, tuple(range(2, len(shape))), eps)
        x, std, own = in_units(x, batch_axes(len(shape)), eps, spread, std, own)
        y = x / std.maximum(per_channel(v, x) * x + own)
    y = _affine(y, weight, bias)
    if n:
        remember(who, momentum, (running_var, var.array, bessel(n)))
    return y.half() if half else y


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
    shape = _shape(who, input, eps, v, None, weight, bias)
    if groups < 1 or shape[1] % groups:
        raise does_not_divide(who, "groups", groups, "the channels", shape[1],
                              f"an input of shape {shape}")
    half = input.array.dtype == FLOAT16
    given: Any = (input, v, weight, bias)
    x, v, weight, bias = widened(*given) if half else given
    y = x
    if v is not None:
        _positive(who, eps, True)
        each = (shape[0], groups, shape[1] // groups, *shape[2:])
        check_count(who, input, math.prod(each[2:]) if shape[1] else 2, "value per group",
                    "take fewer groups, or a larger input")
        grouped, axes = x.reshape(each), tuple(range(2, len(each)))
        std, var = deviation(grouped, axes, eps)
        gate = (per_channel(v, x) * x).sigmoid().reshape(each)
        grouped, std = in_units(grouped, axes, eps, var, std)
        y = (grouped * gate * (1 / std)).reshape(shape)
    y = _affine(y, weight, bias)
    return y.half() if half else y


@np.errstate(over="ignore", invalid="ignore")
def in_units(
    x: Tensor, axes: tuple[int, ...], eps: float, var: Tensor, *deviations: Tensor
) -> list[Tensor]:
    """x and the deviations that it is divided by, for the same quotients: in powers of two, one
    for each channel or group, in which they can be added and squared; as they are where they can.
    """
    if type(var.array) is np.ndarray and is_moderate(var.array, eps):
        return [x, *deviations]
    unit = ops.unit(x, axes=axes, eps=eps, centred=False)
    return [value * unit for value in (x, *deviations)]


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        y = y * per_channel(weight, y)
    return y if bias is None else y + per_channel(bias, y)


def _positive(who: str, eps: float, training: bool) -> None:
    if training and not eps:
        raise ValueError(f"{who}: expected eps > 0, got {eps}")


def _shape(
    who: str, x: Tensor, eps: float, v: Tensor | None, *vectors: Tensor | None
) -> tuple[int, ...]:
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    shape = x.array.shape
    check_input(who, x, shape[1:2], eps, *vectors)
    if v is not None:
        check_vector(who, "v", x.array, v.array, shape[1:2])
    return shape


class _EvoNorm(ChannelNorm):
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


class EvoNormB0(_EvoNorm):
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
        self.check(x)
        y = evonorm_b0(x, self.running_var, self.v, self.weight, self.bias, self.training,
                       self.factor() if self.training else 0.0, self.eps)
        if not self.training:
            self.warn_unset()
        self.count()
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, nonlinear={self.nonlinear}")


class EvoNormS0(_EvoNorm):
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
        self.check(x)
        return evonorm_s0(x, self.v, self.weight, self.bias, self.groups, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_features}, groups={self.groups}, eps={self.eps}, "
                f"affine={self.affine}, bias={self.bias is not None}, nonlinear={self.nonlinear}")
