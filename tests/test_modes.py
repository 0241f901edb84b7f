"""Recording switched on and off, and threads that do not see each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import tinygrad_norm as tn


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)

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


@pytest.mark.parametrize("mode", [
    tn.no_grad, tn.no_grad(), lambda function: tn.set_grad_enabled(False)(function)])
def test_a_mode_of_a_generator_holds_while_it_runs(mode: Any) -> None:
    ended = []

    def steps() -> Any:
        try:
            got = yield tn.is_grad_enabled()
            with tn.enable_grad():
                yield tn.is_grad_enabled(), got
                yield tn.is_grad_enabled()
            yield tn.is_grad_enabled()
        except KeyError:
            yield "caught", tn.is_grad_enabled()
        finally:
            ended.append(tn.is_grad_enabled())
        return "done"

    def seen(value: Any) -> Any:
        assert tn.is_grad_enabled()
        return value

    with tn.enable_grad():
        wrapped = mode(steps)
        body = wrapped()
        assert seen(next(body)) is False
        assert seen(body.send(7)) == (True, 7)
        assert [seen(next(body)), seen(next(body))] == [True, False]
        assert seen(body.throw(KeyError())) == ("caught", False)
        body.close()
        assert ended == [False]
        body = wrapped()
        assert [seen(next(body)) for _ in range(4)] == [False, (True, None), True, False]
        with pytest.raises(StopIteration, match="done"):
            next(body)
        assert seen(ended) == [False, False]


def test_a_mode_of_a_coroutine_holds_while_it_runs() -> None:
    @tn.no_grad
    async def look() -> bool:
        await asyncio.sleep(0)
        return tn.is_grad_enabled()

    async def both() -> tuple[bool, bool, bool]:
        task = asyncio.ensure_future(look())
        await asyncio.sleep(0)
        return tn.is_grad_enabled(), await task, await look()

    assert asyncio.run(both()) == (True, False, False)


def test_a_mode_of_an_asynchronous_generator_holds_while_it_runs() -> None:
    ended = []

    @tn.no_grad
    async def look() -> Any:
        try:
            while True:
                await asyncio.sleep(0)
                yield tn.is_grad_enabled()
        finally:
            ended.append(tn.is_grad_enabled())

    async def both() -> list[bool]:
        run = look()
        seen = [await anext(run), tn.is_grad_enabled(), await anext(run), tn.is_grad_enabled()]
        await run.aclose()
        return [*seen, tn.is_grad_enabled()]

    assert asyncio.run(both()) == [False, True, False, True, True]
    assert ended == [False]


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
