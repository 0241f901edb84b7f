"""NumPy's functions for jets: what ``array_module`` gives for one.

A function of one variable is its value and its slope; one that is linear is done to each
coefficient; one that chooses chooses by value; the rest gives constants.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..backend import normal
from . import series
from .jet import WIDE, Jet, as_jet, inside, linear

# -- functions of one variable -------------------------------------------------------------------

Rules = dict[str, tuple[Callable[[Any], Any], Callable[[Jet], Any]]]

OF_INPUT: Rules = {
    "log": (np.log, lambda u: 1 / u),
    "log1p": (np.log1p, lambda u: 1 / (1 + u)),
    "expm1": (np.expm1, lambda u: analytic("exp", u)),
    "sin": (np.sin, lambda u: analytic("cos", u)),
    "cos": (np.cos, lambda u: -analytic("sin", u)),
    "erf": (lambda u: normal.erf(u.astype(float)),
            lambda u: analytic("exp", -u * u) * (2 / np.sqrt(WIDE(math.pi)))),
}
"""The value, and g(u) of y' = g(u) u'."""

OF_RESULT: Rules = {
    "exp": (np.exp, lambda y: y),
    "exp2": (np.exp2, lambda y: y * np.log(WIDE(2))),
    "sqrt": (np.sqrt, lambda y: 0.5 / y),
    "tanh": (np.tanh, lambda y: 1 - y * y),
}
"""The value, and g(y) of y' = g(y) u'."""


def analytic(name: str, u: Any) -> Jet:
    """y = f(u), from y' = g u'."""
    c = floating(u).c
    if name in OF_INPUT:
        value, rule = OF_INPUT[name]
        slope = rule(Jet(c[:-1])).c if len(c) > 1 else []
        return Jet([value(c[0]), *(series.risen(k, slope, c) for k in range(1, len(c)))])
    value, rule = OF_RESULT[name]
    y = [value(c[0])]
    for k in range(1, len(c)):
        y.append(series.risen(k, rule(Jet(y)).c, c))
    return Jet(y)


def floating(x: Any) -> Jet:
    x = as_jet(x)
    return x if x.dtype.kind == "f" else Jet([x.c[0].astype(WIDE)])


def power(a: Any, b: Any) -> Jet:
    """aᵇ; where b moves too it is eᵇ ˡⁿ ᵃ."""
    a, b = as_jet(a), as_jet(b)
    if len(a.c) == len(b.c) == 1:
        return Jet([a.c[0] ** b.c[0]])
    if len(b.c) == 1:
        return Jet(series.power(a.c, b.c[0]))
    return analytic("exp", b * analytic("log", a))


# -- choices, by value -----------------------------------------------------------------------------


def where(condition: Any, a: Any, b: Any) -> Jet:
    return linear(np.where, condition, *alike(a, b))


def alike(*values: Any) -> list[Jet]:
    """Floating, if one of them is: an int beside them is then a constant, and 0 further on."""
    jets = [as_jet(v) for v in values]
    return [floating(j) for j in jets] if any(j.dtype.kind == "f" for j in jets) else jets


def maximum(a: Any, b: Any) -> Jet:
    a, b = as_jet(a), as_jet(b)
    return where((a >= b) | (a != a), a, b)


def minimum(a: Any, b: Any) -> Jet:
    a, b = as_jet(a), as_jet(b)
    return where((a <= b) | (a != a), a, b)


def clip(x: Any, low: Any = None, high: Any = None) -> Jet:
    x = as_jet(x) if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def absolute(x: Any) -> Jet:
    x = as_jet(x)
    return x * Jet([np.sign(x.c[0])])


def picker(arg: Callable[..., Any]) -> Callable[..., Jet]:
    """The largest or the smallest over axes: the value at the place that ``arg`` finds."""

    def pick(x: Jet, axis: Any = None, keepdims: bool = False) -> Jet:
        rows, shape = together(x, axis, keepdims)
        place = arg(rows.c[0], axis=-1)[..., None]
        return Jet([np.take_along_axis(c, place, -1).reshape(shape) for c in rows.c])

    return pick


def together(x: Jet, axis: Any, keepdims: bool) -> tuple[Jet, list[int]]:
    """What is reduced along the last axis, and the shape of the result."""
    many = axis if isinstance(axis, tuple) else range(x.ndim) if axis is None else (axis,)
    gone = sorted(i % x.ndim for i in many)
    kept = [i for i in range(x.ndim) if i not in gone]
    n = math.prod(x.shape[i] for i in gone)
    return (x.transpose((*kept, *gone)).reshape((*(x.shape[i] for i in kept), n)),
            [1 if i in gone else x.shape[i] for i in range(x.ndim) if keepdims or i in kept])


def sort(x: Jet, axis: int = -1) -> Jet:
    order = np.argsort(x.c[0], axis=axis, kind="stable")
    return Jet([np.take_along_axis(c, order, axis) for c in x.c])


# -- the rest --------------------------------------------------------------------------------------


def var(x: Jet, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Jet:
    away = x - x.mean(axis=axis, keepdims=True)
    result = (away * away).sum(axis=axis, keepdims=keepdims)
    return result / (x.size / max(result.size, 1) - ddof)


def std(x: Jet, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Jet:
    return analytic("sqrt", var(x, axis, ddof, keepdims))


def prod(x: Jet, axis: Any = None, keepdims: bool = False) -> Jet:
    rows, shape = together(x, axis, keepdims)
    result = as_jet(np.ones((), x.dtype))
    for i in range(rows.shape[-1]):
        result = result * rows[..., i]
    return result.reshape(shape)


def einsum(subscripts: str, *factors: Any, **settings: Any) -> Jet:
    return Jet(series.multilinear(lambda *c: np.einsum(subscripts, *c, **settings),
                                  *(as_jet(f).c for f in factors)))


def asarray(x: Any, dtype: Any = None) -> Jet:
    x = as_jet(x)
    return x if dtype is None or x.dtype == dtype else x.astype(dtype)


def array(x: Any, dtype: Any = None) -> Jet:
    return asarray(as_jet(x).copy(), dtype)


def concatenate(xs: Any, axis: int = 0) -> Jet:
    return linear(np.concatenate, alike(*xs), axis=axis)


def stack(xs: Any, axis: int = 0) -> Jet:
    return linear(np.stack, alike(*xs), axis=axis)


def pad(x: Any, widths: Any, mode: str = "constant", constant_values: float = 0) -> Jet:
    if mode != "constant":
        return linear(np.pad, x, widths, mode)
    return Jet([np.pad(c, widths, constant_values=0 if k else constant_values)
                for k, c in enumerate(as_jet(x).c)])


def frexp(x: Any) -> tuple[Jet, Jet]:
    x = as_jet(x)
    exponent = np.frexp(x.c[0])[1]
    return linear(np.ldexp, x, -exponent), Jet([exponent])


class Add:
    """``add``, and ``add.at``, where an index named twice is added to twice."""

    def __call__(self, a: Any, b: Any) -> Any:
        return as_jet(a) + b

    @staticmethod
    def at(x: Jet, index: Any, values: Any) -> None:
        values = as_jet(values)
        parts = [np.zeros(x.shape, c.dtype) for c in values.c]
        for part, c in zip(parts, values.c, strict=True):
            np.add.at(part, inside(index), c)
        x += Jet(parts)


class Grid:
    """``ogrid``"""

    def __getitem__(self, index: Any) -> Any:
        return outside(np.ogrid[index])


def outside(result: Any) -> Any:
    """NumPy's arrays as constants."""
    if isinstance(result, np.ndarray | np.generic):  # host memory: a constant of NumPy
        return Jet([result])
    return tuple(map(outside, result)) if isinstance(result, tuple | list) else result


def constant(function: Callable[..., Any]) -> Callable[..., Any]:
    """By value, with a result that does not move."""
    return lambda *args, **settings: outside(function(*inside(args), **settings))


def written(function: Callable[..., Any]) -> Callable[..., Any]:
    """With NumPy's ``out``."""

    def call(*args: Any, out: Jet | None = None) -> Any:
        result = function(*args)
        if out is None:
            return result
        out[...] = result
        return out

    return call


def each(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **settings: linear(function, *args, **settings)


FUNCTIONS: dict[str, Any] = {
    "abs": absolute, "absolute": absolute, "amax": picker(np.argmax), "amin": picker(np.argmin),
    "max": picker(np.argmax), "min": picker(np.argmin), "maximum": maximum, "minimum": minimum,
    "clip": clip, "sort": sort, "where": where, "power": power, "pow": power, "var": var,
    "std": std, "prod": prod,
    "array": array, "asarray": asarray, "ascontiguousarray": asarray, "add": Add(),
    "concatenate": concatenate, "stack": stack, "einsum": einsum, "ogrid": Grid(),
    "frexp": frexp, "pad": pad,
    "fmod": lambda a, b: a - b * FUNCTIONS["trunc"](a / b),
    "dot": lambda a, b: Jet(series.multilinear(np.dot, as_jet(a).c, as_jet(b).c)),
    "square": lambda x: x * x, "reciprocal": lambda x: 1 / x, "negative": operator.neg,
}  # fmt: skip
"""NumPy's names and what they are for jets."""

OPERATORS = {"subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
             "matmul": operator.matmul, "floor_divide": operator.floordiv,
             "remainder": operator.mod}
LINEAR = (  # noqa: SIM905
    "broadcast_to copy cumsum diagonal diff expand_dims flip ldexp mean moveaxis ravel repeat "
    "reshape roll squeeze sum swapaxes take take_along_axis tile trace transpose tril triu").split()
CONSTANT = (  # noqa: SIM905
    "all any arange argmax argmin argsort array_equal ceil empty empty_like equal eye floor full "
    "full_like greater greater_equal isfinite isinf isnan less less_equal linspace logical_and "
    "logical_not logical_or logical_xor may_share_memory nonzero not_equal ones ones_like rint "
    "round shares_memory sign signbit trunc zeros zeros_like").split()

FUNCTIONS.update({name: written(lambda a, b, f=f: f(as_jet(a), b))
                  for name, f in OPERATORS.items()})
FUNCTIONS.update({name: each(getattr(np, name)) for name in LINEAR})
FUNCTIONS.update({name: constant(getattr(np, name)) for name in CONSTANT})
# what happens to lie in new memory may be a NaN that warns when it is widened
FUNCTIONS.update(empty=FUNCTIONS["zeros"], empty_like=FUNCTIONS["zeros_like"])
FUNCTIONS.update({name: written(partial(analytic, name)) for name in OF_INPUT | OF_RESULT})


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    value = getattr(np, name, None)
    if value is None or (callable(value) and not isinstance(value, type)):
        raise AttributeError(f"jets have no function {name}")
    return value
