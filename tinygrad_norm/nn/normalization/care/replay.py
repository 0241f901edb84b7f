"""Running parts of a batch through a model again and again, each time from the same state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ....autograd.graph import Value
from ....tensors.random import source
from ...module import Module
from ..running import Refused


class Start:
    """The state from which each run starts: the model's buffers, and random numbers.

    The pieces draw from streams that do not overlap, the first one goes on from where the
    generator stands. In the end that is where the first piece has left it.
    """

    def __init__(self, model: Module, pieces: int) -> None:
        self.held = [(b, b.array.copy(), b.written[0]) for b in model.buffers()]
        self.refused = [(b, b.refused) for b in model.buffers()  # type: ignore[attr-defined]
                        if "refused" in vars(b)]
        self.bits = bits = source(None).bit_generator
        self.random = [bits.state, *(bits.jumped(i).state  # type: ignore[attr-defined]
                                     for i in range(1, pieces))]
        self.end = self.random[0]

    def again(self, piece: int, heard: bool = False) -> None:
        """Everything as at the start, for that piece; a refused batch is only told if ``heard``."""
        self.bits.state = self.random[piece]
        for buffer, array, written in self.held:
            if buffer.written[0] != written:
                buffer.array[...] = array
                buffer.written[0] = written
        for keeper, refused in self.refused:
            now = refused if heard else Unheard(refused.who)
            keeper.refused = now  # type: ignore[attr-defined]


class Unheard(Refused):
    """Counts for itself: the batch is counted and warned about once, in the last run."""

    def warn(self, why: str) -> None:
        """Nothing."""


@contextmanager
def unchanged_on_error(start: Start) -> Iterator[None]:
    """An error leaves buffers and random numbers as they were."""
    try:
        yield
    except BaseException:
        start.again(0, heard=True)
        raise
    start.bits.state = start.end


@contextmanager
def untracked(values: Iterable[Value]) -> Iterator[None]:
    """Inside, operations on these tensors are not recorded unless another input asks for it."""
    held = [value for value in values if value.tracked]
    try:
        for value in held:
            value.tracked = False
        yield
    finally:
        for value in held:
            value.tracked = True
