"""Which loops a nest becomes: axes that lie side by side everywhere are one loop, and vectors run
along the axis whose values are neighbours in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .fuse import ACROSS, OUTER, Fuse, Nest
from .index import Index, steps, strides_of
from .task import Task, indexed
from .tasks import COST
from .values import Value

CHUNKS = 16
"""Sums across rounds are added in at most so many parts, which threads share."""
ACCESS = 8
"""What a step reads or writes costs as much as so many additions."""
BLOCK = 64
"""So many rounds are added in float32; the sums of such blocks in float64."""


class Buffer:
    """Where an array lies: the key of its address in the table, and its strides in elements.

    large:   more than the cache: rows of results are written past it
    """

    def __init__(self, key: Any, strides: tuple[int, ...], dtype: np.dtype,
                 large: bool = False, offset: int = 0) -> None:
        self.key, self.strides, self.dtype, self.large = key, strides, dtype, large
        self.offset = offset


class Loop:
    """One loop of the text. name, depth: of its variable, while it runs. part: an inner one, for
    each step of which there are sums of those within it."""

    def __init__(self, size: int, outer: bool, part: bool = False) -> None:
        self.size, self.outer, self.part = size, outer, part
        self.name = ""
        self.depth = 0


class Loops:
    """The loops of a nest.

    outer:   those of a round, but for the one that vectors run along
    inner:   those within a round, the innermost last
    vector:  the one that vectors run along, ``lanes`` values at a time
    rounds:  how often the outer loops run; ``strips`` of them for each value of the others
    work:    of all steps, in additions; 64 of them take about 1 ns
    chunks:  of how many rounds one part of the sums across rounds is made, and how many parts
    """

    def __init__(self, nest: Nest, fuse: Fuse, buffers: dict[Any, Buffer], lanes: int) -> None:
        self.nest, self.fuse, self.buffers = nest, fuse, buffers
        accesses = self._accesses()
        self._join(accesses)
        self._choose(accesses, lanes)

    def _join(self, accesses: list[dict[Any, int]]) -> None:
        """One loop of those atoms that follow each other in all that is read and written."""
        nest, outer = self.nest, self.nest.outer()
        self.loop_of: dict[Any, Loop] = {}
        self.loops: list[Loop] = []
        last: Any = None
        for k, n in enumerate(nest.sizes):
            for place, size in enumerate(nest.cuts.get(k, (n,))):
                atom = (k, place)
                if last is not None and self.loops[-1].outer == (k in outer) and (
                        self.loops[-1].part == (k in nest.part)) and all(
                        a.get(last, 0) == size * a.get(atom, 0) for a in accesses):
                    self.loops[-1].size *= size
                else:
                    self.loops.append(Loop(size, k in outer, k in nest.part))
                self.loop_of[atom] = self.loops[-1]
                last = atom
        if not self.loops:
            self.loops.append(Loop(1, nest.kept is None))
        self.atom_of = {loop: atom for atom, loop in self.loop_of.items()}

    def _choose(self, accesses: list[dict[Any, int]], lanes: int) -> None:
        nest = self.nest

        def fitness(loop: Loop) -> tuple[int, int]:
            """How many values are neighbours along the loop, less those that are apart."""
            total, own = 0, self.atom_of.get(loop)
            for strides in accesses:
                count = math.prod(one.size for one, atom in self.atom_of.items()
                                  if strides.get(atom, 0))
                along = strides.get(own, 0)
                total += count if along == 1 else -count if along else 0
            return total, self.loops.index(loop)

        across = [t for t in nest.tasks if nest.role[t] == ACROSS]
        self.vector = self.loops[-1] if across else max(
            (loop for loop in self.loops if not loop.part), key=fitness)
        if nest.kept is None and len(self.loops) > 1:
            self.vector.outer = False
        inner = [loop for loop in self.loops if not loop.outer and loop is not self.vector]
        self.inner = [*inner, *([] if self.vector.outer else [self.vector])]
        self.outer = [loop for loop in self.loops if loop.outer and loop is not self.vector]
        self.lanes = min(lanes, 1 << max(0, (self.vector.size - 1).bit_length()))
        self.strips = -(-self.vector.size // self.lanes) if self.vector.outer else 1
        self.rounds = math.prod(loop.size for loop in self.outer) * self.strips
        self.work = math.prod(loop.size for loop in self.loops) * (
            ACCESS * len(accesses) + self._cost())
        self.chunk = max(BLOCK, -(-self.rounds // CHUNKS)) if across else 1
        self.chunks = -(-self.rounds // self.chunk)

    def _cost(self) -> int:
        """How many additions one step takes, as much as that is known."""
        found: dict[int, int] = {}
        todo = [v for t in self.nest.tasks for v, _ in self.fuse.first_read(t, self.index(t))]
        while todo:
            v = todo.pop()
            if v.id not in found and v.id not in self.fuse.tasks:
                found[v.id] = COST.get(v.attr, 1) if v.op == "map" else 0
                todo += v.args
        return len(self.nest.tasks) + sum(found.values())

    # -- what is read and written ------------------------------------------------------------------

    def _accesses(self) -> list[dict[Any, int]]:
        """The strides of all that the nest reads and writes."""
        found: list[dict[Any, int]] = []
        for t in self.nest.tasks:
            index = self.index(t)
            if t.kind != "reduced":
                found.append(steps(index, self.target(t).strides)[1])
            elif self.nest.role[t] != ACROSS:
                found.append(steps(self.result_index(t), self.buffer(t.value).strides)[1])
            for v, at, is_seen in self.fuse.reads(t, index):
                strides = strides_of(v.shape) if is_seen or v.op == "iota" \
                    else self.buffer(v).strides
                found.append(steps(at, strides)[1])
        return found

    def buffer(self, v: Value) -> Buffer:
        """Where a value lies that is given or a task."""
        task = self.fuse.tasks.get(v.id)
        slot = task.slot if task is not None else v.attr
        return self.buffers[v.id if slot is None else ("slot", int(slot))]

    def seen(self, v: Value) -> Buffer:
        """Where a reshape lies of what is given or a task."""
        whole = self.buffer(v.args[0])
        return Buffer(whole.key, strides_of(v.shape), whole.dtype, whole.large)

    # -- indices -----------------------------------------------------------------------------------

    def index(self, t: Task) -> Index:
        """Every value that t sums or stores, in the loops of the nest."""
        loops = self.nest.outer() if self.nest.role[t] == OUTER else range(len(self.nest.sizes))
        return self._indexed(t.source.shape, loops)

    def target(self, t: Task) -> Buffer:
        """Where a task stores its value: of a part that is put, that part of the memory."""
        whole = self.buffer(t.value)
        if t.kind != "put":
            return whole
        entries = [*zip(t.value.attr, whole.strides, strict=True)]
        strides = tuple(step * stride for (_, step, kept), stride in entries if kept)
        return Buffer(whole.key, strides, whole.dtype,
                      offset=sum(start * stride for (start, _, _), stride in entries))

    def result_index(self, t: Task) -> Index:
        """The result of a sum, in the loops that it keeps."""
        return self._indexed(t.value.shape, t.kept)

    def inner_index(self, t: Task) -> Index:
        """The result of a sum across rounds, in the inner loops."""
        outer = self.nest.outer()
        return self._indexed(t.value.shape, [
            k for k in range(len(self.nest.sizes)) if k not in outer])

    def _indexed(self, shape: tuple[int, ...], loops: Iterable[int]) -> Index:
        return indexed(shape, loops, self.nest.sizes, self.nest.cuts)

    def depth_of(self, index: Index) -> tuple[int, bool]:
        """The depth of the innermost loop that an index depends on, and whether of the vectors'."""
        depth, vector = 0, False
        for _, _, atoms in index:
            for atom, _ in atoms:
                loop = self.loop_of[atom]
                depth = max(depth, loop.depth)
                vector = vector or loop is self.vector
        return depth, vector
