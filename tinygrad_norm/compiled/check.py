"""``compile(check=k)``: a compiled step beside the eager one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd.graph import Value

ROUNDING = {"e": 2e-2, "f": 2e-4, "d": 1e-9}
"""How far values may lie apart, of the largest beside them."""


class Snapshot:
    """The state of a step at one moment: arrays, and where generators stand."""

    def __init__(self, entry: Any) -> None:
        self.arrays = [(entry.recording.names[slot], array, array.copy("K"))
                       for slot, array in zip(entry.recording.inputs, entry.key.held, strict=True)
                       if slot in entry.recording.written()]
        self.randoms = [(random, random.bit_generator.state)
                        for random in {id(r): r for r in (
                            owner().numpy for owner, _, _ in entry.draws)}.values()]

    def put(self) -> None:
        """All as it was at that moment."""
        for _, array, values in self.arrays:
            array[...] = values
        for random, state in self.randoms:
            random.bit_generator.state = state

    def compare(self, eager: Snapshot, result: Any, expected: Any, who: str) -> None:
        """Raise for the first value that is not the eager step's.

        Raises:
            RuntimeError: which one, and how far it is.
        """
        pairs = [*((name, mine, own) for (name, _, mine), (_, _, own) in zip(
            self.arrays, eager.arrays, strict=True)), *_results("the result", result, expected)]
        largest = max((np.abs(own[np.isfinite(own)]).max(initial=0.0) for _, _, own in pairs
                       if own.dtype.kind == "f"), default=0.0)
        for name, mine, own in pairs:
            allowed = ROUNDING.get(own.dtype.char, 0)
            room = allowed * max(np.abs(own[np.isfinite(own)]).max(initial=0.0), 1e-3 * largest)
            if not np.allclose(mine, own, rtol=0, atol=room, equal_nan=True):
                far = np.nanmax(np.abs(mine.astype(float) - own))
                raise RuntimeError(
                    f"{who}: {name} of shape {own.shape} is {far:.2g} from that of the eager step, "
                    f"of at most {np.abs(own).max():.2g}: something was recorded that changes; "
                    "pass it as an argument, or report it")


def _results(name: str, mine: Any, own: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(mine, Value):
        yield name, mine.array, own.array
    elif isinstance(mine, tuple | list):
        for i, (a, b) in enumerate(zip(mine, own, strict=True)):
            yield from _results(f"{name}[{i}]", a, b)
    elif isinstance(mine, dict):
        for key in mine:
            yield from _results(f"{name}[{key!r}]", mine[key], own[key])
