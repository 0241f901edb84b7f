"""ClassBatches and DataLoader's batch_sampler: batches of a few classes, and going on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.data import ClassBatches, DataLoader, Subset, TensorDataset


def seeded(seed: int = 0) -> tn.Generator:
    return tn.Generator().manual_seed(seed)


def pairs(n: int = 10, device: str = "cpu") -> TensorDataset:
    return TensorDataset(tn.arange(2 * n).reshape(n, 2).float().to(device),
                         tn.arange(n).to(device))


# -- the sampler ---------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 4), st.integers(1, 5),
       st.integers(0, 1000))
def test_each_batch_has_a_few_classes_and_no_sample_comes_twice(
    counts: list[int], k: int, share: int, seed: int
) -> None:
    """For any numbers of samples of the classes; and no sampler could make more batches."""
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = [count // share for count in counts]
    most = max(b for b in range(sum(parts) + 1) if sum(min(p, b) for p in parts) >= k * b)
    if not most:
        with pytest.raises(ValueError, match=rf"ClassBatches: expected {k} classes of at least "
                           rf"{share} samples, got {sum(p > 0 for p in parts)} of {len(parts)} "):
            ClassBatches(targets, k * share, k)
        return
    sampler = ClassBatches(targets, k * share, k, generator=seeded(seed))
    for _ in range(2):
        batches = list(sampler)
        assert len(batches) == len(sampler) == most
        for batch in batches:
            assert sorted(np.unique(targets[batch], return_counts=True)[1]) == [share] * k
        used = np.concatenate(batches)
        assert len(set(used.tolist())) == len(used)


def test_classes_come_together_by_chance_and_all_of_them() -> None:
    targets = tn.tensor(np.tile(np.arange(10), 180))
    sampler = ClassBatches(targets, 32, generator=seeded())
    assert len(sampler) == 10 * (180 // 16) // 2
    first, second = (
        [tuple(np.unique(targets.numpy()[batch]).tolist()) for batch in sampler] for _ in "ab")
    assert first != second
    assert len(set(first + second)) > 35  # of 45 pairs
    assert {c for pair in first for c in pair} == set(range(10))
    order = [targets.numpy()[batch].tolist() for batch in sampler]
    assert any(labels != sorted(labels) and labels != sorted(labels)[::-1] for labels in order)


def test_what_is_left_over_differs_from_pass_to_pass() -> None:
    sampler = ClassBatches([0] * 7 + [1] * 7, 8, generator=seeded())
    assert len(sampler) == 1
    used = [frozenset(next(iter(sampler)).tolist()) for _ in range(20)]
    assert len(set(used)) > 10
    assert frozenset.union(*used) == frozenset(range(14))


@pytest.mark.parametrize("targets", [
    tn.tensor([5, 5, -1, -1]), np.array([5, 5, 9, 9], np.uint8), [5, 5, 0, 0],
    np.array([5, 5, 0, 0], ">i2")], ids=["tensor", "uint8", "list", "foreign"])
def test_targets_of_any_kind(targets: Any) -> None:
    batches = sorted(sorted(b.tolist()) for b in ClassBatches(targets, 2, 1))
    assert batches == [[0, 1], [2, 3]]


def test_the_threads_seed_decides() -> None:
    def passes() -> list[Any]:
        tn.manual_seed(5)
        sampler = ClassBatches(np.arange(40) % 4, 4)
        tn.rand(100)  # what others draw does not touch it
        return [batch.tolist() for _ in range(2) for batch in sampler]

    assert passes() == passes()
    targets = np.arange(40) % 4
    a, b = (next(iter(ClassBatches(targets, 4, generator=seeded(s)))).tolist() for s in (1, 2))
    assert a != b


@pytest.mark.parametrize(("args", "error", "message"), [
    (([0, 1], 0), ValueError, "expected batch_size >= 1, got 0"),
    (([0, 1], 2, 0), ValueError, "expected classes_per_batch >= 1, got 0"),
    (([0, 1], 2.0), ValueError, "expected batch_size >= 1, got 2.0"),
    (([0, 1], True), ValueError, "expected batch_size >= 1, got True"),
    (([0, 1], 3), ValueError, "a multiple of classes_per_batch=2, got 3"),
    (([[0, 1]], 2), ValueError, r"expected targets \(N,\), got shape \(1, 2\)"),
    (([0.5, 1.0], 2), TypeError, "expected targets to be whole numbers, .* got float64"),
    (([0, 0, 1], 4), ValueError, "2 classes of at least 2 samples, got 1 of 2 classes; take a sm"),
    ((np.zeros(0, int), 2), ValueError, "got 0 of 0 classes"),
    (([], 2), ValueError, "got 0 of 0 classes"),
])
def test_what_it_refuses(args: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"ClassBatches: .*{message}"):
        ClassBatches(*args)


def test_targets_on_any_device(device: str) -> None:
    targets = tn.tensor([0, 1] * 10).to(device)
    loader = DataLoader(pairs(20, device), batch_sampler=ClassBatches(targets, 4, 1))
    before = strict.traffic.copy()
    batches = list(loader)
    crossed = strict.traffic - before
    assert crossed["out"] == crossed["item"] == 0
    for x, y in batches:
        assert x.device == y.device == targets.device
        assert len({i % 2 for i in y.tolist()}) == 1
        assert x.cpu()[:, 0].tolist() == [2.0 * i for i in y.tolist()]


# -- DataLoader's batch_sampler ------------------------------------------------------------------


class Squares:
    """Samples made one by one."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int) -> dict[str, int]:
        assert type(i) is int
        return {"n": i, "square": i * i}


def test_any_lists_of_numbers_are_batches() -> None:
    lists = [[3, 1], (0, 0, 2), tn.tensor([6]), np.array([5, 4])]
    loader = DataLoader(Squares(), batch_sampler=lists)
    assert (len(loader), loader.batch_size) == (4, None)
    for _ in range(2):
        assert [b["n"].tolist() for b in loader] == [[3, 1], [0, 0, 2], [6], [5, 4]]
    part = Subset(Subset(pairs(20), np.arange(19, -1, -1)), range(0, 20, 2))
    assert [y.tolist() for _, y in DataLoader(part, batch_sampler=lists)] == [
        [13, 17], [19, 19, 15], [7], [9, 11]]
    for x, _ in DataLoader(part, batch_sampler=lists):
        x.zero_()
    assert pairs(20).tensors[0][1].tolist() == [2, 3]


class Endless:
    def __iter__(self) -> Any:
        i = 0
        while True:
            yield [i % 10]
            i += 1


def test_a_sampler_may_have_no_end() -> None:
    loader = DataLoader(pairs(), batch_sampler=Endless())
    seen = [y.item() for (_, y), _ in zip(loader, range(25), strict=False)]
    assert seen == [i % 10 for i in range(25)]
    with pytest.raises(TypeError, match="has no len"):
        len(loader)


class Drawn:
    """A sampler of a user, which draws each batch when it is asked for it."""

    def __init__(self, generator: tn.Generator) -> None:
        self.generator = generator

    def __iter__(self) -> Any:
        for _ in range(5):
            yield tn.randperm(20, generator=self.generator)[:3]


@pytest.mark.parametrize("taken", range(9))
@pytest.mark.parametrize("kind", ["classes", "drawn", "lists"])
def test_resuming_anywhere_gives_the_same_batches(kind: str, taken: int, tmp_path: Any) -> None:
    def make(seed: int) -> DataLoader:
        sampler: Any = {"classes": lambda: ClassBatches(
            np.arange(20) % 3, 4, generator=seeded(seed)), "drawn": lambda: Drawn(seeded(seed)),
            "lists": lambda: [[0, 1], [5], [2, 3, 4]]}[kind]()
        return DataLoader(pairs(20), batch_sampler=sampler)

    def endless(loader: DataLoader) -> Any:
        while True:
            for _, y in loader:
                yield y.tolist()

    whole = endless(make(1))
    batches = [next(whole) for _ in range(20)]
    loader = make(1)
    stopped = endless(loader)
    assert [next(stopped) for _ in range(taken)] == batches[:taken]
    checkpoint.save(loader.state_dict(), tmp_path / "a")
    fresh = make(2)
    fresh.load_state_dict(checkpoint.load(tmp_path / "a"))
    assert str(fresh.state_dict()) == str(loader.state_dict())
    going_on = endless(fresh)
    assert [next(going_on) for _ in range(20 - taken)] == batches[taken:]


def test_after_break_a_new_pass_begins() -> None:
    loader = DataLoader(pairs(), batch_sampler=[[0], [1], [2]])
    for _ in loader:
        break
    assert loader.state_dict() == {"generator": None, "batches": 1, "samples": 10}
    assert len(list(loader)) == 3
    assert loader.state_dict()["batches"] == 0


@pytest.mark.parametrize("options", [
    {"batch_size": 2}, {"shuffle": True}, {"drop_last": True}, {"generator": seeded()}],
    ids=lambda options: next(iter(options)))
def test_a_sampler_does_what_the_other_options_do(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="batch_sampler option is mutually exclusive with batch_s"):
        DataLoader(pairs(), batch_sampler=[[0]], **options)


@pytest.mark.parametrize(("sampler", "error", "message"), [
    (3, TypeError, "an iterable that can be gone through again, got int; a list of lists is one"),
    (iter([[0]]), TypeError, "gone through again, got list_iterator"),
    ([[0], []], ValueError, "at least one number a batch, got an empty one"),
    ([[0.5]], TypeError, r"lists of whole numbers, got float64 of shape \(1,\)"),
    ([[[0]]], TypeError, r"lists of whole numbers, got int64 of shape \(1, 1\)"),
    ([0, 1], TypeError, r"lists of whole numbers, got int64 of shape \(\)"),
    ([[True]], TypeError, "lists of whole numbers, got bool"),
    ([[10]], IndexError, "index 10 is out of bounds"),
])
def test_samplers_that_make_no_batches(sampler: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(DataLoader(pairs(), batch_sampler=sampler))


def test_the_state_of_another_loader() -> None:
    plain, sampled = DataLoader(pairs()), DataLoader(pairs(), batch_sampler=[[0]])
    for one, other in ((plain, sampled), (sampled, plain)):
        with pytest.raises(ValueError, match="has a batch_sampler, the other has not"):
            one.load_state_dict(other.state_dict())
    drawn = DataLoader(pairs(), batch_sampler=Drawn(seeded()))
    with pytest.raises(ValueError, match="one of the state and this loader shuffles"):
        sampled.load_state_dict(drawn.state_dict())
