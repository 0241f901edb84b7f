"""The memory of a program: one block, in which arrays take the places of those not read again."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Collection, Sequence

import numpy as np

from .fuse import Nest
from .task import Task
from .values import Value

LINE = 64
"""Arrays begin at lines of the cache."""
HUGE = 1 << 21
"""A large block begins at a huge page, which saves the processor looking up addresses."""


class Block:
    """Where each task's value lies.

    Args:
        order: the program. results: numbers of the values that are read after it.
        elsewhere: numbers of those with memory of their own. owner: in whose memory a value stands.
    """

    def __init__(self, order: Sequence[Nest | Task], results: set[int],
                 elsewhere: Collection[int], owner: Callable[[Value], Value]) -> None:
        self.at: dict[int, int] = {}
        self.size = 0
        self._place(order, results, elsewhere, owner)
        block = mmap.mmap(-1, self.size + 2 * HUGE)
        if self.size > HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
            block.madvise(mmap.MADV_HUGEPAGE)
        memory = np.frombuffer(block, np.uint8)
        start = -address(memory) % (HUGE if self.size > HUGE else LINE)
        self.memory = memory[start:start + self.size + LINE]
        self.start = address(self.memory)

    def _place(self, order: Sequence[Nest | Task], results: set[int],
               elsewhere: Collection[int], owner: Callable[[Value], Value]) -> None:
        when = {t: k for k, step in enumerate(order)
                for t in (step.tasks if isinstance(step, Nest) else [step])}
        last = dict(when)
        for t in reversed(sorted(when, key=when.__getitem__)):  # those of one nest in turn, too
            if t.value.id in results:
                last[t] = len(order)
            # what a call gives may be a view of its arguments, a part is put into them
            until = last[t] if t.kind in ("called", "put") else when[t]
            for d, _ in t.reads:
                last[d] = max(last[d], until)
        free: list[tuple[int, int, int]] = []  # from where, how much, after which step
        for t in sorted(when, key=when.__getitem__):
            if t.slot is not None or t.kind == "check" or t.value.id in elsewhere:
                continue
            if t.kind == "put":
                self.at[t.value.id] = self.at[owner(t.value).id]
                continue
            size = in_lines(math.prod(t.value.shape) * t.value.dtype.itemsize)
            fits = min((f for f in free if f[1] >= size and f[2] < when[t]),
                       key=lambda f: f[1], default=None)
            if fits is None:
                start = self.size
                self.size += size
            else:
                start, room, until = fits
                free.remove(fits)
                if room > size:
                    free.append((start + size, room - size, until))
            free.append((start, size, last[t]))
            self.at[t.value.id] = start

    def address(self, number: int) -> int:
        """Of the value with that number."""
        return self.start + self.at[number]

    def array(self, v: Value) -> np.ndarray:
        """The memory of a task's value."""
        start = self.at[v.id]
        size = math.prod(v.shape) * v.dtype.itemsize
        return self.memory[start:start + size].view(v.dtype).reshape(v.shape)


def in_lines(size: int) -> int:
    """``size`` bytes, in whole lines of the cache."""
    return -(-max(size, 1) // LINE) * LINE


def address(array: np.ndarray) -> int:
    """Where its values begin."""
    at: int = array.__array_interface__["data"][0]
    return at
