"""What the engine's operations compute, and what they give back: for the walk to show.

An operation's inputs and settings have the names that they have in ``ops/``; y is its result and
dy the gradient of that. ``sum`` is over the operation's own axes, ``n`` the number of values summed
to one; ``cdf`` and ``density`` are the normal distribution's. What is missing here is shown by name
alone. The numbers of a walk come from the engine; the tests hold these formulas to them.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """The forward formula, and one for the gradient of each input."""

    forward: str
    back: dict[str, str]


def _one(forward: str, back: str) -> Rule:
    return Rule(forward, {"x": back})


RULES = {
    "add": Rule("a + b", {"a": "dy", "b": "dy"}),
    "sub": Rule("a - b", {"a": "dy", "b": "-dy"}),
    "mul": Rule("a * b", {"a": "dy * b", "b": "dy * a"}),
    "div": Rule("a / b", {"a": "dy / b", "b": "-dy * y / b"}),
    "pow": Rule("a ** b", {"a": "dy * b * a ** (b - 1)", "b": "dy * y * log(a)"}),
    "maximum": Rule("max(a, b)", {}),
    "minimum": Rule("min(a, b)", {}),
    "where": Rule("where(condition, a, b)", {"a": "where(condition, dy, 0)",
                                             "b": "where(condition, 0, dy)"}),
    "dropout": _one("x * mask", "dy * mask"),
    "neg": _one("-x", "-dy"),
    "reciprocal": _one("1 / x", "-dy * y ** 2"),
    "square": _one("x ** 2", "2 * x * dy"),
    "abs": _one("abs(x)", "dy * sign(x)"),
    "exp": _one("exp(x)", "dy * y"),
    "expm1": _one("exp(x) - 1", "dy * exp(x)"),
    "log": _one("log(x)", "dy / x"),
    "log1p": _one("log(1 + x)", "dy / (1 + x)"),
    "sqrt": _one("sqrt(x)", "dy / (2 * y)"),
    "rsqrt": _one("1 / sqrt(x)", "-dy * y ** 3 / 2"),
    "sin": _one("sin(x)", "dy * cos(x)"),
    "cos": _one("cos(x)", "-dy * sin(x)"),
    "tanh": _one("tanh(x)", "dy * (1 - y ** 2)"),
    "sigmoid": _one("1 / (1 + exp(-x))", "dy * y * (1 - y)"),
    "softplus": _one("log(1 + exp(x))", "dy / (1 + exp(-x))"),
    "erf": _one("erf(x)", "1.1283791670955126 * dy * exp(-x ** 2)"),
    "relu": _one("max(x, 0)", "dy * (x > 0)"),
    "leaky_relu": _one("where(x > 0, x, slope * x)", "where(x > 0, dy, slope * dy)"),
    "elu": _one("where(x > 0, x, alpha * (exp(x) - 1))", "where(x > 0, dy, dy * alpha * exp(x))"),
    "clamp": Rule("clamp(x)", {}), "silu": Rule("x / (1 + exp(-x))", {}),
    "gelu": _one("x * cdf(x)", "dy * (cdf(x) + x * density(x))"),
    "gelu_slope": _one("cdf(x) + x * density(x)", "dy * density(x) * (2 - x ** 2)"),
    "gelu_curvature": _one("density(x) * (2 - x ** 2)", "dy * density(x) * (x ** 3 - 4 * x)"),
    "gaussian": _one("scale * exp(-rate * x ** 2)", "-2 * rate * dy * x * y"),
    "gelu_tanh": Rule("gelu_tanh(x)", {}),
    "huber": Rule("huber(x)", {}), "floored_log": Rule("log(x)", {}),
    "cast": _one("x", "dy"), "copy": _one("x", "dy"), "expand": _one("x", "dy"),
    "sum": _one("sum(x)", "ones(x) * dy"),
    "mean": _one("sum(x) / n", "ones(x) * dy / n"),
    "amax": Rule("largest(x)", {}), "amin": Rule("smallest(x)", {}),
    "logsumexp": _one("log(sum(exp(x)))", "dy * exp(x - y)"),
    "softmax": _one("exp(x) / sum(exp(x))", "y * (dy - sum(dy * y))"),
    "log_softmax": _one("x - log(sum(exp(x)))", "dy - exp(y) * sum(dy)"),
    "matmul": Rule("a @ b", {"a": "dy @ b.T", "b": "a.T @ dy"}),
    "linear": Rule("x @ weight.T + bias", {"x": "dy @ weight", "weight": "dy.T @ x",
                                           "bias": "total(dy)"}),
    "reshape": _one("reshape(x)", "reshape(dy)"),
    "permute": _one("permute(x)", "permute_back(dy)"),
    "flip": _one("flip(x)", "flip(dy)"),
    "index": _one("pick(x)", "put(dy)"),
}

ELEMENTWISE = frozenset(RULES) - frozenset((
    "sum", "mean", "amax", "amin", "logsumexp", "softmax", "log_softmax", "matmul", "linear",
    "reshape", "permute", "flip", "index"))
"""Each cell of the result depends on the cells in its place."""
REDUCING = frozenset(("sum", "mean", "amax", "amin", "logsumexp"))
ALONG = frozenset(("softmax", "log_softmax", "normalize", "moments", "var", "std"))
"""Each cell depends on all that lie with it along the axes of the operation."""
MOVING = frozenset(("reshape", "permute", "flip", "index", "cat", "stack"))
"""Each cell is a cell of an input."""
