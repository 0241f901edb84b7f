"""float32 against float64 arithmetic on the same float32 data, far from zero, in any layout.

The outputs differ by 4e-6 at most, the gradients by 1e-5 of the largest. What is larger than 1,
as an outlier is, differs by 4e-6 of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm.backend import sums
from tinygrad_norm.backend.choose import kernel

pytestmark = pytest.mark.usefixtures("loops")


class Norm(NamedTuple):
    """A layer, the shape of its input, and the axes along which this is normalized."""

    make: Callable[[], Any]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    per_element: bool = False
    centred: bool = True


SMALL = {
    "batch (64, 20)": Norm(lambda: tn.nn.BatchNorm1d(20), (64, 20), (0,)),
    "batch (200, 20)": Norm(lambda: tn.nn.BatchNorm1d(20), (200, 20), (0,)),
    "batch (5077, 5)": Norm(lambda: tn.nn.BatchNorm1d(5), (5077, 5), (0,)),
    "batch (300, 600)": Norm(lambda: tn.nn.BatchNorm1d(600), (300, 600), (0,)),
    "batch (3, 5, 70)": Norm(lambda: tn.nn.BatchNorm1d(5), (3, 5, 70), (0, 2)),
    "batch (3, 2, 2069)": Norm(lambda: tn.nn.BatchNorm1d(2), (3, 2, 2069), (0, 2)),
    "batch (40, 3, 14, 15)": Norm(lambda: tn.nn.BatchNorm2d(3), (40, 3, 14, 15), (0, 2, 3)),
    "batch (999, 3, 2, 2)": Norm(lambda: tn.nn.BatchNorm2d(3), (999, 3, 2, 2), (0, 2, 3)),
    "renorm (3000, 4)": Norm(lambda: tn.nn.BatchRenorm1d(4, rmax=1, dmax=0), (3000, 4), (0,)),
    "instance (3, 4, 900)": Norm(lambda: tn.nn.InstanceNorm1d(4, affine=True), (3, 4, 900), (2,)),
    "group (3, 4, 30, 10)": Norm(lambda: tn.nn.GroupNorm(1, 4), (3, 4, 30, 10), (1, 2, 3)),
    "layer (40, 31)": Norm(lambda: tn.nn.LayerNorm(31), (40, 31), (1,), True),
    "layer (40, 200)": Norm(lambda: tn.nn.LayerNorm(200), (40, 200), (1,), True),
    "layer (4, 50, 40)": Norm(lambda: tn.nn.LayerNorm((50, 40)), (4, 50, 40), (1, 2), True),
    "rms (40, 200)": Norm(lambda: tn.nn.RMSNorm(200), (40, 200), (1,), True, False),
    "rms (3, 5000)": Norm(lambda: tn.nn.RMSNorm(5000), (3, 5000), (1,), True, False),
}
MILLION = {
    "batch (1e6, 2)": Norm(lambda: tn.nn.BatchNorm1d(2), (1_000_000, 2), (0,)),
    "batch (2, 1, 5e5)": Norm(lambda: tn.nn.BatchNorm1d(1), (2, 1, 500_000), (0, 2)),
    "batch (15625, 1, 8, 8)": Norm(lambda: tn.nn.BatchNorm2d(1), (15_625, 1, 8, 8), (0, 2, 3)),
    "layer (1, 1e6)": Norm(lambda: tn.nn.LayerNorm(1_000_000), (1, 1_000_000), (1,), True),
}
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.asfortranarray(x),
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other at the end": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "part of more": lambda x: np.concatenate([x, x + 1], axis=1)[:, : x.shape[1]],
}


def exact(norm: Norm, x: np.ndarray, dy: np.ndarray, eps: float) -> tuple[Any, Any]:
    """y and dx without an affine part, in float64."""
    x, dy = x.astype("float64"), dy.astype("float64")

    def mean(v: np.ndarray) -> np.ndarray:
        return v.mean(axis=norm.axes, keepdims=True)

    away = x - mean(x) if norm.centred else x
    rstd = 1 / np.sqrt(mean(away * away) + eps)
    y = away * rstd
    return y, (dy - (mean(dy) if norm.centred else 0) - y * mean(dy * y)) * rstd


def gradients(layer: Any, x: Any, dy: Any) -> tuple[Any, ...]:
    """y and the gradients of x and the parameters."""
    leaf = x.detach().requires_grad_()
    y = layer(leaf)
    return y, *tn.autograd.grad(y, [leaf, *layer.parameters()], dy)


def check(norm: Norm, x: np.ndarray, layout: Callable[[np.ndarray], np.ndarray],
          compiled: bool = False) -> None:
    """y, dx, dweight, dbias. The mean of dy is not 0, so that a mean of y would be seen."""
    x = x.astype("float32")
    dy = (np.random.default_rng(1).standard_normal(x.shape) + 0.5).astype("float32")
    layer = norm.make()
    step = partial(gradients, layer)
    if compiled:
        step = tn.compile(step, fullgraph=True)
    y, leaf_grad, *parameter_grads = step(tn.from_numpy(layout(x)), tn.from_numpy(layout(dy)))
    eps = layer.eps if layer.eps is not None else float(np.finfo("float32").eps)
    expected, dx = exact(norm, x, dy, eps)
    assert (np.abs(array(y) - expected) <= 4e-6 * np.maximum(np.abs(expected) / 5, 1)).all()
    pairs = [(leaf_grad, dx)]
    kept = range(x.ndim - len(layer.weight.shape), x.ndim) if norm.per_element else (1,)
    over = tuple(i for i in range(x.ndim) if i not in kept)
    for grad, terms in zip(parameter_grads, (dy * expected, dy.astype("float64")), strict=False):
        pairs.append((grad, terms.sum(axis=over)))
    for got, wanted in pairs:
        np.testing.assert_allclose(array(got), wanted, rtol=0,
                                   atol=float(1e-5 * np.abs(wanted).max()))


def normal(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("norm", SMALL.values(), ids=SMALL)
def test_any_layout_and_offset(norm: Norm, offset: float) -> None:
    for layout in LAYOUTS.values():
        check(norm, normal(norm.shape) + offset, layout)


@pytest.mark.parametrize("loops", ["loops"], indirect=True)
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("norm", [*SMALL.values(), *MILLION.values()], ids=[*SMALL, *MILLION])
def test_compiled(norm: Norm, offset: float) -> None:
    """Layouts, a first value that is an outlier, and heavy tails, in compiled steps."""
    small = norm in SMALL.values()
    for layout in LAYOUTS.values() if small else (LAYOUTS["contiguous"],):
        check(norm, normal(norm.shape) + offset, layout, compiled=True)
    if small:
        x = np.random.default_rng(0).standard_t(2, norm.shape) + offset
        x[tuple(slice(0, 1) if i in norm.axes else slice(None) for i in range(x.ndim))] = 0
        check(norm, x, LAYOUTS["contiguous"], compiled=True)


@pytest.mark.parametrize("offset", [1e3, 1e6])
@pytest.mark.parametrize("norm", SMALL.values(), ids=SMALL)
def test_the_first_value_is_an_outlier(norm: Norm, offset: float) -> None:
    """Values are shifted before they are summed; a shift by an outlier would gain nothing."""
    x = normal(norm.shape) + offset
    x[tuple(slice(0, 1) if i in norm.axes else slice(None) for i in range(x.ndim))] = 0
    check(norm, x, LAYOUTS["contiguous"])


@pytest.mark.parametrize("norm", SMALL.values(), ids=SMALL)
def test_heavy_tails_and_trends(norm: Norm) -> None:
    x = np.random.default_rng(0).standard_t(2, norm.shape)
    check(norm, x, LAYOUTS["contiguous"])
    line = np.linspace(-3, 3, norm.shape[norm.axes[-1]])
    beside = [-1 if i == norm.axes[-1] else 1 for i in range(x.ndim)]
    check(norm, normal(norm.shape) + 1e4 + line.reshape(beside), LAYOUTS["contiguous"])


@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("norm", MILLION.values(), ids=MILLION)
def test_a_million_values_for_each_mean(norm: Norm, offset: float, layout: str) -> None:
    check(norm, normal(norm.shape) + offset, LAYOUTS[layout])


@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchRenorm1d", "InstanceNorm1d", "LayerNorm",
                                  "GroupNorm"])
def test_strides_of_0(kind: str) -> None:
    """A sample that stands for many, and a channel for all."""
    x = (normal((1, 6, 9)) + 1e4).astype("float32")
    make: dict[str, Callable[[], Any]] = {
        "LayerNorm": lambda: tn.nn.LayerNorm(9), "GroupNorm": lambda: tn.nn.GroupNorm(2, 6)}
    for broadcast in (np.broadcast_to(x, (300, 6, 9)), np.broadcast_to(x[:, :1], (3, 6, 9))):
        plain, strided = (
            make.get(kind, lambda: getattr(tn.nn, kind)(6))()(tn.from_numpy(v))
            for v in (broadcast.copy(), broadcast))
        np.testing.assert_allclose(array(strided), array(plain), rtol=0, atol=2e-6)


# -- the sums ----------------------------------------------------------------------------------

SUMS = [((5, 4), (0,)), ((300, 4), (0,)), ((5077, 3), (0,)), ((40, 64), (-1,)), ((40, 31), (-1,)),
        ((40, 1009), (1,)), ((3, 4, 50), (0, 2)), ((3, 4, 50), (2,)), ((3, 4, 7, 9), (0, 2, 3)),
        ((3, 4, 7, 9), (-1, -2)), ((3, 4, 7, 9), (1, 2, 3)), ((2, 300, 5), (1,)), ((640,), (0,)),
        ((3, 0), (0,)), ((0, 3, 40), (2,)), ((1, 3, 64), (0, 2))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "axes"), SUMS)
def test_sums_and_products(shape: tuple[int, ...], axes: tuple[int, ...], dtype: str) -> None:
    """Contiguous or not, both ways in which they are computed."""
    a, b = (np.random.default_rng(i).standard_normal(shape).astype(dtype) for i in (0, 1))
    n = int(np.prod([shape[i] for i in axes]))
    total, average = (kernel(f, np.ndarray) for f in (sums.total, sums.average))
    for one, other in ((a, b), (np.asfortranarray(a), b), (a[::-1], np.asfortranarray(b))):
        for got, terms in ((total(one, axes, n), one),
                           (total(one, axes, n, other), one * other)):
            matrix = axes == (0,) and len(shape) == 2
            wanted = terms.astype("float64").sum(axis=axes, keepdims=not matrix)
            assert got.dtype == dtype
            np.testing.assert_allclose(got, wanted, rtol=0, atol=float(
                4 * np.finfo(dtype).eps * np.abs(terms).sum(axis=axes).max(initial=1)))
        np.testing.assert_allclose(average(one, axes, n), one.sum(
            axis=axes, keepdims=not matrix) / n, rtol=0, atol=4 * np.finfo(dtype).eps)
