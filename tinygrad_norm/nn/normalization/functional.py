"""The norms as functions. Each says only which axes are reduced and where the affine part varies.

x is (N, C, *spatial) for the first three, (*, *normalized_shape) for the last two.

    function        reduced axes                 weight and bias    statistics are kept
    batch_norm      N, *spatial                  (C,)               yes
    instance_norm   *spatial                     (C,)               if asked for
    group_norm      C/groups, *spatial           (C,)               no
    layer_norm      the last k                   normalized_shape   no
    rms_norm        the last k, not centred      normalized_shape   no
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.graph import Variable, tick, wrap
from ...autograd.mode import STATISTICS, flags
from ...backend.array import array_module
from ...errors import DtypeError, ShapeError
from ...ops.normalize import normalize
from ...tensors.tensor import Tensor

FLOAT16 = np.dtype("float16")


def standardize(
    who: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, *,
    axes: tuple[int, ...], eps: float, centred: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(y, xc, mean, var): the core of every norm, float16 computed in float32.

    Raises:
        DtypeError: x is no float, or the affine part has another dtype.
    """
    dtype = x.array.dtype
    if dtype.kind != "f":
        raise DtypeError(f"{who}: expected a floating point input, got {dtype}; call .float()")
    for other in (weight, bias):
        if other is not None and other.array.dtype is not dtype and other.array.dtype != dtype:
            raise DtypeError(f"{who}: the input is {dtype}, weight or bias {other.array.dtype}; "
                             "bring them to one dtype with .to(dtype)")
    if dtype != FLOAT16:
        return normalize(x, weight, bias, axes=axes, eps=eps, centred=centred)
    wide = [None if v is None else v.float() for v in (x, weight, bias)]
    y, xc, mean, var = normalize(*wide, axes=axes, eps=eps, centred=centred)
    return y.half(), xc, mean, var


def per_channel(value: Any, x: Any) -> Any:
    """A (C,) tensor or array shaped to stand beside x (N, C, *spatial)."""
    if value is None or x.ndim == 2:
        return value
    return value.reshape((-1,) + (1,) * (x.ndim - 2))


def running_average(buffer: Tensor | None, value: Any, momentum: Any, factor: float = 1.0) -> None:
    """buffer = (1 - momentum) buffer + momentum factor value, in place.

    Nothing happens inside ``autograd.keep_statistics()``.
    """
    if buffer is not None and flags.get() & STATISTICS:
        array = buffer.array
        array *= 1 - momentum
        array += value.reshape(-1) * (momentum * factor)
        buffer.written[0] = tick()


def bessel(n: int) -> float:
    """From the variance of a sample of n to the unbiased estimate of its population's."""
    return n / (n - 1)


def check_channels(who: str, x: Tensor, *vectors: Tensor | None) -> None:
    """Each of running_mean, running_…, weight, bias must have a value for each channel of x.

    Raises:
        ShapeError: naming the one that has not.
    """
    expected = x.array.shape[1:2]
    for i, vector in enumerate(vectors):
        if vector is not None and vector.array.shape != expected:
            name = ("running_mean", "the running spread", "weight", "bias")[i - len(vectors)]
            raise ShapeError(f"{who}: expected {name} of shape {expected} for an input of shape "
                             f"{x.array.shape}, got {vector.array.shape}")


def batch_axes(ndim: int) -> tuple[int, ...]:
    """All axes of (N, C, *spatial) but the channel's."""
    return (0,) if ndim == 2 else (0, *range(2, ndim))


def check_count(who: str, x: Tensor, n: int, what: str) -> None:
    """Statistics need two values at least.

    Raises:
        ValueError: with the ways out.
    """
    if n < 2:
        raise ValueError(
            f"{who}: Expected more than 1 {what} when training, got input size {x.array.shape}, "
            f"which has {n}; use a larger batch (DataLoader(drop_last=True)), eval(), or a norm "
            "that does not depend on the batch: GroupNorm, LayerNorm"
        )


def batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
    momentum: Any = 0.1, eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167, Alg. 1).

    Args:
        input: (N, C, *spatial).
        running_mean, running_var: (C,) or None; updated in place when ``training``, the variance
            with its unbiased estimate; used instead of the batch's when not.
        weight, bias: (C,) or None.
        momentum: the weight of the new value in the running averages.
    """
    check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    x = input.array
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: expected running_mean and running_var when not training")
        return apply_statistics("batch_norm", input, running_mean, running_var, weight, bias, eps)
    n = x.size // x.shape[1] if x.shape[1] else 2
    check_count("batch_norm", input, n, "value per channel")
    y, _, mean, var = standardize("batch_norm", input, per_channel(weight, x),
                                  per_channel(bias, x), axes=batch_axes(x.ndim), eps=eps)
    running_average(running_mean, mean.array, momentum)
    running_average(running_var, var.array, momentum, bessel(n))
    return y


def apply_statistics(
    who: str, x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float
) -> Tensor:
    """y = (x - mean) / √(var + eps) weight + bias, with statistics that are given.

    The mean is subtracted first: folded into the bias it would cost the digits of a large offset.
    """
    dtype = x.array.dtype
    if dtype == FLOAT16:
        x, mean, var, weight, bias = (
            None if v is None else v.float() for v in (x, mean, var, weight, bias))
        return apply_statistics(who, x, mean, var, weight, bias, eps).half()
    for other in (mean, var, weight, bias):
        if other is not None and other.array.dtype != dtype:
            raise DtypeError(f"{who}: the input is {dtype}, its statistics or affine part "
                             f"{other.array.dtype}; bring them to one dtype with .to(dtype)")
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    y = (x - per_channel(mean, x)) * per_channel(scale, x)
    return y if bias is None else y + per_channel(bias, x)


def instance_norm(
    input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
    momentum: Any = 0.1, eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample (Ulyanov et al. 2016, arXiv:1607.08022).

    Args:
        input: (N, C, *spatial) with at least one spatial axis.
        running_mean, running_var: (C,) or None; updated with the means over the samples.
        use_input_stats: normalize with the sample's own statistics, not the running ones.
        Else as :func:`batch_norm`.
    """
    check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    x = input.array
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected input (N, C, *spatial), got {x.shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm: expected running_mean and running_var when "
                             "use_input_stats is False")
        return apply_statistics("instance_norm", input, running_mean, running_var, weight, bias,
                                eps)
    n = math.prod(x.shape[2:])
    check_count("instance_norm", input, n, "spatial element")
    y, _, mean, var = standardize("instance_norm", input, per_channel(weight, x),
                                  per_channel(bias, x), axes=tuple(range(2, x.ndim)), eps=eps)
    if x.shape[0]:
        running_average(running_mean, mean.array.mean(axis=0), momentum)
        running_average(running_var, var.array.mean(axis=0), momentum, bessel(n))
    return y


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each group of channels of each sample (Wu and He 2018, arXiv:1803.08494).

    Args:
        input: (N, C, *spatial). num_groups: must divide C. weight, bias: (C,) or None.
    """
    shape = input.array.shape
    if len(shape) < 2:
        raise ShapeError(f"group_norm: expected input (N, C, *spatial), got {shape}")
    n, channels, *spatial = shape
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(f"group_norm: num_groups must divide the channels, got {num_groups} "
                         f"groups for an input of shape {shape}")
    check_channels("group_norm", input, weight, bias)
    grouped = input.reshape(n, num_groups, channels // num_groups, *spatial)
    ones = (1,) * len(spatial)
    affine = [None if v is None else v.reshape(num_groups, channels // num_groups, *ones)
              for v in (weight, bias)]
    y = standardize("group_norm", grouped, *affine, axes=tuple(range(2, grouped.ndim)), eps=eps)[0]
    return y.reshape(shape)


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:
    """Normalize over the last axes (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Args:
        input: (*, *normalized_shape). weight, bias: of the normalized shape, or None.
    """
    axes = _last_axes("layer_norm", input, normalized_shape, weight, bias)
    return standardize("layer_norm", input, weight, bias, axes=axes, eps=eps)[0]


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root mean square over the last axes (Zhang and Sennrich 2019,
    arXiv:1910.07467).

    Args:
        input: (*, *normalized_shape). weight: of the normalized shape, or None.
        eps: by default the machine epsilon of the input's dtype.
    """
    axes = _last_axes("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        eps = float(np.finfo(input.array.dtype).eps)
    return standardize("rms_norm", input, weight, None, axes=axes, eps=eps, centred=False)[0]


def _last_axes(
    who: str, x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None
) -> tuple[int, ...]:
    shape = tuple(shape)
    if not shape or x.array.shape[-len(shape):] != shape:
        inner = ", ".join(map(str, shape))
        raise ShapeError(f"{who}: Given normalized_shape={list(shape)}, expected input "
                         f"(*, {inner}), got {x.array.shape}")
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and value.array.shape != shape:
            raise ShapeError(f"{who}: expected {name} of shape {shape}, got {value.array.shape}")
    if not math.prod(shape):
        raise ShapeError(f"{who}: expected at least one value to normalize over, got "
                         f"normalized_shape={list(shape)}")
    return tuple(range(-len(shape), 0))


def batch_renorm(
    input: Tensor, running_mean: Any, running_std: Any, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.01,
    eps: float = 1e-5, rmax: float = 3.0, dmax: float = 5.0,
) -> Tensor:
    """Batch normalization corrected towards the running statistics (Ioffe 2017,
    arXiv:1702.03275, Algorithm 1).

    With σ = √(var + eps) of the batch:  x̂ = (x - mean)/σ r + d,
    r = clip(σ/running_std, 1/rmax, rmax), d = clip((mean - running_mean)/running_std, -dmax, dmax),
    both without gradient. The paper averages σ, not the variance; eps is in it once and for all.

    Args:
        input: (N, C, *spatial). running_mean, running_std, weight, bias: (C,).
        momentum: the weight of the new value (the paper's α).
    """
    check_channels("batch_renorm", input, running_mean, running_std, weight, bias)
    x = input.array
    if not training:
        return apply_statistics("batch_renorm", input, running_mean,
                                running_std * running_std, weight, bias, 0.0)
    n = x.size // x.shape[1] if x.shape[1] else 2
    check_count("batch_renorm", input, n, "value per channel")
    y, _, mean, var = standardize("batch_renorm", input, None, None,
                                  axes=batch_axes(x.ndim), eps=eps)
    module = array_module(x)
    std = module.sqrt(var.array + eps)
    old_mean, old_std = (b.array.astype(std.dtype, copy=False).reshape(std.shape)
                         for b in (running_mean, running_std))
    r = module.clip(std / old_std, 1 / rmax, rmax).astype(x.dtype)
    d = module.clip((mean.array - old_mean) / old_std, -dmax, dmax).astype(x.dtype)
    y = y * wrap(Variable.result_class, r) + wrap(Variable.result_class, d)
    if weight is not None:
        y = y * per_channel(weight, x)
    if bias is not None:
        y = y + per_channel(bias, x)
    running_average(running_mean, mean.array, momentum)
    running_average(running_std, std, momentum)
    return y
