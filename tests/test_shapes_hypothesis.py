"""Shapes, broadcasting and indexing drawn at random, held to NumPy.

Gradients of linear operations need no tolerance of differences: for y = f(x) linear in x,
Σ f(v) dy = Σ v f*(dy) for all v and dy, where f* is what backward computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_norm as tn

repeatable = settings(
    deadline=None, max_examples=100, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
FULL = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Small integers as float64: sums and products of them are exact in any order."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float64)


def check(function: Callable[..., Any], expected: np.ndarray, *inputs: np.ndarray) -> None:
    """The value, and that backward is the adjoint, of a function linear in each input."""
    xs = [tn.tensor(x, requires_grad=True) for x in inputs]
    y = function(*xs)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    dy = tn.tensor(numbers(y.shape, 9))
    for create_graph in (False, True):
        gradients = tn.autograd.grad(y, xs, dy, retain_graph=True, create_graph=create_graph)
        for i, (x, g) in enumerate(zip(xs, gradients, strict=True)):
            assert g.shape == x.shape
            assert g.array.flags.writeable or not g.numel()
            v = tn.tensor(numbers(x.shape, 5 + i))
            moved = function(*(v if j == i else x.detach() for j, x in enumerate(xs)))
            assert (moved * dy).sum().item() == (v * g).sum().item()


@repeatable
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=3, min_side=0))
def test_broadcasting(shapes: hnp.BroadcastableShapes) -> None:
    a, b, c = (numbers(s, i) for i, s in enumerate(shapes.input_shapes))
    check(lambda a, b: a * b, a * b, a, b)
    condition = tn.tensor(c > 0)
    check(lambda a: tn.where(condition, a, 0.0), np.where(c > 0, a, 0), a)
    x, y = tn.tensor(a, requires_grad=True), tn.tensor(b, requires_grad=True)
    (x + y - tn.tensor(c)).sum().backward()
    total = math.prod(np.broadcast_shapes(*shapes.input_shapes))
    for leaf in (x, y):
        copies = total / leaf.numel() if leaf.numel() else 0
        assert (leaf.grad.numpy() == copies).all()


@repeatable
@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    x = numbers(shape)
    axes = data.draw(st.none() | st.sets(st.integers(-len(shape), len(shape) - 1)).map(tuple)
                     if shape else st.none())
    if axes is not None and len({a % len(shape) for a in axes}) != len(axes):
        with pytest.raises(RuntimeError):
            tn.tensor(x).sum(axes)
        return
    keepdim = data.draw(st.booleans())
    axis = axes or None  # PyTorch reduces all for ()
    check(lambda t: t.sum(axes, keepdim=keepdim) if axes is not None or keepdim else t.sum(),
          x.sum(axis, keepdims=keepdim), x)
    t = tn.tensor(x)
    if x.size:
        for ours, theirs in ((t.amax, x.max), (t.amin, x.min)):
            np.testing.assert_array_equal(ours(axes or (), keepdim), theirs(axis, keepdims=keepdim))
        np.testing.assert_allclose(t.mean(axes, keepdim), x.mean(axis, keepdims=keepdim))
        np.testing.assert_allclose(t.var(axes, correction=0, keepdim=keepdim),
                                   x.var(axis, keepdims=keepdim), atol=1e-12)
        np.testing.assert_allclose(t.logsumexp(axes or (), keepdim),
                                   np.log(np.exp(x).sum(axis, keepdims=keepdim)))
    if shape:
        one = data.draw(st.integers(-len(shape), len(shape) - 1))
        check(lambda t: t.cumsum(one), x.cumsum(one), x)
        np.testing.assert_array_equal(t.prod(one, keepdim), x.prod(one, keepdims=keepdim))


@repeatable
@given(st.data())
def test_rearranging(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    x = numbers(shape)
    axes = data.draw(st.permutations(range(len(shape))))
    check(lambda t: t.permute(*axes), x.transpose(axes), x)
    check(lambda t: t.T.reshape(-1).reshape(shape), x.T.reshape(-1).reshape(shape), x)
    check(lambda t: t.flatten(), x.reshape(-1), x)
    check(lambda t: t.squeeze(), x.squeeze(), x)
    chosen = data.draw(st.sets(st.sampled_from(range(len(shape)))) if shape else st.just(set()))
    check(lambda t: t.flip(tuple(chosen)), np.flip(x, tuple(chosen)), x)
    where = data.draw(st.integers(-len(shape) - 1, len(shape)))
    check(lambda t: t.unsqueeze(where), np.expand_dims(x, where), x)
    wide = (2, *(n if n != 1 else 3 for n in shape))
    check(lambda t: t.expand(wide), np.broadcast_to(x, wide), x)
    if len(shape) > 1:
        check(lambda t: t.transpose(0, -1), x.swapaxes(0, -1), x)
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(shape) - 1)] * 2)))
        joined = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        check(lambda t: t.flatten(first, last), x.reshape(joined), x)


@repeatable
@given(st.data())
def test_joining_and_splitting(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    full = [tuple(n if i == axis % len(shape) else s for i, s in enumerate(shape)) for n in lengths]
    parts = [numbers(s, i) for i, s in enumerate(full)]
    joined = np.concatenate(parts, axis)
    xs = [tn.tensor(p, requires_grad=True) for p in parts]
    y = tn.cat(xs, axis)
    np.testing.assert_array_equal(y.detach(), joined)
    dy = numbers(y.shape, 7)
    for g, piece in zip(tn.autograd.grad(y, xs, tn.tensor(dy)),
                        tn.tensor(dy).split(lengths, axis), strict=True):
        np.testing.assert_array_equal(g, piece)
    place = data.draw(st.integers(-len(shape) - 1, len(shape)))
    a, b = numbers(shape, 1), numbers(shape, 2)
    x, z = tn.tensor(a, requires_grad=True), tn.tensor(b, requires_grad=True)
    s = tn.stack([x, z, x], place)
    np.testing.assert_array_equal(s.detach(), np.stack([a, b, a], place))
    ds = numbers(s.shape, 3)
    dx, dz = tn.autograd.grad(s, [x, z], tn.tensor(ds))
    first, second, third = np.moveaxis(ds, place, 0)
    np.testing.assert_array_equal(dx, first + third)
    np.testing.assert_array_equal(dz, second)
    chunks = data.draw(st.integers(1, 5))
    np.testing.assert_array_equal(tn.cat(y.detach().chunk(chunks, axis), axis), joined)


@repeatable
@given(st.data())
def test_products(data: st.DataObject) -> None:
    """Every pair of ranks that matmul takes, with broadcast batches."""
    shapes = data.draw(hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature, max_dims=2, max_side=3, min_side=0))
    a, b = (numbers(s, i) for i, s in enumerate(shapes.input_shapes))
    check(lambda a, b: a @ b, np.matmul(a, b), a, b)
    if a.ndim == b.ndim == 2:
        check(lambda a, b: a.mm(b), a @ b, a, b)
        check(lambda a, b: tn.einsum("ij,jk->ki", a, b), (a @ b).T, a, b)
    if a.ndim > 1 and b.ndim > 1:
        check(lambda a, b: tn.einsum("...ij,...jk->...ik", a, b), np.matmul(a, b), a, b)


@st.composite
def einsums(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """Any sum of products: letters repeated within an operand, summed in one or in several."""
    sizes = {letter: draw(st.integers(1, 3)) for letter in "abcd"}
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    letters = sorted(set("".join(terms)))
    result = draw(st.permutations(letters).map("".join)) if letters else ""
    result = result[: draw(st.integers(0, len(result)))]
    subscripts = ",".join(terms) + ("->" + result if draw(st.booleans()) else "")
    return subscripts, [tuple(sizes[c] for c in term) for term in terms]


@repeatable
@given(einsums())
def test_einsum(case: tuple[str, list[tuple[int, ...]]]) -> None:
    subscripts, shapes = case
    arrays = [numbers(s, i) for i, s in enumerate(shapes)]
    check(lambda *xs: tn.einsum(subscripts, *xs), np.einsum(subscripts, *arrays), *arrays)


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


@repeatable
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3, min_side=1),
       st.sampled_from(["add", "sub", "mul", "div", "maximum", "minimum", "pow"]))
def test_broadcast_gradients_are_sums(shapes: hnp.BroadcastableShapes, name: str) -> None:
    """The gradient of a broadcast input is that of its copies, added up."""
    a = np.abs(numbers(shapes.input_shapes[0], 1)) + 0.5
    b = np.abs(numbers(shapes.input_shapes[1], 2)) + 1.25
    dy = tn.tensor(numbers(shapes.result_shape, 3))
    small = [tn.tensor(v, requires_grad=True) for v in (a, b)]
    large = [tn.tensor(np.broadcast_to(v, shapes.result_shape).copy(), requires_grad=True)
             for v in (a, b)]
    results = []
    for xs in (small, large):
        y = getattr(tn, name)(*xs)
        results.append((y, tn.autograd.grad(y, xs, dy)))
    np.testing.assert_array_equal(*(y.detach() for y, _ in results))
    for x, g, whole in zip(small, results[0][1], results[1][1], strict=True):
        extra = whole.ndim - x.ndim
        total = whole.numpy().sum(tuple(range(extra)))
        axes = tuple(i for i, n in enumerate(x.shape) if n == 1)
        np.testing.assert_allclose(g, total.sum(axes, keepdims=True) if axes else total,
                                   rtol=1e-12, atol=1e-12)
