"""Sums across the rounds of a nest: of the many rows of a matrix, as they lie in memory.

Rounds are added up in chunks, which threads share. A chunk keeps its sums in memory: of a block of
rounds in the dtype of the values, of all its blocks in float64. At the end the chunks are added up
in their order, so that the bits are the same with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .axes import BLOCK, Buffer
from .formula import Formula, Sum
from .fuse import ACROSS, Fuse, Nest
from .index import Index
from .task import Task
from .text import TYPES


class Across(Formula):
    """What a writer knows of sums across rounds."""

    def __init__(self, nest: Nest, fuse: Fuse, buffers: dict[Any, Buffer], lanes: int,
                 general: bool = False) -> None:
        super().__init__(nest, fuse, buffers, lanes, general)
        self.across = [Sum(t) for t in nest.tasks if nest.role[t] == ACROSS]
        self.rows_at_once = 4 if self.across and len(self.across) == len(nest.tasks) else 1
        self.rows: dict[tuple[Task, str], str] = {}
        self.each: dict[int, dict[Any, Any]] = {}

    def _round(self, i: str, _: Any = ()) -> list[str]:
        raise NotImplementedError

    def _named(self, i: str) -> None:
        raise NotImplementedError

    def _parts(self, s: Sum, kind: str) -> tuple[str, np.dtype]:
        """Where the sums of one chunk lie: of a block of rounds, or of all its blocks."""
        dtype = s.narrow if kind == "narrow" else s.wide
        return self.entry("scratch", (s.task.value.id, kind)), dtype

    def _row(self, base: str, dtype: np.dtype, chunk: str) -> str:
        start = self.put(f"mul nuw nsw i64 {chunk}, {self.size(self.padded)}", self.depth)
        return self.put(f"getelementptr {TYPES[dtype.char]}, ptr {base}, i64 {start}", self.depth)

    @property
    def padded(self) -> int:
        return -(-self.vector.size // self.lanes) * self.lanes

    def _chunk(self, i: str, _: Any) -> list[str]:
        """Rounds that are added up in one place, in blocks."""
        loops = self.loops
        self.rows = {(s.task, kind): self._row(*self._parts(s, kind), i)
                     for s in self.across for kind in self._kinds(s)}
        for key, at in self.rows.items():
            self._cleared(at, self._dtype(key))
        first = self.put(f"mul nuw nsw i64 {i}, {self.size(loops.chunk)}", self.depth)
        last = self._least(first, self.size(loops.chunk), self.size(loops.rounds))

        def block(b: str, _: Any) -> list[str]:
            end = self._least(b, str(BLOCK), last)
            if self.rows_at_once == 1:
                self._loop(b, end, 1, self._round, [])
            else:
                count = self.put(f"sub i64 {end}, {b}", self.depth)
                whole = self.put(f"and i64 {count}, {-self.rows_at_once}", self.depth)
                middle = self.put(f"add i64 {b}, {whole}", self.depth)
                self._loop(b, middle, self.rows_at_once, self._rows, [], always=False)
                self._loop(middle, end, 1, self._round, [], always=False)
            for s in self.across:
                if s.narrow != s.wide:
                    self._flushed(self.rows[s.task, "narrow"], self.rows[s.task, "wide"], s)
            return []

        self._loop(first, last, BLOCK, block, [])
        return []

    def _kinds(self, s: Sum) -> tuple[str, ...]:
        return ("wide",) if s.narrow == s.wide else ("narrow", "wide")

    def _dtype(self, key: tuple[Task, str]) -> np.dtype:
        s = next(s for s in self.across if s.task is key[0])
        return s.narrow if key[1] == "narrow" else s.wide

    def _least(self, start: str, step: str, end: str) -> str:
        """min(start + step, end)"""
        there = self.put(f"add nuw nsw i64 {start}, {step}", self.depth)
        return self.call("llvm.umin.i64", [f"i64 {there}", f"i64 {end}"], "i64", self.depth)

    def _lanes_at(self, at: str, dtype: np.dtype, c: str) -> str:
        return self.put(f"getelementptr {TYPES[dtype.char]}, ptr {at}, i64 {c}", self.depth)

    def _read(self, place: str, dtype: np.dtype) -> str:
        return self.put(f"load {self.type_of(dtype)}, ptr {place}, align {dtype.itemsize}",
                        self.depth)

    def _write(self, place: str, dtype: np.dtype, value: str) -> None:
        self.levels[-1].append(
            f"  store {self.type_of(dtype)} {value}, ptr {place}, align {dtype.itemsize}")

    def _cleared(self, at: str, dtype: np.dtype) -> None:
        def body(c: str, _: Any) -> list[str]:
            self._write(self._lanes_at(at, dtype, c), dtype, "zeroinitializer")
            return []

        self._loop("0", self.size(self.padded), self.lanes, body, [])

    def _flushed(self, narrow: str, wide: str, s: Sum) -> None:
        """Add the sums of a block to those of the chunk."""
        def body(c: str, _: Any) -> list[str]:
            own, total = self._lanes_at(narrow, s.narrow, c), self._lanes_at(wide, s.wide, c)
            e = self.cast((self._read(own, s.narrow), True), s.narrow, s.wide, self.depth)[0]
            self._write(total, s.wide, self.step(
                "sum", self._read(total, s.wide), e, s.wide, self.depth))
            self._write(own, s.narrow, "zeroinitializer")
            return []

        self._loop("0", self.size(self.padded), self.lanes, body, [])

    def _end(self) -> None:
        """Add up the chunks, in their order: the same bits with any number of threads."""
        for s in self.across:
            base, wide = self._parts(s, "wide")
            index = self.loops.inner_index(s.task)

            def vectors(c: str, _: Any, s: Sum = s, base: str = base, wide: np.dtype = wide,
                        index: Index = index) -> list[str]:
                self.vector.name, self.vector.depth = c, self.depth

                def add(i: str, phis: list[str], c: str = c) -> list[str]:
                    e = self._read(self._lanes_at(self._row(base, wide, i), wide, c), wide)
                    return [self.step("sum", phis[0], e, wide, self.depth)]

                (total,) = self._loop("0", self.size(self.loops.chunks), 1, add, [
                    (self.type_of(wide), self.first(s, wide))])
                v = s.task.value
                self.store(self.loops.buffer(v), index,
                           self.cast((total, True), wide, v.dtype, self.depth))
                return []

            whole = self.vector.size - self.vector.size % self.lanes
            if whole:
                self._loop("0", self.size(whole), self.lanes, vectors, [])
            if whole < self.vector.size:
                def rest(whole: int = whole) -> None:
                    vectors(self.size(whole), ())

                self._masked(self.vector.size - whole, rest)

    def _rows(self, i: str, _: Any) -> list[str]:
        """Several rounds at once: their sums are read and written once."""
        outer = self.depth
        memos: list[dict[Any, Any]] = []
        names = []
        for j in range(self.rows_at_once):
            self.memo[outer] = {}
            self._named(self.put(f"add nuw nsw i64 {i}, {j}", outer))
            memos.append(self.memo[outer])
            names.append([loop.name for loop in self.loops.outer])

        def body(accs: list[tuple[Sum, str]]) -> None:
            for s, place in accs:
                dtype = s.narrow
                total = self._read(place, dtype)
                for j, memo in enumerate(memos):
                    self.memo[outer] = memo
                    self.memo[-1] = self.each.setdefault(j, {})
                    for loop, name in zip(self.loops.outer, names[j], strict=True):
                        loop.name = name
                    total = self.step("sum", total, self._element(s), dtype, self.depth)
                self._write(place, dtype, total)

        self._across_rows(body)
        return []

    def _across_rows(self, body: Callable[[list[tuple[Sum, str]]], None]) -> None:
        """Go along the row by vectors; ``body`` gets the place of each sum."""
        loop = self.vector
        whole = loop.size - loop.size % self.lanes

        def places(c: str) -> list[tuple[Sum, str]]:
            return [(s, self._lanes_at(self.rows[s.task, self._kinds(s)[0]], s.narrow, c))
                    for s in self.across]

        def along(c: str, _: Any) -> list[str]:
            loop.name, loop.depth, self.each = c, self.depth, {}
            body(places(c))
            return []

        if whole:
            self._loop("0", self.size(whole), self.lanes, along, [])
        if whole < loop.size:
            self._masked(loop.size - whole, lambda: self._loop(
                self.size(whole), self.size(whole + 1), self.lanes, along, []))
