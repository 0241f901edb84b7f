"""Many small parameters updated as one array: the calls cost more than the arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd.graph import tick
from ..tensors.tensor import Tensor

FEWEST = 4
"""From so many small parameters on it pays: the ten of an MLP of 64-64-64-10 with BatchNorm take
14 µs a step together and 26 µs one by one (SGD with momentum, float32)."""
STEP = "step"
"""The name of the number of steps that a parameter has taken: a tensor of one value on the cpu."""


class Together:
    """Small parameters of one dtype in the computer's memory, with what is kept for them.

    Their buffers become pieces of one array for each name, and so is what is subtracted in the end.
    Gradients are gathered in one call; the parameters stay where they are.
    """

    def __init__(
        self, all_: Sequence[Tensor], small: Sequence[Tensor], rest: Sequence[Tensor], state: Any,
        names: tuple[str, ...], counted: bool,
    ) -> None:
        self.all = all_
        self.small = small
        self.rest = rest
        self.names = names
        self.dtype = small[0].array.dtype
        self.change = np.empty(sum(p.array.size for p in small), self.dtype)
        self.changes = self._pieces(self.change)
        self.buffers = [np.empty_like(self.change) for _ in names]
        self.steps = np.empty(len(small) if counted else 0, np.float32)
        self.held: list[tuple[Tensor, str, Tensor, np.ndarray]] = []
        for name, buffer in zip(names, self.buffers, strict=True):
            for p, piece in zip(small, self._pieces(buffer), strict=True):
                self._take(state, p, name, piece)
        for p, i in zip(small, range(len(self.steps)), strict=False):
            self._take(state, p, STEP, self.steps[i : i + 1].reshape(()))

    @classmethod
    def of(
        cls, parameters: Sequence[Tensor], state: Mapping[Tensor, Any], names: tuple[str, ...],
        most: int, *, counted: bool = False,
    ) -> Together | None:
        """The parameters of at most ``most`` values, when they are many and all under way.

        Args:
            names: the buffers like the parameter that each has in the state.
            counted: whether each has a ``"step"`` too, which must be the same for all.
        """
        small: list[Tensor] = []
        rest: list[Tensor] = []
        seen: set[int] = set()
        for p in parameters:
            fits = (p._grad is not None and _is_ready(p, p.array.dtype)
                    and p.array.size <= most and id(p) not in seen
                    and (not small or p.array.dtype == small[0].array.dtype)
                    and all(_is_like(state[p].get(name), p.array) for name in names)
                    and (not counted or _are_level(state[p], state[small[0] if small else p])))
            (small if fits else rest).append(p)
            seen.add(id(p))  # one that is there twice is stepped twice, one after the other
        if len(small) < FEWEST:
            return None
        return cls(tuple(parameters), small, rest, state, names, counted)

    def still_holds(
        self, parameters: Sequence[Tensor], state: Mapping[Tensor, Any], names: tuple[str, ...]
    ) -> bool:
        """Whether every parameter and buffer is what it was, and has a gradient."""
        if names != self.names or len(parameters) != len(self.all):
            return False
        if not all(map(operator.is_, parameters, self.all)):
            return False
        for p in self.small:
            if not _is_ready(p, self.dtype):
                return False
        for p, name, tensor, piece in self.held:
            if state[p].get(name) is not tensor or tensor.array is not piece:
                return False
        return len(set(self.steps.tolist())) < 2

    def step(self, update: Callable[..., Any]) -> None:
        """Subtract what ``update(arrays, gradient, out, *buffers)`` writes to ``out``.

        The gradient is a copy; the update may use it for temporaries.
        """
        arrays = [p.array for p in self.small]
        gradient = np.concatenate([p._grad.array.reshape(-1) for p in self.small])
        update(arrays, gradient, self.change, *self.buffers)
        now = tick()
        for p, array, change in zip(self.small, arrays, self.changes, strict=True):
            array -= change
            p.written[0] = now
        for _, _, tensor, _ in self.held:
            tensor.written[0] = now

    def count(self) -> float:
        """The number of the step that begins, which is the same for all."""
        self.steps += 1
        return float(self.steps[0])

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """A copy is None, and made anew at the next step: pieces are not copied as views."""
        return type(None), ()

    def _pieces(self, flat: np.ndarray) -> list[np.ndarray]:
        """Consecutive parts of ``flat`` in the parameters' shapes."""
        pieces, start = [], 0
        for p in self.small:
            pieces.append(flat[start : start + p.array.size].reshape(p.array.shape))
            start += p.array.size
        return pieces

    def _take(self, state: Any, p: Tensor, name: str, piece: np.ndarray) -> None:
        """Let a tensor of the state live in ``piece``."""
        tensor = state[p][name]
        piece[...] = tensor.array
        tensor.array = piece
        self.held.append((p, name, tensor, piece))


def gathered(
    kept: dict[int, Together | None], i: int, parameters: Sequence[Tensor],
    state: Mapping[Tensor, Any], names: tuple[str, ...], most: int, *, counted: bool = False,
) -> Together | None:
    """What is kept for group i, made anew when something of it changed."""
    together = kept.get(i)
    if together is None or not together.still_holds(parameters, state, names):
        together = Together.of(parameters, state, names, most, counted=counted)
        kept[i] = together
    return together


def _is_ready(p: Tensor, dtype: np.dtype) -> bool:
    """Whether p is a NumPy array of that dtype with a gradient like it."""
    array, gradient = p.array, p._grad
    return (gradient is not None and type(array) is np.ndarray and array.dtype == dtype
            and type(gradient.array) is np.ndarray and gradient.array.dtype == dtype)


def _is_like(buffer: Tensor | None, array: np.ndarray) -> bool:
    return (buffer is not None and type(buffer.array) is np.ndarray
            and buffer.array.dtype == array.dtype)


def _are_level(values: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two parameters have taken as many steps."""
    return STEP in values and STEP in others and values[STEP].item() == others[STEP].item()
