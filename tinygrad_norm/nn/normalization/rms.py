"""Root mean square normalization: layer normalization without centring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops.rounding import FLOAT32
from ...tensors.creation import ones
from ...tensors.tensor import Parameter, Tensor
from ..checks import as_eps, as_shape
from .algebra import last_axes, standardize
from .checks import as_normalized_shape, check_input
from .norm import Norm


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root mean square over the last axes (Zhang and Sennrich 2019,
    arXiv:1910.07467).

    Args:
        input: (*, *normalized_shape). weight: of the normalized shape, or None.
        eps: by default the machine epsilon of the dtype computed in: float32 for float16.
    """
    if normalized_shape.__class__ is not tuple:
        normalized_shape = as_normalized_shape("rms_norm", normalized_shape)
    check_input("rms_norm", input, eps or 0.0, weight, None, shape=normalized_shape)
    if eps is None:
        eps = float(np.finfo(np.promote_types(input.array.dtype, FLOAT32)).eps)
    return standardize(input, weight, None, axes=last_axes(len(normalized_shape)), eps=eps,
                       centred=False)[0]


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

    functions = ("rms_norm",)
    reduced = "the last k axes"

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

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.normalized_shape}, eps={self.eps}, "
                f"elementwise_affine={self.elementwise_affine}")
