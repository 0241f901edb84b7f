"""Rows on their way: computed on a device, fetched later, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...autograd.graph import Value
from ...backend.array import Array, Device, array_module, device_of, to_numpy
from .history import Distribution, History, Kept, Magnitude, Metric
from .statistics import MOMENTS, distribution, magnitude

ENOUGH = 4096
"""So many wait at most."""


class Note(NamedTuple):
    """A row whose numbers still lie where they were computed."""

    part: str
    label: str
    head: tuple[int, ...]
    """The fields of the row that are known already."""
    numbers: Array


class Notes:
    """The notes of a step that is open, and those that wait to be fetched."""

    def __init__(self, quantiles: Sequence[float], bins: int) -> None:
        self.quantiles, self.bins = quantiles, bins
        self.open: list[Note] = []
        self.closed: list[Note] = []

    def distribution(self, part: str, label: str, step: int, forward: int, array: Array) -> None:
        """Note how the values are distributed."""
        numbers = distribution(array, self.quantiles, self.bins)
        self.open.append(Note(part, label, (step, forward, array.size), numbers))

    def magnitude(self, part: str, label: str, step: int, forward: int, array: Array) -> None:
        """Note how large they are."""
        self.open.append(Note(part, label, (step, forward, array.size), magnitude(array)))

    def whole(self, part: str, label: str, step: int, forward: int, array: Array) -> None:
        """Keep all of them."""
        self.open.append(Note("tensors", f"{part}/{label}", (step, forward), array.copy()))

    def close(self, more: Sequence[Note] = ()) -> None:
        """The step is done. Other threads may note something meanwhile: it stays open."""
        count = len(self.open)
        self.closed += [*self.open[:count], *more]
        del self.open[:count]

    def fetch(self, history: History) -> None:
        """Bring the numbers over, and make rows of them."""
        closed, self.closed = self.closed, []
        devices: dict[Device, list[Array]] = {}
        for note in closed:
            if note.part != "tensors":
                devices.setdefault(device_of(note.numbers), []).append(note.numbers)
        fetched = {device: iter(to_numpy(array_module(arrays[0]).concatenate(arrays)).tolist())
                   for device, arrays in devices.items()}
        for part, label, head, array in closed:
            rows: list[Any] = getattr(history, part).setdefault(label, [])
            if part == "tensors":
                step, forward = head
                rows.append(Kept(step, forward, to_numpy(array)))
            else:
                numbers = fetched[device_of(array)]
                rows.append(self.row(part, head, [next(numbers) for _ in range(array.size)]))

    def row(self, part: str, head: tuple[int, ...], numbers: list[float]) -> Any:
        """A row of a history."""
        if part == "metrics":
            return Metric(head[0], numbers[0])
        step, forward, size = head
        if part not in ("inputs", "outputs", "units"):
            return Magnitude(step, forward, size, *numbers)
        nonfinite, zeros, mean, std, least, largest = numbers[: len(MOMENTS)]
        end = len(MOMENTS) + len(self.quantiles)
        return Distribution(
            step, forward, size, int(nonfinite), int(zeros), mean, std, least, largest,
            tuple(numbers[len(MOMENTS) : end]), tuple(map(int, numbers[end:])))


def metric(step: int, name: str, value: Any) -> Note:
    """A number, or a copy of a tensor's, which stays on its device.

    Raises:
        ValueError: a tensor of more than one value. TypeError: something else.
    """
    if isinstance(value, Value):
        if value.array.size != 1:
            raise ValueError(f"Recorder: expected one value for {name!r}, got a tensor of shape "
                             f"{value.array.shape}; take its mean()")
        return Note("metrics", name, (step,), value.array.reshape(1).astype(np.float64))
    if not isinstance(value, int | float | np.number | np.bool_):
        raise TypeError(f"Recorder: expected a number or a tensor of one value for {name!r}, got "
                        f"{type(value).__name__}")
    return Note("metrics", name, (step,), np.array([float(value)]))
