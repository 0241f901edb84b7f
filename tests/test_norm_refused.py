"""Batches that running statistics do not take in: NaN, Inf, and what their dtype cannot hold."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

LAYERS: dict[str, Callable[[], Any]] = {
    "BatchNorm1d": lambda: tn.nn.BatchNorm1d(3),
    "BatchNorm1d momentum=None": lambda: tn.nn.BatchNorm1d(3, momentum=None),
    "InstanceNorm1d": lambda: tn.nn.InstanceNorm1d(3, track_running_stats=True),
    "BatchRenorm1d": lambda: tn.nn.BatchRenorm1d(3),
    "GhostBatchNorm": lambda: tn.nn.GhostBatchNorm(3, 2),
    "SyncBatchNorm": lambda: tn.nn.SyncBatchNorm(3),
    "IterNorm": lambda: tn.nn.IterNorm(3),
    "SwitchableNorm": lambda: tn.nn.SwitchableNorm1d(3),
    "EvoNormB0": lambda: tn.nn.EvoNormB0(3),
}
with_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
ASKED = ("cpu", "compiled")
"""The devices whose values can be asked, and so told of."""


def good(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, 3, 5)).astype("float32")


def bad(value: float = float("nan"), channel: int = 1) -> np.ndarray:
    x = good()
    x[2, channel, 3] = value
    return x


def buffers(layer: Any) -> dict[str, bytes]:
    return {name: array(value).tobytes() for name, value in layer.named_buffers()}


@with_layer
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_bad_batch_leaves_the_statistics(make: Any, value: float, device: str) -> None:
    """The output is NaN all the same; the next batch enters as if there had been none."""
    layer, other = make().to(device), make().to(device)
    layer(tensor(good(1), device))
    other(tensor(good(1), device))
    before, keys = buffers(layer), list(layer.state_dict())
    with np.errstate(invalid="ignore"), tells(device in ASKED):
        y = layer(tensor(bad(value), device))
    assert np.isnan(array(y)).any()
    assert buffers(layer) == before
    assert list(layer.state_dict()) == keys
    with tells(device not in ASKED):
        assert layer.skipped_batches == 1
    for one in (layer, other):
        one(tensor(good(2), device))
    assert buffers(layer) == buffers(other)
    assert layer.skipped_batches == 1


def test_the_warning_says_who_where_how_many_and_what_to_do() -> None:
    layer = tn.nn.BatchNorm1d(3)
    with pytest.warns(RuntimeWarning) as told:
        layer(tensor(bad(channel=1)))
    assert str(told[0].message) == (
        "BatchNorm1d: NaN or Inf in channel 1 of x: the running statistics stay as they were, for "
        "1 batch so far; find where it arises with autograd.detect_anomaly(), look at the data "
        "and the learning rate")
    assert told[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="channels 0, 1, 2 of x: .* for 2 batches so far"):
        layer(tensor(np.full((4, 3), np.nan, "float32")))
    many = tn.nn.BatchNorm1d(40)
    with pytest.warns(RuntimeWarning, match=r"in channels 0, 1, 2, 3, 4, … \(40 of 40\) of x"):
        many(tensor(np.full((4, 40), np.nan, "float32")))


def tells(when: bool) -> Any:
    return pytest.warns(RuntimeWarning) if when else contextlib.nullcontext()


def test_a_run_of_bad_batches_is_told_of_when_their_number_doubles() -> None:
    layer = tn.nn.BatchNorm1d(3)
    for step in range(1, 20):
        with tells(step in (1, 2, 4, 8, 16)):
            layer(tensor(bad()))
    assert layer.skipped_batches == 19
    assert layer.num_batches_tracked.item() == 0


def refused_once(layer: Any) -> Any:
    with pytest.warns(RuntimeWarning, match="1 batch so far"):
        layer(tensor(bad()))
    return layer


def test_the_count_goes_with_the_layer() -> None:
    """Through a deep copy and a move, not into the state; until the statistics are reset."""
    layer = refused_once(tn.nn.BatchNorm1d(3))
    twin = copy.deepcopy(layer)
    assert twin.skipped_batches == 1
    with pytest.warns(RuntimeWarning, match="2 batches"):
        twin(tensor(bad()))
    assert (layer.skipped_batches, twin.skipped_batches) == (1, 2)
    twin.to("strict")
    twin(tensor(bad(), "strict"))
    with pytest.warns(RuntimeWarning, match="3 batches"):
        assert twin.skipped_batches == 3
    twin(tensor(bad(), "strict"))
    twin.to("cpu")
    with pytest.warns(RuntimeWarning, match="4 batches"):
        assert twin.skipped_batches == 4
    layer.reset_running_stats()
    assert layer.skipped_batches == 0
    assert tn.nn.BatchNorm1d(3, track_running_stats=False).skipped_batches == 0


def test_a_device_is_not_asked_while_training() -> None:
    """The first use in eval asks it, once, and tells."""
    layer = tn.nn.BatchNorm1d(3).to("strict")
    xs = [tensor(x, "strict") for x in (good(), bad(), good(1), bad(float("inf")))]
    before = strict.traffic.copy()
    for x in xs:
        layer(x)
    assert strict.traffic == before
    layer.eval()
    with pytest.warns(RuntimeWarning, match="BatchNorm1d: NaN, Inf or .* for 2 batches so far"):
        layer(xs[0])
    asked = strict.traffic.copy()
    layer(xs[0])
    assert strict.traffic == asked
    assert layer.num_batches_tracked.item() == 2


def test_nothing_is_counted_where_statistics_are_kept() -> None:
    layer = tn.nn.BatchNorm1d(3)
    with tn.autograd.keep_statistics():
        layer(tensor(bad()))
    assert layer.skipped_batches == 0


@pytest.mark.parametrize("function", [F.batch_norm, F.instance_norm, F.batch_renorm])
def test_functions(function: Any, device: str) -> None:
    mean, spread = (tensor(np.array([value] * 3, "float32"), device) for value in (0, 1))
    settings = {"use_input_stats": True} if function is F.instance_norm else {"training": True}
    with np.errstate(invalid="ignore"):
        if device in ASKED:  # a function keeps no count: nothing hangs on the tensors
            told = f"{function.__name__}: NaN .* stay as they were;"
            for _ in range(2):
                with pytest.warns(RuntimeWarning, match=told):
                    function(tensor(bad(), device), mean, spread, **settings)
        else:
            function(tensor(bad(), device), mean, spread, **settings)
    assert array(mean).tolist() == [0] * 3
    assert array(spread).tolist() == [1] * 3
    function(tensor(good(), device), mean, spread, **settings)
    assert array(mean).all()


def test_a_variance_that_the_dtype_cannot_hold() -> None:
    """The output is right; only float64 can remember it."""
    layer, wide = tn.nn.BatchNorm1d(3), tn.nn.BatchNorm1d(3).double()
    x = good()
    x[:, 1] *= 1e30
    with pytest.warns(RuntimeWarning, match=(
            "BatchNorm1d: a variance beyond float32 in channel 1 of x: .*scale the input, or")):
        y = layer(tensor(x))
    np.testing.assert_allclose(array(y), array(wide(tensor(x.astype("float64")))), atol=2e-6)
    assert (layer.skipped_batches, wide.skipped_batches) == (1, 0)
    assert array(layer.running_var).tolist() == [1] * 3
    x[:, 1] *= 1e-12  # 1e18: the sum of squares of variances overflows, they do not
    layer(tensor(x))
    assert layer.num_batches_tracked.item() == 1


def test_the_average_of_samples_does_not_overflow() -> None:
    """Of InstanceNorm: each sample's variance can be held, their sum cannot."""
    layer = tn.nn.InstanceNorm1d(1, track_running_stats=True, momentum=1.0)
    x = np.random.default_rng(0).standard_normal((8, 1, 50)) * 1.5e19
    layer(tensor(x.astype("float32")))
    np.testing.assert_allclose(array(layer.running_var), x.var(axis=2, ddof=1).mean(), rtol=1e-5)


def test_statistics_that_hold_nan_already_are_not_the_batchs_fault(device: str) -> None:
    layer = tn.nn.BatchNorm1d(3).to(device)
    layer.load_state_dict({"running_var": np.array([1, np.nan, 1], "float32")}, strict=False)
    layer(tensor(good(), device))
    assert layer.skipped_batches == 0
    assert np.isfinite(array(layer.running_var)).tolist() == [True, False, True]


def test_a_layer_learns_on_with_one_bad_batch_in_ten() -> None:
    """Its inference is that of the good ones."""
    layer, clean = tn.nn.BatchNorm1d(3), tn.nn.BatchNorm1d(3)
    for step in range(50):
        clean(tensor(good(step)))
        layer(tensor(good(step)))
        if step % 10 == 5:
            with tells(step in (5, 15, 35)):
                layer(tensor(bad()))
    assert buffers(layer) == buffers(clean)
    assert layer.skipped_batches == 5
    x = tensor(good(99))
    np.testing.assert_array_equal(array(layer.eval()(x)), array(clean.eval()(x)))
