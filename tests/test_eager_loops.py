"""Formulas that run as loops outside of compiled steps: how they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="loops need llvmlite")

import tinygrad_norm as tn
from tinygrad_norm.backend import large, sums
from tinygrad_norm.compiler import eager
from tinygrad_norm.optim.in_place import written

X = np.random.default_rng(0).standard_normal((96, 128)).astype(np.float32)


def moved(p: Any, g: Any, v: Any, *, lr: float) -> tuple[Any, Any]:
    v = v * 0.5 + g
    return v * lr, v


def test_arrays_of_any_layout() -> None:
    def formula(x: Any, w: Any) -> Any:
        return x * w + (x * x).sum(axis=0), x - w

    wide = np.repeat(X, 2, axis=1)
    for x in (X, np.asfortranarray(X), wide[:, ::2], X[::-1], X.astype(">f4")):
        for got, expected in zip(eager.run(formula, (x, X[0]), {}), formula(x, X[0]), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=3e-4)


@pytest.mark.parametrize("shape", [(96, 128), (2048, 1024)])
def test_an_update_of_any_layout(shape: tuple[int, int]) -> None:
    def draw(seed: int, order: Any) -> np.ndarray:
        values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        return np.asarray(values, order=order)

    for orders in ("CCC", "FCC", "CFF"):
        p, g, v = map(draw, (0, 1, 2), orders)
        change, now = moved(p, g, v, lr=0.1)
        expected = p - change
        assert eager.update(written(moved), (p, g, v), {"lr": 0.1}, {})
        np.testing.assert_allclose(p, expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(v, now, rtol=0, atol=1e-6)
        assert eager.update(written(moved), (p, g, v), {"lr": 0}, {})
        np.testing.assert_allclose(p, expected, rtol=0, atol=1e-6)


def test_where_the_loops_do_not_hold_numpy_runs() -> None:
    x = (X * 0.01 + np.float32(1e4)).repeat(32, axis=0)
    x[:2000] *= 100  # the mean of a few values is far from that of all
    for sample in (x, X.repeat(32, axis=0)):
        y = tn.nn.functional.batch_norm(tn.from_numpy(sample), None, None, training=True).array
        wide = sample.astype(np.float64)
        np.testing.assert_allclose(
            y, (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5), rtol=0, atol=2e-4)


def test_gradients_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one lies in memory that begins at a line of the cache."""
    made = []
    run = large.run
    assert run is not None

    def noted(*args: Any) -> Any:
        results = run(*args)
        made.extend(results if isinstance(results, tuple) else [results])
        return results

    monkeypatch.setattr(large, "run", noted)
    x = tn.randn(2048, 1024, requires_grad=True)
    (y,) = tn.nn.functional.layer_norm(x, (1024,)),
    (dx,) = tn.autograd.grad(y, x, tn.ones(2048, 1024))
    assert any(dx.array is one for one in made)


def test_views_of_gradients_are_copied() -> None:
    x, z = tn.randn(1024, 2048, requires_grad=True), tn.randn(2048, 1024, requires_grad=True)
    y = tn.nn.functional.gelu(x.reshape(2048, 1024) + z)
    dx, dz = tn.autograd.grad(y, [x, z], tn.ones(2048, 1024))
    assert not np.shares_memory(dx.array, dz.array)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (1, 2), (0, 2), -1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_sums_over_any_axes(axis: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = (np.random.default_rng(0).standard_normal((40, 30, 50)) + 10).astype(dtype)
    asked: list[Any] = []
    run = large.run
    monkeypatch.setattr(large, "run", lambda f, *rest: asked.append(f) or run(f, *rest))
    y = sums.summed(x, axis, True)
    assert asked == [sums.by_loops.__wrapped__]
    exact = x.astype(np.longdouble).sum(axis=axis, keepdims=True)
    assert (y.dtype, y.shape) == (x.dtype, exact.shape)
    unit = 8 * float(np.finfo(dtype).eps)  # up to 64 values in a row, as NumPy adds them there
    np.testing.assert_allclose(y, exact.astype(dtype), rtol=unit)
    sums.summed(np.asfortranarray(x), axis, True)
    assert len(asked) == 1, "an array in another order is not copied"


def test_read_only_memory_is_not_written() -> None:
    held = np.zeros(512, np.float32).tobytes()
    mean = tn.from_numpy(np.frombuffer(held, np.float32))
    with pytest.raises(ValueError, match="read-only"):
        tn.nn.functional.batch_norm(tn.randn(8, 512), mean, tn.ones(512), training=True)
    p = tn.nn.Parameter(tn.zeros(512))
    sgd = tn.optim.SGD([p], lr=0.1)
    compiled = tn.compile(lambda: sgd.step())
    for step in (sgd.step, compiled):
        p.data = tn.zeros(512)
        p.grad = tn.ones(512)
        step()
        p.data = tn.from_numpy(np.frombuffer(held, np.float32))
        p.grad = tn.ones(512)
        with pytest.raises(ValueError, match="read-only"):
            step()
    assert not any(held)


def test_a_number_of_numpys_does_not_stand_for_pythons() -> None:
    x = tn.ones(512)
    tn.nn.functional.elu(x, np.float64(0.3125))  # widens float32
    assert tn.nn.functional.elu(x, 0.3125).dtype is tn.float32
