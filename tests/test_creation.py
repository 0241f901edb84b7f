"""Making tensors: dtypes, shapes, memory, and what cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import DtypeError, RangeError, ShapeError

DTYPES = [tn.float16, tn.float32, tn.float64, tn.int32, tn.int64, tn.bool]



def same(x: tn.Tensor, expected: Any, dtype: Any, device: str = "cpu") -> None:
    assert x.dtype == dtype
    assert x.device.type == device
    np.testing.assert_allclose(x.detach().cpu().numpy(), expected, rtol=1e-6)
    assert x.shape == np.shape(expected)

@pytest.mark.parametrize(("data", "dtype"), [
    (1, tn.int64), (1.5, tn.float32), (True, tn.bool), ([1, 2], tn.int64), ([1, 2.5], tn.float32),
    ([[True], [False]], tn.bool), ([True, 2], tn.int64), ([], tn.float32), ([[]], tn.float32),
    ((1.0, 2.0), tn.float32), (range(3), tn.int64), (np.ones(2), tn.float64),
    (np.float32(2), tn.float32), (np.int32(2), tn.int32), (np.ones(2, np.uint8), tn.int64),
    (np.ones(2, np.longdouble), tn.float64), (np.array(True), tn.bool),
    ([np.ones(2), np.zeros(2)], tn.float32), (np.array([1e300], ">f8"), tn.float64),
    ([1.5, 2**64], tn.float32), (np.array([2**63 - 1], np.uint64), tn.int64),
])
def test_tensor(data: Any, dtype: Any, device: str) -> None:
    x = tn.tensor(data, device=device)
    same(x, np.asarray(data, dtype), dtype, device)
    assert not x.requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensor_of_a_dtype(dtype: Any, device: str) -> None:
    x = tn.tensor([[0, 1], [2, 3]], dtype=dtype, device=device)
    same(x, np.array([[0, 1], [2, 3]], dtype), dtype, device)
    same(tn.tensor(x, dtype=tn.float64), x.tolist(), tn.float64, device)
    for make in (tn.zeros_like, tn.ones_like, tn.empty_like):
        assert make(x).dtype == dtype
        assert make(x).device == x.device
    for name in ("float64", np.float64, float):
        assert x.to(name).dtype == tn.float64


def test_tensor_copies() -> None:
    array = np.ones(2)
    x = tn.tensor(array)
    y = tn.tensor(x)
    array[0] = 5
    assert x.tolist() == [1, 1]
    x[1] = 7
    assert y.tolist() == [1, 1]
    z = tn.tensor([x, y], requires_grad=True)
    assert z.shape == (2, 2)
    assert z.is_leaf


def test_from_numpy_and_as_tensor_share() -> None:
    array = np.ones(2)
    x, y = tn.from_numpy(array), tn.as_tensor(array)
    array[0] = 5
    assert x.tolist() == y.tolist() == [5, 1]
    x += 1
    assert array.tolist() == [6, 2]
    assert tn.as_tensor(x) is x
    assert tn.as_tensor(x, dtype=tn.float32).dtype == tn.float32
    assert tn.as_tensor([1, 2]).dtype == tn.int64


def test_the_array_of_a_tensor_is_of_no_subclass(tmp_path: Path) -> None:
    """It shares memory with one: a kernel is found by the exact class."""
    array = np.memmap(tmp_path / "labels", np.int64, "w+", shape=(3,))
    for x in (tn.from_numpy(array), tn.as_tensor(array), tn.tensor(array)):
        assert type(x.array) is np.ndarray
    tn.from_numpy(array)[0] = 5
    assert array.tolist() == tn.as_tensor(array).tolist() == [5, 0, 0]
    with pytest.raises(IndexError, match="Target 5 is out of bounds"):
        tn.nn.functional.cross_entropy(tn.zeros(3, 4), tn.from_numpy(array))


def test_shapes_filled(device: str) -> None:
    same(tn.zeros(2, 3, device=device), np.zeros((2, 3)), tn.float32, device)
    same(tn.ones((2, 3), device=device), np.ones((2, 3)), tn.float32, device)
    same(tn.zeros([], device=device), 0, tn.float32, device)
    same(tn.zeros(device=device), 0, tn.float32, device)
    same(tn.full((2,), 7, device=device), [7, 7], tn.int64, device)
    same(tn.full((2,), 7.0, device=device), [7, 7], tn.float32, device)
    same(tn.full((2,), True, device=device), [1, 1], tn.bool, device)
    same(tn.full((), tn.tensor(3), device=device), 3, tn.int64, device)
    same(tn.eye(2, 3, device=device), np.eye(2, 3), tn.float32, device)
    same(tn.eye(2, dtype=tn.int32, device=device), np.eye(2), tn.int32, device)
    same(tn.full_like(tn.zeros(2, device=device), 4), [4, 4], tn.float32, device)
    assert tn.empty(2, 3).shape == (2, 3)
    assert tn.zeros(2, requires_grad=True).requires_grad


@pytest.mark.parametrize("arguments", [
    (5,), (2, 5), (5, 0, -2), (0, 1, 0.1), (0.5, 3), (3, 3), (0,), (1, 2, 0.3), (-1, 1, 0.25),
])
def test_arange(arguments: tuple[float, ...]) -> None:
    floating = any(isinstance(a, float) for a in arguments)
    same(tn.arange(*arguments), np.arange(*arguments), tn.float32 if floating else tn.int64)
    same(tn.arange(*arguments, dtype=tn.float64), np.arange(*arguments), tn.float64)


def test_linspace() -> None:
    same(tn.linspace(-1, 2, 7), np.linspace(-1, 2, 7), tn.float32)
    same(tn.linspace(3, 3, 1, dtype=tn.float64), [3], tn.float64)
    same(tn.linspace(0, 1, 0), [], tn.float32)


def test_joining(device: str) -> None:
    a, b = tn.arange(3.0, device=device), tn.ones(3, device=device)
    same(tn.stack([a, b]), [[0, 1, 2], [1, 1, 1]], tn.float32, device)
    same(tn.cat((a, b, a[:1])), [0, 1, 2, 1, 1, 1, 0], tn.float32, device)
    same(tn.cat([a, tn.arange(2, device=device)]), [0, 1, 2, 0, 1], tn.float32, device)
    x, y = tn.broadcast_tensors(a, b.reshape(3, 1))
    assert x.shape == y.shape == (3, 3)
    assert tn.is_tensor(a)
    assert not tn.is_tensor(a.array)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: tn.tensor([[1, 2], [3]]), ValueError, "tensor: expected rows of equal length"),
    (lambda: tn.tensor("abc"), TypeError, "tensor: expected numbers, got str 'abc'"),
    (lambda: tn.tensor([1, None]), TypeError, "tensor: expected numbers, got list"),
    (lambda: tn.tensor(None), TypeError, "tensor: expected numbers"),
    (lambda: tn.tensor(1j), TypeError, "tensor: expected numbers"),
    (lambda: tn.tensor(np.ones(2, complex)), TypeError, "got an array of complex128"),
    (lambda: tn.tensor(np.array(["a"])), TypeError, "got an array of <U1"),
    (lambda: tn.zeros(2, dtype="complex64"), TypeError,
     "zeros: expected dtype to be one of float16, float32, .* int64, bool, got 'complex64'"),
    (lambda: tn.zeros(2, dtype=tn.device), TypeError, "zeros: expected dtype to be one of"),
    (lambda: tn.ones(2).to("float128"), (TypeError, RuntimeError), "float128"),
    (lambda: tn.from_numpy([1]), TypeError, r"from_numpy: expected a numpy.ndarray, got list"),
    (lambda: tn.from_numpy(np.ones(2, "u1")), TypeError,
     "from_numpy: dtype: expected one of .* got .*uint8"),
    (lambda: tn.zeros(2, -1), ShapeError, r"sizes that are not negative, got \(2, -1\)"),
    (lambda: tn.eye(-1), ShapeError, r"not negative, got \(-1, -1\)"),
    (lambda: tn.rand(-1), ShapeError, "not negative"),
    (lambda: tn.randperm(-1), ShapeError, "not negative"),
    (lambda: tn.randint(3, (-1,)), ShapeError, "not negative"),
    (lambda: tn.linspace(0, 1, -1), ShapeError, "not negative"),
    (lambda: tn.zeros(1.5), TypeError, "zeros: expected shape to be an int"),
    (lambda: tn.arange(0, 1, 0), RuntimeError, "arange: step must be nonzero"),
    (lambda: tn.arange(0, 1, -1), RuntimeError, "arange: bounds 0 to 1 do not fit the sign of ste"),
    (lambda: tn.randint(1, 5), TypeError, r"randint: expected a size such as \(2, 3\), got none"),
    (lambda: tn.randint(3, 3, (2,)), RuntimeError, "randint: expected low < high, got 3 and 3"),
    (lambda: tn.stack([]), RuntimeError, "stack: expected a non-empty list of tensors"),
    (lambda: tn.cat(tn.ones(2)), TypeError, "cat: expected a tuple or list of tensors, got Tensor"),
    (lambda: tn.cat([1, 2]), TypeError, "cat: expected tensors, got int at position 0"),
    (lambda: tn.cat([tn.ones(2, 1), tn.ones(3, 2)]), ShapeError,
     r"cat: .*; got shapes \(2, 1\), \(3, 2\)"),
    (lambda: tn.stack([tn.ones(2), tn.ones(3)]), ShapeError, r"stack: .* shapes \(2,\), \(3,\)"),
    (lambda: tn.broadcast_tensors(tn.ones(2), tn.ones(3)), ShapeError, "broadcast_tensors: "),
    (lambda: tn.zeros_like([1]), TypeError, "zeros_like: expected a Tensor, got list"),
    (lambda: tn.tensor([1], requires_grad=True), DtypeError, r"got int64; call \.float\(\)"),
    (lambda: tn.tensor(2**63), RangeError,
     r"tensor: int64 holds numbers from -9\d+ to 9\d+, got 9223372036854775808; take a float"),
    (lambda: tn.tensor([-1, 2**63]), RangeError, "tensor: int64 holds .*, got 9223372036854775808"),
    (lambda: tn.tensor(-2**64), RangeError, "tensor: int64 holds .*, got -18446744073709551616"),
    (lambda: tn.tensor(np.array([2**64 - 1], np.uint64)), RangeError, "got 18446744073709551615"),
    (lambda: tn.as_tensor(np.uint64(2**64 - 1), dtype=tn.int64), RangeError, "tensor: int64 holds"),
    (lambda: tn.tensor([2**40], dtype=tn.int32), RangeError,
     "tensor: int32 holds numbers from -2147483648 to 2147483647, got 1099511627776; take int64"),
    (lambda: tn.tensor([[1.0, np.nan]], dtype=tn.int64), RangeError, "got nan; take a float dtype"),
    (lambda: tn.tensor([np.ones(1), np.full(1, np.nan)], dtype=tn.int32), RangeError, "got nan"),
    (lambda: tn.full((2,), 70000, dtype=tn.float16), RangeError,
     "full: float16 holds numbers from -65504.0 to 65504.0, got 70000; take math.inf, or a wider"),
    (lambda: tn.full_like(tn.arange(2), np.inf), RangeError, "full: int64 holds .* got inf"),
    (lambda: tn.full((), "a"), TypeError, "full: expected fill_value to be a number, got str"),
    (lambda: tn.full((), None), TypeError, "full: expected fill_value to be a number, got None"),
    (lambda: tn.arange(2**31, 2**31 + 2, dtype=tn.int32), RangeError, "arange: int32 holds"),
    (lambda: tn.arange(np.inf), RangeError, "arange: expected bounds that are finite, got 0 and"),
    (lambda: tn.arange("a"), TypeError, "arange: expected end to be a number, got str"),
    (lambda: tn.linspace(0, np.nan, 3, dtype=tn.int64), RangeError, "linspace: int64 holds"),
    (lambda: tn.randint(0, 2**40, (2,), dtype=tn.int32), RangeError, "randint: int32 holds"),
    (lambda: tn.randperm(70000, dtype=tn.float16), RangeError, "randperm: float16 holds"),
    (lambda: tn.arange(3).masked_fill(tn.ones(3) > 0, np.nan), RangeError,
     "masked_fill: int64 holds .*, got nan; take a float dtype"),
    (lambda: tn.arange(3).masked_fill(tn.ones(3) > 0, tn.tensor(np.inf)), RangeError, "masked_"),
    (lambda: tn.ones(3).half().masked_fill(tn.ones(3) > 0, -1e9), RangeError,
     "masked_fill: float16 holds .*, got -1000000000.0; take math.inf, or a wider dtype"),
    (lambda: tn.where(tn.ones(3) > 0, 2**31, tn.arange(3).int()), RangeError, "where: int32 holds"),
    (lambda: tn.where(tn.ones(3) > 0, 2**63, 1), RangeError, "where: int64 holds"),
    (lambda: tn.arange(3).int().clamp(max=2**31), RangeError, "clamp: int32 holds"),
    (lambda: tn.tensor([1.0], device="cpu:3"), RuntimeError, "there is one cpu, got cpu:3"),
])
def test_what_cannot_be_made(call: Callable[[], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
