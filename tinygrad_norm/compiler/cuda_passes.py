"""The passes of a kernel: the loops of a thread, what it adds up, and totals over threads."""

from __future__ import annotations

import numpy as np

from .axes import Loop
from .cuda_operations import FOLDS, TYPES, cast, literal
from .cuda_text import INNER, ROUND, ThreadText
from .formula import Sum
from .fuse import OUTER, SUM

RUN = 64
"""So many float32 values are added in float32; the sums of such runs in float64."""


class Passes(ThreadText):
    """What a kernel's writer knows of passes over the inner loops.

    inner:      these loops, and how many ``steps`` they have together
    passes:     how many there are
    x, y:       the threads of a block; where ``is_columns`` y go along the inner loops, else x
    parts:      how many blocks share a round
    across:     sums across rounds, and the registers that they are added up in, ``totals``
    """

    inner: list[Loop]
    steps: int
    passes: int
    x: int
    y: int
    is_columns: bool
    parts: int
    ends_in_a_sum: bool
    across: list[Sum]
    totals: dict[Sum, str]

    def _split(self, number: str, loops: list[Loop], depth: int) -> None:
        """Which step of each loop a number of all of them is."""
        left = number
        for k, loop in reversed([*enumerate(loops)]):
            if k == 0:
                self.lines[depth].append(f"const {self.count} {loop.name} = {left};")
            else:
                n = self.size(loop.size)
                self.lines[depth].append(f"const {self.count} {loop.name} = {left} % {n};")
                more = self.fresh("q")
                self.lines[depth].append(f"const {self.count} {more} = {left} / {n};")
                left = more

    def _passes(self) -> None:
        for p in range(self.passes):
            sums = self._pass(p)
            for s, total in sums:
                self._summed(s, self._across_threads(s, total))
        self.now = self.passes
        self._finish()

    def _finish(self) -> None:
        """What there is one of in each round is stored by its first thread."""
        lead = "threadIdx.y == 0" if self.is_columns else "threadIdx.x == 0"
        if self.parts > 1 and not self.ends_in_a_sum:
            lead += " && blockIdx.y == 0"
        outer = [t for t in self.nest.tasks if self.nest.role[t] == OUTER]
        values = [(t, self.emit(t.source, self.loops.index(t), top=t.kind == "root"))
                  for t in outer]
        stored = [(self.loops.buffer(t.value), self.loops.result_index(t),
                   self.memo[ROUND][t.value.id, self.loops.result_index(t)])
                  for t in self.nest.tasks if self.nest.role[t] == SUM]
        stored += [(self.loops.target(t), self.loops.index(t), value) for t, value in values]
        for buffer, index, value in stored:
            place = self.place(buffer, index)
            self.written.add(buffer.key)
            self.lines[ROUND].append(f"if (valid && {lead}) {place} = {value};")

    def _summed(self, s: Sum, total: str) -> None:
        """The result of a sum, for every thread of the round."""
        v = s.task.value
        self.memo[ROUND][v.id, self.loops.result_index(s.task)] = self.put(
            ROUND, v.dtype, cast(total, s.wide, v.dtype))

    def _across_threads(self, s: Sum, total: str) -> str:
        fold = f"{FOLDS[s.kind]}()"
        both = f"down<{self.x}, {self.y}>({total}, {fold})" if self.is_columns \
            else f"along<{self.x}>({total}, {fold})"
        return self.put(ROUND, s.wide, both)

    def _pass(self, p: int) -> list[tuple[Sum, str]]:
        """The text of one pass; of its sums the names of what a thread has of them."""
        nest = self.nest
        now = [t for t in nest.tasks if nest.passes[t] == p and nest.role[t] != OUTER]
        sums = [Sum(t) for t in now if nest.role[t] == SUM]
        across = [s for s in self.across if s.task in now]
        stores = [t for t in now if t.kind != "reduced"]
        if not now:
            return []
        self.now, self.lines[INNER], self.memo[INNER] = p, [], {}
        self._split("k", self.inner, INNER)
        found = []
        for s in sums:
            total, run = self.fresh("s"), self.fresh("s")
            e = self._element(s)
            fold = f"{FOLDS[s.kind]}()"
            is_run = s.narrow != s.wide and not self.registers
            name = run if is_run else total
            kind = s.narrow if self.registers else s.wide
            self.lines[INNER].append(f"{name} = {fold}({name}, {e});")
            found.append((s, total, run if is_run else "", kind))
        for s in across:
            e, a = self._element(s), self.totals[s]
            self.lines[INNER].append(f"if (valid) {a}[u] += {e};")
        self.stores(stores, INNER)
        self._loop(found)
        return [(s, cast(total, kind, s.wide)) for s, total, _, kind in found]

    def _element(self, s: Sum) -> str:
        x = s.task.value.args[0]
        value = self.emit(x, self.loops.index(s.task))
        return value if x.dtype == s.narrow else self.put(INNER, s.narrow, cast(
            value, x.dtype, s.narrow))

    def _first(self, s: Sum, dtype: np.dtype) -> str:
        return literal(s.start(dtype), dtype)

    def _loop(self, sums: list[tuple[Sum, str, str, np.dtype]]) -> None:
        """The steps of the inner loops that are this thread's."""
        out, n = self.lines[ROUND], self.size(self.steps)
        for s, total, _, kind in sums:
            out.append(f"{TYPES[kind.char]} {total} = {self._first(s, kind)};")
        body = [f"  {line}" for line in self.lines[INNER]]
        if self.registers:
            out += ["#pragma unroll", f"for (int u = 0; u < {self.registers}; u++) {{",
                    f"  const {self.count} k = threadIdx.x + u * {self.x};",
                    f"  if (k < {n}) {{", *(f"  {line}" for line in body), "  }", "}"]
            return
        by = self.y if self.is_columns else self.x
        first, last = "threadIdx.y" if self.is_columns else "threadIdx.x", n
        if self.parts > 1:
            low, high = (f"(({self.count})((long long){n} * {part} / gridDim.y))"
                         for part in ("blockIdx.y", "(blockIdx.y + 1)"))
            first, last = f"{low} + {first}", high
        runs = [(s, total, run) for s, total, run, _ in sums if run]
        if not runs:
            out += [f"for ({self.count} k = {first}; k < {last}; k += {by}) {{", *body, "}"]
            return
        out += [f"for ({self.count} from = {first}; from < {last}; from += {RUN * by}) {{"]
        out += [f"  {TYPES[s.narrow.char]} {run} = {self._first(s, s.narrow)};"
                for s, _, run in runs]
        out += [f"  const {self.count} to = {last} - from < {RUN * by} ? {last} : from + "
                f"{RUN * by};", f"  for ({self.count} k = from; k < to; k += {by}) {{",
                *(f"  {line}" for line in body), "  }"]
        out += [f"  {total} = {FOLDS[s.kind]}()({total}, {cast(run, s.narrow, s.wide)});"
                for s, total, run in runs]
        out.append("}")
