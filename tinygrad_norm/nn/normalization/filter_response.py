"""Filter response normalization, and the activation with a threshold that goes with it."""

from __future__ import annotations

from typing import Any

from ...errors import ShapeError
from ...ops.rounding import in_float32
from ...tensors.creation import full, zeros
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import another_size, as_count
from .algebra import deviation, per_channel, standardize
from .channel import ChannelNorm
from .checks import check_channels, check_input, check_vector
from .norm import Norm

LEARNED_EPS = 1e-4
"""Where a learned eps starts, in the paper."""


def filter_response_norm(
    input: Tensor, weight: Tensor | None = None, bias: Tensor | None = None,
    tau: Tensor | None = None, learned_eps: Tensor | None = None, eps: float = 1e-6,
) -> Tensor:
    """Divide each channel of each sample by its root mean square, then :func:`tlu` (Singh and
    Krishnan 2019, arXiv:1911.09737, eq. 1 to 3).

    Args:
        input: (N, C, *spatial).
        weight, bias: (C,) or None. tau: (C,), the threshold, or None for none.
        learned_eps: () or None; its absolute value is added to eps.
    """
    who = "filter_response_norm"
    check_input(who, input, eps, weight, bias)
    shape = input.array.shape
    if tau is not None:
        check_vector(who, "tau", input.array, tau.array, shape[1:2])
    if learned_eps is not None:
        check_vector(who, "learned_eps", input.array, learned_eps.array, ())
    if len(shape) == 2:  # one value for each channel is one place
        y = filter_response_norm(input.unsqueeze(-1), weight, bias, tau, learned_eps, eps)
        return y.squeeze(-1)
    return _respond(input, weight, bias, tau, learned_eps, eps=eps)


@in_float32
def _respond(
    x: Tensor, weight: Any, bias: Any, tau: Any, learned_eps: Any, *, eps: float
) -> Tensor:
    weight, bias, tau = (per_channel(value, x) for value in (weight, bias, tau))
    axes = tuple(range(2, x.ndim))
    if learned_eps is None:
        y = standardize(x, weight, bias, axes=axes, eps=eps, centred=False)[0]
    else:
        # √(E[x²] + eps + |ε|), in which E[x²] may be more than the dtype can hold
        rms, _ = deviation(x, axes=axes, eps=eps, centred=False)
        scale = (learned_eps.abs() / rms / rms + 1).rsqrt() / rms
        y = x * (scale if weight is None else scale * weight)
        y = y if bias is None else y + bias
    return y if tau is None else y.maximum(tau)


def tlu(input: Tensor, tau: Tensor) -> Tensor:
    """max(x, τ), a threshold for each channel (Singh and Krishnan 2019, arXiv:1911.09737, eq. 4).

    Args:
        input: (N, C, *spatial). tau: (C,).
    """
    check_input("tlu", input, 0.0)
    check_vector("tlu", "tau", input.array, tau.array, input.array.shape[1:2])
    return _threshold(input, tau)


@in_float32
def _threshold(x: Tensor, tau: Tensor) -> Tensor:
    return x.maximum(per_channel(tau, x))


class TLU(Norm):
    """The thresholded linear unit: y = max(x, τ), with a threshold for each channel.

    A ReLU with learned thresholds, for values that were not centred before. The gradient goes to x
    where x > τ, to τ where x < τ, and by halves where they are equal.

    Invariant to: permutation of samples, channels, positions

    Shape:
        x, y: (N, C, *spatial); tau: (C,)

    Source: Singh and Krishnan 2019, arXiv:1911.09737, eq. 4.

    >>> import tinygrad_norm as tn
    >>> tn.nn.TLU(2)(tn.tensor([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    functions = ("tlu",)
    reduced = "none: an activation"

    def __init__(self, num_features: int, device: Any = None, dtype: Any = None) -> None:
        self.num_features = as_count("TLU", "num_features", num_features)
        self.tau = Parameter(zeros(num_features, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Threshold 0: ReLU."""
        init.zeros_(self.tau)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, Tensor) and x.array.ndim > 1 and x.array.shape[1] != self.num_features:
            cure = another_size("num_features", x.array.shape[1])
            raise ShapeError(f"TLU: expected input (N, {self.num_features}, *spatial), got "
                             f"{x.array.shape}{cure}")
        return tlu(x, self.tau)

    def extra_repr(self) -> str:
        return str(self.num_features)


class FilterResponseNorm(ChannelNorm):
    """What the filter response norms of all dimensions share."""

    functions = ("filter_response_norm",)
    reduced = "*spatial"

    def __init__(
        self, num_features: int, eps: float = 1e-6, affine: bool = True,
        learnable_eps: bool = False, tlu: bool = True, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, None, affine, False, device, dtype, bias)
        options = {"device": device, "dtype": dtype}
        self.tau = Parameter(zeros(num_features, **options)) if tlu else None
        self.learned_eps = (Parameter(full((), LEARNED_EPS, **options)) if learnable_eps else None)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, threshold 0, and the learned eps as the paper starts it."""
        super().reset_parameters()
        if self.tau is not None:
            init.zeros_(self.tau)
        if self.learned_eps is not None:
            init.constant_(self.learned_eps, LEARNED_EPS)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        return filter_response_norm(x, self.weight, self.bias, self.tau, self.learned_eps, self.eps)

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, affine={self.affine}, "
                f"bias={self.bias is not None}, learnable_eps={self.learned_eps is not None}, "
                f"tlu={self.tau is not None}")


class FilterResponseNorm2d(FilterResponseNorm):
    """Divide each channel of each sample by its root mean square, then cut it off at a threshold.

    y = max(x / √(E[x²] + eps) * weight + bias, τ), the mean taken over H, W; nothing is centred.
    The same in training and eval, and for any batch size. learnable_eps adds |ε| to eps, which
    starts at 1e-4: the paper advises it where a channel has one value or few. tlu=False leaves
    the threshold out.

    Invariant to: scale of each instance; permutation of samples, channels, positions

    Shape:
        x, y: (N, C, H, W); weight, bias, tau: (C,); learned_eps: ()

    Source: Singh and Krishnan 2019, arXiv:1911.09737, section 3, eq. 1 to 4.

    >>> import tinygrad_norm as tn
    >>> y = tn.nn.FilterResponseNorm2d(3, tlu=False)(tn.randn(2, 3, 8, 8))
    >>> bool(((y * y).mean((2, 3)) - 1 < 1e-5).all())
    True
    """

    dims = (4,)


class FilterResponseNorm1d(FilterResponseNorm):
    """:class:`FilterResponseNorm2d` for sequences and vectors: the mean is taken over L.

    A channel of a vector has one value, and without learnable_eps only its sign is left.

    Shape:
        x, y: (N, C) or (N, C, L)
    """

    dims = (2, 3)


class FilterResponseNorm3d(FilterResponseNorm):
    """:class:`FilterResponseNorm2d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
