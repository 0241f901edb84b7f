"""The norms against PyTorch: dtypes, errors, where we differ on purpose, where PyTorch is wrong."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import CASES, Case, Series, array, directional, formula, tensor

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

MEASURED = torch.__version__.startswith("2.13.")
"""Some tests hold what PyTorch 2.13 does wrong; another version may have mended it."""

cases = pytest.mark.parametrize("case", CASES, ids=map(str, CASES))


# -- dtypes ------------------------------------------------------------------------------------

@cases
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("dtype", "parameters"), [
    ("float32", "float32"), ("float16", "float32"), ("float16", "float16")])
def test_dtypes(case: Case, training: bool, dtype: str, parameters: str) -> None:
    """Of outputs, gradients and buffers are PyTorch's, and the values are near its float64 ones.

    float16 input goes through a float32 layer too.
    """
    x = case.input().astype(dtype)
    runs = [(tn, dtype, parameters), (torch, dtype, parameters), (torch, "float64", "float64")]
    results = []
    for m, own, held in runs:
        make = tensor if m is tn else torch.from_numpy
        layer = case.make(m.nn, eps=0.01, dtype=getattr(m, held)).train(training)
        leaf = make(x.astype(own)).requires_grad_()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")
            y = layer(leaf)
        y.backward(make(np.cos(x).astype(own)))
        gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
        results.append([a.detach().numpy() for a in (y, *gradients, *layer.buffers())])
    for got, theirs, exact in zip(*results, strict=True):
        assert got.dtype == theirs.dtype
        tolerance = 1.5e-3 if got.dtype == "float16" else 2e-6
        scale = np.max(np.abs(exact), initial=1)
        np.testing.assert_allclose(got, exact, rtol=0, atol=tolerance * scale)


MIXED = [c for c in CASES if c.layer != "RMSNorm"]


@pytest.mark.parametrize("case", MIXED, ids=map(str, MIXED))
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("dtype", "parameters"), [
    ("float64", "float32"), ("float32", "float64"), ("float16", "float64"),
    ("float32", "float16")])
def test_mixed_dtypes_are_refused(
    case: Case, training: bool, dtype: str, parameters: str
) -> None:
    """By PyTorch with RuntimeError; here with a TypeError that is one too.

    The statistics count as well as the affine part; only InstanceNorm's PyTorch takes as they are.
    """
    x = case.input().astype(dtype)
    message = f"the input is {dtype}, .* {parameters}"
    for settings in ({}, {"affine": False}):
        theirs = case.make(torch.nn, dtype=getattr(torch, parameters), **settings)
        ours = case.make(tn.nn, dtype=getattr(tn, parameters), **settings)
        if theirs.state_dict():
            with pytest.raises(RuntimeError):
                theirs.train(training)(torch.from_numpy(x))
            with pytest.raises((TypeError, RuntimeError), match=message):
                ours.train(training)(tensor(x))
        else:
            assert ours.train(training)(tensor(x)).dtype == dtype
    if case.layer.startswith("Instance"):
        ours = case.make(tn.nn, affine=False, track_running_stats=True,
                         dtype=getattr(tn, parameters))
        with pytest.raises(TypeError, match=message):
            ours.train(training)(tensor(x))


def test_rms_norm_refuses_mixed_dtypes_that_pytorch_casts() -> None:
    """PyTorch warns and gives the input's dtype; the other norms refuse, and so does this one."""
    theirs = torch.nn.RMSNorm(3, dtype=torch.float64)
    assert theirs(torch.ones(2, 3)).dtype == torch.float32
    with pytest.raises(TypeError, match="the input is float32, weight float64"):
        tn.nn.RMSNorm(3, dtype=tn.float64)(tn.ones(2, 3))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_default_eps_of_rms_norm(dtype: str) -> None:
    """The machine epsilon of the dtype that is computed in: float32's for float16."""
    x = np.array([[1e-3, -2e-3, 5e-4]], dtype)
    theirs = torch.nn.RMSNorm(3, elementwise_affine=False)(torch.from_numpy(x))
    ours = tn.nn.RMSNorm(3, elementwise_affine=False)(tensor(x))
    np.testing.assert_allclose(array(ours), theirs.numpy(), rtol=np.finfo(dtype).eps * 4)


# -- errors ------------------------------------------------------------------------------------

def layer(name: str, *arguments: Any, shape: tuple[int, ...], dtype: str = "float32",
          eval: bool = False, **settings: Any) -> Callable[[Any], Any]:
    """Make the layer and call it with ones."""
    def run(m: Any) -> Any:
        made = getattr(m.nn, name)(*arguments, **settings)
        made.load_state_dict(made.state_dict())  # as if trained: eval does not warn
        return made.train(not eval)(m.ones(shape, dtype=getattr(m, dtype)))

    return run


def function(name: str, *shapes: Any, **settings: Any) -> Callable[[Any], Any]:
    """Call the function with ones of the shapes given as lists; other arguments as they are."""
    def run(m: Any) -> Any:
        values = [m.ones(tuple(s)) if isinstance(s, list) else s for s in shapes]
        return getattr(m.nn.functional, name)(*values, **settings)

    return run


BAD = {
    "channels": layer("BatchNorm1d", 3, shape=(4, 5)),
    "channels 2d": layer("BatchNorm2d", 3, shape=(2, 4, 4, 3)),
    "channels eval": layer("BatchNorm1d", 3, shape=(4, 5), eval=True),
    "dims": layer("BatchNorm1d", 3, shape=(3,)),
    "dims 1d": layer("BatchNorm1d", 3, shape=(2, 3, 4, 4)),
    "dims 2d": layer("BatchNorm2d", 3, shape=(2, 3, 4)),
    "dims 3d": layer("BatchNorm3d", 3, shape=(2, 3, 4, 4)),
    "dims instance 1d": layer("InstanceNorm1d", 3, shape=(2, 3, 4, 4)),
    "dims instance 2d": layer("InstanceNorm2d", 3, shape=(3, 4)),
    "dims instance 3d": layer("InstanceNorm3d", 3, shape=(3, 4, 4)),
    "instance channels": layer("InstanceNorm1d", 3, shape=(4, 5, 2), affine=True),
    "instance channels of one": layer("InstanceNorm1d", 3, shape=(5, 2), affine=True),
    "one value": layer("BatchNorm1d", 3, shape=(1, 3)),
    "one value 1": layer("BatchNorm1d", 3, shape=(1, 3, 1)),
    "one value 2": layer("BatchNorm2d", 3, shape=(1, 3, 1, 1)),
    "one value without statistics": layer("BatchNorm1d", 3, shape=(1, 3), eval=True,
                                          track_running_stats=False),
    "one place": layer("InstanceNorm1d", 3, shape=(4, 3, 1)),
    "one place eval": layer("InstanceNorm2d", 3, shape=(4, 3, 1, 1), eval=True),
    "int batch": layer("BatchNorm1d", 3, shape=(4, 3), dtype="int64"),
    "int batch eval": layer("BatchNorm1d", 3, shape=(4, 3), dtype="int64", eval=True),
    "int instance": layer("InstanceNorm1d", 3, shape=(4, 3, 5), dtype="int64"),
    "int layer": layer("LayerNorm", 3, shape=(4, 3), dtype="int64"),
    "int group": layer("GroupNorm", 1, 3, shape=(4, 3), dtype="int64"),
    "int rms": layer("RMSNorm", 3, shape=(4, 3), dtype="int64"),
    "int rms plain": layer("RMSNorm", 3, shape=(4, 3), dtype="int64", elementwise_affine=False),
    "bool": layer("LayerNorm", 3, shape=(4, 3), dtype="bool"),
    "normalized_shape": layer("LayerNorm", 3, shape=(4, 2)),
    "normalized_shape 2": layer("LayerNorm", (3, 2), shape=(4, 2, 3)),
    "normalized_shape of a number": layer("LayerNorm", 3, shape=()),
    "normalized_shape too long": layer("LayerNorm", (2, 3), shape=(3,)),
    "normalized_shape rms": layer("RMSNorm", 3, shape=(4, 2)),
    "normalized_shape empty": layer("LayerNorm", (), shape=(4, 2)),
    "normalized_shape negative": layer("RMSNorm", -1, shape=(4, 2)),
    "normalized_shape float": layer("LayerNorm", 3.5, shape=(4, 3)),
    "groups": layer("GroupNorm", 2, 3, shape=(4, 3)),
    "groups negative": layer("GroupNorm", -1, 3, shape=(4, 3)),
    "group channels": layer("GroupNorm", 1, 3, shape=(2, 4, 5)),
    "group dims": layer("GroupNorm", 1, 3, shape=(3,)),
    "features": layer("BatchNorm1d", -1, shape=(2, 1)),
    "eps": layer("BatchNorm1d", 3, shape=(4, 3), eps=-1.0),
    "eps eval": layer("BatchNorm1d", 3, shape=(4, 3), eps=-1.0, eval=True),
    "eps 0": layer("BatchNorm1d", 3, shape=(4, 3), eps=0.0),
    "F.batch_norm dims": function("batch_norm", [4], None, None, training=True),
    "F.batch_norm weight": function("batch_norm", [2, 4], None, None, [3], training=True),
    "F.batch_norm bias": function("batch_norm", [2, 4], None, None, None, [3], training=True),
    "F.batch_norm mean": function("batch_norm", [2, 4], [3], [4]),
    "F.batch_norm var": function("batch_norm", [2, 4], [4], [1, 4]),
    "F.batch_norm none": function("batch_norm", [2, 4], None, None),
    "F.batch_norm eps": function("batch_norm", [2, 4], [4], [4], eps=-1.0),
    "F.batch_norm eps 0": function("batch_norm", [2, 4], None, None, training=True, eps=0.0),
    "F.instance_norm none": function("instance_norm", [2, 4, 5], use_input_stats=False),
    "F.instance_norm weight": function("instance_norm", [2, 4, 5], None, None, [3]),
    "F.instance_norm dims": function("instance_norm", [2, 4]),
    "F.group_norm dims": function("group_norm", [3], 1),
    "F.group_norm groups": function("group_norm", [2, 3], 2),
    "F.group_norm weight": function("group_norm", [2, 4], 2, [3]),
    "F.group_norm bias": function("group_norm", [2, 4], 2, None, [3]),
    "F.layer_norm weight": function("layer_norm", [2, 4], (4,), [3]),
    "F.layer_norm bias": function("layer_norm", [2, 4], (4,), None, [3]),
    "F.layer_norm shape": function("layer_norm", [2, 4], ()),
    "F.layer_norm int": function("layer_norm", [2, 4], 4),
    "F.rms_norm weight": function("rms_norm", [2, 4], (4,), [3]),
}

@pytest.mark.parametrize("run", BAD.values(), ids=BAD)
def test_errors_are_of_pytorchs_classes(run: Callable[[Any], Any]) -> None:
    """Whoever catches PyTorch's class catches ours."""
    with pytest.raises(Exception, match=r"\w") as theirs:
        run(torch)
    expected = theirs.type
    if expected is NotImplementedError:  # a dtype that PyTorch has no kernel for
        expected = RuntimeError
    with pytest.raises(expected):
        run(tn)


# -- where we differ on purpose ----------------------------------------------------------------

def test_instance_norm_counts_and_averages_as_batch_norm_does() -> None:
    """PyTorch's num_batches_tracked stays 0, and momentum=None leaves the statistics at 0 and 1."""
    theirs = torch.nn.InstanceNorm1d(3, momentum=None, track_running_stats=True)
    ours = tn.nn.InstanceNorm1d(3, momentum=None, track_running_stats=True)
    x = CASES[4].input().astype("float32")
    for _ in range(2):
        theirs(torch.from_numpy(x))
        ours(tensor(x))
    assert theirs.num_batches_tracked.item() == 0
    assert ours.num_batches_tracked.item() == 2
    assert not theirs.running_mean.any()
    np.testing.assert_allclose(array(ours.running_mean), x.mean(axis=(0, 2)), rtol=1e-5)


def test_instance_norm_checks_the_channels_without_affine_too() -> None:
    """PyTorch only warns (pytorch#109652): a channel axis at the wrong place goes unseen."""
    x = np.ones((4, 5, 2), "float32")
    with pytest.warns(UserWarning, match="does not match num_features"):
        torch.nn.InstanceNorm1d(3)(torch.from_numpy(x))
    with pytest.raises(ValueError, match=r"expected input \(N, 3, L\)"):
        tn.nn.InstanceNorm1d(3)(tensor(x))


@pytest.mark.parametrize(("run", "why"), [
    (layer("BatchNorm1d", 3, shape=(0, 3)), "Expected more than 1 value"),
    (layer("BatchNorm1d", 3, shape=(2, 3, 0)), "Expected more than 1 value"),
    (layer("InstanceNorm1d", 3, shape=(2, 3, 0)), "Expected more than 1 spatial element"),
    (layer("GroupNorm", 1, 3, shape=(2, 3, 0)), "Expected more than 1 value per group"),
    (layer("GroupNorm", 3, 3, shape=(2, 3)), "Expected more than 1 value per group"),
    (layer("GroupNorm", 3, 3, shape=(2, 3), eval=True), "Expected more than 1 value per group"),
    (layer("BatchNorm1d", 3, shape=(4, 5), affine=False, track_running_stats=False),
     r"expected input \(N, 3\)"),
    (layer("GroupNorm", 1, 3, shape=(2, 4, 5), affine=False), r"expected input \(N, 3, \*\)"),
    (layer("LayerNorm", 0, shape=(4, 0)), "positive ints"),
    (layer("LayerNorm", 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
    (layer("GroupNorm", 1, 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
    (layer("InstanceNorm1d", 3, shape=(4, 3, 2), eps=-1.0), "expected eps >= 0"),
    (layer("RMSNorm", 3, shape=(4, 3), eps=-1.0), "expected eps >= 0"),
], ids=["empty batch", "empty space", "empty instance",
        "empty group", "group of one", "group of one eval", "plain batch", "plain group",
        "no shape", "eps layer", "eps group", "eps instance", "eps rms"])  # fmt: skip
def test_what_pytorch_lets_through_and_we_refuse(run: Callable[[Any], Any], why: str) -> None:
    """It gives NaN, or statistics of nothing, or takes a wrong channel count without a word."""
    run(torch)
    with pytest.raises(ValueError, match=why):
        run(tn)


def test_group_norm_of_one_value_is_refused_for_any_batch() -> None:
    """PyTorch refuses (1, C) in C groups but takes (2, C), which says as little."""
    for n, module in itertools.product((1, 2), (torch, tn)):
        if (n, module) == (2, torch):
            assert not torch.nn.GroupNorm(3, 3)(torch.ones(2, 3)).any()
            continue
        with pytest.raises(ValueError, match="Expected more than 1 value"):
            module.nn.GroupNorm(3, 3)(module.ones(n, 3))


def test_layer_norm_of_one_value_is_its_bias() -> None:
    """In both: normalized_shape is the user's word, and does not come with a batch."""
    for m in (torch, tn):
        layer = m.nn.LayerNorm(1)
        layer.bias.data.fill_(0.5)
        assert layer(m.ones((4, 1))).tolist() == [[0.5]] * 4


@pytest.mark.parametrize("run", [
    layer("BatchNorm1d", 3, shape=(0, 3), eval=True),
    layer("InstanceNorm1d", 3, shape=(0, 3, 4)),
    layer("InstanceNorm1d", 3, shape=(0, 3, 4), track_running_stats=True),
    layer("InstanceNorm1d", 3, shape=(2, 3, 0), track_running_stats=True, eval=True),
    layer("InstanceNorm1d", 3, shape=(2, 3, 1), track_running_stats=True, eval=True),
    layer("LayerNorm", 3, shape=(0, 3)),
    layer("RMSNorm", 3, shape=(0, 3)),
    layer("GroupNorm", 1, 3, shape=(0, 3, 2)),
    layer("LayerNorm", np.int64(3), shape=(2, 3)),
    layer("LayerNorm", [3], shape=(2, 3)),
])
def test_odd_inputs_that_both_take(run: Callable[[Any], Any]) -> None:
    np.testing.assert_array_equal(array(run(tn)), run(torch).detach().numpy(), strict=True)


# -- what PyTorch gets wrong -------------------------------------------------------------------

@pytest.mark.skipif(not MEASURED, reason="measured on PyTorch 2.13")
@pytest.mark.parametrize(("number", "wrong"), [(0, True), (15, True), (11, False), (18, False)],
                         ids=["batch_norm", "layer_norm", "group_norm", "rms_norm"])
def test_pytorchs_own_derivatives_of_order_3_and_4(number: int, wrong: bool) -> None:
    """Silently wrong for batch_norm and layer_norm (pytorch#186256), right to order 2."""
    case = CASES[number]
    random = case.random(13)
    x, v, w = case.input(), *random.standard_normal((2, *case.shape))
    expected = (formula(case, Series.line(x, v), eps=1e-3) * w).sum().derivatives
    leaf = torch.from_numpy(x).requires_grad_()
    y = case.make(torch.nn, eps=1e-3, dtype=torch.float64)(leaf)
    theirs = directional((y * torch.from_numpy(w)).sum(), [leaf], [torch.from_numpy(v)],
                         grad=torch.autograd.grad)
    np.testing.assert_allclose(theirs[:2], expected[:2], rtol=1e-9)
    error = np.abs(np.array(theirs[2:]) / expected[2:] - 1)
    assert (error > 1e-2).all() if wrong else (error < 1e-9).all()
    leaf = tensor(x, grad=True)
    y = case.make(tn.nn, eps=1e-3, dtype=tn.float64)(leaf)
    ours = directional((y * tensor(w)).sum(), [leaf], [tensor(v)])
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.skipif(not MEASURED, reason="measured on PyTorch 2.13")
def test_pytorchs_float32_statistics_of_a_matrix_with_an_offset() -> None:
    """(N, C), N = 65536, mean 1e4, std 1: PyTorch's output has mean 0.9 and std 0.3."""
    x = (np.random.default_rng(0).standard_normal((65536, 4)) + 1e4).astype("float32")
    theirs = torch.nn.BatchNorm1d(4)(torch.from_numpy(x)).detach().numpy().astype("float64")
    ours = array(tn.nn.BatchNorm1d(4)(tensor(x))).astype("float64")
    assert np.abs(theirs.mean(axis=0)).max() > 0.1
    assert np.abs(theirs.std(axis=0) - 1).max() > 0.1
    assert np.abs(ours.mean(axis=0)).max() < 1e-5
    assert np.abs(ours.std(axis=0) - 1).max() < 1e-5
