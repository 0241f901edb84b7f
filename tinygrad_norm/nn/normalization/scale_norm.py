"""Division by a vector's length: functional.normalize, and ScaleNorm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...errors import DimError, DtypeError, not_a_tensor
from ...ops.rounding import widened
from ...tensors.arithmetic import where
from ...tensors.creation import full
from ...tensors.shaping import dimension
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import as_eps, as_shape
from .algebra import last_axes
from .checks import as_normalized_shape, check_input, check_vector
from .norm import Norm


def normalize(
    input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12
) -> Tensor:
    """x / max(‖x‖ₚ, eps), the p-norm taken over ``dim``.

    Also where ‖x‖ₚ or its square is more than the dtype can hold. At x = 0 it is 0, with gradient
    dy/eps (which is infinite in float16, for the eps that PyTorch chose). float16 is computed in
    float32.

    Invariant to: scale of each sample; permutation of samples, channels

    Args:
        input: of any shape.
        p: 0 counts the values that are not 0, inf takes the largest.
        dim: one dimension, or several whose values form one vector.
        eps: vectors that are shorter are divided by it. With 0 the result at x = 0 is NaN.
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor("normalize", input)
    array = input.array
    if array.dtype.kind != "f":
        raise DtypeError(f"normalize: expected a floating point input, got {array.dtype}; "
                         "call .float()")
    eps = as_eps("normalize", eps)
    if not p >= 0:
        raise ValueError(f"normalize: expected p >= 0, got {p}")
    many = tuple(dim) if isinstance(dim, Sequence) else (dim,)
    dims = tuple(dimension("normalize", i, array.ndim) for i in many)
    if not dims or len(set(dims)) < len(dims):
        raise DimError(f"normalize: expected each dim once, got {dim}")
    return unit(widened(input), p, dims, eps).to(array.dtype)


def unit(x: Tensor, p: float, dims: tuple[int, ...], eps: float) -> Tensor:
    """x / max(‖x‖ₚ, eps), in the dtype of x.

    With m = max(‖x‖∞, eps) and s = x/m this is s / max(‖s‖ₚ, 1): where ‖x‖∞ > eps, one value of s
    is 1, so the norm is at least 1 and so large at most as there are values; and where it is not,
    m is eps itself. No square overflows, no root is taken of 0. The result does not depend on m,
    so m needs no gradient.
    """
    if not x.array.size:
        return x.clone()
    if not x.array.ndim:
        return unit(x.unsqueeze(-1), p, (-1,), eps).reshape(())
    if not dims:  # each value is a vector
        return unit(x.unsqueeze(-1), p, (-1,), eps).squeeze(-1)
    if p == 0:
        return x / (x.detach() != 0).to(x.dtype).sum(dims, keepdim=True).clamp(eps)
    s = x / x.detach().abs().amax(dims, keepdim=True).clamp(eps)
    if p == math.inf:
        return s / s.abs().amax(dims, keepdim=True).clamp(1.0)
    if p == 2:
        return s / s.square().sum(dims, keepdim=True).clamp(1.0).sqrt()
    return s / _powers(s, p).sum(dims, keepdim=True).clamp(1.0).pow(1 / p)


def _powers(s: Tensor, p: float) -> Tensor:
    """|s|ᵖ; of its derivatives at 0 those are 0 that do not exist."""
    if p % 2 == 0:
        return s.pow(p)
    at_zero = s.detach() == 0
    return where(at_zero, 0.0, where(at_zero, 1.0, s.abs()).pow(p))


def scale_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """weight x / max(‖x‖₂, eps) over the last axes (Nguyen and Salazar 2019, arXiv:1910.05895).

    Args:
        input: (*, *normalized_shape).
        weight: (1,), one length for all; √d for None, d the number of values of a vector.
    """
    who = "scale_norm"
    shape = as_normalized_shape(who, normalized_shape)
    check_input(who, input, eps, shape=shape)
    if weight is not None:
        check_vector(who, "weight", input.array, weight.array, (1,))
    g = math.sqrt(math.prod(shape)) if weight is None else weight
    return (unit(widened(input), 2, last_axes(len(shape)), eps) * g).to(input.array.dtype)


class ScaleNorm(Norm):
    """Give each vector one learned length.

    y = weight x / max(‖x‖₂, eps), the norm taken over normalized_shape. The weight is one value,
    the paper's g; it starts at √d, d the number of values, where y has the size of RMSNorm's.
    With affine=False it stays there. The same in training and eval.

    Invariant to: scale of each sample; permutation of samples, channels

    Shape:
        x, y: (*, *normalized_shape); weight: (1,)

    Source: Nguyen and Salazar 2019, arXiv:1910.05895, eq. 4; eps by a maximum, as in its code.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.ScaleNorm(16)(tn.randn(3, 16))
    >>> bool(((y.square().sum(-1).sqrt() - 4).abs() < 1e-5).all())
    True
    """

    functions = ("scale_norm",)
    reduced = "the last k axes"

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:
        self.normalized_shape = as_shape("ScaleNorm", normalized_shape)
        self.eps = as_eps("ScaleNorm", eps)
        self.affine = affine
        self.weight = (Parameter(full(1, self._start(), dtype=dtype, device=device)) if affine
                       else None)

    def _start(self) -> float:
        return math.sqrt(math.prod(self.normalized_shape))

    def reset_parameters(self) -> None:
        """Weight √d."""
        if self.weight is not None:
            init.constant_(self.weight, self._start())

    def forward(self, x: Tensor) -> Tensor:
        return scale_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, affine={self.affine}"
