"""Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn


def three() -> list[nn.Module]:
    return [nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]


def names(module: nn.Module) -> list[str]:
    return [n for n, _ in module.named_children()]


def test_sequential_runs_its_modules_in_order() -> None:
    a, b, c = three()
    net = nn.Sequential(a, b, c)
    x = tn.ones(4, 2)
    assert net(x).tolist() == c(b(a(x))).tolist()
    assert nn.Sequential()(x) is x
    assert names(net) == ["0", "1", "2"]


@pytest.mark.parametrize("kind", [OrderedDict, dict])
def test_sequential_of_named_modules(kind: Any) -> None:
    a, b, c = three()
    net = nn.Sequential(kind([("in", a), ("act", b), ("out", c)]))
    assert names(net) == ["in", "act", "out"]
    assert net.act is b
    assert net[2] is c
    assert names(net[1:]) == ["act", "out"]
    assert list(net.state_dict()) == ["in.weight", "in.bias", "out.weight", "out.bias"]


@pytest.mark.parametrize("kind", [lambda modules: nn.Sequential(*modules), nn.ModuleList])
def test_containers_are_lists(kind: Any) -> None:
    modules = three()
    box = kind(modules)
    assert len(box) == 3
    assert list(box) == modules
    assert (box[0], box[-1]) == (modules[0], modules[2])
    part = box[1:]
    assert type(part) is type(box)
    assert list(part) == modules[1:]
    assert list(box[::-1]) == modules[::-1]
    assert modules[1] in box
    assert nn.ReLU() not in box

    extra = nn.Tanh()
    assert box.append(extra) is box
    assert names(box) == ["0", "1", "2", "3"]
    assert box.extend([nn.SiLU()]) is box
    box.insert(0, first := nn.Identity())
    assert box[0] is first
    assert names(box) == [str(i) for i in range(6)]
    changed = nn.Linear(2, 3)
    box[1] = changed
    assert list(box)[1] is changed
    del box[0]
    assert list(box)[:3] == [changed, *modules[1:]]
    del box[-2:]
    assert names(box) == ["0", "1", "2"]
    assert box.pop() is modules[2]
    box += [modules[2]]
    both = box + [extra]  # noqa: RUF005 (the operator is under test)
    assert (len(box), len(both)) == (3, 4)
    assert type(both) is type(box)


def test_extending_a_container_by_itself_ends() -> None:
    box = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    assert len(box.extend(box)) == 4


def test_sequential_part_shares_its_modules() -> None:
    net = nn.Sequential(*three())
    assert net[2:][0].weight is net[2].weight


def test_module_dict() -> None:
    box = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Linear(1, 1)})
    assert list(box) == list(box.keys()) == ["b", "a"]
    assert len(box) == 2
    assert "a" in box
    assert "weight" not in box
    box["c"] = last = nn.Tanh()
    assert list(box.values())[-1] is last
    assert dict(box.items())["c"] is box["c"]
    assert list(box.state_dict()) == ["a.weight", "a.bias"]
    assert box.pop("c") is last
    del box["b"]
    box.update([("d", nn.ReLU())])
    assert list(box) == ["a", "d"]
    box.clear()
    assert len(box) == 0
    assert len(nn.ModuleDict()) == 0
    assert len(nn.ModuleDict([("x", nn.ReLU())])) == 1


def test_a_subclass_of_sequential_slices_and_holds_more() -> None:
    class Net(nn.Sequential):
        pass

    net = Net(*three())
    assert type(net[:1]) is Net
    net.training_steps = 3  # an attribute that is no module is not run
    assert net(tn.ones(1, 2)).shape == (1, 1)
