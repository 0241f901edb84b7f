"""What the norms say to bad input. To bad settings: test_norm_settings.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array
from norm_runs import refusals

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm.nn.normalization.norm import Norm
from tinygrad_norm.proof.catalogue import ENTRIES

ALONE = ("; use a larger batch (DataLoader(drop_last=True)), eval() with running statistics, or a "
         "norm that does not depend on the batch: GroupNorm, LayerNorm")
WHEN = "Expected more than 1 value per channel when training or without running statistics, got "
NOT_ALONE = ("; use a larger input, or a norm that takes its statistics of more: GroupNorm, "
             "LayerNorm")
ONE_DTYPE = "bring them to one dtype with .to(dtype)"


def ones(*shape: int, dtype: Any = tn.float32) -> tn.Tensor:
    return tn.ones(shape, dtype=dtype)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "channels": (lambda: tn.nn.BatchNorm1d(64)(ones(32, 128)), ValueError,
                 "BatchNorm1d: expected input (N, 64) or (N, 64, L), got (32, 128); make the layer "
                 "with num_features=128, or check the layer before it"),
    "channels last": (
        lambda: tn.nn.BatchNorm2d(3)(ones(8, 32, 32, 3)), ValueError,
        "BatchNorm2d: expected input (N, 3, H, W), got (8, 32, 32, 3); is the channel axis last? "
        "move it with permute()"),
    "channels last 1d": (
        lambda: tn.nn.BatchNorm1d(3)(ones(8, 5, 3)), ValueError,
        "BatchNorm1d: expected input (N, 3) or (N, 3, L), got (8, 5, 3); is the channel axis "
        "last? move it with permute()"),
    "channels last of one sample": (
        lambda: tn.nn.InstanceNorm2d(3)(ones(32, 32, 3)), ValueError,
        "InstanceNorm2d: expected input (N, 3, H, W) or (3, H, W), got (32, 32, 3); is the "
        "channel axis last? move it with permute()"),
    "channels of one sample": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 5)), RuntimeError,
        "InstanceNorm1d: expected input (N, 3, L) or (3, L), got (4, 5); make the layer with "
        "num_features=4, or check the layer before it"),
    "renorm channels": (lambda: tn.nn.BatchRenorm3d(2)(ones(2, 3, 4, 5, 6)), ValueError,
                        "BatchRenorm3d: expected input (N, 2, D, H, W), got (2, 3, 4, 5, 6); "
                        "make the layer with num_features=3, or check the layer before it"),
    "dims": (lambda: tn.nn.BatchNorm2d(3)(ones(4, 3)), ValueError,
             "BatchNorm2d: expected input (N, 3, H, W), got (4, 3); use BatchNorm1d, or reshape "
             "the input"),
    "dims 1d": (lambda: tn.nn.BatchNorm1d(3)(ones(3)), ValueError,
                "BatchNorm1d: expected input (N, 3) or (N, 3, L), got (3,); reshape the input"),
    "dims 3d": (lambda: tn.nn.InstanceNorm3d(3)(ones(3, 4)), ValueError,
                "got (3, 4); use InstanceNorm1d, or reshape the input"),
    "dims ghost": (lambda: tn.nn.GhostBatchNorm(3)(ones(3)), ValueError,
                   "(N, 3, D, H, W), got (3,); reshape the input"),
    "group channels last": (
        lambda: tn.nn.GroupNorm(2, 4)(ones(2, 5, 4)), ValueError,
        "GroupNorm: expected input (N, 4, *), got (2, 5, 4); is the channel axis last? move it "
        "with permute()"),
    "group dims": (lambda: tn.nn.GroupNorm(2, 4)(ones(4)), ValueError,
                   "GroupNorm: expected input (N, 4, *), got (4,); reshape the input"),
    "group channels": (lambda: tn.nn.GroupNorm(2, 4)(ones(2, 3, 5)), RuntimeError,
                       "GroupNorm: expected input (N, 4, *), got (2, 3, 5); make the layer with "
                       "num_channels=3, or check the layer before it"),
    "one value": (
        lambda: tn.nn.BatchNorm1d(3)(ones(1, 3)), ValueError,
        f"BatchNorm1d: {WHEN}input size (1, 3), which has 1" + ALONE),
    "one value without statistics": (
        lambda: tn.nn.BatchNorm1d(3, track_running_stats=False).eval()(ones(1, 3)), ValueError,
        f"BatchNorm1d: {WHEN}input size (1, 3), which has 1" + ALONE),
    "empty batch": (
        lambda: tn.nn.BatchNorm2d(3)(ones(0, 3, 2, 2)), ValueError,
        f"BatchNorm2d: {WHEN}input size (0, 3, 2, 2), which has 0" + ALONE),
    "one value of a function": (
        lambda: F.batch_norm(ones(1, 3), None, None, training=True), ValueError,
        f"batch_norm: {WHEN}input size (1, 3), which has 1" + ALONE),
    "renorm empty": (lambda: tn.nn.BatchRenorm1d(3)(ones(0, 3)), ValueError,
                     "BatchRenorm1d: Expected more than 1 value per channel"),
    "renorm one value": (lambda: tn.nn.BatchRenorm1d(3)(ones(1, 3)), ValueError,
                         "BatchRenorm1d: Expected more than 1 value per channel"),
    "one place": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 1)), ValueError,
        "InstanceNorm1d: Expected more than 1 spatial element, got input size (4, 3, 1), which "
        "has 1" + NOT_ALONE),
    "one place eval": (
        lambda: tn.nn.InstanceNorm2d(3).eval()(ones(4, 3, 1, 1)), ValueError,
        "InstanceNorm2d: Expected more than 1 spatial element, got input size (4, 3, 1, 1), which "
        "has 1" + NOT_ALONE),
    "one place of one sample": (
        lambda: tn.nn.InstanceNorm1d(3, track_running_stats=True)(ones(3, 1)), ValueError,
        "InstanceNorm1d: Expected more than 1 spatial element, got input size (1, 3, 1)"),
    "no place": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 0)), ValueError, "which has 0" + NOT_ALONE),
    "one in a group": (
        lambda: tn.nn.GroupNorm(3, 3)(ones(4, 3)), ValueError,
        "GroupNorm: Expected more than 1 value per group, got input size (4, 3), which has 1; "
        "take fewer groups, or a larger input"),
    "one in a group eval": (
        lambda: tn.nn.GroupNorm(3, 3).eval()(ones(4, 3, 1)), ValueError,
        "GroupNorm: Expected more than 1 value per group, got input size (4, 3, 1), which has 1"),
    "one in a group of a function": (
        lambda: F.group_norm(ones(1, 2), 2), ValueError,
        "group_norm: Expected more than 1 value per group, got input size (1, 2), which has 1"),
    "nothing in a group": (
        lambda: tn.nn.GroupNorm(2, 4)(ones(2, 4, 0)), ValueError, "which has 0; take fewer"),
    "one in a ghost batch": (
        lambda: tn.nn.GhostBatchNorm(3, 1)(ones(4, 3)), ValueError,
        "GhostBatchNorm: Expected more than 1 value per channel in each ghost batch, got input "
        "size (4, 3), which has 1; take a larger ghost_batch_size"),
    "int": (lambda: tn.nn.BatchNorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
            "BatchNorm1d: expected a floating point input, got int64; call .float()"),
    "int eval": (lambda: tn.nn.BatchNorm1d(3).eval()(ones(4, 3, dtype=tn.int32)), TypeError,
                 "BatchNorm1d: expected a floating point input, got int32; call .float()"),
    "int renorm": (lambda: tn.nn.BatchRenorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                   "BatchRenorm1d: expected a floating point input, got int64; call .float()"),
    "int instance": (lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 5, dtype=tn.int64)), TypeError,
                     "InstanceNorm1d: expected a floating point input, got int64; call .float()"),
    "int group": (lambda: tn.nn.GroupNorm(1, 3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "GroupNorm: expected a floating point input, got int64; call .float()"),
    "int layer": (lambda: tn.nn.LayerNorm(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "LayerNorm: expected a floating point input, got int64; call .float()"),
    "bool rms": (lambda: tn.nn.RMSNorm(3)(ones(4, 3, dtype=tn.bool)), TypeError,
                 "RMSNorm: expected a floating point input, got bool; call .float()"),
    "dtype": (lambda: tn.nn.BatchNorm1d(3).double()(ones(4, 3)), TypeError,
              "BatchNorm1d: the input is float32, running_mean float64; " + ONE_DTYPE),
    "dtype layer": (lambda: tn.nn.LayerNorm(3).double()(ones(4, 3)), RuntimeError,
                    "LayerNorm: the input is float32, weight float64; " + ONE_DTYPE),
    "dtype bias": (lambda: F.layer_norm(ones(4, 3), (3,), bias=ones(3, dtype=tn.float64)),
                   TypeError, "layer_norm: the input is float32, bias float64; " + ONE_DTYPE),
    "groups": (lambda: tn.nn.GroupNorm(4, 6), ValueError,
               "GroupNorm: expected num_groups to divide num_channels, got num_groups=4 for "
               "num_channels=6; take one that divides 6: 1, 2, 3, 6"),
    "many groups": (
        lambda: tn.nn.GroupNorm(7, 720), ValueError,
        "take one that divides 720: 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, …"),
    "groups of a function": (
        lambda: F.group_norm(ones(2, 6), 4), RuntimeError,
        "group_norm: expected num_groups to divide the channels, got num_groups=4 for an input of "
        "shape (2, 6); take one that divides 6: 1, 2, 3, 6"),
    "normalized_shape": (
        lambda: tn.nn.LayerNorm((3, 4))(ones(2, 4, 3)), RuntimeError,
        "LayerNorm: Given normalized_shape=[3, 4], expected input (*, 3, 4), got (2, 4, 3); take "
        "normalized_shape=[4, 3], its last axes, or check the layer before it"),
    "normalized_shape rms": (
        lambda: tn.nn.RMSNorm(5)(ones(2, 4)), ValueError,
        "RMSNorm: Given normalized_shape=[5], expected input (*, 5), got (2, 4); take "
        "normalized_shape=[4], its last axes, or check the layer before it"),
    "normalized_shape mismatch of a function": (
        lambda: F.layer_norm(ones(4), (2, 4)), ValueError,
        "layer_norm: Given normalized_shape=[2, 4], expected input (*, 2, 4), got (4,); take "
        "normalized_shape=[4], its last axes, or check the layer before it"),
    "normalized_shape () of a function": (
        lambda: F.layer_norm(ones(2, 4), ()), ValueError,
        "layer_norm: Given normalized_shape=[], expected at least one axis, got (2, 4); take "
        "normalized_shape=[4], its last axes, or check the layer before it"),
    "normalized_shape of a number": (
        lambda: tn.nn.RMSNorm(3)(ones()), ValueError,
        "RMSNorm: Given normalized_shape=[3], expected input (*, 3), got (); check the layer "
        "before it"),
    "normalized_shape 0 of a function": (
        lambda: F.layer_norm(ones(2, 0), (0,)), ValueError,
        "layer_norm: expected at least one value to normalize over, got normalized_shape=[0]"),
    "normalized_shape of a function": (
        lambda: F.layer_norm(ones(2, 3), 3), TypeError,
        "layer_norm: expected normalized_shape to be a tuple or list of ints, got 3; write (n,) "
        "for the last axis alone"),
    "eps 0": (lambda: tn.nn.BatchNorm1d(3, eps=0.0)(ones(4, 3)), ValueError,
              "BatchNorm1d: expected eps > 0 when training, got 0.0"),
    "eps 0 ghost": (lambda: tn.nn.GhostBatchNorm(3, 2, eps=0.0)(ones(4, 3)), ValueError,
                    "GhostBatchNorm: expected eps > 0 when training, got 0.0"),
    "function dims": (lambda: F.batch_norm(ones(4), None, None, training=True), IndexError,
                      "batch_norm: expected input (N, C, *spatial), got (4,)"),
    "function dims instance": (lambda: F.instance_norm(ones(4, 3)), ValueError,
                               "instance_norm: expected input (N, C, *spatial), got (4, 3)"),
    "function dims group": (lambda: F.group_norm(ones(4), 2), RuntimeError,
                            "group_norm: expected input (N, C, *spatial), got (4,)"),
    "function mean": (
        lambda: F.batch_norm(ones(2, 4), ones(3), ones(4)), RuntimeError,
        "batch_norm: expected running_mean of shape (4,) for an input of shape (2, 4), got (3,)"),
    "function var": (
        lambda: F.batch_norm(ones(2, 4), ones(4), ones(3)), RuntimeError,
        "batch_norm: expected the running spread of shape (4,) for an input of shape (2, 4), got "
        "(3,)"),
    "function weight": (
        lambda: F.group_norm(ones(2, 4), 2, ones(1, 4)), RuntimeError,
        "group_norm: expected weight of shape (4,) for an input of shape (2, 4), got (1, 4)"),
    "function bias": (
        lambda: F.layer_norm(ones(2, 4), (4,), ones(4), ones(2, 4)), RuntimeError,
        "layer_norm: expected bias of shape (4,) for an input of shape (2, 4), got (2, 4)"),
    "function none": (lambda: F.batch_norm(ones(2, 4), None, ones(4)), RuntimeError,
                      "batch_norm: expected running_mean and running_var when not training"),
    "function none instance": (
        lambda: F.instance_norm(ones(2, 4, 3), use_input_stats=False), RuntimeError,
        "instance_norm: expected running_mean and running_var when use_input_stats is False"),
    "function instance, no places": (
        lambda: F.instance_norm(ones(2, 4), ones(4), ones(4), use_input_stats=False), RuntimeError,
        "instance_norm: expected input (N, C, *spatial), got (2, 4)"),
    "function ghost": (lambda: F.ghost_batch_norm(np.ones((2, 4)), ones(4), ones(4)), TypeError,
                       "ghost_batch_norm: expected input to be a Tensor, got ndarray"),
}  # fmt: skip


test_bad_input = refusals(BAD)


def test_an_error_bears_the_name_of_the_layer_that_was_called() -> None:
    """Of a norm, of its subclass; what another has to say stays as it is."""
    class Mine(tn.nn.LayerNorm):
        pass

    class Foreign(tn.nn.LayerNorm):
        def forward(self, x: tn.Tensor) -> tn.Tensor:
            raise ValueError("disk: full")

    class Block(tn.nn.Module):
        def __init__(self) -> None:
            self.norm = tn.nn.GroupNorm(3, 3)

        def forward(self, x: tn.Tensor) -> tn.Tensor:
            return self.norm(x) if len(x) > 1 else F.layer_norm(x, (2,))

    for run, who in ((Mine(2), "Mine: Given"), (Foreign(2), "disk: full"),
                     (Block(), "GroupNorm: Expected"), (tn.nn.Sequential(Mine(2)), "Mine: Given")):
        with pytest.raises(ValueError, match=f"^{who}"):
            run(ones(4, 3))
    with pytest.raises(ValueError, match=r"^layer_norm: Given"):
        Block()(ones(1, 3))


def test_each_layer_of_the_catalogue_is_a_norm() -> None:
    """So that this holds for it; but for the one that has a norm within."""
    layers = [getattr(tn.nn, entry.name, None) for entry in ENTRIES]
    others = [kind.__name__ for kind in layers if kind and not issubclass(kind, Norm)]
    assert others == ["AdaptiveNorm"]


@pytest.mark.parametrize("layer", [tn.nn.BatchNorm1d(0), tn.nn.LazyBatchNorm1d()], ids=repr)
def test_no_channels(layer: Any) -> None:
    x = tn.ones(6, 0, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == (6, 0)


EMPTY = [c for c in CASES if (0 not in c.axes or c.remembers) and c.beside[0] == 1]


@pytest.mark.parametrize("case", EMPTY, ids=map(str, EMPTY))
def test_an_empty_batch_where_nothing_depends_on_it(case: Case) -> None:
    """Passes through, with gradients of zero: in eval where the batch's statistics are used."""
    layer = case.make(tn.nn).train(not case.remembers)
    x = tn.ones((0, *case.shape[1:]), requires_grad=True)
    before = [array(b).copy() for b in layer.buffers()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(x)
        y.sum().backward()
    assert y.shape == x.shape == x.grad.shape
    assert all(not array(p.grad).any() for p in layer.parameters())
    for buffer, value in zip(layer.buffers(), before, strict=True):
        np.testing.assert_array_equal(array(buffer), value)
