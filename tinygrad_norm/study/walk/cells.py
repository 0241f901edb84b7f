"""Which cells of its inputs each cell of an operation's result depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.op import Primitive
from .op_formulas import ALONG, ELEMENTWISE, MOVING, REDUCING

Cells = str | list[list[int]]
ALIGNED, ALL = "aligned", "all"


def forward(
    op: Any, inputs: Sequence[Any], settings: dict[str, Any], shape: tuple[int, ...]
) -> list[Cells]:
    """For each input, in the form of ``study.Read``."""
    name = known(op)
    if name in ELEMENTWISE:
        return [ALIGNED] * len(inputs)
    if name in REDUCING:
        return [_reduced(inputs[0].shape, axes_of(settings, inputs[0].ndim), settings)]
    if name in ALONG:
        x = inputs[0]
        first: Cells = _along(x.shape, axes_of(settings, x.ndim)) if shape == x.shape else ALIGNED
        return [first] + [ALIGNED] * (len(inputs) - 1)
    if name in MOVING:
        return [_moved(op, inputs, settings, k) for k in range(len(inputs))]
    if name == "matmul" and inputs[0].ndim == inputs[1].ndim == 2:
        return list(_product(inputs[0].shape, inputs[1].shape))
    if name == "linear" and inputs[0].ndim == 2:
        (m, k), n = inputs[0].shape, inputs[1].shape[0]
        rows, columns = _product((m, k), (k, n))
        turned = np.arange(n * k).reshape(n, k).T.reshape(-1)
        return [rows, [turned[c].tolist() for c in columns], ALIGNED]
    return [ALL] * len(inputs)


def known(op: Any) -> str:
    """Its name, where it is the engine's and not a user's of the same name."""
    return op.name if isinstance(op, Primitive) else ""


def both(one: Cells, other: Cells) -> Cells:
    """Of a value that is two inputs at once."""
    if isinstance(one, str) or isinstance(other, str):
        return one if one == other else ALL
    return [sorted({*a, *b}) for a, b in zip(one, other, strict=True)]


def inverse(cells: Cells, size: int) -> Cells:
    """For each of ``size`` cells of an input, the cells of the result that depend on it."""
    if isinstance(cells, str):
        return cells
    result: list[list[int]] = [[] for _ in range(size)]
    for i, found in enumerate(cells):
        for j in found:
            result[j].append(i)
    return result


def beside(name: str, which: int, inputs: Sequence[Any]) -> Cells:
    """What the gradient of input ``which`` reads of the other input."""
    if name in ELEMENTWISE:
        return ALIGNED
    if name == "matmul" and inputs[0].ndim == inputs[1].ndim == 2:
        (m, k), n = inputs[0].shape, inputs[1].shape[1]
        if which == 0:  # da[i, k] = Σ dy[i, j] b[k, j]
            return [list(range(j * n, j * n + n)) for _ in range(m) for j in range(k)]
        return [list(range(j, m * k, k)) for j in range(k) for _ in range(n)]
    return ALL


def within(op: Any, x: Any, settings: dict[str, Any]) -> Cells:
    """What the gradient of a cell of x reads of x, where no formula of it is known."""
    name = known(op)
    if name in ELEMENTWISE:
        return ALIGNED
    if name in REDUCING or name in ALONG:
        return _along(x.shape, axes_of(settings, x.ndim))
    return ALL


def axes_of(settings: dict[str, Any], ndim: int) -> tuple[int, ...]:
    """Those that an operation works along, counted from the first."""
    axis = settings.get("axis", settings.get("axes"))
    if axis is None or not ndim:
        return tuple(range(ndim))
    return tuple(i % ndim for i in (axis if isinstance(axis, tuple | list) else (axis,)))


def _grouped(shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    """(groups, members): the numbers of the cells that lie together along the axes."""
    rest = [i for i in range(len(shape)) if i not in axes]
    numbers = np.arange(int(np.prod(shape))).reshape(shape).transpose(*rest, *axes)
    return numbers.reshape(int(np.prod([shape[i] for i in rest])), -1)


def _reduced(shape: tuple[int, ...], axes: tuple[int, ...], settings: dict[str, Any]) -> Cells:
    if settings.get("keepdims") or axes == tuple(range(len(axes))):
        return ALIGNED
    return _grouped(shape, axes).tolist()


def _along(shape: tuple[int, ...], axes: tuple[int, ...]) -> Cells:
    result: list[list[int]] = [[]] * int(np.prod(shape))
    for group in _grouped(shape, axes).tolist():
        for cell in group:
            result[cell] = group
    return result


def _moved(op: Any, inputs: Sequence[Any], settings: dict[str, Any], which: int) -> Cells:
    """The operation itself, run on the numbers of the cells, moves them."""
    numbers = [np.arange(a.size).reshape(a.shape) if k == which else np.full(a.shape, -1)
               for k, a in enumerate(inputs)]
    moved = np.asarray(op.function(*numbers, **settings)).reshape(-1)
    return [[i] if i >= 0 else [] for i in moved.tolist()]


def _product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[Any, Any]:
    (m, k), n = a, b[1]
    rows = [list(range(i * k, i * k + k)) for i in range(m) for _ in range(n)]
    columns = [list(range(j, k * n, n)) for _ in range(m) for j in range(n)]
    return rows, columns
