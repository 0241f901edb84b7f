"""How much a program does: nests, passes, products, calls, bytes, arrays; and how much one step of
it reads and writes."""

from __future__ import annotations

import math
from typing import NamedTuple

from .assembly import LANES, Assembly
from .axes import Loops
from .fuse import Nest
from .index import Index
from .task import Task
from .values import Value


class Counts(NamedTuple):
    """Of one run of a program.

    nests, kinds:  loop nests, and how many different ones
    passes:        how often these go through what they share, all together
    products:      of two matrices
    calls:         of NumPy's functions
    buffers:       arrays that the program keeps for itself
    bytes:         the memory in which these take turns
    read, written: bytes, by each nest, product and call once
    allocations:   arrays made for each run
    """

    nests: int
    kinds: int
    passes: int
    products: int
    calls: int
    buffers: int
    bytes: int
    read: int
    written: int
    allocations: int


class Traffic:
    """What one step of a program reads and writes: the values that are in memory, with bytes."""

    def __init__(self, program: Assembly, step: Nest | Task) -> None:
        self.program, self.fuse = program, program.fuse
        self.read: dict[Value, int] = {}
        self.written: dict[Value, int] = {}
        if isinstance(step, Nest):
            self._nest(step)
            return
        for x in step.product.args:
            place = self.fuse.place(x)
            if place.op not in ("const", "number"):
                self.read[place] = bytes_of(place)
        if step.factor is not None:  # it is added to what is there
            self.read[step.value] = bytes_of(step.value)
        if step.kind != "check":
            self.written[step.value] = bytes_of(step.value)

    def _nest(self, nest: Nest) -> None:
        loops = loops_of(self.program, nest)
        for t in nest.tasks:
            self.written[t.value] = bytes_of(t.source if t.kind == "put" else t.value)
            for v, index, is_seen in self.fuse.reads(t, loops.index(t)):
                if v.op != "iota":
                    self._reads(v.args[0] if is_seen else v, index, nest)

    def _reads(self, v: Value, index: Index, nest: Nest) -> None:
        """What the nest computed itself it has at hand."""
        if self.fuse.tasks.get(v.id) in nest.role:
            return
        count = math.prod(size for _, _, atoms in index for _, size in atoms)
        self.read[v] = max(self.read.get(v, 0), min(count * v.dtype.itemsize, bytes_of(v)))


def loops_of(program: Assembly, nest: Nest) -> Loops:
    """The loops that the nest became."""
    return Loops(nest, program.fuse, program.buffers, LANES)


def passes_of(nest: Nest) -> int:
    """How often the inner loops run in one round of the outer ones."""
    return 1 + max(nest.passes.values(), default=0)


def bytes_of(v: Value) -> int:
    """Of an array of that shape and dtype."""
    return math.prod(v.shape) * v.dtype.itemsize


def counted(program: Assembly) -> Counts:
    """The counts of a program."""
    traffic = [Traffic(program, step) for step in program.order]
    nests = [nest for nest, _ in program.nests]
    products = sum(isinstance(step, Task) and step.kind == "product" for step in program.order)
    calls = len(program.calls)
    return Counts(
        len(nests), len({name for _, name in program.nests}), sum(map(passes_of, nests)),
        products - sum(t.kind == "product" for t in program.calls), calls, len(program.block.at),
        program.block.size, sum(sum(one.read.values()) for one in traffic),
        sum(sum(one.written.values()) for one in traffic), len(program.new))
