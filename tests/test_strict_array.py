"""The strict stand-in itself: it computes as NumPy does, and refuses to leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from strict import StrictArray

from tinygrad_norm.backend.array import (
    array_module,
    as_device,
    backend_of,
    device_of,
    is_array,
    register,
    unregister,
)
from tinygrad_norm.errors import DeviceError


@pytest.fixture
def a() -> StrictArray:
    return StrictArray(np.arange(6.0).reshape(2, 3))

@pytest.mark.parametrize("leave", [
    np.asarray, np.array, np.sum, np.sqrt, float, int, bool, list, complex,
    lambda a: np.ones((2, 3)) + a, lambda a: a + np.ones((2, 3)), lambda a: np.float64(2) * a,
    lambda a: a * np.float64(2), lambda a: a[np.array([0])], lambda a: a[[0]],
    lambda a: np.concatenate([a, a]), lambda a: strict.module.concatenate([a, np.ones((2, 3))]),
    lambda a: strict.module.asarray(np.ones(2)), lambda a: np.add(a, 1), lambda a: range(a),
    lambda a: np.ones((2, 3)).__setitem__(..., a), lambda a: a.__setitem__(0, np.ones(3)),
    lambda a: np.ones(3)[a], lambda a: 1.0 in a, lambda a: [0, 1][a.sum()], lambda a: hash(a),
    lambda a: a.sum(axis=np.int64(0)),
])
def test_it_refuses_to_leave(a: StrictArray, leave: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        leave(a)


def test_it_computes_as_numpy_does(a: StrictArray) -> None:
    m, n = strict.module, np.arange(6.0).reshape(2, 3)
    for got, expected in (
        (2 / (a + 1) - a**2, 2 / (n + 1) - n**2), (a @ a.T, n @ n.T), (a.sum(), n.sum()),
        (m.exp(a)[1:, None], np.exp(n)[1:, None]), (a[a > 2], n[n > 2]), (-a.T, -n.T),
        (m.where(a > 2, a, 0.0), np.where(n > 2, n, 0)), (a.max(axis=0), n.max(axis=0)),
    ):
        assert isinstance(got, StrictArray)
        assert isinstance(got.hidden, np.ndarray)
        np.testing.assert_array_equal(got.hidden, expected)
    b = a
    b += 1
    assert b is a
    assert a.sum().ndim == 0
    assert a.T.base is not None
    assert (a + 1).base is None


def test_it_has_cupys_ways(a: StrictArray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where these are not NumPy's."""
    one, ints = a.sum(), StrictArray(np.array([2, 1, -1, 0]))
    for reduce in (one.sum, one.max, one.argmin, one.all, one.cumsum):
        for axis in (0, -1):
            with pytest.raises(np.exceptions.AxisError):
                reduce(axis=axis)
    assert one.sum(axis=()).ndim == one.max().ndim == 0
    assert (ints**-1).hidden.tolist() == [0, 1, -1, 0]
    assert (2**ints).hidden.tolist() == [4, 2, 0, 1]
    assert (ints.astype("int32") ** -2).dtype == "int32"
    wide = strict.module.broadcast_to(one, (3,))
    wide[0] = 5.0
    assert wide.hidden.tolist() == [5, 5, 5]
    monkeypatch.setattr(strict, "takes_numpy", True)
    index, zero = np.array([1, 0]), np.array(0.0)
    np.testing.assert_array_equal(a[index].hidden, a.hidden[index])
    np.testing.assert_array_equal(a.take(index, axis=0).hidden, a.hidden[index])
    np.testing.assert_array_equal((a > zero).hidden, a.hidden > 0)
    a[index] = a.hidden.copy()
    a[0] = zero
    assert a.hidden.tolist() == [[0, 0, 0], [0, 1, 2]]
    for einsum in (np.einsum, strict.module.einsum):
        assert einsum("ij,j->i", a, np.ones(3)).hidden.tolist() == [0, 3]
    for refuse in (lambda: a + zero, lambda: a > a.hidden, lambda: strict.module.exp(zero),
                   lambda: a.__setitem__(0, a.hidden[0])):
        with pytest.raises(TypeError):
            refuse()


def test_the_backend_is_found_by_the_array(a: StrictArray) -> None:
    assert is_array(a)
    assert array_module(a) is strict.module
    assert isinstance(backend_of(a), strict.StrictBackend)
    assert device_of(a) == strict.DEVICE
    assert not is_array([1])
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array, got list"):
        backend_of([1])


def test_a_device_is_registered_by_a_call() -> None:
    backend = strict.StrictBackend()
    with pytest.raises(ValueError, match="register: there is a device 'strict' already; unreg"):
        register("strict", backend)
    with pytest.raises(DeviceError, match="got 'other'"):
        as_device("other")
    register("other", backend)
    assert as_device("other") == strict.DEVICE
    unregister("other")
    with pytest.raises(DeviceError, match="got 'other'"):
        as_device("other")
