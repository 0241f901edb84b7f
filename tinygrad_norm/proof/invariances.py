"""What may be done to the input of a norm without changing its output, by name.

x has the shape (N, C, *spatial); of (N, F), as LayerNorm takes it, the features F are the second
axis. The statements hold for layers as they are made (weight 1, bias 0), where statistics come
from the input itself, in exact arithmetic, and those about scale in the limit eps → 0.
``catalogue.py`` says which layer has which; the tests hold each to it, and show that it has no
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Answer = Callable[[Array], Array]


class Invariance(NamedTuple):
    """``meaning`` in symbols; ``change(x, random)`` gives the changed x and what becomes of y."""

    meaning: str
    change: Callable[[Array, np.random.Generator], tuple[Array, Answer]]


def _shift(*kept: int) -> Callable[[Array, np.random.Generator], tuple[Array, Answer]]:
    """Add a number for each index of the axes ``kept``."""
    return lambda x, random: (x + random.normal(0, 2, _beside(x, kept)), lambda y: y)


def _scale(*kept: int) -> Callable[[Array, np.random.Generator], tuple[Array, Answer]]:
    """Multiply by a positive number for each index of the axes ``kept``."""
    return lambda x, random: (x * random.uniform(0.4, 3, _beside(x, kept)), lambda y: y)


def _permutation(axis: int) -> Callable[[Array, np.random.Generator], tuple[Array, Answer]]:
    def change(x: Array, random: np.random.Generator) -> tuple[Array, Answer]:
        order = np.roll(np.arange(x.shape[axis]), random.integers(1, max(x.shape[axis], 2)))
        return x.take(order, axis), lambda y: y.take(order, axis)

    return change


def _beside(x: Array, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n if i in kept else 1 for i, n in enumerate(x.shape))


INVARIANCES: dict[str, Invariance] = {
    "shift": Invariance("y(x + a) = y(x), a one number", _shift()),
    "channel shift": Invariance("y(x + a) = y(x), a for each channel", _shift(1)),
    "sample shift": Invariance("y(x + a) = y(x), a for each sample", _shift(0)),
    "instance shift": Invariance("y(x + a) = y(x), a for each channel of each sample",
                                 _shift(0, 1)),
    "scale": Invariance("y(a x) = y(x), a > 0 one number", _scale()),
    "channel scale": Invariance("y(a x) = y(x), a > 0 for each channel", _scale(1)),
    "sample scale": Invariance("y(a x) = y(x), a > 0 for each sample", _scale(0)),
    "instance scale": Invariance("y(a x) = y(x), a > 0 for each channel of each sample",
                                 _scale(0, 1)),
    "sample permutation": Invariance("y(P x) = P y(x), P reorders the samples", _permutation(0)),
    "channel permutation": Invariance("y(P x) = P y(x), P reorders the channels",
                                      _permutation(1)),
    "position permutation": Invariance("y(P x) = P y(x), P reorders a spatial axis",
                                       _permutation(-1)),
}
"""The transformations of the input."""

WEIGHT = {"weight scale": "y is the same for the weight a W, a > 0, of the layer before"}
"""A norm whose output does not change with the scale of its input does not change with that of the
weight before it (without bias), and then that weight's gradient is orthogonal to it: ⟨W, dW⟩ = 0.
"""

OWN: dict[str, Invariance] = {
    "W shift": Invariance("y is the same for W + a, a one number", _shift()),
    "row shift": Invariance("y is the same for W + a, a for each row", _shift(0)),
    "W scale": Invariance("y is the same for a W, a > 0 one number", _scale()),
    "row scale": Invariance("y is the same for a W, a > 0 for each row", _scale(0)),
}
"""The transformations of the weight that a parametrization normalizes."""

IMPLIES = {
    "shift": ("channel shift", "sample shift", "instance shift"),
    "channel shift": ("instance shift",),
    "sample shift": ("instance shift",),
    "scale": ("channel scale", "sample scale", "instance scale"),
    "channel scale": ("instance scale",),
    "sample scale": ("instance scale",),
    "weight scale": ("scale", "channel scale", "sample scale", "instance scale"),
    "W shift": ("row shift",),
    "W scale": ("row scale",),
}
"""The name on the left holds wherever one on the right does."""


def declared(*names: str) -> tuple[str, ...]:
    """All that follows from ``names``, in the order of the tables above."""
    found = {*names}
    found |= {weak for weak, strong in IMPLIES.items() if found.intersection(strong)}
    return tuple(name for name in (*INVARIANCES, *WEIGHT, *OWN) if name in found)


def strongest(names: tuple[str, ...]) -> dict[str, str]:
    """Those from which the others follow: ``{"shift": "channel", "scale": "channel"}``."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        if not set(IMPLIES.get(name, ())).intersection(names):
            what, _, kind = f"whole {name}".rpartition(" ")
            kinds.setdefault(kind, []).append(what.removeprefix("whole ") or what)
    return {kind: ", ".join(what) for kind, what in kinds.items()}


WORDS = {"whole": "the input", "row": "each row of the weight", "W": "the weight"}


def described(names: tuple[str, ...]) -> str:
    """The strongest in words: ``shift and scale of each channel; permutation of samples``."""
    found = strongest(names)
    moved: dict[str, list[str]] = {}
    for kind in ("shift", "scale"):
        if kind in found:
            each = [WORDS.get(what, f"each {what}") for what in found[kind].split(", ")]
            moved.setdefault(" and ".join(each), []).append(kind)
    parts = [f"{' and '.join(kinds)} of {what}" for what, kinds in moved.items()]
    if "permutation" in found:
        parts.append(f"permutation of {found['permutation'].replace(',', 's,')}s")
    return "; ".join(parts)
