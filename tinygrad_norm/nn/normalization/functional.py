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

from ...autograd.graph import Variable, wrap
from ...backend.array import array_module
from ...errors import ShapeError, not_a_tensor
from ...tensors.tensor import Tensor
from .core import (
    FLOAT16,
    FLOAT32,
    apply_statistics,
    batch_axes,
    bessel,
    check_count,
    check_input,
    per_channel,
    running_average,
    standardize,
    widened,
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
    c = _channels("batch_norm", input)
    check_input("batch_norm", input, c, eps, running_mean, running_var, weight, bias)
    x = input.array
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: expected running_mean and running_var when not "
                               "training")
        return apply_statistics(input, running_mean, running_var, weight, bias, eps)
    if not eps:
        raise ValueError(f"batch_norm: expected eps > 0 when training, got {eps}")
    n = x.size // x.shape[1] if x.shape[1] else 2
    check_count("batch_norm", input, n, "value per channel")
    y, _, mean, var = standardize(input, per_channel(weight, x), per_channel(bias, x),
                                  axes=batch_axes(x.ndim), eps=eps)
    running_average(running_mean, mean.array, momentum)
    running_average(running_var, var.array, momentum, bessel(n))
    return y


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
    c = _channels("instance_norm", input)
    check_input("instance_norm", input, c, eps, running_mean, running_var, weight, bias)
    x = input.array
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected input (N, C, *spatial), got {x.shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("instance_norm: expected running_mean and running_var when "
                               "use_input_stats is False")
        return apply_statistics(input, running_mean, running_var, weight, bias, eps)
    n = math.prod(x.shape[2:])
    check_count("instance_norm", input, n, "spatial element")
    y, _, mean, var = standardize(input, per_channel(weight, x), per_channel(bias, x),
                                  axes=tuple(range(2, x.ndim)), eps=eps)
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
    check_input("group_norm", input, _channels("group_norm", input), eps, weight, bias)
    shape = input.array.shape
    n, channels, *spatial = shape
    if num_groups < 1 or channels % num_groups:
        raise ShapeError(f"group_norm: num_groups must divide the channels, got {num_groups} "
                         f"groups for an input of shape {shape}")
    grouped = input.reshape(n, num_groups, channels // num_groups, *spatial)
    ones = (1,) * len(spatial)
    affine = [None if v is None else v.reshape(num_groups, channels // num_groups, *ones)
              for v in (weight, bias)]
    y = standardize(grouped, *affine, axes=tuple(range(2, grouped.ndim)), eps=eps)[0]
    return y.reshape(shape)


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None,
    bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:
    """Normalize over the last axes (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

    Args:
        input: (*, *normalized_shape). weight, bias: of the normalized shape, or None.
    """
    axes = _last_axes("layer_norm", input, normalized_shape, eps, weight, bias)
    return standardize(input, weight, bias, axes=axes, eps=eps)[0]


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
    axes = _last_axes("rms_norm", input, normalized_shape, eps or 0.0, weight, None)
    if eps is None:
        eps = float(np.finfo(np.promote_types(input.array.dtype, FLOAT32)).eps)
    return standardize(input, weight, None, axes=axes, eps=eps, centred=False)[0]


def _channels(who: str, x: Tensor) -> tuple[int, ...]:
    """(C,), the shape of what there is one of for each channel; () where x has no channels."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    return x.array.shape[1:2]


def _last_axes(
    who: str, x: Tensor, shape: Sequence[int], eps: float, *affine: Tensor | None
) -> tuple[int, ...]:
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    shape = tuple(shape)
    if not shape or x.array.shape[-len(shape):] != shape:
        inner = ", ".join(map(str, shape))
        raise ShapeError(f"{who}: Given normalized_shape={list(shape)}, expected input "
                         f"(*, {inner}), got {x.array.shape}")
    check_input(who, x, shape, eps, *affine)
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
    c = _channels("batch_renorm", input)
    check_input("batch_renorm", input, c, eps, running_mean, running_std, weight, bias)
    x = input.array
    half = x.dtype == FLOAT16
    given = (input, running_mean, running_std, weight, bias)
    wide, mean, std, weight, bias = widened(*given) if half else given
    if not training:
        y = apply_statistics(wide, mean, std * std, weight, bias, 0.0)
        return y.half() if half else y
    n = x.size // x.shape[1] if x.shape[1] else 2
    check_count("batch_renorm", input, n, "value per channel")
    y, _, new_mean, new_var = standardize(wide, None, None, axes=batch_axes(x.ndim), eps=eps)
    module = array_module(x)
    new_std = module.sqrt(new_var.array + eps)
    old_mean, old_std = (s.array.reshape(new_std.shape) for s in (mean, std))
    r = module.clip(new_std / old_std, 1 / rmax, rmax)
    d = module.clip((new_mean.array - old_mean) / old_std, -dmax, dmax)
    y = y * wrap(Variable.result_class, r) + wrap(Variable.result_class, d)
    if weight is not None:
        y = y * per_channel(weight, x)
    if bias is not None:
        y = y + per_channel(bias, x)
    running_average(running_mean, new_mean.array, momentum)
    running_average(running_std, new_std, momentum)
    return y.half() if half else y
