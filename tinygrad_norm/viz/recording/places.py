"""Which forward of the model each thread runs, and how often it called each layer in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock, get_ident

COUNTING = Lock()


@dataclass(slots=True)
class Place:
    """Where a thread is: in which step, in which forward of it, and whether that goes on."""

    step: int
    forward: int = 0
    within: bool = False
    calls: dict[str, int] = field(default_factory=dict)

    def now(self) -> tuple[int, int]:
        """What stands in each row."""
        return self.step, self.forward


class Places:
    """The places of all threads in the step that is open."""

    def __init__(self) -> None:
        self.step = 0
        self._forwards = 0
        self._threads: dict[int, Place] = {}

    def here(self) -> Place:
        """Of this thread."""
        found = self._threads.get(get_ident())
        if found is None:
            found = self._threads[get_ident()] = Place(self.step)
        return found

    def last(self) -> tuple[int, int]:
        """The step, and the forward that began last."""
        return self.step, max(self._forwards - 1, 0)

    def begin(self) -> None:
        """A forward of the model begins in this thread."""
        with COUNTING:
            number, self._forwards = self._forwards, self._forwards + 1
        self._threads[get_ident()] = Place(self.step, number, within=True)

    def next_step(self, step: int) -> None:
        """What begins from now on is of that step. Other threads end what they are in."""
        self.step, self._forwards = step, 0
        self._threads = {thread: place for thread, place in self._threads.copy().items()
                         if place.within and thread != get_ident()}
