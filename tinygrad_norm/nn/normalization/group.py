"""Group normalization."""

from __future__ import annotations

import math
from typing import Any

from ...errors import ShapeError, not_a_tensor
from ...tensors.creation import ones, zeros
from ...tensors.tensor import Parameter, Tensor
from ..checks import LAST, another_size, as_count, as_eps, does_not_divide
from .algebra import standardize
from .checks import check_input, too_few
from .norm import Norm


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each group of channels of each sample (Wu and He 2018, arXiv:1803.08494).

    Args:
        input: (N, C, *spatial). num_groups: must divide C. weight, bias: (C,) or None.
    """
    who = "group_norm"
    check_input(who, input, eps, weight, bias)
    if num_groups.__class__ is not int:
        num_groups = as_count(who, "num_groups", num_groups)
    shape = input.array.shape
    c, *spatial = shape[1:]
    if num_groups < 1 or c % num_groups:
        raise does_not_divide(who, "num_groups", num_groups, "the channels", c,
                              f"an input of shape {shape}")
    group = c // num_groups
    n = group * math.prod(spatial)
    if n < 2 and c:
        raise too_few(who, input, n, "value per group", "take fewer groups, or a larger input")
    plain = weight is None and bias is None
    return standardize(
        input, weight, bias, axes=tuple(range(2, len(shape) + 1)), eps=eps, groups=num_groups,
        beside=None if plain else (num_groups, group) + (1,) * len(spatial))[0]


class GroupNorm(Norm):
    """Normalize each group of channels of each sample.

    y = (x - E[x]) / √(Var[x] + eps) * weight + bias, the moments taken over the C/num_groups
    channels of a group and all spatial axes. The same in training and eval.
    A group of one value is refused: its result would be the bias, whatever the value.
    One group is LayerNorm over (C, *spatial), C groups are InstanceNorm.

    Invariant to: shift and scale of each sample; permutation of samples, positions

    Shape:
        x, y: (N, C, *spatial); weight, bias: (C,)

    Source: Wu and He 2018, arXiv:1803.08494.

    >>> import tinygrad_norm as tn
    >>> tn.nn.GroupNorm(2, 6)(tn.randn(4, 6, 5)).shape
    (4, 6, 5)
    """

    functions = ("group_norm",)
    reduced = "C/groups, *spatial"

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:
        eps = as_eps("GroupNorm", eps)
        num_groups = as_count("GroupNorm", "num_groups", num_groups, 1)
        num_channels = as_count("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise does_not_divide("GroupNorm", "num_groups", num_groups, "num_channels",
                                  num_channels)
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        options = {"device": device, "dtype": dtype}
        self.weight = Parameter(ones(num_channels, **options)) if affine else None
        self.bias = Parameter(zeros(num_channels, **options)) if affine and bias else None

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise not_a_tensor("GroupNorm", x)
        shape = x.array.shape
        if len(shape) < 2 or shape[1] != self.num_channels:
            cure = ("; reshape the input" if len(shape) < 2 else
                    LAST if shape[-1] == self.num_channels else
                    another_size("num_channels", shape[1]))
            raise ShapeError(f"GroupNorm: expected input (N, {self.num_channels}, *), got {shape}"
                             f"{cure}")
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}")
