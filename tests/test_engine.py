"""The graph: deep, wide, shared and freed; backward() and grad()."""

from __future__ import annotations

import time
import weakref
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

# -- size and shape of the graph -----------------------------------------------------------------

@pytest.mark.parametrize("way", ["forward only", "backward", "grad", "create_graph"])
def test_a_chain_of_100000(way: str, no_garbage: Callable[[], int]) -> None:
    """No recursion on the way there, on the way back, and when it is freed."""
    x = scalar(1.0)
    y: Any = x
    for _ in range(100_000 if way != "create_graph" else 20_000):
        y = y * 1.0
    if way == "backward":
        y.backward()
        assert x.grad.item() == 1
    elif way == "grad":
        assert tn.autograd.grad(y, x)[0].item() == 1
    elif way == "create_graph":
        (g,) = tn.autograd.grad(y, x, create_graph=True)
        assert g.item() == 1
        del g
    nodes = weakref.ref(y.grad_fn)
    del y
    assert nodes() is None
    assert no_garbage() == 0


def test_a_shared_node_is_visited_once() -> None:
    """y = y + y, 1000 deep: 2¹⁰⁰⁰ paths, 1000 nodes."""
    x = scalar(1.0)
    y: Any = x
    start = time.perf_counter()
    for _ in range(1000):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**1000
    assert time.perf_counter() - start < 1


def test_a_wide_graph() -> None:
    x = scalar(2.0)
    sum((x * i for i in range(1000)), x).backward()
    assert x.grad.item() == 999 * 500 + 1


def test_diamonds_wait_for_all_their_gradients() -> None:
    x = scalar(3.0)
    a = x * x
    b = a * x
    (a * b + b).backward()  # x⁵ + x³
    assert x.grad.item() == pytest.approx(5 * 81 + 3 * 9)


def test_nothing_is_left_after_a_step(no_garbage: Callable[[], int]) -> None:
    def step() -> None:
        w, x = tn.rand(4, 4, requires_grad=True), tn.rand(8, 4)
        loss = ((x @ w).relu().softmax(-1).log() * x[:, :4]).mean()
        (g,) = tn.autograd.grad(loss, w, create_graph=True)
        (g * g).sum().backward()
        w.grad = None
        loss = (x @ w).sum()
        loss.register_hook(lambda g: g * 2)
        loss.backward()

    step()
    no_garbage()
    step()
    assert no_garbage() == 0


def test_saved_values_go_with_the_backward() -> None:
    """And with the graph where there is none; retain_graph keeps them."""
    for end in ("backward", "retain", "delete"):
        x = leaf(1.0, 2.0)
        hidden = x.exp()
        y = (hidden * hidden).sum()
        array = weakref.ref(hidden.array)
        del hidden
        assert array() is not None
        if end == "delete":
            del y
        else:
            y.backward(retain_graph=end == "retain")
        assert (array() is None) == (end != "retain")


def test_what_no_rule_needs_is_freed_at_once() -> None:
    x = leaf(1.0, 2.0)
    inner = x + 1
    array = weakref.ref(inner.array)
    y = inner * 2 + 1  # neither + nor * by a number needs its inputs' values
    del inner
    assert array() is None
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_a_gradient_goes_before_the_next_is_made() -> None:
    """On the way back only the gradients that are still awaited are alive."""
    x = tn.ones(1000, requires_grad=True)
    alive: list[weakref.ref[Any]] = []

    def look(g: tn.Tensor) -> None:
        assert sum(ref() is not None for ref in alive) <= 1
        alive.append(weakref.ref(g.array))

    y: Any = x
    for _ in range(10):
        y = y * 2.0
        y.register_hook(look)
    y.sum().backward()
    assert len(alive) == 10

# -- backward() and grad() -----------------------------------------------------------------------

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


def test_ops_that_save_nothing_may_go_back_twice() -> None:
    x = scalar(3.0)
    y = x + 1
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

# -- the graph as data ---------------------------------------------------------------------------

def test_the_graph_can_be_read() -> None:
    x, w = leaf(1.0), leaf(2.0)
    y = (x * w).exp()
    assert y.grad_fn.name() == "exp"
    ((mul, index),) = y.grad_fn.next_functions
    assert (mul.name(), index) == ("mul", 0)
    assert [node for node, _ in mul.next_functions] == [x, w]
    assert x.grad_fn is None
    assert x.is_leaf
    assert not y.is_leaf
    assert y.detach().is_leaf
    assert (tn.ones(1) * 2).is_leaf
    assert repr(y).endswith("grad_fn=<exp>)")
