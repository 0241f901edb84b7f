"""Reading tensors, NumPy beside them, views, and writing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import DimError

# -- reading -------------------------------------------------------------------------------------

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
    with pytest.raises(TypeError, match=r"exp: expected a Tensor, got float; tensor\(...\) makes"):
        tn.exp(2.0)
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

# -- writing -------------------------------------------------------------------------------------

@pytest.mark.parametrize(("index", "value"), [
    (0, 5), ((1, 2), 5.0), (slice(None), 1), ((slice(None), 1), [7.0, 8.0]), (..., 3),
    (-1, np.arange(3)), ((slice(None), slice(None, None, 2)), 9), ([0, 1], 4), ([1, 1], 2),
    ((0, [0, 2]), [5, 6]), (np.array([[True, False, True], [False, True, False]]), 0),
    (None, 2), ((), 7), (((0, 1), 1), 3), ((slice(0, 0), 0), 1), ([True, False], 3),
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
