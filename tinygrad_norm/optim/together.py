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
14 µs a step together and 26 µs one by one (momentum, float32)."""
BUFFER = "momentum_buffer"


class Together:
    """Small parameters of one dtype in the computer's memory, with their momentum buffers.

    The buffers become pieces of one array, and so is what is subtracted in the end. Gradients are
    gathered in one call; the parameters stay where they are.
    """

    def __init__(
        self, all_: Sequence[Tensor], small: Sequence[Tensor], rest: Sequence[Tensor], state: Any
    ) -> None:
        self.all = all_
        self.small = small
        self.rest = rest
        self.dtype = small[0].array.dtype
        self.change = np.empty(sum(p.array.size for p in small), self.dtype)
        self.changes = self._pieces(self.change)
        self.momentum: np.ndarray | None = None
        self.pieces: list[np.ndarray] = []
        if state is not None:
            self.momentum = np.empty_like(self.change)
            self.pieces = self._pieces(self.momentum)
            for p, piece in zip(small, self.pieces, strict=True):
                piece[...] = state[p][BUFFER].array
                state[p][BUFFER].array = piece

    @classmethod
    def of(
        cls, parameters: Sequence[Tensor], state: Mapping[Tensor, Any], momentum: float, most: int
    ) -> Together | None:
        """The parameters of at most ``most`` values, when they are many and all under way."""
        small: list[Tensor] = []
        rest: list[Tensor] = []
        seen: set[int] = set()
        for p in parameters:
            fits = (p._grad is not None and _is_ready(p, p.array.dtype)
                    and p.array.size <= most and id(p) not in seen
                    and (not small or p.array.dtype == small[0].array.dtype)
                    and (not momentum or _is_like(state[p].get(BUFFER), p.array)))
            (small if fits else rest).append(p)
            seen.add(id(p))  # one that is there twice is stepped twice, one after the other
        if len(small) < FEWEST:
            return None
        return cls(tuple(parameters), small, rest, state if momentum else None)

    def still_holds(
        self, parameters: Sequence[Tensor], state: Mapping[Tensor, Any], momentum: float
    ) -> bool:
        """Whether every parameter and buffer is what it was, and has a gradient."""
        if bool(momentum) is (self.momentum is None) or len(parameters) != len(self.all):
            return False
        if not all(map(operator.is_, parameters, self.all)):
            return False
        for p in self.small:
            if not _is_ready(p, self.dtype):
                return False
        for p, piece in zip(self.small, self.pieces, strict=False):
            buffer = state[p].get(BUFFER)
            if buffer is None or buffer.array is not piece:
                return False
        return True

    def step(self, direction: Callable[..., np.ndarray], state: Any, lr: float) -> None:
        """Subtract lr times ``direction(arrays, gradient, momentum buffer)`` of all the values."""
        arrays = [p.array for p in self.small]
        gradient = np.concatenate([p._grad.array.reshape(-1) for p in self.small])
        np.multiply(direction(arrays, gradient, self.momentum), lr, out=self.change)
        now = tick()
        for p, array, change in zip(self.small, arrays, self.changes, strict=True):
            array -= change
            p.written[0] = now
            if self.pieces:
                state[p][BUFFER].written[0] = now

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


def _is_ready(p: Tensor, dtype: np.dtype) -> bool:
    """Whether p is a NumPy array of that dtype with a gradient like it."""
    array, gradient = p.array, p._grad
    return (gradient is not None and type(array) is np.ndarray and array.dtype == dtype
            and type(gradient.array) is np.ndarray and gradient.array.dtype == dtype)


def _is_like(buffer: Tensor | None, array: np.ndarray) -> bool:
    return (buffer is not None and type(buffer.array) is np.ndarray
            and buffer.array.dtype == array.dtype)
