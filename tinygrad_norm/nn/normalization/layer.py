"""Layer normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tensors.creation import ones, zeros
from ...tensors.tensor import Parameter, Tensor
from ..checks import as_eps, as_shape
from .algebra import last_axes, standardize
from .checks import as_normalized_shape, check_input
from .norm import Norm


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:
    """Normalize over the last axes (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Args:
        input: (*, *normalized_shape). weight, bias: of the normalized shape, or None.
    """
    if normalized_shape.__class__ is not tuple:
        normalized_shape = as_normalized_shape("layer_norm", normalized_shape)
    check_input("layer_norm", input, eps, weight, bias, shape=normalized_shape)
    return standardize(input, weight, bias, axes=last_axes(len(normalized_shape)), eps=eps)[0]


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

    functions = ("layer_norm",)
    reduced = "the last k axes"

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

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}")
