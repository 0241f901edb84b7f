"""Batch renormalization."""

from __future__ import annotations

from typing import Any, ClassVar

from ...tensors.tensor import Tensor
from .channel import ChannelNorm
from .functional import batch_renorm


class _BatchRenorm(ChannelNorm):
    spread: ClassVar[str] = "running_std"
    running_std: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.01,
        affine: bool = True, rmax: float = 3.0, dmax: float = 5.0, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:
        if rmax < 1 or dmax < 0:
            raise ValueError(f"{type(self).__name__}: expected rmax >= 1 and dmax >= 0, got "
                             f"{rmax} and {dmax}; 1 and 0 give batch normalization")
        super().__init__(num_features, eps, momentum, affine, True, device, dtype, bias)
        self.rmax = rmax
        self.dmax = dmax

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        y = batch_renorm(
            x, self.running_mean, self.running_std, self.weight, self.bias, self.training,
            self.factor() if self.training else 0.0, self.eps, self.rmax, self.dmax,
        )
        self.count()
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, rmax={self.rmax}, dmax={self.dmax}")


class BatchRenorm1d(_BatchRenorm):
    """Batch normalization whose training output agrees with its inference output.

    In training x̂ = (x - μ)/σ r + d with the batch's μ and σ = √(Var + eps);
    r = clip(σ/running_std, 1/rmax, rmax) and d = clip((μ - running_mean)/running_std, ±dmax)
    carry no gradient. Then μ and σ enter their running averages.
    In eval x̂ = (x - running_mean)/running_std. With rmax=1, dmax=0 training is BatchNorm's.

    Shape:
        x, y: (N, C) or (N, C, L); weight, bias, running_mean, running_std: (C,)

    Source: Ioffe 2017, arXiv:1702.03275, Algorithm 1; its schedule ends at rmax 3, dmax 5.

    >>> import tinygrad_norm as tn
    >>> tn.nn.BatchRenorm1d(3)(tn.randn(10, 3)).shape
    (10, 3)
    """

    dims = (2, 3)


class BatchRenorm2d(_BatchRenorm):
    """:class:`BatchRenorm1d` for images.

    Shape:
        x, y: (N, C, H, W)
    """

    dims = (4,)


class BatchRenorm3d(_BatchRenorm):
    """:class:`BatchRenorm1d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
