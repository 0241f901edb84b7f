"""What a recorder has seen, as plain data, and as a file.

    history.outputs["linear1"]               a list of rows, one for each call
    history.column("outputs", "linear1", "mean")   one of their numbers as an array
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Distribution(NamedTuple):
    """The values of a tensor. All but ``size`` and ``nonfinite`` are of the finite ones."""

    step: int
    forward: int
    """Which forward call of the model it was in this step, from 0."""
    size: int
    """So many values there are."""
    nonfinite: int
    """So many of them are NaN or infinite."""
    zeros: int
    """So many are exactly 0."""
    mean: float
    std: float
    """Of these values themselves: divided by their number."""
    least: float
    largest: float
    quantiles: tuple[float, ...]
    """Those of :attr:`History.quantiles`, interpolated linearly."""
    histogram: tuple[int, ...]
    """So many lie in each of :attr:`History.bins` equal bins from ``least`` to ``largest``."""


class Magnitude(NamedTuple):
    """How large a tensor is; NaN or infinite where a value of it is."""

    step: int
    forward: int
    size: int
    norm: float
    """The root of the sum of squares."""
    largest: float
    """The largest absolute value."""

    @property
    def rms(self) -> float:
        """The root of the mean square: it can be compared between tensors of unequal sizes."""
        return self.norm / self.size**0.5 if self.size else 0.0


class Metric(NamedTuple):
    """A number that the user gave."""

    step: int
    value: float


class Kept(NamedTuple):
    """A whole tensor."""

    step: int
    forward: int
    array: np.ndarray


class Layer(NamedTuple):
    """What was recorded under a label."""

    name: str
    """The module's dotted name; empty for the model itself."""
    kind: str
    """Its class."""
    call: int
    """1 for the module's first call in a forward of the model, 2 for the next."""
    leaf: bool
    """Whether it holds no other modules."""


ROWS: dict[str, Any] = {
    "metrics": Metric, "inputs": Distribution, "outputs": Distribution, "units": Distribution,
    "gradients": Magnitude, "parameters": Magnitude, "parameter_gradients": Magnitude,
    "tensors": Kept,
}
"""The parts of a history, and what their rows are."""


@dataclass
class History:
    """Rows by part and label, in the order in which they were recorded.

    A label is a module's dotted name; of the second call in one forward ``name (call 2)``; of one
    of several outputs ``name[0]``. A layer that was not called in a step has no row of that step.

    ``gradients`` are those of the loss with respect to ``outputs``. ``units`` has labels as
    ``name unit 3``, ``tensors`` as ``outputs/name`` or ``parameter_gradients/name.weight``.
    """

    quantiles: tuple[float, ...] = ()
    bins: int = 0
    steps: int = 0
    """So many were finished."""
    layers: dict[str, Layer] = field(default_factory=dict)
    """By label, in the order of the calls."""
    metrics: dict[str, list[Metric]] = field(default_factory=dict)
    inputs: dict[str, list[Distribution]] = field(default_factory=dict)
    outputs: dict[str, list[Distribution]] = field(default_factory=dict)
    units: dict[str, list[Distribution]] = field(default_factory=dict)
    gradients: dict[str, list[Magnitude]] = field(default_factory=dict)
    parameters: dict[str, list[Magnitude]] = field(default_factory=dict)
    parameter_gradients: dict[str, list[Magnitude]] = field(default_factory=dict)
    tensors: dict[str, list[Kept]] = field(default_factory=dict)

    def rows(self, part: str, label: str) -> list[Any]:
        """Those of one label.

        Raises:
            KeyError: there is no such part or label.
        """
        if part not in ROWS:
            raise KeyError(f"history: expected one of {', '.join(ROWS)}, got {part!r}")
        found: dict[str, list[Any]] = getattr(self, part)
        if label not in found:
            raise KeyError(f"history: {part} of {', '.join(found) or 'nothing'} are recorded, got "
                           f"{label!r}")
        return found[label]

    def column(self, part: str, label: str, name: str) -> np.ndarray:
        """One number of each row, or of ``quantiles`` and ``histogram`` a line of each row.

        Raises:
            KeyError: there is no such part or label. AttributeError: the rows have not this number.
        """
        return np.array([getattr(row, name) for row in self.rows(part, label)])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``x.jsonl``, a header and a line for each step, or ``x.npz``, an array for each
        column as ``outputs/linear1/mean``; return the path.

        Raises:
            ValueError: another ending, or whole tensors and no ``.npz``.
        """
        from .files import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """What :meth:`save` wrote.

        Raises:
            ValueError: the file is no history.
        """
        from .files import load

        return load(path)

    def facts(self) -> dict[str, Any]:
        """What is no row, for a file."""
        return {"quantiles": list(self.quantiles), "bins": self.bins, "steps": self.steps,
                "layers": {label: layer._asdict() for label, layer in self.layers.items()}}

    def __repr__(self) -> str:
        counts = [f"{len(getattr(self, part))} {part.replace('_', ' ')}" for part in ROWS
                  if getattr(self, part)]
        return f"<History of {self.steps} steps: {', '.join(counts) or 'nothing recorded'}>"


assert [f.name for f in dataclasses.fields(History)][4:] == list(ROWS)
