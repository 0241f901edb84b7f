"""BatchRenorm whose bounds are functions of the step, and what it tells of those that were met."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import Series, array, close, directional, randomize, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm.nn.normalization import renorm_ramp

EPS = 1e-3


def step_number(step: int) -> float:
    return 1.0 + step


def a_tenth(step: int) -> float:
    return step / 10


def batch(step: int) -> np.ndarray:
    return np.random.default_rng(step).standard_normal((6, 3)) * [1, 3, 0.2] + [0.1, 2, -0.8]


# -- the ramp ----------------------------------------------------------------------------------

@pytest.mark.parametrize("scale", [1.0, 0.1, 0.001, 3])
def test_the_papers_ramp(scale: float) -> None:
    """Section 4.1: 1 and 0 for 5000 steps, rmax to 3 at 40 000, dmax to 5 at 25 000, linearly."""
    rmax, dmax = renorm_ramp(scale)
    for step in np.linspace(0, 60_000 * scale, 97):
        t = step / scale
        assert rmax(step) == pytest.approx(float(np.interp(t, [5000, 40_000], [1, 3])), rel=1e-12)
        assert dmax(step) == pytest.approx(float(np.interp(t, [5000, 25_000], [0, 5])), abs=1e-12)
    assert (rmax(0), dmax(0)) == (1.0, 0.0)
    assert (rmax(10**9), dmax(10**9)) == (3.0, 5.0)


def test_the_ramp_can_be_copied_saved_and_read() -> None:
    for ramp in renorm_ramp(0.01):
        assert copy.deepcopy(ramp) == pickle.loads(pickle.dumps(ramp)) == ramp
    assert repr(renorm_ramp()[0]) == "Ramp(low=1.0, high=3.0, first=5000.0, last=40000.0)"
    layer = tn.nn.BatchRenorm1d(3, rmax=renorm_ramp(0.01)[0], dmax=2)
    assert repr(layer) == (
        "BatchRenorm1d(3, eps=1e-05, momentum=0.01, affine=True, "
        "rmax=Ramp(low=1.0, high=3.0, first=50.0, last=400.0), dmax=2)")


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "1", None, True])
def test_a_scale_that_makes_no_sense(scale: Any) -> None:
    with pytest.raises(ValueError, match=(
            rf"renorm_ramp: expected a scale > 0, got {scale!r}; 1.0 is the paper's schedule of "
            "40 000 steps, 0.1 one of 4000")):
        renorm_ramp(scale)


# -- which step it is --------------------------------------------------------------------------

def test_each_batch_has_the_bounds_of_its_step(device: str) -> None:
    """As a layer whose numbers are set by hand. A function of the step asks a GPU for it, once."""
    rmax, dmax = renorm_ramp(2e-4)  # rmax 3 at step 8
    ramped = tn.nn.BatchRenorm1d(3, EPS, 0.3, rmax=rmax, dmax=dmax, device=device)
    plain = tn.nn.BatchRenorm1d(3, EPS, 0.3, device=device)
    inputs = [tensor(batch(step).astype("float32"), device) for step in range(12)]
    strict.traffic.clear()
    for step, x in enumerate(inputs):
        plain.rmax, plain.dmax = rmax(step), dmax(step)
        got, expected = ramped(x), plain(x)
        assert strict.traffic == ({"item": 1} if device == "strict" else {})
        np.testing.assert_array_equal(array(got), array(expected))
        strict.traffic.clear()
    assert ramped.steps() == 12


def test_after_a_state_dict_was_loaded_the_ramp_goes_on_from_there(device: str) -> None:
    seen: list[int] = []

    def rmax(step: int) -> float:
        seen.append(step)
        return 2.0

    layer = tn.nn.BatchRenorm1d(3, rmax=rmax, device=device)
    x = tensor(batch(0).astype("float32"), device)
    layer(x)
    layer(x)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    other = tn.nn.BatchRenorm1d(3, rmax=rmax, device=device)
    other.load_state_dict(state)
    other(x)
    other(x)
    copy.deepcopy(layer)(x)
    layer(x)
    layer.num_batches_tracked.fill_(40)
    layer(x)
    layer(x)
    layer.reset_running_stats()
    layer(x)
    layer.double().to(device)(tensor(batch(0), device))
    assert seen == [0, 1, 2, 3, 2, 2, 40, 41, 0, 1]


def test_a_batch_that_is_only_looked_at_or_refused_is_no_step() -> None:
    layer = tn.nn.BatchRenorm1d(3, rmax=step_number, dmax=a_tenth)
    x = tensor(batch(0).astype("float32"))
    layer(x)
    with tn.autograd.keep_statistics():
        layer(x)
    for wrong in (x[:1], x.double(), x[:, :2]):
        with pytest.raises((ValueError, TypeError)):
            layer(wrong)
    layer.eval()(x)
    assert layer.steps() == 1
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer.train()(x * float("nan"))
    assert layer.steps() == layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize(("settings", "error", "message"), [
    ({"rmax": lambda step: 1.0 - step}, ValueError,
     "expected rmax >= 1 and dmax >= 0 at step 1, got 0.0 and 5.0; 1 and 0 give batch"),
    ({"dmax": lambda step: -step}, ValueError,
     "expected rmax >= 1 and dmax >= 0 at step 1, got 3.0 and -1; 1 and 0 give batch"),
    ({"rmax": lambda step: float("nan") if step else 1}, ValueError,
     "expected rmax >= 1 and dmax >= 0 at step 1, got nan and 5.0; 1 and 0 give batch"),
    ({"dmax": lambda step: None if step else 0}, TypeError,
     "expected dmax to be a number at step 1, got None; a layer takes a function of the step too"),
])
def test_a_function_that_gives_a_bad_bound(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Before anything has changed."""
    layer = tn.nn.BatchRenorm1d(3, **settings)
    x = tensor(batch(0).astype("float32"))
    layer(x)
    before = {name: array(b).copy() for name, b in layer.named_buffers()}
    with pytest.raises(error) as caught:
        layer(x)
    assert str(caught.value).startswith("BatchRenorm1d: " + message)
    for name, value in layer.named_buffers():
        np.testing.assert_array_equal(array(value), before[name])
    layer.eval()(x)  # uses none


@pytest.mark.parametrize("bound", ["3", None, True])
def test_a_bound_that_is_neither_number_nor_function(bound: Any) -> None:
    for name in ("rmax", "dmax"):
        with pytest.raises(TypeError, match=(
                f"BatchRenorm2d: expected {name} to be a number, got {bound!r}; a layer takes a "
                "function of the step too")):
            tn.nn.BatchRenorm2d(3, **{name: bound})


@pytest.mark.parametrize(("rmax", "dmax"), [(0.9, 1.0), (1.0, -0.1), (float("nan"), 0.0)])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_bad_bounds_of_the_function(rmax: float, dmax: float, training: bool) -> None:
    mean, std = tn.zeros(3), tn.ones(3)
    with pytest.raises(ValueError, match=(
            f"batch_renorm: expected rmax >= 1 and dmax >= 0, got {rmax} and {dmax}; ")):
        F.batch_renorm(tn.ones(4, 3), mean, std, training=training, rmax=rmax, dmax=dmax)
    assert not array(mean).any()


# -- what was clipped --------------------------------------------------------------------------

def test_the_shares_of_features_that_were_clipped(device: str) -> None:
    """r of channel 0 and 1, d of channel 1; nothing is asked of the device in training."""
    layer = tn.nn.BatchRenorm1d(4, EPS, rmax=1.5, dmax=0.5, device=device, dtype=tn.float64)
    assert layer.clipped is None
    x = np.random.default_rng(0).standard_normal((50, 4))
    x = (x - x.mean(axis=0)) / x.std(axis=0) * [3, 0.1, 1, 1.2] + [0.4, 0.6, 0, -0.4]
    given = tensor(x, device)
    strict.traffic.clear()
    layer(given)
    assert not strict.traffic
    assert layer.clipped == (0.5, 0.25)
    assert (layer.clipped.r, layer.clipped.d) == (0.5, 0.25)
    with tn.autograd.keep_statistics():
        layer(given * 100)
    layer.eval()(given * 100)
    assert layer.clipped == (0.5, 0.25)
    layer.train()
    layer.rmax, layer.dmax = 1e3, 1e3
    layer(given)
    assert copy.deepcopy(layer).clipped == layer.clipped == (0, 0)
    assert "clipped" not in "".join(layer.state_dict())


# -- the ends of the ramp ----------------------------------------------------------------------

def test_at_the_start_it_is_batch_norm_to_order_2() -> None:
    """rmax 1 and dmax 0: outputs, gradients and second derivatives, whatever the statistics."""
    layer = tn.nn.BatchRenorm1d(3, EPS, 0.1, rmax=renorm_ramp()[0], dmax=renorm_ramp()[1],
                                dtype=tn.float64)
    plain = tn.nn.BatchNorm1d(3, EPS, 0.1, dtype=tn.float64)
    values = randomize(layer, np.random.default_rng(0))
    plain.load_state_dict({k: v for k, v in values.items() if k in ("weight", "bias")},
                          strict=False)
    random = np.random.default_rng(1)
    for step in range(3):
        outward = random.standard_normal((6, 3))
        along = [random.standard_normal(s) for s in ((6, 3), (3,), (3,))]
        results = []
        for one in (layer, plain):
            inputs = [tensor(batch(step), grad=True), *one.parameters()]
            y = one(inputs[0])
            derivatives = directional((y * tensor(outward)).sum(), inputs,
                                      [tensor(v) for v in along], orders=4)
            results.append((array(y), derivatives))
        (y, ours), (expected, theirs) = results
        close(y, expected)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_in_the_middle_the_derivatives_are_those_of_constant_r_and_d() -> None:
    layer = tn.nn.BatchRenorm1d(3, EPS, rmax=step_number, dmax=a_tenth, dtype=tn.float64)
    randomize(layer, np.random.default_rng(0))
    layer.num_batches_tracked.fill_(2)
    mean, std = array(layer.running_mean).copy(), array(layer.running_std).copy()
    x, random = batch(0), np.random.default_rng(1)
    σ = np.sqrt(x.var(axis=0) + EPS)
    r, d = np.clip(σ / std, 1 / 3, 3), np.clip((x.mean(axis=0) - mean) / std, -0.2, 0.2)
    v, outward = random.standard_normal((2, 6, 3))
    line = Series.line(x, v)
    centred = line - line.sum(axis=(0,), keepdims=True) * (1 / 6)
    var = (centred * centred).sum(axis=(0,), keepdims=True) * (1 / 6)
    y = (centred * (var + EPS) ** -0.5 * r[None] + d[None]) * array(layer.weight)[None]
    leaf = tensor(x, grad=True)
    value = (layer(leaf) * tensor(outward)).sum()
    got = directional(value, [leaf], [tensor(v)])
    np.testing.assert_allclose(got, (y * outward).sum().derivatives, rtol=1e-9)


def test_over_a_whole_ramp_training_and_inference_meet() -> None:
    """First training is batch normalization and far from inference; with statistics that have
    settled and the bounds open, one and the same batch gives one and the same output."""
    rmax, dmax = renorm_ramp(0.005)  # the bounds are open at step 200
    layer = tn.nn.BatchRenorm1d(3, EPS, 0.1, rmax=rmax, dmax=dmax, dtype=tn.float64)
    x, gaps = tensor(batch(3)), []
    for _ in range(400):
        y = layer.train()(x)
        gaps.append(np.abs(array(y - layer.eval()(x))).max())
    assert gaps[0] > 1
    assert gaps[-1] < 1e-13
    assert layer.clipped == (0, 0)
    close(array(y), array(F.batch_norm(x, None, None, training=True, eps=EPS)))


def test_numbers_are_those_of_the_next_batch() -> None:
    """What changes from step to step comes from one method, before the step and without it."""
    layer = tn.nn.BatchRenorm1d(3, momentum=None, rmax=step_number, dmax=a_tenth)
    x = tensor(batch(0).astype("float32"))
    for step in range(4):
        for _ in range(2):  # asking changes nothing
            numbers = layer.numbers()
            assert numbers == {"momentum": 1 / (step + 1), "rmax": 1.0 + step, "dmax": step / 10}
        layer(x)
    assert tn.nn.BatchNorm1d(3, momentum=0.25).numbers() == {"momentum": 0.25}
