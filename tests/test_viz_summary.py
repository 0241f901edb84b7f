"""summary: the table, its numbers, the norms' axes; and the model stays as it is."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np
import pytest
import strict
from numpy.testing import assert_array_equal

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn.module import Buffer, Module
from tinygrad_norm.proof import forms
from tinygrad_norm.viz import Recorder, Summary, summary
from tinygrad_norm.viz.table.norm_axes import norm_axes


class Block(Module):
    def __init__(self, channels: int) -> None:
        self.norm = nn.GroupNorm(2, channels)
        self.linear = nn.Linear(8, 8, bias=False)
        self.act = nn.ReLU()
        self.spare = nn.Linear(3, 3)

    def forward(self, x: tn.Tensor) -> Any:
        x = self.act(self.linear(self.act(self.norm(x))))
        return x, {"mean": x.mean()}


class Net(Module):
    """A block, whose linear layer it holds too; drops; and a weight that is computed."""

    def __init__(self) -> None:
        self.block = Block(4)
        self.tied = self.block.linear
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout()
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x: tn.Tensor, scale: Any = None) -> tn.Tensor:
        x = self.drop(self.norm(self.tied(self.block(x)[0])))
        return self.head(x if scale is None else x * scale)


def printed(capsys: pytest.CaptureFixture[str], *args: Any, **options: Any) -> list[str]:
    result = summary(*args, **options)
    text = capsys.readouterr().out
    assert text == f"{result}\n"
    return text.splitlines()


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n".join(printed(capsys, Net(), (2, 4, 8))) == """\
layer                  type                output shape   parameters  buffers  normalized over
----------------------------------------------------------------------------------------------
(model)                Net                 (2, 4, 3)
block                  Block               (2, 4, 8), ()
block.norm             GroupNorm           (2, 4, 8)               8           C/2, L
block.linear           Linear              (2, 4, 8)              64
block.linear (call 2)  Linear              (2, 4, 8)
block.act              ReLU                (2, 4, 8)
block.act (call 2)     ReLU                (2, 4, 8)
block.spare            Linear              not called             12
norm                   BatchNorm1d         (2, 4, 8)               8        9  N, L
drop                   Dropout             (2, 4, 8)
head                   ParametrizedLinear  (2, 4, 3)              30           weight: each row of v
----------------------------------------------------------------------------------------------
parameters 122 (488 B), of them learned 122
buffers    9 (40 B)
input      (2, 4, 8) (256 B), outputs of the layers 1.8 KiB""".replace(
        "-" * 94, "-" * 100)


def test_without_an_input_there_are_no_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, nn.Sequential(nn.LazyLinear(3), nn.BatchNorm2d(3)))
    assert lines == [
        "layer    type         parameters  buffers  normalized over",
        "----------------------------------------------------------",
        "(model)  Sequential",
        "0        LazyLinear            ?",
        "1        BatchNorm2d           6        7  N, *spatial",
        "----------------------------------------------------------",
        "parameters 6 (24 B), of them learned 6; lazy layers (?) are not counted",
        "buffers    7 (32 B)",
    ]


def test_columns_and_depth(capsys: pytest.CaptureFixture[str]) -> None:
    model = Net()
    model.block.norm.requires_grad_(False)
    head, _, *lines = printed(capsys, model, (2, 4, 8), depth=1, col_names=[
        "input_size", "trainable", "num_params"])
    assert head.split() == ["layer", "type", "input", "shape", "learned", "parameters"]
    assert [line.split() for line in lines[1:3]] == [
        ["block", "Block", "(2,", "4,", "8)", "76", "84"],
        ["norm", "BatchNorm1d", "(2,", "4,", "8)", "8", "8"]]
    assert "of them learned 114" in lines[-3]
    (row,) = summary(model, depth=0).rows
    assert (row.parameters, row.learned, row.buffers, row.leaf) == (122, 114, 9, True)
    every = summary(nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(nn.ReLU())))),
                    depth=None)
    assert [row.depth for row in every.rows] == [0, 1, 2, 3, 4]


def test_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    result = summary(Net(), (2, 4, 8))
    assert isinstance(result, Summary)
    row = next(row for row in result.rows if row.name == "block")
    assert (row.kind, row.depth, row.call, row.leaf) == ("Block", 1, 1, False)
    assert (row.input_shapes, row.output_shapes) == (((2, 4, 8),), ((2, 4, 8), ()))
    assert row.output_bytes == 4 * 65
    spare = next(row for row in result.rows if row.name == "block.spare")
    assert spare.output_shapes is None
    assert result.total("parameters") == sum(p.numel() for p in Net().parameters())
    assert result.total("buffer_bytes") == 8 * 4 + 8
    assert result.inputs == ((2, 4, 8),)
    assert repr(result) == "<Summary of 11 rows, 122 parameters>"
    capsys.readouterr()


def test_inputs(device: str) -> None:
    model = Net().to(device)
    expected = summary(model, (2, 4, 8)).rows
    x = tn.ones(2, 4, 8).to(device)
    for data in (x, [x], (x, 2.0), {"x": x, "scale": 0.5}):
        rows = summary(model, input_data=data).rows
        assert [row.output_shapes for row in rows] == [row.output_shapes for row in expected]
    assert summary(model, [(2, 4, 8), (8,)]).inputs == ((2, 4, 8), (8,))
    result = summary(model, [(2, 4, 8), ()], dtypes=[None, "int64"])
    assert result.input_bytes == 4 * 64 + 8
    assert summary(nn.Linear(2, 2).double(), (3, 2)).input_bytes == 8 * 6
    assert summary(nn.ReLU(), (3, 2), dtypes="float64").input_bytes == 8 * 6
    assert summary(nn.ReLU(), (3,)).rows[0].output_shapes == ((3,),)


def test_nothing_changes(device: str) -> None:
    model = Net().to(device)
    model(tn.ones(2, 4, 8).to(device)).sum().backward()
    lazy = nn.LazyBatchNorm1d()
    model.lazy, model.kept = lazy, model.norm(tn.ones(2, 4, 8).to(device))
    before = {name: to_numpy(value.array) for name, value in model.named_buffers()
              if not name.startswith("lazy")}
    gradients = {name: value.grad for name, value in model.named_parameters()}
    numbers = tn.get_rng_state().tolist()
    with Recorder(model) as recorder:
        summary(model, (2, 4, 8))
    assert not recorder.history.outputs
    assert tn.get_rng_state().tolist() == numbers
    for name, array in before.items():
        assert_array_equal(to_numpy(dict(model.named_buffers())[name].array), array)
    for name, value in model.named_parameters():
        assert value.grad is gradients[name]
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in model.modules())
    assert type(lazy) is nn.LazyBatchNorm1d
    summary(nn.Sequential(lazy), (3, 4))
    assert lazy.has_uninitialized_params()


def test_unset_statistics_still_warn_afterwards() -> None:
    norm = nn.BatchNorm1d(3)
    summary(norm, (1, 3))
    with pytest.warns(UserWarning, match="expected running statistics"):
        norm.eval()(tn.ones(2, 3))


def test_nothing_crosses_from_a_device() -> None:
    model = Net().to("strict")
    before = strict.traffic.copy()
    summary(model, (2, 4, 8))
    assert strict.traffic - before == {"in": 1}


# -- axes of norms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "ndim", "words"), [
    (nn.BatchNorm1d(4), 2, "N"), (nn.BatchNorm1d(4), 3, "N, L"),
    (nn.BatchNorm3d(4), 5, "N, D, H, W"),
    (nn.LazyBatchNorm2d(), 4, "N, H, W"), (nn.BatchNorm2d(4), None, "N, *spatial"),
    (nn.InstanceNorm2d(4), 4, "H, W"), (nn.InstanceNorm2d(4), 3, "H, W"),
    (nn.GroupNorm(2, 4), 4, "C/2, H, W"), (nn.GroupNorm(2, 4), 2, "C/2"),
    (nn.LayerNorm(4), 3, "the last axis"), (nn.RMSNorm((4, 5)), 3, "the last 2 axes"),
    (nn.LocalResponseNorm(3), 4, "3 channels about c"), (nn.EvoNormS0(4, 2), 4, "C/2, H, W"),
    (nn.SyncBatchNorm(4), 4, "N of all shards, H, W"), (nn.DyT(4), 2, ""), (nn.ReLU(), 2, ""),
    (nn.utils.parametrizations.weight_standardization(nn.Linear(2, 2)), 2,
     "weight: each row of W"),
])  # fmt: skip
def test_axes(layer: Module, ndim: int | None, words: str) -> None:
    assert norm_axes(layer, ndim) == words


def test_a_norm_of_the_users_own_is_that_above_it() -> None:
    class Mine(nn.BatchNorm2d):
        pass

    assert norm_axes(Mine(3), 4) == "N, H, W"


@pytest.mark.parametrize("entry", forms.every(), ids=lambda entry: entry.name)
def test_every_norm_of_the_catalogue_is_known(entry: Any) -> None:
    words = [norm_axes(module) for module in entry.make(affine=True).modules()]
    assert any(words) or entry.reduced.startswith("none") or entry.name == "normalize"


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"col_names": ["kernel_size"]}, ValueError, "col_names among input_size, output_size"),
    ({"col_names": 3}, TypeError, "expected col_names among input_size, .*, got 3"),
    ({"input_size": (-1, 4, 8)}, ValueError, r"without negative numbers, got \(-1, 4, 8\); give"),
    ({"depth": True}, ValueError, "depth to be an int from 0 or None, got True"),
    ({"depth": -1}, ValueError, "depth to be an int from 0 or None, got -1"),
    ({"input_size": (2, 4, 8), "input_data": 1}, ValueError, "input_size or input_data, got both"),
    ({"input_size": [(2, 4, 8), 3]}, TypeError, "input_size to be a shape as"),
    ({"input_size": tn.ones(2, 4, 8)}, TypeError,
     r"input_size to be a shape, got Tensor of shape \(2, 4, 8\); give an input itself as input_d"),
    ({"input_size": np.ones(3)}, TypeError, r"got ndarray of shape \(3,\)"),
    ({"input_size": "24"}, TypeError, "input_size to be a shape as"),
    ({"input_size": (2, 4, 8), "dtypes": ["float32"] * 2}, ValueError, "expected 1 dtypes, one"),
    ({"input_size": (2, 4, 8), "dtypes": "text"}, TypeError, "dtype: expected one of"),
    ({"input_size": (2, 5, 8)}, ValueError, "group_norm|GroupNorm"),
])  # fmt: skip
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    model = Net()
    state = tn.get_rng_state().tolist()
    with pytest.raises(error, match=message):
        summary(model, **options)
    assert tn.get_rng_state().tolist() == state
    assert model.training


def test_bad_models() -> None:
    with pytest.raises(TypeError, match="summary: expected a Module, got function"):
        summary(lambda x: x, (2, 2))  # type: ignore[arg-type]
    model = nn.Sequential(nn.ReLU())
    model.lock = threading.Lock()
    with pytest.raises(RuntimeError, match=r"can be copied, .*, got Sequential \(cannot pickle "
                                           ".*; leave the input out"):
        summary(model, (2, 2))
    assert len(summary(model).rows) == 2


class Fails(Module):
    def forward(self, x: tn.Tensor) -> tn.Tensor:
        raise ZeroDivisionError("now")


@pytest.mark.parametrize(("model", "where"), [
    (nn.Sequential(nn.Linear(2, 2), nn.Sequential(Fails())), "layer '1.0'"),
    (Fails(), "the model")])
def test_what_a_model_raises_says_where(model: Module, where: str) -> None:
    state = tn.get_rng_state().tolist()
    with pytest.raises(ZeroDivisionError, match="now") as raised:
        summary(model, (3, 2))
    assert raised.value.__notes__ == [f"summary: raised in {where}, when the model ran on (3, 2)"]
    assert tn.get_rng_state().tolist() == state
    assert all(module.training and not module._forward_hooks for module in model.modules())


def test_a_model_that_catches_what_a_layer_raises() -> None:
    class Careful(Module):
        def __init__(self) -> None:
            self.bad, self.good = Fails(), nn.Linear(2, 3)

        def forward(self, x: tn.Tensor) -> tn.Tensor:
            with contextlib.suppress(ZeroDivisionError):
                return self.bad(x)
            return self.good(x)

    rows = {row.name: row.output_shapes for row in summary(Careful(), (4, 2)).rows}
    assert rows == {"": ((4, 3),), "bad": (), "good": ((4, 3),)}


def test_a_buffer_of_two_layers_counts_once() -> None:
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    shared = Buffer(tn.ones(7))
    model[0].shared = model[1].shared = shared
    assert [row.buffers for row in summary(model).rows] == [0, 7, 0]


def test_names_that_cannot_be_printed_keep_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential()
    model.add_module("a\nb\x1b[2J\ud800", nn.Linear(2, 2))
    summary(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[3].startswith(r"a\nb\x1b[2J\ud800  Linear")
