"""Initial values, written into a tensor in place. All devices start equal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import public
from ..autograd.graph import tick
from ..backend.array import CPU, to_device
from ..backend.random import draw
from ..errors import ShapeError
from ..tensors.numbers import fitted
from ..tensors.random import Generator, source
from ..tensors.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_",
    "ones_", "orthogonal_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_",
    "zeros_",
]  # fmt: skip

GAINS = {
    "linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0,
    "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    Source: He et al. 2015 (arXiv:1502.01852), section 2.2; tanh and selu as PyTorch has them.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(f"calculate_gain: expected one of {', '.join(GAINS)}, leaky_relu; "
                         f"got {nonlinearity!r}")
    return GAINS[nonlinearity]


def _write(tensor: Tensor, values: Any) -> Tensor:
    """NumPy's ``values`` into ``tensor``, wherever this is."""
    array = np.asarray(values, dtype=tensor.dtype)
    tensor.array[...] = to_device(np.broadcast_to(array, tensor.shape).copy(), tensor.device)
    tensor.written[0] = tick()
    return tensor


def _draw(tensor: Tensor, generator: Generator | None, law: str, *arguments: Any) -> Tensor:
    """Random numbers into ``tensor``, drawn for its device."""
    tensor.array[...] = draw(source(generator), law, *arguments, tensor.shape,
                             device=tensor.device, dtype=tensor.dtype)
    tensor.written[0] = tick()
    return tensor


def _numbers(generator: Generator | None, law: str, *arguments: Any) -> np.ndarray:
    """Random numbers in float64 to compute initial values with, on the cpu."""
    return draw(source(generator), law, *arguments, device=CPU, dtype="float64")


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan in, fan out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ShapeError(f"fan in and fan out need at least 2 dimensions, got {tensor.shape}")
    kernel = math.prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0,
             generator: Generator | None = None) -> Tensor:
    """Uniform on [a, b)."""
    return _draw(tensor, generator, "uniform", a, b)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0,
            generator: Generator | None = None) -> Tensor:
    """Normal."""
    return _draw(tensor, generator, "normal", mean, std)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0,
                  b: float = 2.0, generator: Generator | None = None) -> Tensor:
    """Normal within [a, b]: drawn again where it falls outside.

    Where [a, b] holds little of the normal's mass, uniform numbers are drawn instead and kept
    with the density's probability (Robert 1995, Statistics and Computing 5).
    """
    if not a < b:
        raise ValueError(f"trunc_normal_: expected a < b, got {a} and {b}")
    low, high = (a - mean) / std, (b - mean) / std
    mass = math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))  # twice the mass
    top = min(max(low, 0.0), high)  # where the density is largest
    values = np.empty(math.prod(tensor.shape))
    missing = np.arange(values.size)
    while missing.size:
        if mass > 0.2:
            drawn = _numbers(generator, "standard_normal", missing.size)
            good = (drawn >= low) & (drawn <= high)
        else:
            ends = max(low, top - 9), min(high, top + 9)
            drawn = _numbers(generator, "uniform", *ends, missing.size)
            good = _numbers(generator, "random", missing.size) <= np.exp(
                (top * top - drawn * drawn) / 2)
        values[missing[good]] = drawn[good]
        missing = missing[~good]
    return _write(tensor, np.clip(values * std + mean, a, b).reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """``val`` everywhere."""
    return _write(tensor, fitted("constant_", val, tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return _write(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return _write(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: expected 2 dimensions, got {tensor.shape}")
    return _write(tensor, np.eye(tensor.shape[0], tensor.shape[1]))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0,
                    generator: Generator | None = None) -> Tensor:
    """Uniform with variance 2 gain² / (fan in + fan out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0,
                   generator: Generator | None = None) -> Tensor:
    """Normal with variance 2 gain² / (fan in + fan out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0, gain * math.sqrt(2 / max(sum(fans(tensor)), 1)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"expected mode fan_in or fan_out, got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in",
                     nonlinearity: str = "leaky_relu",
                     generator: Generator | None = None) -> Tensor:
    """Uniform with variance gain² / fan (He et al. 2015, arXiv:1502.01852)."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in",
                    nonlinearity: str = "leaky_relu",
                    generator: Generator | None = None) -> Tensor:
    """Normal with variance gain² / fan (He et al. 2015, arXiv:1502.01852)."""
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Orthonormal rows or columns, times ``gain`` (Saxe et al. 2013, arXiv:1312.6120)."""
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least 2 dimensions, got {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = _numbers(generator, "standard_normal", (max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))
    return _write(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


public.publish(globals())
