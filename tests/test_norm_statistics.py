"""What the norms remember: running statistics, from step 0, and what leaves them alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array, close, formula, moments, tensor

import tinygrad_norm as tn

EPS = 1e-3


class Remembered:
    """What a norm with running statistics should hold, in float64."""

    def __init__(self, case: Case, channels: int, momentum: float | None) -> None:
        self.case, self.momentum, self.batches = case, momentum, 0
        self.mean, self.var = np.zeros(channels), np.ones(channels)

    def see(self, x: np.ndarray) -> None:
        self.batches += 1
        weight = 1 / self.batches if self.momentum is None else self.momentum
        mean, var = (m.reshape(-1, len(self.mean)).mean(axis=0) for m in moments(self.case, x))
        unbiased = var * self.case.count / (self.case.count - 1)
        self.mean = (1 - weight) * self.mean + weight * mean
        self.var = (1 - weight) * self.var + weight * unbiased


TRACKED = [c for c in CASES if c.layer.startswith(("BatchNorm", "InstanceNorm"))]


@pytest.mark.parametrize("case", TRACKED, ids=map(str, TRACKED))
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_from_step_0(
    case: Case, momentum: float | None, device: str
) -> None:
    """Before any batch they are 0 and 1; then averages of the means and unbiased variances."""
    layer = case.make(tn.nn, momentum=momentum, track_running_stats=True, eps=EPS,
                      dtype=tn.float64, device=device)
    expected = Remembered(case, case.arguments[0], momentum)
    for step in range(4):
        assert layer.num_batches_tracked.item() == step
        close(array(layer.running_mean), expected.mean)
        close(array(layer.running_var), expected.var)
        x = case.input(20 + step)
        y = layer.eval()(tensor(x, device))
        close(array(y), formula(case, x, eps=EPS, statistics=(expected.mean, expected.var)))
        y = layer.train()(tensor(x, device))
        close(array(y), formula(case, x, eps=EPS))
        expected.see(x)
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    close(array(layer.running_mean), np.zeros(case.arguments[0]))
    close(array(layer.running_var), np.ones(case.arguments[0]))


def test_the_running_variance_is_the_unbiased_one() -> None:
    """Of the values 0 and 2 it is 2, though the batch is normalized with 1."""
    layer = tn.nn.BatchNorm1d(1, momentum=1.0)
    y = layer(tn.tensor([[0.0], [2.0]]))
    assert layer.running_var.item() == 2
    close(array(y), [[-1], [1]], 1e-5)


def test_momentum_none_is_the_plain_average_of_all_batches() -> None:
    layer = tn.nn.BatchNorm1d(3, momentum=None, dtype=tn.float64)
    batches = np.random.default_rng(0).standard_normal((5, 8, 3))
    for batch in batches:
        layer(tensor(batch))
    close(array(layer.running_mean), batches.mean(axis=(0, 1)))
    close(array(layer.running_var), batches.var(axis=1, ddof=1).mean(axis=0))


def test_an_integer_of_momentum_none_and_other_dtypes_keeps_the_buffers_dtypes() -> None:
    layer = tn.nn.BatchNorm1d(3, momentum=None)
    for _ in range(2):
        layer(tn.randn(4, 3))
    assert layer.running_mean.dtype == layer.running_var.dtype == tn.float32
    assert layer.num_batches_tracked.dtype == tn.int64
    assert layer.num_batches_tracked.shape == ()


def buffers(layer: Any) -> dict[str, bytes]:
    return {name: array(value).tobytes() for name, value in layer.named_buffers()}


LAYERS = {
    "BatchNorm1d": lambda: tn.nn.BatchNorm1d(3),
    "BatchNorm1d momentum=None": lambda: tn.nn.BatchNorm1d(3, momentum=None),
    "InstanceNorm1d": lambda: tn.nn.InstanceNorm1d(3, track_running_stats=True),
    "BatchRenorm1d": lambda: tn.nn.BatchRenorm1d(3),
}
with_buffers = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@with_buffers
def test_looking_at_a_layer_leaves_its_statistics(make: Any) -> None:
    layer = make().double()
    layer(tensor(np.random.default_rng(0).standard_normal((4, 3, 5))))
    before = buffers(layer)
    x = tensor(np.random.default_rng(1).standard_normal((4, 3, 5)), grad=True)
    with tn.autograd.keep_statistics():
        layer(x)
    layer.eval()(x)
    layer.train()
    small = x[:2, :, :3].detach().clone().requires_grad_()
    for check in (tn.autograd.gradcheck, tn.autograd.gradgradcheck):
        # finite differences see r and d of BatchRenorm, which carry no gradient
        assert check(layer, small, raise_exception=False) != isinstance(layer, tn.nn.BatchRenorm1d)
    tn.viz.graph(tn.autograd.keep_statistics(layer)(x).sum(), params=layer)
    assert buffers(layer) == before
    assert layer.num_batches_tracked.item() == 1
    assert layer.training


@with_buffers
def test_a_forward_pass_in_training_counts_once_however_it_is_used(make: Any) -> None:
    """Without recording too; and a second backward through the same forward adds nothing."""
    layer, x = make(), tn.randn(4, 3, 5)
    with tn.no_grad():
        layer(x)
    assert layer.num_batches_tracked.item() == 1
    x.requires_grad_()
    y = (layer(x) ** 2).sum()
    after = buffers(layer)
    assert layer.num_batches_tracked.item() == 2
    (dx,) = tn.autograd.grad(y, x, create_graph=True)
    dx.sum().backward()
    assert buffers(layer) == after


@with_buffers
def test_frozen_parameters_do_not_freeze_the_statistics(make: Any) -> None:
    """As in PyTorch (pytorch#86590): eval() or keep_statistics() do that."""
    layer = make().requires_grad_(False)
    before = buffers(layer)
    layer(tn.randn(4, 3, 5))
    assert buffers(layer) != before


@with_buffers
def test_a_refused_batch_leaves_the_layer_as_it_was(make: Any) -> None:
    layer = make()
    before = buffers(layer)
    for wrong in (tn.randn(1, 3, 1), tn.randn(4, 2, 5), tn.randn(4, 3, 5).double(),
                  tn.ones(4, 3, 5).long()):
        with pytest.raises((ValueError, TypeError)):
            layer(wrong)
    assert buffers(layer) == before


def test_backward_after_the_statistics_moved_on() -> None:
    """The graph holds no running statistics that a later batch could change under it."""
    layer, x = tn.nn.BatchNorm1d(3), tn.randn(8, 3, requires_grad=True)
    layer(x)
    y = layer.eval()(x)
    expected = array(layer.running_var + layer.eps) ** -0.5
    layer.train()(tn.randn(8, 3) * 9)
    y.sum().backward()
    np.testing.assert_allclose(array(x.grad), np.broadcast_to(expected, (8, 3)), rtol=1e-6)


@pytest.mark.parametrize("name", ["BatchNorm1d", "GhostBatchNorm", "SyncBatchNorm",
                                  "ConditionalBatchNorm1d"])
def test_turned_off_later_they_stand_still(name: str) -> None:
    """Whatever they hold: in training nothing reads them."""
    settings: dict[str, Any] = {
        "GhostBatchNorm": {"ghost_batch_size": 2},
        "ConditionalBatchNorm1d": {"num_classes": 1}}.get(name, {})
    layer, x = getattr(tn.nn, name)(3, **settings), tn.randn(4, 3, 2)
    inputs = (x, tn.zeros(4).long()) if "Conditional" in name else (
        [x[:1], x[1:]] if "Sync" in name else x,)
    layer(*inputs)
    layer.track_running_stats = False
    layer.running_mean = layer.running_mean.double()
    before = buffers(layer)
    layer(*inputs)
    assert buffers(layer) == before
    layer.track_running_stats, layer.running_mean = True, layer.running_mean.float()
    layer(*inputs)
    assert layer.num_batches_tracked.item() == 2


def test_instance_norms_move_on_and_are_not_counted_when_turned_off_later() -> None:
    """So it is in PyTorch."""
    layer, x = tn.nn.InstanceNorm1d(3, track_running_stats=True), tn.randn(4, 3, 2)
    layer(x)
    before = array(layer.running_mean).copy()
    layer.track_running_stats = False
    layer(x)
    np.testing.assert_allclose(array(layer.running_mean), before * 1.9, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize("name", ["BatchNorm1d", "InstanceNorm1d"])
def test_batches_are_counted_without_averages_too(name: str) -> None:
    """So it is in PyTorch, for BatchNorm."""
    layer = getattr(tn.nn, name)(3, track_running_stats=True)
    layer.running_var = None
    layer(tn.randn(4, 3, 2))
    assert layer.num_batches_tracked.item() == 1
    with tn.autograd.keep_statistics():
        layer(tn.randn(4, 3, 2))
    assert layer.num_batches_tracked.item() == 1


def test_shared_statistics_need_no_copies() -> None:
    """state_dict shares memory; a loaded one copies."""
    one, other = tn.nn.BatchNorm1d(3), tn.nn.BatchNorm1d(3)
    one(tn.randn(5, 3))
    other.load_state_dict(one.state_dict())
    assert buffers(one) == buffers(other)
    one(tn.randn(5, 3))
    assert buffers(one) != buffers(other)
    assert one.state_dict()["running_mean"].array is one.running_mean.array


def test_writing_the_statistics_is_seen_by_gradients_that_need_them() -> None:
    """A value saved from a buffer that has changed since is an error, not a wrong number."""
    layer, x = tn.nn.BatchNorm1d(3), tn.randn(4, 3, requires_grad=True)
    for buffer in (layer.running_mean, layer.running_var):
        y = (x * buffer).sum()
        layer(x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
