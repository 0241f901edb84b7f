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

from ...errors import ShapeError, not_a_tensor
from ...tensors.tensor import Tensor
from ..checks import as_count, check_weight, does_not_divide
from .algebra import (
    FLOAT32,
    apply_statistics,
    bessel,
    check_count,
    check_input,
    per_channel,
    standardize,
)
from .running import remember
from .shards import standardize_batch


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
    c = channels("batch_norm", input)
    check_input("batch_norm", input, c, eps, running_mean, running_var, weight, bias)
    check_weight("batch_norm", momentum)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("batch_norm: expected running_mean and running_var when not "
                               "training")
        return apply_statistics(input, running_mean, running_var, weight, bias, eps)
    if not eps:
        raise ValueError(f"batch_norm: expected eps > 0 when training, got {eps}")
    y, n, mean, var = standardize_batch("batch_norm", input, weight, bias, eps)
    remember("batch_norm", momentum, (running_mean, mean.array, 1.0),
             (running_var, var.array, bessel(n)))
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
    c = channels("instance_norm", input)
    check_input("instance_norm", input, c, eps, running_mean, running_var, weight, bias)
    check_weight("instance_norm", momentum)
    x = input.array
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected input (N, C, *spatial), got {x.shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("instance_norm: expected running_mean and running_var when "
                               "use_input_stats is False")
        return apply_statistics(input, running_mean, running_var, weight, bias, eps)
    n = math.prod(x.shape[2:])
    check_count("instance_norm", input, n, "spatial element", "use a larger input, or a norm that "
                "takes its statistics of more: GroupNorm, LayerNorm")
    y, _, mean, var = standardize(input, per_channel(weight, x), per_channel(bias, x),
                                  axes=tuple(range(2, x.ndim)), eps=eps)
    if x.shape[0]:
        remember("instance_norm", momentum, (running_mean, mean.array, 1.0),
                 (running_var, var.array, bessel(n)))
    return y


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each group of channels of each sample (Wu and He 2018, arXiv:1803.08494).

    Args:
        input: (N, C, *spatial). num_groups: must divide C. weight, bias: (C,) or None.
    """
    check_input("group_norm", input, channels("group_norm", input), eps, weight, bias)
    if num_groups.__class__ is not int:
        num_groups = as_count("group_norm", "num_groups", num_groups)
    shape = input.array.shape
    n, c, *spatial = shape
    if num_groups < 1 or c % num_groups:
        raise does_not_divide("group_norm", "num_groups", num_groups, "the channels", c,
                              f"an input of shape {shape}")
    each = c // num_groups
    check_count("group_norm", input, each * math.prod(spatial) if c else 2, "value per group",
                "take fewer groups, or a larger input")
    grouped = input.reshape(n, num_groups, each, *spatial)
    ones = (1,) * len(spatial)
    affine = [None if v is None else v.reshape(num_groups, each, *ones) for v in (weight, bias)]
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
    axes = last_axes("layer_norm", input, normalized_shape, eps, weight, bias)
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
    axes = last_axes("rms_norm", input, normalized_shape, eps or 0.0, weight, None)
    if eps is None:
        eps = float(np.finfo(np.promote_types(input.array.dtype, FLOAT32)).eps)
    return standardize(input, weight, None, axes=axes, eps=eps, centred=False)[0]


def channels(who: str, x: Tensor) -> tuple[int, ...]:
    """(C,), the shape of what there is one of for each channel; () where x has no channels."""
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    return x.array.shape[1:2]


def last_axes(
    who: str, x: Tensor, shape: Sequence[int], eps: float, *affine: Tensor | None
) -> tuple[int, ...]:
    if not isinstance(x, Tensor):
        raise not_a_tensor(who, x)
    if not isinstance(shape, tuple | list):
        raise TypeError(f"{who}: expected normalized_shape to be a tuple or list of ints, got "
                        f"{shape!r}; write (n,) for the last axis alone")
    shape = tuple(shape)
    if not shape or x.array.shape[-len(shape):] != shape:
        raise wrong_shape(who, shape, x.array.shape)
    check_input(who, x, shape, eps, *affine)
    if not math.prod(shape):
        raise ShapeError(f"{who}: expected at least one value to normalize over, got "
                         f"normalized_shape={list(shape)}")
    return tuple(range(-len(shape), 0))


def wrong_shape(who: str, shape: tuple[int, ...], got: tuple[int, ...]) -> ShapeError:
    """The error for an input that does not end in the normalized shape."""
    fit = list(got[-max(len(shape), 1):])
    take = f"take normalized_shape={fit}, its last axes, or " if fit and min(fit) > 0 else ""
    expected = f"input (*, {', '.join(map(str, shape))})" if shape else "at least one axis"
    return ShapeError(f"{who}: Given normalized_shape={list(shape)}, expected {expected}, got "
                      f"{got}; {take}check the layer before it")
