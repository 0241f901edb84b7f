"""Layers that take their size from the first input, or from a state dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lazy_cases import KINDS, first, kinds, make, names, norms
from norm_cases import array, tensor

import tinygrad_norm as tn
from tinygrad_norm.errors import UninitializedError

# -- becoming plain ----------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_after_the_first_input_it_is_the_plain_layer(
    name: str, training: bool, device: str
) -> None:
    kind = KINDS[name][0]
    lazy = make(name, device=device, dtype=tn.float64).train(training)
    lazy.load_state_dict(lazy.state_dict())  # says nothing, and no batch was seen
    assert lazy.has_uninitialized_params()
    held = [*lazy.parameters(), *lazy.buffers()]
    tn.manual_seed(3)
    if not training and name != "LazyLinear":
        with pytest.warns(UserWarning, match=f"^{kind.__name__}: expected running statistics"):
            y = lazy(first(name, device))
    else:
        y = lazy(first(name, device))
    assert type(lazy) is kind
    tn.manual_seed(3)
    settings = {"affine": True, "track_running_stats": True} if "Instance" in name else {}
    plain = kind(*((3, 2) if name == "LazyLinear" else (3,)), device=device, dtype=tn.float64,
                 **settings).train(training)
    plain.load_state_dict(plain.state_dict())
    np.testing.assert_array_equal(array(y), array(plain(first(name, device))))
    assert repr(lazy) == repr(plain)
    assert list(lazy.state_dict()) == list(plain.state_dict())
    for key, value in plain.state_dict().items():
        got = lazy.state_dict()[key]
        assert (got.dtype, got.device) == (value.dtype, value.device)
        np.testing.assert_array_equal(array(got), array(value))
    assert all(one is other for one, other in zip(
        held, [*lazy.parameters(), *lazy.buffers()], strict=True))
    assert {type(v) for v in held} <= {tn.nn.Parameter, tn.nn.Buffer}
    assert not hasattr(lazy, "has_uninitialized_params")


@kinds
def test_the_state_before(name: str) -> None:
    lazy, kind = make(name), KINDS[name][0]
    assert repr(lazy).startswith(f"{name}(0, " if "Norm" in name else f"{name}(in_features=0, ")
    parameters = [("weight", "UninitializedParameter"), ("bias", "UninitializedParameter")]
    buffers = [("running_mean", "UninitializedBuffer"), ("running_var", "UninitializedBuffer"),
               ("num_batches_tracked", "Tensor")]
    assert names(lazy) == parameters + (buffers if "Norm" in name else [])
    assert repr(lazy.weight) == "<UninitializedParameter>"
    assert not isinstance(lazy, kind) or name == "LazyLinear"
    lazy.reset_parameters()
    assert names(lazy)[:2] == parameters


@norms
@pytest.mark.parametrize("settings", [
    {"affine": False}, {"bias": False}, {"track_running_stats": False},
    {"affine": False, "track_running_stats": False}])
def test_without_some_of_its_tensors(name: str, settings: dict[str, Any]) -> None:
    lazy = make(name, **settings)
    lazy(first(name).float())
    assert type(lazy) is KINDS[name][0]
    assert lazy.num_features == 3
    with pytest.raises(ValueError, match="expected input"):
        lazy(tn.ones(4, 5, 2, 2, 2)[(slice(None),) * 2 + (0,) * (5 - len(KINDS[name][1]))])


def test_one_sample_of_instance_norm() -> None:
    """(C, L): the channels are the first axis. PyTorch takes L."""
    lazy = tn.nn.LazyInstanceNorm1d()
    assert lazy(tn.randn(3, 5)).shape == (3, 5)
    assert lazy.num_features == 3


def test_linear_without_bias_of_any_rank() -> None:
    lazy = tn.nn.LazyLinear(2, bias=False)
    assert lazy(tn.randn(2, 3, 5)).shape == (2, 3, 2)
    assert lazy.weight.shape == (2, 5)
    assert lazy.bias is None


def test_hooks_a_model_and_an_optimizer_made_before(device: str) -> None:
    """The parameters stay the same objects; a step before there are any does nothing."""
    net = tn.nn.Sequential(tn.nn.LazyLinear(4), tn.nn.LazyBatchNorm1d(), tn.nn.ReLU(),
                           tn.nn.LazyLinear(2)).to(device).double()
    optimizer = tn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    optimizer.zero_grad()
    optimizer.step()
    seen: list[str] = []
    net[1].register_forward_hook(lambda module, args, y: seen.append(type(module).__name__))
    net[1].register_forward_pre_hook(lambda module, args: seen.append(type(module).__name__))
    for _ in range(2):
        net(tensor(np.random.default_rng(0).standard_normal((5, 3)), device)).sum().backward()
        before = [array(p).copy() for p in net.parameters()]
        optimizer.step()
    assert len(before) == 6
    assert all((array(p) != b).any() for p, b in zip(net.parameters(), before, strict=True))
    assert seen == ["LazyBatchNorm1d", "BatchNorm1d", "BatchNorm1d", "BatchNorm1d"]
    assert [type(m).__name__ for m in net.children()] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert {p.dtype for p in net.parameters()} == {np.dtype("float64")}
    assert {p.device.type for p in net.parameters()} == {device}


def test_the_first_gradient_is_there() -> None:
    lazy = tn.nn.LazyBatchNorm1d()
    lazy(tn.randn(4, 3)).square().sum().backward()
    assert lazy.bias.grad.shape == (3,)


@kinds
def test_frozen_before(name: str) -> None:
    lazy = make(name).double().requires_grad_(False)
    lazy(first(name))
    assert not any(p.requires_grad for p in lazy.parameters())
    assert lazy.requires_grad_().weight.requires_grad


# -- where there are no values yet -------------------------------------------------------------

USES: dict[str, Callable[[Any], Any]] = {
    "+": lambda p: p + 1,
    "shape": lambda p: p.shape,
    "numel": lambda p: p.numel(),
    "len": len,
    "sum": lambda p: p.sum(),
    "item": lambda p: p.item(),
    "numpy": lambda p: p.numpy(force=True),
    "copy_": lambda p: p.copy_(tn.ones(3)),
    "index": lambda p: p[0],
    "init": tn.nn.init.ones_,
    "linear": lambda p: tn.nn.functional.linear(tn.ones(2, 3), p),
    "batch_norm": lambda p: tn.nn.functional.batch_norm(tn.ones(2, 3), p, p),
    "stack": lambda p: tn.stack([p, p]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("which", ["weight", "running_mean"])
def test_a_use_before_the_first_input(use: Callable[[Any], Any], which: str) -> None:
    tensor = getattr(tn.nn.LazyBatchNorm1d(track_running_stats=True), which)
    with pytest.raises(UninitializedError) as caught:
        use(tensor)
    kind = "UninitializedParameter" if which == "weight" else "UninitializedBuffer"
    assert str(caught.value) == (
        f"{kind}: expected values, but a lazy layer has none, and no shape, before its first "
        "input; call the model on a batch first, or load a state dict")
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = tensor.nonsense


def test_the_tensors_by_themselves(device: str) -> None:
    for kind, plain in ((tn.nn.UninitializedParameter, tn.nn.Parameter),
                        (tn.nn.UninitializedBuffer, tn.nn.Buffer)):
        one = kind(device=device, dtype=tn.float64)
        assert (one.dtype, one.device.type) == (tn.float64, device)
        assert one.requires_grad == (plain is tn.nn.Parameter)
        assert one.is_floating_point()
        assert not kind(dtype="int64").is_floating_point()
        one.materialize((2, 3))
        assert type(one) is plain
        assert (one.shape, one.dtype, one.device.type) == ((2, 3), tn.float64, device)
        other = kind(False)
        other.materialize((1,), device=device, dtype="float16")
        assert (other.requires_grad, other.dtype, other.device.type) == (
            False, tn.float16, device)


WRONG: dict[str, Callable[[Any], Any]] = {
    "dtype": lambda x: x.float(), "int": lambda x: x.long(), "array": array,
    "none": lambda x: None, "number": lambda x: x.sum(),
    "one value": lambda x: x[(slice(1), slice(None), *[slice(1)] * (x.ndim - 2))],
}


@kinds
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_refused_input_leaves_the_layer_as_it_was(
    name: str, wrong: Callable[[Any], Any]
) -> None:
    lazy = make(name, dtype=tn.float64)
    held = [*lazy.parameters(), *lazy.buffers()]
    before = names(lazy)
    if name != "LazyLinear" or wrong is not WRONG["one value"]:
        with pytest.raises((ValueError, TypeError)):
            lazy(wrong(first(name)))
    assert type(lazy).__name__ == name
    assert names(lazy) == before
    assert lazy.has_uninitialized_params()
    lazy(first(name))
    assert type(lazy) is KINDS[name][0]
    assert all(one is other for one, other in zip(
        held, [*lazy.parameters(), *lazy.buffers()], strict=True))


@pytest.mark.parametrize(("name", "shape", "message"), [
    ("LazyBatchNorm2d", (4, 3), r"LazyBatchNorm2d: expected input \(N, C, H, W\), got \(4, 3\)"),
    ("LazyBatchNorm1d", (4,),
     r"LazyBatchNorm1d: expected input \(N, C\) or \(N, C, L\), got \(4,\)"),
    ("LazyInstanceNorm1d", (4,),
     r"LazyInstanceNorm1d: expected input \(N, C, L\) or \(C, L\), got \(4,\)"),
    ("LazyLinear", (), r"LazyLinear: expected input \(\*, in_features\), got \(\); the last axis"),
])
def test_what_a_wrong_shape_is_told(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name)(tn.ones(shape))
    with pytest.raises(TypeError, match=f"{name}: expected input to be a Tensor, got ndarray"):
        make(name)(np.ones(shape))


def test_what_a_subclass_holds_besides_is_left_alone() -> None:
    class Shifted(tn.nn.LazyBatchNorm1d):
        def __init__(self) -> None:
            super().__init__()
            self.shift = tn.nn.Parameter(tn.ones(2))

    lazy = Shifted()
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        lazy(x=tn.ones(1, 3))
    assert type(lazy) is Shifted
    assert lazy.shift.shape == (2,)
    lazy(x=tn.randn(4, 3))
    assert (type(lazy), lazy.num_features) == (tn.nn.BatchNorm1d, 3)
