"""Hooks and retained gradients."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import DeviceError, DtypeError, ShapeError


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def scalar(value: float) -> tn.Tensor:
    return tn.tensor(value, dtype=tn.float64, requires_grad=True)

def test_a_hook_on_a_leaf() -> None:
    x = scalar(3.0)
    seen: list[float] = []
    handle = x.register_hook(lambda g: seen.append(g.item()))
    doubled = x.register_hook(lambda g: g * 2)
    (x * x + x).backward()
    assert seen == [7], "once, with the sum of both ways"
    assert x.grad.item() == 14
    assert tn.autograd.grad(x * x, x)[0].item() == 12
    handle.remove()
    doubled.remove()
    doubled.remove()
    x.grad = None
    (x * x).backward()
    assert x.grad.item() == 6
    assert seen == [7, 6]
    with x.register_hook(lambda g: g * 0):
        assert tn.autograd.grad(x * x, x)[0].item() == 0
    assert tn.autograd.grad(x * x, x)[0].item() == 6


def test_a_hook_in_the_middle() -> None:
    x = scalar(3.0)
    y = x * x
    handle = y.register_hook(lambda g: g * 10)
    z = y * 2 + y
    z.backward(retain_graph=True)
    assert x.grad.item() == 3 * 10 * 6
    handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.item() == 18


def test_a_hook_is_differentiated_with_create_graph() -> None:
    x = scalar(2.0)
    y = x * x
    with y.register_hook(lambda g: g * y):
        (dx,) = tn.autograd.grad(y, x, create_graph=True)  # x² · 2x
    assert dx.item() == 16
    assert tn.autograd.grad(dx, x)[0].item() == 6 * 4


def test_bad_hooks() -> None:
    with pytest.raises(RuntimeError, match="can't register a hook on a tensor that doesn't"):
        tn.ones(2).register_hook(print)
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match=r"hook: expected a gradient of shape \(2,\), got \(\)"), \
            x.register_hook(lambda g: g.sum()):
        x.sum().backward()
    with pytest.raises(TypeError, match="hook: expected a Tensor or None, got float"), \
            x.register_hook(lambda g: 1.0):
        x.sum().backward()
    for y in (x, x * 2):  # in the middle too
        with pytest.raises(DtypeError, match="hook: expected a gradient of float64, got float32"), \
                y.register_hook(lambda g: g.float()):
            y.sum().backward()
        with pytest.raises(DeviceError, match="hook: expected a gradient on cpu, got strict"), \
                y.register_hook(lambda g: g.to("strict")):
            y.sum().backward()
    assert x.grad is None


def test_retain_grad() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.retain_grad()
    y.retain_grad()
    (y * 3).sum().backward(retain_graph=False)
    assert y.grad.tolist() == [3, 3]
    assert x.grad.tolist() == [6, 12]
    assert not np.shares_memory(y.grad.array, x.grad.array)
    x.retain_grad()  # a leaf keeps its gradient anyway
    z = x * 2
    z.register_hook(lambda g: g * 5)
    z.retain_grad()
    z.sum().backward()
    assert z.grad.tolist() == [5, 5]
    with pytest.raises(RuntimeError, match="can't retain_grad on a tensor without requires_grad"):
        tn.ones(2).retain_grad()


def test_retain_grad_does_not_keep_the_tensor() -> None:
    x = leaf(1.0)
    y = x * 2
    y.retain_grad()
    z = y.sum()
    alive = weakref.ref(y)
    del y
    assert alive() is None
    z.backward()


def test_retain_grad_follows_a_write() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    y.retain_grad()
    y *= 10
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]
    assert x.grad.tolist() == [20, 40]
