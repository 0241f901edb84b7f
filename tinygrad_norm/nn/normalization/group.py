"""Group normalization."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError, not_a_tensor
from ...tensors.creation import ones, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import LAST, another_size, as_count, as_eps, does_not_divide
from .functional import group_norm
from .norm import Norm


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

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

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
