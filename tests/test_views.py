"""Writes through views, as PyTorch means them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)


def _mul_row(y: Any, w: Any) -> Any:
    y[0] *= w
    return y


def _base_and_views(y: Any, w: Any) -> Any:
    row, column = y[0], y[:, 1]
    row *= w
    column += w[0]
    return y * row + column.sum()


def _base_and_views_told(y: Any, w: Any) -> Any:
    row = tn.stack([y[0, 0] * w[0], y[0, 1] * w[1] + w[0], y[0, 2] * w[2]])
    after = tn.stack([row, tn.stack([y[1, 0], y[1, 1] + w[0], y[1, 2]])])
    return after * row + after[:, 1].sum()


def _flat(y: Any, w: Any) -> Any:
    flat = y.view(6)
    y *= 2
    flat[2:4] = w[:2]
    return y * flat[0]


def _flat_told(y: Any, w: Any) -> Any:
    after = tn.cat([2 * y.reshape(6)[:2], w[:2], 2 * y.reshape(6)[4:]]).reshape(2, 3)
    return after * after[0, 0]


def _mask(y: Any, w: Any) -> Any:
    row = y[1]
    y[tn.tensor([[True, False, True], [False, True, False]], device=y.device)] = w[0]
    return y + row


def _mask_told(y: Any, w: Any) -> Any:
    after = tn.stack([tn.stack([w[0], y[0, 1], w[0]]), tn.stack([y[1, 0], w[0], y[1, 2]])])
    return after + after[1]


def _chunks(y: Any, w: Any) -> Any:
    left, right = y.chunk(2, 1)
    left *= right
    right.copy_(left[:, :1])
    return y * 1


def _chunks_told(y: Any, w: Any) -> Any:
    left = y[:, :2] * y[:, 2:]
    return tn.cat([left, left[:, :1]], 1)


def _constant(y: Any, w: Any) -> Any:
    d = tn.zeros(2, 3, dtype=tn.float64, device=y.device)
    row, turned = d[1], d.T
    d[1] += y[0]
    d[1] = row + w
    turned[0] *= y[:, 0]
    d[0] = d[1] * w
    return d * turned.T + row


def _constant_told(y: Any, w: Any) -> Any:
    row = y[0] + w
    row = tn.cat([row[:1] * y[1, 0], row[1:]])
    d = tn.stack([row * w, row])
    return d * d + row


def _a_view_of_views(y: Any, w: Any) -> Any:
    deep = y.unsqueeze(0).permute(2, 0, 1)[0, 0]
    deep.mul_(deep)
    y.add_(w[0])
    deep[1:].zero_()
    return y * deep.sum() + y


def _a_view_of_views_told(y: Any, w: Any) -> Any:
    column = (y[:, 0] ** 2 + w[0]) * tn.tensor([1.0, 0.0], dtype=tn.float64, device=y.device)
    after = tn.cat([column.reshape(2, 1), y[:, 1:] + w[0]], 1)
    return after * column.sum() + after


def _rows_in_a_loop(y: Any, w: Any) -> Any:
    for i in range(2):
        y[i] = y[i - 1] * w + y[i]
    return y


def _rows_in_a_loop_told(y: Any, w: Any) -> Any:
    first = y[1] * w + y[0]
    return tn.stack([first, first * w + y[1]])


def _detached(y: Any, w: Any) -> Any:
    seen = y.detach()
    y.T[1] *= w[:2]
    return y * seen


def _detached_told(y: Any, w: Any) -> Any:
    after = tn.stack([y[:, 0], y[:, 1] * w[:2], y[:, 2]], 1)
    return after * after.detach()


def _iteration(y: Any, w: Any) -> Any:
    for row in y:
        row *= w
    return y


VIEWS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "y[0] *= w": (_mul_row, lambda y, w: tn.stack([y[0] * w, y[1]])),
    "base and views": (_base_and_views, _base_and_views_told),
    "flat": (_flat, _flat_told),
    "y[mask] = w": (_mask, _mask_told),
    "chunk": (_chunks, _chunks_told),
    "constant": (_constant, _constant_told),
    "view of views": (_a_view_of_views, _a_view_of_views_told),
    "y[i] in a loop": (_rows_in_a_loop, _rows_in_a_loop_told),
    "detached": (_detached, _detached_told),
    "iteration": (_iteration, lambda y, w: y * w),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_recorded_write_through_a_view(name: str, device: str) -> None:
    """It is one into the base, other views see it; the gradients of order 1 to 3 are right."""
    results = []
    for way in VIEWS[name]:
        x = tn.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=tn.float64, device=device,
                      requires_grad=True)
        w = tn.tensor([0.5, 1.5, -2.0], dtype=tn.float64, device=device, requires_grad=True)
        y = x * x
        early = y.exp().mean() * y.sum()
        after = way(y, w)
        total = (after * after).sum() + early * after.sum()
        results.append([after])
        for _ in range(3):
            found = tn.autograd.grad(total, [x, w], create_graph=True, materialize_grads=True)
            results[-1] += found
            total = sum(((g * g).sum() for g in found), total * 0)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().cpu().numpy(), rtol=1e-11)


@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_view_stays_one_whatever_the_layout_of_the_result(layout: str) -> None:
    w = tn.tensor(np.ones((2, 3), order=layout), requires_grad=True)
    y = tn.zeros(2, 3, dtype=tn.float64)
    flat = y.view(6)
    y += w
    flat += 1
    assert y.tolist() == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize("index", [0, slice(1), (slice(None), 0), (..., 1), None, (0, 1)])
def test_an_operator_at_an_index_writes_once(index: Any) -> None:
    for recorded in (True, False):
        y = tn.ones(2, 2, requires_grad=recorded) * 1
        y[index] *= 3
        assert y.detach().sum().item() == 4 + 2 * y[index].numel()
        assert not recorded or y.grad_fn.next_functions[0][0].name() == "mul"
        y[index] = y[index]
        y[[0]] *= 2  # a copy is put back
        assert y[0].detach().max().item() >= 2


def test_a_bool_is_no_number_of_a_row() -> None:
    """y[True] is all of y, though True == 1."""
    for recorded in (True, False):
        y = tn.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=recorded) * 1
        y[True] = y[1]
        assert y.tolist() == [[3, 4], [3, 4]]


def test_views_that_are_gone_take_no_part() -> None:
    y = tn.ones(2, 2, requires_grad=True) * 1
    for _ in range(100):
        y.view(4)
    y *= 2
    assert not y.written[1]
    for i in range(100):
        y[i % 2] *= 1.5
    assert len(y.written[1]) < 50
    y.sum().backward()


def test_retained_and_older_gradients() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1
    first = y[:1]
    y.retain_grad()
    first.retain_grad()
    y *= 3
    (y.sum() + 5 * first.sum()).backward()
    assert (y.grad.tolist(), first.grad.tolist(), x.grad.tolist()) == ([6, 1], [5], [18, 3])


def test_a_view_of_a_leaf_is_not_written_to() -> None:
    x = leaf(1.0, 2.0)
    before = tn.ones(2)
    row = before[:1]
    before.requires_grad_()
    for view in (x[0], x.view(2, 1), x[:1].T, row):
        with pytest.raises(RuntimeError, match="mul_: a view of a leaf tensor that requires grad"):
            view *= 2
    with tn.no_grad():
        x[0] += 1
        row *= 4
    assert (x.tolist(), before.tolist()) == ([2, 2], [4, 1])


def test_memory_without_its_history_is_not_written_to_while_its_tensor_is_there() -> None:
    """And the advice of the error helps."""
    w = leaf(2.0)
    for make in (lambda y: y.detach(), lambda y: y.data[:1], lambda y: tn.no_grad(y.view)(2, 1)):
        y = leaf(1.0, 2.0) * 1
        part = make(y)
        with pytest.raises(RuntimeError, match=r"mul_: .* not its history .* into a clone\(\)"):
            part *= w
        clone = part.clone()
        clone *= w
        assert y.tolist() == [1, 2]
        del y
        part *= w  # nobody is left to be surprised
        part[:1] += 1
        assert part.requires_grad


@pytest.mark.parametrize("write", [
    lambda x: x.add_(1), lambda x: x.fill_(2), lambda x: x.__setitem__(0, 1), lambda x: x.zero_(),
    lambda x: x.__setitem__(..., x + 1),
])
def test_an_expanded_tensor_is_not_written_to(write: Any, device: str) -> None:
    x = tn.ones(1, device=device)
    for base in (x, x.clone().requires_grad_() * 1):
        with pytest.raises(RuntimeError, match="several elements of an expanded tensor share it"):
            write(base.expand(2))
    assert x.tolist() == [1]


def test_a_pickle_has_no_other_tensors_and_a_copy_shares_the_memory() -> None:
    p = tn.nn.Parameter(tn.ones(3))
    w = leaf(2.0)
    view = p[:2]
    again, part = pickle.loads(pickle.dumps((p, view.detach())))
    assert (again.tolist(), part.tolist(), again.requires_grad) == ([1, 1, 1], [1, 1], True)
    part *= w
    assert (again.tolist(), part.tolist()) == ([1, 1, 1], [2, 2])
    base = leaf(1.0, 2.0) * 1
    same, own = copy.copy(base[:1]), copy.deepcopy(base.detach()[:1])
    same *= w
    own *= w
    assert (base.tolist(), same.tolist(), own.tolist()) == ([2, 2], [2], [2])
    base += 1
    assert (same.tolist(), own.tolist()) == ([3], [2])
