"""The affine layer, and two that only change a shape or nothing."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError, not_a_tensor
from ..ops.linalg import linear as linear_op
from ..tensors.creation import zeros
from ..tensors.shaping import dimension
from ..tensors.tensor import Parameter, Tensor
from . import init
from .checks import as_int
from .lazy import LazyModuleMixin
from .module import Module


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b: x (*, in), weight (out, in), bias (out,); for a weight (in,) the result is (*,)."""
    if not isinstance(input, Tensor):
        raise not_a_tensor("linear", input)
    columns = weight.array.shape[-1:]
    if weight.array.ndim not in (1, 2) or input.array.shape[-1:] != columns:
        raise ShapeError(f"linear: expected input (*, in) and weight (out, in), got "
                         f"{input.array.shape} and {weight.array.shape}")
    if bias is not None and bias.array.shape != weight.array.shape[:-1]:
        raise ShapeError(f"linear: expected bias {weight.array.shape[:-1]} for weight "
                         f"{weight.array.shape}, got {bias.array.shape}")
    if weight.array.ndim == 2:
        return linear_op(input, weight, bias)
    y = input @ weight
    return y if bias is None else y + bias


class Linear(Module):
    """y = x Wᵀ + b.

    Weights and bias start uniform on ±1/√in_features, as PyTorch's.

    Shape:
        x: (*, in_features); y: (*, out_features)
        weight: (out_features, in_features); bias: (out_features,)

    >>> import tinygrad_norm as tn
    >>> tn.nn.Linear(3, 2)(tn.zeros(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(zeros(out_features, in_features, device=device, dtype=dtype))
        self.bias = Parameter(zeros(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise not_a_tensor("Linear", x)
        if x.array.shape[-1:] != (self.in_features,):
            raise ShapeError(
                f"Linear: expected input (*, {self.in_features}), got {tuple(x.shape)}")
        return linear_op(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, out_features={self.out_features}, "
                f"bias={self.bias is not None}")


class LazyLinear(LazyModuleMixin, Linear):
    """:class:`Linear` with in_features from the first input, after which it is a ``Linear``.

    A state dict tells it too. The weights are drawn then, so later than those of other layers.

    >>> import tinygrad_norm as tn
    >>> layer = tn.nn.LazyLinear(2)
    >>> layer(tn.zeros(5, 3)).shape
    (5, 2)
    >>> layer
    Linear(in_features=3, out_features=2, bias=True)
    """

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(0, 0, bias, device, dtype)
        self.out_features = out_features
        self.wait()

    def size_of(self, input: Any) -> int:
        if not isinstance(input, Tensor):
            raise not_a_tensor(type(self).__name__, input)
        if not input.array.ndim:
            raise ShapeError(f"{type(self).__name__}: expected input (*, in_features), got (); "
                             "the last axis tells in_features")
        return int(input.array.shape[-1])

    def size_in(self, name: str, shape: tuple[int, ...]) -> int | None:
        return shape[1] if name == "weight" and len(shape) == 2 else None

    def resize(self, size: int) -> dict[str, tuple[int, ...]]:
        self.in_features = size
        return {"weight": (self.out_features, size), "bias": (self.out_features,)}


class Identity(Module):
    """y = x, whatever the constructor is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        return x


class Flatten(Module):
    """The dimensions from ``start_dim`` to ``end_dim`` as one.

    Shape:
        x: (N, *); y: (N, product of *)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several: the way back from :class:`Flatten`.

    Shape:
        x: (*, n, *) with n at ``dim``; y: (*, *unflattened_size, *); one of the sizes may be -1

    >>> import tinygrad_norm as tn
    >>> tn.nn.Unflatten(1, (2, 3))(tn.zeros(4, 6)).shape
    (4, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        self.dim = as_int("Unflatten", "dim", dim)
        if not isinstance(unflattened_size, tuple | list):
            raise TypeError("Unflatten: expected unflattened_size to be a tuple of ints, got "
                            f"{unflattened_size!r}")
        self.unflattened_size = tuple(
            as_int("Unflatten", "each size", n) for n in unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor):
            raise not_a_tensor("Unflatten", x)
        shape, sizes = x.array.shape, self.unflattened_size
        dim = dimension("Unflatten", self.dim, len(shape))
        known = math.prod(n for n in sizes if n != -1)
        fits = shape and min(sizes, default=-1) >= -1 and sizes.count(-1) <= 1 and (
            known and shape[dim] % known == 0 if -1 in sizes else shape[dim] == known)
        if not sizes or not fits:
            raise ShapeError(f"Unflatten: expected dimension {self.dim} of size "
                             f"{' x '.join(map(str, sizes))}, got input {shape}")
        return x.reshape(*shape[:dim], *sizes, *shape[dim + 1:])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
