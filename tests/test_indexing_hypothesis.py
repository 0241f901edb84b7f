"""Indices drawn at random, for reading and for writing, held to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from adjoint import check, numbers, repeatable
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_norm as tn

FULL = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)

def _as_torch(index: Any) -> bool:
    """Whether NumPy and PyTorch mean the same: not where an int stands apart from an array."""
    parts = index if isinstance(index, tuple) else (index,)
    return not (any(isinstance(p, int) for p in parts)
                and any(isinstance(p, np.ndarray) for p in parts))


def _tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_tensors(p) for p in index)
    return tn.tensor(index) if isinstance(index, np.ndarray) else index


@st.composite
def indices(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape with a basic index, an integer array index, a mask, or a mix of them."""
    shape = draw(FULL.filter(len))
    kind = draw(st.sampled_from(["basic", "arrays", "mask", "mixed"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, shape[: draw(st.integers(1, len(shape)))]))
    if kind == "arrays":
        return shape, draw(hnp.integer_array_indices(
            shape, result_shape=hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)))
    parts: list[Any] = []
    for n in shape:
        parts.append(draw(st.one_of(
            st.slices(n), st.integers(-n, n - 1).map(lambda i: np.array([i, i])),
            st.just(np.arange(n) % 2 == 0) if not parts else st.slices(n))))
    masks = sum(p.sum() != 2 for p in parts if isinstance(p, np.ndarray) and p.dtype == bool)
    if masks:
        parts = [slice(None) if isinstance(p, np.ndarray) and p.dtype == bool else p for p in parts]
    return shape, tuple(parts[: draw(st.integers(1, len(parts)))])


@repeatable
@given(indices())
def test_indexing(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    if not _as_torch(index):
        return
    x, place = numbers(shape), _tensors(index)
    check(lambda t: t[place], x[index], x)


@repeatable
@given(indices())
def test_writing_at_an_index(case: tuple[tuple[int, ...], Any]) -> None:
    """Unrecorded as NumPy does; recorded with the gradient of what is left of each value."""
    shape, index = case
    if not _as_torch(index):
        return
    x, place = numbers(shape), _tensors(index)
    value = numbers(x[index].shape, 4)
    expected = x.copy()
    expected[index] = value
    plain = tn.tensor(x)
    plain[place] = tn.tensor(value)
    np.testing.assert_array_equal(plain, expected)
    a, b = tn.tensor(x, requires_grad=True), tn.tensor(value, requires_grad=True)
    y = a * 1
    y[place] = b
    np.testing.assert_array_equal(y.detach(), expected)
    dy = numbers(shape, 8)
    da, db = tn.autograd.grad(y, [a, b], tn.tensor(dy))
    kept = np.ones(shape)
    kept[index] = 0
    np.testing.assert_array_equal(da, dy * kept)
    number = np.full(shape, -1)  # which value each place has in the end
    number[index] = np.arange(value.size).reshape(value.shape)
    np.testing.assert_array_equal(
        db, dy[index] * (number[index] == np.arange(value.size).reshape(value.shape)))


@repeatable
@given(st.data())
def test_ints_before_arrays(data: st.DataObject) -> None:
    """x[i, :, a] takes x[i] first, as PyTorch does; NumPy would move the array's axis."""
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4))
    x = numbers(shape)
    i = data.draw(st.integers(-shape[0], shape[0] - 1))
    a = data.draw(hnp.arrays(np.int64, 3, elements=st.integers(0, shape[-1] - 1)))
    check(lambda t: t[i, ..., tn.tensor(a)], x[i][..., a], x)
    written = tn.tensor(x)
    written[i, ..., tn.tensor(a)] = 7.0
    expected = x.copy()
    expected[i][..., a] = 7
    np.testing.assert_array_equal(written, expected)


@repeatable
@given(st.data())
def test_gather(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cut = tuple(data.draw(st.integers(1, 5 if i == axis % len(shape) else n))
                for i, n in enumerate(shape))
    index = data.draw(hnp.arrays(np.int64, cut, elements=st.integers(0, shape[axis] - 1)))
    x = numbers(shape)
    short = x[tuple(slice(None) if i == axis % len(shape) else slice(n)
                    for i, n in enumerate(cut))]
    check(lambda t: t.gather(axis, tn.tensor(index)), np.take_along_axis(short, index, axis), x)
    t = tn.tensor(x, requires_grad=True)
    values, at = t.max(axis)
    np.testing.assert_array_equal(values.detach(), x.max(axis))
    np.testing.assert_array_equal(at, x.argmax(axis))
    values.sum().backward()
    assert t.grad.sum().item() == values.numel()
