"""Layer normalization and its form without centring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...errors import ShapeError
from ...tensors.creation import ones, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import as_eps, as_int
from .functional import layer_norm, rms_norm
from .norm import Norm


def as_shape(who: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """An int or a sequence of them as a shape."""
    many = normalized_shape if isinstance(normalized_shape, Iterable) else (normalized_shape,)
    shape = tuple(as_int(who, "normalized_shape", n) for n in many)
    if not shape or min(shape) < 1:
        raise ShapeError(f"{who}: expected normalized_shape of positive ints, got {shape}")
    return shape


class LayerNorm(Norm):
    """Normalize each sample over its last axes.

    y = (x - E[x]) / √(Var[x] + eps) * weight + bias, the moments taken over normalized_shape.
    The same in training and eval: nothing depends on the batch.
    Of a single value, normalized_shape 1, the result is the bias, as in PyTorch.

    Invariant to: shift and scale of each sample; permutation of samples, channels

    Shape:
        x, y: (*, *normalized_shape); weight, bias: normalized_shape

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.LayerNorm(50)(tn.randn(4, 50))
    >>> bool((y.mean(-1).abs() < 1e-6).all())
    True
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5,
        elementwise_affine: bool = True, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        eps = as_eps("LayerNorm", eps)
        self.normalized_shape = as_shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        options = {"device": device, "dtype": dtype}
        affine = elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape, **options)) if affine else None
        self.bias = Parameter(zeros(self.normalized_shape, **options)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}")


class RMSNorm(Norm):
    """Divide each sample by its root mean square over the last axes.

    y = x / √(E[x²] + eps) * weight; eps defaults to the machine epsilon of the input's dtype.
    The same in training and eval.

    Invariant to: scale of each sample; permutation of samples, channels

    Shape:
        x, y: (*, *normalized_shape); weight: normalized_shape

    Source: Zhang and Sennrich 2019, arXiv:1910.07467.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.RMSNorm(50)(tn.randn(4, 50))
    >>> bool(((y * y).mean(-1) - 1 < 1e-5).all())
    True
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None,
        elementwise_affine: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        if eps is not None:
            eps = as_eps("RMSNorm", eps)
        self.normalized_shape = as_shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = (Parameter(ones(self.normalized_shape, device=device, dtype=dtype))
                       if elementwise_affine else None)

    def reset_parameters(self) -> None:
        """Weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}")
