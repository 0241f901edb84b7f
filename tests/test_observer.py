"""Who looks on at a reverse walk, and what a node tells: order, values, and no effect."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.autograd import Function, detect_anomaly
from tinygrad_norm.autograd.graph import Constant, tick, wrap
from tinygrad_norm.autograd.observer import Observer
from tinygrad_norm.autograd.walk import walk
from tinygrad_norm.ops.normalize import moments


def leaf(*values: float) -> tn.Tensor:
    return tn.tensor(list(values), dtype=tn.float64, requires_grad=True)


def seed(y: tn.Tensor, graph: bool) -> Any:
    ones = np.ones_like(y.array)
    return wrap(tn.Tensor, ones) if graph else ones


def walked(y: tn.Tensor, seen: Observer | None, *, graph: bool = False, keep: bool = True) -> Any:
    return walk([(y.edge, seed(y, graph))], graph=graph, keep=keep, seen=seen)


class Log(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def node(self, node: Any, dys: list[Any]) -> None:
        self.lines.append((node.name(), *(None if dy is None else dy.tolist() for dy in dys)))

    def flow(self, node: Any, i: int, gradient: Any) -> Any:
        given, gradient = gradient.shape, super().flow(node, i, gradient)
        self.lines.append((node.name(), i, given, gradient.tolist()))
        return gradient

    def constant(self, node: Any, i: int, tensor: Any) -> None:
        self.lines.append((node.name(), i, tensor))


# -- the walk --------------------------------------------------------------------------------------


def test_what_is_told_and_when() -> None:
    """Complete gradients, then the rule's, each in its input's shape; nothing of constants."""
    x, w = leaf(1.0, 2.0), leaf(3.0)
    y = x * w
    log = Log()
    found = walked((y + y * 2).sum(), log)
    assert log.lines == [
        ("sum", 1), ("sum", 0, (2,), [1, 1]),
        ("add", [1, 1]), ("add", 0, (2,), [1, 1]), ("add", 1, (2,), [1, 1]),
        ("mul", [1, 1]), ("mul", 0, (2,), [2, 2]),
        ("mul", [3, 3]), ("mul", 0, (2,), [9, 9]), ("mul", 1, (2,), [9]),
    ]
    assert {id(x): [9, 9], id(w): [9]} == {id(t): g.tolist() for t, g in found.items()}


def test_outputs_without_a_gradient_are_told_as_none() -> None:
    log = Log()
    walked(moments(leaf(1.0, 3.0), axes=(0,), centred=True)[1], log)
    assert log.lines == [("moments", None, [1], None), ("moments", 0, (2,), [0.5, 0.5])]


@pytest.mark.parametrize("graph", [False, True])
def test_the_gradients_are_those_of_a_walk_alone(graph: bool) -> None:
    x, w = leaf(1.0, -2.0, 0.5), leaf(3.0)
    y = ((x * w).exp() + x[1:].sum() * w).softmax(0)[0]
    alone, seen = walked(y, None, graph=graph), walked(y, Log(), graph=graph)
    assert {t: g.tolist() for t, g in alone.items()} == {t: g.tolist() for t, g in seen.items()}


def test_each_gradient_is_added_before_the_next_is_told() -> None:
    """So what is recorded between two events can be told apart: here the sums of three parts."""
    x = leaf(1.0, 2.0)
    times = []

    class Clock(Observer):
        def flow(self, node: Any, i: int, gradient: Any) -> Any:
            times.append(tick())
            return super().flow(node, i, gradient)

    dx = walked(tn.cat([x, x, x]) * leaf(*range(6)), Clock(), graph=True)[x]
    last, _ = dx.edge
    first, _ = last.edges[0]
    assert (last.name(), first.name()) == ("add", "add")
    assert times[-2] < first.order < times[-1] < last.order


def test_an_observer_may_put_another_gradient_in_the_place() -> None:
    class Double(Observer):
        def node(self, node: Any, dys: list[Any]) -> None:
            dys[0] = dys[0] * 2

        def flow(self, node: Any, i: int, gradient: Any) -> Any:
            return super().flow(node, i, gradient) * 5

    x = leaf(3.0)
    (dx,) = walked(x * 1, Double()).values()
    assert dx.tolist() == [10]


def test_who_looks_on_has_no_effect() -> None:
    """Hooks are not called, nothing is stored, NaN is no error, saved values stay."""
    x = leaf(-1.0, 4.0)
    with np.errstate(invalid="ignore"):
        y = x.sqrt()
    called: list[Any] = []
    y.register_hook(called.append)
    x.register_hook(called.append)
    y.retain_grad()
    z = y.sum()
    with detect_anomaly(), np.errstate(invalid="ignore"):
        walked(z, Log())
        assert (called, y.grad, x.grad) == ([], None, None)
        with pytest.raises(RuntimeError, match="the backward of sqrt made a NaN"):
            z.backward()
    assert len(called) == 1
    assert y.grad.tolist() == [1, 1]


def test_constants_are_told_and_can_be_tracked() -> None:
    """A recorded walk reads them as tensors of its own; tracked, they have derivatives too."""
    class Track(Log):
        def constant(self, node: Any, i: int, tensor: Any) -> None:
            super().constant(node, i, tensor)
            tensor.tracked = True

    x, c = leaf(1.0, 2.0), tn.tensor([3.0, 4.0], dtype=tn.float64)
    y = (x * c).exp()
    track = Track()
    (dx,) = walked(y, track, graph=True).values()
    ((name, i, tensor),) = [line for line in track.lines if isinstance(line[-1], tn.Tensor)]
    assert (name, i) == ("mul", 1)
    assert tensor.array is c.array
    (dc,) = tn.autograd.grad(dx.sum(), tensor)  # of c exp(x c), where the exp is y itself
    np.testing.assert_allclose(dc.array, y.array)
    log = Log()
    walked(y, log)
    assert not [line for line in log.lines if isinstance(line[-1], tn.Tensor)], "arrays stay so"


def test_a_function_is_looked_on_at_too() -> None:
    log = Log()
    walked(Scale.apply(leaf(1.0, 2.0), leaf(3.0)), log, graph=True)
    assert log.lines == [
        ("Scale", [1, 1]), ("Scale", 0, (2,), [3, 3]), ("Scale", 1, (2,), [3])]


def test_a_deep_chain_leaves_nothing(no_garbage: Callable[[], int]) -> None:
    class Count(Observer):
        nodes = 0

        def node(self, node: Any, dys: list[Any]) -> None:
            self.nodes += 1

    x = leaf(1.0)
    y: Any = x
    for _ in range(100_000):
        y = y * 1.0
    count = Count()
    walked(y, count, keep=False)
    assert count.nodes == 100_000
    ref = weakref.ref(y.grad_fn)
    del y
    assert ref() is None
    assert no_garbage() == 0


def test_a_gradient_goes_before_the_next_is_made() -> None:
    alive: list[weakref.ref[Any]] = []

    class Look(Observer):
        def flow(self, node: Any, i: int, gradient: Any) -> Any:
            assert sum(ref() is not None for ref in alive) <= 1
            alive.append(weakref.ref(gradient))
            return gradient

    y: Any = tn.ones(1000, requires_grad=True)
    for _ in range(10):
        y = y * 2.0
    walked(y, Look())
    assert len(alive) == 10


# -- what a node tells -----------------------------------------------------------------------------


class Scale(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, a: Any) -> Any:
        ctx.save_for_backward(x, None, a)
        return x * a

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, _, a = ctx.saved_tensors
        return dy * a, dy * x


def test_what_a_node_kept() -> None:
    x, c = leaf(1.0, 2.0), tn.tensor([3.0, 4.0], dtype=tn.float64)
    product = x * c
    y = product.exp()
    (kept,) = product.grad_fn.kept()
    assert (kept.output, kept.number, kept.stale) == (False, 1, False)
    assert kept.value is c.array
    (own,) = y.grad_fn.kept()
    assert (own.output, own.number, own.stale) == (True, 0, False)
    assert own.value is y.array
    c.add_(1)
    assert [k.stale for k in product.grad_fn.kept()] == [True]
    y = x.exp()
    total = y.sum()
    assert total.grad_fn.kept() == []  # a shape is no value
    total.backward()
    assert y.grad_fn.kept() is None
    assert total.grad_fn.kept() == []


def test_what_a_function_kept() -> None:
    x, a = leaf(1.0, 2.0), leaf(3.0)
    y = Scale.apply(x * 1, a)
    kept = y.grad_fn.kept()
    assert [k.number for k in kept] == [None] * 3
    assert [k.stale for k in kept] == [False] * 3
    assert kept[1].value is None
    assert kept[2].value is a.array
    with tn.no_grad():
        a.add_(1)
    assert [k.stale for k in y.grad_fn.kept()] == [False, False, True]


def test_the_inputs_of_a_node() -> None:
    """Edges, and in their places what is known of constants."""
    x, c = leaf(1.0, 2.0), tn.tensor([3.0, 4.0], dtype=tn.float64)
    y = tn.where(c > 0, x, 2.5)
    mask, edge, number = y.grad_fn.inputs()
    assert isinstance(mask, Constant)
    assert edge is x
    assert number == 2.5
    assert y.grad_fn.input_shape(1) == (2,)
    assert y.sum().grad_fn.inputs() == [y.edge]
    assert y.sum().grad_fn.input_shape(0) == (2,)
    assert Scale.apply(c, x).grad_fn.inputs()[1] is x
