"""Module: names and order, attributes, modes, hooks, text."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn


class Block(nn.Module):
    """Without super().__init__(), and with a buffer of each kind."""

    def __init__(self, size: int = 2) -> None:
        self.scale = nn.Parameter(tn.ones(size))
        self.register_buffer("count", tn.tensor(0))
        self.register_buffer("scratch", tn.zeros(1), persistent=False)
        self.register_parameter("bias", None)
        self.plain = tn.zeros(1)

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        return x * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.offset = nn.Parameter(tn.zeros(2))

    def forward(self, x: tn.Tensor, *, twice: bool = False) -> tn.Tensor:
        y = self.first(x)
        for block in self.blocks:
            y = block(y)
        return (y + self.offset) * (2 if twice else 1)


NAMES = ["offset", "first.weight", "first.bias", "blocks.0.scale", "blocks.1.scale"]


# -- names --------------------------------------------------------------------------------------


def test_names_are_dotted_own_ones_first_then_children_in_order() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == NAMES
    assert [n for n, _ in net.named_parameters(recurse=False)] == ["offset"]
    assert [n for n, _ in net.named_parameters(prefix="net")] == [f"net.{n}" for n in NAMES]
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert [n for n, _ in net.named_buffers()] == [
        f"blocks.{i}.{n}" for i in (0, 1) for n in ("count", "scratch")]
    assert len(list(net.buffers())) == 4
    assert [n for n, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1"]
    assert [n for n, _ in net.named_children()] == ["first", "blocks"]
    assert list(net.children()) == [net.first, net.blocks]
    assert next(iter(net.modules())) is net


def test_what_is_tied_comes_once_in_parameters_and_twice_in_the_state() -> None:
    net = Net()
    net.blocks[1].scale = net.blocks[0].scale
    net.again = net.first
    assert [n for n, _ in net.named_parameters()] == NAMES[:-1]
    assert "again" not in dict(net.named_modules())
    assert [n for n, _ in net.named_children()] == ["first", "blocks"]
    keys = list(net.state_dict())
    assert {"again.weight", "again.bias", "blocks.1.scale"} < set(keys)
    net(tn.ones(1, 3)).sum().backward()
    assert net.again.weight.grad is net.first.weight.grad


def test_deep_nesting_needs_no_recursion_for_parameters() -> None:
    net: nn.Module = nn.Linear(1, 1)
    for _ in range(3000):
        outer = nn.Module()
        outer.inner = net
        net = outer
    assert len(list(net.parameters())) == 2
    net.eval()
    while isinstance(inner := getattr(net, "inner", None), nn.Module):
        del net.inner  # taken apart from outside, as a deep one is not freed by one call
        net = inner


def test_get_submodule() -> None:
    net = Net()
    net.again = net.first
    assert net.get_submodule("") is net
    assert net.get_submodule("blocks.1") is net.blocks[1]
    assert net.get_submodule("again") is net.first
    with pytest.raises(AttributeError, match=re.escape(
            "Net has no submodule 'blocks.7': ModuleList has no '7'")):
        net.get_submodule("blocks.7")


# -- attributes ---------------------------------------------------------------------------------


def test_attributes_are_found_by_their_type() -> None:
    block = Block()
    assert isinstance(block.count, nn.Buffer)
    assert isinstance(block.plain, tn.Tensor)
    assert not isinstance(block.plain, nn.Buffer)
    block.count = block.count + 1  # a tensor in a buffer's place becomes the buffer
    assert isinstance(block.count, nn.Buffer)
    assert block.state_dict()["count"].item() == 1
    block.scratch = tn.ones(1)
    assert not block.scratch.persistent
    assert list(block.state_dict()) == ["scale", "count"]
    block.bias = nn.Parameter(tn.zeros(2))
    assert [n for n, _ in block.named_parameters()] == ["scale", "bias"]
    block.bias = None
    assert [n for n, _ in block.named_parameters()] == ["scale"]
    del block.scale
    assert not list(block.parameters())


def test_a_buffer_registered_as_none_becomes_one_when_set() -> None:
    for persistent in (True, False):
        module = nn.Module()
        module.register_buffer("mask", None, persistent=persistent)
        assert module.mask is None
        assert not module.state_dict()
        module.mask = tn.ones(2)
        assert isinstance(module.mask, nn.Buffer)
        assert list(module.state_dict()) == (["mask"] if persistent else [])


def test_a_buffer_keeps_its_place_in_the_graph() -> None:
    block = Block()
    x = tn.tensor(3.0, requires_grad=True)
    block.count = x * x
    (block.count * 2).backward()
    assert x.grad.item() == 12


def test_a_buffer_made_of_a_tensor_shares_its_memory_and_knows_of_writes() -> None:
    values = tn.ones(2)
    module = nn.Module()
    module.register_buffer("values", values)
    x = tn.ones(2, requires_grad=True)
    y = (x * module.values).sum()
    values += 1
    assert module.values.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()


ERRORS: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda m: setattr(m, "scale", tn.ones(2)), TypeError,
     "cannot assign Tensor as parameter 'scale': expected a Parameter or None; write into it"),
    (lambda m: m.register_parameter("w", tn.ones(2)), TypeError,
     "Parameter 'w': expected a Parameter or None, got Tensor"),
    (lambda m: m.register_buffer("b", [1.0]), TypeError,
     "Tensor 'b': expected a Tensor or None, got list"),
    (lambda m: m.register_module("m", 3), TypeError,
     "Module 'm': expected a Module or None, got int"),
    (lambda m: m.register_buffer("a.b", tn.ones(1)), KeyError, "expected one without a dot"),
    (lambda m: m.add_module("", nn.Identity()), KeyError, "expected one without a dot"),
    (lambda m: m.register_parameter("forward", None), KeyError,
     "attribute 'forward' already exists"),
    (lambda m: m.register_buffer(3, None), TypeError, "name: expected a string, got int"),
    (lambda m: m.train("yes"), ValueError, "train: expected a bool, got 'yes'"),
    (lambda m: m.to(tn.int64), TypeError, "Block.to: expected a floating dtype, got int64"),
    (lambda m: nn.Module()(1), NotImplementedError, "Module: define forward(self, ...)"),
    (lambda m: m.load_state_dict([1]), TypeError,
     "load_state_dict: expected a dict of tensors, got list"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[m[:40] for _, _, m in ERRORS])
def test_error(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call(Block())


# -- what is done to all of it ------------------------------------------------------------------


def test_modes() -> None:
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.blocks.train()
    assert [m.training for m in net.modules()] == [False, False, True, True, True]


def test_requires_grad_and_zero_grad() -> None:
    net = Net()
    assert net.requires_grad_(False) is net
    assert not net(tn.ones(1, 3)).requires_grad
    net.requires_grad_()
    net(tn.ones(1, 3)).sum().backward()
    held = net.offset.grad
    net.zero_grad(set_to_none=False)
    assert net.offset.grad.tolist() == [0, 0]
    assert held.tolist() == [0, 0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.zero_grad(set_to_none=False)


def test_apply_goes_children_first_in_order() -> None:
    net = Net()
    seen: list[nn.Module] = []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.blocks[0], net.blocks[1], net.blocks, net]


# -- calls and hooks ----------------------------------------------------------------------------


def test_calls_hand_on_arguments() -> None:
    net, x = Net(), tn.ones(1, 3)
    np.testing.assert_allclose(net(x, twice=True).detach().numpy(), 2 * net(x).detach().numpy())


def test_hooks_see_and_change() -> None:
    block, x = Block(), tn.ones(2)
    calls: list[Any] = []

    def before(module: nn.Module, args: Any) -> Any:
        calls.append(("before", module, args))
        return args[0] + 1

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        calls.append(("after", module, args, output))
        return output * 10

    first = block.register_forward_pre_hook(before)
    second = block.register_forward_hook(after)
    assert block(x).tolist() == [20, 20]
    assert calls[0] == ("before", block, (x,))
    assert calls[1][1] is block
    assert calls[1][2][0].tolist() == [2, 2]
    first.remove()
    assert block(x).tolist() == [10, 10]
    second.remove()
    second.remove()
    with block.register_forward_hook(lambda m, a, y: None):
        assert block(x).tolist() == [1, 1]
    with block.register_forward_pre_hook(lambda m, a: (a[0] * 3,)):
        assert block(x).tolist() == [3, 3]
    assert block(x).tolist() == [1, 1]
    assert "_forward_hooks" not in repr(block)


def test_a_hook_may_remove_itself() -> None:
    block = Block()
    handles: list[Any] = []
    handles.append(block.register_forward_hook(lambda *_: handles[0].remove()))
    block(tn.ones(2))
    assert not block._forward_hooks


def test_a_call_leaves_nothing_to_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        net = Net()
        alive = weakref.ref(net)
        net(tn.ones(1, 3)).sum().backward()
        del net
        assert alive() is None
    finally:
        gc.enable()


# -- text ---------------------------------------------------------------------------------------


def test_repr_shows_the_tree() -> None:
    assert repr(Net()) == """\
Net(
  (first): Linear(in_features=3, out_features=2, bias=True)
  (blocks): ModuleList(
    (0): Block()
    (1): Block()
  )
)"""

    class Named(nn.Sequential):
        def extra_repr(self) -> str:
            return "depth=1"

    assert repr(Named(nn.ReLU())) == "Named(\n  depth=1\n  (0): ReLU()\n)"
