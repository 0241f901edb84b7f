"""The table of operations. A new one is a new row; test_ops.py and test_torch_ops.py read it.

A row: a name; a function ``(module, *tensors)`` in the words that tinygrad_norm and PyTorch share;
what NumPy makes of the same arrays, in any precision; the inputs' shapes; where the inputs lie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from case import Case, R, S, erf, pi, softmax, whole
from cases_arrangement import INDEXING, PRODUCTS, SHAPES
from cases_windows import WINDOWS

from tinygrad_norm.ops import activation, choice, elementwise, loss

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
    Case("//", lambda m, a, b: (a / 8 - 9.5) // (b * b / 8 + 4) * a,
         lambda a, b: np.floor((a / 8 - 9.5) / (b * b / 8 + 4)) * a, (R, R), torch=False),
    Case("div floor", lambda m, a, b: m.div(a / 8 - 9.5, b / 8 + 4, rounding_mode="floor") * a,
         lambda a, b: np.floor((a / 8 - 9.5) / (b / 8 + 4)) * a, ((2, 1), (3,)), "real positive"),
    Case("div trunc", lambda m, a, b: (a / 8 - 9.5).div(b / 8 + 4, rounding_mode="trunc") * a,
         lambda a, b: np.trunc((a / 8 - 9.5) / (b / 8 + 4)) * a, (R, R), "real positive"),
    Case("%", lambda m, a, b: (a / 8 - 9.5) % (b * b / 8 + 4) * a,
         lambda a, b: np.remainder(a / 8 - 9.5, b * b / 8 + 4) * a, (R, R)),
    Case("number %", lambda m, a: 9.5 % (a * a / 8 + 4) * a,
         lambda a: np.remainder(9.5, a * a / 8 + 4) * a, (R,), torch=False),
    Case("fmod", lambda m, a, b: m.fmod(a / 8 - 9.5, b * b / 8 + 4) * a,
         lambda a, b: np.fmod(a / 8 - 9.5, b * b / 8 + 4) * a, ((2, 1), (3,))),
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

REDUCTIONS = [
    Case("sum", lambda m, x: x.sum(), np.sum, (R,)),
    Case("sum dim", lambda m, x: x.sum(1) ** 2, lambda x: x.sum(1) ** 2, (S,)),
    Case("sum dims keepdim", lambda m, x: x.sum((0, -1), keepdim=True) * x,
         lambda x: x.sum((0, -1), keepdims=True) * x, (S,)),
    Case("sum 0-dim", lambda m, x: x.sum() * x.sum(0), lambda x: x * x, ((),)),
    Case("0-dim along an axis", lambda m, x: (
        x.mean(0), x.amax(-1), x.amin((0,)) ** 2, x.max(0).values ** 3, x.min(-1)[0], x.prod(0),
        x.cumsum(-1) ** 2, x.softmax(0), x.log_softmax(-1), x.logsumexp(0, keepdim=True) ** 2,
        x.var(0, correction=0), x.mean(dim=-1, keepdim=True) * x),
         lambda x: (x, x, x * x, x**3, x, x, x * x, x * 0 + 1, x * 0, x * x, x * 0, x * x), ((),)),
    Case("0-dim along an axis, whole", lambda m, x: (
        x.argmax(0), x.argmin(-1), x.max(0, keepdim=True).indices, x.argsort(-1),
        (x > 0).all(0), (x > 0).any((-1,), keepdim=True), x.std(0, correction=0)),
         lambda x: (*(np.zeros((), "int64"),) * 4, *(x > 0,) * 2, x * 0), ((),), "positive",
         smooth=False),
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


def _gelu_tanh(x: Any) -> tuple[Any, Any]:
    t = np.tanh(np.sqrt(2 / pi(x)) * (x + whole(44715, x) / 1000000 * x**3))
    return x * (1 + t) / 2, (1 + t) / 2


def _cdf(x: Any) -> Any:
    return (1 + erf(x / np.sqrt(whole(2, x)))) / 2


def _density(x: Any) -> Any:
    return np.exp(x * x / -2) / np.sqrt(2 * pi(x))


def _cross_entropy(m: Any, x: Any) -> Any:
    labels = m.tensor([2, 0, 3], device=x.device)
    return loss.cross_entropy(x, labels, 0.5)


def _p_minus_1(x: Any) -> Any:
    return softmax(x, 1) - np.eye(4)[[2, 0, 3]]


ACTIVATIONS = [
    Case("dropout", lambda m, x: choice.dropout(x, 2.0, p=0.5), lambda x: 2 * x, (R,),
         torch=False),
    Case("leaky_relu", lambda m, x: activation.leaky_relu(x, slope=0.25),
         lambda x: np.where(x > 0, x, x / 4), (R,), "signed", torch=False),
    Case("elu", lambda m, x: activation.elu(x, alpha=1.5),
         lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)) * 3 / 2), (R,), "signed",
         torch=False),
    Case("silu and sigmoid", lambda m, x: activation.silu(x),
         lambda x: (x / (1 + np.exp(-x)), 1 / (1 + np.exp(-x))), (R,), torch=False),
    Case("gelu_tanh and sigmoid", lambda m, x: activation.gelu_tanh(x), _gelu_tanh, (R,),
         torch=False),
    Case("gelu", lambda m, x: activation.gelu(x), lambda x: x * _cdf(x), (R,), torch=False),
    Case("gelu_slope", lambda m, x: activation.gelu_slope(x),
         lambda x: _cdf(x) + x * _density(x), (R,), torch=False),
    Case("gelu_curvature", lambda m, x: activation.gelu_curvature(x),
         lambda x: _density(x) * (2 - x * x), (R,), torch=False),
    Case("gaussian", lambda m, x: elementwise.gaussian(x, rate=0.5, scale=0.25),
         lambda x: np.exp(x * x / -2) / 4, (R,), torch=False),
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
         *LOSSES, *WINDOWS]
SMOOTH = [case for case in CASES if case.smooth]
assert len({case.name for case in CASES}) == len(CASES)
