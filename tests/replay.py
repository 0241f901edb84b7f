"""The device "compiled" for whole tests: what a test computes is recorded, and then run again.

While the test runs its values may be asked: it gets those of the recorded run. At its end the plain
run of the recording must find each of them again, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_norm.compiler.plain import Plain
from tinygrad_norm.compiler.recording import Recording, Slot, current


class Answering(Recording):
    """Answers questions, and keeps the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []

    def input(self, array: np.ndarray, name: str = "") -> Slot:
        self.given.append(array.copy("K"))
        return super().input(array, name)

    def depends(self, arrays: Sequence[Any], what: str, cure: str = "") -> None:
        for array in arrays:
            self.answers.append(array.array.copy())
            self.outputs.append(self.slot(self.answers[-1]))
            self.line(np.copy, (array.slot,), {}, self.outputs[-1])


@contextmanager
def replayed() -> Iterator[None]:
    """Arrays on the device "compiled" may be made inside; at the end all is run again."""
    recording: Any = Answering()
    token = current.set(recording)
    try:
        yield
    finally:
        current.reset(token)
        recording.close()
    given = dict(zip(recording.inputs, recording.given, strict=True))
    numbers = recording.evaluator()([given[recording.read[n]].item() for n in recording.numbers])
    assert numbers is not None, "the arithmetic of numbers has another answer"
    results = Plain(recording).run(recording.given, numbers)
    assert results is not None, "a guard has another answer"
    for result, answer in zip(results, recording.answers, strict=True):
        np.testing.assert_array_equal(result, answer, strict=True)
