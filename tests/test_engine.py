"""The engine: graphs that are deep, wide, shared and freed; modes; hooks; writes in place."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.autograd import Function
from tinygrad_norm.errors import ShapeError


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)


@pytest.fixture
def no_garbage() -> Iterator[Callable[[], int]]:
    """The collector is off; called, it says how many objects only it could free."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()


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


# -- threads and modes -----------------------------------------------------------------------------


def _trained(seed: int) -> list[float]:
    tn.manual_seed(seed)
    first, second = tn.nn.Linear(3, 8), tn.nn.Linear(8, 1)
    x, target = tn.randn(32, 3), tn.randn(32, 1)
    losses = []
    for _ in range(30):
        loss = ((second(first(x).tanh()) - target) ** 2).mean()
        for p in (*first.parameters(), *second.parameters()):
            p.grad = None
        loss.backward()
        with tn.no_grad():
            for p in (*first.parameters(), *second.parameters()):
                p -= 0.05 * p.grad
        losses.append(loss.item())
    return losses


def test_four_threads_train_as_one_after_another() -> None:
    alone = [_trained(seed) for seed in range(4)]
    assert alone[0][-1] < alone[0][0]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(_trained, range(4)))
    assert together == alone


def test_each_thread_has_its_own_mode() -> None:
    inside, checked = threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)
    seen = []

    def other() -> None:
        inside.wait()
        seen.append(tn.is_grad_enabled())
        seen.append((scalar(1.0) * 2).requires_grad)
        tn.set_grad_enabled(False)
        checked.wait()

    thread = threading.Thread(target=other)
    thread.start()
    with tn.no_grad():
        inside.wait()
        checked.wait()
        assert not tn.is_grad_enabled()
    assert tn.is_grad_enabled()
    thread.join()
    assert seen == [True, True]


def test_backward_in_another_thread() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert x.grad.tolist() == [2, 4]


def test_modes_as_context_managers() -> None:
    x = scalar(1.0)
    with tn.no_grad():
        assert not tn.is_grad_enabled()
        assert not (x * 2).requires_grad
        assert (x * 2).grad_fn is None
        with tn.enable_grad():
            assert (x * 2).requires_grad
            with tn.set_grad_enabled(False):
                assert not (x * 2).requires_grad
            assert tn.is_grad_enabled()
        assert not tn.is_grad_enabled()
    assert tn.is_grad_enabled()
    mode = tn.no_grad()
    for _ in range(2):  # an instance can be used again
        with mode, mode:
            assert not tn.is_grad_enabled()
        assert tn.is_grad_enabled()


def test_modes_as_decorators() -> None:
    x = scalar(1.0)

    @tn.no_grad()
    def called() -> bool:
        """Its own docstring."""
        return (x * 2).requires_grad

    @tn.no_grad
    def bare() -> bool:
        return (x * 2).requires_grad

    @tn.enable_grad()
    def enabled() -> bool:
        return (x * 2).requires_grad

    @tn.set_grad_enabled(False)
    def switched() -> bool:
        return (x * 2).requires_grad

    assert (called(), bare(), enabled(), switched()) == (False, False, True, False)
    assert called.__name__ == "called"
    assert called.__doc__ == "Its own docstring."
    assert tn.is_grad_enabled()
    with tn.no_grad():
        assert enabled()


def test_set_grad_enabled_as_a_function() -> None:
    tn.set_grad_enabled(False)
    assert not tn.is_grad_enabled()
    tn.set_grad_enabled(mode=True)
    assert tn.is_grad_enabled()


@pytest.mark.parametrize("mode", [tn.no_grad, tn.enable_grad, lambda: tn.set_grad_enabled(False),
                                  tn.autograd.detect_anomaly])
def test_a_mode_ends_when_its_body_raises(mode: Callable[[], Any]) -> None:
    with tn.set_grad_enabled(True):
        with pytest.raises(KeyError), mode():
            raise KeyError
        assert tn.is_grad_enabled()

        @mode()
        def fails() -> None:
            raise KeyError

        with pytest.raises(KeyError):
            fails()
        assert tn.is_grad_enabled()


def test_a_failed_backward_leaves_the_mode_and_the_gradients() -> None:
    x = scalar(1.0)
    y = (x * 2).exp()
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (y + x).backward()
    assert tn.is_grad_enabled()
    assert x.grad is None


def test_no_grad_in_a_hook_or_create_graph() -> None:
    """The walk is recorded exactly with create_graph."""
    states = []
    for create_graph in (False, True):
        x = scalar(2.0)
        y = x * x
        y.register_hook(lambda g: states.append(tn.is_grad_enabled()))
        tn.autograd.grad(y * y, x, create_graph=create_graph)
    assert states == [False, True]


# -- backward() and grad() -------------------------------------------------------------------------


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


# -- hooks -----------------------------------------------------------------------------------------


def test_a_hook_on_a_leaf() -> None:
    x = scalar(3.0)
    seen: list[float] = []
    handle = x.register_hook(lambda g: seen.append(g.item()))
    doubled = x.register_hook(lambda g: g * 2)
    (x * x + x).backward()
    assert seen == [7], "once, with the sum of both ways"
    assert x.grad.item() == 14
    assert tn.autograd.grad(x * x, x)[0].item() == 12
    handle.remove()
    doubled.remove()
    doubled.remove()
    x.grad = None
    (x * x).backward()
    assert x.grad.item() == 6
    assert seen == [7, 6]
    with x.register_hook(lambda g: g * 0):
        assert tn.autograd.grad(x * x, x)[0].item() == 0
    assert tn.autograd.grad(x * x, x)[0].item() == 6


def test_a_hook_in_the_middle() -> None:
    x = scalar(3.0)
    y = x * x
    handle = y.register_hook(lambda g: g * 10)
    z = y * 2 + y
    z.backward(retain_graph=True)
    assert x.grad.item() == 3 * 10 * 6
    handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.item() == 18


def test_a_hook_is_differentiated_with_create_graph() -> None:
    x = scalar(2.0)
    y = x * x
    with y.register_hook(lambda g: g * y):
        (dx,) = tn.autograd.grad(y, x, create_graph=True)  # x² · 2x
    assert dx.item() == 16
    assert tn.autograd.grad(dx, x)[0].item() == 6 * 4


def test_bad_hooks() -> None:
    with pytest.raises(RuntimeError, match="can't register a hook on a tensor that doesn't"):
        tn.ones(2).register_hook(print)
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match=r"hook: expected a gradient of shape \(2,\), got \(\)"), \
            x.register_hook(lambda g: g.sum()):
        x.sum().backward()
    with pytest.raises(TypeError, match="hook: expected a Tensor or None, got float"), \
            x.register_hook(lambda g: 1.0):
        x.sum().backward()


def test_retain_grad() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.retain_grad()
    y.retain_grad()
    (y * 3).sum().backward(retain_graph=False)
    assert y.grad.tolist() == [3, 3]
    assert x.grad.tolist() == [6, 12]
    assert not np.shares_memory(y.grad.array, x.grad.array)
    x.retain_grad()  # a leaf keeps its gradient anyway
    z = x * 2
    z.register_hook(lambda g: g * 5)
    z.retain_grad()
    z.sum().backward()
    assert z.grad.tolist() == [5, 5]
    with pytest.raises(RuntimeError, match="can't retain_grad on a tensor without requires_grad"):
        tn.ones(2).retain_grad()


def test_retain_grad_does_not_keep_the_tensor() -> None:
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    z = y.sum()
    alive = weakref.ref(y)
    del y
    assert alive() is None
    z.backward()


def test_retain_grad_follows_a_write() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.retain_grad()
    y *= 10
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]
    assert x.grad.tolist() == [20, 40]


# -- writes in place -------------------------------------------------------------------------------

STALE = r"a tensor that its gradient needs was modified by an inplace operation"


def _optimizer_like(x: Any) -> None:
    from tinygrad_norm.autograd.graph import tick

    x.array[...] = 0
    x.written[0] = tick()


WRITES: dict[str, Callable[[Any], Any]] = {
    "+=": lambda x: x.__iadd__(1),
    "-=": lambda x: x.__isub__(1),
    "*=": lambda x: x.__imul__(2),
    "/=": lambda x: x.__itruediv__(2),
    "x[0] = 1": lambda x: x.__setitem__(0, 1),
    "x[...] = y": lambda x: x.__setitem__(..., tn.zeros(2)),
    "x[mask] = 0": lambda x: x.__setitem__(x > 0, 0),
    "add_": lambda x: x.add_(1, alpha=2),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(3),
    "div_": lambda x: x.div_(3),
    "clamp_": lambda x: x.clamp_(min=5),
    "copy_": lambda x: x.copy_(tn.zeros(2)),
    "fill_": lambda x: x.fill_(7),
    "zero_": lambda x: x.zero_(),
    "view": lambda x: x[0].fill_(1),
    "view of a view": lambda x: x.view(2, 1)[0].mul_(4),
    "transpose": lambda x: x.T.add_(1),
    "data": lambda x: x.data.zero_(),
    "detach": lambda x: x.detach().zero_(),
    "optimizer": _optimizer_like,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_stale_saved_value_is_an_error(write: str, create_graph: bool) -> None:
    """exp keeps its output, square its input, mul both: none may change before backward."""
    w = leaf(3.0, 4.0)
    for keep in (lambda x: x.square(), lambda x: x * w, lambda x: x.view(2, 1).square()):
        x = leaf(1.0, 2.0)
        y = keep(x)
        with tn.no_grad():
            WRITES[write](x)
        with pytest.raises(RuntimeError, match=STALE):
            tn.autograd.grad(y.sum(), x, create_graph=create_graph)
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * 3
    with tn.no_grad():
        WRITES[write](y)
    with pytest.raises(RuntimeError, match="exp: " + STALE):
        tn.autograd.grad(z.sum(), x, create_graph=create_graph)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_no_gradient_minds(write: str) -> None:
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y * 3
    with tn.no_grad():
        WRITES[write](y)
    z.sum().backward()
    assert x.grad.tolist() == [3, 3]
    with tn.no_grad():
        WRITES[write](x)  # and afterwards the leaf is used with its new value
    x.grad = None
    x.square().sum().backward()
    assert x.grad.tolist() == (2 * x.detach()).tolist()


def test_a_constant_that_was_saved_may_not_change_either() -> None:
    x, c = leaf(1.0, 2.0), tn.ones(2, dtype=tn.float64)
    index, mask = tn.tensor([0, 0]), tn.tensor([True, False])
    for y, change in ((x * c, c), (tn.where(mask, x, c), mask), (x.gather(0, index), index)):
        change.zero_()
        with pytest.raises(RuntimeError, match=STALE):
            y.sum().backward()
    indices = x.max(0)
    indices.indices.zero_()
    with pytest.raises(RuntimeError, match=STALE):
        indices.values.backward()


def test_an_index_is_kept_as_it_was() -> None:
    for index in (tn.tensor([0, 0]), np.array([0, 0]), [0, 0]):
        x = leaf(1.0, 2.0)
        y = x[index]
        index[0] = 1
        y.sum().backward()
        assert x.grad.tolist() == [2, 0]


def test_setting_data_leaves_the_graph_its_old_value() -> None:
    x = leaf(1.0, 2.0)
    y = x.square()
    x.data = tn.tensor([10.0, 20.0], dtype=tn.float64)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match=STALE):  # 2x would be made of the new x
        tn.autograd.grad(y.sum(), x, create_graph=True)
    other = tn.zeros(2, dtype=tn.float64)
    x.data = other
    y = x.square()
    other += 1  # the same memory
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_a_tensor_around_a_tensor_shares_its_memory() -> None:
    base = tn.ones(2)
    w = tn.nn.Parameter(base)
    y = w.square()
    base += 1
    assert w.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_a_leaf_that_requires_grad_is_not_written_to() -> None:
    for write in ("+=", "x[0] = 1", "copy_", "zero_", "mul_"):
        with pytest.raises(RuntimeError, match="a leaf tensor that requires grad is being used in "
                                               "an in-place operation"):
            WRITES[write](leaf(1.0, 2.0))
    x = leaf(1.0, 2.0)
    with tn.no_grad():
        x -= 0.5
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [0.5, 1.5]


RECORDED: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "+=": (lambda y, w: y.__iadd__(w), lambda y, w: y + w),
    "-=": (lambda y, w: y.__isub__(w), lambda y, w: y - w),
    "*=": (lambda y, w: y.__imul__(w), lambda y, w: y * w),
    "/=": (lambda y, w: y.__itruediv__(w), lambda y, w: y / w),
    "mul_ itself": (lambda y, w: y.mul_(y), lambda y, w: y * y),
    "clamp_": (lambda y, w: y.clamp_(2, 5), lambda y, w: y.clamp(2, 5)),
    "y[0] = w[1]": (lambda y, w: y.__setitem__(0, w[1]), lambda y, w: tn.stack([w[1], y[1], y[2]])),
    "y[1:] = w": (lambda y, w: y.__setitem__(slice(1, None), w[:2] * w[:2]),
                  lambda y, w: tn.cat([y[:1], w[:2] ** 2])),
    "y[mask] = 0": (lambda y, w: y.__setitem__(tn.tensor([True, False, True]), 0),
                    lambda y, w: y * tn.tensor([0.0, 1.0, 0.0])),
    "y[index] = w": (lambda y, w: y.__setitem__(tn.tensor([2, 0]), w[:2]),
                     lambda y, w: tn.stack([w[1], y[1], w[0]])),
    "y[index] = w twice": (lambda y, w: y.__setitem__(tn.tensor([1, 1]), w[:2]),
                           lambda y, w: tn.stack([y[0], w[1], y[2]])),
    "copy_": (lambda y, w: y.copy_(w), lambda y, w: w * 1),
    "fill_": (lambda y, w: y.fill_(w[0]), lambda y, w: w[0].expand(3)),
    "zero_": (lambda y, w: y.zero_(), lambda y, w: y * 0),
    "add_ its sum": (lambda y, w: y.add_(y.sum()), lambda y, w: y + y.sum()),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_write_has_the_right_gradients(name: str) -> None:
    """At first and second order, and earlier uses keep the value that they saw."""
    write, formula = RECORDED[name]
    results = []
    for in_place in (True, False):
        x, w = leaf(1.0, 2.0, 3.0), leaf(1.5, 2.5, 3.5)
        y = x * x
        early = y.exp() * y
        if in_place:
            write(y, w)
            after = y
        else:
            after = formula(y, w)
        total = ((after * after).sum() + early.sum()) * after.sum()
        first = tn.autograd.grad(total, [x, w], create_graph=True, materialize_grads=True)
        second = tn.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), [x, w],
                                  allow_unused=True, materialize_grads=True)
        results.append([after, *first, *second])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_a_write_makes_a_constant_part_of_the_graph() -> None:
    w = leaf(1.0, 2.0)
    y = tn.zeros(3, dtype=tn.float64)
    y[1:] = w
    y += 1
    assert y.requires_grad
    (y * y).sum().backward()
    assert w.grad.tolist() == [4, 6]


def test_a_recorded_write_through_shared_memory_is_refused() -> None:
    x = leaf(1.0, 2.0)
    for share in (lambda y: y[0], lambda y: y.view(2, 1), lambda y: y.detach(), lambda y: y.T):
        y = x * 2
        view = share(y)
        for target in (y, view):
            if target.requires_grad:
                with pytest.raises(RuntimeError, match="shares memory with another one"):
                    target *= 2
        y.sum().backward()
    assert x.grad.tolist() == [8, 8]


def test_writes_that_do_not_fit() -> None:
    y = tn.ones(3)
    with pytest.raises(RuntimeError, match=r"add_: the result has shape \(2, 3\) and does not fit"):
        y += tn.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"result type float32 can't be cast to int64 in place"):
        tn.arange(3).mul_(1.5)
    with pytest.raises(RuntimeError, match=r"several elements of an expanded tensor share it; "
                                           r"write into a clone"):
        tn.ones(1).expand(3).add_(1)
    with pytest.raises(RuntimeError, match=r"setitem: .* shapes \(3,\), \(2,\)"):
        y[:] = tn.ones(2)
    with pytest.raises(IndexError, match="setitem"):
        y[5] = 1
    assert y.tolist() == [1, 1, 1]
    y.add_(tn.ones(3, dtype=tn.float64))
    assert y.dtype == tn.float32


# -- autograd.Function -----------------------------------------------------------------------------


class Scale(Function):
    """(a x, a² x) for a number a."""

    @staticmethod
    def forward(ctx: Any, x: Any, a: float, *, square: bool = True) -> Any:
        ctx.a = a
        ctx.save_for_backward(x)
        return x * a, x * a * a

    @staticmethod
    def backward(ctx: Any, dy: Any, dz: Any) -> Any:
        (x,) = ctx.saved_tensors
        assert x.shape == dy.shape == dz.shape
        return dy * ctx.a + dz * ctx.a**2, None


class Exp(Function):
    """eˣ, from its saved output."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * ctx.saved_tensors[0]


def test_a_function() -> None:
    x = leaf(1.0, 2.0)
    y, z = Scale.apply(x, 3.0, square=True)
    assert repr(y.grad_fn) == "<Scale>"
    assert y.grad_fn is z.grad_fn
    (y + z * z).sum().backward()
    assert x.grad.tolist() == [3 + 2 * 81, 3 + 2 * 162]
    assert not Scale.apply(x.detach(), 3.0)[0].requires_grad
    with tn.no_grad():
        assert not Scale.apply(x, 3.0)[0].requires_grad


def test_an_unused_output_has_a_gradient_of_zeros() -> None:
    for create_graph in (False, True):
        x = leaf(1.0, 2.0)
        (g,) = tn.autograd.grad(Scale.apply(x, 3.0)[1].sum(), x, create_graph=create_graph)
        assert g.tolist() == [9, 9]


def test_gradients_need_not_be_materialized() -> None:
    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx: Any, da: Any, db: Any) -> Any:
            assert da is None
            return db * 2

    x = leaf(1.0)
    Two.apply(x)[1].backward()
    assert x.grad.item() == 2


def test_a_function_has_derivatives_of_any_order() -> None:
    x = scalar(0.5)
    y = Exp.apply(x * 2)
    for order in range(1, 5):
        (y,) = tn.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(2**order * np.e)
    assert tn.autograd.gradcheck(Exp.apply, (leaf(0.1, -0.7),))
    assert tn.autograd.gradgradcheck(Exp.apply, (leaf(0.1, -0.7),))


def test_a_function_leaves_no_garbage(no_garbage: Callable[[], int]) -> None:
    def run() -> weakref.ref[Any]:
        x = leaf(1.0, 2.0)
        y = Exp.apply(x)
        z = Scale.apply(y, 2.0)[0].sum()
        (g,) = tn.autograd.grad(z, x, create_graph=True)
        g.sum().backward()
        return weakref.ref(y)

    run()
    no_garbage()
    assert run()() is None
    assert no_garbage() == 0


def test_non_differentiable_outputs() -> None:
    class Largest(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, indices = x.max(0)
            flat = x * 0
            ctx.mark_non_differentiable(flat)
            ctx.i = indices.item()
            return values, indices, flat

        @staticmethod
        def backward(ctx: Any, dy: Any, *rest: Any) -> Any:
            one = tn.zeros(3, dtype=tn.float64)
            one[ctx.i] = 1
            return dy * one

    x = leaf(1.0, 5.0, 2.0)
    values, indices, flat = Largest.apply(x)
    assert values.requires_grad
    assert not indices.requires_grad
    assert not flat.requires_grad
    values.backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_a_function_may_return_its_input() -> None:
    class Reverse(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return -dy

    x = leaf(1.0, 2.0)
    y = Reverse.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.tolist() == [-1, -1]
    with pytest.raises(RuntimeError, match="shares memory"):
        y += 1


def test_stale_values_of_a_function() -> None:
    for change in (lambda x, y: y.zero_(), lambda x, y: y[0].fill_(0)):
        x = leaf(1.0, 2.0)
        y = Exp.apply(x)
        with tn.no_grad():
            change(x, y)
        with pytest.raises(RuntimeError, match="Exp: " + STALE):
            y.sum().backward()
    x = leaf(1.0, 2.0)
    y = Scale.apply(x, 2.0)[0]
    with tn.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="Scale: " + STALE):
        y.sum().backward()


def test_a_saved_input_that_moves_on_is_kept_where_it_was() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * 2 * ctx.saved_tensors[0]

    x = leaf(1.0, 2.0)
    u = x * 3
    y = Square.apply(u)
    u *= 100
    (g,) = tn.autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [18, 36]
    assert tn.autograd.grad(g.sum(), x)[0].tolist() == [18, 18]


@pytest.mark.parametrize(("result", "error", "message"), [
    (lambda dy: (dy,), RuntimeError, "returned an incorrect number of gradients: expected 2, one "
                                     "for each argument of forward, got 1"),
    (lambda dy: (dy, dy, dy), RuntimeError, "expected 2, one for each argument of forward, got 3"),
    (lambda dy: (dy.array, None), TypeError, "expected a Tensor or None for argument 0, got ndarr"),
    (lambda dy: (dy.sum(), None), ShapeError, r"expected a gradient of shape \(2, 3\) for argument "
                                              r"0, got \(\)"),
    (lambda dy: (dy.T, None), ShapeError, r"shape \(2, 3\) for argument 0, got \(3, 2\)"),
])
def test_a_wrong_backward(result: Any, error: type[Exception], message: str) -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, n: int) -> Any:
            return x * n

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return result(dy)

    for create_graph in (False, True):
        x = tn.ones(2, 3, requires_grad=True)
        with pytest.raises(error, match=r"^Wrong\.backward: .*" + message):
            tn.autograd.grad(Wrong.apply(x, 2).sum(), x, create_graph=create_graph)


def test_what_a_backward_may_return() -> None:
    """Trailing Nones, a gradient of the broadcast shape, another dtype, a list."""
    class Free(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            assert ctx.needs_input_grad == (True, False)
            return x + y

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return [dy.double(), dy, None]

    x = tn.ones(3, requires_grad=True)
    Free.apply(x, tn.ones(2, 3)).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    assert x.grad.dtype == tn.float32


def test_a_function_needs_both_methods() -> None:
    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 0.5

    with pytest.raises(NotImplementedError, match=r"static method forward\(ctx, \*args\)"):
        Function.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match=r"static method backward\(ctx, \*grad_outputs"):
        Half.apply(leaf(1.0)).sum().backward()


# -- detect_anomaly --------------------------------------------------------------------------------


def _here() -> int:
    import inspect

    return inspect.currentframe().f_back.f_lineno  # type: ignore[union-attr]


@np.errstate(invalid="ignore", divide="ignore")
def test_anomaly_in_the_forward() -> None:
    x = leaf(1.0, -1.0)
    with tn.autograd.detect_anomaly():
        line = _here() + 2
        with pytest.raises(RuntimeError) as error:
            x.exp() + x.log()
    message = str(error.value)
    assert "the forward of log made a NaN" in message
    assert f"{__file__}:{line}: " in message
    assert "x.exp() + x.log()" in message
    x.log()  # outside nothing is searched
    y = tn.tensor([np.nan, 1.0])
    with tn.autograd.detect_anomaly():
        (y * 2).sum()  # a NaN that was there before is no news


@np.errstate(invalid="ignore", divide="ignore")
def test_anomaly_in_the_backward() -> None:
    x = leaf(0.0, 1.0)
    with tn.autograd.detect_anomaly():
        line, y = _here(), x.sqrt() * 0.0
        with pytest.raises(RuntimeError) as error:
            y.sum().backward()
    message = str(error.value)
    assert "the backward of sqrt made a NaN in the gradient of its input 0" in message
    assert f"{__file__}:{line}: " in message
    y = x.sqrt() * 0.0
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=(
            r"a line unknown: run the forward inside detect_anomaly too")):
        y.sum().backward()
    (x.sqrt() * 0.0).sum().backward()
    assert np.isnan(x.grad.numpy()[0])
    with tn.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0.0).sum().backward()


def test_anomaly_in_a_function() -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return tn.tensor([np.nan])

    x = leaf(1.0)
    with tn.autograd.detect_anomaly():
        line, y = _here(), Bad.apply(x)
        with pytest.raises(RuntimeError, match=rf"the backward of Bad(?s:.*){line}: "):
            y.backward()


# -- the graph as data -----------------------------------------------------------------------------


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
