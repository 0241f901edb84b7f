"""Writes in place: an error where a gradient would be wrong, else the right gradient."""

from __future__ import annotations

import functools
import operator
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)

STALE = r"a tensor that its gradient needs was modified by an inplace operation"


def _optimizer_like(x: Any) -> None:
    from tinygrad_norm.autograd.graph import tick

    x.array[...] = 0
    x.written[0] = tick()


WRITES: dict[str, Callable[[Any], Any]] = {
    "+=": lambda x: x.__iadd__(1),
    "-=": lambda x: x.__isub__(1),
    "*=": lambda x: x.__imul__(2),
    "/=": lambda x: x.__itruediv__(2),
    "x[0] = 1": lambda x: x.__setitem__(0, 1),
    "x[...] = y": lambda x: x.__setitem__(..., tn.zeros(2)),
    "x[mask] = 0": lambda x: x.__setitem__(x > 0, 0),
    "add_": lambda x: x.add_(1, alpha=2),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(3),
    "div_": lambda x: x.div_(3),
    "clamp_": lambda x: x.clamp_(min=5),
    "copy_": lambda x: x.copy_(tn.zeros(2)),
    "fill_": lambda x: x.fill_(7),
    "zero_": lambda x: x.zero_(),
    "view": lambda x: x[0].fill_(1),
    "view of a view": lambda x: x.view(2, 1)[0].mul_(4),
    "transpose": lambda x: x.T.add_(1),
    "data": lambda x: x.data.zero_(),
    "detach": lambda x: x.detach().zero_(),
    "optimizer": _optimizer_like,
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_stale_saved_value_is_an_error(write: str, create_graph: bool) -> None:
    """exp keeps its output, square its input, mul both: none may change before backward."""
    w = leaf(3.0, 4.0)
    for keep in (lambda x: x.square(), lambda x: x * w, lambda x: x.view(2, 1).square()):
        x = leaf(1.0, 2.0)
        y = keep(x)
        with tn.no_grad():
            WRITES[write](x)
        with pytest.raises(RuntimeError, match=STALE):
            tn.autograd.grad(y.sum(), x, create_graph=create_graph)
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y * 3
    with tn.no_grad():
        WRITES[write](y)
    with pytest.raises(RuntimeError, match="exp: " + STALE):
        tn.autograd.grad(z.sum(), x, create_graph=create_graph)


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_no_gradient_minds(write: str) -> None:
    x = leaf(1.0, 2.0)
    y = x + 1
    z = y * 3
    with tn.no_grad():
        WRITES[write](y)
    z.sum().backward()
    assert x.grad.tolist() == [3, 3]
    with tn.no_grad():
        WRITES[write](x)  # and afterwards the leaf is used with its new value
    x.grad = None
    x.square().sum().backward()
    assert x.grad.tolist() == (2 * x.detach()).tolist()


def test_a_constant_that_was_saved_may_not_change_either() -> None:
    x, c = leaf(1.0, 2.0), tn.ones(2, dtype=tn.float64)
    index, mask = tn.tensor([0, 0]), tn.tensor([True, False])
    for y, change in ((x * c, c), (tn.where(mask, x, c), mask), (x.gather(0, index), index)):
        change.zero_()
        with pytest.raises(RuntimeError, match=STALE):
            y.sum().backward()
    indices = x.max(0)
    indices.indices.zero_()
    with pytest.raises(RuntimeError, match=STALE):
        indices.values.backward()


def test_an_index_is_kept_as_it_was() -> None:
    for index in (tn.tensor([0, 0]), np.array([0, 0]), [0, 0]):
        x = leaf(1.0, 2.0)
        y = x[index]
        index[0] = 1
        y.sum().backward()
        assert x.grad.tolist() == [2, 0]


def test_setting_data_leaves_the_graph_its_old_value() -> None:
    x = leaf(1.0, 2.0)
    y = x.square()
    x.data = tn.tensor([10.0, 20.0], dtype=tn.float64)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match=STALE):  # 2x would be made of the new x
        tn.autograd.grad(y.sum(), x, create_graph=True)
    other = tn.zeros(2, dtype=tn.float64)
    x.data = other
    y = x.square()
    other += 1  # the same memory
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_a_tensor_around_a_tensor_shares_its_memory() -> None:
    base = tn.ones(2)
    w = tn.nn.Parameter(base)
    y = w.square()
    base += 1
    assert w.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match=STALE):
        y.sum().backward()


def test_a_leaf_that_requires_grad_is_not_written_to() -> None:
    for write in ("+=", "x[0] = 1", "copy_", "zero_", "mul_"):
        with pytest.raises(RuntimeError, match="a leaf tensor that requires grad is being used in "
                                               "an in-place operation"):
            WRITES[write](leaf(1.0, 2.0))
    x = leaf(1.0, 2.0)
    with tn.no_grad():
        x -= 0.5
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [0.5, 1.5]


RECORDED: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "+=": (lambda y, w: y.__iadd__(w), lambda y, w: y + w),
    "-=": (lambda y, w: y.__isub__(w), lambda y, w: y - w),
    "*=": (lambda y, w: y.__imul__(w), lambda y, w: y * w),
    "/=": (lambda y, w: y.__itruediv__(w), lambda y, w: y / w),
    "mul_ itself": (lambda y, w: y.mul_(y), lambda y, w: y * y),
    "clamp_": (lambda y, w: y.clamp_(2, 5), lambda y, w: y.clamp(2, 5)),
    "y[0] = w[1]": (lambda y, w: y.__setitem__(0, w[1]), lambda y, w: tn.stack([w[1], y[1], y[2]])),
    "y[1:] = w": (lambda y, w: y.__setitem__(slice(1, None), w[:2] * w[:2]),
                  lambda y, w: tn.cat([y[:1], w[:2] ** 2])),
    "y[mask] = 0": (lambda y, w: y.__setitem__(tn.tensor([True, False, True]), 0),
                    lambda y, w: y * tn.tensor([0.0, 1.0, 0.0])),
    "y[index] = w": (lambda y, w: y.__setitem__(tn.tensor([2, 0]), w[:2]),
                     lambda y, w: tn.stack([w[1], y[1], w[0]])),
    "y[index] = w twice": (lambda y, w: y.__setitem__(tn.tensor([1, 1]), w[:2]),
                           lambda y, w: tn.stack([y[0], w[1], y[2]])),
    "y[True, 1] *= y[True, 2]": (lambda y, w: y.__setitem__((True, 1), y[True, 1] * y[True, 2]),
                                 lambda y, w: tn.stack([y[0], y[1] * y[2], y[2]])),
    "copy_": (lambda y, w: y.copy_(w), lambda y, w: w * 1),
    "fill_": (lambda y, w: y.fill_(w[0]), lambda y, w: w[0].expand(3)),
    "zero_": (lambda y, w: y.zero_(), lambda y, w: y * 0),
    "add_ its sum": (lambda y, w: y.add_(y.sum()), lambda y, w: y + y.sum()),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_write_has_the_right_gradients(name: str) -> None:
    """At first and second order, and earlier uses keep the value that they saw."""
    write, formula = RECORDED[name]
    results = []
    for in_place in (True, False):
        x, w = leaf(1.0, 2.0, 3.0), leaf(1.5, 2.5, 3.5)
        y = x * x
        early = y.exp() * y
        if in_place:
            write(y, w)
            after = y
        else:
            after = formula(y, w)
        total = ((after * after).sum() + early.sum()) * after.sum()
        first = tn.autograd.grad(total, [x, w], create_graph=True, materialize_grads=True)
        second = tn.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), [x, w],
                                  allow_unused=True, materialize_grads=True)
        results.append([after, *first, *second])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)


def test_a_write_makes_a_constant_part_of_the_graph() -> None:
    w = leaf(1.0, 2.0)
    y = tn.zeros(3, dtype=tn.float64)
    y[1:] = w
    y += 1
    assert y.requires_grad
    (y * y).sum().backward()
    assert w.grad.tolist() == [4, 6]


OPERATORS: dict[str, tuple[Callable[[Any, Any], Any], Any, Any, Any]] = {
    "**=": (operator.ipow, [2.0, 3.0], 2, [4.0, 9.0]),
    "&=": (operator.iand, [True, False], [True, True], [True, False]),
    "|=": (operator.ior, [True, False], [False, False], [True, False]),
    "^=": (operator.ixor, [True, False], [True, True], [False, True]),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_with_an_equals_sign_writes_in_place(name: str) -> None:
    function, before, other, after = OPERATORS[name]
    other = tn.tensor(other) if isinstance(other, list) else other
    for no_grad in (False, True):
        x = tn.tensor([before, before])
        alias, row = x, x[0]
        with tn.set_grad_enabled(not no_grad):
            row = function(row, other)
        assert row.tolist() == after
        assert alias.tolist() == [after, before]
    if x.is_floating_point():
        y = leaf(*before) * 1
        alias = y
        y = function(y, other)
        assert alias is y
        (grad,) = tn.autograd.grad(y.sum(), y)
        assert grad.tolist() == [1] * len(before)


def test_writes_that_do_not_fit() -> None:
    y = tn.ones(3)
    with pytest.raises(RuntimeError, match=r"add_: the result has shape \(2, 3\) and does not fit"):
        y += tn.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"result type float32 can't be cast to int64 in place"):
        tn.arange(3).mul_(1.5)
    with pytest.raises(RuntimeError, match=r"result type int64 can't be cast to bool in place"):
        tn.tensor([True]).add_(1)
    with pytest.raises(RuntimeError, match=r"several elements of an expanded tensor share it; "
                                           r"write into a clone"):
        tn.ones(1).expand(3).add_(1)
    with pytest.raises(RuntimeError, match=r"setitem: .* shapes \(3,\), \(2,\)"):
        y[:] = tn.ones(2)
    with pytest.raises(IndexError, match="setitem"):
        y[5] = 1
    assert y.tolist() == [1, 1, 1]
    y.add_(tn.ones(3, dtype=tn.float64))
    assert y.dtype == tn.float32


def test_a_recorded_write_after_a_view_that_is_gone() -> None:
    """A look at a part, or the part itself computed anew, leaves nothing that could be stale."""
    x = tn.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=tn.float64, requires_grad=True)
    y = x * 1
    assert y[0].detach().sum().item() == 3
    y[0] = y[0] * 5
    y += y.detach().sum().item()
    (y * y).sum().backward()
    assert (y.detach() - tn.tensor([[27.0, 32.0], [25.0, 26.0]], dtype=tn.float64)).abs().sum() == 0
    assert x.grad.tolist() == [[270.0, 320.0], [50.0, 52.0]]


def test_what_was_written_in_another_process_is_not_newer_than_a_graph_here() -> None:
    """A pickled tensor brings no time of another clock along."""
    code = """if True:
        import pickle, sys
        import tinygrad_norm as tn
        p = tn.nn.Parameter(tn.ones(3))
        if sys.argv[1] == "write":
            with tn.no_grad():
                for _ in range(50):
                    p.add_(1)
            sys.stdout.buffer.write(pickle.dumps(p))
        else:
            p = pickle.load(sys.stdin.buffer)
            (p * p).sum().backward()
            assert p.grad.tolist() == [102.0] * 3
    """
    run = functools.partial(subprocess.run, capture_output=True, check=True)
    written = run([sys.executable, "-c", code, "write"]).stdout
    run([sys.executable, "-c", code, "read"], input=written)
