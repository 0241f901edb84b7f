"""Moments of parts, merged: the moments of the whole, of every order of derivative."""

from __future__ import annotations

import numpy as np
import pytest
from norm_cases import Series, array, directional, tensor

import tinygrad_norm as tn
from tinygrad_norm.nn.normalization.algebra import Moments, merge, moments

CUTS = [[5], [2, 3], [1, 1, 3], [1, 1, 1, 1, 1]]


def merged(x: tn.Tensor, cuts: list[int], axes: tuple[int, ...]) -> Moments:
    return merge([moments(part, axes) for part in tn.split(x, cuts)])


@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 4)])
def test_parts_have_the_moments_of_the_whole(
    cuts: list[int], shape: tuple[int, ...], device: str
) -> None:
    """Values, and derivatives of order 1 to 4 along a line."""
    random = np.random.default_rng(0)
    x, v = random.standard_normal((2, *shape))
    axes = (0,) if len(shape) == 2 else (0, 2)
    leaf = tensor(x, device, grad=True)
    found = merged(leaf, cuts, axes)
    assert found.n == x.size // shape[1]
    np.testing.assert_allclose(array(found.mean).reshape(-1), x.mean(axis=axes), rtol=1e-13)
    np.testing.assert_allclose(array(found.var).reshape(-1), x.var(axis=axes), rtol=1e-13)
    line = Series.line(x, v)
    mean = line.sum(axis=axes, keepdims=True) * (1 / found.n)
    away = line - mean
    var = (away * away).sum(axis=axes, keepdims=True) * (1 / found.n)
    expected = ((var + 1) ** -1.5 * mean).sum()
    got = directional(((found.var + 1) ** -1.5 * found.mean).sum(), [leaf], [tensor(v, device)])
    np.testing.assert_allclose(got, expected.derivatives, rtol=1e-9)


def test_the_gradient_of_a_mean_alone_has_the_shape_of_the_input() -> None:
    x = tensor(np.zeros((4, 3)), grad=True)
    (dx,) = tn.autograd.grad(moments(x, (0,)).mean.sum(), x)
    np.testing.assert_array_equal(array(dx), np.full((4, 3), 0.25))
