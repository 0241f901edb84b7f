"""recalibrate: running statistics that are the exact moments of a whole loader."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor

import tinygrad_norm as tn
from tinygrad_norm.nn.utils import recalibrate

nn = tn.nn
EPS = 1e-3


def data(*shape: int, salt: int = 0) -> np.ndarray:
    """Channels of different offsets and widths; rows that drift, so that batches differ."""
    random = np.random.default_rng([3, salt])
    own = (1, shape[1], *[1] * (len(shape) - 2))
    drift = np.linspace(-2, 2, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return random.standard_normal(shape) * random.uniform(0.5, 2, own) + random.uniform(
        -3, 3, own) + drift


def cut(x: Any, *sizes: int) -> list[Any]:
    ends = np.cumsum(sizes).tolist()
    return [x[end - n : end] for end, n in zip(ends, sizes, strict=True)]


def close(got: Any, expected: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(array(got), expected, rtol=rtol, atol=1e-14)


def state(model: Any) -> dict[str, bytes]:
    """Values, modes and hooks."""
    result = {name: array(value).tobytes() for name, value in model.state_dict().items()}
    for name, module in model.named_modules():
        result[f"{name} mode"] = bytes([module.training])
        result[f"{name} rest"] = repr((module, module._forward_pre_hooks or {})).encode()
    return result


# -- the exact moments --------------------------------------------------------------------------

FORMS = [(nn.BatchNorm1d, (23, 3)), (nn.BatchNorm1d, (23, 3, 4)), (nn.BatchNorm2d, (23, 3, 2, 2)),
         (nn.BatchNorm3d, (23, 2, 1, 2, 3)), (nn.SyncBatchNorm, (23, 3)),
         (nn.BatchRenorm1d, (23, 3)), (nn.BatchRenorm2d, (23, 3, 2, 2)),
         (nn.SwitchableNorm2d, (23, 3, 2, 2)), (nn.EvoNormB0, (23, 3, 2, 2)),
         (nn.InstanceNorm1d, (23, 3, 5)), (nn.InstanceNorm2d, (23, 3, 2, 2)),
         (nn.IterNorm, (23, 4)), (nn.GhostBatchNorm, (23, 3))]
SIZES = [(23,), (10, 13), (8, 8, 7), (2, 19, 2), (2,) * 10 + (3,)]


def expected_of(layer: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """From all rows at once, as each paper has it."""
    axes = tuple(i for i in range(x.ndim) if i != 1)
    n, mean = x.size // x.shape[1], x.mean(axis=axes)
    if isinstance(layer, nn.InstanceNorm1d | nn.InstanceNorm2d):
        own = tuple(range(2, x.ndim))
        return {"running_mean": mean, "running_var": x.var(axis=own, ddof=1).mean(axis=0)}
    if isinstance(layer, nn.IterNorm):
        return {"running_mean": mean, "running_wm": whitening(layer, x)}
    if isinstance(layer, nn.BatchRenorm1d | nn.BatchRenorm2d):
        return {"running_mean": mean, "running_std": np.sqrt(x.var(axis=axes) + EPS)}
    if isinstance(layer, nn.SwitchableNorm2d):
        return {"running_mean": mean, "running_var": x.var(axis=axes)}
    var = x.var(axis=axes) * n / (n - 1)
    both = {"running_mean": mean, "running_var": var}
    return {"running_var": var} if isinstance(layer, nn.EvoNormB0) else both


def whitening(layer: Any, x: np.ndarray) -> np.ndarray:
    """Σ^(-1/2) of each group by the paper's own iteration."""
    each = x.shape[1] // layer.num_groups
    result = []
    for g in range(layer.num_groups):
        cov = np.cov(x[:, g * each : (g + 1) * each].T, bias=True) + EPS * np.eye(each)
        p = np.eye(each)
        for _ in range(layer.T):
            p = (3 * p - p @ p @ p @ cov / np.trace(cov)) / 2
        result.append(p / np.sqrt(np.trace(cov)))
    return np.stack(result)


@pytest.mark.parametrize(("kind", "shape"), FORMS,
                         ids=[f"{k.__name__} {'x'.join(map(str, s))}" for k, s in FORMS])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_statistics_are_those_of_all_rows(
    kind: Any, shape: tuple[int, ...], sizes: tuple[int, ...], device: str
) -> None:
    """However the batches are cut; and whatever the statistics were before."""
    settings: dict[str, Any] = {"eps": EPS, "dtype": tn.float64, "device": device}
    if kind is nn.IterNorm:
        settings["num_groups"] = 2
    if kind in (nn.InstanceNorm1d, nn.InstanceNorm2d):
        settings["track_running_stats"] = True
    layer = kind(shape[1], **settings)
    x = data(*shape)
    layer(tensor(x[:4] * 50, device))
    assert recalibrate(layer, [tensor(part, device) for part in cut(x, *sizes)]) is layer
    for name, value in expected_of(layer, x).items():
        close(getattr(layer, name), value, 1e-10)
    assert layer.num_batches_tracked.item() == len(sizes)
    assert layer.training


def test_the_mean_of_variances_would_be_too_small() -> None:
    """What momentum=None gives leaves out how the batches differ."""
    x = data(40, 3)
    layer = nn.BatchNorm1d(3, dtype=tn.float64)
    recalibrate(layer, [tensor(part) for part in cut(x, 10, 10, 10, 10)])
    averaged = np.mean([part.var(axis=0, ddof=1) for part in cut(x, 10, 10, 10, 10)], axis=0)
    close(layer.running_var, x.var(axis=0, ddof=1))
    assert (averaged < array(layer.running_var) * 0.85).all()


def test_after_it_eval_normalizes_the_data() -> None:
    x = tensor(data(50, 3))
    layer = recalibrate(nn.BatchNorm1d(3, dtype=tn.float64), x.split(16)).eval()
    y = array(layer(x))
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(y.var(axis=0, ddof=1), 1, rtol=1e-4)


def test_float32_with_an_offset_is_measured_in_float64() -> None:
    x = (data(600, 3) + 1e6).astype(np.float32)
    layer = recalibrate(nn.BatchNorm1d(3), [tensor(part) for part in cut(x, 200, 400)])
    exact = x.astype(np.float64)
    close(layer.running_mean, exact.mean(axis=0).astype(np.float32), 1e-7)
    close(layer.running_var, exact.var(axis=0, ddof=1), 1e-6)


def network() -> Any:
    tn.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5),
                         nn.Linear(4, 5), nn.BatchRenorm1d(5, rmax=3, dmax=5), nn.Tanh(),
                         nn.Linear(5, 2), nn.BatchNorm1d(2, track_running_stats=False)).double()


def test_deeper_norms_see_batches_normalized_by_themselves() -> None:
    """By hand: each layer's input, with Dropout off and no correction in BatchRenorm."""
    net, batches = network(), cut(data(30, 3), 10, 12, 8)
    for batch in batches:  # statistics that must not matter
        net(tensor(batch * 9))
    first, second = [], []
    for batch in batches:
        h = tensor(batch) @ net[0].weight.T + net[0].bias
        first.append(array(h))
        h = nn.functional.batch_norm(h, None, None, net[1].weight, net[1].bias, True).tanh()
        second.append(array(h @ net[4].weight.T + net[4].bias))
    recalibrate(net, [tensor(batch) for batch in batches])
    close(net[1].running_mean, np.concatenate(first).mean(axis=0))
    close(net[1].running_var, np.concatenate(first).var(axis=0, ddof=1))
    close(net[5].running_mean, np.concatenate(second).mean(axis=0), 1e-11)
    close(net[5].running_std, np.sqrt(np.concatenate(second).var(axis=0) + 1e-5))


def test_only_the_statistics_change() -> None:
    net = network()
    net[3].eval()
    net[4].weight.requires_grad_(False)
    net[0].weight.grad = tn.ones(4, 3, dtype=tn.float64)
    before, random = state(net), tn.get_rng_state().tolist()
    recalibrate(net, [tensor(data(8, 3))])
    changed = {name for name, value in state(net).items() if value != before[name]}
    assert changed == {f"{i}.{name}" for i, spread in ((1, "running_var"), (5, "running_std"))
                       for name in ("running_mean", spread, "num_batches_tracked")}
    assert tn.get_rng_state().tolist() == random
    assert [p.grad is None for p in net.parameters()] == [False] + [True] * 11
    assert tn.is_grad_enabled()


def test_frozen_norms_stay_and_are_used() -> None:
    net, batch = network(), tensor(data(20, 3))
    net(batch)
    nn.utils.freeze(net[1])
    before = array(net[1].running_mean).tolist()
    expected = array((net[1].eval()(net[0](batch))).tanh() @ net[4].weight.T + net[4].bias)
    recalibrate(net, [batch])
    assert array(net[1].running_mean).tolist() == before
    close(net[5].running_mean, expected.mean(axis=0), 1e-11)
    assert not net[1].training


# -- what a loader may give ---------------------------------------------------------------------

def loaders() -> dict[str, Any]:
    x = data(12, 3).astype(np.float32)
    rows = tn.data.TensorDataset(tensor(x), tn.arange(12))
    parts = cut(x, 5, 5, 2)

    def generator() -> Iterator[Any]:
        yield from (tensor(part) for part in parts)

    return {
        "tensors": [tensor(part) for part in parts],
        "pairs": [(tensor(part), None) for part in parts],
        "arrays": parts,
        "float64 arrays": [part.astype(np.float64) for part in parts],
        "lists": [[part, 1, 2] for part in parts],
        "generator": generator(),
        "DataLoader": tn.data.DataLoader(rows, batch_size=5),
    }


@pytest.mark.parametrize("kind", loaders())
def test_any_iterable_of_batches(kind: str) -> None:
    layer = recalibrate(nn.BatchNorm1d(3), loaders()[kind])
    x = data(12, 3).astype(np.float32)
    close(layer.running_mean, x.mean(axis=0), 1e-6)
    close(layer.running_var, x.var(axis=0, ddof=1), 1e-6)
    assert layer.num_batches_tracked.item() == 3


def test_a_forward_of_ones_own_and_shards() -> None:
    layer = nn.SyncBatchNorm(3, dtype=tn.float64)
    x = data(20, 3)
    batches = [{"shards": [tensor(p) for p in cut(part, 4, 0, 6)]} for part in cut(x, 10, 10)]
    recalibrate(layer, batches, forward=lambda batch: layer(batch["shards"]))
    close(layer.running_mean, x.mean(axis=0))
    close(layer.running_var, x.var(axis=0, ddof=1))


def test_a_layer_called_twice_sees_both() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.norm = nn.BatchNorm1d(3, dtype=tn.float64)

        def forward(self, x: Any) -> Any:
            self.norm(x)
            return self.norm(x * 3 + 1)

    x = data(20, 3)
    model = recalibrate(Twice(), [tensor(part) for part in cut(x, 12, 8)])
    close(model.norm.running_mean, np.concatenate([x, x * 3 + 1]).mean(axis=0))
    close(model.norm.running_var, np.concatenate([x, x * 3 + 1]).var(axis=0, ddof=1))


# -- what is wrong ------------------------------------------------------------------------------

def test_a_batch_with_nan_is_left_out_of_all() -> None:
    net = network()
    same = copy.deepcopy(net)
    batches = [tensor(part) for part in cut(data(30, 3), 10, 10, 10)]
    batches[1][3, 2] = float("nan")
    with pytest.warns(RuntimeWarning, match="recalibrate: left out 1 of 3 batches, with NaN or "
                      "Inf in the input of '1'; look at the data") as told:
        recalibrate(net, batches)
    assert len(told) == 1
    recalibrate(same, [batches[0], batches[2]])
    assert state(net) == state(same)
    assert net[1].num_batches_tracked.item() == 2
    assert net[1].skipped_batches == 0


def test_a_norm_that_no_batch_came_to() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            self.used, self.spare = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x: Any) -> Any:
            return self.used(x)

    model = Half()
    with pytest.warns(RuntimeWarning, match="no batch came to 'spare', whose statistics stay"):
        recalibrate(model, [tn.randn(4, 3)])
    assert model.spare.num_batches_tracked.item() == 0


NAN = tn.full((4, 3), float("nan"))
BAD = [
    (nn.BatchNorm1d(3), [], ValueError, "expected at least one batch, got an empty loader; a gen"),
    (nn.BatchNorm1d(3), [NAN], ValueError, "got 1, all with NaN or Inf in the input of"),
    (nn.BatchNorm1d(3), tn.ones(4, 3), TypeError, r"got Tensor; of one batch make a list: \[x\]"),
    (nn.BatchNorm1d(3), np.ones((4, 3)), TypeError, "expected an iterable of batches, got ndarray"),
    (nn.BatchNorm1d(3), 3, TypeError, "expected an iterable of batches, got int"),
    (nn.BatchNorm1d(3), [{"x": 1}], TypeError, "tuples that begin with one, got dict; pass forw"),
    (nn.BatchNorm1d(3), [tn.randn(4, 3), tn.randn(1, 3)], ValueError,
     "Expected more than 1 value per channel"),
    (nn.BatchNorm1d(3), [tn.randn(4, 3), tn.randn(4, 2)], ValueError, r"expected input \(N, 3\)"),
    (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(2, 2)), [tn.randn(4, 3)], ValueError,
     r"Linear: expected input \(\*, 2\), got \(4, 3\)"),
    (nn.BatchNorm1d(3, track_running_stats=False), [tn.randn(4, 3)], ValueError,
     r"expected a norm with running statistics in BatchNorm1d, got BatchNorm1d ''; track_running"),
    (nn.Sequential(nn.utils.freeze(nn.BatchNorm1d(3))), [tn.randn(4, 3)], ValueError,
     r"BatchNorm1d '0' \(frozen\); track_running_stats=True makes them, unfreeze\(\) rel"),
    (nn.Linear(3, 3), [tn.randn(4, 3)], ValueError, "in Linear, got no norm"),
    (nn.Sequential(nn.LazyBatchNorm1d()), [tn.randn(4, 3)], RuntimeError,
     "expected layers that know their size, got LazyBatchNorm1d '0'; run a batch"),
    (nn.BatchNorm1d(3).half(), [tn.randn(4, 3) * 1e4], ValueError,
     "expected statistics of '' that fit into float16, got values beyond; keep the layer in fl"),
    ([nn.BatchNorm1d(3)], [tn.randn(4, 3)], TypeError, "recalibrate: expected a Module, got list"),
]


@pytest.mark.parametrize(("model", "loader", "kind", "message"), BAD, ids=range(len(BAD)))
def test_an_error_changes_nothing(model: Any, loader: Any, kind: Any, message: str) -> None:
    before = None if isinstance(model, list) else state_of(model)
    if isinstance(model, nn.BatchNorm1d) and model.weight is not None and (
            model.weight.dtype == tn.float16):
        loader = [part.half() for part in loader]
    with pytest.raises(kind, match=message):
        recalibrate(model, loader)
    assert before is None or state_of(model) == before
    assert tn.is_grad_enabled()
    assert tn.autograd.mode.statistics_enabled()


def state_of(model: Any) -> Any:
    return "lazy" if "Lazy" in repr(model) else state(model)


def test_an_error_in_the_model_or_the_loader_changes_nothing() -> None:
    net = network()
    before = state(net)

    def broken() -> Iterator[Any]:
        yield tensor(data(8, 3))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        recalibrate(net, broken())
    assert state(net) == before
    assert net.training
