"""The six norms, stage by stage: every formula of the walk, forward and back.

The steps that all of them share stand in ``viz/norm_steps.py``; here they get their gradients.

The names are those of Kratzert's "Understanding the backward pass through Batch Normalization
Layer" (2016). ``sum`` is over the axes that are reduced, ``share`` over those along which gamma is
the same; both keep them as length 1. ``ones(v)`` spreads a value over the shape of v. n is the
number of values that are reduced to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ...viz import norm_steps
from .arrangement import Norm


class Step(NamedTuple):
    """A value, its formula, a few words, and the gradients that it gives back, in that order."""

    name: str
    expression: str
    says: str
    gradients: dict[str, str]


def steps(norm: Norm) -> Iterator[Step]:
    """From x to out."""
    stated = norm_steps.normalize(centred=norm.arrangement.centred, gamma=norm.weight is not None,
                                  beta=norm.bias is not None)
    formulas = {name: spelled(expression) for name, expression in stated.items()}
    yield from _statistics(norm, formulas) if norm.own else _given(norm, formulas)
    share = "share({})" if norm.arrangement.shared else "{}"
    last = "xhat"
    if norm.weight is not None:
        yield Step("gammax", formulas["gammax"], "scaled",
                   {"gamma": share.format("dgammax * xhat"), "xhat": "dgammax * gamma"})
        last = "gammax"
    if norm.bias is not None:
        yield Step("out", formulas["out"], "shifted: the output",
                   {"beta": share.format("dout"), last: "dout"})


def spelled(expression: str) -> str:
    """A mean as a sum by n, a square as a power: what is differentiated here step by step."""
    expression = re.sub(r"\bmean\((\w+)\)", r"sum(\1) / n", expression)
    return re.sub(r"\bsquare\((\w+)\)", r"\1**2", expression)


def _statistics(norm: Norm, formulas: Mapping[str, str]) -> Iterator[Step]:
    """x̂ with the statistics of x."""
    centred = norm.arrangement.centred
    xmu = "xmu" if centred else "x"
    if centred:
        yield Step("mu", formulas["mu"], "mean", {"x": "ones(x) * dmu / n"})
        yield Step("xmu", formulas["xmu"], "deviation from the mean",
                   {"x": "dxmu", "mu": "-sum(dxmu)"})
    yield Step("sq", formulas["sq"], "squared", {xmu: f"2 * {xmu} * dsq"})
    yield Step("var", formulas["var"],
               "variance, biased: divided by n" if centred else "mean square",
               {"sq": "ones(sq) * dvar / n"})
    yield Step("sqrtvar", formulas["sqrtvar"],
               "standard deviation, with eps" if centred else "root mean square, with eps",
               {"var": "dsqrtvar / (2 * sqrtvar)"})
    yield Step("ivar", formulas["ivar"], "one over it", {"sqrtvar": "-divar / sqrtvar**2"})
    renorm = norm.kind == "batch_renorm"
    xhat = "xnorm" if renorm else "xhat"
    yield Step(xhat, formulas["xhat"], "normalized",
               {"ivar": f"sum(d{xhat} * {xmu})", xmu: f"d{xhat} * ivar"})
    if renorm:
        yield Step("r", "clip(sqrtvar / running_std, 1 / rmax, rmax)",
                   "how much wider than usual, within bounds; no gradient flows", {})
        yield Step("d", "clip((mu - running_mean) / running_std, -dmax, dmax)",
                   "how far from the usual mean, within bounds; no gradient flows", {})
        yield Step("xhat", "xnorm * r + d", "scaled by r, shifted by d",
                   {"xnorm": "dxhat * r"})


def _given(norm: Norm, formulas: Mapping[str, str]) -> Iterator[Step]:
    """x̂ with statistics that do not depend on x."""
    yield Step("xmu", "x - running_mean", "deviation from the running mean", {"x": "dxmu"})
    if norm.kind == "batch_renorm":
        yield Step("ivar", "1 / running_std", "one over the running deviation", {})
    else:
        yield Step("sqrtvar", "sqrt(running_var + eps)", "running standard deviation, with eps", {})
        yield Step("ivar", formulas["ivar"], "one over it", {})
    yield Step("xhat", formulas["xhat"], "normalized", {"xmu": "dxhat * ivar"})


def remembered(norm: Norm) -> Iterator[Step]:
    """The side branch: how the running statistics move in training. No gradient flows here."""
    if norm.momentum is None:
        return
    new = {"instance_norm": "average({})"}.get(norm.kind, "{}").format
    moved = "(1 - momentum) * {0} + momentum * {1}".format
    yield Step("new_running_mean", moved("running_mean", new("mu")), "for eval", {})
    if norm.kind == "batch_renorm":
        yield Step("new_running_std", moved("running_std", "sqrtvar"), "for eval", {})
        return
    yield Step("var_unbiased", "var * n / (n - 1)",
               "the unbiased estimate: divided by n − 1; only what is remembered takes it", {})
    yield Step("new_running_var", moved("running_var", new("var_unbiased")), "for eval", {})
