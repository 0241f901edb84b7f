"""Dynamic tanh: what is left of a norm without its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ops.rounding import widened
from ...tensors.creation import full, ones, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import as_shape, is_number
from .checks import as_normalized_shape, check_input, check_vector
from .norm import Norm


def dyt(
    input: Tensor, normalized_shape: Sequence[int], alpha: Tensor, weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """weight tanh(alpha x) + bias (Zhu, Chen, He, LeCun and Liu 2025, arXiv:2503.10622).

    Args:
        input: (*, *normalized_shape). alpha: (1,). weight, bias: of normalized_shape, or None.
    """
    shape = as_normalized_shape("dyt", normalized_shape)
    check_input("dyt", input, 0.0, weight, bias, shape=shape)
    check_vector("dyt", "alpha", input.array, alpha.array, (1,))
    y = (widened(input) * alpha).tanh()
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.to(input.array.dtype)


class DyT(Norm):
    """The norm-free contrast: a tanh in the place of LayerNorm, element by element.

    y = weight tanh(alpha x) + bias. No mean, no variance, no axis along which values meet: this
    is not a normalization. It stands here to be compared with those that are.
    The same in training and eval. alpha is one learned value for all elements.

    Invariant to: permutation of samples, channels

    Shape:
        x, y: (*, *normalized_shape); weight, bias: normalized_shape; alpha: (1,)

    Source: Zhu, Chen, He, LeCun and Liu 2025, arXiv:2503.10622, §4 (γ and β there).

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.DyT(8)(tn.randn(4, 8) * 100)
    >>> bool((y.abs() <= 1).all())
    True
    """

    functions = ("dyt",)
    reduced = "none: no normalization"

    def __init__(
        self, normalized_shape: int | Sequence[int], alpha_init_value: float = 0.5,
        elementwise_affine: bool = True, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:
        self.normalized_shape = as_shape("DyT", normalized_shape)
        if not is_number(alpha_init_value):
            raise TypeError("DyT: expected alpha_init_value to be a number, got "
                            f"{alpha_init_value!r}; 0.5 is the usual one")
        self.alpha_init_value = float(alpha_init_value)
        self.elementwise_affine = elementwise_affine
        options = {"device": device, "dtype": dtype}
        affine = elementwise_affine
        self.alpha = Parameter(full(1, self.alpha_init_value, **options))
        self.weight = Parameter(ones(self.normalized_shape, **options)) if affine else None
        self.bias = Parameter(zeros(self.normalized_shape, **options)) if affine and bias else None

    def reset_parameters(self) -> None:
        """alpha as it was given, weight 1, bias 0."""
        init.constant_(self.alpha, self.alpha_init_value)
        super().reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return dyt(x, self.normalized_shape, self.alpha, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, alpha_init_value={self.alpha_init_value}, "
                f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}")
