"""The graph: deep, wide, shared, read, and freed."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_norm as tn


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)


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
