"""The same gradients in several ways, and how far these are from each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...viz.norm_steps import evaluate
from .findings import Badge, Column, Decomposition, Identity, Part, Truth, Wrong
from .formula import formula
from .norms import Engine, Walk, functions, norm_of, sums
from .stages import steps

EXACT, CLOSE = 1e-12, 1e-8
"""Tolerances relative to the scale; the second for finite differences."""
STEP = 1e-4
"""Of the finite differences, in standard deviations."""
WEIGHTS = ((1, 2 / 3), (2, -1 / 12))
"""Of (f(x + k h) - f(x - k h)) / h: the error is of order h⁴."""

Gradients = dict[str, np.ndarray]
STAGED, CLOSED, ENGINE, FINITE = "staged", "closed form", "engine", "finite differences"


def closed_form(walk: Walk, dy: np.ndarray) -> Gradients:
    """dx, dgamma, dbeta without stages:

    g = γ dy (r γ dy);  dx = (g − Σg/n − x̂ Σ(g x̂)/n) / √(σ²+ε);  dγ = Σ dy x̂;  dβ = Σ dy
    """
    values, found = walk.values, walk.norm.arrangement
    axes, shared = tuple(found.reduced), tuple(found.shared)
    g = dy * values.get("gamma", 1.0) * values.get("r", 1.0)
    xhat = values.get("xnorm", values["xhat"])
    dx = g * values["ivar"]
    if walk.norm.own:
        along = xhat * (g * xhat).mean(axis=axes, keepdims=True)
        middle = g.mean(axis=axes, keepdims=True) if found.centred else 0.0
        dx = (g - middle - along) * values["ivar"]
    result = {"dx": dx}
    if "gamma" in values:
        result["dgamma"] = (dy * values["xhat"]).sum(axis=shared, keepdims=True)
    if "beta" in values:
        result["dbeta"] = dy.sum(axis=shared, keepdims=True)
    return result


def finite_differences(walk: Walk, dy: np.ndarray) -> Gradients:
    """Of Σ dy y, through the forward formulas; r and d of BatchRenorm stand still."""
    program = [s for s in steps(walk.norm) if s.name not in ("r", "d")]
    known = functions(walk.norm.arrangement)
    values = dict(walk.values)
    spread = 1 / walk.values["ivar"]

    def quotients(name: str, axes: list[int]) -> np.ndarray:
        """By what can feel a cell: the sum over the axes. NaN of other sets stays out of it."""
        array = values[name] = walk.values[name].copy()

        def loss(cell: tuple[int, ...]) -> float:
            for step in program:
                values[step.name] = evaluate(step.expression, values, known)
            parts = (values[walk.output] * dy).sum(axis=tuple(axes), keepdims=True)
            return float(parts[tuple(0 if k in axes else i for k, i in enumerate(cell))])

        wide = np.broadcast_to(spread, array.shape) if name == "x" else np.ones(array.shape)
        return difference_quotients(loss, array, STEP * wide)

    found = walk.norm.arrangement
    return {f"d{name}": quotients(name, axes) for name, axes in (
        ("x", found.reduced), ("gamma", found.shared), ("beta", found.shared))
        if name in walk.values}


def difference_quotients(
    loss: Callable[[tuple[int, ...]], float], array: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """dloss/darray, cell by cell; the array is put back as it was."""
    result = np.zeros(array.shape)
    for cell in np.ndindex(array.shape):
        before, total = array[cell].copy(), 0.0
        for k, weight in WEIGHTS:
            ends = []
            for sign in (1, -1):
                array[cell] = before + sign * k * step[cell]
                ends.append((loss(cell), float(array[cell])))
            (up, high), (down, low) = ends
            # as far as it went: x + h is rounded
            width = high - low
            total += weight * 2 * k * (up - down) / width if width else math.nan
        array[cell] = before
        result[cell] = total
    return result


def truth(walk: Walk, dy: np.ndarray, fused: Engine) -> Truth:
    """The four columns, and every two of them compared.

    The scale of a difference is the largest of what was added up, times |x|/σ where that is more
    than 1: so many digits are lost where μ is subtracted from x.
    """
    found = walk.norm.arrangement
    view = dy.reshape(found.view)
    names = list(fused.gradients)
    ways = {STAGED: walk.gradients, CLOSED: closed_form(walk, view), ENGINE: fused.gradients,
            FINITE: finite_differences(walk, view)}
    shapes = {name: found.shape if name == "dx" else found.parameters for name in names}
    columns = {way: {name: gradients[name].reshape(shapes[name]) for name in names}
               for way, gradients in ways.items()}
    shared = tuple(found.shared)
    terms = {"dx": view * walk.values.get("gamma", 1.0) * walk.values["ivar"],
             "dgamma": np.abs(view * walk.values["xhat"]).sum(axis=shared),
             "dbeta": np.abs(view).sum(axis=shared)}
    lost = max(1.0, largest(walk.values["x"] * walk.values["ivar"]))
    scales = {name: lost * largest(np.asarray(terms[name])) for name in names}
    loss = largest(np.abs(view * walk.values[walk.output]).sum(axis=shared))
    rough = {name: scale if name == "dx" else max(scale, loss) for name, scale in scales.items()}
    return compared(columns, scales, rough)


def compared(
    columns: Mapping[str, Gradients], scales: Mapping[str, float],
    rough: Mapping[str, float] | None = None,
) -> Truth:
    """Every two columns, gradient by gradient; ``rough`` are the scales of finite differences, in
    which the loss is rounded."""
    ways = list(columns)
    badges = [badge(name, one, other, columns[one][name], columns[other][name],
                    (rough if rough and FINITE in (one, other) else scales)[name])
              for name in scales for i, one in enumerate(ways) for other in ways[i + 1:]
              if name in columns[one] and name in columns[other]]
    return Truth([Column(way, {name: value.tolist() for name, value in gradients.items()})
                  for way, gradients in columns.items()], badges)


def badge(
    of: str, one: str, other: str, a: np.ndarray, b: np.ndarray, scale: float
) -> Badge:
    """How far a is from b."""
    tolerance = CLOSE if FINITE in (one, other) else EXACT
    if np.array_equal(a, b, equal_nan=True):
        return Badge(of, one, other, "exact", 0.0, scale, tolerance)
    size = apart(a, b)
    close = size is not None and size <= tolerance * scale
    return Badge(of, one, other, "≈" if close else "differs", size, scale, tolerance)


def apart(a: np.ndarray, b: np.ndarray) -> float | None:
    """The largest difference; None where one is NaN or infinite and the other is not the same."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    size = float(np.where(same, 0.0, np.abs(a - b)).max(initial=0.0))
    return size if math.isfinite(size) else None


def largest(value: np.ndarray) -> float:
    """Of the finite values."""
    return float(np.abs(value).max(initial=0.0, where=np.isfinite(value)))


# -- the ways from x to y --------------------------------------------------------------------------


def decomposition(walk: Walk) -> Decomposition:
    """dx = direct + through μ + through σ² (+ from σ² through μ, which is 0)."""
    found, known = walk.norm.arrangement, functions(walk.norm.arrangement)
    gradients, written = walk.gradients, sums(walk.norm.arrangement)
    scope = {**walk.values, **gradients}
    if not walk.norm.own:
        ways = {"direct": "dxmu"}
    elif found.centred:
        ways = {"direct": "dxmu1", "through μ": "-ones(x) * sum(dxmu1) / n",
                "through σ²": "dxmu2", "through σ², then μ": "-ones(x) * sum(dxmu2) / n"}
    else:
        ways = {"direct": "dx1", "through the mean square": "dx2"}
    parts, total = [], np.zeros(found.view)
    for name, expression in ways.items():
        value = np.asarray(evaluate(expression, scope, known))
        total = total + value
        parts.append(Part(name, formula("dx", expression, written),
                          value.reshape(found.shape).tolist(), norm_of(value)))
    return Decomposition(parts, largest(total - gradients["dx"]))


def wrong(walk: Walk) -> Wrong | None:
    """What comes out where μ and σ² are taken for constants."""
    if not walk.norm.own:
        return None
    found = walk.norm.arrangement
    right = walk.gradients["dx"]
    dx = walk.gradients["dxmu1" if found.centred else "dx1"]
    return Wrong(dx.reshape(found.shape).tolist(), norm_of(dx),
                 right.reshape(found.shape).tolist(), norm_of(right), norm_of(dx - right),
                 _of_sets(dx, walk), _of_sets(right, walk))


def _of_sets(value: np.ndarray, walk: Walk) -> list[float]:
    total: Any = value.sum(axis=tuple(walk.norm.arrangement.reduced))
    return np.asarray(total).reshape(-1).tolist()


def identities(walk: Walk, dy: np.ndarray) -> list[Identity]:
    """Σdx = 0 and Σdx·x̂ = rstd Σ(γ dy x̂) ε/(σ²+ε), set by set."""
    if not walk.norm.own:
        return []
    values, found = walk.values, walk.norm.arrangement
    dx = walk.gradients["dx"]
    name = "xnorm" if "xnorm" in values else "xhat"
    g = dy.reshape(found.view) * values.get("gamma", 1.0) * values.get("r", 1.0)
    factor = "γ·" * ("gamma" in values) + "r·" * ("r" in values)
    kept = values["eps"] * values["ivar"] ** 2
    spread = "σ²" if found.centred else "mean square"
    result = []
    if found.centred:
        result.append(_identity("Σdx = 0", dx, np.zeros(found.view), walk))
    result.append(_identity(f"Σdx·{name} = ivar·Σ({factor}dy·{name})·ε/({spread}+ε)",
                            dx * values[name], g * values[name] * values["ivar"] * kept, walk))
    return result


def _identity(text: str, left: np.ndarray, right: np.ndarray, walk: Walk) -> Identity:
    one, other = _of_sets(left, walk), _of_sets(right, walk)
    return Identity(text, one, other, largest(np.subtract(one, other)))
