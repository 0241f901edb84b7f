"""Making tensors, reading them, writing into them, and what a bad call is told."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import DimError, DtypeError, ShapeError

DTYPES = [tn.float16, tn.float32, tn.float64, tn.int32, tn.int64, tn.bool]


def same(x: tn.Tensor, expected: Any, dtype: Any, device: str = "cpu") -> None:
    assert x.dtype == dtype
    assert x.device.type == device
    np.testing.assert_allclose(x.detach().cpu().numpy(), expected, rtol=1e-6)
    assert x.shape == np.shape(expected)


# -- making ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "dtype"), [
    (1, tn.int64), (1.5, tn.float32), (True, tn.bool), ([1, 2], tn.int64), ([1, 2.5], tn.float32),
    ([[True], [False]], tn.bool), ([True, 2], tn.int64), ([], tn.float32), ([[]], tn.float32),
    ((1.0, 2.0), tn.float32), (range(3), tn.int64), (np.ones(2), tn.float64),
    (np.float32(2), tn.float32), (np.int32(2), tn.int32), (np.ones(2, np.uint8), tn.int64),
    (np.ones(2, np.longdouble), tn.float32), (np.array(True), tn.bool),
    ([np.ones(2), np.zeros(2)], tn.float32),
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
     "dtype: expected one of float16, float32, float64, int32, int64, bool, got 'complex64'"),
    (lambda: tn.zeros(2, dtype=tn.device), TypeError, "dtype: expected one of"),
    (lambda: tn.ones(2).to("float128"), (TypeError, RuntimeError), "float128"),
    (lambda: tn.from_numpy([1]), TypeError, r"from_numpy: expected a numpy.ndarray, got list"),
    (lambda: tn.from_numpy(np.ones(2, "u1")), TypeError, "dtype: expected one of .* got .*uint8"),
    (lambda: tn.zeros(2, -1), ShapeError, r"sizes that are not negative, got \(2, -1\)"),
    (lambda: tn.eye(-1), ShapeError, r"not negative, got \(-1, -1\)"),
    (lambda: tn.rand(-1), ShapeError, "not negative"),
    (lambda: tn.randperm(-1), ShapeError, "not negative"),
    (lambda: tn.randint(3, (-1,)), ShapeError, "not negative"),
    (lambda: tn.linspace(0, 1, -1), ShapeError, "not negative"),
    (lambda: tn.zeros(1.5), TypeError, "float"),
    (lambda: tn.arange(0, 1, 0), RuntimeError, "arange: step must be nonzero"),
    (lambda: tn.arange(0, 1, -1), RuntimeError, "arange: bounds 0 to 1 do not fit the sign of ste"),
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
    (lambda: tn.tensor([1.0], device="cpu:3"), RuntimeError, "there is one cpu, got cpu:3"),
])
def test_what_cannot_be_made(call: Callable[[], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# -- random ----------------------------------------------------------------------------------------


def _drawn() -> list[Any]:
    return [tn.rand(3).tolist(), tn.randn(2, 2).tolist(), tn.randint(9, (4,)).tolist(),
            tn.randperm(5).tolist(), tn.rand_like(tn.zeros(2)).tolist(),
            tn.randn_like(tn.zeros(2, dtype=tn.float64)).tolist()]


def test_a_seed_repeats_the_numbers() -> None:
    tn.manual_seed(3)
    first = _drawn()
    tn.manual_seed(4)
    assert _drawn() != first
    tn.manual_seed(3)
    assert _drawn() == first


def test_random_dtypes_and_ranges(device: str) -> None:
    for dtype in (tn.float16, tn.float32, tn.float64):
        x = tn.rand(1000, dtype=dtype, device=device)
        assert x.dtype == dtype
        assert x.device.type == device
        assert 0 <= x.min().item() < x.max().item() <= 1
    x = tn.randn(10000, device=device)
    assert abs(x.mean().item()) < 0.05
    assert x.std().item() == pytest.approx(1, abs=0.05)
    n = tn.randint(-2, 3, (1000,), device=device)
    assert n.dtype == tn.int64
    assert sorted(set(n.tolist())) == [-2, -1, 0, 1, 2]
    assert sorted(tn.randperm(10, device=device).tolist()) == list(range(10))
    assert tn.randint(5, (2, 3)).shape == (2, 3)
    assert tn.rand(2, requires_grad=True).requires_grad
    assert tn.rand(()).shape == tn.randn(()).shape == ()


def test_all_devices_draw_the_same(device: str) -> None:
    tn.manual_seed(0)
    there = tn.randn(3, device=device).tolist()
    tn.manual_seed(0)
    assert tn.randn(3).tolist() == there


def test_a_generator_of_ones_own() -> None:
    g = tn.Generator().manual_seed(1)
    tn.manual_seed(0)
    before = tn.rand(2).tolist()
    tn.manual_seed(0)
    tn.rand(3, generator=g)
    tn.randperm(3, generator=g)
    assert tn.rand(2).tolist() == before, "the thread's generator was drawn from"
    assert tn.Generator().manual_seed(1).get_state().tolist() != g.get_state().tolist()


def test_a_state_goes_round() -> None:
    g = tn.Generator()
    for draw, save, restore in (
        (lambda: tn.randn(3).tolist() + tn.randint(9, (3,), dtype=tn.int32).tolist(),
         tn.get_rng_state, tn.set_rng_state),
        (lambda: tn.randperm(9, generator=g).tolist(), g.get_state, g.set_state),
    ):
        draw()
        state = save()
        assert state.dtype == tn.int64
        first = draw()
        restore(state.clone())
        assert draw() == first
    with pytest.raises(ValueError, match="set_state: expected 10 words, got 2"):
        tn.set_rng_state(tn.tensor([1, 2]))


def test_each_thread_draws_its_own_numbers() -> None:
    tn.manual_seed(0)
    expected = [tn.rand(3).tolist(), tn.rand(3).tolist()]
    tn.manual_seed(0)
    got = [tn.rand(3).tolist()]
    other: list[Any] = []

    def work() -> None:
        tn.manual_seed(5)
        other.append(tn.rand(3).tolist())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    got.append(tn.rand(3).tolist())
    assert got == expected
    tn.manual_seed(5)
    assert tn.rand(3).tolist() == other[0]


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "text"), [
    (lambda: tn.tensor([1.0, 2.5]), "tensor([1. , 2.5], shape=(2,), dtype=float32, device=cpu)"),
    (lambda: tn.tensor(3), "tensor(3, shape=(), dtype=int64, device=cpu)"),
    (lambda: tn.tensor([True]), "tensor([ True], shape=(1,), dtype=bool, device=cpu)"),
    (lambda: tn.tensor([]), "tensor([], shape=(0,), dtype=float32, device=cpu)"),
    (lambda: tn.ones(1, requires_grad=True),
     "tensor([1.], shape=(1,), dtype=float32, device=cpu, requires_grad=True)"),
    (lambda: tn.ones(1, requires_grad=True) * 2,
     "tensor([2.], shape=(1,), dtype=float32, device=cpu, grad_fn=<mul>)"),
    (lambda: tn.ones(2, 2), "tensor([[1., 1.],\n        [1., 1.]],\n"
                            "       shape=(2, 2), dtype=float32, device=cpu)"),
    (lambda: tn.ones(1, device="strict"), "tensor([1.], shape=(1,), dtype=float32, "
                                          "device=strict:0)"),
    (lambda: tn.tensor(1 / 3), "tensor(0.3333, shape=(), dtype=float32, device=cpu)"),
    (lambda: tn.nn.Parameter(tn.ones(1)), "Parameter containing:\ntensor([1.], shape=(1,), "
                                          "dtype=float32, device=cpu, requires_grad=True)"),
])
def test_repr(make: Callable[[], Any], text: str) -> None:
    assert repr(make()) == text


def test_repr_of_many_values_is_short() -> None:
    text = repr(tn.zeros(1000, 1000))
    assert "..." in text
    assert len(text) < 600


def test_facts(device: str) -> None:
    x = tn.zeros(2, 3, 4, device=device)
    assert x.shape == x.size() == (2, 3, 4)
    assert (x.size(0), x.size(-1), x.size(dim=1)) == (2, 4, 3)
    assert (x.ndim, x.dim(), x.numel(), len(x)) == (3, 3, 24, 2)
    assert x.is_floating_point()
    assert not tn.arange(3).is_floating_point()
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.contiguous() is x
    assert x.T.contiguous().is_contiguous()
    assert x.type_as(tn.arange(2, device=device)).dtype == tn.int64
    with pytest.raises(DimError, match="size: Dimension out of range: expected -3 to 2, got 3"):
        x.size(3)


def test_python_numbers(device: str) -> None:
    x = tn.tensor(2.5, device=device)
    assert (x.item(), float(x), int(x), bool(x), x.tolist()) == (2.5, 2.5, 2, True, 2.5)
    assert isinstance(x.item(), float)
    assert isinstance(tn.tensor(3, device=device).item(), int)
    assert tn.tensor([[True]], device=device).item() is True
    assert [10, 20, 30][tn.tensor(1, device=device)] == 20
    assert tn.tensor([[1, 2], [3, 4]], device=device).tolist() == [[1, 2], [3, 4]]
    assert f"{x}" == "2.5"
    assert f"{x:.3f}" == "2.500"
    assert f"{tn.ones(1, device=device)}".startswith("tensor([1.]")
    assert not tn.tensor(0.0, device=device)
    assert float(tn.ones(1, 1, device=device, requires_grad=True) * 2) == 2


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: x.item(), RuntimeError, r"item: a tensor of shape \(2, 3\) cannot be converted"),
    (lambda x: float(x), RuntimeError, r"cannot be converted to a scalar; take one element"),
    (lambda x: bool(x), RuntimeError, r"truth of a tensor of shape \(2, 3\) is ambiguous; us"),
    (lambda x: bool(x[:0]), RuntimeError, r"bool: the truth of a tensor of shape \(0, 3\)"),
    (lambda x: [1][x[0, 0]], TypeError, "only integer tensors of a single element"),
    (lambda x: len(x[0, 0]), TypeError, "len.. of a 0-d tensor"),
    (lambda x: list(x[0, 0]), TypeError, "iteration over a 0-d tensor"),
    (lambda x: x.requires_grad_().numpy(), RuntimeError, r"requires grad; use \.detach\(\)\.numpy"),
    (lambda x: np.asarray(x.requires_grad_()), RuntimeError, r"use \.detach\(\)\.numpy\(\)"),
    (lambda x: x + "a", TypeError, "unsupported operand: expected tensors, arrays and real numbers"
                                   ", got str"),
    (lambda x: x * [1, 2, 3], TypeError, "unsupported operand.* got list"),
    (lambda x: x @ [1, 2, 3], TypeError, "unsupported operand"),
    (lambda x: x * 1j, TypeError, "unsupported operand.* got complex"),
    (lambda x: x + np.ones(3, complex), TypeError, "unsupported operand.* got complex128"),
    (lambda x: x + None, TypeError, "add: .*NoneType"),
    (lambda x: x < "a", TypeError, "unsupported operand"),
    (lambda x: x + tn.ones(4), ShapeError, r"add: .*; got shapes \(2, 3\), \(4,\)"),
    (lambda x: x @ x, ShapeError, r"matmul: .*; got shapes \(2, 3\), \(2, 3\)"),
    (lambda x: x.mm(x[0]), ShapeError, r"mm: expected two tensors of 2 dimensions, got \(2, 3\)"),
    (lambda x: x.bmm(x), ShapeError, "bmm: expected two tensors of 3 dimensions"),
    (lambda x: x[None].bmm(x.expand(2, 2, 3)), ShapeError, r"bmm: batches of \(1, 2, 3\) and"),
    (lambda x: x.dot(x), ShapeError, "dot: expected two tensors of 1 dimensions"),
    (lambda x: x & x, TypeError, "logical_and: .*bitwise_and.*; got float32, float32"),
    (lambda x: -x.bool(), TypeError, "neg: .*"),
    (lambda x: x.bool() ** x.bool(), TypeError, r"pow: expected numbers, got bools; call \.long"),
    (lambda x: x.clamp(), RuntimeError, "clamp: expected at least one of min and max"),
    (lambda x: tn.where(x, x, x), TypeError, r"where: expected a condition of bools, got floa"),
    (lambda x: tn.where(True, x, x), TypeError, "where: expected a condition of bools, got bool"),
    (lambda x: x.sum(2), DimError, r"sum: axis 2 is out of bounds .*; got shapes \(2, 3\)"),
    (lambda x: x.mean((0, 0)), ShapeError, "mean: duplicate value in 'axis'"),
    (lambda x: x.long().mean(), DtypeError, r"mean: expected a floating point tensor, got int64; "),
    (lambda x: x.long().softmax(0), DtypeError, "softmax: expected a floating point tensor"),
    (lambda x: x.var(unbiased=True, correction=1), TypeError, "var: pass unbiased or correction"),
    (lambda x: x[:0].max(), RuntimeError, r"amax: expected at least one value .* shape \(0, 3\)"),
    (lambda x: x[:0].argmin(0), IndexError, "argmin: expected at least one value"),
    (lambda x: x.max(2), DimError, "argmax: axis 2 is out of bounds"),
    (lambda x: x.cumsum(3), DimError, "cumsum: Dimension out of range: expected -2 to 1, got 3"),
    (lambda x: x.reshape(4), ShapeError, r"reshape: cannot reshape .*; got shapes \(2, 3\)"),
    (lambda x: x.T.view(6), RuntimeError, r"view: a tensor of shape \(3, 2\) and strides \(4, 12\) "
                                          r"has no view of shape \(6,\); use reshape\(\)"),
    (lambda x: x.permute(0), ShapeError, r"permute: expected each of 2 dimensions once, got"),
    (lambda x: x.permute(0, 2), DimError, "permute: Dimension out of range"),
    (lambda x: x.transpose(0, 2), DimError, "transpose: Dimension out of range"),
    (lambda x: x[None].t(), RuntimeError, r"t: expected at most 2 dimensions, got \(1, 2, 3\)"),
    (lambda x: x[0].mT, RuntimeError, r"mT: expected at least 2 dimensions, got \(3,\)"),
    (lambda x: x.unsqueeze(3), DimError, "unsqueeze: Dimension out of range: expected -3 to 2"),
    (lambda x: x.squeeze(2), DimError, "squeeze: Dimension out of range"),
    (lambda x: x.flatten(1, 0), RuntimeError, "flatten: start_dim 1 comes after end_dim 0"),
    (lambda x: x.expand(2, 4), ShapeError, r"expand: .*; got shapes \(2, 3\)"),
    (lambda x: x.flip(2), DimError, "flip: Dimension out of range"),
    (lambda x: x.split([1, 2], 1)[0].split([1, 1], 1), ShapeError, r"split: sizes \[1, 1\] "),
    (lambda x: x.gather(1, tn.tensor([0])), ShapeError, r"gather: expected an index of 2 dim"),
    (lambda x: x.gather(1, tn.tensor([[5]])), IndexError, "gather: index 5 is out of bounds"),
    (lambda x: x[2], IndexError, r"index: index 2 is out of bounds .*; got shapes \(2, 3\)"),
    (lambda x: x[0, 0, 0], IndexError, "index: too many indices"),
    (lambda x: x[1.5], IndexError, "index: expected ints, slices, None, ..., and"),
    (lambda x: x["a"], IndexError, "got str"),
    (lambda x: x[tn.tensor([0.5])], IndexError, "index: arrays used as indices must be"),
    (lambda x: x[tn.tensor([True])], IndexError, "index: boolean index did not match"),
    (lambda x: tn.einsum("ij", x, x), ShapeError, "einsum: 'ij' names 1 operands, got 2"),
    (lambda x: tn.einsum("ijk->i", x), ShapeError, r"'ijk' has 3 letters for a tensor of shape"),
    (lambda x: tn.einsum("ii->i", x), ShapeError, "einsum: 'i' stands for 2 and 3"),
    (lambda x: tn.einsum("ij,jk->ik", x, x), ShapeError, r"einsum: .*; got shapes \(2, 3\), "),
    (lambda x: setattr(x, "data", 1), TypeError, "data: expected a Tensor, got int"),
    (lambda x: setattr(x, "grad", 1), TypeError, "grad: expected a Tensor or None, got int"),
    (lambda x: setattr(x, "grad", x[0]), ShapeError, r"grad: expected shape \(2, 3\), got \(3,\)"),
    (lambda x: setattr(x, "grad", x.double()), DtypeError, "grad: expected float32, got float64"),
    (lambda x: copy.deepcopy(x.requires_grad_() * 2), RuntimeError, "only leaf tensors can be"),
    (lambda x: x.__setitem__(0, [1, 2]), ShapeError, r"setitem: .*"),
    (lambda x: x.__setitem__((0, 5), 1), IndexError, "setitem: index 5"),
    (lambda x: x.__setitem__(0, "a"), (TypeError, ValueError), "setitem|string|str"),
])
def test_what_is_refused(call: Callable[[Any], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(tn.ones(2, 3))


def test_numpy_arrays(device: str) -> None:
    x = tn.arange(6.0, device=device).reshape(2, 3)
    array = x.cpu().numpy()
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, np.arange(6).reshape(2, 3))
    if device != "cpu":
        return
    array[0, 0] = 9
    assert x[0, 0].item() == 9, "the memory is shared"
    assert np.asarray(x) is not None
    assert np.shares_memory(np.asarray(x), x.array)
    assert not np.shares_memory(np.array(x), x.array)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    np.testing.assert_allclose(x, array)


def test_dlpack() -> None:
    x = tn.arange(6.0).reshape(2, 3)
    array = np.from_dlpack(x)
    assert np.shares_memory(array, x.array)
    assert x.__dlpack_device__() == (1, 0)
    source = np.arange(3, dtype=np.int32)
    y = tn.from_dlpack(source)
    assert y.dtype == tn.int32
    source[0] = 7
    assert y.tolist() == [7, 1, 2]
    assert tn.from_dlpack(x.T).shape == (3, 2)
    with pytest.raises(BufferError, match=r"can't export a tensor that requires grad; detach\(\)"):
        np.from_dlpack(x.requires_grad_())
    with pytest.raises(TypeError, match="dtype: expected one of"):
        tn.from_dlpack(np.ones(2, np.uint8))

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (4, 0)

    with pytest.raises(RuntimeError, match="expected memory of the cpu or of cuda, got kind 4"):
        tn.from_dlpack(Elsewhere())


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b, "**": lambda a, b: a**b, "@": lambda a, b: a @ b,
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}


@pytest.mark.parametrize("name", OPERATORS)
def test_numpy_on_either_side(name: str) -> None:
    """An array or a NumPy scalar beside a tensor gives a tensor, with its gradient."""
    operator = OPERATORS[name]
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[4.0, 2.0], [1.0, 0.5]])
    for left, right in ((a, tn.tensor(b)), (tn.tensor(a), b)):
        result = operator(left, right)
        assert isinstance(result, tn.Tensor)
        np.testing.assert_allclose(result.numpy(), operator(a, b))
    if name == "@":
        return
    result = operator(np.float64(2), tn.tensor(b, dtype=tn.float32))
    assert isinstance(result, tn.Tensor)
    np.testing.assert_allclose(result.numpy(), operator(2, b), rtol=1e-6)
    if result.is_floating_point():
        assert result.dtype == tn.float32, "a NumPy scalar counts as a Python number"
        x = tn.tensor(b, requires_grad=True)
        operator(a, x).sum().backward()
        assert x.grad is not None


def test_numpy_leaves_the_work_to_us() -> None:
    x = tn.ones(2)
    with pytest.raises(TypeError):
        np.add(np.ones(2), x)
    array = np.ones(2)
    with pytest.raises(TypeError):
        array += x
    assert array.tolist() == [1, 1]


def test_equality_with_anything_else_is_false() -> None:
    x = tn.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert (x == "a") is False
    assert x != [1, 1]
    assert len({x, x, tn.ones(2)}) == 2
    assert (x == True).tolist() == [True, True]  # noqa: E712


def test_iteration(device: str) -> None:
    x = tn.arange(6, device=device).reshape(3, 2)
    assert [row.tolist() for row in x] == [[0, 1], [2, 3], [4, 5]]
    *_, third = x
    assert third.shape == (2,)
    assert list(tn.zeros(0, device=device)) == []


def test_functions_are_methods() -> None:
    x = tn.tensor([[1.0, -2.0], [3.0, 0.5]])
    for name in ("exp", "abs", "sum", "relu", "square", "argmax", "logical_not", "isnan", "t"):
        assert getattr(tn, name)(x).tolist() == getattr(x, name)().tolist()
    assert tn.add(x, 1).tolist() == (x + 1).tolist()
    assert tn.clamp(x, min=0).tolist() == x.clamp(0).tolist()
    assert tn.sum(x, dim=1, keepdim=True).shape == (2, 1)
    assert tn.max(x, 1).indices.tolist() == [0, 0]
    assert tn.allclose(x, x + 1e-9)
    assert not tn.allclose(x, x + 1)
    assert not tn.allclose(x * np.nan, x * np.nan)
    assert tn.allclose(x * np.nan, x * np.nan, equal_nan=True)
    assert tn.allclose(x * np.inf, x * np.inf)
    assert tn.logical_or(x > 2, x < -1).tolist() == [[False, True], [True, False]]
    assert tn.logical_and(x > 0, x < 2).tolist() == [[True, False], [False, True]]


def test_views_and_copies(device: str) -> None:
    x = tn.zeros(2, 3, device=device)
    for view in (x[0], x[0, 1], x[:, 1:], x.view(6), x.reshape(3, 2), x.T, x.flatten(), x[None],
                 x.squeeze(), x.expand(4, 2, 3), x.detach(), x.data, x.permute(1, 0), x[..., 0],
                 tn.einsum("ij->ji", x)):
        assert view.written is x.written
    for copied in (x.clone(), x.flip(0), x[[0, 1]], x + 0, tn.tensor(x), x.to(tn.float64),
                   x.to(copy=True), tn.cat([x])):
        assert copied.written is not x.written
    x[1][2] = 5
    x[0, 1].fill_(3)
    x.view(-1)[3] = 4
    assert x.tolist() == [[0, 3, 0], [4, 0, 5]]
    assert x.to(tn.float32) is x
    assert x.float() is x
    assert x.cpu() is x or device != "cpu"


# -- writing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "value"), [
    (0, 5), ((1, 2), 5.0), (slice(None), 1), ((slice(None), 1), [7.0, 8.0]), (..., 3),
    (-1, np.arange(3)), ((slice(None), slice(None, None, 2)), 9), ([0, 1], 4), ([1, 1], 2),
    ((0, [0, 2]), [5, 6]), (np.array([[True, False, True], [False, True, False]]), 0),
    (None, 2), ((), 7), ((slice(0, 0), 0), 1), ([True, False], 3),
])
def test_setitem(index: Any, value: Any, device: str) -> None:
    expected = np.arange(6.0).reshape(2, 3)
    x = tn.tensor(expected, dtype=tn.float32, device=device)
    if isinstance(index, np.ndarray):
        expected[index] = value
        x[tn.tensor(index, device=device)] = value
    else:
        expected[index] = value
        x[index] = value if not isinstance(value, np.ndarray) else tn.tensor(value, device=device)
    assert x.tolist() == expected.tolist()


def test_setitem_casts(device: str) -> None:
    x = tn.zeros(3, dtype=tn.int64, device=device)
    x[0] = 2**53 + 1
    x[1] = 2.9
    x[2] = tn.tensor(True, device=device)
    assert x.tolist() == [2**53 + 1, 2, 1]
    x[:2] = tn.tensor([1.5, 2.5], dtype=tn.float64, device=device)
    assert x.tolist() == [1, 2, 1]
    if device == "cpu":
        x[1:] = np.array([2**53 + 1, 5])
        assert x.tolist() == [1, 2**53 + 1, 5]


def test_in_place_methods(device: str) -> None:
    x = tn.arange(4.0, device=device)
    same_object = x
    x += 1
    x -= 0.5
    x *= 2
    x /= 4
    assert x is same_object
    assert x.tolist() == [0.25, 0.75, 1.25, 1.75]
    assert x.add_(1, alpha=2) is x
    x.sub_(1, alpha=2).mul_(4).div_(2).clamp_(1, 3)
    assert x.tolist() == [1, 1.5, 2.5, 3]
    x.copy_(tn.tensor(2, device=device))
    assert x.tolist() == [2] * 4
    assert x.fill_(3).sum().item() == 12
    assert x.zero_().sum().item() == 0
    y = x.masked_fill(tn.tensor([True, False, True, False], device=device), 5)
    assert y.tolist() == [5, 0, 5, 0]
    assert x.tolist() == [0] * 4
    n = tn.arange(3, device=device)
    n *= 2
    n += True
    assert n.tolist() == [1, 3, 5]
    assert n.dtype == tn.int64


def test_deepcopy_and_copies_of_state() -> None:
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    y.data[0] = 9
    y.grad[0] = 9
    assert x.tolist() == [1, 2]
    assert x.grad.tolist() == [2, 4]
    assert y.requires_grad
    assert y.is_leaf
    w = tn.nn.Parameter(tn.ones(2))
    both = copy.deepcopy([w, w])
    assert type(both[0]) is tn.nn.Parameter
    assert both[0] is both[1]


def test_data_and_grad_attributes() -> None:
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    assert x.grad is None
    x.grad = tn.ones(2)
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4, 4]
    x.grad = None
    x.data = tn.tensor([5.0, 6.0, 7.0])
    assert x.shape == (3,)
    assert x.requires_grad
    assert not x.data.requires_grad
    x.requires_grad = False
    assert not x.requires_grad
    assert tn.Tensor([1, 2]).dtype == tn.float32
    assert tn.Tensor(requires_grad=True).requires_grad


# -- numbers that are easily lost ------------------------------------------------------------------


def test_sums_along_the_first_axis_keep_their_digits() -> None:
    """NumPy adds rows one by one: the mean of 2¹⁷ float32 values near 1000 is off by 0.1."""
    random = np.random.default_rng(0)
    exact = random.normal(1000, 1, (2**17, 2)).astype(np.float32)
    wide = exact.astype(np.float64)
    for layout in (exact, np.asfortranarray(exact), exact[:, ::-1]):
        x = tn.from_numpy(layout)
        order = slice(None, None, -1) if layout is not exact and not layout.flags.f_contiguous \
            else slice(None)
        for keepdim in (False, True):
            np.testing.assert_allclose(x.sum(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.sum(0)[order], rtol=2e-7)
            np.testing.assert_allclose(x.mean(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.mean(0)[order], rtol=2e-7)
            np.testing.assert_allclose(x.var(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.var(0, ddof=1)[order], rtol=1e-5)
    x = tn.from_numpy(exact.reshape(2**9, 2**8, 2))
    np.testing.assert_allclose(x.mean((0, 1)).numpy(), wide.mean(0), rtol=2e-7)
    np.testing.assert_allclose(x.std((0, 1)).numpy(), wide.std(0, ddof=1), rtol=1e-5)


def test_float16_reduces_in_float32() -> None:
    x = tn.full((5000,), 30.0, dtype=tn.float16)
    assert x.mean().item() == 30
    assert tn.full((4000,), 1.0, dtype=tn.float16).sum().item() == 4000
    y = tn.tensor(np.tile([-100.0, 100.0], 1000), dtype=tn.float16)
    assert y.var(correction=0).item() == 10000
    assert y.std(correction=0).item() == 100
    assert y.std().dtype == tn.float16


def test_extremes_neither_overflow_nor_vanish() -> None:
    far = tn.tensor([-1000.0, -30.0, 0.0, 30.0, 1000.0], dtype=tn.float64, requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        for y in (far.sigmoid(), far.softmax(0), far.log_softmax(0), far.logsumexp(0), far.tanh(),
                  far.erf(), far.relu()):
            (g,) = tn.autograd.grad(y.sum(), far)
            assert np.isfinite(y.detach().numpy()).all()
            assert np.isfinite(g.numpy()).all()
    tiny = tn.tensor([1e-12], dtype=tn.float64)
    assert tiny.expm1().item() == pytest.approx(1e-12, rel=1e-12)
    assert tiny.log1p().item() == pytest.approx(1e-12, rel=1e-12)
    assert tn.tensor(-1000.0).exp().item() == 0
    assert tn.full((2,), -np.inf).logsumexp(0).item() == -np.inf
    assert tn.tensor([np.inf, 0.0]).logsumexp(0).item() == np.inf
    assert tn.zeros(0).mean().isnan()
    assert tn.ones(1).var().isnan()


def test_kinks_and_zeros_have_finite_gradients() -> None:
    for function in (lambda x: x.abs(), lambda x: x.relu(), lambda x: x.sign(), lambda x: x**2.0,
                     lambda x: x ** tn.full((3,), 3.0, dtype=tn.float64), lambda x: x**0,
                     lambda x: x.prod(), lambda x: x.std(), lambda x: x.clamp(0, 0),
                     lambda x: tn.maximum(x, -x), lambda x: x.amax(), lambda x: 2**x):
        x = tn.zeros(3, dtype=tn.float64, requires_grad=True)
        s = function(x).sum()
        for _ in range(3):
            if not s.requires_grad:
                break
            (g,) = tn.autograd.grad(s, x, create_graph=True, materialize_grads=True)
            assert np.isfinite(g.detach().numpy()).all()
            s = (g * tn.tensor([1.0, 2.0, 3.0], dtype=tn.float64)).sum()
