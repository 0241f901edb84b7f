"""Reads of many parts of one tensor: rows, pieces, elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.ops import shape


def _sum_of(parts: Any) -> Any:
    total: Any = 0
    for i, part in enumerate(parts):
        total = total + part * part * (i + 1)
    return total


READS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda x: _sum_of(x),
    "unbind": lambda x: _sum_of(x.unbind(1)),
    "split": lambda x: _sum_of(x.split(1)),
    "chunk": lambda x: _sum_of(x.chunk(3, dim=1)),
    "x[i]": lambda x: _sum_of(x[i] for i in range(x.shape[0])),
    "x[i], and whole": lambda x: _sum_of(x[i] for i in range(x.shape[0])).sum() * x,
    "indices, twice": lambda x: _sum_of(x[[0, i, 0]] for i in range(x.shape[0])),
    "mask": lambda x: _sum_of(x[x > limit].sum() for limit in (0.1, 1.1, 2.1)),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", READS)
def test_the_way_back_through_many_parts_fills_one_array(
    name: str, create_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = shape.put.function
    monkeypatch.setattr(shape.put, "function", lambda *xs, **s: calls.append(1) or real(*xs, **s))
    values = np.arange(12.0).reshape(4, 3) / 4
    for intermediate in (False, True):
        x = tn.tensor(values, requires_grad=True)
        y = READS[name](x * 1 if intermediate else x).sum()
        (g,) = tn.autograd.grad(y, x, create_graph=create_graph)
        assert len(calls) == 1
        calls.clear()
        step = 1e-6
        for place in ((0, 0), (2, 1), (3, 2)):
            high, low = values.copy(), values.copy()
            high[place] += step
            low[place] -= step
            slope = (READS[name](tn.tensor(high)).sum() - READS[name](tn.tensor(low)).sum()) / (
                2 * step)
            assert g[place].item() == pytest.approx(slope.item(), rel=1e-7)


def test_reads_have_derivatives_of_every_order() -> None:
    def read(x: Any) -> Any:
        a, b, c = x
        return a * b * c + x[[0, 0, 2]].prod() * x[1:].sum()

    x = tn.tensor([0.5, 2.0, -1.5], dtype=tn.float64, requires_grad=True)
    assert tn.autograd.gradcheck(read, x)
    assert tn.autograd.gradgradcheck(read, x)
    assert tn.autograd.gradgradcheck(
        lambda x: tn.autograd.grad(read(x), x, create_graph=True)[0], x)


def test_pieces_that_cannot_be() -> None:
    x = tn.ones(4, 2)
    for function, words in (
        (lambda: x.split(0), "split: expected pieces of 1 or more along a dimension of 4, got 0"),
        (lambda: x.split(-1), "split: expected pieces of 1 or more"),
        (lambda: x.split([5, -1]), "split: sizes .* do not add up to 4"),
        (lambda: x.chunk(0), "chunk: expected at least 1 piece, got 0"),
        (lambda: x.unbind(2), "unbind: Dimension out of range"),
        (lambda: x[0, 0].chunk(1), "chunk: expected a tensor with at least one dimension"),
    ):
        with pytest.raises((ValueError, IndexError), match=words):
            function()
    assert [p.shape for p in tn.zeros(0, 2).split(0)] == [(0, 2)]


@pytest.mark.parametrize("dtype", [tn.float16, tn.float32])
def test_many_reads_of_one_value_are_added_up_in_float64(dtype: Any, device: str) -> None:
    for read in (lambda x: tn.stack([x[0] for _ in range(5000)]).sum(),
                 lambda x: tn.stack([x[[0]] for _ in range(5000)]).sum()):
        x = tn.zeros(2, dtype=dtype, device=device, requires_grad=True)
        read(x).backward()
        assert x.grad.tolist() == [5000, 0]
