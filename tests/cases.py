"""The table of operations. A new one is a new row; test_ops.py and test_torch_ops.py read it.

A row: a name; a function ``(module, *tensors)`` in the words that tinygrad_norm and PyTorch share;
what NumPy makes of the same arrays, in any precision; the inputs' shapes; where the inputs lie.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_norm.ops import activation, elementwise, linalg, loss


@dataclass(frozen=True)
class Case:
    """One row. ``smooth``: it has derivatives. ``torch``: PyTorch has it under the same name."""

    name: str
    function: Callable[..., Any]
    expected: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domains: str = "real"
    smooth: bool = True
    torch: bool = True

    def inputs(self) -> list[np.ndarray]:
        """float64 arrays, the same on each call."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        names = self.domains.split()
        names = names * len(self.shapes) if len(names) == 1 else names
        return [DOMAINS[n](random, s) for n, s in zip(names, self.shapes, strict=True)]


def _signed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.uniform(0.6, 1.8, shape) * random.choice([-1, 1], shape)


def _distinct(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """At least 0.4 apart and 0.2 from zero: no maximum changes hands within a small step."""
    n = math.prod(shape)
    return (random.permutation(n) * 0.4 - 0.4 * (n // 2) + 0.2).reshape(shape)


def _zeros(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """With exact zeros: the first of every three, so that some rows have two."""
    x = random.uniform(0.5, 1.5, shape)
    x.reshape(-1)[::3] = 0
    return x


DOMAINS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "real": lambda random, shape: random.uniform(-1.5, 1.5, shape),
    "positive": lambda random, shape: random.uniform(0.6, 2.0, shape),
    "above-1": lambda random, shape: random.uniform(-0.4, 2.0, shape),
    "signed": _signed,  # away from zero
    "distinct": _distinct,
    "shifted": lambda random, shape: _distinct(random, shape) + 0.2,  # and from "distinct" ones
    "zeros": _zeros,
}


def erf(x: Any) -> Any:
    """The Taylor series, good for |x| < 3 in any precision."""
    x = np.asarray(x)
    term, total = x, x
    for n in range(1, 90):
        term = -term * x * x / n
        total = total + term / (2 * n + 1)
    return total * 2 / np.sqrt(_pi(x))


def softmax(x: Any, axis: int) -> Any:
    e = np.exp(x)
    return e / e.sum(axis, keepdims=True)


R = (2, 3)
UNARY = [
    Case("neg", lambda m, x: -x, lambda x: -x, (R,)),
    Case("neg()", lambda m, x: m.neg(x), lambda x: -x, (R,)),
    Case("abs", lambda m, x: x.abs(), np.abs, (R,), "signed"),
    Case("abs()", lambda m, x: abs(x) * x, lambda x: np.abs(x) * x, (R,), "signed"),
    Case("exp", lambda m, x: x.exp(), np.exp, (R,)),
    Case("log", lambda m, x: x.log(), np.log, (R,), "positive"),
    Case("log1p", lambda m, x: x.log1p(), np.log1p, (R,), "above-1"),
    Case("expm1", lambda m, x: x.expm1(), np.expm1, (R,)),
    Case("sqrt", lambda m, x: x.sqrt(), np.sqrt, (R,), "positive"),
    Case("rsqrt", lambda m, x: x.rsqrt(), lambda x: 1 / np.sqrt(x), (R,), "positive"),
    Case("square", lambda m, x: x.square(), np.square, (R,)),
    Case("reciprocal", lambda m, x: x.reciprocal(), lambda x: 1 / x, (R,), "signed"),
    Case("sin", lambda m, x: x.sin(), np.sin, (R,)),
    Case("cos", lambda m, x: x.cos(), np.cos, (R,)),
    Case("tanh", lambda m, x: x.tanh(), np.tanh, (R,)),
    Case("sigmoid", lambda m, x: x.sigmoid(), lambda x: 1 / (1 + np.exp(-x)), (R,)),
    Case("erf", lambda m, x: x.erf(), erf, (R,)),
    Case("relu", lambda m, x: x.relu() * x, lambda x: np.maximum(x, 0) * x, (R,), "signed"),
    Case("sign", lambda m, x: x.sign() * x, lambda x: np.sign(x) * x, (R,), "signed"),
    Case("clamp", lambda m, x: x.clamp(-1.1, 0.3) * x,
         lambda x: np.clip(x, -1.1, 0.3) * x, ((2, 5),), "distinct"),
    Case("clamp min", lambda m, x: x.clamp(min=0.5) * x,
         lambda x: np.maximum(x, 0.5) * x, ((2, 5),), "distinct"),
    Case("clamp max", lambda m, x: x.clamp(max=0.5) * x,
         lambda x: np.minimum(x, 0.5) * x, ((2, 5),), "distinct"),
    Case("clamp tensors", lambda m, x, a: x.clamp(a, a + 1) * x,
         lambda x, a: np.clip(x, a, a + 1) * x, ((2, 5), (5,)), "distinct shifted"),
    Case("clone", lambda m, x: x.clone() * x, lambda x: x * x, (R,)),
    Case("softplus", lambda m, x: elementwise.softplus(x), lambda x: np.log1p(np.exp(x)), (R,),
         torch=False),
]

BINARY = [
    Case("add", lambda m, a, b: a + b, np.add, (R, R)),
    Case("add alpha", lambda m, a, b: a.add(b, alpha=3), lambda a, b: a + 3 * b, (R, R)),
    Case("sub", lambda m, a, b: a - b, np.subtract, (R, R)),
    Case("sub alpha", lambda m, a, b: a.sub(b, alpha=2), lambda a, b: a - 2 * b, (R, R)),
    Case("mul", lambda m, a, b: a * b, np.multiply, (R, R)),
    Case("div", lambda m, a, b: a / b, np.divide, (R, R), "real signed"),
    Case("pow", lambda m, a, b: a**b, np.power, (R, R), "positive real"),
    Case("same twice", lambda m, a: a * a + a, lambda a: a * a + a, (R,)),
    Case("maximum", lambda m, a, b: m.maximum(a, b) * a, lambda a, b: np.maximum(a, b) * a,
         (R, R), "distinct shifted"),
    Case("minimum", lambda m, a, b: m.minimum(a, b) * a, lambda a, b: np.minimum(a, b) * a,
         (R, R), "distinct shifted"),
    Case("where", lambda m, a, b: m.where(a > b, a * b, b * b),
         lambda a, b: np.where(a > b, a * b, b * b), (R, R), "distinct shifted"),
    Case("where()", lambda m, a, b: (a * b).where(a < b, a),
         lambda a, b: np.where(a < b, a * b, a), (R, R), "distinct shifted"),
    Case("where number", lambda m, a: m.where(a > 0, a * a, 2.0),
         lambda a: np.where(a > 0, a * a, 2), (R,), "signed"),
    Case("where number first", lambda m, a: m.where(a > 0, 2.0, a * a),
         lambda a: np.where(a > 0, 2, a * a), (R,), "signed"),
    Case("add broadcast", lambda m, a, b: a + b, np.add, (R, (3,))),
    Case("sub broadcast", lambda m, a, b: a - b, np.subtract, ((3,), (2, 1))),
    Case("mul outer", lambda m, a, b: a * b, np.multiply, ((2, 1), (1, 3))),
    Case("mul 0-dim", lambda m, a, b: a * b, np.multiply, (R, ())),
    Case("div broadcast", lambda m, a, b: a / b, np.divide, ((4, 1, 3), (2, 1)), "real signed"),
    Case("pow broadcast", lambda m, a, b: a**b, np.power, ((2, 1), (3,)), "positive real"),
    Case("maximum broadcast", lambda m, a, b: m.maximum(a, b) * b,
         lambda a, b: np.maximum(a, b) * b, (R, (3,)), "distinct shifted"),
    Case("where broadcast", lambda m, a, b: m.where(a > 0, a * b, b),
         lambda a, b: np.where(a > 0, a * b, b), ((2, 1), (3,)), "signed real"),
    Case("0-dim all", lambda m, a, b: a * b + a / b, lambda a, b: a * b + a / b, ((), ()),
         "real signed"),
    Case("empty", lambda m, a, b: a * b + b, lambda a, b: a * b + b, ((0, 3), (3,))),
    Case("x + number", lambda m, x: x + 2, lambda x: x + 2, (R,)),
    Case("number + x", lambda m, x: 2.5 + x, lambda x: 2.5 + x, (R,)),
    Case("x - number", lambda m, x: x - 2, lambda x: x - 2, (R,)),
    Case("number - x", lambda m, x: 2 - x, lambda x: 2 - x, (R,)),
    Case("x * number", lambda m, x: x * 3, lambda x: x * 3, (R,)),
    Case("number * x", lambda m, x: 3 * x, lambda x: 3 * x, (R,)),
    Case("x / number", lambda m, x: x / 3, lambda x: x / 3, (R,)),
    Case("number / x", lambda m, x: 3 / x, lambda x: 3 / x, (R,), "signed"),
    Case("x ** 0", lambda m, x: x**0 + x, lambda x: 1 + x, (R,), "zeros"),
    Case("x ** 1", lambda m, x: x**1, lambda x: x, (R,), "zeros"),
    Case("x ** 2", lambda m, x: x**2, lambda x: x * x, (R,), "zeros"),
    Case("x ** 3", lambda m, x: x**3, lambda x: x * x * x, (R,), "zeros"),
    Case("x ** 5", lambda m, x: x**5, lambda x: x**5, (R,)),
    Case("x ** 0.5", lambda m, x: x**0.5, np.sqrt, (R,), "positive"),
    Case("x ** -1", lambda m, x: x**-1, lambda x: 1 / x, (R,), "signed"),
    Case("x ** -1.5", lambda m, x: x.pow(-1.5), lambda x: 1 / (x * np.sqrt(x)), (R,), "positive"),
    Case("number ** x", lambda m, x: 2**x, lambda x: np.exp(x * np.log(x.dtype.type(2))), (R,)),
    Case("x ** tensor of 2, 3",
         lambda m, x: x ** m.tensor([2.0, 3.0], dtype=x.dtype, device=x.device),
         lambda x: np.stack([x[..., 0] ** 2, x[..., 1] ** 3], -1), ((3, 2),), "zeros"),
]

S = (2, 3, 4)
REDUCTIONS = [
    Case("sum", lambda m, x: x.sum(), np.sum, (R,)),
    Case("sum dim", lambda m, x: x.sum(1) ** 2, lambda x: x.sum(1) ** 2, (S,)),
    Case("sum dims keepdim", lambda m, x: x.sum((0, -1), keepdim=True) * x,
         lambda x: x.sum((0, -1), keepdims=True) * x, (S,)),
    Case("sum 0-dim", lambda m, x: x.sum() * x.sum(0), lambda x: x * x, ((),)),
    Case("mean", lambda m, x: x.mean() ** 2, lambda x: x.mean() ** 2, (R,)),
    Case("mean dim", lambda m, x: x.mean(dim=-1) ** 2, lambda x: x.mean(-1) ** 2, (S,)),
    Case("mean dims keepdim", lambda m, x: x.mean(dim=(0, 2), keepdim=True) * x,
         lambda x: x.mean((0, 2), keepdims=True) * x, (S,)),
    Case("var", lambda m, x: x.var(), lambda x: x.var(ddof=1), (R,)),
    Case("var dim", lambda m, x: x.var(1) ** 2, lambda x: x.var(1, ddof=1) ** 2, (S,)),
    Case("var unbiased", lambda m, x: x.var(0, unbiased=False), lambda x: x.var(0), (S,)),
    Case("var unbiased first", lambda m, x: x.var(False), lambda x: x.var(), (S,)),
    Case("var correction", lambda m, x: x.var(dim=(0, 2), correction=2, keepdim=True) * x,
         lambda x: x.var((0, 2), ddof=2, keepdims=True) * x, (S,)),
    Case("std", lambda m, x: x.std(), lambda x: x.std(ddof=1), (R,)),
    Case("std dim", lambda m, x: x.std(dim=-1, correction=0, keepdim=True) * x,
         lambda x: x.std(-1, keepdims=True) * x, (S,)),
    Case("var_mean", lambda m, x: m.var_mean(x, dim=1, correction=0),
         lambda x: (x.var(1), x.mean(1)), (R,)),
    Case("amax", lambda m, x: x.amax(1) ** 2, lambda x: x.max(1) ** 2, (S,), "distinct"),
    Case("amax dims", lambda m, x: x.amax((0, 2), keepdim=True) * x,
         lambda x: x.max((0, 2), keepdims=True) * x, (S,), "distinct"),
    Case("amin", lambda m, x: x.amin(-1) ** 3, lambda x: x.min(-1) ** 3, (S,), "distinct"),
    Case("max", lambda m, x: x.max() ** 3, lambda x: x.max() ** 3, (R,), "distinct"),
    Case("min", lambda m, x: x.min() ** 3, lambda x: x.min() ** 3, (R,), "distinct"),
    Case("max dim", lambda m, x: x.max(1).values ** 2, lambda x: x.max(1) ** 2, (S,), "distinct"),
    Case("min dim", lambda m, x: x.min(dim=0, keepdim=True)[0] * x,
         lambda x: x.min(0, keepdims=True) * x, (S,), "distinct"),
    Case("max indices", lambda m, x: x.max(1).indices, lambda x: x.argmax(1), (S,), "distinct",
         smooth=False),
    Case("max of two", lambda m, a, b: a.max(b) * b, lambda a, b: np.maximum(a, b) * b, (R, R),
         "distinct shifted"),
    Case("prod", lambda m, x: x.prod(), np.prod, ((5,),)),
    Case("prod dim", lambda m, x: x.prod(1), lambda x: x.prod(1), (S,)),
    Case("prod keepdim", lambda m, x: x.prod(dim=-1, keepdim=True) * x,
         lambda x: x.prod(-1, keepdims=True) * x, (R,)),
    Case("prod of zeros", lambda m, x: x.prod(1), lambda x: x.prod(1), ((3, 5),), "zeros"),
    Case("cumsum", lambda m, x: x.cumsum(1) ** 2, lambda x: x.cumsum(1) ** 2, (S,)),
    Case("cumsum negative", lambda m, x: x.cumsum(dim=-1) * x, lambda x: x.cumsum(-1) * x, (R,)),
    Case("logsumexp", lambda m, x: x.logsumexp(1), lambda x: np.log(np.exp(x).sum(1)), (S,)),
    Case("logsumexp dims", lambda m, x: x.logsumexp((0, 2), keepdim=True) * x,
         lambda x: np.log(np.exp(x).sum((0, 2), keepdims=True)) * x, (S,)),
    Case("softmax", lambda m, x: x.softmax(1), lambda x: softmax(x, 1), (S,)),
    Case("softmax last", lambda m, x: m.softmax(x, dim=-1), lambda x: softmax(x, -1), (R,)),
    Case("log_softmax", lambda m, x: x.log_softmax(1), lambda x: np.log(softmax(x, 1)), (S,)),
    Case("argmax", lambda m, x: x.argmax(), np.argmax, (S,), "distinct", smooth=False),
    Case("argmax dim", lambda m, x: x.argmax(dim=1, keepdim=True),
         lambda x: x.argmax(1, keepdims=True), (S,), "distinct", smooth=False),
    Case("argmin dim", lambda m, x: x.argmin(-1), lambda x: x.argmin(-1), (S,), "distinct",
         smooth=False),
    Case("argsort", lambda m, x: x.argsort(dim=1, descending=True),
         lambda x: np.argsort(-x, 1), (S,), "distinct", smooth=False),
    Case("all any", lambda m, x: ((x > 0).all(1), (x > 0).any(dim=0, keepdim=True)),
         lambda x: ((x > 0).all(1), (x > 0).any(0, keepdims=True)), (S,), smooth=False),
]

COMPARISONS = [
    Case(name, function, expected, (R, R), "distinct shifted", smooth=False)
    for name, function, expected in (
        ("eq", lambda m, a, b: a == b.where(a > b, a), lambda a, b: a <= b),
        ("ne", lambda m, a, b: a != b.where(a > b, a), lambda a, b: a > b),
        ("lt", lambda m, a, b: a < b, np.less), ("le", lambda m, a, b: a.le(b), np.less_equal),
        ("gt", lambda m, a, b: a > b, np.greater),
        ("ge", lambda m, a, b: a >= b, np.greater_equal),
        ("number <", lambda m, a, b: (0.1 < a) & (b >= 0) | ~(a < b),  # noqa: SIM300
         lambda a, b: (a > 0.1) & (b >= 0) | (a >= b)),
        ("xor", lambda m, a, b: (a > 0) ^ (b > 0), lambda a, b: (a > 0) ^ (b > 0)),
        ("isfinite", lambda m, a, b: m.where(a > b, a, math.inf).isfinite() | b.isnan(),
         lambda a, b: a > b),
        ("isnan", lambda m, a, b: m.where(a > b, math.nan, a).isnan(), lambda a, b: a > b),
    )
]

SHAPES = [
    Case("reshape", lambda m, x: x.reshape(4, -1) ** 2, lambda x: x.reshape(4, -1) ** 2, (S,)),
    Case("reshape tuple", lambda m, x: x.reshape((24,)) ** 2, lambda x: x.reshape(24) ** 2, (S,)),
    Case("reshape 0-dim", lambda m, x: x.reshape(()) ** 2, lambda x: x.reshape(()) ** 2, ((1, 1),)),
    Case("view", lambda m, x: x.view(6, 4) ** 2, lambda x: x.reshape(6, 4) ** 2, (S,)),
    Case("transpose", lambda m, x: x.transpose(0, -1) ** 2, lambda x: x.swapaxes(0, -1) ** 2, (S,)),
    Case("permute", lambda m, x: x.permute(2, 0, -2) ** 2,
         lambda x: x.transpose(2, 0, 1) ** 2, (S,)),
    Case("T", lambda m, x: x.T @ x, lambda x: x.T @ x, (R,)),
    Case("mT", lambda m, x: x.mT @ x, lambda x: x.swapaxes(-1, -2) @ x, (S,)),
    Case("t", lambda m, x: x.t() ** 2, lambda x: x.T**2, (R,)),
    Case("unsqueeze", lambda m, x: x.unsqueeze(1) * x.unsqueeze(-3),
         lambda x: x[:, None] * x[None], (R,)),
    Case("squeeze", lambda m, x: x.squeeze() ** 2, lambda x: x.squeeze() ** 2, ((1, 3, 1),)),
    Case("squeeze dim", lambda m, x: x.squeeze(0).squeeze(0) ** 2,
         lambda x: x.squeeze(0) ** 2, ((1, 3, 1),)),
    Case("squeeze dims", lambda m, x: x.squeeze((0, 2)) ** 2, lambda x: x.squeeze() ** 2,
         ((1, 3, 1),)),
    Case("flatten", lambda m, x: x.flatten() ** 2, lambda x: x.reshape(-1) ** 2, (S,)),
    Case("flatten dims", lambda m, x: x.flatten(1, -1) ** 2, lambda x: x.reshape(2, 12) ** 2, (S,)),
    Case("expand", lambda m, x: x.expand(4, -1, 3) ** 2,
         lambda x: np.broadcast_to(x, (4, 2, 3)) ** 2, ((2, 1),)),
    Case("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3)) ** 2,
         lambda x: np.broadcast_to(x, (2, 3)) ** 2, ((3,),)),
    Case("flip", lambda m, x: x.flip(0, -1) * x, lambda x: np.flip(x, (0, -1)) * x, (S,)),
    Case("flip tuple", lambda m, x: m.flip(x, (1,)) * x, lambda x: np.flip(x, 1) * x, (R,)),
    Case("cat", lambda m, a, b: m.cat([a, b, a], dim=1) ** 2,
         lambda a, b: np.concatenate([a, b, a], 1) ** 2, ((2, 3), (2, 1))),
    Case("cat negative", lambda m, a, b: m.cat((a, b), -2) ** 2,
         lambda a, b: np.concatenate([a, b], 0) ** 2, ((2, 3), (1, 3))),
    Case("stack", lambda m, a, b: m.stack([a, b], dim=1) ** 2,
         lambda a, b: np.stack([a, b], 1) ** 2, (R, R)),
    Case("stack last", lambda m, a, b: m.stack((a, b), -1) ** 2,
         lambda a, b: np.stack([a, b], -1) ** 2, (R, R)),
    Case("stack 0-dim", lambda m, a, b: m.stack([a, b, a]) ** 2,
         lambda a, b: np.stack([a, b, a]) ** 2, ((), ())),
    Case("split", lambda m, x: x.split(2, dim=1)[1] * x.split([1, 3, 1], dim=1)[2],
         lambda x: x[:, 2:4] * x[:, 4:], ((2, 5),)),
    Case("chunk", lambda m, x: x.chunk(2, dim=-1)[0] ** 2, lambda x: x[:, :3] ** 2, ((2, 5),)),
    Case("gather", lambda m, x: x.gather(1, m.tensor([[0, 0], [2, 1]], device=x.device)) ** 2,
         lambda x: np.take_along_axis(x, np.array([[0, 0], [2, 1]]), 1) ** 2, (R,)),
    Case("gather dim 0", lambda m, x: x.gather(0, m.tensor([[0, 1, 0]], device=x.device)) ** 2,
         lambda x: np.take_along_axis(x, np.array([[0, 1, 0]]), 0) ** 2, (R,)),
]


def _indexing(
    name: str, index: Any, shape: tuple[int, ...] = (4, 3, 5), expected: Any = None
) -> Case:
    """x[index]; a list in the index becomes an integer or bool tensor on the device of x."""

    def place(m: Any, x: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        parts = tuple(m.tensor(p, device=x.device) if isinstance(p, list) else p for p in parts)
        return parts if isinstance(index, tuple) else parts[0]

    arrays = tuple(np.array(p) if isinstance(p, list) else p for p in index) if isinstance(
        index, tuple) else np.array(index) if isinstance(index, list) else index
    return Case("index " + name, lambda m, x: x[place(m, x)] ** 2,
                expected or (lambda x: x[arrays] ** 2), (shape,))


INDEXING = [
    _indexing("integer", 1),
    _indexing("negative", -1),
    _indexing("integers", (1, -1, 2)),
    _indexing("slice", slice(1, 3)),
    _indexing("steps", (slice(None, None, 2), slice(None), slice(1, -1))),
    _indexing("None", (None, 1, None)),
    _indexing("ellipsis", (..., 2)),
    _indexing("ellipsis in the middle", (0, ..., slice(1))),
    _indexing("nothing", ()),
    _indexing("empty slice", slice(2, 2)),
    _indexing("integer tensor", [2, 0, 0, 3, -1]),
    _indexing("integer matrix", (slice(None), [[0, 1], [2, 2]])),
    _indexing("two integer tensors", ([0, 3, 3], [1, 2, 2])),
    _indexing("tensors apart", ([0, 3], slice(None), [1, 4])),
    _indexing("tensors broadcast", ([[0], [2]], [1, 2, 0])),
    _indexing("integer and tensor", (1, slice(None), [0, 4]),
              expected=lambda x: x[1][:, [0, 4]] ** 2),
    _indexing("integer beside tensor", (slice(None), 1, [0, 4, 4])),
    _indexing("integer, mask and None", (None, [[True, False, False]] * 4, ..., 1),
              expected=lambda x: x[..., 1][:, 0][None] ** 2),
    _indexing("mask", [True, False, False, True]),
    _indexing("mask later", (slice(1, 3), [True, False, True])),
    _indexing("mask of two axes", [[True, False, False], [False, True, True]], (2, 3, 2)),
    Case("index own mask", lambda m, x: x[x > 0] ** 3, lambda x: x[x > 0] ** 3, (S,), "distinct"),
    Case("index list", lambda m, x: x[[1, 0, 1]] ** 2, lambda x: x[[1, 0, 1]] ** 2, (R,)),
    Case("index list of bools", lambda m, x: x[:, [True, False, True]] ** 2,
         lambda x: x[:, [0, 2]] ** 2, (R,)),
    Case("iterate", lambda m, x: m.stack([row * i for i, row in enumerate(x)]) * x,
         lambda x: x * np.arange(2)[:, None] * x, (R,)),
]


def _written(place: Any) -> Callable[..., Any]:
    """x² with v² written at a place."""

    def function(m: Any, x: Any, v: Any) -> Any:
        y = x * x
        y[m.tensor(place, device=x.device) if isinstance(place, list) else place] = v * v
        return y * x

    return function


def _overwritten(place: Any) -> Callable[..., Any]:
    def expected(x: Any, v: Any) -> Any:
        y = x * x
        y[place] = v * v
        return y * x

    return expected


INDEXING += [
    Case(f"write at {name}", _written(place), _overwritten(place), ((4, 3), shape))
    for name, place, shape in (
        ("integer", 1, (3,)), ("slices", (slice(1, 3), slice(None, None, 2)), (2, 2)),
        ("broadcast", (..., 0), ()), ("integer tensor", [2, 0], (2, 3)),
        ("mask", [True, False, True, True], (3, 3)), ("everywhere", ..., (4, 1)),
    )
]


def _matmul(a: tuple[int, ...], b: tuple[int, ...]) -> Case:
    return Case(f"matmul {a} {b}", lambda m, x, y: x @ y, lambda x, y: np.matmul(x, y), (a, b))


PRODUCTS = [
    *(_matmul(a, b) for a, b in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (2, 3, 4)),
        ((2, 2, 3), (3, 4)), ((2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((3,), (2, 3, 2)),
        ((2, 2, 3), (3,)), ((2, 1, 3, 2), (2,)), ((1, 1), (1, 1)), ((2, 0), (0, 3)),
    )),
    Case("matmul()", lambda m, a, b: m.matmul(a, b), np.matmul, (R, (3, 2))),
    Case("a @ a", lambda m, a: a @ a @ a, lambda a: a @ a @ a, ((3, 3),)),
    Case("mm", lambda m, a, b: a.mm(b), np.matmul, (R, (3, 2))),
    Case("bmm", lambda m, a, b: m.bmm(a, b), np.matmul, ((2, 2, 3), (2, 3, 2))),
    Case("dot", lambda m, a, b: a.dot(b), np.dot, ((4,), (4,))),
    Case("linear", lambda m, x, w, b: linalg.linear(x, w, b), lambda x, w, b: x @ w.T + b,
         ((4, 3), (2, 3), (2,)), torch=False),
    Case("linear no bias", lambda m, x, w: linalg.linear(x, w, None), lambda x, w: x @ w.T,
         ((2, 4, 3), (2, 3)), torch=False),
    Case("linear one row", lambda m, x, w, b: linalg.linear(x, w, b), lambda x, w, b: x @ w.T + b,
         ((3,), (2, 3), (2,)), torch=False),
]


def _einsum(subscripts: str, *shapes: tuple[int, ...], numpy: str | None = None) -> Case:
    def expected(*xs: np.ndarray) -> Any:
        return np.einsum(numpy or subscripts, *xs)

    return Case("einsum " + subscripts, lambda m, *xs: m.einsum(subscripts, *xs), expected, shapes)


PRODUCTS += [
    _einsum("ij,jk->ik", (2, 3), (3, 4)),
    _einsum("ij,jk", (2, 3), (3, 4)),
    _einsum("ba,ac", (2, 3), (3, 4)),
    _einsum("ij -> ji", (2, 3)),
    _einsum("ij->", (2, 3)),
    _einsum("ij", (2, 3)),
    _einsum("ba", (2, 3)),
    _einsum("ijk->j", (2, 3, 4)),
    _einsum("i,j->ij", (2,), (3,)),
    _einsum("ij,ij->", (2, 3), (2, 3)),
    _einsum("bij,bj->bi", (2, 3, 4), (2, 4)),
    _einsum("bhqd,bhkd->bhqk", (2, 2, 2, 3), (2, 2, 3, 3)),
    _einsum("...ij,...jk->...ik", (2, 3, 2), (2, 4)),
    _einsum("...i,i->...", (2, 3, 4), (4,)),
    _einsum("i...->...", (2, 3)),
    _einsum("...ij->...ji", (2, 3, 4)),
    _einsum("...i,...i", (2, 3), (3,)),
    _einsum("ii->i", (3, 3)),
    _einsum("ii", (3, 3)),
    _einsum("iji->j", (3, 2, 3)),
    _einsum("iij,jk->ik", (2, 2, 3), (3, 2)),
    _einsum("iii->i", (2, 2, 2)),
    _einsum("ij,kl->i", (2, 3), (2, 2)),
    _einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
    _einsum("i,i,i->i", (3,), (3,), (3,)),
    _einsum("a,b,c,d->ac", (2,), (3,), (2,), (2,)),
    _einsum(",ij->ij", (), (2, 3)),
    _einsum("ij,ij->ij", (2, 3), (1, 3)),
]


def _cross_entropy(m: Any, x: Any) -> Any:
    labels = m.tensor([2, 0, 3], device=x.device)
    return loss.cross_entropy(x, labels, 0.5)


def _p_minus_1(x: Any) -> Any:
    return softmax(x, 1) - np.eye(4)[[2, 0, 3]]


def _gelu_tanh(x: Any) -> tuple[Any, Any]:
    t = np.tanh(np.sqrt(2 / _pi(x)) * (x + _whole(44715, x) / 1000000 * x**3))
    return x * (1 + t) / 2, t


def _pi(x: Any) -> Any:
    return np.arctan(_whole(1, x)) * 4


def _whole(n: int, x: Any) -> Any:
    """An integer in the precision of x, to make constants of."""
    return np.full((), n, x.dtype)


ACTIVATIONS = [
    Case("leaky_relu", lambda m, x: activation.leaky_relu(x, slope=0.25),
         lambda x: np.where(x > 0, x, x / 4), (R,), "signed", torch=False),
    Case("elu", lambda m, x: activation.elu(x, alpha=1.5),
         lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * 3 / 2), (R,), "signed",
         torch=False),
    Case("silu and sigmoid", lambda m, x: activation.silu(x),
         lambda x: (x / (1 + np.exp(-x)), 1 / (1 + np.exp(-x))), (R,), torch=False),
    Case("gelu and cdf", lambda m, x: activation.gelu(x),
         lambda x: (x * (1 + erf(x / np.sqrt(_whole(2, x)))) / 2,
                    (1 + erf(x / np.sqrt(_whole(2, x)))) / 2), (R,), torch=False),
    Case("gelu_tanh and tanh", lambda m, x: activation.gelu_tanh(x), _gelu_tanh, (R,),
         torch=False),
    Case("gelu", lambda m, x: activation.gelu(x)[0],
         lambda x: x * (1 + erf(x / np.sqrt(_whole(2, x)))) / 2, (R,), torch=False),
]

LOSSES = [
    Case("cross_entropy", _cross_entropy,
         lambda x: (-np.log(softmax(x, 1))[[0, 1, 2], [2, 0, 3]].sum() / 2, _p_minus_1(x)),
         ((3, 4),), torch=False),
    Case("huber", lambda m, x: loss.huber(x, delta=1.1),
         lambda x: np.where(abs(x) < 1.1, x * x / 2, (abs(x) * 11 - np.full((), 6.05)) / 10),
         ((2, 5),), "distinct", torch=False),
    Case("floored_log", lambda m, x: loss.floored_log(x, low=-100.0), np.log, (R,), "positive",
         torch=False),
]

CASES = [*UNARY, *BINARY, *REDUCTIONS, *COMPARISONS, *SHAPES, *INDEXING, *PRODUCTS, *ACTIVATIONS,
         *LOSSES]
SMOOTH = [case for case in CASES if case.smooth]
assert len({case.name for case in CASES}) == len(CASES)
