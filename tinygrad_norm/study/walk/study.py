'''A walk forward and then backward through real numbers, as plain data.

``tn.study.trace`` gives a :class:`Study`; ``study.json()`` is the same as text. Its form:

    {"format": "tinygrad_norm.study/2",
     "title": "BatchNorm1d(4, …)",       what was traced
     "kind": "batch_norm",               or batch_renorm, layer_norm, instance_norm, group_norm,
                                         rms_norm; "function" for all else
     "mode": "train",                    "eval"; "" for a function, and for a norm that remembers
                                         nothing: it is the same in both
     "dtype": "float32",                 of the given x; the walk itself is in float64
     "arrangement": Arrangement          what is reduced; null for a function
     "forward": [Node, …],               leaves first, then in the order of computation
     "backward": [Gradient, …],          in the order of the way back; empty where none flows
     "forks": [Fork, …],                 where gradients meet
     "steps": [name, …],                 what step 1, 2, … brings: values, then gradients
     "output": "out",                    the last value's name
     "truth": Truth,                     the gradients, computed in several ways
     "decomposition": Decomposition,     null for a function
     "constant_statistics": Wrong,       null for a function and where statistics are given
     "identities": [Identity, …],
     "jacobians": [Jacobian, …],
     "notes": [text, …],
     "features": [name, …]}              of the columns of x, where they have names

    Arrangement {"shape": [8, 4],        of x
                 "view": [8, 4],         as which it is walked; its order of values is the same
                 "axes": ["N", "C"],     names of the view's axes
                 "reduced": [0],         the axes of the view that are reduced
                 "shared": [0],          those along which gamma is the same
                 "parameters": [4],      the shape of gamma and beta
                 "n": 8, "sets": 4,      so many values to one, so many times
                 "eps": 1e-05, "centred": true}
    Formula     {"name": "dvar", "expression": "dsqrtvar / (2 * sqrtvar)", "text": "…",
                 "mathml": "<math>…</math>"}
                 expression is Python. In MathML each name is <mi data-name="dsqrtvar">, and a sum
                 is <mrow data-sum="0"> around its body: the axes of the view that are summed. A
                 function's formula has no data-sum where its sums are not along axes of the body
    Node        {"name": "xhat",
                 "role": "value",        input, parameter, buffer, constant (these are leaves),
                                         value, statistic (the side branch: no gradient)
                 "op": "mul",            the engine's name for it; "" for leaves and for norms
                 "says": "…",            a few words
                 "formula": Formula,     null for a leaf
                 "shape": [8, 4], "value": [[…]], "finite": true,
                 "reads": [Read, …],     what its formula reads
                 "step": 7,              when its value is known; 0: from the start
                 "gradient": [[…]],      of the same shape; null: none flows into it
                 "gradient_name": "dxhat", "gradient_step": 17}
    Gradient    {"name": "dxmu1", "of": "xmu",
                 "through": "xhat",      the value that it came back through; "" for given and sum
                 "kind": "part",         given, whole (all there is), part, sum (of the parts)
                 "formula": Formula,     null for given
                 "shape": …, "value": …, "finite": …, "reads": …, "step": …}
    Read        {"name": "xmu", "cells": "aligned"}
                 which cells of another value each cell depends on. "aligned": axes from the last
                 one back: the same index; 0 where the other is 1 long; all where this one is 1
                 long, or has no such axis. "all": all of it. Else a list: for each cell of this
                 value, in order, the numbers of the other's cells, counted in order
    Fork        {"of": "xmu", "parts": ["dxmu1", "dxmu2"], "sum": "dxmu", "step": 24}
    Truth       {"columns": [{"name": "staged", "gradients": {"dx": …, "dgamma": …, "dbeta": …}},…],
                             in the shapes of x, gamma and beta
                 "badges": [Badge, …]}
    Badge       {"of": "dx", "one": "staged", "other": "closed form",
                 "verdict": "≈",         exact (every bit), ≈ (within tolerance), differs
                 "difference": 1e-16,    the largest; null: a NaN in one and none in the other
                 "scale": 1.2,           of what was added up; of a norm times |x|/σ, if above 1;
                                         of finite differences by γ and β the loss, if above that
                 "tolerance": 1e-12}     relative to the scale
    Decomposition {"parts": [{"name": "direct", "formula": Formula, "value": …, "norm": 1.2}, …],
                 "difference": 1e-17}    of their sum from dx; values in the shape of x
    Wrong       {"dx": …, "norm": …,     with μ and σ² as constants, in the shape of x
                 "right": …, "right_norm": …, "difference": …,
                 "sums": […], "right_sums": […]}     Σdx of each set
    Identity    {"text": "…", "left": […], "right": […], "difference": …}    a number for each set
    Jacobian    {"set": "C = 0",
                 "cells": [0, 4, …],     which values of x they are, counted in order
                 "matrix": [[…]],        ∂y_i/∂x_j by the engine
                 "closed": [[…]], "text": "γ·ivar·(I − 11ᵀ/n − xhat·xhatᵀ/n)", "difference": …,
                 "of": "xhat",           what is normalized: of BatchRenorm "xnorm"
                 "eigenvalues": […],     of ∂xhat/∂x · sqrtvar, ascending; null with NaN
                 "expected": […],
                 "dead": [{"name": "shift", "direction": […], "gain": 0.0}, …]}

In JSON, NaN and the infinities are the strings "NaN", "Infinity", "-Infinity". A gradient that a
step has not brought yet is null in :meth:`Study.at`, as one that never comes is.
'''

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .findings import Decomposition, Identity, Jacobian, Truth, Values, Wrong
from .formula import Formula

if TYPE_CHECKING:
    from .examples import Example

FORMAT = "tinygrad_norm.study/2"


@dataclass(frozen=True, slots=True)
class Read:
    """Which cells of another value each cell depends on."""

    name: str
    cells: str | list[list[int]] = "aligned"


@dataclass(slots=True)
class Node:
    """A value on the way forward."""

    name: str
    role: str
    op: str
    says: str
    formula: Formula | None
    shape: list[int]
    value: Values
    finite: bool
    reads: list[Read]
    step: int = 0
    gradient: Values | None = None
    gradient_name: str | None = None
    gradient_step: int | None = None


@dataclass(slots=True)
class Gradient:
    """A value on the way back: all of a node's gradient, a part of it, or the sum of the parts."""

    name: str
    of: str
    through: str
    kind: str
    formula: Formula | None
    shape: list[int]
    value: Values
    finite: bool
    reads: list[Read]
    step: int = 0


@dataclass(frozen=True, slots=True)
class Fork:
    """Where gradients meet."""

    of: str
    parts: list[str]
    sum: str
    step: int


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Which values of x are normalized together."""

    shape: list[int]
    view: list[int]
    axes: list[str]
    reduced: list[int]
    shared: list[int]
    parameters: list[int]
    n: int
    sets: int
    eps: float
    centred: bool

    @property
    def names(self) -> str:
        """Of the reduced axes: ``N``, ``HW``."""
        return "".join(self.axes[i] for i in self.reduced)


@dataclass(slots=True)
class Study:
    """All of a walk. Printed, it is a text of 100 columns."""

    title: str
    kind: str
    mode: str
    dtype: str
    arrangement: Arrangement | None
    forward: list[Node]
    backward: list[Gradient]
    forks: list[Fork]
    steps: list[str]
    output: str
    truth: Truth
    decomposition: Decomposition | None = None
    constant_statistics: Wrong | None = None
    identities: list[Identity] = field(default_factory=list)
    jacobians: list[Jacobian] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    format: str = FORMAT

    def node(self, name: str) -> Node:
        """The value of that name on the way forward."""
        return self._find(self.forward, name)

    def gradient(self, name: str) -> Gradient:
        """The one of that name on the way back."""
        return self._find(self.backward, name)

    def _find(self, among: Any, name: str) -> Any:
        for one in among:
            if one.name == name:
                return one
        raise KeyError(f"{name!r} is none of {', '.join(one.name for one in among)}")

    def at(self, step: int) -> dict[str, tuple[Values | None, Values | None]]:
        """Each value and its gradient as they are known after that step; None: not yet, or never.
        """
        return {node.name: (
            node.value if node.step <= step else None,
            node.gradient if node.gradient_step is not None and node.gradient_step <= step
            else None) for node in self.forward}

    def json(self, indent: int | None = None) -> str:
        """As text, which is JSON also where numbers are NaN or infinite."""
        return json.dumps(plain(asdict(self)), indent=indent, ensure_ascii=False, allow_nan=False)

    def html(self, what_ifs: Sequence[Example] = ()) -> str:
        """A page to step through in a browser, which asks nothing of any network.

        ``what_ifs``: what else it shows, as ``tn.study.what_ifs("batch_norm")`` gives it.
        """
        from ..page import page

        return page(self, what_ifs)

    def save(self, path: str | os.PathLike[str], what_ifs: Sequence[Example] = ()) -> None:
        """Write the page to a file; what was there stays until all of it is written."""
        from ..page import save

        save(self, path, what_ifs)

    def _repr_html_(self) -> str:
        from ..page import framed

        return framed(self)

    def __str__(self) -> str:
        from .text import WIDTH, written

        return written(self, WIDTH)


def plain(value: Any) -> Any:
    """``value`` with NaN and the infinities as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
