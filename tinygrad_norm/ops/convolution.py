"""Convolutions: products of a weight with the columns that its windows see.

Σ dy w x over all windows is linear in each of the three, and the result, the gradient of the input
and the gradient of the weight are what stands beside one of them: three operations, each the rule
of the other two. So every order of derivative is made of these three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd.op import Primitive
from ..backend import choose
from ..backend.array import Array, array_module
from ..backend.sums import total
from .linalg import product
from .reduction import sum_
from .windows import (
    Pairs,
    Sizes,
    Windows,
    columns,
    folded,
    gathered,
    grid,
    placed,
    said,
    wide,
    windows,
)


class Slide(NamedTuple):
    """How a weight goes over an input."""

    stride: Sizes
    padding: Pairs
    dilation: Sizes
    groups: int

    def said(self) -> list[tuple[str, Any]]:
        return said(stride=(self.stride, 1), padding=(self.padding, 0),
                    dilation=(self.dilation, 1), groups=(self.groups, 1))


BLOCK = 1 << 21
"""Bytes of columns at a time, so that they are still in a cache when they are multiplied."""


def convolve(x: Array, weight: Array, bias: Array | None, *, slide: Slide) -> Array:
    """y[n, o] = b[o] + Σ w[o, c, k] x[n, c, position · stride + k · dilation - padding]"""
    w = _windows(x, x.shape[2:], weight.shape[2:], slide)
    matrix = _matrix(wide(weight), slide.groups)
    column = None if bias is None else wide(bias).reshape(-1, 1)
    y = array_module(x).empty((x.shape[0], weight.shape[0], *w.out), dtype=x.dtype)
    for part in choose.kernel(_blocks, type(x))(x, w):
        seen = columns(wide(x[part]), w)
        values = _times(matrix, _grouped(seen, slide.groups))
        values = values.reshape(weight.shape[0], seen.shape[2])
        if column is not None:
            values += column
        y[part] = gathered(values, w, x[part].shape[0])
    return y


def convolve_input(z: Array, weight: Array, *, size: Sizes, slide: Slide) -> Array:
    """y[n, c] = Σ w z over the windows that see it; the transpose of the convolution in x"""
    w = _windows(z, size, weight.shape[2:], slide)
    if w.pitch is not None and not _is_finite(weight):
        w = w._replace(pitch=None)
    matrix = _matrix(wide(weight), slide.groups).swapaxes(1, 2)
    channels = weight.shape[1] * slide.groups
    y = array_module(z).empty((z.shape[0], channels, *size), dtype=z.dtype)
    for part in choose.kernel(_blocks, type(y))(y, w):
        at = placed(wide(z[part]), w)
        seen = _times(matrix, _grouped(at, slide.groups))
        seen = seen.reshape(channels, len(w.taps), at.shape[1])
        y[part] = folded(seen, w, z[part].shape[0])
    return y


def convolve_weight(z: Array, x: Array, *, kernel: Sizes, slide: Slide) -> Array:
    """y[o, c, k] = Σ z x over the samples and the windows; the transpose in the weight"""
    w = _windows(x, x.shape[2:], kernel, slide)
    y = _weight(z, x, w, slide.groups)
    if w.pitch is not None and not _is_finite(y):
        y = _weight(z, x, w._replace(pitch=None), slide.groups)
    y = y.reshape(z.shape[1], x.shape[1] // slide.groups, *kernel)
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def _weight(z: Array, x: Array, w: Windows, groups: int) -> Array:
    """Σ z x: (groups, O/groups, C/groups · taps), or of one group without it."""
    y = None
    for part in choose.kernel(_blocks, type(x))(x, w):
        at, seen = placed(wide(z[part]), w), columns(wide(x[part]), w)
        one = _times(_grouped(at, groups), _grouped(seen, groups).swapaxes(1, 2))
        y = one if y is None else y + one
    if y is None:  # of no samples
        y = array_module(x).zeros((z.shape[1], x.shape[1] // groups * len(w.taps)), dtype=x.dtype)
    return y


def _windows(x: Array, size: Sizes, kernel: Sizes, slide: Slide) -> Windows:
    """Those of arrays whose values can be asked may have a pitch.

    At the columns that belong to nothing 0 is multiplied with what is there: NaN or Inf would reach
    places that do not see it. Whether there is one is looked at, which on a GPU means waiting.
    """
    w = windows(size, kernel, *slide[:3])
    return w if w.pitch is None or choose.expect(type(x)) else w._replace(pitch=None)


def _is_finite(x: Array) -> bool:
    """Whether no value of x is NaN or Inf; where values cannot be asked, False."""
    ask = choose.expect(type(x))
    return ask is not None and ask(array_module(x).isfinite(x).all())


def _blocks(x: Array, w: Windows) -> Sequence[slice]:
    """The samples that are computed together: all of them."""
    return [slice(0, x.shape[0])] if x.shape[0] else []


@choose.implements(_blocks, np.ndarray)
def _numpy_blocks(x: Array, w: Windows) -> Sequence[slice]:
    """As many samples as a block of columns holds."""
    n, channels = x.shape[:2]
    size = channels * len(w.taps) * math.prod(grid(w)) * max(x.dtype.itemsize, 4)
    step = max(BLOCK // max(size, 1), 1)
    return [slice(start, start + step) for start in range(0, n, step)]


def _matrix(weight: Array, groups: int) -> Array:
    """(O, C/groups, *kernel) -> (groups, O/groups, C/groups · taps)"""
    return weight.reshape(groups, weight.shape[0] // groups, math.prod(weight.shape[1:]))


def _grouped(rows: Array, groups: int) -> Array:
    """(*rows, columns) -> (groups, rows/groups, columns)"""
    return rows.reshape(groups, math.prod(rows.shape[:-1]) // groups, rows.shape[-1])


@np.errstate(invalid="ignore")  # of Inf in columns that belong to nothing, too
def _times(a: Array, b: Array) -> Array:
    """The product for each group; of one group that of two matrices, which starts sooner."""
    return choose.kernel(product, type(a))(a[0], b[0]) if a.shape[0] == 1 else a @ b


def channel_sums(dy: Any) -> Any:
    """(N, O, *size) -> (O,): what a bias gets."""
    return sum_(dy, axis=(0, *range(2, dy.ndim)))


@choose.implements(channel_sums, np.ndarray)
def numpy_channel_sums(dy: np.ndarray) -> np.ndarray:
    """In the runs of the BLAS, which would lose digits of float16."""
    if dy.dtype.itemsize == 2:
        return channel_sums(dy)
    axes, n = (0, *range(2, dy.ndim)), dy.size // max(dy.shape[1], 1)
    return choose.kernel(total, np.ndarray)(dy, axes, n).reshape(-1)


def convolution(name: str) -> tuple[Primitive, Primitive, Primitive]:
    """(x, weight, bias -> y), (z, weight -> as x) and (z, x -> as weight), under that name."""
    forward = Primitive(convolve, name=name, promote="equal")
    to_input = Primitive(convolve_input, name=name + "_input", promote="equal")
    to_weight = Primitive(convolve_weight, name=name + "_weight", promote="equal")
    forward.gradient(
        x=lambda dy, x_shape, weight, *, slide: to_input(
            dy, weight, size=x_shape[2:], slide=slide),
        weight=lambda dy, x, weight_shape, *, slide: to_weight(
            dy, x, kernel=weight_shape[2:], slide=slide),
        bias=lambda dy, *, slide: choose.kernel(channel_sums, type(dy))(dy))
    to_input.gradient(
        z=lambda dy, weight, *, size, slide: forward(dy, weight, None, slide=slide),
        weight=lambda dy, z, weight_shape, *, size, slide: to_weight(
            z, dy, kernel=weight_shape[2:], slide=slide))
    to_weight.gradient(
        z=lambda dy, x, *, kernel, slide: forward(x, dy, None, slide=slide),
        x=lambda dy, z, x_shape, *, kernel, slide: to_input(
            z, dy, size=x_shape[2:], slide=slide))
    return forward, to_input, to_weight


conv1d, conv1d_input, conv1d_weight = convolution("conv1d")
conv2d, conv2d_input, conv2d_weight = convolution("conv2d")
