"""What the norms say to bad input, and that they stay on their device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import CASES, Case, array, randomize, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

# -- what bad input is told --------------------------------------------------------------------

ALONE = ("; use a larger batch (DataLoader(drop_last=True)), eval(), or a norm that does not "
         "depend on the batch: GroupNorm, LayerNorm")
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
        "instance_norm: Expected more than 1 spatial element when training, got input size "
        "(4, 3, 1), which has 1"),
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
    "groups 0": (lambda: tn.nn.GroupNorm(0, 6), ValueError,
                 "GroupNorm: num_channels (6) must be divisible by num_groups (0)"),
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
    "normalized_shape 0": (lambda: tn.nn.LayerNorm(0), ValueError,
                           "LayerNorm: expected normalized_shape of positive ints, got (0,)"),
    "normalized_shape ()": (lambda: tn.nn.RMSNorm(()), ValueError,
                            "RMSNorm: expected normalized_shape of positive ints, got ()"),
    "normalized_shape 0 of a function": (
        lambda: F.layer_norm(ones(2, 0), (0,)), ValueError,
        "layer_norm: expected at least one value to normalize over, got normalized_shape=[0]"),
    "eps": (lambda: tn.nn.BatchNorm1d(3, eps=-1e-5), ValueError,
            "BatchNorm1d: expected eps >= 0, got -1e-05"),
    "eps instance": (lambda: tn.nn.InstanceNorm3d(3, eps=-1.0), ValueError,
                     "InstanceNorm3d: expected eps >= 0, got -1.0"),
    "eps layer": (lambda: tn.nn.LayerNorm(3, eps=-1.0)(ones(2, 3)), ValueError,
                  "layer_norm: expected eps >= 0, got -1.0"),
    "eps rms": (lambda: tn.nn.RMSNorm(3, eps=-1.0)(ones(2, 3)), ValueError,
                "rms_norm: expected eps >= 0, got -1.0"),
    "eps group": (lambda: tn.nn.GroupNorm(1, 3, eps=-1.0)(ones(2, 3)), ValueError,
                  "group_norm: expected eps >= 0, got -1.0"),
    "eps 0": (lambda: tn.nn.BatchNorm1d(3, eps=0.0)(ones(4, 3)), ValueError,
              "batch_norm: expected eps > 0 when training, got 0.0"),
    "features": (lambda: tn.nn.BatchNorm1d(-3), ValueError,
                 "BatchNorm1d: expected num_features >= 0, got -3"),
    "rmax": (lambda: tn.nn.BatchRenorm1d(3, rmax=0.5), ValueError,
             "BatchRenorm1d: expected rmax >= 1 and dmax >= 0, got 0.5 and 5.0"),
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


def test_no_places_to_normalize_over() -> None:
    """GroupNorm of (N, C, 0) is empty, as in PyTorch, and warns of nothing."""
    x = tn.ones((2, 4, 0), requires_grad=True)
    layer = tn.nn.GroupNorm(2, 4)
    y = layer(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == (2, 4, 0)
    assert not array(layer.weight.grad).any()


# -- devices -----------------------------------------------------------------------------------

RENORMS = [Case(f"BatchRenorm{c.layer[-2:]}", c.arguments, c.shape, c.axes, c.beside)
           for c in CASES if c.layer.startswith("BatchNorm")]


@pytest.mark.parametrize("case", [*CASES, *RENORMS], ids=map(str, [*CASES, *RENORMS]))
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_every_layer_stays_on_its_device(
    case: Case, dtype: str, training: bool, momentum: float | None, device: str
) -> None:
    """Forward and backward; nothing crosses, and the numbers are the cpu's."""
    settings: dict[str, Any] = {}
    if case.layer.startswith(("Batch", "Instance")):
        settings["momentum"] = momentum
    if case.layer.startswith("Instance"):
        settings["track_running_stats"] = True
    results = []
    x = case.input().astype(dtype)
    for place in (device, "cpu"):
        layer = case.make(tn.nn, eps=1e-2, **settings)
        randomize(layer, case.random())
        layer.to(dtype).to(place).train(training)
        leaf = tensor(x, place, grad=True)
        outward = tensor(np.cos(x), place)
        strict.traffic.clear()
        y = layer(leaf)
        y.backward(outward)
        assert not strict.traffic
        gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
        for value in (y, *gradients, *layer.buffers()):
            assert value.device.type == place
        results.append([array(v) for v in (y, *gradients, *layer.buffers())])
    for got, expected in zip(*results, strict=True):
        tolerance = 2e-3 if expected.dtype == "float16" else 1e-5
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchRenorm1d", "InstanceNorm1d"])
def test_a_layer_on_another_device_is_refused(kind: str, training: bool, affine: bool) -> None:
    settings = {} if "Renorm" in kind else {"track_running_stats": True}
    layer = getattr(tn.nn, kind)(3, affine=affine, device="strict", **settings).train(training)
    with pytest.raises(RuntimeError, match=(
            r"_re?norm: the input is on cpu, running_mean on strict:0; move one with \.to\(device\)"
            if "Renorm" in kind else
            r"_norm: the input is on cpu, running_mean on strict:0; move one with \.to\(device\)")):
        layer(tn.ones(2, 3, 4))
    with pytest.raises(RuntimeError, match="layer_norm: the input is on strict:0, weight on cpu"):
        tn.nn.LayerNorm(3)(tn.ones(2, 3, device="strict"))
