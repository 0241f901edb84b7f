"""backward() and grad(): what they return, add up, keep, and refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import ShapeError


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)


def test_gradients_add_up_in_place() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    held = x.grad
    (x * 3).sum().backward()
    assert x.grad is held
    assert held.tolist() == [5, 7]
    assert not held.requires_grad
    x.grad = None
    (x * 3).sum().backward()
    assert held.tolist() == [5, 7]
    assert x.grad.tolist() == [3, 3]


def test_gradients_do_not_alias() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = tn.ones(2, dtype=tn.float64)
    (a + b).backward(seed)
    arrays = [a.grad.array, b.grad.array, seed.array]
    for i, one in enumerate(arrays):
        for other in arrays[:i]:
            assert not np.shares_memory(one, other)
    a.grad.zero_()
    assert b.grad.tolist() == seed.tolist() == [1, 1]
    x = leaf(1.0)
    x.backward(seed[:1])
    x.grad.zero_()
    assert seed.tolist() == [1, 1]


def test_retain_graph() -> None:
    x = scalar(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(RuntimeError, match=(
            r"backward through mul a second time: the values it had saved were freed after the "
            r"first; pass retain_graph=True")):
        y.backward()
    assert x.grad.item() == 12


@pytest.mark.parametrize("function", [
    lambda x: x + 1, lambda x: x[None].sum(), lambda x: x.reshape(1, 1).mean(), lambda x: x[...],
    lambda x: x.expand(1, 1)[0, 0],
])
def test_ops_that_save_no_values_may_go_back_twice(function: Callable[[Any], Any]) -> None:
    x = scalar(3.0)
    y = function(x)
    y.backward()
    y.backward()
    assert x.grad.item() == 2


def test_create_graph() -> None:
    x = scalar(2.0)
    (x**4).backward(create_graph=True)
    first = x.grad
    assert first.item() == 32
    assert first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 48
    x.grad = None  # the cycle x -> grad -> graph -> x is the user's to break


def test_backward_after_create_graph_keeps_the_old_gradient() -> None:
    x = scalar(2.0)
    (x**2).backward(create_graph=True)
    old = x.grad
    (x**3).backward()
    assert x.grad.item() == 4 + 12
    assert old.item() == 4, "a recorded gradient was written into"
    x.grad = None


def test_grad_of_intermediates() -> None:
    x = scalar(2.0)
    y = x * x
    z = y.exp() * x
    dy, dx = tn.autograd.grad(z, [y, x])
    assert dy.item() == pytest.approx(2 * np.exp(4))
    assert dx.item() == pytest.approx((1 + 4 * 2) * np.exp(4))
    assert x.grad is None
    assert y.grad is None
    assert [g.item() for g in tn.autograd.grad(y * 1, [y, y])] == [1, 1]
    (one,) = tn.autograd.grad(y, y)
    assert one.item() == 1


def test_grad_walks_no_further_than_it_must() -> None:
    x = scalar(2.0)
    y = x.exp()
    y.register_hook(lambda g: None)
    x.exp().register_hook(pytest.fail)
    z = y * 2
    assert tn.autograd.grad(z, y, retain_graph=True)[0].item() == 2
    assert y.grad_fn.saved is not None
    tn.autograd.grad(z, y)
    y.backward()  # the part below y was not walked, so its values are still there


def test_grad_of_several_outputs() -> None:
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    outputs = [x * y, (x * x).sum()]
    dx, dy = tn.autograd.grad(outputs, [x, y], [tn.tensor([1.0, 10.0], dtype=tn.float64), None])
    assert dx.tolist() == [3 + 2, 40 + 4]
    assert dy.tolist() == [1, 20]
    tn.autograd.backward([x.sum(), y.sum()])
    assert x.grad.tolist() == y.grad.tolist() == [1, 1]


def test_unused_inputs() -> None:
    x, y = scalar(1.0), scalar(2.0)
    with pytest.raises(RuntimeError, match=r"grad: input 1 of shape \(\) is not part of the graph "
                                           r"of the outputs; pass allow_unused=True"):
        tn.autograd.grad(x * 2, [x, y])
    assert tn.autograd.grad(x * 2, [x, y], allow_unused=True)[1] is None
    zero = tn.autograd.grad(x * 2, [x, y], materialize_grads=True)[1]
    assert zero.item() == 0
    with pytest.raises(RuntimeError, match=r"input 0 of shape \(\) does not require grad"):
        tn.autograd.grad(x * 2, x.detach())


def test_what_cannot_be_differentiated() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=(
            r"grad can be implicitly created only for scalar outputs, got shape \(2,\); pass a "
            r"gradient of that shape, or take \.sum\(\)")):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"does not require grad and has no grad_fn"):
        x.detach().sum().backward()
    with pytest.raises(ShapeError, match=r"expected a gradient of shape \(2,\), got \(3,\)"):
        (x * 2).backward(tn.ones(3))
    with pytest.raises(RuntimeError, match=r"2 outputs, but 1 gradients"):
        tn.autograd.backward([x.sum(), x.sum()], [None])
    with tn.no_grad():
        y = (x * 2).sum()
    with pytest.raises(RuntimeError, match=r"leave no_grad\(\) and detach\(\)"):
        y.backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        (x > 1).sum().backward()


def test_a_gradient_of_another_dtype_or_kind() -> None:
    x = leaf(1.0, 2.0)
    (x * 2).backward(tn.ones(2))
    assert x.grad.dtype == tn.float64
    (x * 2).backward(np.array([1, 2]))
    assert x.grad.tolist() == [4, 6]
    tn.autograd.grad(x * 2, x, tn.ones(2), create_graph=True)[0].sum()


def test_dtypes_on_the_way() -> None:
    """Each leaf gets a gradient of its own dtype, through casts and promotion."""
    half = tn.ones(2, dtype=tn.float16, requires_grad=True)
    single = tn.ones(2, requires_grad=True)
    double = tn.ones((), dtype=tn.float64, requires_grad=True)
    y = half * single + single.double() * double
    assert y.dtype == tn.float64
    for create_graph in (False, True):
        for x, g in zip((half, single, double), tn.autograd.grad(
                y.sum(), (half, single, double), create_graph=create_graph, retain_graph=True),
                strict=True):
            assert g.dtype == x.dtype
    assert not single.long().requires_grad
    assert not single.bool().requires_grad
    assert single.half().float().requires_grad


def test_integers_take_no_gradient() -> None:
    with pytest.raises(RuntimeError, match=r"only tensors of floating point dtype can require "
                                           r"gradients, got int64; call \.float\(\)"):
        tn.tensor([1, 2], requires_grad=True)
    x = leaf(2.0, 1.0)
    assert not x.argmax().requires_grad
    assert not (x > 1).requires_grad
    assert not x.max(0).indices.requires_grad


def test_frozen_and_detached_parts_get_none() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x * w.detach() + x.detach() * 2).sum().backward()
    assert x.grad.tolist() == [3, 4]
    assert w.grad is None
    w.requires_grad_(False)
    assert (w * 2).grad_fn is None
    y = x * 2
    with pytest.raises(RuntimeError, match="only change requires_grad flags of leaf"):
        y.requires_grad = False


def test_an_expanded_gradient_is_written_to(device: str) -> None:
    x = tn.ones(3, device=device, requires_grad=True)
    x.grad = tn.ones(1, device=device).expand(3)
    (x * tn.arange(3.0, device=device)).sum().backward()
    assert x.grad.tolist() == [1, 2, 3]
    x.grad = tn.ones(1, device=device).expand(3)
    tn.nn.utils.clip_grad_value_(x, 0.5)
    assert x.grad.tolist() == [0.5, 0.5, 0.5]
    x.grad = tn.ones(1, device=device).expand(3)
    tn.optim.SGD([x], lr=1).zero_grad(set_to_none=False)
    assert x.grad.tolist() == [0, 0, 0]
