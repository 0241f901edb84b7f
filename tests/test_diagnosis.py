"""nn.normalization.diagnose: where the truth is known, its numbers are the truth."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from norm_cases import array, close, tensor

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn.normalization import diagnose

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((40, 3)) * [0.5, 2, 3] + [5, 0, -1]
IMAGES = RANDOM.standard_normal((6, 3, 2, 2)) * 2 + 1


def only(norm: Any, x: Any) -> Any:
    """The diagnosis of the first layer."""
    return diagnose(norm, x).layers[0]


def said(layer: Any) -> str:
    return "\n".join(map(str, layer.findings))


# -- the numbers -------------------------------------------------------------------------------

def test_a_gap_that_is_bessels_correction_alone(device: str) -> None:
    norm = nn.BatchNorm1d(3, momentum=1.0, dtype=tn.float64, device=device)
    x = tensor(X, device)
    norm(x)
    layer = only(norm, x)
    assert layer.n == 40
    close(layer.running_mean, X.mean(0))
    close(layer.running_var, X.var(0, ddof=1))
    close(layer.batch_var, X.var(0))
    close(layer.var_ratio, np.full(3, 40 / 39))
    close(layer.spread_gap.total, X.var(0) / 39)
    np.testing.assert_allclose(layer.shares, [1, 0, 0], atol=1e-12)
    assert np.abs(layer.mean_distance).max() < 1e-12
    assert layer.initial_share == 0


FLAT = IMAGES.transpose(1, 0, 2, 3).reshape(3, -1)
STREAMS: dict[str, Any] = {
    # the layer, its input, the variance that normalizes, what the batch adds to the average
    "BatchNorm1d": (lambda **o: nn.BatchNorm1d(3, **o), X, X.var(0), X.var(0, ddof=1)),
    "BatchNorm2d": (lambda **o: nn.BatchNorm2d(3, **o), IMAGES, FLAT.var(1),
                    FLAT.var(1, ddof=1)),
    "BatchRenorm1d": (lambda **o: nn.BatchRenorm1d(3, **o), X, X.var(0),
                      np.sqrt(X.var(0) + 1e-5)),
    "InstanceNorm2d": (lambda **o: nn.InstanceNorm2d(3, track_running_stats=True, **o), IMAGES,
                       IMAGES.var((2, 3)).mean(0), IMAGES.var((2, 3), ddof=1).mean(0)),
    "SwitchableNorm1d": (lambda **o: nn.SwitchableNorm1d(3, **o), X, X.var(0), X.var(0)),
    "SyncBatchNorm": (lambda **o: nn.SyncBatchNorm(3, **o), X, X.var(0), X.var(0, ddof=1)),
    "EvoNormB0": (lambda **o: nn.EvoNormB0(3, **o), IMAGES, FLAT.var(1), FLAT.var(1, ddof=1)),
    "ConditionalBatchNorm1d": (lambda **o: nn.ConditionalBatchNorm1d(3, 2, **o), X, X.var(0),
                               X.var(0, ddof=1)),
}


@pytest.mark.parametrize(("momentum", "steps"), [(0.1, 1), (0.3, 4), (None, 3), (0.0, 2)])
@pytest.mark.parametrize("name", STREAMS)
def test_a_constant_stream_leaves_a_lag_of_known_size(
    name: str, momentum: float | None, steps: int
) -> None:
    """After t equal batches the initial value 0 or 1 has the weight (1 - momentum)^t, and nothing
    drifts."""
    make, values, var, added = STREAMS[name]
    norm = make(momentum=momentum, dtype=tn.float64)
    inputs = (tensor(values),)
    if name.startswith("Conditional"):
        inputs = (tensor(values), tensor(np.arange(len(values)) % 2))
    for _ in range(steps):
        norm(*inputs)
    layer = only(norm, inputs)
    w = 0.0 if momentum is None else (1 - momentum) ** steps
    assert layer.initial_share == pytest.approx(w, rel=1e-12)
    assert layer.batches == steps
    close(layer.batch_var, var)
    batch = np.sqrt(var + 1e-5) if name == "BatchRenorm1d" else var
    close(layer.spread_gap.bessel, added - batch)
    close(layer.spread_gap.lag, w * (1 - added))
    np.testing.assert_allclose(layer.spread_gap.drift, 0, atol=1e-12)
    if layer.mean_gap is not None:
        mean = layer.batch_mean
        close(layer.mean_gap.lag, -w * mean)
        np.testing.assert_allclose(layer.mean_gap.drift, 0, atol=1e-12)
        np.testing.assert_allclose(layer.mean_distance, w * np.abs(mean) / np.sqrt(var),
                                   rtol=1e-9, atol=1e-12)
    parts = [np.abs(p / batch).sum() for p in (added - batch, w * (1 - added))]
    if sum(parts) > 1e-9:
        np.testing.assert_allclose(layer.shares[:2], np.array(parts) / sum(parts), rtol=1e-9)


def test_ghost_batches_move_the_averages_several_times() -> None:
    """7 samples in pieces of 3 are two ghost batches, of 3 and of 4."""
    x = np.concatenate([X[:3], X[:4]])
    norm = nn.GhostBatchNorm(3, 3, momentum=0.2, dtype=tn.float64)
    norm(tensor(x))
    layer = only(norm, tensor(x))
    assert layer.n == 3
    assert layer.initial_share == pytest.approx(0.8**2)
    close(layer.batch_var, (X[:3].var(0) + X[:4].var(0)) / 2)


def test_shards_are_one_batch() -> None:
    norm = nn.SyncBatchNorm(3, dtype=tn.float64)
    whole = only(norm, tensor(X))
    shards = only(norm, ([tensor(X[:7]), tensor(X[7:])],))
    close(shards.batch_mean, whole.batch_mean)
    close(shards.batch_var, whole.batch_var)
    assert shards.n == 40
    uneven = only(norm, ([tensor(X[:10]), tensor(X[10:].reshape(6, 5, 3).swapaxes(1, 2))],))
    close(uneven.batch_var, whole.batch_var)
    assert uneven.n == 40


def test_what_is_left_is_drift_and_the_parts_are_the_whole() -> None:
    """With a plain average nothing is left of the start: running - unbiased batch is drift."""
    norm = nn.BatchNorm1d(3, momentum=None, dtype=tn.float64)
    others = RANDOM.standard_normal((2, 40, 3)) + 1
    for batch in others:
        norm(tensor(batch))
    layer = only(norm, tensor(X))
    close(layer.mean_gap.drift, others.mean((0, 1)) - X.mean(0))
    close(layer.spread_gap.drift, others.var(1, ddof=1).mean(0) - X.var(0, ddof=1))
    norm = nn.BatchNorm1d(3, dtype=tn.float64)
    for batch in others:
        norm(tensor(batch))
    layer = only(norm, tensor(X))
    for gap, running, batch in ((layer.mean_gap, layer.running_mean, X.mean(0)),
                                (layer.spread_gap, layer.running_var, X.var(0))):
        close(gap.total, running - batch)
        close(gap.drift, running - batch - gap.bessel - gap.lag)


def test_drift_by_chance_and_more(device: str) -> None:
    """Batches of one distribution are about one standard error apart; another mean is many."""
    norm = nn.BatchNorm1d(50, momentum=None, device=device)
    random = np.random.default_rng(3)
    sizes = []
    for step in range(6):
        batch = random.exponential(1.0, (64, 50)).astype("float32")
        if step:
            sizes.append(only(norm, tensor(batch, device)).drift_errors)
        norm(tensor(batch, device))
    assert all(0.7 < size < 2.5 for size in sizes)
    layer = only(norm, tensor(batch + np.float32(1), device))
    assert layer.drift_errors > 5
    assert "drift: the averages are" in said(layer)
    assert "recalibrate(model, loader)" in said(layer)


def test_values_of_one_image_are_not_so_many_independent_ones() -> None:
    """A constant for each image: 16 places say no more than one."""
    images = np.repeat(RANDOM.standard_normal((30, 20, 1)), 16, axis=2).astype("float32")
    norm = nn.BatchNorm1d(20, momentum=1.0)
    norm(tensor(images[:15]))
    assert only(norm, tensor(images[15:])).drift_errors < 2.5


def test_statistics_that_cannot_come_from_the_initial_ones() -> None:
    """A variance below (1 - momentum)^batches was loaded or recalibrated: no lag is left."""
    norm = nn.BatchNorm1d(3, dtype=tn.float64)
    norm.running_var.fill_(0.5)
    norm.num_batches_tracked += 1
    assert only(norm, tensor(X)).initial_share == 0
    norm.running_var.fill_(0.95)
    assert only(norm, tensor(X)).initial_share == 0.9


def test_recalibrated_statistics_have_no_lag(device: str) -> None:
    """Though 2 batches are counted, of which momentum 0.1 would leave 81 % of the start."""
    norm, x = nn.BatchNorm1d(20, device=device), RANDOM.standard_normal((64, 20)) * 0.5 + 4
    x = tensor(x.astype("float32"), device)
    nn.utils.recalibrate(norm, [x[:32], x[32:]])
    layer = only(norm, x[:32])
    assert layer.batches == 2
    assert layer.initial_share == 0
    assert layer.drift_errors < 2.5
    assert "lag" not in said(layer)
    trained = nn.BatchNorm1d(20, device=device)
    for part in (x[:32], x[32:]):
        trained(part)
    assert only(trained, x[:32]).initial_share == pytest.approx(0.81)


def test_the_output_error(device: str) -> None:
    """Of the layer and of the model, against NumPy."""
    net = nn.Sequential(nn.BatchNorm1d(3, dtype=tn.float64, device=device), nn.Dropout(0.5))
    x = tensor(X, device)
    net(x)
    mean, var = (array(b) for b in (net[0].running_mean, net[0].running_var))
    trained = (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5)
    inferred = (X - mean) / np.sqrt(var + 1e-5)
    expected = math.sqrt(((trained - inferred) ** 2).sum() / (trained**2).sum())
    result = diagnose(net, x)
    assert result.output_error == pytest.approx(expected, rel=1e-12)
    assert result.layers[0].output_error == pytest.approx(expected, rel=1e-12)


def test_the_worst_channels() -> None:
    norm = nn.BatchNorm1d(3, momentum=1.0, dtype=tn.float64)
    norm(tensor(X))
    norm.running_mean[1] += 3
    norm.running_var[2] /= 7
    layer = only(norm, tensor(X))
    assert (layer.worst_mean, layer.worst_var) == (1, 2)
    assert layer.mean_distance[1] == pytest.approx(3 / X.std(0)[1])
    assert layer.var_ratio[2] == pytest.approx(40 / 39 / 7)


# -- what it says ------------------------------------------------------------------------------

def trained(**options: Any) -> Any:
    """A BatchNorm whose statistics are those of X."""
    norm = nn.BatchNorm1d(3, **{"momentum": None, "dtype": tn.float64, **options})
    norm(tensor(X))
    return norm


def test_all_is_well() -> None:
    result = diagnose(trained(), tensor(X))
    assert not result.layers[0].findings
    assert str(result).endswith("\nall is well")


def test_unset() -> None:
    layer = only(nn.BatchNorm1d(3), tn.randn(20, 3))
    assert layer.unset
    assert layer.initial_share == 1
    assert said(layer) == ("the running statistics are unset: no batch has entered them -> train "
                           "first, load a state dict, or recalibrate(model, loader)")
    for make in (nn.IterNorm, nn.EvoNormB0):
        assert only(make(3), tensor(IMAGES.astype("float32"))).unset
    loaded = nn.BatchNorm1d(3)
    loaded.running_mean += 1
    assert not only(loaded, tn.randn(20, 3)).unset


@pytest.mark.parametrize(("buffer", "value"), [
    ("running_mean", math.nan), ("running_mean", math.inf), ("running_var", math.nan),
    ("running_var", math.inf), ("running_var", -1.0), ("running_var", 0.0)])
def test_poisoned(buffer: str, value: float) -> None:
    norm = trained()
    getattr(norm, buffer)[1] = value
    layer = only(norm, tensor(X))
    str(diagnose(norm, tensor(X)))
    assert layer.poisoned.tolist() == [False, True, False]
    assert said(layer).startswith("running statistics that are NaN, infinite or not positive in "
                                  "channel 1 -> reset_running_stats(), then train on")


def test_a_bad_batch() -> None:
    bad = X.copy()
    bad[0, 0] = math.nan
    layer = only(trained(), tensor(bad))
    assert said(layer).startswith("this batch has NaN or Inf here -> autograd.detect_anomaly()")


def test_dead_channels() -> None:
    """Constant ones, though the mean is large in float32; and those below eps."""
    x = X.astype("float32")
    x[:, 0], x[:, 2] = 123456.7, x[:, 2] * np.float32(1e-6)
    norm = nn.BatchNorm1d(3, momentum=1.0)
    norm(tensor(x))
    layer = only(norm, tensor(x))
    assert layer.dead.tolist() == [True, False, True]
    assert "no spread in 2 of 3 channels (0, 2): the output is the bias -> a unit" in said(layer)
    assert layer.worst_mean == layer.worst_var == 1
    assert not layer.poisoned.any()


def test_a_batch_of_two() -> None:
    layer = only(trained(), tensor(X[:2]))
    assert "two values for each channel become +1 and -1 whatever they are" in said(layer)
    assert "GroupNorm or LayerNorm, which need no batch" in said(layer)


def test_few_values() -> None:
    norm = nn.BatchNorm1d(3, momentum=1.0, dtype=tn.float64)
    norm(tensor(X[:4]))
    layer = only(norm, tensor(X[:4]))
    assert said(layer).startswith("Bessel's correction: of 4 values the running variance is 1.33 "
                                  "times the one that normalizes in training -> larger batches")
    assert math.isnan(layer.drift_errors)


def test_momentum() -> None:
    norm = nn.BatchNorm1d(3, dtype=tn.float64)
    for _ in range(7):
        norm(tensor(X))
    assert said(only(norm, tensor(X))) == (
        "momentum lag: after 7 batches 48% of the initial values 0 and 1 are still in the averages "
        "-> more steps (44 leave 1%), a larger momentum, or recalibrate(model, loader)")
    assert said(only(trained(momentum=0.0), tensor(X))).startswith(
        "momentum 0: the statistics never move -> momentum 0.1, or None for the plain average")


def test_skipped_batches_and_frozen_statistics() -> None:
    norm = trained()
    bad = X.copy()
    bad[0, 0] = math.inf
    with warnings.catch_warnings(action="ignore"):
        for _ in range(2):
            norm(tensor(bad))
    assert said(only(norm, tensor(X))).startswith(
        "left out of the statistics for NaN, Inf or overflow: 2 batches -> "
        "autograd.detect_anomaly() finds")
    norm = nn.utils.freeze(trained())
    layer = only(norm, tensor(X + 9))
    assert layer.frozen
    assert "or unfreeze(model): frozen statistics do not follow the data" in said(layer)
    assert diagnose(norm, tensor(X + 9)).output_error == 0, "training uses them too"


def test_scatter_alone() -> None:
    """Small batches of one distribution: no rule but larger batches."""
    norm = nn.BatchNorm1d(3, momentum=None, dtype=tn.float64)
    random = np.random.default_rng(5)
    for _ in range(50):
        norm(tensor(random.standard_normal((12, 3))))
    assert said(only(norm, tensor(random.standard_normal((12, 3))))).startswith(
        "batches of 12 values scatter so much that output in training and inference differs by")


# -- the model ---------------------------------------------------------------------------------

class Net(nn.Module):
    def __init__(self) -> None:
        self.norm = nn.BatchNorm1d(3)
        self.a_rather_long_name_of_a_block = nn.ModuleList([nn.Sequential(
            nn.Linear(3, 4), nn.BatchRenorm1d(4), nn.Dropout(0.5))])
        self.plain = nn.BatchNorm1d(4, track_running_stats=False)
        self.unused = nn.BatchNorm1d(4)
        self.calls = 0

    def forward(self, x: Any, *, noise: bool = False) -> Any:
        self.calls += 1
        y = self.a_rather_long_name_of_a_block[0](self.norm(self.norm(x)))
        return {"y": self.plain(y), "noise": [tn.rand(2), 3]}


def test_calls_in_order_and_norms_that_were_not_called() -> None:
    net = Net()
    result = diagnose(net, tn.randn(20, 3))
    block = "a_rather_long_name_of_a_block.0.1"
    assert [layer.name for layer in result.layers] == ["norm", "norm", block]
    assert [layer.kind for layer in result.layers][1:] == ["BatchNorm1d", "BatchRenorm1d"]
    assert result.unused == ["unused"]
    assert result.forgetful == ["plain"]
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[5].startswith("…name_of_a_block.0.1 ")
    assert "unused: was not called" in lines
    assert any(line.startswith("plain: keeps no running statistics, so that its") for line in lines)


def everything(model: Any) -> Any:
    """All that a model holds, to be compared."""
    return [
        {k: v for k, v in vars(m).items() if not isinstance(v, tn.Tensor)} for m in model.modules()
    ], [(array(t).tobytes(), t.written[0], t.grad) for t in (*model.parameters(), *model.buffers())]


def test_nothing_changes(device: str) -> None:
    """Also when the model raises; and the warning of unset statistics is still to come."""
    net, x = Net().to(device=device), tn.randn(20, 3, device=device)
    narrow = x[:, :2]
    with net.norm.register_forward_hook(lambda *_: None):
        net(x)["y"].sum().backward()
        net.plain.eval()
        before, numbers = everything(net), tn.get_rng_state().tolist()
        diagnose(net, x)
        with pytest.raises(ValueError, match="expected input"):
            diagnose(net, narrow)
        assert everything(net) == before
        assert tn.get_rng_state().tolist() == numbers
    norm = nn.BatchNorm1d(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnose(norm, tn.randn(20, 3))
    with pytest.warns(UserWarning, match="got the initial ones"):
        norm.eval()(tn.randn(20, 3))


def test_a_model_that_writes_its_buffers_itself() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            self.norm = nn.BatchNorm1d(3)
            self.count = nn.Buffer(tn.zeros(()))

        def forward(self, x: Any) -> Any:
            self.count += 1
            return self.norm(x)

    net = Counter()
    diagnose(net, tn.randn(5, 3))
    assert net.count.item() == 0


def test_several_inputs_and_outputs_without_numbers() -> None:
    net = nn.ConditionalBatchNorm1d(3, 2)
    assert len(diagnose(net, (tn.randn(20, 3), tensor(np.arange(20) % 2))).layers) == 1

    class Labels(nn.BatchNorm1d):
        def forward(self, x: Any) -> Any:
            return super().forward(x).argmax(1)

    result = diagnose(Labels(3), tn.randn(20, 3))
    assert math.isnan(result.output_error)
    assert "differs by - (relative RMS)" in str(result)


def test_one_sample_without_n_is_one_call() -> None:
    assert len(diagnose(nn.InstanceNorm1d(3, track_running_stats=True), tn.randn(3, 9)).layers) == 1


def test_a_model_without_norms() -> None:
    result = diagnose(nn.Linear(3, 2), tn.randn(4, 3))
    assert (result.layers, result.output_error) == ([], 0)
    assert str(result).endswith("no norm with running statistics was called")


def test_errors() -> None:
    with pytest.raises(TypeError, match="diagnose: expected a Module, got Tensor"):
        diagnose(tn.randn(2), tn.randn(2))
