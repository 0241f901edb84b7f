"""Poolings over the last axes: the largest of a window, the mean of a window or of a bin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..autograd.op import Primitive
from ..backend import choose
from ..backend.array import Array, array_module
from .choice import masked
from .windows import Pairs, Sizes, Windows, add_to, bordered, said, wide, windows


class Window(NamedTuple):
    """Which windows a pooling looks through."""

    kernel: Sizes
    stride: Sizes
    padding: Pairs
    dilation: Sizes
    ceil_mode: bool

    def said(self) -> list[tuple[str, Any]]:
        return said(kernel=(self.kernel, None), stride=(self.stride, None),
                    padding=(self.padding, 0), dilation=(self.dilation, 1),
                    ceil_mode=(self.ceil_mode, False))

    def over(self, size: Sizes) -> Windows:
        """Their places in an array of that size."""
        return windows(size, *self)


# -- the largest -------------------------------------------------------------------------------


def largest(x: Array, *, window: Window) -> tuple[Array, Array]:
    """y = the largest x of each window, and its place there; the first of equal ones, the last NaN
    """
    module = array_module(x)
    size = x.shape[-len(window.kernel):]
    w = window.over(size)
    floating = x.dtype.kind == "f"
    padded = bordered(x, w, -math.inf if floating else int(np.iinfo(x.dtype).min))
    y = padded[(..., *w.taps[0])].copy()
    place = module.zeros(y.shape, dtype="int16" if len(w.taps) < 2**15 else "int32")
    if w.padded != size:
        place += module.asarray(first_inside(size, window), dtype=place.dtype).reshape(w.out)
    for i, tap in enumerate(w.taps[1:], 1):
        seen = padded[(..., *tap)].copy()  # side by side: read several times
        better = (seen > y) | (seen != seen) if floating else seen > y
        y = module.maximum(y, seen)
        place = module.maximum(place, better.astype(place.dtype) * i)
    return y, place


@lru_cache(maxsize=256)
def first_inside(size: Sizes, window: Window) -> list[int]:
    """For each window the first place that is not on the border: of -inf alone it is chosen."""
    firsts = [0]
    for n, count, k, s, (before, _), d in zip(
            size, window.over(size).out, *window[:4], strict=True):
        starts = [i * s - before for i in range(count)]
        inside = [min(-(start // d) if start < 0 else 0, k - 1, max(n - 1 - start, 0) // d)
                  for start in starts]
        firsts = [f * k + i for f in firsts for i in inside]
    return firsts


def positions(place: Array, *, size: Sizes, window: Window) -> Array:
    """y = where the chosen values stand in an input of that size, its last axes made flat"""
    module = array_module(place)
    flat = module.zeros(place.shape, dtype="int64")
    within = math.prod(window.kernel)
    for axis, (n, k, s, (before, _), d) in enumerate(zip(size, *window[:4], strict=True)):
        within //= k
        count = place.shape[axis - len(size)]
        starts = (module.arange(count) * s - before).reshape(
            (count, *(1,) * (len(size) - axis - 1)))
        flat = flat * n + starts + place // within % k * d
    return flat


def chosen(x: Array, place: Array, *, window: Window) -> Array:
    """y = the x that stands at ``place`` in its window"""
    w = window.over(x.shape[-len(window.kernel):])
    padded = bordered(x, w, 0)
    y = array_module(x).zeros(place.shape, dtype=x.dtype)
    for i, tap in enumerate(w.taps):
        y += masked(padded[(..., *tap)], place == i)
    return y


def returned(z: Array, place: Array, *, size: Sizes, window: Window) -> Array:
    """y = each z added at its ``place``; the transpose of :func:`chosen`"""
    w = window.over(size)
    y = array_module(z).zeros((*z.shape[:z.ndim - len(size)], *w.padded), dtype=z.dtype)
    disjoint = all(s > d * (k - 1) for k, s, _, d in zip(*window[:4], strict=True))
    add = choose.kernel(add_to, type(y))
    for i, tap in enumerate(w.taps):
        part = masked(z, place == i)
        if disjoint:
            y[(..., *tap)] = part
        else:
            add(y, (..., *tap), part)
    return y if w.padded == size else y[(..., *w.inner)].copy()


def max_pooling(name: str) -> tuple[Primitive, Primitive, Primitive]:
    """x -> (y, place), (x, place) -> y, and (z, place) -> as x, under that name."""
    forward = Primitive(largest, name=name, outputs=("y", "place"))
    choose = Primitive(chosen, name=name + "_choice")
    give = Primitive(returned, name=name + "_input")
    forward.gradient(x=lambda dy, x_shape, place, *, window: give(
        dy, place, size=x_shape[-len(window.kernel):], window=window))
    choose.gradient(x=lambda dy, x_shape, place, *, window: give(
        dy, place, size=x_shape[-len(window.kernel):], window=window))
    give.gradient(z=lambda dy, place, *, size, window: choose(dy, place, window=window))
    return forward, choose, give


# -- the mean of windows -------------------------------------------------------------------------


class Share(NamedTuple):
    """What the sum of a window is divided by: a number, or how many it sees."""

    count_include_pad: bool
    divisor_override: int | None

    def said(self) -> list[tuple[str, Any]]:
        return said(count_include_pad=(self.count_include_pad, True),
                    divisor_override=(self.divisor_override, None))


def average(x: Array, *, window: Window, share: Share) -> Array:
    """y = the mean of each window, summed along one axis after the other"""
    dims = len(window.kernel)
    y = wide(x)
    for axis, w in _axes(x.shape[-dims:], window):
        if w.padded[0] != y.shape[axis]:
            whole = _empty_along(y, axis, w.padded[0])
            whole[_along(axis, w.inner[0])] = y
            y = whole
        parts = [y[_along(axis, tap[0])] for tap in w.taps]
        y = sum(parts[1:], parts[0])
    return _narrow(y / _divisor(y, x.shape[-dims:], window, share), x)


def average_input(z: Array, *, size: Sizes, window: Window, share: Share) -> Array:
    """y = the share of each window given to all that it sees; the transpose of :func:`average`"""
    y = wide(z)
    y = y / _divisor(y, size, window, share)
    add = choose.kernel(add_to, type(y))
    for axis, w in _axes(size, window):
        whole = _empty_along(y, axis, w.padded[0])
        for tap in w.taps:
            add(whole, _along(axis, tap[0]), y)
        y = whole[_along(axis, w.inner[0])]
    return _narrow(y, z)


def _axes(size: Sizes, window: Window) -> Iterator[tuple[int, Windows]]:
    """Each axis, counted from the end, with its own windows."""
    for axis, n, *one in zip(range(-len(size), 0), size, *window[:4], strict=True):
        yield axis, windows((n,), *((value,) for value in one), window.ceil_mode)


def _along(axis: int, part: slice) -> tuple[Any, ...]:
    """The index of a part of an axis, counted from the end."""
    return (..., part, *(slice(None),) * (-1 - axis))


def _empty_along(y: Array, axis: int, n: int) -> Array:
    """Zeros of the shape of y, with n along an axis that is counted from the end."""
    place = y.ndim + axis
    return array_module(y).zeros((*y.shape[:place], n, *y.shape[place + 1:]), dtype=y.dtype)


def _divisor(y: Array, size: Sizes, window: Window, share: Share) -> Any:
    """A number, or an array over the positions."""
    if share.divisor_override is not None:
        return share.divisor_override
    counts = _counts(size, window, share.count_include_pad)
    if len(set(counts)) == 1:
        return counts[0]
    return array_module(y).asarray(counts, dtype=y.dtype).reshape(window.over(size).out)


@lru_cache(maxsize=256)
def _counts(size: Sizes, window: Window, with_border: bool) -> list[int]:
    """How many values each window sees, position after position."""
    counts = [1]
    for n, out, k, s, (before, behind) in zip(
            size, window.over(size).out, *window[:3], strict=True):
        starts = [i * s - before for i in range(out)]
        stops = [min(start + k, n + behind) for start in starts]
        seen = [b - a if with_border else min(b, n) - max(a, 0)
                for a, b in zip(starts, stops, strict=True)]
        counts = [c * m for c in counts for m in seen]
    return counts


def avg_pooling(name: str) -> tuple[Primitive, Primitive]:
    """x -> y, and its transpose."""
    forward = Primitive(average, name=name)
    back = Primitive(average_input, name=name + "_input")
    forward.gradient(x=lambda dy, x_shape, *, window, share: back(
        dy, size=x_shape[-len(window.kernel):], window=window, share=share))
    back.gradient(z=lambda dy, *, size, window, share: forward(dy, window=window, share=share))
    return forward, back


# -- the mean of bins ------------------------------------------------------------------------------


def bins(n: int, count: int) -> list[tuple[int, int]]:
    """n values in ``count`` bins of nearly one size, that together hold all; they may overlap."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def adaptive(x: Array, *, out: Sizes) -> Array:
    """y = the mean of each of so many bins along each of the last axes"""
    y = wide(x)
    for axis, count in zip(range(-len(out), 0), out, strict=True):
        n = y.shape[axis]
        if count and n % count == 0:
            place = y.ndim + axis
            split = y.reshape(*y.shape[:place], count, n // count, *y.shape[place + 1:])
            y = split.sum(axis=place + 1) / (n // count)
        else:
            means = [y[_along(axis, slice(a, b))].sum(axis=axis, keepdims=True) / (b - a)
                     for a, b in bins(n, count)]
            empty = y[_along(axis, slice(0, 0))]
            y = array_module(y).concatenate([empty, *means], axis=axis)
    return _narrow(y, x)


def adaptive_input(z: Array, *, size: Sizes) -> Array:
    """y = each mean's share given to its bin; the transpose of :func:`adaptive`"""
    y = wide(z)
    add = choose.kernel(add_to, type(y))
    for axis, n in zip(range(-len(size), 0), size, strict=True):
        count = y.shape[axis]
        if count and n % count == 0:
            y = (y / (n // count)).repeat(n // count, axis=axis)
            continue
        whole = _empty_along(y, axis, n)
        for i, (a, b) in enumerate(bins(n, count)):
            add(whole, _along(axis, slice(a, b)), y[_along(axis, slice(i, i + 1))] / (b - a))
        y = whole
    return _narrow(y, z)


def adaptive_pooling(name: str) -> tuple[Primitive, Primitive]:
    """x -> y, and its transpose."""
    forward = Primitive(adaptive, name=name)
    back = Primitive(adaptive_input, name=name + "_input")
    forward.gradient(x=lambda dy, x_shape, *, out: back(dy, size=x_shape[-len(out):]))
    back.gradient(z=lambda dy, z_shape, *, size: forward(dy, out=z_shape[-len(size):]))
    return forward, back


def _narrow(y: Array, x: Array) -> Array:
    return y if y.dtype == x.dtype else y.astype(x.dtype)


max_pool_indices = Primitive(positions, name="max_pool_indices")
max_pool1d, max_pool1d_choice, max_pool1d_input = max_pooling("max_pool1d")
max_pool2d, max_pool2d_choice, max_pool2d_input = max_pooling("max_pool2d")
avg_pool1d, avg_pool1d_input = avg_pooling("avg_pool1d")
avg_pool2d, avg_pool2d_input = avg_pooling("avg_pool2d")
adaptive_avg_pool1d, adaptive_avg_pool1d_input = adaptive_pooling("adaptive_avg_pool1d")
adaptive_avg_pool2d, adaptive_avg_pool2d_input = adaptive_pooling("adaptive_avg_pool2d")
