"""DataLoader: batches, their order, and going on where one stopped."""

import math
from collections import namedtuple

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.data import DataLoader, Subset, TensorDataset, default_collate


def seeded(seed=0):
    return tn.Generator().manual_seed(seed)


def pairs(n=10, device="cpu"):
    return TensorDataset(tn.arange(2 * n).reshape(n, 2).float().to(device),
                         tn.arange(n).to(device))


class Squares:
    """Samples made one by one."""

    def __len__(self):
        return 7

    def __getitem__(self, i):
        assert type(i) is int
        return {"n": i, "x": np.full(2, i * i, np.float32), "name": str(i)}


@pytest.mark.parametrize("n", [0, 1, 9, 10])
@pytest.mark.parametrize("size", [1, 3, 10, 99])
@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_sample_comes_once(n, size, drop, shuffle):
    loader = DataLoader(pairs(n), size, shuffle, drop_last=drop, generator=seeded())
    batches = list(loader)
    assert len(batches) == len(loader) == (n // size if drop else math.ceil(n / size))
    seen = [i for _, y in batches for i in y.tolist()]
    assert len(set(seen)) == len(seen) == (n - n % size if drop else n)
    assert all(len(y) == size for _, y in batches[:-1])
    assert all(x[:, 0].tolist() == [2.0 * i for i in y.tolist()] for x, y in batches)
    if not shuffle:
        assert seen == sorted(seen)


def test_passes_differ_and_are_reproducible():
    def passes(generator):
        loader = DataLoader(pairs(50), 8, shuffle=True, generator=generator)
        return [[i for _, y in loader for i in y.tolist()] for _ in range(3)]

    one = passes(seeded(1))
    assert one == passes(seeded(1)) != passes(seeded(2))
    assert one[0] != one[1] != one[2]
    tn.manual_seed(5)
    default = passes(None)
    tn.manual_seed(5)
    assert passes(None) == default
    tn.manual_seed(5)
    loader = DataLoader(pairs(50), 8, shuffle=True)
    tn.rand(100)  # what others draw does not touch it
    assert [i for _, y in loader for i in y.tolist()] == default[0]


def test_a_loader_that_does_not_shuffle_draws_nothing():
    tn.manual_seed(0)
    before = tn.get_rng_state().tolist()
    list(DataLoader(pairs()))
    assert tn.get_rng_state().tolist() == before


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_owns_its_memory(shuffle):
    data = pairs()
    for x, _ in DataLoader(data, 10, shuffle, generator=seeded()):
        x.zero_()
    assert data.tensors[0].sum().item() == 190


def test_a_batch_is_one_read(monkeypatch):
    calls = []
    read = tn.Tensor.__getitem__
    monkeypatch.setattr(tn.Tensor, "__getitem__", lambda t, i: calls.append(i) or read(t, i))
    inner = Subset(pairs(100), np.arange(99, -1, -1))
    loader = DataLoader(Subset(inner, list(range(0, 100, 2))), 25)
    assert [y.tolist() for _, y in loader] == [list(range(99, 49, -2)), list(range(49, 0, -2))]
    assert len(calls) == 4  # two batches of two tensors


class Noisy(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 100, y


class Negated(Subset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return -x, y


def test_a_subclass_that_reads_otherwise_is_asked():
    data = Noisy(*pairs().tensors)
    (x, y), *_ = DataLoader(data, 5)
    assert (x[:, 0].tolist(), y.tolist()) == ([100.0, 102.0, 104.0, 106.0, 108.0], [0, 1, 2, 3, 4])
    (x, _), *_ = DataLoader(Negated(data, [1, 2]), 5)
    assert x[:, 0].tolist() == [-102.0, -104.0]
    (x, _), *_ = DataLoader(Subset(Negated(data, [1, 2]), [1]), 5)
    assert x[:, 0].tolist() == [-104.0]


@pytest.mark.parametrize("shuffle", [False, True])
def test_any_dataset_is_collated(shuffle):
    batches = list(DataLoader(Squares(), 3, shuffle, generator=seeded()))
    assert [b["x"].shape for b in batches] == [(3, 2), (3, 2), (1, 2)]
    for b in batches:
        assert b["name"] == [str(i) for i in b["n"].tolist()]
        assert b["x"].dtype == tn.float32
        assert b["x"][:, 1].tolist() == [i * i for i in b["n"].tolist()]
    assert list(DataLoader([], 3)) == []
    assert [b.tolist() for b in DataLoader(range(4), 3)] == [[0, 1, 2], [3]]


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(("samples", "values", "dtype"), [
    ([1, 2], [1, 2], "int64"), ([0.5, 1], [0.5, 1.0], "float64"), ([True, False], [1, 0], "bool"),
    ([np.float32(0.5)] * 2, [0.5, 0.5], "float32"), ([np.zeros((), "int32")], [0], "int32"),
    ([tn.ones(2)] * 2, [[1, 1], [1, 1]], "float32"), ([tn.tensor(3)], [3], "int64"),
    ([np.zeros(1, "uint8")], [[0]], "int64"),
])
def test_collating_one_kind(samples, values, dtype):
    batch = default_collate(samples)
    assert isinstance(batch, tn.Tensor)
    assert (batch.tolist(), batch.dtype) == (values, np.dtype(dtype))


def test_collating_parts():
    a, (b, c) = default_collate([(1, [2, "x"]), (3, [4, "y"])])
    assert (a.tolist(), b.tolist(), c) == ([1, 3], [2, 4], ["x", "y"])
    point = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert isinstance(point, Point)
    assert (point.x.tolist(), point.y.tolist()) == ([1, 3], [2.0, 4.0])


@pytest.mark.parametrize(("samples", "error", "message"), [
    ([tn.zeros(2), tn.zeros(2), tn.zeros(3)], ValueError, r"got \(2,\) and, 2 later.*\(3,\); pad"),
    ([np.zeros(2), np.zeros(3)], ValueError, "samples of one shape"),
    ([(1, 2), (1,)], ValueError, r"as many parts as the first \(2\), got \[2, 1\]"),
    ([tn.zeros(2), np.zeros(2)], TypeError, "of one kind, got Tensor and, 1 later .*, ndarray"),
    ([np.zeros(()), 1.0], TypeError, "of one kind, got ndarray and, 1 later in the batch, float"),
    ([None, None], TypeError, "got NoneType"), ([{1}, {2}], TypeError, "got set"),
])
def test_samples_that_make_no_batch(samples, error, message):
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        list(DataLoader(samples, 3))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None, "4"])
def test_a_batch_size_below_one(size):
    with pytest.raises(ValueError, match="DataLoader: expected batch_size >= 1, got"):
        DataLoader(pairs(), size)


def test_something_that_is_no_dataset():
    with pytest.raises(TypeError, match="__getitem__ and __len__, got generator"):
        DataLoader(i for i in range(3))


def test_the_generators_state_resumes_between_passes():
    loader = DataLoader(pairs(20), 6, shuffle=True, generator=seeded())
    list(loader)
    state = loader.generator.get_state()
    rest = [y.tolist() for _, y in loader]
    other = DataLoader(pairs(20), 6, shuffle=True)
    other.generator.set_state(state)
    assert [y.tolist() for _, y in other] == rest


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("taken", range(9))
def test_resuming_anywhere_gives_the_same_batches(taken, shuffle, drop, tmp_path):
    def make(seed):
        return DataLoader(pairs(20), 6, shuffle, drop_last=drop,
                          generator=seeded(seed) if shuffle else None)

    def endless(loader):
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


def test_after_break_a_new_pass_begins():
    loader = DataLoader(pairs(20), 6)
    for _ in loader:
        break
    assert loader.state_dict()["position"] == 6
    assert len(list(loader)) == 4
    assert loader.state_dict() == {"generator": None, "position": 0, "samples": 20}


def test_the_state_of_another_loader():
    shuffled = DataLoader(pairs(), shuffle=True).state_dict()
    with pytest.raises(ValueError, match="the other does not; make it with the same shuffle"):
        DataLoader(pairs()).load_state_dict(shuffled)
    with pytest.raises(ValueError, match="the other does not"):
        DataLoader(pairs(), shuffle=True).load_state_dict(DataLoader(pairs()).state_dict())
    with pytest.raises(ValueError, match="a loader of 9 samples, got one of 10"):
        DataLoader(pairs(9), shuffle=True).load_state_dict(shuffled)
    loader = DataLoader(pairs(), shuffle=True)
    before = str(loader.state_dict())
    with pytest.raises(ValueError, match=r"the keys \['generator', 'position', 'samples'\], got"):
        loader.load_state_dict({"position": 3})
    with pytest.raises(ValueError, match="expected position >= 0, got -3"):
        loader.load_state_dict({**shuffled, "position": -3})
    assert str(loader.state_dict()) == before


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_read_where_the_data_is(device, shuffle):
    here, there = (DataLoader(Subset(pairs(20, place), range(3, 20)), 5, shuffle,
                              generator=seeded()) for place in ("cpu", device))
    before = strict.traffic.copy()
    batches = list(there)
    crossed = strict.traffic - before
    assert crossed["out"] == crossed["item"] == 0
    assert crossed["in"] == (2 if device == "strict" else 0)  # the order, once for each tensor
    for (x, y), (x_here, y_here) in zip(batches, here, strict=True):
        assert x.device == y.device == tn.zeros(1).to(device).device
        assert (x.tolist(), y.tolist()) == (x_here.tolist(), y_here.tolist())
