"""Nests → CUDA kernels.

The threads of a block are X by Y. A nest that sums nothing has a thread for each element. Else one
of three shapes, by where neighbours in memory lie:

    rows      X threads go along what is summed, and Y rounds of the outer loops are one block
    columns   X threads have an outer loop each, beside each other, and Y go along what is summed
    across    as rows, each thread with many rounds: it adds up what is summed across them

Where there are few rounds for so large a device, a round is split over several blocks (parts), and
each pass is a kernel of its own, which first adds up the parts of the sums before it. All sums have
a fixed order: the bits are the same from run to run.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .axes import Buffer
from .cuda_operations import FOLDS, TYPES, cast
from .cuda_passes import RUN, Passes
from .cuda_text import INNER, ROUND
from .formula import Sum
from .fuse import ACROSS, SUM, Fuse, Nest
from .recording import Unsupported

WARP = 32
THREADS = 256
HELD = 16
"""So many values of a row a thread keeps in registers."""
EACH = 16
"""A round is split if each thread has so many values of it."""
MOST = 1024
"""Threads of a block."""


class Launch(NamedTuple):
    """One kernel of a nest: its name within the text, blocks and threads."""

    name: str
    grid: tuple[int, int]
    block: tuple[int, int]


def power_of_two(n: int, most: int) -> int:
    """The next power of two, but no more than that."""
    return min(1 << max(0, n - 1).bit_length(), most)


class Kernel(Passes):
    """The kernels of one nest.

    Args:
        processors: how many multiprocessors the device has.
    """

    def __init__(self, nest: Nest, fuse: Fuse, buffers: dict[Any, Buffer], *, general: bool = False,
                 wide: bool = False, processors: int = 132) -> None:
        super().__init__(nest, fuse, buffers, general, wide)
        loops = self.loops
        self.across = [Sum(t) for t in nest.tasks if nest.role[t] == ACROSS]
        self.passes = 1 + max(nest.passes.values(), default=0)
        self.is_flat = nest.kept is None
        self.is_columns = loops.vector.outer and not self.is_flat
        self.inner = [] if self.is_flat else [*loops.inner]
        self.outer = [loop for loop in loops.loops if loop not in self.inner]
        if self.is_flat or self.is_columns:  # neighbours in memory are neighbouring threads
            self.outer.sort(key=lambda loop: loop is loops.vector)
        self.steps = math.prod(loop.size for loop in self.inner)
        self.rounds = math.prod(loop.size for loop in self.outer)
        self.parts = 1
        self.ends_in_a_sum = any(nest.role[t] == SUM and nest.passes[t] == self.passes - 1
                                 for t in nest.tasks)
        for loop in loops.loops:
            loop.depth = INNER if loop in self.inner else ROUND
            loop.name = f"i{loops.loops.index(loop)}"
        self._shape(processors)

    def _shape(self, processors: int) -> None:
        """How many threads a block has, and how many blocks there are."""
        if self.is_flat:
            self.x, self.y, self.blocks = THREADS, 1, -(-self.rounds // THREADS)
            return
        if self.is_columns:
            self.x, self.y = WARP, power_of_two(-(-self.steps // 4), MOST // WARP)
            self.blocks = -(-self.rounds // WARP)
        else:
            self.x = power_of_two(-(-self.steps // (1 if self.steps <= WARP else 4)), MOST)
            self.x = max(self.x, min(WARP, power_of_two(self.steps, WARP)))
            self.y = max(1, THREADS // self.x)
            self.blocks = -(-self.rounds // self.y)
            held = power_of_two(-(-self.steps // self.x), MOST)
            self.registers = held if held <= HELD else 0
        self.chunk = 1
        if self.across:
            if not self.registers:
                raise Unsupported("sums across rows that long")
            self.chunk = max(1, -(-self.rounds // (self.y * 4 * processors)))
            self.blocks = -(-self.rounds // (self.y * self.chunk))
            return
        each = self.y if self.is_columns else self.x
        if self.blocks < processors and self.steps >= EACH * each:
            self.parts = min(-(-2 * processors // self.blocks), max(1, self.steps // (4 * each)))
            self.registers = 0

    # -- text ------------------------------------------------------------------------------------

    def text(self, name: str) -> tuple[str, list[Launch]]:
        """The kernels, which all have the same parameters, and how they are launched."""
        self._names = 0
        grid, block = (self.blocks, self.parts), (self.x, self.y)
        if self.is_flat:
            bodies = [self._flat()]
        elif self.parts == 1:
            bodies = [self._whole()]
        else:
            bodies = [self._part(p) for p in range(self.passes)]
            if self.ends_in_a_sum:
                bodies.append(self._part(self.passes))
        launches = [Launch(f"{name}_{k}", grid, block) for k in range(len(bodies))]
        if self.parts > 1 and len(bodies) > self.passes:
            launches[-1] = launches[-1]._replace(grid=(self.blocks, 1))
        if self.across:
            bodies.append(self._end())
            launches.append(Launch(f"{name}_end", (-(-self.steps // WARP), 1), (WARP, 32)))
        parameters = self.parameters()
        text = ""
        for body, launch in zip(bodies, launches, strict=True):
            threads = launch.block[0] * launch.block[1]
            text += (f'extern "C" __global__ void __launch_bounds__({threads}) {launch.name}'
                     f"({parameters}) {{\n{body}}}\n")
        return text, launches

    def _begin(self) -> None:
        self.lines, self.memo = [[], []], [{}, {}]
        self.held.clear()

    def _flat(self) -> str:
        """A thread for each element."""
        self._begin()
        n = self.size(self.rounds)
        self.lines[ROUND] += [f"const {self.count} i = ({self.count})blockIdx.x * {self.x} "
                              "+ threadIdx.x;", f"const bool valid = i < {n};",
                              "if (!valid) return;"]
        self._split("i", self.outer, ROUND)
        self.stores(self.nest.tasks, ROUND)
        return self._joined()

    def _joined(self, indent: str = "  ") -> str:
        return "".join(f"{indent}{line}\n" for line in self.lines[ROUND])

    def _placed(self, block: str) -> None:
        """Which round a thread works at; one beyond the last works at that, and stores nothing."""
        mine = f"{block} * {self.x} + threadIdx.x" if self.is_columns \
            else f"{block} * {self.y} + threadIdx.y"
        n = self.size(self.rounds)
        self.lines[ROUND] += [f"const {self.count} own = ({self.count}){mine};",
                              f"const bool valid = own < {n};",
                              f"const {self.count} i = valid ? own : {n} - 1;"]
        self._split("i", self.outer, ROUND)

    def _whole(self) -> str:
        """Rounds with all their passes."""
        self._begin()
        if not self.across:
            self._placed("blockIdx.x")
            self._passes()
            return self._joined()
        accumulators = {s: self.fresh("a") for s in self.across}
        self.totals = accumulators
        self._placed(f"(blockIdx.x * {self.size(self.chunk)} + c)")
        self._passes()
        rows = self._joined("    ")
        text = "".join(f"  {TYPES[self._kept(s).char]} {a}[{self.registers}] = {{}};\n"
                       for s, a in accumulators.items())
        text += f"  for (int c = 0; c < {self.size(self.chunk)}; c++) {{\n{rows}  }}\n"
        for s, a in accumulators.items():
            part = self._scratch(s)
            text += (
                f"#pragma unroll\n  for (int u = 0; u < {self.registers}; u++) {{\n"
                f"    const {self.count} k = threadIdx.x + u * {self.x};\n"
                f"    if (k < {self.size(self.steps)}) {part}[((long long)blockIdx.x * {self.y} + "
                f"threadIdx.y) * {self.size(self.steps)} + k] = {a}[u];\n  }}\n")
        return text

    def _kept(self, s: Sum) -> np.dtype:
        """What a thread adds up across rounds in."""
        return s.narrow if self.chunk <= RUN else s.wide

    def _scratch(self, s: Sum) -> str:
        """Memory for parts of a sum."""
        key = ("scratch", s.task.value.id)
        self.types[key] = s.wide
        self.written.add(key)
        return self.argument("buffer", key)

    def scratch(self) -> dict[int, int]:
        """For each value whose sum has parts, how many bytes these take."""
        parts = self.blocks * self.y * self.steps if self.across else self.rounds * self.parts
        sums = self.across or ([] if self.parts == 1 else [
            Sum(t) for t in self.nest.tasks if self.nest.role[t] == SUM])
        return {s.task.value.id: parts * s.wide.itemsize for s in sums}

    # -- parts -----------------------------------------------------------------------------------

    def _part(self, p: int) -> str:
        """One pass over a part of each round; after the last one what is left to store."""
        self._begin()
        self._placed("blockIdx.x")
        self.now = p
        for t in self.nest.tasks:
            if self.nest.role[t] == SUM and self.nest.passes[t] < p:
                self._collected(Sum(t))
        if p == self.passes:
            self._finish()
            return self._joined()
        lead = "threadIdx.y == 0" if self.is_columns else "threadIdx.x == 0"
        for s, total in self._pass(p):
            whole = self._across_threads(s, total)
            part = self._scratch(s)
            self.lines[ROUND].append(f"if (valid && {lead}) {part}[(long long)blockIdx.y * "
                                     f"{self.size(self.rounds)} + i] = {whole};")
        if p == self.passes - 1 and not self.ends_in_a_sum:
            self._finish()
        return self._joined()

    def _collected(self, s: Sum) -> None:
        """Add up the parts of a sum, in their order."""
        part, total = self._scratch(s), self.fresh("s")
        mine, by = ("threadIdx.y", self.y) if self.is_columns else ("threadIdx.x", self.x)
        self.lines[ROUND] += [
            f"{TYPES[s.wide.char]} {total} = {self._first(s, s.wide)};",
            f"for (int j = {mine}; j < {self.size(self.parts)}; j += {by})",
            f"  {total} = {FOLDS[s.kind]}()({total}, {part}[(long long)j * "
            f"{self.size(self.rounds)} + i]);"]
        self._summed(s, self._across_threads(s, total))

    def _end(self) -> str:
        """Sums across rounds: what each thread has of them is added up, in its order."""
        self._begin()
        n, parts = self.size(self.steps), self.size(self.blocks * self.y)
        out = self.lines[ROUND]
        out += [f"const {self.count} own = ({self.count})blockIdx.x * {WARP} + threadIdx.x;",
                f"const bool valid = own < {n} && threadIdx.y == 0;",
                f"const {self.count} i = own < {n} ? own : {n} - 1;"]
        self._split("i", self.inner, ROUND)
        for s in self.across:
            part, total = self._scratch(s), self.fresh("s")
            out += [f"{TYPES[s.wide.char]} {total} = 0;",
                    f"for ({self.count} j = threadIdx.y; j < {parts}; j += 32)",
                    f"  {total} += {part}[(long long)j * {n} + i];"]
            v = s.task.value
            whole = self.put(ROUND, s.wide, f"down<{WARP}, 32>({total}, Add())")
            self.store(self.loops.buffer(v), self.loops.inner_index(s.task),
                       cast(whole, s.wide, v.dtype), ROUND)
        return self._joined()

