"""The windows of an image as columns, and back."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError, not_a_tensor
from ..ops import windows as ops
from ..ops.shape import reshape
from ..tensors.tensor import Tensor
from .sizes import Size, as_sizes, spatial


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
           stride: Size = 1) -> Tensor:
    """What each window sees, as a column: (N, C, H, W) -> (N, C · kh · kw, windows).

    A convolution is the product of its weight, as a matrix, with these columns.

    >>> import tinygrad_norm as tn
    >>> tn.nn.functional.unfold(tn.arange(6.0).reshape(1, 1, 2, 3), (2, 2)).tolist()
    [[[0.0, 1.0], [1.0, 2.0], [3.0, 4.0], [4.0, 5.0]]]
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor("unfold", input)
    shape = input.array.shape
    if len(shape) not in (3, 4) or 0 in shape[-3:]:
        raise ShapeError(f"unfold: expected input {spatial(2)} with no empty axis but N, got "
                         f"{shape}")
    settings = _settings("unfold", kernel_size, dilation, padding, stride)
    _count("unfold", shape[-2:], settings)
    x = input if len(shape) == 4 else reshape(input, shape=(1, *shape))
    y = ops.unfold(x, **settings)
    return y if len(shape) == 4 else reshape(y, shape=y.array.shape[1:])


def fold(input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0,
         stride: Size = 1) -> Tensor:
    """Each value of the columns added to where its window saw it: the transpose of ``unfold``.

    (N, C · kh · kw, windows) -> (N, C, H, W) for ``output_size`` (H, W).

    >>> import tinygrad_norm as tn
    >>> tn.nn.functional.fold(tn.ones(1, 4, 2), (2, 3), (2, 2)).tolist()
    [[[[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]]]
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor("fold", input)
    size = as_sizes("fold", "output_size", output_size, 2, 1)
    settings = _settings("fold", kernel_size, dilation, padding, stride)
    count, taps = _count("fold", size, settings), math.prod(settings["kernel"])
    shape = input.array.shape
    if len(shape) not in (2, 3) or shape[-1] != count or not shape[-2] or shape[-2] % taps:
        raise ShapeError(f"fold: expected input (N, C · {taps}, {count}) or (C · {taps}, {count}) "
                         f"for output_size {size} and these windows, got {shape}")
    x = input if len(shape) == 3 else reshape(input, shape=(1, *shape))
    y = ops.fold(x, size=size, **settings)
    return y if len(shape) == 3 else reshape(y, shape=y.array.shape[1:])


def _settings(who: str, kernel: Any, dilation: Size, padding: Size, stride: Size) -> dict[str, Any]:
    borders = as_sizes(who, "padding", padding, 2, 0)
    return {"kernel": as_sizes(who, "kernel_size", kernel, 2, 1),
            "stride": as_sizes(who, "stride", stride, 2, 1),
            "padding": tuple((p, p) for p in borders),
            "dilation": as_sizes(who, "dilation", dilation, 2, 1)}


def _count(who: str, size: tuple[int, ...], settings: dict[str, Any]) -> int:
    """How many windows there are."""
    out = ops.windows(size, **settings).out
    if min(out) < 1:
        raise ShapeError(f"{who}: no window {settings['kernel']} fits into an image {size}; take a "
                         "smaller kernel or more padding")
    return math.prod(out)
