"""The kernels of arrays that record, called with plain arrays: as exact as NumPy's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict

from tinygrad_norm.backend import passes, reference, sums
from tinygrad_norm.backend.choose import RECORDS, kernel
from tinygrad_norm.ops import choice, loss


class Recording:
    """What the kernels are chosen by."""

    __module__ = f"{RECORDS}.arrays"


AXES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "few rows": ((2, 5), (0,)), "700": ((700, 6), (0,)), "5000": ((5000, 6), (0,)),
    "channels": ((3, 4, 7, 5), (0, 2, 3)), "many": ((8, 3, 20, 20), (0, 2, 3)),
    "rows": ((6, 48), (1,)), "long rows": ((3, 3000), (-1,)), "groups": ((2, 3, 4, 90), (2, 3)),
    "one value": ((4, 1), (1,)), "no rows": ((0, 5), (1,))}
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x, "transposed": np.asfortranarray,
    "sliced": lambda x: np.repeat(x, 2, axis=-1)[..., ::2]}


def drawn(shape: tuple[int, ...], offset: float, dtype: str, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) + offset).astype(dtype)


def moments(kernels: Any, x: Any, **settings: Any) -> tuple[Any, Any, Any]:
    """(xc, mean, var)"""
    xc, pivot, shift, var = kernels.statistics(x, **settings)
    return xc, pivot if shift is None else pivot + shift, var


def exact(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """(xc, mean, var), added exactly."""
    n = math.prod(x.shape[i] for i in axes) or 1
    wide = x.astype(np.longdouble)
    xc = wide - wide.sum(axis=axes, keepdims=True) / n
    return xc, wide - xc, (xc * xc).sum(axis=axes, keepdims=True) / n


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(("dtype", "offset"), [("float32", 0.5), ("float32", 1e6),
                                               ("float64", 1e4)])
@pytest.mark.parametrize(("shape", "axes"), AXES.values(), ids=AXES)
def test_moments_and_their_gradient(
    shape: tuple[int, ...], axes: tuple[int, ...], dtype: str, offset: float,
    layout: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Against more digits, from the same values; and shapes and dtypes as the reference gives."""
    x = layout(drawn(shape, offset, dtype))
    got = moments(passes, x, axes=axes, centred=True)
    ours = moments(reference, x, axes=axes, centred=True)
    assert [(v.shape, v.dtype) for v in got] == [(v.shape, v.dtype) for v in ours]
    # NumPy adds the rows of a matrix one after another, float64 too
    unit = (20 if dtype == "float32" else 100) * float(np.finfo(dtype).eps)
    xc, _, var = exact(x, axes)
    np.testing.assert_allclose(got[0].astype(float), xc.astype(float), rtol=0, atol=unit)
    np.testing.assert_allclose(got[2].reshape(var.shape), var.astype(float), rtol=unit, atol=unit)
    dy = layout(drawn(shape, 10.0, dtype, seed=1))
    weight = drawn(got[2].shape, 1.0, dtype, seed=2)
    for w in (None, weight):
        settings = (axes, 1e-5, True)
        given = passes.output_gradient(dy, got[0], got[2], w, *settings)
        wide = (v if v is None else v.astype(np.longdouble) for v in (dy, got[0], got[2], w))
        expected = reference.output_gradient(*wide, *settings)
        plain = reference.output_gradient(dy, got[0], got[2], w, *settings)
        for mine, its, other in zip(given, expected, plain, strict=True):
            assert (mine.shape, mine.dtype) == (other.shape, other.dtype)
            size = max(float(np.abs(its).max(initial=0)), 1.0)
            np.testing.assert_allclose(mine.astype(float), its.astype(float), rtol=0,
                                       atol=unit * size)


def test_not_centred() -> None:
    x = drawn((40, 3000), 2.0, "float32")
    xc, mean, var = moments(passes, x, axes=(1,), centred=False)
    assert xc is x
    assert not mean.any()
    np.testing.assert_allclose(var[:, 0], (x.astype(float)**2).mean(1), rtol=1e-6)


@pytest.mark.parametrize("n", [3, 64, 1000, 5000])
@pytest.mark.parametrize("number", [0.1, -1e30, 3.4e38, 1e-30, 1e-44, 12345.678])
def test_copies_of_a_number_have_no_spread(number: float, n: int) -> None:
    x = np.full((n, 2), number, "float32")
    xc, mean, var = moments(passes, x, axes=(0,), centred=True)
    assert not xc.any()
    assert not var.any()
    np.testing.assert_array_equal(mean, x[0])


@pytest.mark.parametrize("n", [100, 5000])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_where_it_is(bad: float, n: int) -> None:
    x = drawn((n, 3), 0.0, "float32")
    x[n // 2, 1] = bad
    with np.errstate(invalid="ignore"):
        _, _, var = moments(passes, x, axes=(0,), centred=True)
    assert np.isnan(var).tolist() == [False, True, False]


def test_samples_that_mislead() -> None:
    """All that are looked at lie far from the rest: then the mean is subtracted."""
    x = drawn((8000, 2), 0.0, "float32")
    x[passes.few(x.shape, (0,), len(x))] += 1e6
    (xc, _, var), ours = (moments(f, x, axes=(0,), centred=True)
                          for f in (passes, reference))
    _, _, wanted = exact(x, (0,))
    np.testing.assert_allclose(var, wanted[0].astype(float), rtol=1e-6)
    np.testing.assert_allclose(xc, ours[0], rtol=1e-6, atol=0.01)


def test_arrays_that_are_not_asked() -> None:
    """Of a device that would have to wait the mean is subtracted, whatever the number."""
    x = drawn((5000, 3), 1e4, "float32")
    _, _, var = moments(passes, strict.StrictArray(x), axes=(0,), centred=True)
    np.testing.assert_allclose(var.hidden, exact(x, (0,))[2][0].astype(float), rtol=1e-6)


@pytest.mark.parametrize(("shape", "axes"), AXES.values(), ids=AXES)
def test_a_few_are_few_and_spread_evenly(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    n = math.prod(shape[i] for i in axes)
    places = np.arange(math.prod(shape)).reshape(shape)
    some = places[passes.few(shape, axes, n)]
    each = some.size * n // max(places.size, 1)
    assert each <= max(n // 8, 1)
    assert each <= 27
    assert each or not places.size
    assert all(some.shape[i] == size for i, size in enumerate(shape)
               if i not in {a % len(shape) for a in axes})


@pytest.mark.parametrize(("shape", "axes"), AXES.values(), ids=AXES)
def test_sums(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x, by = drawn(shape, 3.0, "float32"), drawn(shape, 0.0, "float32", seed=1)
    n = math.prod(shape[i] for i in axes) or 1
    for formula in (sums.total, sums.average):
        for given in (None, by):
            got = kernel(formula, Recording)(x, axes, n, given)
            plain = formula(x.astype(float), axes, n, given)
            assert (got.shape, got.dtype) == (plain.shape, x.dtype)
            np.testing.assert_allclose(got, plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 10, 100])
def test_cross_entropy_among_classes(classes: int) -> None:
    """As with one value of each row looked up; a share of 0 leaves a row out."""
    random = np.random.default_rng(0)
    x = (random.standard_normal((64, classes)) * 30).astype("float32")
    labels = random.integers(0, classes, 64)
    for share in (1 / 64, (random.random(64) < 0.5).astype("float32")):
        got, its = (kernel(loss.at_labels, kind)(x, labels, share)
                    for kind in (Recording, np.ndarray))
        np.testing.assert_allclose(got[0], its[0], rtol=1e-6)
        np.testing.assert_allclose(got[1], its[1], rtol=1e-6, atol=1e-7)
        assert [v.dtype for v in got] == [v.dtype for v in its]


def test_what_is_not_kept_is_0() -> None:
    x = np.array([[1.0, np.nan, np.inf, -0.0], [-np.inf, 2.0, np.nan, 3.0]], "float32")
    keep = np.array([True, False, False, True])
    got: Any = [kernel(choice.selected, kind)(x, keep) for kind in (Recording, np.ndarray)]
    np.testing.assert_array_equal(got[0], got[1])
    assert not got[0][:, 1:3].any()
    assert got[0].dtype == got[1].dtype == x.dtype
