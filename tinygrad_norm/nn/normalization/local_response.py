"""Local response normalization: each channel against its neighbours."""

from __future__ import annotations

from ...errors import DtypeError, ShapeError, not_a_tensor
from ...ops.shape import put
from ...tensors.tensor import Tensor
from ..checks import as_count
from .norm import Norm


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide each value by a power of the mean square of the channels about it (Krizhevsky,
    Sutskever and Hinton 2012, §3.3).

    y_c = x_c / (k + alpha/size Σ x_j²)^beta, j = c - size//2, …, c + (size-1)//2. As in PyTorch
    alpha is divided by size, also at the border, where the channels that are not there count as 0.

    Args:
        input: (N, C, *spatial) with at least one spatial axis.
        size: the number of neighbouring channels.
        alpha, beta, k: the paper took size 5, alpha 5e-4, beta 0.75, k 2.
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor("local_response_norm", input)
    array = input.array
    if array.ndim < 3:
        raise ShapeError("local_response_norm: Expected 3D or higher dimensionality input "
                         f"(N, C, *spatial), got {array.shape}")
    if array.dtype.kind != "f":
        raise DtypeError("local_response_norm: expected a floating point input, got "
                         f"{array.dtype}; call .float()")
    as_count("local_response_norm", "size", size, 1)
    wide = _wider(input)
    mean_square = _window_sum(wide.square(), size // 2, (size - 1) // 2) / size
    return (wide / (mean_square * alpha + k).pow(beta)).to(array.dtype)


def _wider(x: Tensor) -> Tensor:
    """In the next wider dtype: squares of what fits into x fit into it."""
    return x.float() if x.array.dtype.itemsize == 2 else x.double()


def _window_sum(x: Tensor, before: int, after: int) -> Tensor:
    """Σ of the channels from c - before to c + after, for each channel c.

    A sum of shifted copies: differences of running sums would lose the digits of the small ones.
    """
    n, channels, *spatial = x.array.shape
    before, after = min(before, channels), min(after, channels)
    inner = (slice(None), slice(before, before + channels))
    padded = put(x, indices=(inner,), shape=(n, before + channels + after, *spatial))
    total = padded[:, :channels]
    for i in range(1, before + after + 1):
        total = total + padded[:, i : i + channels]
    return total


class LocalResponseNorm(Norm):
    """Divide each value by a power of the mean square of the channels about it.

    y_c = x_c / (k + alpha/size Σ x_j²)^beta, j = c - size//2, …, c + (size-1)//2.
    The same in training and eval; nothing is learned. Channels beyond the border count as 0.

    Invariant to: permutation of samples, positions

    Shape:
        x, y: (N, C, *spatial) with at least one spatial axis

    Source: Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification with Deep Convolutional
    Neural Networks, §3.3; there alpha is not divided by size.

    >>> import tinygrad_norm as tn
    >>> tn.nn.LocalResponseNorm(5)(tn.randn(2, 8, 4, 4)).shape
    (2, 8, 4, 4)
    """

    functions = ("local_response_norm",)
    reduced = "size channels about c"

    def __init__(
        self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> None:
        self.size = as_count("LocalResponseNorm", "size", size, 1)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
