"""What the norms say to bad input. To bad settings: test_norm_settings.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, array

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

ALONE = ("; use a larger batch (DataLoader(drop_last=True)), eval(), or a norm that does not "
         "depend on the batch: GroupNorm, LayerNorm")
NOT_ALONE = ("; use a larger input, or a norm that takes its statistics of more: GroupNorm, "
             "LayerNorm")
ONE_DTYPE = "bring them to one dtype with .to(dtype)"


def ones(*shape: int, dtype: Any = tn.float32) -> tn.Tensor:
    return tn.ones(shape, dtype=dtype)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "channels": (lambda: tn.nn.BatchNorm1d(64)(ones(32, 128)), ValueError,
                 "BatchNorm1d: expected input (N, 64) or (N, 64, L), got (32, 128)"),
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
        "InstanceNorm1d: expected input (N, 3, L) or (3, L), got (4, 5)"),
    "renorm channels": (lambda: tn.nn.BatchRenorm3d(2)(ones(2, 3, 4, 5, 6)), ValueError,
                        "BatchRenorm3d: expected input (N, 2, D, H, W), got (2, 3, 4, 5, 6)"),
    "dims": (lambda: tn.nn.BatchNorm2d(3)(ones(4, 3)), ValueError,
             "BatchNorm2d: expected input (N, 3, H, W), got (4, 3)"),
    "group channels": (lambda: tn.nn.GroupNorm(2, 4)(ones(2, 3, 5)), RuntimeError,
                       "GroupNorm: expected input (N, 4, *), got (2, 3, 5)"),
    "one value": (
        lambda: tn.nn.BatchNorm1d(3)(ones(1, 3)), ValueError,
        "batch_norm: Expected more than 1 value per channel when training, got input size (1, 3), "
        "which has 1" + ALONE),
    "one value without statistics": (
        lambda: tn.nn.BatchNorm1d(3, track_running_stats=False).eval()(ones(1, 3)), ValueError,
        "which has 1" + ALONE),
    "empty batch": (
        lambda: tn.nn.BatchNorm2d(3)(ones(0, 3, 2, 2)), ValueError,
        "batch_norm: Expected more than 1 value per channel when training, got input size "
        "(0, 3, 2, 2), which has 0" + ALONE),
    "renorm empty": (lambda: tn.nn.BatchRenorm1d(3)(ones(0, 3)), ValueError,
                     "batch_renorm: Expected more than 1 value per channel"),
    "renorm one value": (lambda: tn.nn.BatchRenorm1d(3)(ones(1, 3)), ValueError,
                         "batch_renorm: Expected more than 1 value per channel"),
    "one place": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 1)), ValueError,
        "instance_norm: Expected more than 1 spatial element, got input size (4, 3, 1), which "
        "has 1" + NOT_ALONE),
    "one place eval": (
        lambda: tn.nn.InstanceNorm2d(3).eval()(ones(4, 3, 1, 1)), ValueError,
        "instance_norm: Expected more than 1 spatial element, got input size (4, 3, 1, 1), which "
        "has 1" + NOT_ALONE),
    "one place of one sample": (
        lambda: tn.nn.InstanceNorm1d(3, track_running_stats=True)(ones(3, 1)), ValueError,
        "instance_norm: Expected more than 1 spatial element, got input size (1, 3, 1)"),
    "no place": (
        lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 0)), ValueError, "which has 0" + NOT_ALONE),
    "one in a group": (
        lambda: tn.nn.GroupNorm(3, 3)(ones(4, 3)), ValueError,
        "group_norm: Expected more than 1 value per group, got input size (4, 3), which has 1; "
        "take fewer groups, or a larger input"),
    "one in a group eval": (
        lambda: tn.nn.GroupNorm(3, 3).eval()(ones(4, 3, 1)), ValueError,
        "group_norm: Expected more than 1 value per group, got input size (4, 3, 1), which has 1"),
    "one in a group of a function": (
        lambda: F.group_norm(ones(1, 2), 2), ValueError,
        "group_norm: Expected more than 1 value per group, got input size (1, 2), which has 1"),
    "nothing in a group": (
        lambda: tn.nn.GroupNorm(2, 4)(ones(2, 4, 0)), ValueError, "which has 0; take fewer"),
    "one in a ghost batch": (
        lambda: tn.nn.GhostBatchNorm(3, 1)(ones(4, 3)), ValueError,
        "ghost_batch_norm: Expected more than 1 value per channel in each ghost batch, got input "
        "size (4, 3), which has 1; take a larger ghost_batch_size"),
    "int": (lambda: tn.nn.BatchNorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
            "batch_norm: expected a floating point input, got int64; call .float()"),
    "int eval": (lambda: tn.nn.BatchNorm1d(3).eval()(ones(4, 3, dtype=tn.int32)), TypeError,
                 "batch_norm: expected a floating point input, got int32; call .float()"),
    "int renorm": (lambda: tn.nn.BatchRenorm1d(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                   "batch_renorm: expected a floating point input, got int64; call .float()"),
    "int instance": (lambda: tn.nn.InstanceNorm1d(3)(ones(4, 3, 5, dtype=tn.int64)), TypeError,
                     "instance_norm: expected a floating point input, got int64; call .float()"),
    "int group": (lambda: tn.nn.GroupNorm(1, 3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "group_norm: expected a floating point input, got int64; call .float()"),
    "int layer": (lambda: tn.nn.LayerNorm(3)(ones(4, 3, dtype=tn.int64)), TypeError,
                  "layer_norm: expected a floating point input, got int64; call .float()"),
    "bool rms": (lambda: tn.nn.RMSNorm(3)(ones(4, 3, dtype=tn.bool)), TypeError,
                 "rms_norm: expected a floating point input, got bool; call .float()"),
    "dtype": (lambda: tn.nn.BatchNorm1d(3).double()(ones(4, 3)), TypeError,
              "batch_norm: the input is float32, running_mean float64; " + ONE_DTYPE),
    "dtype layer": (lambda: tn.nn.LayerNorm(3).double()(ones(4, 3)), RuntimeError,
                    "layer_norm: the input is float32, weight float64; " + ONE_DTYPE),
    "dtype bias": (lambda: F.layer_norm(ones(4, 3), (3,), bias=ones(3, dtype=tn.float64)),
                   TypeError, "layer_norm: the input is float32, bias float64; " + ONE_DTYPE),
    "groups": (lambda: tn.nn.GroupNorm(4, 6), ValueError,
               "GroupNorm: num_channels (6) must be divisible by num_groups (4)"),
    "groups of a function": (
        lambda: F.group_norm(ones(2, 6), 4), RuntimeError,
        "group_norm: num_groups must divide the channels, got 4 groups for an input of shape "
        "(2, 6)"),
    "normalized_shape": (
        lambda: tn.nn.LayerNorm((3, 4))(ones(2, 4, 3)), RuntimeError,
        "layer_norm: Given normalized_shape=[3, 4], expected input (*, 3, 4), got (2, 4, 3)"),
    "normalized_shape rms": (
        lambda: tn.nn.RMSNorm(5)(ones(2, 4)), ValueError,
        "rms_norm: Given normalized_shape=[5], expected input (*, 5), got (2, 4)"),
    "normalized_shape 0 of a function": (
        lambda: F.layer_norm(ones(2, 0), (0,)), ValueError,
        "layer_norm: expected at least one value to normalize over, got normalized_shape=[0]"),
    "normalized_shape of a function": (
        lambda: F.layer_norm(ones(2, 3), 3), TypeError,
        "layer_norm: expected normalized_shape to be a tuple or list of ints, got 3; write (n,) "
        "for the last axis alone"),
    "eps 0": (lambda: tn.nn.BatchNorm1d(3, eps=0.0)(ones(4, 3)), ValueError,
              "batch_norm: expected eps > 0 when training, got 0.0"),
    "eps 0 ghost": (lambda: tn.nn.GhostBatchNorm(3, 2, eps=0.0)(ones(4, 3)), ValueError,
                    "ghost_batch_norm: expected eps > 0 when training, got 0.0"),
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
}  # fmt: skip


@pytest.mark.parametrize(("run", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input(run: Callable[[], Any], error: type[Exception], message: str) -> None:
    """Who, what was expected, what came, what to do."""
    with pytest.raises(error) as caught:
        run()
    assert message in str(caught.value)


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
