"""Ints and bools: results that NumPy and CuPy would give each in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.errors import DtypeError

BASES = [0, 1, -1, 2, -3]


@pytest.mark.parametrize(("power", "expected"), [
    (lambda x, t: x ** t(-1), [0, 1, -1, 0, 0]), (lambda x, t: x ** t(-2), [0, 1, 1, 0, 0]),
    (lambda x, t: x ** t([-1, -2, -3, 3, 2]), [0, 1, -1, 8, 9]),
    (lambda x, t: 2 ** x, [1, 2, 0, 4, 0]), (lambda x, t: 1**x, [1] * 5),
    (lambda x, t: (-1) ** x, [1, -1, -1, 1, -1]), (lambda x, t: 0**x, [1, 0, 0, 0, 0]),
    (lambda x, t: x**0, [1] * 5), (lambda x, t: x**3, [0, 1, -1, 8, -27]),
    (lambda x, t: x**True, BASES), (lambda x, t: t(True) ** x, [1] * 5),
    (lambda x, t: x ** t(True), BASES),
])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_powers_of_ints(power: Callable[..., Any], expected: Any, dtype: str, device: str) -> None:
    """PyTorch's: to a negative int tensor the whole part of the fraction."""
    y = power(tn.tensor(BASES, dtype=dtype, device=device),
              lambda value: tn.tensor(value, device=device).to(
                  "bool" if value is True else dtype))
    assert y.tolist() == expected
    assert str(y.dtype) == dtype


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_fraction_is_refused(dtype: str, device: str) -> None:
    """Where the exponent is a number, as in PyTorch; with a float the result is one."""
    x = tn.tensor([1, 2], dtype=dtype, device=device)
    for call in (lambda: x**-1, lambda: x.pow(-3), lambda: tn.pow(x, -1)):
        with pytest.raises(DtypeError, match=rf"^pow: expected an exponent >= 0 for {dtype}, got "
                                             r"-\d: the result would be a fraction; call \.float"):
            call()
    for y in (x**-1.0, x.float() ** -1, x ** tn.tensor(-1.0, device=device)):
        assert y.tolist() == [1, 0.5]
        assert y.dtype == tn.float32


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: lambda x, name=name: getattr(x, name)() for name in (
        "abs", "neg", "sign", "square", "relu", "sum", "mean", "prod", "amax", "amin", "max", "min",
        "argmax", "argmin", "argsort", "all", "any", "exp", "sqrt", "sigmoid", "tanh", "isnan",
        "isfinite", "logical_not", "reciprocal", "var")},
    **{name: lambda x, name=name: getattr(x, name)(0) for name in (
        "cumsum", "softmax", "logsumexp", "prod", "flip")},
    **{f"clamp {low} {high}": lambda x, low=low, high=high: x.clamp(low, high)
       for low, high in ((0, 1), (1, None), (None, 0), (0.5, None), (True, None))},
    "~": lambda x: ~x, "maximum": lambda x: x.maximum(x), "minimum": lambda x: tn.minimum(x, x),
    "+": lambda x: x + x, "-": lambda x: x - x, "*": lambda x: x * x, "/": lambda x: x / (x + 1),
    "+ True": lambda x: x + True, "- 1": lambda x: x - 1, "* 0.5": lambda x: x * 0.5,
    "** 2": lambda x: x**2, "** True": lambda x: x**True, "** x": lambda x: x**x,
    "2 **": lambda x: 2**x, "** -1": lambda x: x**-1, "&": lambda x: x & x, "^": lambda x: x ^ x,
    "==": lambda x: x == 1, "<": lambda x: x < True, "@": lambda x: x @ x,
    "where": lambda x: tn.where(x > 0, x, 2), "masked_fill": lambda x: x.masked_fill(x > 0, 0),
    "gelu": tn.nn.functional.gelu, "elu": tn.nn.functional.elu, "silu": tn.nn.functional.silu,
    "softplus": tn.nn.functional.softplus, "leaky_relu": tn.nn.functional.leaky_relu,
}


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64"])
def test_each_device_gives_the_cpus_dtype_and_values(dtype: str, device: str) -> None:
    """Or its error."""

    def outcome(name: str, place: str) -> Any:
        x = tn.tensor([1, 0, 2], dtype=dtype, device=place)
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                y = FUNCTIONS[name](x)
        except (RuntimeError, TypeError) as error:
            return type(error)
        return y.dtype, y.tolist()

    for name in FUNCTIONS:
        there, here = outcome(name, device), outcome(name, "cpu")
        if isinstance(here, tuple) and here[0].kind == "f":
            assert there[0] == here[0], name
            assert there[1] == pytest.approx(here[1], rel=1e-6), name
        else:
            assert there == here, name
