"""Rows for convolutions and poolings, each with a plain loop over the windows beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from case import Case

from tinygrad_norm.ops import convolution

IMAGE, SMALL = (2, 2, 4, 5), (1, 1, 4, 5)
PADDED = ((1, 1), (1, 1))


def looks(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Iterator[Any]:
    """(position, what the window there sees of the padded array) for each window."""
    counts = [(n + sum(p) - d * (k - 1) - 1) // s + 1
              for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)]
    for at in itertools.product(*map(range, counts)):
        yield at, (..., *(slice(i * s, i * s + d * (k - 1) + 1, d)
                          for i, k, s, d in zip(at, kernel, stride, dilation, strict=True)))


def stacked(parts: dict[Any, Any]) -> Any:
    """Values by their position as an array, the positions as its last axes."""
    shape = tuple(max(at[i] for at in parts) + 1 for i in range(len(next(iter(parts)))))
    values = np.stack(list(parts.values()), -1)
    return values.reshape(*values.shape[:-1], *shape)


def conv(x: Any, w: Any, b: Any = None, stride: Any = (1, 1), padding: Any = ((0, 0), (0, 0)),
         dilation: Any = (1, 1), groups: int = 1) -> Any:
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    outward, inward = len(w) // groups, w.shape[1]
    y = {}
    for at, seen in looks(x.shape[2:], w.shape[2:], stride, padding, dilation):
        part = padded[seen]
        y[at] = np.concatenate([
            (part[:, None, g * inward:(g + 1) * inward] * w[g * outward:(g + 1) * outward]).sum(
                tuple(range(2, x.ndim + 1))) for g in range(groups)], 1)
    result = stacked(y)
    return result if b is None else result + b.reshape(-1, *(1,) * (x.ndim - 2))


def pooled(function: Callable[..., Any], x: Any, kernel: Any, stride: Any, padding: Any = None,
           dilation: Any = None, value: float = 0) -> Any:
    dims = len(kernel)
    padding = padding or ((0, 0),) * dims
    padded = np.pad(x, ((0, 0),) * (x.ndim - dims) + tuple(padding), constant_values=value)
    return stacked({at: function(padded[seen], axis=tuple(range(-dims, 0)))
                    for at, seen in looks(x.shape[-dims:], kernel, stride, padding,
                                          dilation or (1,) * dims)})


def adaptive(x: Any, out: Any) -> Any:
    edges = [[(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
             for n, m in zip(x.shape[-len(out):], out, strict=True)]
    return stacked({at: x[(..., *(slice(*edges[a][i]) for a, i in enumerate(at)))].mean(
        tuple(range(-len(out), 0))) for at in itertools.product(*map(range, out))})


PLAIN = convolution.Slide((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
STRIDED = convolution.Slide((2, 1), PADDED, (1, 2), 2)


def _moved_to_input(z: Any, w: Any) -> Any:
    """The transpose in x, written as what each window of z gives back."""
    y = np.zeros((2, 2, 6, 7), z.dtype) * z.reshape(-1)[0]
    for at, seen in looks((4, 5), (3, 2), (2, 1), PADDED, (1, 2)):
        for g in range(2):
            y[:, g:g + 1][seen] += (z[(slice(None), slice(g * 2, g * 2 + 2), *at)][
                :, :, None, None, None] * w[g * 2:g * 2 + 2]).sum(1)
    return y[:, :, 1:-1, 1:-1]


def _moved_to_weight(z: Any, x: Any) -> Any:
    """The transpose in the weight."""
    y = np.zeros((4, 1, 3, 2), z.dtype) * z.reshape(-1)[0]
    padded = np.pad(x, ((0, 0), (0, 0), *PADDED))
    for at, seen in looks((4, 5), (3, 2), (2, 1), PADDED, (1, 2)):
        for o in range(4):
            y[o] += (z[(slice(None), o, *at)][:, None, None, None]
                     * padded[:, o // 2:o // 2 + 1][seen]).sum(0)
    return y


CONVOLUTIONS = [
    Case("conv2d", lambda m, x, w, b: m.nn.functional.conv2d(x, w, b), conv,
         (IMAGE, (3, 2, 2, 3), (3,))),
    Case("conv2d padding", lambda m, x, w, b: m.nn.functional.conv2d(x, w, b, padding=1),
         lambda x, w, b: conv(x, w, b, padding=PADDED), (IMAGE, (3, 2, 3, 3), (3,))),
    Case("conv2d no bias", lambda m, x, w: m.nn.functional.conv2d(x, w, padding="same"),
         lambda x, w: conv(x, w, padding=PADDED), (IMAGE, (1, 2, 3, 3))),
    Case("conv2d stride", lambda m, x, w, b: m.nn.functional.conv2d(x, w, b, stride=2, padding=1),
         lambda x, w, b: conv(x, w, b, stride=(2, 2), padding=PADDED),
         (IMAGE, (2, 2, 3, 2), (2,))),
    Case("conv2d groups", lambda m, x, w, b: m.nn.functional.conv2d(
        x, w, b, stride=(2, 1), padding=1, dilation=(1, 2), groups=2),
         lambda x, w, b: conv(x, w, b, (2, 1), PADDED, (1, 2), 2), (IMAGE, (4, 1, 3, 2), (4,))),
    Case("conv2d of its output", lambda m, x, w: m.nn.functional.conv2d(
        m.nn.functional.conv2d(x, w, padding=1) * x, w), lambda x, w: conv(
            conv(x, w, padding=PADDED) * x, w), ((1, 2, 4, 4), (2, 2, 3, 3))),
    Case("conv2d one image", lambda m, x, w: m.nn.functional.conv2d(x, w),
         lambda x, w: conv(x[None], w)[0], ((2, 4, 5), (3, 2, 1, 1))),
    Case("conv1d", lambda m, x, w, b: m.nn.functional.conv1d(x, w, b, padding=2, dilation=2),
         lambda x, w, b: conv(x, w, b, (1,), ((2, 2),), (2,)), ((2, 2, 6), (3, 2, 3), (3,))),
    Case("conv2d_input", lambda m, z, w: convolution.conv2d_input(
        z, w, size=(4, 5), slide=STRIDED), _moved_to_input, ((2, 4, 2, 5), (4, 1, 3, 2)),
         torch=False),
    Case("conv2d_weight", lambda m, z, x: convolution.conv2d_weight(
        z, x, kernel=(3, 2), slide=STRIDED), _moved_to_weight, ((2, 4, 2, 5), IMAGE), torch=False),
]


def _mean(x: Any, axis: Any) -> Any:
    return x.mean(axis)


POOLINGS = [
    Case("max_pool2d", lambda m, x: m.nn.functional.max_pool2d(x, 2) ** 2,
         lambda x: pooled(np.max, x, (2, 2), (2, 2)) ** 2, (SMALL,), "distinct"),
    Case("max_pool2d overlapping", lambda m, x: m.nn.functional.max_pool2d(
        x, 3, stride=1, padding=1) ** 2, lambda x: pooled(
            np.max, x, (3, 3), (1, 1), PADDED, value=-np.inf) ** 2, (SMALL,), "distinct"),
    Case("max_pool2d dilation", lambda m, x: m.nn.functional.max_pool2d(
        x, 2, stride=1, dilation=(1, 2)) ** 2, lambda x: pooled(
            np.max, x, (2, 2), (1, 1), dilation=(1, 2)) ** 2, (SMALL,), "distinct"),
    Case("max_pool2d indices", lambda m, x: m.nn.functional.max_pool2d(
        x, 2, return_indices=True)[1], lambda x: stacked({
            (i, j): np.argmax(x[..., 2 * i:2 * i + 2, 2 * j:2 * j + 2].reshape(1, 1, 4), -1)
            for i in range(2) for j in range(2)}) % 2 + 5 * (stacked({
                (i, j): np.argmax(x[..., 2 * i:2 * i + 2, 2 * j:2 * j + 2].reshape(1, 1, 4), -1)
                for i in range(2) for j in range(2)}) // 2) + np.array([[0, 2], [10, 12]]),
         (SMALL,), "distinct", smooth=False),
    Case("max_pool1d", lambda m, x: m.nn.functional.max_pool1d(x, 3, 2) ** 2,
         lambda x: pooled(np.max, x, (3,), (2,)) ** 2, ((2, 7),), "distinct"),
    Case("avg_pool2d", lambda m, x: m.nn.functional.avg_pool2d(x, 2) ** 2,
         lambda x: pooled(_mean, x, (2, 2), (2, 2)) ** 2, (SMALL,)),
    Case("avg_pool2d padding", lambda m, x: m.nn.functional.avg_pool2d(x, 3, 1, 1) ** 2,
         lambda x: pooled(_mean, x, (3, 3), (1, 1), PADDED) ** 2, (SMALL,)),
    Case("avg_pool2d inside", lambda m, x: m.nn.functional.avg_pool2d(
        x, 3, 2, 1, count_include_pad=False) ** 2, lambda x: (
            pooled(_mean, x, (3, 3), (2, 2), PADDED) / pooled(
                _mean, np.ones_like(x), (3, 3), (2, 2), PADDED)) ** 2, (SMALL,)),
    Case("avg_pool1d", lambda m, x: m.nn.functional.avg_pool1d(x, 3, 2) ** 2,
         lambda x: pooled(_mean, x, (3,), (2,)) ** 2, ((2, 7),)),
    Case("adaptive_avg_pool2d", lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, (2, 3)) ** 2,
         lambda x: adaptive(x, (2, 3)) ** 2, (SMALL,)),
    Case("adaptive_avg_pool2d to one", lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, 1) ** 2,
         lambda x: x.mean((-1, -2), keepdims=True) ** 2, (SMALL,)),
    Case("adaptive_avg_pool1d", lambda m, x: m.nn.functional.adaptive_avg_pool1d(x, 4) ** 2,
         lambda x: adaptive(x, (4,)) ** 2, ((2, 7),)),
]


def _columns(x: Any) -> Any:
    padded = np.pad(x, ((0, 0), (0, 0), *PADDED))
    return np.stack([padded[seen].reshape(2, -1) for _, seen in looks(
        x.shape[2:], (3, 2), (2, 1), PADDED, (1, 1))], -1)


def _folded(c: Any) -> Any:
    y = np.zeros((2, 2, 6, 7), c.dtype) * c.reshape(-1)[0]
    for i, (_, seen) in enumerate(looks((4, 5), (3, 2), (2, 1), PADDED, (1, 1))):
        y[seen] += c[:, :, i].reshape(2, 2, 3, 2)
    return y[:, :, 1:-1, 1:-1]


ARRANGED = [
    Case("unfold", lambda m, x: m.nn.functional.unfold(x, (3, 2), padding=1, stride=(2, 1)) ** 2,
         lambda x: _columns(x) ** 2, (IMAGE,)),
    Case("fold", lambda m, x: m.nn.functional.fold(
        x, (4, 5), (3, 2), padding=1, stride=(2, 1)) ** 2, lambda x: _folded(x) ** 2,
         ((2, 12, 12),)),
    Case("pad", lambda m, x: m.nn.functional.pad(x, (1, 2, 0, 1)) ** 2,
         lambda x: np.pad(x, ((0, 1), (1, 2))) ** 2, ((2, 3),)),
    Case("pad value", lambda m, x: m.nn.functional.pad(x, (1, -1), value=2.0) ** 2,
         lambda x: np.pad(x[:, :-1], ((0, 0), (1, 0)), constant_values=2) ** 2, ((2, 3),)),
    *(Case(f"pad {mode}", lambda m, x, mode=mode: m.nn.functional.pad(x, (2, 1), mode=mode) ** 2,
           lambda x, to=to: np.pad(x, ((0, 0), (2, 1)), mode=to) ** 2, ((2, 4),))
      for mode, to in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap"))),
]

WINDOWS = [*CONVOLUTIONS, *POOLINGS, *ARRANGED]
