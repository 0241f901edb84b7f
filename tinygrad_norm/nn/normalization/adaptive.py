"""Norms whose scale and shift come from a second input: AdaIN, FiLM, and any norm with FiLM."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array import check_device
from ...errors import DtypeError, ShapeError, not_a_tensor
from ...ops.rounding import widened
from ...tensors.shaping import dimension
from ...tensors.tensor import Tensor
from ..checks import another_size, as_count, as_eps, as_int
from ..linear import Linear
from ..module import Module
from .algebra import deviation, standardize
from .checks import check_vector, too_few
from .norm import Norm


def adaptive_instance_norm(content: Tensor, style: Tensor, eps: float = 1e-5) -> Tensor:
    """Give each channel of the content the mean and deviation of the style's (Huang and Belongie
    2017, arXiv:1703.06868, eq. 8).

    y = σ(s) (x - μ(x)) / σ(x) + μ(s), σ = √(variance + eps): with the content as style y = x.

    Args:
        content: (N, C, *spatial). style: (N, C, *others), of any spatial sizes.
    """
    _check_pair("adaptive_instance_norm", content, style)
    eps = _positive("adaptive_instance_norm", eps)
    for name, x in (("content", content), ("style", style)):
        n = math.prod(x.array.shape[2:])
        if n < 2:
            raise too_few("adaptive_instance_norm", x, n, f"spatial element of the {name}",
                          "use larger images")
    dtype = content.array.dtype
    content, style = widened((content, style))
    beside = (*content.array.shape[:2], *(1 for _ in content.array.shape[2:]))
    axes = tuple(range(2, style.array.ndim))
    std, mean = deviation(style, axes=axes, eps=eps)[0], style.mean(axes)
    y = standardize(content, std.reshape(beside), mean.reshape(beside),
                    axes=tuple(range(2, content.array.ndim)), eps=eps)[0]
    return y.to(dtype)


def _check_pair(who: str, content: Tensor, style: Tensor) -> None:
    for name, value in (("content", content), ("style", style)):
        if not isinstance(value, Tensor):
            raise not_a_tensor(who, value, name)
        if value.array.ndim < 3:
            raise ShapeError(f"{who}: expected {name} (N, C, *spatial), got {value.array.shape}")
    if content.array.shape[:2] != style.array.shape[:2]:
        raise ShapeError(f"{who}: expected content and style with the same N and C, got "
                         f"{content.array.shape} and {style.array.shape}")
    if content.dtype.kind != "f" or content.dtype != style.dtype:
        raise DtypeError(f"{who}: expected content and style of one floating dtype, got "
                         f"{content.dtype} and {style.dtype}; call .to(dtype)")
    check_device(who, "the content", content.array, "the style", style.array)


def _positive(who: str, eps: float) -> float:
    """At eps = 0 the deviation of a constant style has no gradient."""
    eps = as_eps(who, eps)
    if not eps:
        raise ValueError(f"{who}: expected eps > 0, got {eps}; 1e-5 is the usual one")
    return eps


class AdaIN(Norm):
    """Give each channel of a content image the mean and deviation of a style image's channel.

    y = σ(s) (x - μ(x)) / σ(x) + μ(s), σ = √(variance + eps), the moments taken over the spatial
    axes of each sample. Nothing is learned or remembered: the same in training and eval.

    Invariant to: shift and scale of each instance; permutation of positions

    Shape:
        x, y: (N, C, *spatial); style: (N, C, *others)

    Source: Huang and Belongie 2017, arXiv:1703.06868, eq. 8.

    >>> import tinygrad_norm as tn
    >>> x, style = tn.randn(2, 3, 8, 8), tn.randn(2, 3, 5, 5) * 3 + 7
    >>> y = tn.nn.AdaIN()(x, style)
    >>> bool(((y.mean((2, 3)) - style.mean((2, 3))).abs() < 1e-4).all())
    True
    """

    functions = ("adaptive_instance_norm",)
    reduced = "*spatial"

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = _positive("AdaIN", eps)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return adaptive_instance_norm(x, style, self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


def film(input: Tensor, gamma: Tensor, beta: Tensor, dim: int = 1) -> Tensor:
    """gamma x + beta, a pair for each sample and feature (Perez et al. 2018, arXiv:1709.07871).

    Args:
        input: (N, *) with C features along ``dim``. gamma, beta: (N, C).
    """
    for name, value in (("input", input), ("gamma", gamma), ("beta", beta)):
        if not isinstance(value, Tensor):
            raise not_a_tensor("film", value, name)
    array = input.array
    if array.dtype.kind != "f":
        raise DtypeError(f"film: expected a floating point input, got {array.dtype}; call .float()")
    axis = dimension("film", dim, array.ndim)
    if not axis:
        raise ShapeError(f"film: expected features along another dimension than the samples', got "
                         f"dim {dim} of an input of shape {array.shape}")
    pair = (array.shape[0], array.shape[axis])
    check_vector("film", "gamma", array, gamma.array, pair)
    check_vector("film", "beta", array, beta.array, pair)
    beside = tuple(n if i in (0, axis) else 1 for i, n in enumerate(array.shape))
    y = widened(input) * widened(gamma).reshape(beside) + widened(beta).reshape(beside)
    return y.to(array.dtype)


class FiLM(Norm):
    """Scale and shift each feature by what a linear layer makes of a second input.

    y = γ x + β, (γ - 1, β) = W condition + b: the scale is learned as its difference from 1, the
    first num_features rows of W, the shift as the others. W starts as Linear's, so γ is near 1 and
    β near 0. The same in training and eval.

    Invariant to: permutation of positions

    Shape:
        x, y: (N, *) with num_features along dim; condition: (N, condition_features);
        linear.weight: (2 num_features, condition_features); linear.bias: (2 num_features,)

    Source: Perez, Strub, de Vries, Dumoulin and Courville 2018, arXiv:1709.07871, eq. 2 and §7.2.

    >>> import tinygrad_norm as tn
    >>> tn.nn.FiLM(3, condition_features=5)(tn.randn(2, 3, 8, 8), tn.randn(2, 5)).shape
    (2, 3, 8, 8)
    """

    functions = ("film",)
    reduced = "none"

    def __init__(
        self, num_features: int, condition_features: int, dim: int = 1, device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.num_features = as_count("FiLM", "num_features", num_features, 1)
        self.condition_features = as_count("FiLM", "condition_features", condition_features, 1)
        self.dim = as_int("FiLM", "dim", dim)
        self.linear = Linear(condition_features, 2 * num_features, device=device, dtype=dtype)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        c = self.num_features
        if isinstance(x, Tensor):
            shape = x.array.shape
            size = shape[dimension("FiLM", self.dim, len(shape))]
            if size != c:
                raise ShapeError(f"FiLM: expected input of {c} features along dim {self.dim}, got "
                                 f"{shape}{another_size('num_features', size)}")
        both = self.linear(condition)
        return film(x, both[:, :c] + 1, both[:, c:], self.dim)

    def extra_repr(self) -> str:
        return f"{self.num_features}, {self.condition_features}, dim={self.dim}"


class AdaptiveNorm(Module):
    """A norm whose weight and bias are made of a second input.

    y = γ norm(x) + β, γ and β as in :class:`FiLM`. The norm is one without weight and bias; what
    it does in training and eval is its own. For images the features are the channels, for
    LayerNorm and RMSNorm the last axis: AdaLN of the diffusion transformers.

    Invariant to: the shifts and scales of its norm; permutation of positions

    Shape:
        x, y: those of the norm; condition: (N, condition_features)

    Source: Perez et al. 2018, arXiv:1709.07871; for LayerNorm Peebles and Xie 2023,
    arXiv:2212.09748, §3.2.

    >>> import tinygrad_norm as tn
    >>> norm = tn.nn.AdaptiveNorm(tn.nn.LayerNorm(16, elementwise_affine=False), 5)
    >>> norm(tn.randn(2, 7, 16), tn.randn(2, 5)).shape
    (2, 7, 16)
    """

    reduced = "those of its norm"

    def __init__(
        self, norm: Module, condition_features: int, device: Any = None, dtype: Any = None
    ) -> None:
        features, dim = _features(norm)
        self.norm = norm
        self.film = FiLM(features, condition_features, dim, device, dtype)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.film(self.norm(x), condition)


def _features(norm: Module) -> tuple[int, int]:
    """How many features a norm has, and along which dimension."""
    who = f"AdaptiveNorm({type(norm).__name__})"
    if getattr(norm, "weight", None) is not None or getattr(norm, "bias", None) is not None:
        raise ValueError(f"{who}: expected a norm without weight and bias, which come from the "
                         "second input; make it with affine=False or elementwise_affine=False")
    for name in ("num_features", "num_channels"):
        if isinstance(found := getattr(norm, name, None), int):
            return found, 1
    shape = getattr(norm, "normalized_shape", None)
    if not isinstance(shape, tuple):
        raise TypeError(f"{who}: expected a norm with num_features, num_channels or "
                        "normalized_shape")
    if len(shape) != 1:
        raise ValueError(f"{who}: expected a normalized_shape of one axis, got {shape}")
    return shape[0], -1
