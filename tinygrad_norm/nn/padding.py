"""More values about a tensor."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.graph import wrap
from ..backend.array import array_module
from ..errors import ShapeError, not_a_tensor
from ..ops.shape import broadcast_to, concatenate, flip, put, replace
from ..tensors.tensor import Tensor
from .checks import as_int

MODES = ("constant", "reflect", "replicate", "circular")
CURE = "; pad less, or with mode='constant' or 'replicate'"


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant",
        value: float | None = None) -> Tensor:
    """The input with a border: ``(left, right, top, bottom, …)``, the last axis first.

    Args:
        mode: ``"constant"``: the border is ``value``, by default 0, and a negative width takes
            values away; ``"reflect"``: the input mirrored at its outermost value, ``"replicate"``:
            that value again, ``"circular"``: the input from its other end; each for 1 to 3 axes
            behind (N, C) or (C,).

    >>> import tinygrad_norm as tn
    >>> tn.nn.functional.pad(tn.tensor([[1., 2., 3.]]), (2, 1), mode="reflect").tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]
    """
    if not isinstance(input, Tensor):
        raise not_a_tensor("pad", input)
    if mode not in MODES:
        raise NotImplementedError(f"pad: expected mode to be one of {', '.join(MODES)}, got "
                                  f"{mode!r}")
    if not isinstance(pad, tuple | list):
        raise TypeError(f"pad: expected a tuple of widths, as (left, right), got {pad!r}")
    widths = [as_int("pad", "each width", w) for w in pad]
    axes, ndim = len(widths) // 2, input.array.ndim
    if len(widths) % 2 or axes > ndim:
        raise ShapeError(f"pad: expected two widths, before and behind, for at most {ndim} axes, "
                         f"got {len(widths)} numbers")
    pairs = [(0, 0)] * (ndim - axes) + [(widths[i], widths[i + 1])
                                        for i in range(2 * axes - 2, -1, -2)]
    if mode == "constant":
        return _constant(input, pairs, 0.0 if value is None else value)
    if value:
        raise ShapeError(f"pad: mode {mode!r} takes its values from the input, got value={value}")
    if not 1 <= axes <= 3 or ndim not in (axes + 1, axes + 2):
        raise NotImplementedError(
            f"pad: expected for mode {mode!r} two widths for each of 1 to 3 axes behind (N, C) or "
            f"(C,), got {len(widths)} widths for input {input.array.shape}")
    for axis, (before, behind) in enumerate(pairs):
        if before or behind:
            _check(mode, before, behind, input.array.shape[axis])
            input = _bordered(input, mode, before, behind, axis)
    return input


def _constant(x: Tensor, pairs: list[tuple[int, int]], value: float) -> Tensor:
    shape = x.array.shape
    full = tuple(n + a + b for n, (a, b) in zip(shape, pairs, strict=True))
    if any(n < 0 or m < 0 for n, m in zip(full, (
            n + min(a, 0) + min(b, 0) for n, (a, b) in zip(shape, pairs, strict=True)),
            strict=True)):
        raise ShapeError(f"pad: cannot take away more than there is: widths {pairs} of input "
                         f"{shape}")
    taken = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, pairs, strict=True))
    inner = tuple(slice(max(a, 0), m - max(b, 0)) for m, (a, b) in zip(full, pairs, strict=True))
    if x.array.dtype.kind == "i" and not math.isfinite(value):
        raise ShapeError(f"pad: expected a finite value for {x.array.dtype}, got {value}; call "
                         ".float()")
    part = x[taken] if min(map(min, pairs), default=0) < 0 else x
    if value == 0:
        return put(part, indices=(inner,), shape=full)
    border = wrap(Tensor, array_module(x.array).full(full, value, dtype=x.array.dtype))
    return replace(border, part, index=inner)


def _check(mode: str, before: int, behind: int, n: int) -> None:
    if min(before, behind) < 0:
        raise ShapeError(f"pad: expected widths >= 0 for mode {mode!r}, got ({before}, {behind}); "
                         "take values away with an index or with mode='constant'")
    most = {"reflect": n - 1, "circular": n}.get(mode)
    if most is not None and max(before, behind) > most:
        raise ShapeError(f"pad: expected widths <= {most} for mode {mode!r} of an axis of {n}, got "
                         f"({before}, {behind}){CURE}")
    if not n:
        raise ShapeError(f"pad: mode {mode!r} needs values to take, got an axis of 0")


def _bordered(x: Any, mode: str, before: int, behind: int, axis: int) -> Tensor:
    """One axis with its border: pieces of x one after another."""
    n = x.array.shape[axis]

    def part(start: int, stop: int) -> Any:
        return x[(*(slice(None),) * axis, slice(start, stop))]

    def again(piece: Any, times: int) -> Any:
        shape = piece.array.shape
        return broadcast_to(piece, shape=(*shape[:axis], times, *shape[axis + 1:]))

    if mode == "circular":
        ends = part(n - before, n), part(0, behind)
    elif mode == "replicate":
        ends = again(part(0, 1), before), again(part(n - 1, n), behind)
    else:
        ends = (flip(part(1, before + 1), axes=(axis,)),
                flip(part(n - 1 - behind, n - 1), axes=(axis,)))
    return concatenate(ends[0], x, ends[1], axis=axis)
