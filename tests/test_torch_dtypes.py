"""The dtype of a result, for all pairs: PyTorch's."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_norm as tn

torch = pytest.importorskip("torch")

DTYPES = ("float16", "float32", "float64", "int32", "int64", "bool")

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
    "//": lambda m, a, b: a // b,
    "%": lambda m, a, b: a % b,
    "<<": lambda m, a, b: a << b,
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
