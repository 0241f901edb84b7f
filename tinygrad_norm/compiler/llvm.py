"""Nests → LLVM IR, with the vectors written out.

Sums stay in registers, what does not change in a loop is computed before it, and each value once:
so LLVM's optimizer has nothing left to do, and machine code is the only cost of compiling.

A nest becomes ``void f(ptr table, i64 lo, i64 hi)``: rounds lo to hi of its outer loops. The table
holds addresses, and numbers that change; so that nests which differ in these alone are one text.
"""

from __future__ import annotations

from typing import Any

from .across import Across
from .axes import Loop
from .formula import Sum, Totals
from .fuse import OUTER, PART, SUM
from .task import Task

RUN = 64
"""So many float32 values are added in float32; the sums of such runs in float64."""


class Writer(Across):
    """The text of one nest.

    Args:
        buffers: of tasks by their values' numbers, of what is given by ("slot", slot).
        lanes: float32 values in a vector.
    """

    # -- text --------------------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """The function, and the one that adds up the parts of sums across rounds."""
        self._start()
        if self.across:
            self._loop("%lo", "%hi", 1, self._chunk, [], always=False)
        else:
            self._loop("%lo", "%hi", 1, self._round, [], always=False)
        found = self._function(name)
        if self.across:
            self._start()
            self._end()
            found += self._function(f"{name}_end")
        return found

    def _start(self) -> None:
        self.levels, self.memo, self.blocks = [[]], [{}], ["entry"]
        self.mask = None
        self.born.clear()

    def _function(self, name: str) -> str:
        body = "\n".join(self.levels[0])
        return (f"define void @{name}(ptr %table, i64 %lo, i64 %hi) nounwind {{\nentry:\n"
                f"{self.head()}\n{body}\n  ret void\n}}\n")

    def _round(self, i: str, _: Any = ()) -> list[str]:
        """One round of the outer loops: which of their values it is, and its passes."""
        self._named(i)
        if not self.vector.outer:
            self._passes()
        return []

    def _named(self, i: str) -> None:
        left = i
        loops, strips = self.loops.outer, self.loops.strips
        for k, loop in reversed([*enumerate(loops)]):
            loop.depth = self.depth
            if k == 0 and strips == 1:
                loop.name = left
            else:
                loop.name = self.put(f"urem i64 {left}, {self.size(loop.size)}", self.depth)
                left = self.put(f"udiv i64 {left}, {self.size(loop.size)}", self.depth)
        if self.vector.outer:
            self._strip("0" if strips == 1 else left)

    def _strip(self, i: str) -> None:
        """A round whose vectors lie along an outer loop. The last one may be shorter."""
        depth, strips = self.depth, self.loops.strips
        self.vector.depth = depth
        rest = self.vector.size % self.lanes
        self.vector.name = i if strips == 1 else self.put(
            f"mul nuw nsw i64 {i}, {self.lanes}", depth)
        if not rest:
            self._passes()
            return
        if strips == 1:
            self._masked(rest, self._passes)
            return
        k = self.number()
        self.levels[-1].append(f"  %last{k} = icmp eq i64 {i}, {self.size(strips - 1)}\n"
                               f"  br i1 %last{k}, label %M{k}, label %F{k}")
        kept = dict(self.memo[-1])
        for label, few in ((f"F{k}", 0), (f"M{k}", rest)):
            self._label(label)
            self.memo[-1] = dict(kept)
            if few:
                self._masked(few, self._passes)
            else:
                self._passes()
            self.levels[-1].append(f"  br label %X{k}")
        self.memo[-1] = kept
        self._label(f"X{k}")

    # -- passes ------------------------------------------------------------------------------------

    def _passes(self) -> None:
        nest, last = self.nest, max(self.nest.passes.values(), default=0)
        for p in range(last + 1):
            self.is_last = 0 < p == last and not self.vector.outer
            now = [t for t in nest.tasks if nest.passes[t] == p and nest.role[t] != OUTER]
            self.now = p
            if not now:
                continue
            sums = [Sum(t) for t in now if nest.role[t] == SUM]
            self.parts = [Sum(t) for t in now if nest.role[t] == PART]
            across = [s for s in self.across if s.task in now]
            stores = [t for t in now if t.kind != "reduced"]
            totals = self._nested(self.loops.inner, sums, across, stores)
            self._summed(sums, totals)
        for t, value in self._values([t for t in nest.tasks if nest.role[t] == OUTER]):
            self.store(self.loops.target(t), self.loops.index(t), value)

    def _summed(self, sums: list[Sum], totals: Totals) -> None:
        """Store what was added up."""
        for s, (total, dtype) in zip(sums, totals, strict=True):
            v, index = s.task.value, self.loops.result_index(s.task)
            if not self.vector.outer:
                total, dtype = self._across_lanes(s, total, dtype)
            result = self.cast((total, self.vector.outer), dtype, v.dtype, self.depth)
            self.memo[-1][v.id, index] = result
            self.store(self.loops.buffer(v), index, result)

    def _values(self, tasks: list[Task]) -> list[tuple[Task, tuple[str, bool]]]:
        """What tasks store: all is computed before anything is stored."""
        return [(t, self.emit(t.source, self.loops.index(t), top=t.kind == "root")) for t in tasks]

    def _nested(self, loops: list[Loop], sums: list[Sum], across: list[Sum],
                stores: list[Task]) -> Totals:
        """Loops within each other; each sum's total with its dtype."""
        if not loops:
            return self._body(sums, across, stores, None)
        loop, *further = loops
        if not further:
            return self._innermost(loop, sums, across, stores)

        parts = self.parts if loop.part and not further[0].part else []

        def body(i: str, phis: list[str]) -> list[str]:
            loop.name, loop.depth = i, self.depth
            totals = self._nested(further, [*sums, *parts], across, stores)
            self._summed(parts, totals[len(sums):])
            return self._added(sums, phis, totals[:len(sums)])

        news = self._loop("0", self.size(loop.size), 1, body, self._carried(sums, wide=True))
        return [(new, s.wide) for s, new in zip(sums, news, strict=True)]

    def _carried(self, sums: list[Sum], wide: bool) -> list[tuple[str, str]]:
        return [(self.type_of(d), self.first(s, d))
                for s in sums for d in [s.wide if wide else s.narrow]]

    def _innermost(self, loop: Loop, sums: list[Sum], across: list[Sum],
                   stores: list[Task]) -> Totals:
        """The innermost loop: by vectors, if they run along it; its sums in runs."""
        by = self.lanes if loop is self.vector else 1
        whole = loop.size - loop.size % by
        is_long = loop.size // by > RUN and any(s.wide != s.narrow for s in sums)
        before = dict(self.memo[-1])
        totals: Totals = []

        def run(lo: str, hi: str) -> Totals:
            def body(i: str, phis: list[str]) -> list[str]:
                loop.name, loop.depth = i, self.depth
                return [t for t, _ in self._body(sums, across, stores, phis)]

            news = self._loop(lo, hi, by, body, self._carried(sums, wide=False))
            return [(new, s.narrow) for s, new in zip(sums, news, strict=True)]

        def once(start: str) -> Totals:
            loop.name, loop.depth = start, self.depth
            return self._body(sums, across, stores, None)

        if is_long:
            def block(i: str, phis: list[str]) -> list[str]:
                end = self._least(i, str(RUN * by), self.size(whole))
                return self._added(sums, phis, run(i, end))

            news = self._loop("0", self.size(whole), RUN * by, block,
                              self._carried(sums, wide=True))
            totals = [(new, s.wide) for s, new in zip(sums, news, strict=True)]
        elif whole == by:
            totals = once("0")
        elif whole:
            totals = run("0", self.size(whole))
        if whole < loop.size:
            if whole:  # nothing that was computed of whole vectors holds for the rest
                self.memo[-1] = dict(before)
            rest = self._masked(loop.size - whole, lambda: once(self.size(whole)))
            if not whole:
                return rest
            self.memo[-1] = before
            wide = [self.cast((total, True), dtype, s.wide, self.depth)[0]
                    for s, (total, dtype) in zip(sums, totals, strict=True)]
            totals = [(new, s.wide) for s, new in zip(
                sums, self._added(sums, wide, rest), strict=True)]
        return totals

    def _body(self, sums: list[Sum], across: list[Sum], stores: list[Task],
              accs: list[str] | None) -> Totals:
        """One step of the innermost loop: all is computed, then stored.

        accs: what the sums are so far; None where this is all of them.
        """
        found: Totals = []
        for k, s in enumerate(sums):
            e = self._element(s)
            if self.mask is not None and not self.vector.outer:
                t = self.type_of(s.narrow)
                e = self.put(f"select <{self.lanes} x i1> {self.mask}, {t} {e}, {t} "
                             f"{self.first(s, s.narrow)}", self.depth)
            found.append((e if accs is None else self.step(
                s.kind, accs[k], e, s.narrow, self.depth), s.narrow))
        elements = [(s, self._element(s)) for s in across]
        values = self._values(stores)
        for s, e in elements:
            place = self._lanes_at(self.rows[s.task, self._kinds(s)[0]], s.narrow,
                                   self.vector.name)
            self._write(place, s.narrow, self.step(
                "sum", self._read(place, s.narrow), e, s.narrow, self.depth))
        for task, value in values:
            self.store(self.loops.target(task), self.loops.index(task), value)
        return found

