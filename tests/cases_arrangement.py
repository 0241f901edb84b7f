"""Rows for shapes, indexing and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from case import Case, R, S

from tinygrad_norm.ops import linalg

SHAPES = [
    Case("reshape", lambda m, x: x.reshape(4, -1) ** 2, lambda x: x.reshape(4, -1) ** 2, (S,)),
    Case("reshape tuple", lambda m, x: x.reshape((24,)) ** 2, lambda x: x.reshape(24) ** 2, (S,)),
    Case("reshape 0-dim", lambda m, x: x.reshape(()) ** 2, lambda x: x.reshape(()) ** 2, ((1, 1),)),
    Case("view", lambda m, x: x.view(6, 4) ** 2, lambda x: x.reshape(6, 4) ** 2, (S,)),
    Case("transpose", lambda m, x: x.transpose(0, -1) ** 2, lambda x: x.swapaxes(0, -1) ** 2, (S,)),
    Case("permute", lambda m, x: x.permute(2, 0, -2) ** 2,
         lambda x: x.transpose(2, 0, 1) ** 2, (S,)),
    Case("T", lambda m, x: x.T @ x, lambda x: x.T @ x, (R,)),
    Case("mT", lambda m, x: x.mT @ x, lambda x: x.swapaxes(-1, -2) @ x, (S,)),
    Case("t", lambda m, x: x.t() ** 2, lambda x: x.T**2, (R,)),
    Case("unsqueeze", lambda m, x: x.unsqueeze(1) * x.unsqueeze(-3),
         lambda x: x[:, None] * x[None], (R,)),
    Case("squeeze", lambda m, x: x.squeeze() ** 2, lambda x: x.squeeze() ** 2, ((1, 3, 1),)),
    Case("squeeze dim", lambda m, x: x.squeeze(0).squeeze(0) ** 2,
         lambda x: x.squeeze(0) ** 2, ((1, 3, 1),)),
    Case("squeeze dims", lambda m, x: x.squeeze((0, 2)) ** 2, lambda x: x.squeeze() ** 2,
         ((1, 3, 1),)),
    Case("flatten", lambda m, x: x.flatten() ** 2, lambda x: x.reshape(-1) ** 2, (S,)),
    Case("flatten dims", lambda m, x: x.flatten(1, -1) ** 2, lambda x: x.reshape(2, 12) ** 2, (S,)),
    Case("expand", lambda m, x: x.expand(4, -1, 3) ** 2,
         lambda x: np.broadcast_to(x, (4, 2, 3)) ** 2, ((2, 1),)),
    Case("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3)) ** 2,
         lambda x: np.broadcast_to(x, (2, 3)) ** 2, ((3,),)),
    Case("flip", lambda m, x: x.flip(0, -1) * x, lambda x: np.flip(x, (0, -1)) * x, (S,)),
    Case("flip tuple", lambda m, x: m.flip(x, (1,)) * x, lambda x: np.flip(x, 1) * x, (R,)),
    Case("cat", lambda m, a, b: m.cat([a, b, a], dim=1) ** 2,
         lambda a, b: np.concatenate([a, b, a], 1) ** 2, ((2, 3), (2, 1))),
    Case("cat negative", lambda m, a, b: m.cat((a, b), -2) ** 2,
         lambda a, b: np.concatenate([a, b], 0) ** 2, ((2, 3), (1, 3))),
    Case("stack", lambda m, a, b: m.stack([a, b], dim=1) ** 2,
         lambda a, b: np.stack([a, b], 1) ** 2, (R, R)),
    Case("stack last", lambda m, a, b: m.stack((a, b), -1) ** 2,
         lambda a, b: np.stack([a, b], -1) ** 2, (R, R)),
    Case("stack 0-dim", lambda m, a, b: m.stack([a, b, a]) ** 2,
         lambda a, b: np.stack([a, b, a]) ** 2, ((), ())),
    Case("split", lambda m, x: x.split(2, dim=1)[1] * x.split([1, 3, 1], dim=1)[2],
         lambda x: x[:, 2:4] * x[:, 4:], ((2, 5),)),
    Case("chunk", lambda m, x: x.chunk(2, dim=-1)[0] ** 2, lambda x: x[:, :3] ** 2, ((2, 5),)),
    Case("gather", lambda m, x: x.gather(1, m.tensor([[0, 0], [2, 1]], device=x.device)) ** 2,
         lambda x: np.take_along_axis(x, np.array([[0, 0], [2, 1]]), 1) ** 2, (R,)),
    Case("gather dim 0", lambda m, x: x.gather(0, m.tensor([[0, 1, 0]], device=x.device)) ** 2,
         lambda x: np.take_along_axis(x, np.array([[0, 1, 0]]), 0) ** 2, (R,)),
]


def _indexing(
    name: str, index: Any, shape: tuple[int, ...] = (4, 3, 5), expected: Any = None
) -> Case:
    """x[index]; a list in the index becomes an integer or bool tensor on the device of x."""

    def place(m: Any, x: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(m.tensor(p, device=x.device) if isinstance(p, list) else p for p in parts)
        return parts if isinstance(index, tuple) else parts[0]

    arrays = tuple(np.array(p) if isinstance(p, list) else p for p in index) if isinstance(
        index, tuple) else np.array(index) if isinstance(index, list) else index
    return Case("index " + name, lambda m, x: x[place(m, x)] ** 2,
                expected or (lambda x: x[arrays] ** 2), (shape,))


INDEXING = [
    _indexing("integer", 1),
    _indexing("negative", -1),
    _indexing("integers", (1, -1, 2)),
    _indexing("slice", slice(1, 3)),
    _indexing("steps", (slice(None, None, 2), slice(None), slice(1, -1))),
    _indexing("None", (None, 1, None)),
    _indexing("ellipsis", (..., 2)),
    _indexing("ellipsis in the middle", (0, ..., slice(1))),
    _indexing("nothing", ()),
    _indexing("empty slice", slice(2, 2)),
    _indexing("integer tensor", [2, 0, 0, 3, -1]),
    _indexing("integer matrix", (slice(None), [[0, 1], [2, 2]])),
    _indexing("two integer tensors", ([0, 3, 3], [1, 2, 2])),
    _indexing("tensors apart", ([0, 3], slice(None), [1, 4])),
    _indexing("tensors broadcast", ([[0], [2]], [1, 2, 0])),
    _indexing("integer and tensor", (1, slice(None), [0, 4]),
              expected=lambda x: x[1][:, [0, 4]] ** 2),
    _indexing("integer beside tensor", (slice(None), 1, [0, 4, 4])),
    _indexing("integer, mask and None", (None, [[True, False, False]] * 4, ..., 1),
              expected=lambda x: x[..., 1][:, 0][None] ** 2),
    _indexing("mask", [True, False, False, True]),
    _indexing("mask later", (slice(1, 3), [True, False, True])),
    _indexing("mask of two axes", [[True, False, False], [False, True, True]], (2, 3, 2)),
    Case("index own mask", lambda m, x: x[x > 0] ** 3, lambda x: x[x > 0] ** 3, (S,), "distinct"),
    Case("index list", lambda m, x: x[[1, 0, 1]] ** 2, lambda x: x[[1, 0, 1]] ** 2, (R,)),
    Case("index list of bools", lambda m, x: x[:, [True, False, True]] ** 2,
         lambda x: x[:, [0, 2]] ** 2, (R,)),
    Case("iterate", lambda m, x: m.stack([row * i for i, row in enumerate(x)]) * x,
         lambda x: x * np.arange(2)[:, None] * x, (R,)),
]


def _written(place: Any) -> Callable[..., Any]:
    """x² with v² written at a place."""

    def function(m: Any, x: Any, v: Any) -> Any:
        y = x * x
        y[m.tensor(place, device=x.device) if isinstance(place, list) else place] = v * v
        return y * x

    return function


def _overwritten(place: Any) -> Callable[..., Any]:
    def expected(x: Any, v: Any) -> Any:
        y = np.array(x * x)
        y[place] = v * v
        return y * x

    return expected


INDEXING += [
    Case("write to 0-dim", _written(...), _overwritten(...), ((), ())),
    *(Case(f"write at {name}", _written(place), _overwritten(place), ((4, 3), shape))
      for name, place, shape in (
        ("integer", 1, (3,)), ("slices", (slice(1, 3), slice(None, None, 2)), (2, 2)),
        ("broadcast", (..., 0), ()), ("integer tensor", [2, 0], (2, 3)),
        ("mask", [True, False, True, True], (3, 3)), ("everywhere", ..., (4, 1)),
    )),
]


def _matmul(a: tuple[int, ...], b: tuple[int, ...]) -> Case:
    return Case(f"matmul {a} {b}", lambda m, x, y: x @ y, lambda x, y: np.matmul(x, y), (a, b))


PRODUCTS = [
    *(_matmul(a, b) for a, b in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (2, 3, 4)),
        ((2, 2, 3), (3, 4)), ((2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)),
        ((2, 2, 3), (3,)), ((2, 1, 3, 2), (2,)), ((1, 1), (1, 1)), ((2, 0), (0, 3)),
    )),
    Case("matmul()", lambda m, a, b: m.matmul(a, b), np.matmul, (R, (3, 2))),
    Case("a @ a", lambda m, a: a @ a @ a, lambda a: a @ a @ a, ((3, 3),)),
    Case("mm", lambda m, a, b: a.mm(b), np.matmul, (R, (3, 2))),
    Case("bmm", lambda m, a, b: m.bmm(a, b), np.matmul, ((2, 2, 3), (2, 3, 2))),
    Case("dot", lambda m, a, b: a.dot(b), np.dot, ((4,), (4,))),
    Case("linear", lambda m, x, w, b: linalg.linear(x, w, b), lambda x, w, b: x @ w.T + b,
         ((4, 3), (2, 3), (2,)), torch=False),
    Case("linear no bias", lambda m, x, w: linalg.linear(x, w, None), lambda x, w: x @ w.T,
         ((2, 4, 3), (2, 3)), torch=False),
    Case("linear one row", lambda m, x, w, b: linalg.linear(x, w, b), lambda x, w, b: x @ w.T + b,
         ((3,), (2, 3), (2,)), torch=False),
]


def _einsum(subscripts: str, *shapes: tuple[int, ...], numpy: str | None = None) -> Case:
    def expected(*xs: np.ndarray) -> Any:
        return np.einsum(numpy or subscripts, *xs)

    return Case("einsum " + subscripts, lambda m, *xs: m.einsum(subscripts, *xs), expected, shapes)


PRODUCTS += [
    _einsum("ij,jk->ik", (2, 3), (3, 4)),
    _einsum("ij,jk", (2, 3), (3, 4)),
    _einsum("ba,ac", (2, 3), (3, 4)),
    _einsum("ij -> ji", (2, 3)),
    _einsum("ij->", (2, 3)),
    _einsum("ij", (2, 3)),
    _einsum("ba", (2, 3)),
    _einsum("ijk->j", (2, 3, 4)),
    _einsum("i,j->ij", (2,), (3,)),
    _einsum("ij,ij->", (2, 3), (2, 3)),
    _einsum("bij,bj->bi", (2, 3, 4), (2, 4)),
    _einsum("bhqd,bhkd->bhqk", (2, 2, 2, 3), (2, 2, 3, 3)),
    _einsum("...ij,...jk->...ik", (2, 3, 2), (2, 4)),
    _einsum("...i,i->...", (2, 3, 4), (4,)),
    _einsum("i...->...", (2, 3)),
    _einsum("...ij->...ji", (2, 3, 4)),
    _einsum("...i,...i", (2, 3), (3,)),
    _einsum("ii->i", (3, 3)),
    _einsum("ii", (3, 3)),
    _einsum("iji->j", (3, 2, 3)),
    _einsum("iij,jk->ik", (2, 2, 3), (3, 2)),
    _einsum("iii->i", (2, 2, 2)),
    _einsum("ij,kl->i", (2, 3), (2, 2)),
    _einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
    _einsum("i,i,i->i", (3,), (3,), (3,)),
    _einsum("a,b,c,d->ac", (2,), (3,), (2,), (2,)),
    _einsum(",ij->ij", (), (2, 3)),
    _einsum("ij,ij->ij", (2, 3), (1, 3)),
]
