"""SyncBatchNorm: what it does to shards is what BatchNorm does to the shards joined."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from norm_cases import Series, array, close, directional, randomize, tensor

import tinygrad_norm as tn
from tinygrad_norm.nn.normalization import run_on_shards
from tinygrad_norm.nn.normalization.sync import Part, sync_batch_norm

EPS = 1e-3
SHAPES = [(7, 3), (7, 3, 2), (7, 3, 2, 2), (7, 2, 1, 2, 3)]
CUTS = [[7], [3, 4], [1, 6], [1, 1, 1, 1, 1, 1, 1], [2, 0, 5], [0, 4, 3]]

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))
cuts = pytest.mark.parametrize("cuts", CUTS, ids=lambda c: "+".join(map(str, c)))


def made(shape: tuple[int, ...], device: str = "cpu", **settings: Any) -> tuple[Any, Any]:
    """A SyncBatchNorm and a BatchNorm with the same random values, in float64."""
    settings = {"eps": EPS, "dtype": tn.float64, "device": device, **settings}
    sync = tn.nn.SyncBatchNorm(shape[1], **settings)
    randomize(sync, np.random.default_rng(1))
    name = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}[len(shape)]
    plain = getattr(tn.nn, name)(shape[1], **settings)
    plain.load_state_dict(sync.state_dict())
    return sync, plain


def values(shape: tuple[int, ...], salt: int = 0) -> np.ndarray:
    return np.random.default_rng([7, salt]).standard_normal(shape) * 1.5 + 0.5


def split(x: Any, cuts: list[int]) -> list[Any]:
    ends = np.cumsum(cuts)
    return [x[end - n : end] for end, n in zip(ends.tolist(), cuts, strict=True)]


def gradients(model: Any) -> np.ndarray:
    """All of them in one row: that of a bias before a norm is 0."""
    return np.concatenate([array(p.grad).reshape(-1) for p in model.parameters()])


def same_buffers(one: Any, other: Any) -> None:
    for (name, a), (_, b) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-12, atol=1e-14, err_msg=name)


@shapes
@cuts
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
def test_shards_are_normalized_as_the_whole_batch(
    shape: tuple[int, ...], cuts: list[int], affine: bool, device: str
) -> None:
    """Outputs, gradients and buffers over two steps in training, then in eval."""
    sync, plain = made(shape, device, affine=affine)
    for step in range(3):
        training = step < 2
        x, dy = values(shape, step), values(shape, 10 + step)
        parts = [tensor(part, device, grad=True) for part in split(x, cuts)]
        whole = tensor(x, device, grad=True)
        ys, y = sync.train(training)(parts), plain.train(training)(whole)
        assert [one.shape for one in ys] == [part.shape for part in parts]
        close(np.concatenate([array(one) for one in ys]), array(y))
        for layer in (sync, plain):
            layer.zero_grad()
        sum((one * tensor(d, device)).sum()
            for one, d in zip(ys, split(dy, cuts), strict=True)).backward()
        y.backward(tensor(dy, device))
        close(np.concatenate([array(part.grad) for part in parts]), array(whole.grad))
        if affine:
            close(gradients(sync), gradients(plain))
        same_buffers(sync, plain)


@shapes
@pytest.mark.parametrize("cuts", [[3, 4], [1, 0, 6]], ids=str)
def test_derivatives_of_order_1_to_4(shape: tuple[int, ...], cuts: list[int]) -> None:
    """Along a line in all shards, weight and bias, against Taylor series of the whole batch."""
    sync, _ = made(shape)
    random = np.random.default_rng(3)
    beside = (1, -1, *[1] * (len(shape) - 2))
    axes = tuple(i for i in range(len(shape)) if i != 1)
    moving = [values(shape), *(array(p) for p in sync.parameters())]
    along = [random.standard_normal(m.shape) for m in moving]
    x, weight, bias = (Series.line(m, v) for m, v in zip(moving, along, strict=True))
    n = moving[0].size // shape[1]
    away = x - x.sum(axis=axes, keepdims=True) * (1 / n)
    var = (away * away).sum(axis=axes, keepdims=True) * (1 / n)
    expected = away * (var + EPS) ** -0.5 * weight.reshape(beside) + bias.reshape(beside)
    outward = random.standard_normal(shape)
    parts = [tensor(part, grad=True) for part in split(moving[0], cuts)]
    directions = [tensor(v) for v in [*split(along[0], cuts), *along[1:]]]
    value = sum((y * tensor(w)).sum()
                for y, w in zip(sync(parts), split(outward, cuts), strict=True))
    got = directional(value, [*parts, *sync.parameters()], directions)
    np.testing.assert_allclose(got, (expected * outward).sum().derivatives, rtol=1e-9)


def test_shards_on_several_devices() -> None:
    """Each output lies where its shard does; gradients find their way back."""
    sync, plain = made((7, 3))
    x = values((7, 3))
    for training in (True, False):
        parts = [tensor(x[:2], grad=True), tensor(x[2:6], "strict", grad=True),
                 tensor(x[6:], grad=True)]
        whole = tensor(x, grad=True)
        ys, y = sync.train(training)(parts), plain.train(training)(whole)
        assert [one.device.type for one in ys] == ["cpu", "strict", "cpu"]
        close(np.concatenate([array(one) for one in ys]), array(y))
        for layer in (sync, plain):
            layer.zero_grad()
        sum((one.cpu() ** 3).sum() for one in ys).backward()
        (y**3).sum().backward()
        close(np.concatenate([array(part.grad) for part in parts]), array(whole.grad))
        close(array(sync.weight.grad), array(plain.weight.grad))
        same_buffers(sync, plain)
    there, _ = made((7, 3), "strict")
    ys = there([tensor(x[:2]), tensor(x[2:], "strict")])
    close(np.concatenate([array(one) for one in ys]), array(made((7, 3))[1](tensor(x))))


def test_a_tensor_alone_and_shards_of_different_shapes() -> None:
    sync, plain = made((7, 3))
    x = values((7, 3))
    close(array(sync(tensor(x))), array(plain(tensor(x))), 0)
    same_buffers(sync, plain)
    wide, long = values((2, 3, 4)), values((3, 3, 5), 1)
    ys = sync([tensor(wide), tensor(long)])
    joined = np.concatenate([np.moveaxis(part, 1, -1).reshape(-1, 3) for part in (wide, long)])
    y = array(plain(tensor(joined)))
    close(np.moveaxis(array(ys[0]), 1, -1).reshape(-1, 3), y[:8])
    close(np.moveaxis(array(ys[1]), 1, -1).reshape(-1, 3), y[8:])
    same_buffers(sync, plain)


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_momentum_and_untracked(momentum: float | None) -> None:
    sync, plain = made((7, 3), momentum=momentum)
    for step in range(3):
        sync([tensor(part) for part in split(values((7, 3), step), [2, 5])])
        plain(tensor(values((7, 3), step)))
        same_buffers(sync, plain)
    with tn.autograd.keep_statistics():
        sync([tn.ones(2, 3, dtype=tn.float64)])
    same_buffers(sync, plain)
    sync, plain = made((7, 3), track_running_stats=False)
    ys = sync.eval()([tensor(part) for part in split(values((7, 3)), [2, 5])])
    close(np.concatenate([array(y) for y in ys]), array(plain.eval()(tensor(values((7, 3))))))


def test_float32_with_a_large_offset_keeps_its_digits() -> None:
    """A float32 mean of values about 1e6 is known to 0.06: it is never subtracted as one number."""
    x = (values((4000, 3)) + 1e6).astype(np.float32)
    sync = tn.nn.SyncBatchNorm(3)
    parts = [tensor(part, grad=True) for part in split(x, [1000, 1, 2999])]
    ys = sync(parts)
    dy = values((4000, 3), 1).astype(np.float32)
    sum((y * tensor(d)).sum()
        for y, d in zip(ys, split(dy, [1000, 1, 2999]), strict=True)).backward()
    exact = tn.nn.BatchNorm1d(3, dtype=tn.float64)
    whole = tensor(x.astype(np.float64), grad=True)
    expected = exact(whole)
    expected.backward(tensor(dy.astype(np.float64)))
    got = np.concatenate([array(y) for y in ys])
    np.testing.assert_allclose(got, array(expected), rtol=0, atol=4e-6)
    close(np.concatenate([array(p.grad) for p in parts]), array(whole.grad), 1e-5)


def test_float16_is_computed_in_float32() -> None:
    x = (values((40, 3)) * 30).astype(np.float16)
    for dtype in (tn.float32, tn.float16):
        sync = tn.nn.SyncBatchNorm(3, dtype=dtype)
        ys = sync([tensor(x[:15]), tensor(x[15:])])
        assert {y.dtype for y in ys} == {tn.float16}
        expected = tn.nn.BatchNorm1d(3)(tensor(x.astype(np.float32)))
        np.testing.assert_allclose(np.concatenate([array(y) for y in ys]), array(expected),
                                   rtol=0, atol=2e-3)
        assert sync.running_var.dtype == dtype


@pytest.mark.filterwarnings("ignore:.*a variance beyond float32:RuntimeWarning")
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_values_of_any_size(size: float, device: str) -> None:
    """Where the variance itself is beyond float32, and where it is beneath eps."""
    x = values((40, 3)).astype(np.float32) * np.float32([size, 1, size])
    sync = tn.nn.SyncBatchNorm(3, eps=1e-12, device=device)
    parts = [tensor(part, device, grad=True) for part in split(x, [15, 0, 25])]
    ys = sync(parts)
    dy = values((40, 3), 1).astype(np.float32)
    sum((y * tensor(d, device)).sum()
        for y, d in zip(ys, split(dy, [15, 0, 25]), strict=True)).backward()
    exact, whole = tn.nn.BatchNorm1d(3, eps=1e-12, dtype=tn.float64), tensor(
        x.astype(np.float64), grad=True)
    expected = exact(whole)
    expected.backward(tensor(dy.astype(np.float64)))
    np.testing.assert_allclose(np.concatenate([array(y) for y in ys]), array(expected), atol=4e-6)
    wide = array(whole).std(axis=0)  # dx is of the size of 1/x
    close(np.concatenate([array(p.grad) for p in parts]) * wide, array(whole.grad) * wide, 1e-5)


class Threads:
    """A collective between threads: what a process group over MPI or NCCL would be."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.held: dict[int, Sequence[Part]] = {}
        self.rank = threading.local()

    def gather(self, parts: Sequence[Part]) -> Sequence[Part]:
        self.held[self.rank.value] = parts
        self.barrier.wait(10)
        everything = [part for _, held in sorted(self.held.items()) for part in held]
        self.barrier.wait(10)
        return everything


def test_a_collective_takes_the_place_of_the_list() -> None:
    """Three replicas of a whole model, each in a thread with its own shard and its own copy."""
    group = Threads(3)
    net = tn.nn.Sequential(tn.nn.Linear(2, 3), tn.nn.BatchNorm1d(3), tn.nn.Tanh(),
                           tn.nn.Linear(3, 3), tn.nn.BatchNorm1d(3)).double()
    x = values((9, 2))
    shards = split(x, [2, 3, 4])
    replicas = [tn.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net)) for _ in shards]
    losses: dict[int, Any] = {}

    def work(rank: int) -> None:
        group.rank.value = rank
        for module in replicas[rank].modules():
            if isinstance(module, tn.nn.SyncBatchNorm):
                module.process_group = group
        losses[rank] = (replicas[rank](tensor(shards[rank])) ** 3).sum()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sum(losses.values()).backward()
    (net(tensor(x)) ** 3).sum().backward()
    close(sum(gradients(replica) for replica in replicas), gradients(net))
    for replica in replicas:
        same_buffers(replica, net)


# -- a whole model, and making one -------------------------------------------------------------

def test_a_model_runs_on_shards() -> None:
    net = tn.nn.Sequential(tn.nn.Linear(2, 4), tn.nn.BatchNorm1d(4), tn.nn.ReLU(),
                           tn.nn.Sequential(tn.nn.Linear(4, 3), tn.nn.BatchNorm1d(3))).double()
    same = tn.nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(net))
    x = values((7, 2))
    ys = run_on_shards(same, [tensor(part) for part in split(x, [3, 1, 3])])
    y = net(tensor(x))
    close(np.concatenate([array(one) for one in ys]), array(y))
    sum((one**3).sum() for one in ys).backward()
    (y**3).sum().backward()
    close(gradients(same), gradients(net))
    same_buffers(same, net)


def test_a_model_with_a_forward_of_its_own_must_take_the_list_itself() -> None:
    class Residual(tn.nn.Module):
        def __init__(self) -> None:
            self.norm = tn.nn.SyncBatchNorm(2)

        def forward(self, x: Any) -> Any:
            return [a + b for a, b in zip(x, self.norm(x), strict=True)]

    with pytest.raises(TypeError, match=r"run_on_shards: expected Residual to be a Sequential, as "
                       r"it has the SyncBatchNorm 'norm' within; give it a forward that takes a"):
        run_on_shards(Residual(), [tn.ones(2, 2)])
    assert len(Residual()([tn.randn(2, 2), tn.randn(3, 2)])) == 2


def test_conversion_keeps_the_tensors_and_shared_layers() -> None:
    shared = tn.nn.BatchNorm2d(3, eps=0.1, momentum=None)
    net = tn.nn.Sequential(shared, tn.nn.ReLU(), shared, tn.nn.GroupNorm(1, 3),
                           tn.nn.BatchNorm1d(3, affine=False).eval(),
                           tn.nn.BatchNorm1d(3, bias=False, track_running_stats=False))
    before = [id(t) for t in (*net.parameters(), *net.buffers())]
    group = Threads(1)
    same = tn.nn.SyncBatchNorm.convert_sync_batchnorm(net, group)
    assert same is net
    assert [id(t) for t in (*net.parameters(), *net.buffers())] == before
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["SyncBatchNorm", "ReLU", "SyncBatchNorm", "GroupNorm", "SyncBatchNorm",
                     "SyncBatchNorm"]
    assert net[0] is net[2]
    assert (net[0].eps, net[0].momentum, net[0].process_group) == (0.1, None, group)
    assert not net[4].training
    assert not net[5].track_running_stats
    assert net[5].bias is None
    alone = tn.nn.SyncBatchNorm.convert_sync_batchnorm(shared)
    assert alone is not shared
    assert alone.weight is shared.weight


def test_a_layer_without_a_size_is_not_converted() -> None:
    with pytest.raises(RuntimeError, match="expected layers that know their size, got "
                       "LazyBatchNorm1d; run a batch through the model first"):
        tn.nn.SyncBatchNorm.convert_sync_batchnorm(tn.nn.Sequential(tn.nn.LazyBatchNorm1d()))


def test_a_shard_with_nan_leaves_the_statistics() -> None:
    layer = tn.nn.SyncBatchNorm(3)
    before = [array(b).tobytes() for b in layer.buffers()]
    bad = tn.randn(4, 3)
    bad[1, 2] = float("inf")
    with (np.errstate(invalid="ignore"),
          pytest.warns(RuntimeWarning, match="SyncBatchNorm: NaN or Inf in channel 2 of x")):
        layer([tn.randn(2, 3), bad])
    assert [array(b).tobytes() for b in layer.buffers()] == before
    assert layer.skipped_batches == 1


def test_names_and_text() -> None:
    layer = tn.nn.SyncBatchNorm(3)
    assert list(layer.state_dict()) == list(tn.nn.BatchNorm1d(3).state_dict())
    assert repr(layer).startswith("SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True")


# -- bad input ---------------------------------------------------------------------------------

BAD = [
    ([], ValueError, "SyncBatchNorm: expected at least one shard, got an empty list"),
    ([tn.ones(2, 3), np.ones((2, 3))], TypeError, "SyncBatchNorm: expected input to be a Tensor"),
    ([tn.ones(2, 3), tn.ones(2, 4)], ValueError, r"SyncBatchNorm: expected input \(N, 3\) or"),
    ([tn.ones(2, 3), tn.ones(2, 3).double()], TypeError,
     "expected shards of float32 as the first, got shard 1 of float64"),
    ([tn.ones(2, 3).long()], TypeError, "expected a floating point input, got int64"),
    ([tn.ones(2, 3).double()], TypeError, "the input is float64, running_mean float32"),
    ([tn.ones(0, 3), tn.ones(1, 3)], ValueError,
     "SyncBatchNorm: Expected more than 1 value per channel in all shards together when training"),
    ([tn.ones(0, 3)], ValueError, "Expected more than 1 value per channel in all shards"),
]


@pytest.mark.parametrize(("shards", "kind", "message"), BAD, ids=[b[2][-30:] for b in BAD])
def test_bad_shards_change_nothing(shards: Any, kind: Any, message: str) -> None:
    layer = tn.nn.SyncBatchNorm(3)
    before = [array(b).tobytes() for b in layer.buffers()]
    with pytest.raises(kind, match=message):
        layer(shards)
    assert [array(b).tobytes() for b in layer.buffers()] == before


def test_bad_arguments_of_the_function() -> None:
    with pytest.raises(TypeError, match="SyncBatchNorm: expected a list of shards, got Tensor"):
        sync_batch_norm(tn.ones(2, 3), None, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="SyncBatchNorm: expected each shard to be a Tensor"):
        sync_batch_norm([None], None, None, training=True)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="expected shards of 3 channels as the first, got shard 1"):
        sync_batch_norm([tn.ones(2, 3), tn.ones(2, 4)], None, None, training=True)
    with pytest.raises(ValueError, match=r"expected eps > 0 when training, got 0"):
        sync_batch_norm([tn.ones(2, 3)], None, None, training=True, eps=0)
    with pytest.raises(ValueError, match=r"expected weight of shape \(3,\)"):
        sync_batch_norm([tn.ones(2, 3)], None, None, tn.ones(4), training=True)
