"""The state of a module, out and in; its dtypes and devices; copies of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_module import Net

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.array import to_numpy

# -- state --------------------------------------------------------------------------------------


def test_state_goes_out_and_in_and_shares_memory() -> None:
    a, b = Net(), Net()
    result = b.load_state_dict(a.state_dict())
    assert result == ([], [])
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    for key, value in a.state_dict().items():
        assert not value.requires_grad
        np.testing.assert_array_equal(value.numpy(), b.state_dict()[key].numpy())
    before = list(b.parameters())
    state = b.state_dict()
    state["offset"] += 1
    assert b.offset.tolist() == [1, 1]
    assert all(x is y for x, y in zip(before, b.parameters(), strict=True))


def test_loading_takes_arrays_and_other_dtypes_and_devices(device: str) -> None:
    net = nn.Linear(2, 2).to(device)
    net.load_state_dict({"weight": np.array([[1.0, 2], [3, 4]]), "bias": tn.tensor([5, 6])})
    assert net.weight.dtype == tn.float32
    assert to_numpy(net.weight.array).tolist() == [[1, 2], [3, 4]]
    assert to_numpy(net.bias.array).tolist() == [5, 6]
    assert net.bias.device.type == device


def test_loading_what_does_not_fit_lists_everything_and_changes_nothing() -> None:
    net = Net()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state: dict[str, Any] = {k: v + 1 for k, v in net.state_dict().items()}
    del state["first.bias"], state["blocks.0.scale"]
    state.update({"offset": tn.zeros(3), "head.weight": tn.zeros(1), "blocks.1.scale": "x",
                  "first.weight": np.array([[object()] * 3] * 2)})
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    for line in (
        "Error(s) in loading state_dict for Net:",
        "size mismatch for offset: expected (2,), got (3,)",
        "blocks.1.scale: expected a tensor or an array, got str",
        "first.weight: expected a tensor or an array, got ndarray of object",
        "Missing key(s) in state_dict: first.bias, blocks.0.scale",
        "Unexpected key(s) in state_dict: head.weight",
    ):
        assert line in message
    for key, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_loading_leniently_reports_and_still_refuses_wrong_shapes() -> None:
    net = nn.Linear(2, 1)
    result = net.load_state_dict({"bias": tn.ones(1), "extra": tn.ones(1)}, strict=False)
    assert result == (["weight"], ["extra"])
    assert net.bias.item() == 1
    with pytest.raises(RuntimeError, match="size mismatch for bias"):
        net.load_state_dict({"bias": tn.ones(2)}, strict=False)


def test_loading_after_a_forward_makes_its_backward_an_error() -> None:
    net = nn.Linear(2, 2)
    y = net(tn.ones(1, 2, requires_grad=True)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()


def test_a_prefix_stands_as_it_is() -> None:
    assert list(nn.Linear(1, 1).state_dict(prefix="a.")) == ["a.weight", "a.bias"]


# -- dtypes, devices, copies --------------------------------------------------------------------
@pytest.mark.parametrize(("method", "dtype"), [
    (lambda m: m.double(), "float64"), (lambda m: m.half(), "float16"),
    (lambda m: m.double().float(), "float32"), (lambda m: m.to("float64"), "float64"),
    (lambda m: m.to(tn.float16), "float16"), (lambda m: m.to(dtype=tn.float64), "float64"),
    (lambda m: m.to(tn.zeros(1).double()), "float64"),
])
def test_dtypes(method: Callable[[Any], Any], dtype: str) -> None:
    """The objects stay, gradients go along, integers stay integers."""
    net = Net()
    net(tn.ones(1, 3)).sum().backward()
    before = list(net.parameters())
    assert method(net) is net
    assert all(x is y for x, y in zip(before, net.parameters(), strict=True))
    assert {str(p.dtype) for p in net.parameters()} == {dtype}
    assert {str(p.grad.dtype) for p in net.parameters()} == {dtype}
    assert str(net.blocks[0].scratch.dtype) == dtype
    assert net.blocks[0].count.dtype == tn.int64
    assert net(tn.ones(1, 3, dtype=dtype)).dtype == dtype


def test_devices(device: str) -> None:
    net = Net().to(device)
    assert {p.device.type for p in [*net.parameters(), *net.buffers()]} == {device}
    y = net(tn.ones(2, 3, device=device))
    y.sum().backward()
    assert {p.grad.device.type for p in net.parameters()} == {device}
    net.cpu()
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    assert {p.grad.device.type for p in net.parameters()} == {"cpu"}
    assert Net().to(device, tn.float64).offset.dtype == tn.float64


def test_a_device_that_is_not_there() -> None:
    if tn.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(tn.errors.DeviceError, match="cuda"):
        nn.Linear(1, 1).cuda()


def test_a_deep_copy_is_independent_and_keeps_what_is_tied() -> None:
    net = Net()
    net.blocks[1].scale = net.blocks[0].scale
    net(tn.ones(1, 3)).sum().backward()
    other = copy.deepcopy(net)
    assert other.blocks[1].scale is other.blocks[0].scale
    assert isinstance(other.offset, nn.Parameter)
    assert other.offset.requires_grad
    np.testing.assert_array_equal(other.offset.grad.numpy(), net.offset.grad.numpy())
    assert list(other.state_dict()) == list(net.state_dict())  # buffers stay persistent, or not
    with tn.no_grad():
        other.offset += 1
        other.blocks[0].count += 1
    assert net.offset.tolist() == [0, 0]
    assert net.blocks[0].count.item() == 0
