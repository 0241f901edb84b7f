"""What raises in PyTorch raises here, in the same class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn

torch = pytest.importorskip("torch")

X = (2, 3)


def _expanded(m: Any) -> Any:
    x = m.ones(3, requires_grad=True)
    x.grad = m.ones(1).expand(3)
    return x


ERRORS: dict[str, Callable[[Any], Any]] = {
    "add": lambda m: m.ones(2, 3) + m.ones(4),
    "add inplace": lambda m: m.ones(3).add_(m.ones(2, 3)),
    "add string": lambda m: m.ones(3) + "a",
    "add none": lambda m: m.ones(3) + None,
    "and floats": lambda m: m.ones(3) & m.ones(3),
    "argmax dim": lambda m: m.ones(X).argmax(5),
    "arange step": lambda m: m.arange(0, 3, -1),
    "arange zero": lambda m: m.arange(0, 3, 0),
    "backward vector": lambda m: (m.ones(3, requires_grad=True) * 2).backward(),
    "backward none": lambda m: m.ones(()).backward(),
    "bmm": lambda m: m.ones(2, 3, 4).bmm(m.ones(3, 4, 2)),
    "bmm rank": lambda m: m.ones(2, 3).bmm(m.ones(3, 4)),
    "bool": lambda m: bool(m.ones(3)),
    "cat": lambda m: m.cat([m.ones(2, 3), m.ones(2, 4)]),
    "cat dim": lambda m: m.cat([m.ones(2, 3), m.ones(2, 3)], dim=2),
    "cat nothing": lambda m: m.cat([]),
    "cat tensor": lambda m: m.cat(m.ones(2, 3)),
    "cat numbers": lambda m: m.cat([1, 2]),
    "clamp": lambda m: m.ones(3).clamp(),
    "cumsum dim": lambda m: m.ones(X).cumsum(2),
    "deepcopy": lambda m: __import__("copy").deepcopy(m.ones(3, requires_grad=True) * 2),
    "dot": lambda m: m.ones(2).dot(m.ones(3)),
    "einsum shape": lambda m: m.einsum("ij,jk->ik", m.ones(2, 3), m.ones(4, 2)),
    "einsum count": lambda m: m.einsum("ij,jk->ik", m.ones(2, 3)),
    "einsum letters": lambda m: m.einsum("ijk->i", m.ones(2, 3)),
    "einsum output": lambda m: m.einsum("ij->k", m.ones(2, 3)),
    "expand": lambda m: m.ones(2, 3).expand(2, 4),
    "expand fewer": lambda m: m.ones(2, 3).expand(3),
    "expand -1": lambda m: m.ones(3).expand(-1, 3),
    "flatten": lambda m: m.ones(X).flatten(1, 0),
    "flip": lambda m: m.ones(X).flip(2),
    "gather": lambda m: m.ones(X).gather(1, m.tensor([1])),
    "gather index": lambda m: m.ones(X).gather(1, m.tensor([[3]])),
    "grad unused": lambda m: m.autograd.grad(m.ones((), requires_grad=True) * 2,
                                             m.ones((), requires_grad=True)),
    "grad of constant": lambda m: m.autograd.grad(m.ones((), requires_grad=True), m.ones(())),
    "index": lambda m: m.ones(X)[2],
    "index float": lambda m: m.ones(X)[1.5],
    "index float tensor": lambda m: m.ones(X)[m.tensor([0.5])],
    "index many": lambda m: m.ones(X)[0, 0, 0],
    "index mask": lambda m: m.ones(X)[m.tensor([True, False, True])],
    "index tensor": lambda m: m.ones(X)[m.tensor([3])],
    "item": lambda m: m.ones(3).item(),
    "iterate": lambda m: iter(m.ones(())),
    "len": lambda m: len(m.ones(())),
    "matmul": lambda m: m.ones(2, 3) @ m.ones(2, 3),
    "matmul 0-dim": lambda m: m.ones(2, 3) @ m.ones(()),
    "matmul dtypes": lambda m: m.ones(2, 3) @ "a",
    "max dim": lambda m: m.ones(X).max(2),
    "max empty": lambda m: m.zeros(0).max(),
    "max empty dim": lambda m: m.zeros(0, 3).max(0),
    "argmax empty": lambda m: m.zeros(0).argmax(),
    "amax empty": lambda m: m.zeros(0, 3).amax(0),
    "mean int": lambda m: m.arange(3).mean(),
    "mm": lambda m: m.ones(2, 3).mm(m.ones(2, 3)),
    "mm rank": lambda m: m.ones(3).mm(m.ones(3, 2)),
    "negative size": lambda m: m.zeros(-1),
    "numpy grad": lambda m: m.ones(3, requires_grad=True).numpy(),
    "ones like": lambda m: m.ones_like([1, 2]),
    "permute": lambda m: m.ones(X).permute(0, 0),
    "permute few": lambda m: m.ones(X).permute(0),
    "permute range": lambda m: m.ones(X).permute(0, 2),
    "power": lambda m: m.arange(3) ** -1,
    "rand negative": lambda m: m.rand(-1),
    "eye negative": lambda m: m.eye(-1),
    "linspace negative": lambda m: m.linspace(0, 1, -1),
    "randint": lambda m: m.randint(3, 3, (2,)),
    "ragged": lambda m: m.tensor([[1, 2], [3]]),
    "requires grad": lambda m: m.arange(3).requires_grad_(),
    "requires grad at once": lambda m: m.tensor([1, 2], requires_grad=True),
    "requires grad of result": lambda m: (m.ones(3, requires_grad=True) * 2).requires_grad_(False),
    "reshape": lambda m: m.ones(X).reshape(4),
    "reshape -1": lambda m: m.ones(X).reshape(4, -1),
    "reshape two -1": lambda m: m.ones(X).reshape(-1, -1),
    "setitem": lambda m: m.ones(X).__setitem__(0, m.ones(2)),
    "setitem index": lambda m: m.ones(X).__setitem__(2, 1.0),
    "setitem leaf": lambda m: m.ones(3, requires_grad=True).__setitem__(0, 1.0),
    "size": lambda m: m.ones(X).size(2),
    "softmax dim": lambda m: m.ones(X).softmax(2),
    "softmax int": lambda m: m.arange(3).softmax(0),
    "split": lambda m: m.ones(5).split([2, 2]),
    "squeeze": lambda m: m.ones(X).squeeze(2),
    "stack": lambda m: m.stack([m.ones(2), m.ones(3)]),
    "stack dim": lambda m: m.stack([m.ones(2), m.ones(2)], dim=2),
    "stack nothing": lambda m: m.stack([]),
    "string": lambda m: m.tensor("abc"),
    "sub bools": lambda m: m.tensor([True]) - m.tensor([True]),
    "neg bool": lambda m: -m.tensor([True]),
    "sum dim": lambda m: m.ones(X).sum(2),
    "sum dim twice": lambda m: m.ones(X).sum((0, 0)),
    "t": lambda m: m.ones(2, 3, 4).t(),
    "transpose": lambda m: m.ones(X).transpose(0, 2),
    "unsqueeze": lambda m: m.ones(X).unsqueeze(4),
    "var dim": lambda m: m.ones(X).var(2),
    "var int": lambda m: m.arange(3).var(),
    "view": lambda m: m.ones(X).t().view(6),
    "view shape": lambda m: m.ones(X).view(4),
    "where dtype": lambda m: m.where(m.ones(3), m.ones(3), m.ones(3)),
    "where shape": lambda m: m.where(m.ones(3) > 0, m.ones(2), m.ones(3)),
    "iadd leaf": lambda m: m.ones(3, requires_grad=True).add_(1),
    "iadd int": lambda m: m.arange(3).add_(1.5),
    "iadd expanded": lambda m: m.ones(1).expand(3).add_(1),
    "wrong gradient": lambda m: (m.ones(3, requires_grad=True) * 2).backward(m.ones(2)),
    "retain constant": lambda m: m.ones(3).retain_grad(),
    "hook constant": lambda m: m.ones(3).register_hook(print),
    "grad shape": lambda m: setattr(m.ones(3), "grad", m.ones(2)),
    "grad type": lambda m: setattr(m.ones(3), "grad", 1.0),
    "grad dtype": lambda m: setattr(m.ones(3), "grad", m.ones(3).double()),
    "data type": lambda m: setattr(m.ones(3), "data", 1.0),
    "dtype": lambda m: m.zeros(3, dtype="nothing"),
    "device": lambda m: m.zeros(3, device="nowhere"),
    "from_numpy": lambda m: m.from_numpy([1, 2]),
    "ints by zero": lambda m: m.arange(3) // m.tensor([1, 0, 2]),
    "ints by 0": lambda m: m.arange(3) % 0,
    "number by zero": lambda m: 1 // m.arange(3),
    "fmod by zero": lambda m: m.fmod(m.arange(3), 0),
    "trunc by zero": lambda m: m.div(m.arange(3), 0, rounding_mode="trunc"),
    "bools by bools": lambda m: m.tensor([True]) // m.tensor([True]),
    "rounding mode": lambda m: m.ones(3).div(2, rounding_mode="round"),
    "shift of floats": lambda m: m.ones(3) << 1,
    "split 0": lambda m: m.ones(3).split(0),
    "split negative": lambda m: m.ones(3).split(-1),
    "chunk 0": lambda m: m.ones(3).chunk(0),
    "prod dim": lambda m: m.ones(X).prod(2),
    "prod 0-dim": lambda m: m.ones(()).prod(1),
    "gather from the end": lambda m: m.ones(X).gather(0, m.tensor([[-1]])),
    "softmax of nothing, dim": lambda m: m.zeros(0).softmax(1),
    "logsumexp of nothing, dim": lambda m: m.zeros(0).logsumexp(1),
    "transpose 0-dim": lambda m: m.ones(()).transpose(0, 1),
    "batch_norm momentum": lambda m: m.nn.functional.batch_norm(
        m.ones(3, 2), m.zeros(2), m.ones(2), training=True, momentum=None),
    "instance_norm momentum": lambda m: m.nn.functional.instance_norm(
        m.ones(3, 2, 4), m.zeros(2), m.ones(2), momentum=None),
    "clip expanded": lambda m: m.nn.utils.clip_grad_norm_([_expanded(m)], 0.1),
    "clip expanded values": lambda m: m.nn.utils.clip_grad_value_([_expanded(m)], 0.1),
    "tensor too large": lambda m: m.tensor(2**63),
    "tensor too small": lambda m: m.tensor([-1, -2**63 - 1]),
    "tensor beyond int32": lambda m: m.tensor([2**40], dtype=m.int32),
    "tensor of a wide float": lambda m: m.tensor(1e10, dtype=m.int32),
    "tensor nan": lambda m: m.tensor([np.nan], dtype=m.int64),
    "tensor NumPy's nan": lambda m: m.tensor(np.float64("nan"), dtype=m.int64),
    "tensor inf": lambda m: m.tensor(-np.inf, dtype=m.int32),
    "full too large": lambda m: m.full((1,), 2**63),
    "full beyond float32": lambda m: m.full((1,), 1e40),
    "full nan": lambda m: m.full((1,), np.nan, dtype=m.int32),
    "full of a tensor": lambda m: m.full((), m.tensor(np.inf), dtype=m.int64),
    "full string": lambda m: m.full((1,), "a"),
    "full like": lambda m: m.full_like(m.arange(2), np.nan),
    "arange too large": lambda m: m.arange(2**63),
    "arange nan": lambda m: m.arange(np.nan),
    "arange inf": lambda m: m.arange(np.inf),
    "linspace nan": lambda m: m.linspace(np.nan, 1, 2, dtype=m.int64),
    "randint too large": lambda m: m.randint(0, 2**40, (1,), dtype=m.int32),
    "masked_fill nan": lambda m: m.arange(1).masked_fill(m.ones(1) > 0, np.nan),
    "masked_fill by a tensor": lambda m: m.arange(1).masked_fill(m.ones(1) > 0, m.tensor(np.inf)),
    "masked_fill half": lambda m: m.ones(1).half().masked_fill(m.ones(1) > 0, -1e9),
    "where too large": lambda m: m.where(m.ones(1) > 0, 2**31, m.ones(1).int()),
    "clamp too large": lambda m: m.ones(1).int().clamp(max=2**31),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_class(name: str) -> None:
    """What raises there raises here, and ``except`` with PyTorch's class catches it."""
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    kinds = (RuntimeError, IndexError, TypeError, ValueError)
    expected = next(kind for kind in kinds if isinstance(theirs.value, kind))
    with pytest.raises(expected) as ours:
        ERRORS[name](tn)
    assert len(str(ours.value)) > 10
