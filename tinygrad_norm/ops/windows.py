"""Where the windows of convolutions and poolings lie, and what they see as columns of a matrix."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..autograd.op import primitive
from ..backend import choose
from ..backend.array import Array, array_module

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
"""Of padding: how much is before and how much is behind, for each axis."""


def said(**settings: tuple[Any, Any]) -> list[tuple[str, Any]]:
    """(name, value) of those that are not the usual one, for drawings: one value for equal axes."""
    found = []
    for name, (value, usual) in settings.items():
        if isinstance(value, tuple):
            value = tuple(v[0] if isinstance(v, tuple) and v[0] == v[1] else v for v in value)
            if len(set(value)) == 1 and isinstance(value[0], int):
                value = value[0]
        if value != usual:
            found.append((name, value))
    return found


class Windows(NamedTuple):
    """The windows over the last axes of an array, one position beside the other.

    out:     so many positions along each axis
    padded:  the size with the border, so that each window lies within
    inner:   where the array lies in it
    taps:    for each place of the kernel, in order, what it sees in the padded array
    pitch:   where all strides are 1, the size of an array with the border between it and the next:
             what is behind a row is also before the one after it
    steps:   the taps as steps in arrays of that size made flat, one after the other
    """

    out: Sizes
    padded: Sizes
    inner: tuple[slice, ...]
    taps: tuple[tuple[slice, ...], ...]
    pitch: Sizes | None
    steps: Sizes


@lru_cache(maxsize=1024)
def windows(size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes,
            ceil_mode: bool = False) -> Windows:
    """The windows of an array of that size; with ``ceil_mode`` also those that only begin in it."""
    axes = tuple(zip(size, kernel, stride, padding, dilation, strict=True))
    out = tuple(_count(*axis, ceil_mode) for axis in axes)
    padded = tuple(max(n + before + after, (o - 1) * s + d * (k - 1) + 1)
                   for o, (n, k, s, (before, after), d) in zip(out, axes, strict=True))
    # a kernel that does not fit is refused by who asks: its places, which may be many, need no list
    places = list(itertools.product(*map(range, kernel))) if min(out) > 0 else []
    taps = tuple(
        tuple(slice(i * d, i * d + (o - 1) * s + 1, s)
              for i, o, s, d in zip(place, out, stride, dilation, strict=True))
        for place in places)
    pitch: Sizes | None = None
    steps: Sizes = ()
    if set(stride) == {1}:
        pitch = tuple(max(n + max(borders), o)
                      for o, n, borders in zip(out, size, padding, strict=True))
        lengths = [math.prod(pitch[a + 1:]) for a in range(len(pitch))]
        steps = tuple(sum(i * d * n for i, d, n in zip(place, dilation, lengths, strict=True))
                      for place in places)
    inner = tuple(slice(before, before + n) for n, _, _, (before, _), _ in axes)
    return Windows(out, padded, inner, taps, pitch, steps)


def _count(n: int, k: int, s: int, padding: tuple[int, int], d: int, ceil_mode: bool) -> int:
    """The positions along one axis; the last window begins in the array or before it."""
    free = n + sum(padding) - d * (k - 1) - 1
    count = (-(-free // s) if ceil_mode else free // s) + 1
    return count - 1 if ceil_mode and (count - 1) * s >= n + padding[0] else count


def bordered(x: Array, w: Windows, value: float) -> Array:
    """x with ``value`` about it; x itself where there is no border."""
    leading = x.shape[:x.ndim - len(w.padded)]
    if (*leading, *w.padded) == x.shape:
        return x
    padded = array_module(x).full((*leading, *w.padded), value, dtype=x.dtype)
    padded[(..., *w.inner)] = x
    return padded


def wide(x: Array) -> Array:
    """float16 as float32: sums over windows would lose its digits, or leave its range."""
    return x.astype("float32") if x.dtype.itemsize == 2 else x


def add_to(whole: Array, index: Any, values: Array) -> None:
    """``whole[index] += values``, at a basic index."""
    whole[index] = whole[index] + values


@choose.implements(add_to, np.ndarray)
def numpy_add_to(whole: np.ndarray, index: Any, values: np.ndarray) -> None:
    """Into the view: the plain way would copy the sum onto itself once more."""
    part = whole[index]
    part += values


# -- columns --------------------------------------------------------------------------------------


def grid(w: Windows) -> Sizes:
    """The positions at which columns are taken: with a pitch everywhere in it.

    A tap then sees one long run, which is copied several times faster than many short rows. The
    columns at which a window leaves the array belong to nothing.
    """
    return w.out if w.pitch is None else w.pitch


def columns(x: Array, w: Windows) -> Array:
    """What each tap sees: (N, C, *size) -> (C, taps, N · positions of the grid)."""
    module = array_module(x)
    n, channels = x.shape[:2]
    padded = module.zeros((channels, n, *(w.pitch or w.padded)), dtype=x.dtype)
    padded[(..., *w.inner)] = x.swapaxes(0, 1)
    if w.pitch is None:
        result = module.empty((channels, len(w.taps), n, *w.out), dtype=x.dtype)
        for i, tap in enumerate(w.taps):
            result[:, i] = padded[(..., *tap)]
        return result.reshape(channels, len(w.taps), n * math.prod(w.out))
    length = n * math.prod(w.pitch)
    if len(w.taps) == 1:
        return padded.reshape(channels, 1, length)
    flat = padded.reshape(channels, length)
    result = module.empty((channels, len(w.taps), length), dtype=x.dtype)
    for i, step in enumerate(w.steps):
        seen = max(length - step, 0)
        result[:, i, :seen] = flat[:, step:]
        result[:, i, seen:] = 0
    return result


def folded(dc: Array, w: Windows, n: int) -> Array:
    """The transpose of :func:`columns`: each value is added to where it was seen."""
    module = array_module(dc)
    channels = dc.shape[0]
    add = choose.kernel(add_to, type(dc))
    if w.pitch is None:
        padded = module.zeros((channels, n, *w.padded), dtype=dc.dtype)
        dc = dc.reshape(channels, len(w.taps), n, *w.out)
        for i, tap in enumerate(w.taps):
            add(padded, (..., *tap), dc[:, i])
    elif len(w.taps) == 1:
        padded = dc.reshape(channels, n, *w.pitch)
    else:
        length = n * math.prod(w.pitch)
        flat = module.zeros((channels, length), dtype=dc.dtype)
        for i, step in enumerate(w.steps):
            add(flat, (slice(None), slice(step, None)), dc[:, i, :max(length - step, 0)])
        padded = flat.reshape(channels, n, *w.pitch)
    return padded[(..., *w.inner)].swapaxes(0, 1)


def gathered(values: Array, w: Windows, n: int) -> Array:
    """(O, N · positions of the grid) -> (N, O, *out): the positions that are windows."""
    at = values.reshape(values.shape[0], n, *grid(w))
    return at[(..., *(slice(o) for o in w.out))].swapaxes(0, 1)


def placed(dy: Array, w: Windows) -> Array:
    """The transpose of :func:`gathered`: (N, O, *out) -> (O, N · positions), 0 at the others."""
    n, out = dy.shape[:2]
    size = grid(w)
    if size == w.out:
        return dy.swapaxes(0, 1).reshape(out, n * math.prod(size))
    result = array_module(dy).zeros((out, n, *size), dtype=dy.dtype)
    result[(..., *(slice(o) for o in w.out))] = dy.swapaxes(0, 1)
    return result.reshape(out, n * math.prod(size))


# -- the columns as tensors --------------------------------------------------------------------


@primitive
def unfold(x: Array, *, kernel: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Array:
    """y = what each window of x sees: (N, C, *size) -> (N, C · taps, positions)"""
    w = windows(x.shape[2:], kernel, stride, padding, dilation)
    padded = bordered(x, w, 0)
    seen = array_module(x).stack([padded[(..., *tap)] for tap in w.taps], axis=2)
    return seen.reshape(x.shape[0], x.shape[1] * len(w.taps), math.prod(w.out))


@primitive
def fold(x: Array, *, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs,
         dilation: Sizes) -> Array:
    """y = each value of x added to where its window saw it; the transpose of unfold"""
    w = windows(size, kernel, stride, padding, dilation)
    seen = x.reshape(x.shape[0], x.shape[1] // len(w.taps), len(w.taps), *w.out)
    padded = array_module(x).zeros((*seen.shape[:2], *w.padded), dtype=x.dtype)
    add = choose.kernel(add_to, type(padded))
    for i, tap in enumerate(w.taps):
        add(padded, (..., *tap), seen[:, :, i])
    return padded if w.padded == size else padded[(..., *w.inner)].copy()


unfold.gradient(x=lambda dy, x_shape, *, kernel, stride, padding, dilation: fold(
    dy, size=x_shape[2:], kernel=kernel, stride=stride, padding=padding, dilation=dilation))


@fold.gradient_of("x")
def fold_dx(dy: Any, *, size: Sizes, kernel: Sizes, stride: Sizes, padding: Pairs,
            dilation: Sizes) -> Any:
    """dx = what each window of dy sees"""
    return unfold(dy, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
