"""Which norm is which other one, and when: each statement as two functions of one input."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd.backward import grad
from ..tensors.conversion import from_numpy
from ..tensors.random import get_rng_state, set_rng_state
from ..tensors.tensor import Tensor

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Equivalence:
    """``left`` and ``right`` do the same, of values and gradients, under a condition."""

    left_name: str
    right_name: str
    condition: str
    left: Layer
    right: Layer
    shape: tuple[int, ...]
    """Of an input to try it with."""
    gradients: bool = True
    """Whether the gradients are the same too."""
    tolerance: float = 1e-12
    """Larger for what holds in a limit only."""

    @property
    def name(self) -> str:
        return f"{self.left_name} = {self.right_name}"

    def input(self, seed: int = 0) -> Tensor:
        """Normal float64 values with an offset."""
        values = np.random.default_rng(seed).normal(0.5, 2.0, self.shape)
        return from_numpy(values).requires_grad_()

    def difference(self, x: Tensor | None = None) -> float:
        """The largest difference of the two, relative to the largest value: of the outputs and,
        where they are meant to agree, of the gradients of order 1 and 2 along fixed directions."""
        x = self.input() if x is None else x
        state = get_rng_state()  # Linear draws its first weights
        results = [self._results(side, x) for side in (self.left, self.right)]
        set_rng_state(state)
        worst = 0.0
        for one, other in zip(*results, strict=True):
            if one.shape != other.shape:
                return math.inf
            scale = other.abs().max().item() or 1.0
            worst = max(worst, (one - other).abs().max().item() / scale)
        return worst

    def _results(self, side: Layer, x: Tensor) -> list[Tensor]:
        y = side(x)
        if not self.gradients:
            return [y.detach()]
        outward, along = (_fixed(shape, x) for shape in (y.shape, x.shape))
        (dx,) = grad((y * outward).sum(), [x], create_graph=True)
        second = grad((dx * along).sum(), [x], allow_unused=True)[0] if dx.requires_grad else None
        return [y.detach(), dx.detach(), x.detach() * 0 if second is None else second]

    def __str__(self) -> str:
        holds = "" if self.gradients else "; of values"
        if self.tolerance > 1e-12:
            holds += f"; to {self.tolerance:g}"
        lines = textwrap.wrap(self.condition + holds, 96, initial_indent="    ",
                              subsequent_indent="    ")
        return "\n".join([self.name, *lines])


class Equivalences(tuple[Equivalence, ...]):
    """All of them; shown as text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    __str__ = __repr__


def equivalences() -> Equivalences:
    """Which norms are equal to which, and under which conditions.

    >>> import tinygrad_norm as tn
    >>> every = tn.nn.normalization.equivalences()
    >>> print(every[0])
    GroupNorm(1, C) = LayerNorm((C, *spatial))
        without weight and bias, which are (C,) here and (C, *spatial) there
    >>> every[0].difference() < 1e-12
    True
    """
    from .equivalence_table import TABLE

    return Equivalences(TABLE)


def _fixed(shape: tuple[int, ...], x: Tensor) -> Tensor:
    values = np.cos(np.arange(math.prod(shape))).reshape(shape)
    return from_numpy(values).to(dtype=x.dtype, device=x.device)


def made(kind: Any, *arguments: Any, **options: Any) -> Layer:
    """A layer of that class, with the dtype and on the device of its input, in training mode; its
    weight, bias and the like are set to values that are not the initial ones."""
    def layer(x: Tensor) -> Tensor:
        new = kind(*arguments, **options, dtype=x.dtype, device=x.device)
        for name in ("weight", "bias"):
            value = getattr(new, name, None)
            if value is not None:
                value.detach().copy_(vector(x, value.shape, 1.0 if name == "weight" else 0.0))
        result: Tensor = new(x)
        return result

    return layer


def vector(x: Tensor, shape: tuple[int, ...], around: float = 0.0) -> Tensor:
    """Fixed values about a number, beside x."""
    return _fixed(shape, x) * 0.5 + around
