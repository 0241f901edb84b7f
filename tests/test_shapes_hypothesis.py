"""Shapes and broadcasting drawn at random, held to NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from adjoint import check, numbers, repeatable
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_norm as tn

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

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
