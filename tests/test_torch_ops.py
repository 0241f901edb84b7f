"""The table of operations, held to PyTorch's values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case import Case, close
from cases import CASES, SMOOTH

import tinygrad_norm as tn

torch = pytest.importorskip("torch")


def many(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def by_name(cases: list[Case]) -> Any:
    rows = [c for c in cases if c.torch]
    return pytest.mark.parametrize("case", rows, ids=[c.name for c in rows])


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
