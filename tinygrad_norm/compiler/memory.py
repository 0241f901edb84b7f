"""Loads, stores and addresses of a nest, as LLVM IR."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np

from .axes import Buffer, Loop, Loops
from .fuse import Fuse, Nest
from .index import Index, steps
from .text import Text

PLAIN_NUMBERS = (0, 1, -1, 2, 0.5, -0.5, float("inf"), float("-inf"))
"""Numbers that stand in the text also where sizes and numbers are arguments."""


class Memory(Text):
    """What a writer of text knows of memory.

    general:  sizes, strides and numbers are read from the table, so that nests of other sizes are
              the same text
    table:    what each entry holds: ("buffer", key), ("number", slot), ("size", n), ("value", x);
              a buffer whose key is a tuple is an array of NumPy's, the address of which is in it
    """

    mask: str | None = None
    is_last = False
    """Whether a pass is written that is the last of several."""

    def __init__(self, nest: Nest, fuse: Fuse, buffers: dict[Any, Buffer], lanes: int,
                 general: bool) -> None:
        super().__init__()
        self.nest, self.fuse, self.general = nest, fuse, general
        self.loops = Loops(nest, fuse, buffers, lanes)
        self.lanes, self.vector = self.loops.lanes, self.loops.vector
        self.table: list[tuple[str, Any]] = []
        self._places: dict[Any, int] = {}

    # -- the table ---------------------------------------------------------------------------------

    def entry(self, kind: str, key: Any) -> str:
        """The name of what the table holds."""
        place = self._places.get((kind, key))
        if place is None:
            place = self._places[kind, key] = len(self.table)
            self.table.append((kind, key))
        return f"%e{place}"

    def head(self) -> str:
        """The text that reads the table."""
        return "\n".join(loaded("%table", k, kind, key, f"%e{k}")
                         for k, (kind, key) in enumerate(self.table))

    def size(self, n: int) -> str:
        """A size or a stride."""
        return str(n) if n in (0, 1) or not self.general else self.entry("size", n)

    def constant(self, number: Any, dtype: np.dtype) -> str:
        """A number of the formula."""
        if self.general and dtype.kind == "f" and number == number and number not in PLAIN_NUMBERS:
            name = self.entry("value", float(dtype.type(number)))
            return name if dtype.itemsize == 8 else self.cast(
                (name, False), np.dtype("f8"), dtype, 0)[0]
        return self.literal(number, dtype)

    # -- addresses ---------------------------------------------------------------------------------

    def _pointer(self, buffer: Buffer, index: Index) -> tuple[str, int]:
        """The address of an element, and the stride along the vectors."""
        offset, strides = steps(index, buffer.strides)
        offset += buffer.offset
        t = self.memory_type(buffer.dtype)
        at, along = self.entry("buffer", buffer.key), 0
        terms: list[tuple[int, int, Loop, int]] = []
        for atom, stride in strides.items():
            loop = self.loops.loop_of[atom]
            if self.loops.atom_of[loop] == atom and stride:
                terms.append((loop.depth, self.loops.loops.index(loop), loop, stride))
                if loop is self.vector:
                    along = stride
        key: Any = (buffer.key, offset, t)
        if offset:
            at = self._moved(at, t, self.size(offset), 0, key)
        for depth, _, loop, stride in sorted(terms, key=lambda term: term[:2]):
            if loop.name == "0":
                continue
            key = (key, loop.name, stride)
            at = self._moved(at, t, self._times(loop.name, stride, depth), depth, key)
        return at, along

    def _times(self, name: str, stride: int, depth: int) -> str:
        if stride == 1:
            return name
        key = ("times", name, stride)
        if key not in self.memo[depth]:
            self.memo[depth][key] = (self.put(f"mul nsw i64 {name}, {self.size(stride)}", depth),
                                     False)
        found: str = self.memo[depth][key][0]
        return found

    def _moved(self, at: str, t: str, step: str, depth: int, key: Any) -> str:
        if ("at", key) not in self.memo[depth]:
            self.memo[depth]["at", key] = (self.put(
                f"getelementptr {t}, ptr {at}, i64 {step}", depth), False)
        found: str = self.memo[depth]["at", key][0]
        return found

    def _apart(self, at: str, t: str, along: int, depth: int) -> str:
        """The addresses of lanes that do not lie side by side."""
        if self.general:
            lanes = ", ".join(f"i64 {i}" for i in range(self.lanes))
            step = self.splat(self.size(along), np.dtype("i8"), depth)
            steps_ = self.put(f"mul <{self.lanes} x i64> {step}, <{lanes}>", depth)
        else:
            steps_ = "<" + ", ".join(f"i64 {i * along}" for i in range(self.lanes)) + ">"
        return self.put(f"getelementptr {t}, ptr {at}, <{self.lanes} x i64> {steps_}", depth)

    def _widened(self, vector: str, between: str, depth: int) -> str:
        """A vector of twice the lanes, every second one of ``between``: for lanes that lie two
        apart, which are read and written as one wide vector, many times faster than one by one."""
        places = ", ".join(f"i32 {i}, i32 {self.lanes}" for i in range(self.lanes))
        return self.put(f"shufflevector {vector}, {between}, <{2 * self.lanes} x i32> <{places}>",
                        depth)

    def _every_other(self, depth: int) -> str:
        """The mask of such a vector."""
        kind = f"<{self.lanes} x i1>"
        wide = self._widened(f"{kind} {self._mask()}", f"{kind} zeroinitializer", depth)
        return f"<{2 * self.lanes} x i1> {wide}"

    def _mask(self) -> str:
        return self.mask or self.literal(True, np.dtype(bool), vector=True)

    # -- loads and stores --------------------------------------------------------------------------

    def load(self, buffer: Buffer, index: Index) -> tuple[str, bool]:
        """An element, or a vector of them where the index runs along vectors."""
        depth, vector = self.loops.depth_of(index)
        at, along = self._pointer(buffer, index)
        t, size = self.memory_type(buffer.dtype), buffer.dtype.itemsize
        many, short = f"<{self.lanes} x {t}>", self.short(t)
        vector = vector and along != 0
        if not vector:
            name = self.put(f"load {t}, ptr {at}, align {size}", depth)
        elif along == 1 and self.mask is None:
            name = self.put(f"load {many}, ptr {at}, align {size}", depth)
            if self.is_last and buffer.large:
                self._fetch(buffer, index, at, depth)
        elif along == 1:
            name = self.call(f"llvm.masked.load.v{self.lanes}{short}.p0", [
                f"ptr {at}", f"i32 {size}", f"<{self.lanes} x i1> {self.mask}",
                f"{many} zeroinitializer"], many, depth)
        elif along == 2 and not self.general:
            wide = self.call(f"llvm.masked.load.v{2 * self.lanes}{short}.p0", [
                f"ptr {at}", f"i32 {size}", self._every_other(depth),
                f"<{2 * self.lanes} x {t}> zeroinitializer"], f"<{2 * self.lanes} x {t}>", depth)
            places = ", ".join(f"i32 {2 * i}" for i in range(self.lanes))
            name = self.put(f"shufflevector <{2 * self.lanes} x {t}> {wide}, <{2 * self.lanes} x "
                            f"{t}> poison, <{self.lanes} x i32> <{places}>", depth)
        else:
            name = self.call(f"llvm.masked.gather.v{self.lanes}{short}.v{self.lanes}p0", [
                f"<{self.lanes} x ptr> {self._apart(at, t, along, depth)}", f"i32 {size}",
                f"<{self.lanes} x i1> {self._mask()}", f"{many} zeroinitializer"], many, depth)
        if buffer.dtype.kind == "b":
            kind, zero = (many, "zeroinitializer") if vector else (t, "0")
            name = self.put(f"icmp ne {kind} {name}, {zero}", depth)
        return name, vector

    def _fetch(self, buffer: Buffer, index: Index, at: str, depth: int) -> None:
        """Have the same place of the next round brought to the cache, while this one, which is
        there, is gone through for the last time."""
        _, strides = steps(index, buffer.strides)
        stride = strides.get(self.loops.atom_of.get(self.loops.outer[-1])) if self.loops.outer \
            else None
        if not stride:
            return
        size = buffer.dtype.itemsize
        next_ = self.put(f"getelementptr {self.memory_type(buffer.dtype)}, ptr {at}, i64 "
                         f"{self.size(stride)}", depth)
        for line in range(0, self.lanes * size, 64):
            place = self.put(f"getelementptr i8, ptr {next_}, i64 {line}", depth)
            self.call("llvm.prefetch.p0", [f"ptr {place}", "i32 0", "i32 3", "i32 1"], "void",
                      depth)

    def store(self, buffer: Buffer, index: Index, value: tuple[str, bool]) -> None:
        """Write an element, or a vector of them."""
        depth = len(self.levels) - 1
        _, vector = self.loops.depth_of(index)
        at, along = self._pointer(buffer, index)
        t, size = self.memory_type(buffer.dtype), buffer.dtype.itemsize
        kind = f"<{self.lanes} x {t}>" if vector else t
        name = self.lanes_of(value, buffer.dtype, depth) if vector else value[0]
        if buffer.dtype.kind == "b":
            bits = f"<{self.lanes} x i1>" if vector else "i1"
            name = self.put(f"zext {bits} {name} to {kind}", depth)
        out = self.levels[depth]
        if not vector:
            out.append(f"  store {kind} {name}, ptr {at}, align {size}")
        elif along == 1 and self.mask is None:
            past = self._is_streamed(buffer, index)
            out.append(f"  store {kind} {name}, ptr {at}, align {64 if past else size}"
                       + (", !nontemporal !0" if past else ""))
        elif along == 1:
            self.call(f"llvm.masked.store.v{self.lanes}{self.short(t)}.p0", [
                f"{kind} {name}", f"ptr {at}", f"i32 {size}", f"<{self.lanes} x i1> {self.mask}"],
                "void", depth)
        elif along == 2 and not self.general:
            wide = self._widened(f"{kind} {name}", f"{kind} poison", depth)
            self.call(f"llvm.masked.store.v{2 * self.lanes}{self.short(t)}.p0", [
                f"<{2 * self.lanes} x {t}> {wide}", f"ptr {at}", f"i32 {size}",
                self._every_other(depth)], "void", depth)
        else:
            self.call(f"llvm.masked.scatter.v{self.lanes}{self.short(t)}.v{self.lanes}p0", [
                f"{kind} {name}", f"<{self.lanes} x ptr> {self._apart(at, t, along, depth)}",
                f"i32 {size}", f"<{self.lanes} x i1> {self._mask()}"], "void", depth)

    def _is_streamed(self, buffer: Buffer, index: Index) -> bool:
        """Whether to write past the cache: of large results, whose vectors all begin at a multiple
        of 64 bytes."""
        if not buffer.large or not isinstance(buffer.key, tuple) or buffer.key[0] != "result":
            return False
        offset, strides = steps(index, buffer.strides)
        line = 64 // buffer.dtype.itemsize
        return self.lanes % line == 0 and offset % line == 0 and all(
            stride % line == 0 for atom, stride in strides.items()
            if self.loops.loop_of[atom] is not self.vector)


def loaded(table: str, k: int, kind: str, key: Any, name: str) -> str:
    """Text that reads entry k of a table. The address of an array's values is in its object."""
    t = {"size": "i64", "number": "double", "value": "double"}.get(kind, "ptr")
    text = f"  {name}.t = getelementptr i64, ptr {table}, i64 {k}\n"
    if kind == "buffer" and isinstance(key, tuple):
        return (f"{text}  {name}.o = load ptr, ptr {name}.t, align 8\n"
                f"  {name}.a = getelementptr i8, ptr {name}.o, i64 {WITHIN}\n"
                f"  {name} = load ptr, ptr {name}.a, align 8")
    return f"{text}  {name} = load {t}, ptr {name}.t, align 8"


WITHIN = object.__basicsize__
"""Where an object of NumPy's array class holds the address of its values: it is the first thing
after what every object begins with (``PyArrayObject_fields`` in NumPy's C API)."""

FLAGS = WITHIN + 48
"""Where it has its flags, the first of which is whether it is contiguous."""


@cache
def is_as_expected() -> bool:
    """Whether this Python and this NumPy lay out arrays so."""
    array = np.zeros((3, 2))
    flags = [ctypes.c_int.from_address(id(a) + FLAGS).value & 1 for a in (array, array.T)]
    at = ctypes.c_size_t.from_address(id(array) + WITHIN).value
    return (sys.implementation.name == "cpython" and flags == [1, 0]
            and at == array.__array_interface__["data"][0])
