"""Activations: each a function, and under the same formula a layer.

``inplace`` is accepted where PyTorch has it and changes nothing: the result is a new tensor, so
a value that some gradient needs is never overwritten.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd.graph import Value
from ..kinds import outside
from ..ops import activation as ops
from ..ops import elementwise
from ..ops.choice import where
from ..tensors.tensor import Tensor
from .module import Module

# -- functions ---------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)"""
    return elementwise.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope x"""
    return ops.leaky_relu(input, slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha (eˣ - 1)"""
    return ops.elu(input, alpha=alpha)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution; ``approximate="tanh"`` takes Φ by tanh."""
    if approximate == "none":
        return ops.gelu(input)
    if approximate != "tanh":
        raise RuntimeError(f"gelu: expected approximate none or tanh, got {approximate!r}")
    return ops.gelu_tanh(input)[0]


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)"""
    return ops.silu(input)[0]


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta x)) / beta; x itself where beta x > threshold"""
    scaled = input * beta
    return where(scaled > threshold, input, elementwise.softplus(scaled) / beta)


def tanh(input: Tensor) -> Tensor:
    """tanh x"""
    return elementwise.tanh(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)"""
    return elementwise.sigmoid(input)


def softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """eˣ / Σ eˣ over ``dim``; ``dtype`` is cast to first."""
    return input.softmax(_class_dim("softmax", input) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype: Any = None) -> Tensor:
    """x - ln Σ eˣ over ``dim``; ``dtype`` is cast to first."""
    return input.log_softmax(_class_dim("log_softmax", input) if dim is None else dim, dtype)


def _class_dim(who: str, x: Value) -> int:
    """The dimension PyTorch takes when none is given."""
    dim = 0 if x.array.ndim in (0, 1, 3) else 1
    warnings.warn(f"{who}: dim was left out and {dim} is taken for {x.array.ndim} dimensions; "
                  "pass dim", stacklevel=outside())
    return dim


# -- layers --------------------------------------------------------------------------------------


class Activation(Module):
    """Base of the layers without parameters; their repr shows the arguments."""

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items()
                         if name[0] != "_" and name != "training")


class ReLU(Activation):
    """y = max(x, 0). The gradient at 0 is 0."""

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        return elementwise.relu(input)


class LeakyReLU(Activation):
    """y = x where x > 0, else negative_slope x. The gradient at 0 is negative_slope."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return ops.leaky_relu(input, slope=self.negative_slope)


class ELU(Activation):
    """y = x where x > 0, else alpha (eˣ - 1).

    Source: Clevert, Unterthiner and Hochreiter 2015, arXiv:1511.07289.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return ops.elu(input, alpha=self.alpha)


class GELU(Activation):
    """y = x Φ(x), Φ the normal distribution; with tanh, y = x (1 + tanh(√(2/π)(x + a x³))) / 2.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2; a = 0.044715.
    """

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise RuntimeError(f"GELU: expected approximate none or tanh, got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, self.approximate)


class SiLU(Activation):
    """y = x sigmoid(x).

    Source: Elfwing, Uchibe and Doya 2017, arXiv:1702.03118.
    """

    def __init__(self, inplace: bool = False) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        return silu(input)


class Softplus(Activation):
    """y = ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        if beta == 0:
            raise ValueError("Softplus: expected beta other than 0; it divides")
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)


class Tanh(Activation):
    """y = tanh x"""

    def forward(self, input: Tensor) -> Tensor:
        return elementwise.tanh(input)


class Sigmoid(Activation):
    """y = 1 / (1 + e⁻ˣ)"""

    def forward(self, input: Tensor) -> Tensor:
        return elementwise.sigmoid(input)


class Softmax(Activation):
    """yᵢ = e^xᵢ / Σ e^xⱼ over ``dim``."""

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)


class LogSoftmax(Activation):
    """yᵢ = xᵢ - ln Σ e^xⱼ over ``dim``."""

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)
