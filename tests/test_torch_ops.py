"""The table of operations, the rules of dtypes and the kinds of errors, held to PyTorch's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, SMOOTH, Case

import tinygrad_norm as tn

torch = pytest.importorskip("torch")

DTYPES = ("float16", "float32", "float64", "int32", "int64", "bool")


def many(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def by_name(cases: list[Case]) -> Any:
    rows = [c for c in cases if c.torch]
    return pytest.mark.parametrize("case", rows, ids=[c.name for c in rows])


def close(ours: Any, theirs: Any) -> None:
    expected = theirs.detach().numpy()
    got = ours.detach().numpy()
    assert got.shape == expected.shape
    scale = np.max(np.abs(expected), initial=1e-3) if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10 * scale)


@by_name(CASES)
@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors")
def test_values(case: Case) -> None:
    ours = many(case.function(tn, *map(tn.tensor, case.inputs())))
    theirs = many(case.function(torch, *map(torch.tensor, case.inputs())))
    for a, b in zip(ours, theirs, strict=True):
        assert str(b.dtype) == f"torch.{a.dtype}"
        close(a, b)


@by_name(SMOOTH)
@pytest.mark.filterwarnings("ignore:The use of `x.T` on tensors")
def test_gradients_and_their_gradients(case: Case) -> None:
    def run(m: Any) -> Any:
        xs = [m.tensor(x, requires_grad=True) for x in case.inputs()]
        s = sum((y**3).sum() for y in many(case.function(m, *xs)))
        first = m.autograd.grad(s, xs, create_graph=True)
        s = sum((g * g).sum() for g in first)
        if not s.requires_grad:
            return first, [None] * len(xs)
        return first, m.autograd.grad(s, xs, allow_unused=True)

    for ours, theirs in zip(run(tn), run(torch), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if a is None or b is None:  # a derivative that is zero may be left out
                for other in (a, b):
                    assert other is None or not np.any(other.detach().numpy())
            else:
                close(a, b)


def pairs(m: Any) -> dict[str, Any]:
    """Tensors with and without dimensions of each dtype, and Python numbers."""
    values: dict[str, Any] = {"True": True, "2": 2, "2.5": 2.5}
    for name in DTYPES:
        values[name] = m.ones(2, dtype=getattr(m, name))
        values["0-dim " + name] = m.ones((), dtype=getattr(m, name))
    return values


BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda m, a, b: a + b,
    "*": lambda m, a, b: a * b,
    "/": lambda m, a, b: a / b,
    "-": lambda m, a, b: a - b,
    "**": lambda m, a, b: a**b,
    "<": lambda m, a, b: a < b,
    "==": lambda m, a, b: a == b,
    "where": lambda m, a, b: m.where(m.tensor([True, False]), a, b),
    "maximum": lambda m, a, b: m.maximum(a, b),
    "cat": lambda m, a, b: m.cat([a, b]),
    "stack": lambda m, a, b: m.stack([a, b]),
    "&": lambda m, a, b: a & b,
}


@pytest.mark.parametrize("name", BINARY)
def test_dtype_of_two(name: str) -> None:
    """All pairs of dtypes, with and without dimensions, and Python numbers: PyTorch's dtype."""
    ours, theirs = pairs(tn), pairs(torch)
    wrong = []
    for a, b in itertools.product(ours, ours):
        if {a, b} <= {"True", "2", "2.5"}:
            if name != "where":
                continue
        elif name in ("maximum", "cat", "stack") and {a, b} & {"True", "2", "2.5"}:
            continue
        try:
            expected = str(BINARY[name](torch, theirs[a], theirs[b]).dtype)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            expected = type(error).__name__
        if expected == "RuntimeError" and name == "-" and {"True", "bool", "0-dim bool"} & {a, b}:
            continue  # PyTorch refuses to subtract bools; among numbers they count as 0 and 1
        if name == "**" and "True" in (a, b) and "bool" in a + b:
            continue
        try:
            got = f"torch.{BINARY[name](tn, ours[a], ours[b]).dtype}"
        except RuntimeError:
            got = "RuntimeError"
        except TypeError:
            got = "TypeError"
        if got != expected and {got, expected} != {"RuntimeError", "NotImplementedError"}:
            wrong.append(f"{a} {name} {b}: expected {expected}, got {got}")
    assert not wrong, "\n".join(wrong)


UNARY = (  # noqa: SIM905
    "abs argmax argmin cumsum0 exp log log_softmax0 logsumexp0 mean neg prod prod0 reciprocal "
    "relu rsqrt sigmoid sign softmax0 sqrt square std sum sum0 tanh var amax max min any all sin "
    "expm1 log1p erf isnan isfinite logical_not clone double long bool float"
).split()


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_of_one(name: str, dtype: str) -> None:
    def run(m: Any) -> str:
        x = m.ones(3, dtype=getattr(m, dtype))
        try:
            y = getattr(x, name.rstrip("0"))(*((0,) if name.endswith("0") else ()))
        except (RuntimeError, TypeError, NotImplementedError):
            return "error"
        return str(y.dtype).removeprefix("torch.")

    expected = run(torch)
    if (dtype, name) in MORE:
        assert expected == "error"
    else:
        assert run(tn) == expected


MORE = {("bool", name) for name in ("abs", "argmax", "argmin", "relu")}
"""What PyTorch refuses and NumPy answers sensibly."""

X = (2, 3)
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


SAME: dict[str, Callable[[Any], Any]] = {
    "arange": lambda m: m.arange(5),
    "arange float": lambda m: m.arange(0, 1, 0.1),
    "arange down": lambda m: m.arange(5, 0, -2),
    "arange dtype": lambda m: m.arange(3, dtype=m.float64),
    "arange empty": lambda m: m.arange(0),
    "linspace": lambda m: m.linspace(-1, 2, 7, dtype=m.float64),
    "linspace one": lambda m: m.linspace(3, 5, 1),
    "eye": lambda m: m.eye(2, 3),
    "full": lambda m: m.full((2, 2), 7),
    "full bool": lambda m: m.full((2,), True),
    "full float": lambda m: m.full((), 2.5),
    "zeros": lambda m: m.zeros(2, 0, 3),
    "zeros list": lambda m: m.zeros([2, 3], dtype=m.int32),
    "ones like": lambda m: m.ones_like(m.zeros(2, dtype=m.float16)),
    "full like": lambda m: m.full_like(m.zeros(2, dtype=m.int64), 3),
    "zeros like dtype": lambda m: m.zeros_like(m.zeros(2), dtype=m.bool),
    "tensor ints": lambda m: m.tensor([[1, 2], [3, 4]]),
    "tensor floats": lambda m: m.tensor([1, 2.5]),
    "tensor bools": lambda m: m.tensor([True, False]),
    "tensor number": lambda m: m.tensor(3),
    "tensor nothing": lambda m: m.tensor([]),
    "tensor empty rows": lambda m: m.tensor([[], []]),
    "tensor numpy": lambda m: m.tensor(np.arange(3.0)),
    "tensor numpy scalar": lambda m: m.tensor(np.float64(3)),
    "tensor of tensors": lambda m: m.tensor([m.tensor(1.0), m.tensor(2.0)]),
    "tensor dtype": lambda m: m.tensor([1.7, -1.7], dtype=m.int64),
    "as_tensor": lambda m: m.as_tensor(np.arange(3, dtype=np.int32)),
    "from_numpy": lambda m: m.from_numpy(np.eye(2)),
    "mean of nothing": lambda m: m.zeros(0).mean(),
    "sum of nothing": lambda m: m.zeros(0, 3).sum(0),
    "prod of nothing": lambda m: m.zeros(0).prod(),
    "max 0-dim": lambda m: m.stack([*m.tensor(3.0).max(0)]),
    "argmax 0-dim": lambda m: m.tensor(3.0).argmax(),
    "sum 0-dim": lambda m: m.tensor(3.0).sum(0) + m.tensor(3.0).sum(-1),
    "cumsum 0-dim": lambda m: m.tensor(3.0).cumsum(0),
    "softmax 0-dim": lambda m: m.tensor(3.0).softmax(0),
    "flip 0-dim": lambda m: m.tensor(3.0).flip(()),
    "var one value": lambda m: m.ones(1).var(correction=0),
    "clamp ints": lambda m: m.arange(5).clamp(1, 3),
    "clamp ints by floats": lambda m: m.arange(5).clamp(1.5, 3),
    "clamp crossed": lambda m: m.arange(5.0).clamp(3, 1),
    "where numbers": lambda m: m.where(m.tensor([True, False]), 1.0, 2.0),
    "where ints": lambda m: m.where(m.tensor([True, False]), 1, 2),
    "where mixed": lambda m: m.where(m.tensor([True, False]), 1, 2.5),
    "x == None": lambda m: m.tensor((m.ones(2) == None, m.ones(2) != "a")),  # noqa: E711
    "sum dtype": lambda m: m.ones(3).sum(dtype=m.float64),
    "sum dim ()": lambda m: m.ones(2, 3).sum(dim=()),
    "amax dim ()": lambda m: m.ones(2, 3).amax(dim=()),
    "sum bool": lambda m: m.tensor([True, True]).sum(),
    "masked_fill": lambda m: m.arange(3.0).masked_fill(m.tensor([True, False, True]), -1),
    "setitem list": lambda m: _after(m.zeros(2, 2), lambda x: x.__setitem__(0, m.tensor([1, 2]))),
    "setitem mask": lambda m: _after(m.arange(4.0), lambda x: x.__setitem__(x > 1, 0)),
    "setitem big int": lambda m: _after(
        m.zeros(2, dtype=m.int64), lambda x: x.__setitem__(0, m.tensor(2**53 + 1))),
    "setitem truncates": lambda m: _after(
        m.zeros(2, dtype=m.int64), lambda x: x.__setitem__(0, m.tensor(2.7))),
    "view writes through": lambda m: _after(m.zeros(2, 2), lambda x: x[0].add_(1)),
    "scalar view writes through": lambda m: _after(m.zeros(2, 2), lambda x: x[0][1].fill_(3)),
    "transpose writes through": lambda m: _after(m.zeros(2, 2), lambda x: x.t()[0].add_(1)),
    "iadd keeps dtype": lambda m: _after(m.ones(2), lambda x: x.add_(m.ones(2).double())),
    "floor of negative": lambda m: m.tensor([-1.5, 1.5]).long(),
    "chunk": lambda m: m.stack([m.tensor(len(c)) for c in m.arange(7).chunk(3)]),
    "std constant": lambda m: m.ones(3).std(),
    "logsumexp big": lambda m: m.tensor([1000.0, 1000.0]).logsumexp(0),
    "logsumexp -inf": lambda m: m.tensor([-np.inf, -np.inf]).logsumexp(0),
    "softmax big": lambda m: m.tensor([1000.0, 0.0, -1000.0]).log_softmax(0),
    "sigmoid far": lambda m: m.tensor([-1000.0, -50.0, 1000.0]).sigmoid(),
    "dot ints": lambda m: m.arange(3).dot(m.arange(3)),
    "matmul ints": lambda m: m.eye(2, dtype=m.int64) @ m.ones(2, 2, dtype=m.int64),
    "mean float16": lambda m: m.full((2000,), 100.0, dtype=m.float16).mean(),
    "var float16": lambda m: (m.arange(100, dtype=m.float16) * 5).var(correction=0),
    "format": lambda m: m.tensor([float(f"{m.tensor(2.0)}"), float(f"{m.tensor(2.0):.3f}")]),
    "nested reduce": lambda m: m.ones(2, 3).sum(0).sum(0),
    "bool sum dim": lambda m: (m.arange(6).reshape(2, 3) > 2).sum(1),
    "round trip": lambda m: m.tensor(m.arange(6.0).reshape(2, 3).tolist()),
    "hash": lambda m: m.tensor(len({m.ones(2), m.ones(2)})),
    "0-dim index": lambda m: m.arange(4.0)[m.tensor(2)],
    "long mask": lambda m: m.arange(6).reshape(2, 3)[m.tensor([True, False])],
    "relu ints": lambda m: m.arange(-2, 3).relu(),
    "abs ints": lambda m: m.arange(-2, 3).abs(),
    "sign ints": lambda m: m.arange(-2, 3).sign(),
    "square ints": lambda m: m.arange(-2, 3).square(),
    "pow ints": lambda m: m.arange(1, 4) ** m.arange(3),
    "cat dtypes": lambda m: m.cat([m.arange(2), m.ones(2)]),
}


def _after(x: Any, write: Callable[[Any], Any]) -> Any:
    write(x)
    return x


@pytest.mark.parametrize("name", SAME)
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_same_result(name: str) -> None:
    ours, theirs = SAME[name](tn), SAME[name](torch)
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    close(ours, theirs)


def test_subgradients_are_pytorchs() -> None:
    """At the points where a function has no derivative: ties, kinks, zeros."""
    zero, ties = np.array([0.0, 1.0, -1.0]), np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    for name, start, function in (
        ("abs", zero, lambda m, x: x.abs()), ("relu", zero, lambda m, x: x.relu()),
        ("sign", zero, lambda m, x: x.sign()), ("clamp", zero, lambda m, x: x.clamp(0, 1)),
        ("maximum", zero, lambda m, x: m.maximum(x, m.zeros_like(x))),
        ("minimum", zero, lambda m, x: m.minimum(x, x.abs())),
        ("amax", ties, lambda m, x: x.amax(1)), ("amin", ties, lambda m, x: x.amin()),
        ("max", ties, lambda m, x: x.max()), ("max dim", ties, lambda m, x: x.max(1).values),
        ("min dim", ties, lambda m, x: x.min(1).values),
        ("std of constants", np.ones(3), lambda m, x: x.std()),
        ("power", zero, lambda m, x: x**2.0), ("power 0", zero, lambda m, x: x**0),
        ("power tensor", np.abs(zero), lambda m, x: x ** m.tensor([2.0, 0.0, 1.0])),
        ("power of 0", zero, lambda m, x: m.tensor([0.0, 0.0, 2.0]) ** x.abs()),
        ("prod", zero, lambda m, x: x.prod()),
    ):
        gradients = []
        for m in (tn, torch):
            x = m.tensor(start, requires_grad=True)
            (gradient,) = m.autograd.grad(function(m, x).sum(), x)
            gradients.append(gradient.numpy())
        np.testing.assert_allclose(*gradients, atol=1e-12, err_msg=name)


def test_dlpack_both_ways() -> None:
    ours = tn.arange(6.0).reshape(2, 3)
    theirs = torch.from_dlpack(ours)
    theirs[0, 0] = 7
    assert ours[0, 0].item() == 7
    back = tn.from_dlpack(theirs.T)
    assert back.shape == (3, 2)
    back[2, 1] = 9
    assert theirs[1, 2].item() == 9
    with pytest.raises(BufferError, match="requires grad"):
        torch.from_dlpack(ours.requires_grad_())


def test_autograd_functional_agrees() -> None:
    random = np.random.default_rng(0)
    a, b, v = random.normal(size=3), random.normal(size=3), random.normal(size=3)

    def scalar(x: Any, y: Any) -> Any:
        return (x * y.exp()).sum() * (x * x).sum()

    def vector(x: Any) -> Any:
        return (x * x.sum()).tanh()

    def run(m: Any) -> list[Any]:
        f = m.autograd.functional
        x, y, w = m.tensor(a), m.tensor(b), m.tensor(v)
        return [
            f.vjp(vector, x, w), f.jvp(vector, x, w), f.jacobian(vector, x),
            *f.jacobian(scalar, (x, y)), f.hessian(lambda x: (x**3).prod(), x),
            *f.hessian(scalar, (x, y)), f.hvp(lambda x: (x**3).prod(), x, w),
            *f.hvp(scalar, (x, y), (w, w)), f.vjp(scalar, (x, y))[1],
            f.jvp(lambda x, y: (x * y, x + y), (x, y), (w, w)),
        ]

    def flat(values: Any) -> list[Any]:
        if isinstance(values, tuple | list):
            return [leaf for value in values for leaf in flat(value)]
        return [values]

    ours, theirs = flat(run(tn)), flat(run(torch))
    assert len(ours) == len(theirs) > 20
    for x, y in zip(ours, theirs, strict=True):
        close(x, y)
