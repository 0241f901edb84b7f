"""Recorder: exact statistics, told apart by layer and call, and nothing changed by looking."""

from __future__ import annotations

import copy
import json
import math
import threading
import time
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strict
from numpy.testing import assert_allclose, assert_array_equal

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.array import as_device, to_device, to_numpy
from tinygrad_norm.nn.module import Module
from tinygrad_norm.viz import History, Recorder
from tinygrad_norm.viz.recording.history import Metric
from tinygrad_norm.viz.recording.statistics import distribution, magnitude

QUANTILES = (0.0, 0.15, 0.5, 0.85, 1.0)


class Net(Module):
    """Has a norm, random numbers, a shared layer, one that is never called, and two results."""

    def __init__(self) -> None:
        self.first = nn.Linear(5, 4)
        self.norm = nn.BatchNorm1d(4)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.25)
        self.same = nn.Linear(4, 4)
        self.spare = nn.Linear(2, 2)
        self.pair = Pair()

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        x = self.drop(self.act(self.norm(self.first(x))))
        x = self.act(self.same(self.same(x)))
        both = self.pair(x)
        return both[0] + both[1]["half"]


class Pair(Module):
    def forward(self, x: tn.Tensor) -> Any:
        return x * 2, {"half": x / 2}


def trained(
    device: str = "cpu", steps: int = 3, recorder: bool = True, **options: Any
) -> tuple[Net, Recorder | None, list[float]]:
    tn.manual_seed(3)
    model = Net().to(device)
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    seen = Recorder(model, **options).attach() if recorder else None
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(tn.randn(8, 5).to(device)) ** 2).mean()
        loss.backward()
        if seen is not None:
            seen.step(loss=loss)
        optimizer.step()
        losses.append(loss.item())
    if seen is not None:
        seen.detach()
    return model, seen, losses


def history_of(**options: Any) -> History:
    recorder = trained(**options)[1]
    assert recorder is not None
    return recorder.history


# -- statistics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(64, 33), (1,), (4, 3, 5), ()])
def test_statistics_are_numpys(shape: tuple[int, ...], kind: str, device: str) -> None:
    x = np.asarray(np.random.default_rng(0).normal(1, 3, shape)).astype(kind)
    there = to_device(x, as_device(device))
    found = to_numpy(distribution(there, QUANTILES, 8))
    wide = x.astype("float64").reshape(-1)
    assert_array_equal(found[:2], [0, (wide == 0).sum()])
    assert_allclose(found[2:4], [wide.mean(), wide.std()], rtol=1e-14, atol=1e-15)
    assert_array_equal(found[4:6], [wide.min(), wide.max()])
    assert_array_equal(found[6:11], np.quantile(wide, QUANTILES))
    if wide.min() < wide.max():
        assert_array_equal(found[11:], np.histogram(wide, 8)[0])
    assert found[11:].sum() == x.size
    assert_allclose(to_numpy(magnitude(there)), [np.sqrt((wide**2).sum()), abs(wide).max()],
                    rtol=1e-14)
    assert_array_equal(to_numpy(there), x)


def test_what_is_not_finite_is_counted_and_left_out(device: str) -> None:
    x = np.array([math.nan, math.inf, -math.inf, -math.inf, 4.0, 0.0, 1.0, 3.0, math.nan])
    there = to_device(x, as_device(device))
    good = np.array([0.0, 1.0, 3.0, 4.0])
    assert_allclose(to_numpy(distribution(there, QUANTILES, 4)), [
        5, 1, 2, good.std(), 0, 4, *np.quantile(good, QUANTILES), 1, 1, 0, 2], rtol=1e-15)
    assert np.isnan(to_numpy(magnitude(there))).all()
    nothing = to_numpy(distribution(there[:4], QUANTILES, 4))
    assert_array_equal(nothing, [4, 0, *[math.nan] * 9, 0, 0, 0, 0])
    empty = to_numpy(distribution(there[:0], QUANTILES, 4))
    assert_array_equal(empty, [0, 0, *[math.nan] * 9, 0, 0, 0, 0])
    assert_array_equal(to_numpy(magnitude(there[:0])), [0, 0])
    assert distribution(there, (), 0).shape == (6,)


def test_float32_far_from_zero_keeps_its_digits() -> None:
    x = (np.random.default_rng(0).normal(size=100_000) + 1e4).astype("float32")
    wide = x.astype("float64")
    assert_allclose(distribution(x, (), 0)[2:4], [wide.mean(), wide.std()], rtol=1e-12)


def test_records_are_what_hooks_and_backward_give(device: str) -> None:
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()).to(device)
    kept: list[tn.Tensor] = []
    for layer in model:
        layer.register_forward_hook(lambda m, a, y: (y.retain_grad(), kept.append(y))[1])
    recorder = Recorder(model, quantiles=QUANTILES, bins=4)
    with recorder:
        (model(tn.randn(6, 5).to(device)) ** 2).sum().backward()
        recorder.step(loss=2.5)
    history = recorder.history
    for i, y in enumerate(kept):
        values, gradient = to_numpy(y.array), to_numpy(y.grad.array)
        (row,) = history.outputs[str(i)]
        assert row[:3] == (0, 0, 24)
        assert_allclose([row.mean, row.std], [values.mean(dtype=float), values.std(dtype=float)],
                        rtol=1e-12, atol=1e-12)
        assert row.zeros == (values == 0).sum()
        assert_array_equal(row.quantiles, np.quantile(values.astype("float64"), QUANTILES))
        assert_array_equal(row.histogram, np.histogram(values.astype("float64"), 4)[0])
        (back,) = history.gradients[str(i)]
        assert_allclose(back.norm, np.linalg.norm(gradient.astype("float64")), rtol=1e-12)
        assert_allclose(back.largest, abs(gradient).max(), rtol=1e-12)
        assert_allclose(back.rms, back.norm / 24**0.5)
    for name, parameter in model.named_parameters():
        for rows, tensor in ((history.parameters, parameter),
                             (history.parameter_gradients, parameter.grad)):
            assert_allclose(rows[name][0].norm, np.linalg.norm(
                to_numpy(tensor.array).astype("float64")), rtol=1e-12)
    assert history.metrics == {"loss": [(0, 2.5)]}
    assert history.column("outputs", "1", "quantiles").shape == (1, 5)
    assert list(history.layers) == list(history.outputs) == ["0", "1", "2", "(model)"]
    assert [layer.kind for layer in history.layers.values()] == [
        "Linear", "BatchNorm1d", "ReLU", "Sequential"]
    assert [layer.leaf for layer in history.layers.values()] == [True, True, True, False]


# -- nothing changes -------------------------------------------------------------------------------


def test_training_is_the_same_with_it(device: str) -> None:
    plain, _, losses = trained(device, recorder=False)
    numbers = tn.get_rng_state().tolist()
    model, recorder, seen = trained(device, inputs=True, units={"norm": 1}, keep="*")
    assert recorder is not None
    assert tn.get_rng_state().tolist() == numbers
    assert seen == losses
    for (name, one), other in zip(plain.state_dict().items(), model.state_dict().values(),
                                  strict=True):
        assert_array_equal(to_numpy(one.array), to_numpy(other.array), err_msg=name)
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            assert_array_equal(to_numpy(one.grad.array), to_numpy(other.grad.array))


def hooks(model: Module) -> int:
    return sum(len(held) for module in model.modules()
               for held in (module._forward_hooks, module._forward_pre_hooks) if held)


def test_hooks_go_with_it() -> None:
    model = Net()
    recorder = Recorder(model, inputs=True)
    assert hooks(model) == 0
    assert recorder.attach() is recorder.attach()
    once = hooks(model)
    assert once == 1 + 2 * len(list(model.modules()))
    assert "attached" in repr(recorder)
    recorder.detach()
    recorder.detach()
    assert hooks(model) == 0
    with recorder, Recorder(model):
        assert hooks(model) > once
    assert hooks(model) == 0
    assert repr(recorder) == "<Recorder of Net, detached, 0 steps>"


def test_an_error_takes_the_hooks_away_and_drops_the_open_step() -> None:
    model = Net()
    recorder = Recorder(model)

    def failing() -> None:
        with recorder:
            model(tn.ones(4, 5)).sum().backward()
            recorder.step()
            model(tn.ones(4, 5))
            raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        failing()
    assert hooks(model) == 0
    assert recorder.steps == 1
    assert len(recorder.history.outputs["first"]) == 1
    with recorder:
        model(tn.ones(4, 5))
    assert len(recorder.history.outputs["first"]) == 2, "what is open at the end is a step"
    assert recorder.steps == 2


def test_no_tensor_is_kept_alive_and_no_hook_stays_on_one() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Identity())
    x = tn.ones(2, 3, requires_grad=True)
    with Recorder(nn.Sequential(nn.Identity())) as looking:
        looking.model(x).sum().backward()
    assert not x.hooks
    recorder = Recorder(model).attach()
    y = model(tn.ones(2, 3))
    alive = weakref.ref(y)
    y.sum().backward()
    del y
    assert alive() is None
    recorder.detach()


def test_a_copy_of_the_model_is_not_recorded() -> None:
    model = Net()
    with Recorder(model) as recorder:
        other = copy.deepcopy(model)
        other(tn.ones(4, 5))
        model.norm(tn.ones(4, 4))
    assert list(recorder.history.outputs) == ["norm"]


def test_a_gpu_is_not_waited_for_until_the_history_is_read() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).to("strict")
    x = tn.ones(6, 5).to("strict")
    with Recorder(model, units={"0": 1}, inputs=True) as recorder:
        before = strict.traffic.copy()
        for _ in range(5):
            loss = (model(x) ** 2).sum()
            loss.backward()
            recorder.step(loss=loss)
        assert strict.traffic == before
        assert len(recorder.history.metrics["loss"]) == 5
        assert strict.traffic - before == {"out": 1}
        before = strict.traffic.copy()
        assert recorder.history.steps == 5
        assert strict.traffic == before


# -- which layer, which call -----------------------------------------------------------------------


def test_calls_and_results_are_told_apart() -> None:
    history = history_of(steps=2)
    assert list(history.outputs) == [
        "first", "norm", "act", "drop", "same", "same (call 2)", "act (call 2)", "pair[0]",
        "pair[1]['half']", "(model)"]
    assert set(history.gradients) == set(history.outputs)
    assert history.layers["act (call 2)"] == ("act", "ReLU", 2, True)
    assert history.layers["(model)"] == ("", "Net", 1, False)
    assert not any("spare" in label for label in history.outputs)
    assert "spare.weight" in history.parameters
    assert "spare.weight" not in history.parameter_gradients
    assert [row.step for row in history.outputs["same"]] == [0, 1]
    assert history.outputs["same"] != history.outputs["same (call 2)"]


def test_several_forwards_in_a_step_are_numbered() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with Recorder(model) as recorder:
        for value in (1.0, 2.0):
            model(tn.full((3, 2), value)).sum().backward()
        recorder.step()
        loss = model(tn.ones(3, 2)).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        recorder.step()
    history = recorder.history
    assert [row[:2] for row in history.outputs["0"]] == [(0, 0), (0, 1), (1, 0)]
    assert [row[:2] for row in history.gradients["0"]] == [(0, 0), (0, 1), (1, 0), (1, 0)]
    assert history.parameter_gradients["0.bias"][0].norm == pytest.approx(6 * 2**0.5)


def test_a_layer_alone_and_one_that_the_model_does_not_call() -> None:
    linear = nn.Linear(2, 3)
    with Recorder(linear) as recorder:
        linear(tn.ones(4, 2))
    assert list(recorder.history.outputs) == ["(model)"]
    assert recorder.history.layers["(model)"] == ("", "Linear", 1, True)
    model = Net()
    with Recorder(model) as recorder:
        model.first(tn.ones(4, 5))
        model.first(tn.ones(4, 5))
    assert list(recorder.history.outputs) == ["first", "first (call 2)"]


class Meeting(nn.Module):
    """Hands its input through when all threads are there."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        self.barrier.wait(10)
        return x * 1

    def __deepcopy__(self, memo: dict[int, Any]) -> Meeting:
        return self


@pytest.mark.parametrize("layers", [None, ["first", "same"]])
def test_threads_are_told_apart(layers: list[str] | None) -> None:
    """Four of them meet before, between and after the two calls of a layer."""
    count = 4
    meet = Meeting(threading.Barrier(count))

    class Twice(Module):
        def __init__(self) -> None:
            self.first, self.same = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: tn.Tensor) -> tn.Tensor:
            return meet(self.same(meet(self.same(meet(self.first(meet(x)))))))

    model = Twice()

    def work(scale: float) -> None:
        (model(tn.full((2, 3), scale)) ** 2).sum().backward()

    with Recorder(model, layers, parameters=False) as recorder:
        for _ in range(3):
            threads = [threading.Thread(target=work, args=(float(i),)) for i in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            recorder.step()
    history = recorder.history
    own = [] if layers else ["(model)"]
    assert set(history.outputs) == {"first", "same", "same (call 2)", *own}
    with tn.no_grad():
        hidden = [model.first(tn.full((2, 3), float(i))) for i in range(count)]
        after = [model.same(h) for h in hidden]
        results = {"first": hidden, "same": after, "same (call 2)": [model.same(h) for h in after]}
    for step in range(3):
        which = {}
        for label, values in results.items():
            rows = {row.forward: row for row in history.outputs[label] if row.step == step}
            assert sorted(rows) == list(range(count))
            means = [float(v.mean()) for v in values]
            found = {f: int(np.abs(np.subtract(means, r.mean)).argmin()) for f, r in rows.items()}
            assert which in ({}, found), "a forward is of one thread"
            which = found
            backs = [row.forward for row in history.gradients[label] if row.step == step]
            assert sorted(backs) == list(range(count))
        assert sorted(which.values()) == list(range(count))


def test_a_step_closed_by_another_thread() -> None:
    """What goes on meanwhile is of the step in which it began."""
    model = nn.Sequential(nn.Linear(3, 3), Meeting(threading.Barrier(2)), nn.Linear(3, 3))
    with Recorder(model, parameters=False) as recorder:
        thread = threading.Thread(target=model, args=(tn.ones(2, 3),))
        thread.start()
        while not recorder._notes.open:
            time.sleep(0.001)
        recorder.step()
        model[1](tn.ones(1))
        thread.join()
        recorder.step()
    assert [row.step for row in recorder.history.outputs["0"]] == [0]
    assert [row.step for row in recorder.history.outputs["2"]] == [0]
    assert sorted(row.step for row in recorder.history.outputs["1"]) == [0, 1]


def test_inputs_are_those_before_the_layer_wrote_into_them() -> None:
    class Doubled(Module):
        def forward(self, x: tn.Tensor, y: tn.Tensor | None = None) -> tn.Tensor:
            x *= 2
            return x

    model = Doubled()
    with Recorder(model, inputs=True) as recorder:
        model(tn.ones(3))
        recorder.step()
        model(tn.ones(3), tn.zeros(2))
    history = recorder.history
    assert [row.mean for row in history.inputs["(model)"]] == [1]
    assert [row.mean for row in history.outputs["(model)"]] == [2, 2]
    assert [history.inputs[f"(model)[{i}]"][0].mean for i in (0, 1)] == [1, 0]
    assert not history.gradients


def test_inference_is_left_out_unless_asked_for() -> None:
    model = Net()
    model(tn.randn(9, 5))
    for in_eval in (False, True):
        with Recorder(model, in_eval=in_eval) as recorder:
            model.eval()
            model(tn.ones(4, 5))
            model.train()
        assert bool(recorder.history.outputs) == in_eval
        assert recorder.steps == in_eval
    nn.utils.freeze(model)
    with Recorder(model) as recorder:
        model(tn.ones(4, 5))
    assert "norm" in recorder.history.outputs, "frozen norms in a model that trains"


def test_lazy_layers_and_computed_weights() -> None:
    model = nn.Sequential(nn.LazyLinear(3),
                          nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    with Recorder(model) as recorder:
        recorder.step()
        model(tn.ones(4, 5)).sum().backward()
    history = recorder.history
    assert list(history.outputs) == ["0", "1", "(model)"]
    assert history.layers["0"].kind == "Linear"
    assert history.layers["1"].leaf
    assert [row.step for row in history.parameters["0.weight"]] == [1]
    assert "1.parametrizations.weight.original0" in history.parameter_gradients
    assert Recorder(model, "1")._parameters == {name for name, _ in model.named_parameters()
                                                if name.startswith("1.")}


# -- what is asked for -----------------------------------------------------------------------------


def test_units_are_columns_of_the_output(device: str) -> None:
    model = nn.Sequential(nn.Linear(5, 4)).to(device)
    y: list[tn.Tensor] = []
    model[0].register_forward_hook(lambda m, a, out: y.append(out))
    with Recorder(model, units={"0": [3, -1, 0]}, quantiles=(0.15, 0.5, 0.85)) as recorder:
        for _ in range(3):
            model(tn.randn(9, 5).to(device))
            recorder.step()
    history = recorder.history
    assert list(history.units) == ["0 unit 3", "0 unit -1", "0 unit 0"]
    lines = history.column("units", "0 unit 3", "quantiles")
    expected = [np.quantile(to_numpy(one.array)[:, 3].astype("float64"), (0.15, 0.5, 0.85))
                for one in y]
    assert_array_equal(lines, expected)
    assert history.units["0 unit -1"] == history.units["0 unit 3"]
    with Recorder(model, units={"0": 1}, unit_axis=-1) as recorder:
        model(tn.randn(2, 9, 5).to(device))
    assert recorder.history.units["0 unit 1"][0].size == 18


def test_layers_by_name_and_pattern_and_what_is_switched_off() -> None:
    history = history_of(layers=["nor*", "first"], gradients=False, quantiles=(), bins=0)
    assert list(history.outputs) == ["first", "norm"]
    assert not history.gradients
    assert list(history.parameters) == [
        "first.weight", "first.bias", "norm.weight", "norm.bias"]
    assert history.outputs["norm"][0].quantiles == history.outputs["norm"][0].histogram == ()
    assert not history_of(parameters=False).parameters
    assert list(history_of(layers="(model)").outputs) == ["(model)"]


def test_every_and_log() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with Recorder(model, every=3) as recorder:
        for i in range(7):
            model(tn.ones(3, 2))
            recorder.step(loss=i)
            if i == 3:
                recorder.log(validation=tn.tensor([5.0]), right=np.float32(0.5))
    history = recorder.history
    assert [row.step for row in history.outputs["0"]] == [0, 3, 6]
    assert [row.step for row in history.parameters["0.bias"]] == [0, 3, 6]
    assert history.metrics["loss"] == [(i, i) for i in range(7)]
    assert history.metrics["validation"] == [(4, 5.0)]
    assert repr(history) == ("<History of 7 steps: 3 metrics, 2 outputs, "
                             "2 parameters>")
    assert repr(History()) == "<History of 0 steps: nothing recorded>"


def test_whole_tensors_where_asked_for(device: str) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).to(device)
    with Recorder(model, keep=["0", "0.w*"]) as recorder:
        y = model(tn.ones(4, 2).to(device))
        (y * y).sum().backward()
        recorder.step()
        with tn.no_grad():
            model[0].weight.zero_()
        model[0].weight.grad.zero_()
    tensors = recorder.history.tensors
    assert list(tensors) == ["outputs/0", "gradients/0", "parameters/0.weight",
                             "parameter_gradients/0.weight"]
    (kept,) = tensors["parameter_gradients/0.weight"]
    assert kept.array.dtype == "float32"
    assert_allclose(kept.array, tensors["gradients/0"][0].array.sum(0)[:, None] * [[1.0, 1.0]])
    assert tensors["parameters/0.weight"][0].array.any()


def test_many_steps_are_fetched_on_the_way() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    recorder = Recorder(model, "0", parameters=False, quantiles=(), bins=0)
    with recorder:
        for i in range(3000):
            model(tn.ones(1, 2))
            recorder.step(i=i)
    assert recorder.history.column("metrics", "i", "value").tolist() == list(range(3000))
    assert len(recorder.history.outputs["0"]) == 3000


# -- out to a file and in again --------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "npz"])
def test_saved_and_loaded(ending: str, tmp_path: Path) -> None:
    keep = ["norm", "norm.*"] if ending == "npz" else []
    history = history_of(units={"norm": 1}, inputs=True, keep=keep)
    history.metrics["bad"] = [Metric(i, v) for i, v in enumerate((math.nan, math.inf, -math.inf))]
    history.metrics["file\u2028 \"ü\""] = history.metrics.pop("loss")
    path = history.save(tmp_path / f"run.{ending}")
    again = History.load(path)
    for part in ("inputs", "outputs", "units", "gradients", "parameters", "parameter_gradients"):
        assert getattr(again, part) == getattr(history, part), part
    assert (again.quantiles, again.bins, again.steps, again.layers) == (
        history.quantiles, history.bins, history.steps, history.layers)
    for name, rows in history.metrics.items():
        assert_array_equal(again.metrics[name], rows)
    for label, kept in history.tensors.items():
        for one, other in zip(again.tensors[label], kept, strict=True):
            assert one[:2] == other[:2]
            assert one.array.dtype == other.array.dtype
            assert_array_equal(one.array, other.array)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


HOSTILE = ["a\0b", "a\0c", "a%00b", "a/b", "/etc/passwd", "a\\b", "C:x", "mean", "x/mean",
           "history", "file", "\ud800", "a\nb", "é\u2028", " ", "x" * 300]


@pytest.mark.parametrize("ending", ["jsonl", "npz"])
def test_hostile_names_are_saved_and_loaded(ending: str, tmp_path: Path) -> None:
    model = nn.Sequential()
    for name in HOSTILE:
        model.add_module(name, nn.Linear(2, 2))
    with Recorder(model, keep=HOSTILE[:9] if ending == "npz" else ()) as recorder:
        model(tn.ones(3, 2)).sum().backward()
        recorder.step(**{name: i for i, name in enumerate([*HOSTILE, "../..", "a/../b"])})
    history = recorder.history
    path = history.save(tmp_path / f"run.{ending}")
    again = History.load(path)
    if ending == "npz":
        with zipfile.ZipFile(path) as file:
            assert not any(".." in name.split("/") for name in file.namelist())
    assert list(history.outputs) == [*HOSTILE, "(model)"]
    for part in ("metrics", "outputs", "gradients", "parameters", "parameter_gradients", "layers"):
        assert getattr(again, part) == getattr(history, part), part
    assert list(again.tensors) == list(history.tensors)
    assert len(again.tensors) == (18 if ending == "npz" else 0)
    for label, (kept,) in history.tensors.items():
        assert_array_equal(again.tensors[label][0].array, kept.array)


def test_lines_are_plain_json(tmp_path: Path) -> None:
    path = history_of(steps=2).save(tmp_path / "run.jsonl")
    head, *lines = [json.loads(line, parse_constant=pytest.fail)
                    for line in path.read_text("utf-8").splitlines()]
    assert head["layers"]["norm"]["kind"] == "BatchNorm1d"
    assert [line["step"] for line in lines] == [0, 1]
    assert lines[0]["outputs"]["norm"][0]["mean"] == pytest.approx(0, abs=1e-6)
    assert lines[0]["metrics"]["loss"][0]["value"] > 0


def test_files_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = history_of(steps=1, keep="norm")
    with pytest.raises(ValueError, match=r"ends in \.jsonl or \.npz, got '.*run\.csv'"):
        history.save(tmp_path / "run.csv")
    with pytest.raises(ValueError, match=r"whole tensors were kept \(outputs/norm, gradients/norm"):
        history.save(tmp_path / "run.jsonl")
    path = history.save(tmp_path / "run.npz")
    good = path.read_bytes()

    def failing(file: Any, **columns: Any) -> None:
        file.write(b"half")
        raise OSError("disk")

    monkeypatch.setattr(np, "savez_compressed", failing)
    with pytest.raises(OSError, match="disk"):
        history.save(path)
    assert path.read_bytes() == good
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]
    for name, data in (("cut.npz", good[:-100]), ("none.npz", b""), ("none.jsonl", b""),
                       ("other.jsonl", b'{"form": "other"}\n'), ("list.jsonl", b"[]\n"),
                       ("part.jsonl", history_of(steps=1).save(tmp_path / "p.jsonl").read_bytes()[
                           :-40])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match="load: expected a history, as save"):
            History.load(tmp_path / name)


# -- bad arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"layers": "norms"}, ValueError, "layers: expected some .*got 'norms'; did you mean 'norm'"),
    ({"layers": [3]}, TypeError, "layers: expected names as text, got int"),
    ({"keep": "nothing.*"}, ValueError, r"keep: expected some of \(model\), first"),
    ({"quantiles": (0.5, 0.2)}, ValueError, "quantiles to be increasing numbers from 0 to 1"),
    ({"quantiles": (0.5, 1.2)}, ValueError, "quantiles to be increasing numbers from 0 to 1"),
    ({"bins": -1}, ValueError, "bins to be 0 or more, got -1"),
    ({"bins": 2.5}, TypeError, "bins to be an int, got float"),
    ({"every": 0}, ValueError, "every to be 1 or more, got 0"),
    ({"units": ["norm"]}, TypeError, "units to be a dict of a layer's name and .*, got list"),
    ({"units": {"normal": 1}}, ValueError, "units: expected some of .*got 'normal'"),
    ({"units": {"norm": "1"}}, TypeError, "units to be an int, got str"),
    ({"unit_axis": None}, TypeError, "unit_axis to be an int, got NoneType"),
])  # fmt: skip
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Recorder(Net(), **options)


def test_bad_models_units_and_metrics() -> None:
    with pytest.raises(TypeError, match="Recorder: expected a Module, got list"):
        Recorder([Net()])  # type: ignore[arg-type]
    model = Net()
    recorder = Recorder(model, units={"norm": 4})
    with pytest.raises(IndexError, match=r"norm has 4 units along axis 1 of its output \(3, 4\), "
                                         "and no unit 4"), recorder:
        model(tn.ones(3, 5))
    with pytest.raises(ValueError, match=r"one value for 'loss', got a tensor of shape \(2,\)"):
        recorder.step(loss=tn.ones(2))
    with pytest.raises(TypeError, match="a number or a tensor of one value for 'loss', got str"):
        recorder.log(loss="3")
    assert recorder.steps == 0
    history = recorder.history
    with pytest.raises(KeyError, match="expected one of metrics, inputs, outputs"):
        history.rows("output", "norm")
    with pytest.raises(KeyError, match="outputs of nothing are recorded, got 'norm'"):
        history.column("outputs", "norm", "mean")
    with pytest.raises(AttributeError, match="middle"):
        history_of(steps=1).column("outputs", "norm", "middle")
