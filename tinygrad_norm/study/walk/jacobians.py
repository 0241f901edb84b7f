"""∂y_i/∂x_j of the values that are normalized together, and what becomes of a shift and of a scale
in it."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from ...autograd.backward import grad
from ...autograd.graph import wrap
from ...backend.array import to_numpy
from ...nn.normalization.algebra import standardize
from ...tensors.tensor import Tensor
from .findings import Direction, Jacobian
from .norms import Walk
from .study import Arrangement

ENTRIES = 4096
"""So many numbers at most in all matrices together."""


def jacobians(layer: Any, walk: Walk) -> list[Jacobian]:
    """Of the first sets of x, as many as fit."""
    found = walk.norm.arrangement
    count = min(found.sets, ENTRIES // found.n**2)
    if not (walk.norm.own and count):
        return []
    x, view = walk.values["x"], tuple(found.view)
    rest = [i for i in range(len(view)) if i not in found.reduced]
    cells = _by_set(np.arange(x.size).reshape(view), found)[:count]
    tensor = wrap(Tensor, x.copy()).requires_grad_()
    xhat = standardize(tensor, None, None, axes=tuple(found.reduced), eps=found.eps,
                       centred=found.centred)[0]
    pure = _matrices(xhat, tensor, found)[:count]
    whole = _matrices(*_through(layer, x.reshape(found.shape)), found)[:count]
    places = list(np.ndindex(*(view[i] for i in rest)))
    result = []
    for k in range(count):
        name = ", ".join(f"{found.axes[axis]} = {i}"
                         for axis, i in zip(rest, places[k], strict=True))
        result.append(_jacobian(name or "all", cells[k], pure[k], whole[k], walk))
    return result


def _through(layer: Any, x: np.ndarray) -> tuple[Tensor, Tensor]:
    """The layer's own output, and the input that it was recorded from."""
    tensor = wrap(Tensor, x.copy()).requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return copy.deepcopy(layer)(tensor), tensor


def _by_set(value: np.ndarray, found: Arrangement) -> np.ndarray:
    """(sets, n): a view's values, those that are reduced together in a row."""
    rest = [i for i in range(value.ndim) if i not in found.reduced]
    return value.transpose(*rest, *found.reduced).reshape(found.sets, found.n)


def _matrices(y: Tensor, x: Tensor, found: Arrangement) -> np.ndarray:
    """(sets, n, n): row i of all sets at once, since no set sees another."""
    rows = []
    cells = _by_set(np.arange(x.array.size).reshape(found.view), found)
    for i in range(found.n):
        dy = np.zeros(x.array.size)
        dy[cells[:, i]] = 1
        (dx,) = grad(y, x, wrap(Tensor, dy.reshape(y.array.shape)), retain_graph=True)
        rows.append(_by_set(to_numpy(dx.array).reshape(found.view), found))
    return np.stack(rows, axis=1)


def _jacobian(
    name: str, cells: np.ndarray, pure: np.ndarray, whole: np.ndarray, walk: Walk
) -> Jacobian:
    values, found, n = walk.values, walk.norm.arrangement, walk.norm.arrangement.n

    def own(value: np.ndarray) -> np.ndarray:
        return np.broadcast_to(value, found.view).reshape(-1)[cells]

    of = "xnorm" if "xnorm" in values else "xhat"
    xhat = own(values[of])
    ivar = float(own(values["ivar"])[0])
    projection = np.eye(n) - np.outer(xhat, xhat) / n - (1 / n if found.centred else 0)
    factor = own(values.get("gamma", np.ones(()))) * own(values.get("r", np.ones(())))
    closed = factor[:, None] * ivar * projection
    one = set(found.reduced) <= set(found.shared)  # gamma, for all of a set
    text = (("γ·" if one else "diag(γ)·") * ("gamma" in values) + "r·" * ("r" in values)
            + f"ivar·(I{' − 11ᵀ/n' * found.centred} − {of}·{of}ᵀ/n)")
    kept = float(values["eps"]) * ivar**2
    rest = n - 1 - found.centred
    expected = sorted([0.0] * found.centred + [kept] + [1.0] * rest)
    scaled = pure / ivar
    eigenvalues = None
    if np.isfinite(scaled).all():
        eigenvalues = np.linalg.eigvalsh((scaled + scaled.T) / 2).tolist()
    dead = [_direction("shift", np.ones(n), scaled)] if found.centred else []
    dead.append(_direction("scale", xhat, scaled))
    return Jacobian(name, cells.tolist(), whole.tolist(), closed.tolist(), text,
                    float(np.abs(whole - closed).max()), of, eigenvalues, expected, dead)


def _direction(name: str, direction: np.ndarray, matrix: np.ndarray) -> Direction:
    size = float(np.linalg.norm(direction))
    gain = float(np.linalg.norm(matrix @ direction)) / size if size else None
    return Direction(name, direction.tolist(), gain)
