"""The steps of a norm in the words of Kratzert's walk through BatchNorm (2016), stated once.

Each is a name and a formula in Python, which reads what stands before it. ``opened.py`` runs them
on tensors, for the graph; ``study/walk/stages.py`` on arrays, each with the gradient that it gives
back. ``mean`` is over the axes that are reduced.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def moments(*, centred: bool) -> dict[str, str]:
    """From x to its variance, or to its mean square."""
    first = {"mu": "mean(x)", "xmu": "x - mu"} if centred else {}
    return {**first, "sq": "square(xmu)" if centred else "square(x)", "var": "mean(sq)"}


def normalize(*, centred: bool, gamma: bool, beta: bool) -> dict[str, str]:
    """From x to the output, which is the last of them."""
    steps = moments(centred=centred) | {
        "sqrtvar": "sqrt(var + eps)", "ivar": "1 / sqrtvar",
        "xhat": "xmu * ivar" if centred else "x * ivar"}
    if gamma:
        steps["gammax"] = "gamma * xhat"
    if beta:
        steps["out"] = "gammax + beta" if gamma else "xhat + beta"
    return steps


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Any:
    return compile(expression, f"<{expression}>", "eval")


def evaluate(expression: str, values: Mapping[str, Any], functions: Mapping[str, Any]) -> Any:
    """What a formula gives."""
    return eval(_compiled(expression), {"__builtins__": {}, **functions}, dict(values))
