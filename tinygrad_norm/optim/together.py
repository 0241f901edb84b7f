"""Many small parameters updated as one array: their calls cost more than their arithmetic.

From the moment they are made, the states of a group's small parameters lie side by side, so that
one call goes over all of them. They are views of one array, and each is a plain array to whoever
looks at it: it stays where it is, and a copy of it is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np

from ..autograd.graph import tick
from ..tensors.tensor import Tensor
from .blocks import BLOCK, SMALL, fit
from .in_place import InPlace
from .saved import STEP

FEWEST = 2
"""From so many small parameters on it pays. Two of 64 values take 10 µs together and 14 one by one,
the ten of an MLP of 64-64-64-10 with BatchNorm 23 and 65 (SGD with momentum, float32)."""

PAGE, LINE = 4096, 64

State = Mapping[Tensor, Mapping[str, Any]]


class Together:
    """Small parameters of a group whose states lie side by side.

    Gradients are gathered at each step, and parameters where the rule reads them.

    Args:
        small: the parameters.
        at: where they are in the group.
        names: of the arrays in the state of each. They move; nobody else may hold them yet.
        kept: all names in the state of each.
        dtype: of the arrays.
    """

    def __init__(
        self, small: Sequence[Any], at: Sequence[int], state: State, names: Sequence[str],
        kept: Sequence[str], dtype: np.dtype,
    ) -> None:
        self.small, self.at, self.names, self.dtype = small, at, names, dtype
        self.arrays = [p.array for p in small]
        self.states: list[np.ndarray] = []
        size = sum(array.size for array in self.arrays)
        for name in names:
            tensors: list[Any] = [state[p][name] for p in small]
            row = _row(size, dtype, len(self.states))
            np.concatenate([tensor.array for tensor in tensors], axis=None, out=row)
            for tensor, piece in zip(tensors, _pieces(row, self.arrays), strict=True):
                tensor.array = piece.reshape(tensor.array.shape)
            self.states.append(row)
        self.held = [(p, name, state[p][name], state[p][name].array)
                     for name in kept for p in small]
        self.counts = [array for _, name, _, array in self.held if name == STEP]
        self.quick: InPlace | None = None

    def step(
        self, quick: InPlace, names: Sequence[str], parameters: Sequence[Tensor],
        numbers: Sequence[Any], state: State,
    ) -> bool:
        """Apply a rule to all. False if they cannot be updated together this time."""
        if names != self.names or not self._holds(parameters, numbers, state):
            return False
        step, given = numbers[self.at[0]]
        if quick is not self.quick:
            if quick.module is not np:  # host memory: small arrays are joined there
                return False
            self._prepare(quick)
        gradients = [p._grad.array for p in self.small]
        np.concatenate([*gradients, *self.sources], axis=None, out=self.gathered)
        quick.update(*given.values(), *self.arguments)
        for array, change in self.changes:
            array -= change
        for count in self.counts:
            count[()] = step
        now = tick()
        for p in self.small:
            p.written[0] = now
        for _, _, tensor, _ in self.held:
            tensor.written[0] = now
        return True

    def _holds(
        self, parameters: Sequence[Tensor], numbers: Sequence[Any], state: State
    ) -> bool:
        """Whether all have a gradient, are at the same step, and their states where they were."""
        if self.at[-1] >= len(parameters):
            return False
        same = numbers[self.at[0]]
        for i, p in zip(self.at, self.small, strict=True):
            if parameters[i] is not p or p._grad is None or numbers[i] is not same:
                return False
        for p, name, tensor, array in self.held:
            if tensor.array is not array or state[p].get(name) is not tensor:
                return False
        arrays = [p.array for p in self.small]
        if not all(map(is_, arrays, self.arrays)):  # as after p.data = ...
            if not all(fit(a) and a.shape == b.shape and a.dtype == b.dtype
                       for a, b in zip(arrays, self.arrays, strict=True)):
                return False
            self.arrays, self.quick = arrays, None
        return True

    def _prepare(self, quick: InPlace) -> None:
        """Make the arrays that are needed beside the parameters and states."""
        flat = [array.reshape(-1) for array in self.arrays]
        size = sum(array.size for array in flat)
        self.quick = quick
        self.sources = flat if quick.reads_p else []
        self.gathered = _row((1 + quick.reads_p) * size, self.dtype, 6)
        g, p = self.gathered[:size], self.gathered[-size:]
        change, *others = (_row(size, self.dtype, 5 - i) for i in range(len(quick.temporaries)))
        self.arguments = (p, g, *self.states, change, *others)
        self.changes = [*zip(flat, _pieces(change, flat), strict=True)]


def side_by_side(
    parameters: Sequence[Tensor], at: Iterable[int], state: State, names: Sequence[str],
    dtype_of_state: Callable[[np.dtype], np.dtype], counted: bool,
) -> Iterator[Together]:
    """What of the parameters at these places can be updated together. Their states are new."""
    kept = (*names, STEP) if counted else names
    fitting: dict[np.dtype, dict[Tensor, int]] = {}
    for i in at:
        p, values = parameters[i], state.get(parameters[i], {})
        dtype = dtype_of_state(p.array.dtype)
        if p.array.size > SMALL or any(values.get(name) is None for name in kept):
            continue
        arrays = [values[name].array for name in names]
        if fit(p.array, *arrays) and all(
                a.dtype == dtype and a.shape == p.array.shape for a in arrays):
            fitting.setdefault(dtype, {}).setdefault(p, i)  # one that is there twice steps twice
    for dtype, places in fitting.items():
        blocks = np.cumsum([p.array.size for p in places]) // BLOCK
        for block in np.unique(blocks):
            small = [p for p, own in zip(places, blocks, strict=True) if own == block]
            if len(small) >= FEWEST:
                yield Together(small, [places[p] for p in small], state, names, kept, dtype)


def _pieces(row: np.ndarray, arrays: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The parts of ``row``, one after the other and as large as ``arrays``."""
    start = 0
    for array in arrays:
        yield row[start : start + array.size]
        start += array.size


def _row(size: int, dtype: np.dtype, i: int) -> np.ndarray:
    """An array that begins at a place of its own within a page of memory, for i = 0 … 6.

    A processor takes a load for one of what it has just stored if the lower bits of the addresses
    agree, and waits: Adam took 20 or 28 µs for 9226 values, as the arrays came to lie.
    """
    room = np.empty(size * dtype.itemsize + PAGE, np.uint8)
    start = (i * 9 * LINE - room.__array_interface__["data"][0]) % PAGE
    return room[start : start + size * dtype.itemsize].view(dtype)
