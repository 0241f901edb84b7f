"""Random tensors: seeds, generators, states and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from strict import StrictArray, StrictBackend

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.array import BACKENDS, NumpyBackend
from tinygrad_norm.backend.choose import implements
from tinygrad_norm.backend.random import copied
from tinygrad_norm.nn import functional as F


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


# -- every draw is one of the backend ------------------------------------------------------------

DRAWS: list[tuple[str, Callable[[str], Any]]] = [
    ("random", lambda device: tn.rand(2, 3, device=device)),
    ("random", lambda device: tn.rand_like(tn.zeros(2, device=device, dtype=tn.float16))),
    ("standard_normal", lambda device: tn.randn(3, device=device, dtype=tn.float64)),
    ("integers", lambda device: tn.randint(9, (4,), device=device)),
    ("permutation", lambda device: tn.randperm(5, device=device)),
    ("random", lambda device: F.dropout(tn.ones(4, 5, device=device), 0.3)),
    ("random", lambda device: F.dropout(tn.ones((), device=device, dtype=tn.float16), 0.3)),
    ("random", lambda device: F.scaled_dot_product_attention(
        *(tn.ones(1, 4, 2, device=device) for _ in range(3)), dropout_p=0.5)),
    ("uniform", lambda device: nn.init.uniform_(tn.zeros(2, 3, device=device), -1, 2)),
    ("normal", lambda device: nn.init.kaiming_normal_(tn.zeros(2, 3, device=device))),
    ("uniform", lambda device: nn.Linear(3, 2, device=device).weight.detach()),
    ("normal", lambda device: nn.Embedding(3, 2, device=device).weight.detach()),
]


@pytest.mark.parametrize(("law", "make"), DRAWS)
def test_a_backend_may_draw_otherwise(
    law: str, make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees every draw for its device; by default that is the cpu's, bit for bit."""
    class Noting(StrictBackend):
        pass

    laws = []

    @implements(copied, Noting)
    def noted(random: Any, law: str, *rest: Any) -> Any:
        laws.append(law)
        return copied(random, law, *rest)

    monkeypatch.setitem(BACKENDS, "strict", Noting())
    tn.manual_seed(5)
    there = make("strict")
    assert set(laws) == {law}
    assert isinstance(there.array, StrictArray)
    tn.manual_seed(5)
    here = make("cpu")
    assert type(here.array) is np.ndarray
    assert here.dtype == there.dtype
    np.testing.assert_array_equal(here.numpy(), there.cpu().numpy())


def test_numbers_computed_from_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where initial values are computed from random numbers, the cpu does both."""
    class Noting(NumpyBackend):
        pass

    laws = []

    @implements(copied, Noting)
    def noted(random: Any, law: str, *rest: Any) -> Any:
        laws.append(law)
        return copied(random, law, *rest)

    monkeypatch.setitem(BACKENDS, "cpu", Noting())
    tensor = tn.zeros(3, 3, device="strict")
    for call in (lambda: nn.init.trunc_normal_(tensor, a=3, b=4),
                 lambda: nn.init.orthogonal_(tensor)):
        call()
    assert set(laws) == {"uniform", "random", "standard_normal"}
