"""Normalizations of weights: of their length, of their largest singular value, of their moments.

Each is registered with :mod:`.parametrize`; ``remove_parametrizations`` takes it away again.
"""

from __future__ import annotations

import math

from ... import public
from ...autograd.mode import no_grad, statistics_enabled
from ...errors import DimError, ShapeError
from ...ops.rounding import widened
from ...tensors.random import randn
from ...tensors.shaping import dimension
from ...tensors.tensor import Tensor
from ..checks import as_eps, as_int
from ..module import Buffer, Module
from ..normalization.algebra import standardize
from ..normalization.scale_norm import normalize, unit
from .parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm", "weight_standardization"]

EPS = 1e-12
"""A vector that is shorter is treated as zero, as by :func:`normalize`."""


def _weight(who: str, module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"{who}: Module {type(module).__name__} has no parameter or buffer with "
                         f"name {name!r}")
    return weight


def _others(dim: int, ndim: int) -> tuple[int, ...]:
    """All dimensions but one."""
    return tuple(i for i in range(ndim) if i != dim)


# -- weight normalization ----------------------------------------------------------------------

class _WeightNorm(Module):
    reduced = "each row of v"
    def __init__(self, dim: int | None = 0) -> None:
        self.dim = -1 if dim is None else dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return (unit(widened(v), 2, self._dims(v), EPS) * widened(g)).to(v.array.dtype)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """(its lengths, itself)"""
        g = _lengths(widened(weight), self._dims(weight))
        return (g.reshape(()) if self.dim == -1 else g).to(weight.dtype), weight

    def _dims(self, weight: Tensor) -> tuple[int, ...]:
        if self.dim == -1:
            return tuple(range(weight.array.ndim))
        return _others(self.dim, weight.array.ndim)


def _lengths(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """‖x‖₂, kept as length 1, scaled by the largest value so that no square overflows."""
    if not dims:
        return x.abs()
    if not x.array.size:
        return x.sum(dims, keepdim=True)
    most = x.abs().amax(dims, keepdim=True).clamp(EPS)
    return (x / most).square().sum(dims, keepdim=True).sqrt() * most


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn the length and the direction of a weight apart.

    w = g v/‖v‖, the norm taken over all dimensions but ``dim`` (over all of them for None or -1).
    ``parametrizations.<name>.original0`` is g, ``original1`` is v. The gradient of v is
    perpendicular to v. A v that is zero gives w = 0 (in PyTorch NaN). The second derivative is
    right (that of PyTorch 2.13 is not, for ``dim`` 0 or the last).

    Returns:
        The module itself.

    Invariant to: scale of each row of the weight; permutation of samples

    Source: Salimans and Kingma 2016, arXiv:1602.07868, eq. 2 and 3.

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.utils.parametrizations.weight_norm(tn.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    (40, 1)
    """
    ndim = _weight("weight_norm", module, name).array.ndim
    if dim is not None and not -1 <= dim < ndim:
        raise DimError(f"weight_norm: expected dim None or from -1 to {ndim - 1}, got {dim}")
    return register_parametrization(module, name, _WeightNorm(dim))


# -- spectral normalization --------------------------------------------------------------------

class _SpectralNorm(Module):
    reduced = "all of W"
    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        ndim = weight.array.ndim
        self.dim = dimension("spectral_norm", dim, ndim)
        if as_int("spectral_norm", "n_power_iterations", n_power_iterations) < 1:
            raise ValueError("spectral_norm: expected n_power_iterations to be positive, got "
                             f"{n_power_iterations}")
        self.n_power_iterations = n_power_iterations
        self.eps = as_eps("spectral_norm", eps)
        if ndim < 2:
            return
        matrix = self._matrix(weight.detach())
        self._u, self._v = (
            Buffer(normalize(randn(n, dtype=weight.dtype, device=weight.device), dim=0, eps=eps))
            for n in matrix.shape)
        self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        """(outputs, all else), at least in float32."""
        if self.dim:
            weight = weight.permute(self.dim, *_others(self.dim, weight.array.ndim))
        return widened(weight).flatten(1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        """Turn u and v towards the singular vectors of the largest singular value."""
        with no_grad():
            for _ in range(times):
                self._u.copy_(normalize(matrix @ widened(self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.T @ widened(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.array.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training and statistics_enabled():
            self._iterate(matrix, self.n_power_iterations)
        # copies: the next call changes the buffers while this one's graph may still be in use
        u, v = (widened(x.detach().clone()) for x in (self._u, self._v))
        return (widened(weight) / (u @ (matrix @ v))).to(weight.dtype)

    def right_inverse(self, value: Tensor) -> Tensor:
        """Itself: a weight of largest singular value 1 comes back as it is."""
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, so that the layer is 1-Lipschitz.

    W/σ, σ = uᵀ W v with the singular vectors u, v of the largest one, seen as a matrix with
    ``dim`` as rows (a vector is divided by its length). u and v are buffers: each reading of the
    weight in training takes ``n_power_iterations`` steps of the power method on them, without
    gradient; in eval, and inside ``autograd.keep_statistics()``, they stay. σ carries gradient.

    Returns:
        The module itself.

    Invariant to: scale of the weight; permutation of samples

    Source: Miyato, Kataoka, Koyama and Yoshida 2018, arXiv:1802.05957, Algorithm 1.

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.utils.parametrizations.spectral_norm(tn.nn.Linear(20, 40))
    >>> list(layer.state_dict())[1:]
    ['parametrizations.weight.original', 'parametrizations.weight.0._u', \
'parametrizations.weight.0._v']
    """
    weight = _weight("spectral_norm", module, name)
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim or 0, eps))


# -- weight standardization --------------------------------------------------------------------

class _WeightStandardization(Module):
    reduced = "each row of W"
    def __init__(self, dim: int = 0, eps: float = 1e-5) -> None:
        self.dim = dim
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        ndim = weight.array.ndim
        axes = _others(self.dim % ndim, ndim)
        return standardize(weight, None, None, axes=axes, eps=self.eps)[0]

    def right_inverse(self, value: Tensor) -> Tensor:
        """Itself: a standardized weight comes back as it is, but for eps."""
        return value

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


def weight_standardization(
    module: Module, name: str = "weight", dim: int = 0, eps: float = 1e-5
) -> Module:
    """Give the weights of each output mean 0 and variance 1.

    Ŵᵢ = (Wᵢ - mean Wᵢ) / √(var Wᵢ + eps), the biased moments taken over all dimensions but ``dim``.
    The same in training and eval.

    Returns:
        The module itself.

    Invariant to: shift of each sample and each row of the weight; scale of each row of the weight;
    permutation of samples

    Source: Qiao, Wang, Liu, Shen and Yuille 2019, arXiv:1903.10520, eq. 5 and 6.

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.utils.parametrizations.weight_standardization(tn.nn.Linear(20, 4))
    >>> bool((layer.weight.mean(1).abs() < 1e-6).all())
    True
    """
    shape = _weight("weight_standardization", module, name).array.shape
    axis = dimension("weight_standardization", dim, len(shape))
    if math.prod(shape) <= (shape[axis] if shape else 1):
        raise ShapeError("weight_standardization: expected at least two weights for each output, "
                         f"got shape {shape} with the outputs along dim {dim}")
    if not eps > 0:
        raise ValueError(f"weight_standardization: expected eps > 0, got {eps}")
    return register_parametrization(module, name, _WeightStandardization(dim, eps))


public.publish(globals())
