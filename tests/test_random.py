"""Random tensors: seeds, generators, states and threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import tinygrad_norm as tn


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
