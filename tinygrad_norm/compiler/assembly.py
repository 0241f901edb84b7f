"""Nests, products and calls in their order → the text of one module, and the table that it reads.

The functions of the module call nests and products in turn, up to the next call of NumPy. The table
holds the addresses of all arrays and the numbers that change: each nest reads its own part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import elementwise, entry, products
from .axes import Buffer
from .block import Block, in_lines
from .fuse import Fuse, Nest
from .index import strides_of, view
from .lines import Lines
from .llvm import Writer
from .memory import is_as_expected, loaded
from .recording import Recording, Slot, Unsupported
from .task import Task
from .values import Value

SHARED = 1 << 20
"""A nest of so much work, some 20 µs, is shared between threads."""
ALONE = 1 << 22
"""The same of a nest on its own, outside of a compiled step: the threads are asleep then,
and waking one takes some 25 µs."""
MANY = 64
"""In at most so many pieces."""
STREAMED = 1 << 22
"""A result of so many bytes is written past the cache."""
LANES = 32
"""float32 values in a vector: two registers of AVX-512."""


class Assembly:
    """The text of a recording's loops, the table that it reads, and the block of memory.

    Args:
        states: how many of the inputs, the first ones, are state.
        general: sizes and numbers are no part of the text, so that recordings of other sizes have
            the same machine code.

    Raises:
        Unsupported: something in it cannot be run so.
    """

    fusing: type[Fuse] = Fuse

    def __init__(self, recording: Recording, *, states: int = 0, general: bool = False) -> None:
        self.recording, self.states, self.general = recording, states, general
        if not is_as_expected():
            raise Unsupported("this Python or this NumPy lays out arrays in another way")
        lines = self.lines = Lines(recording, elementwise.known)
        written = [(int(slot), lines.read(slot)) for slot in recording.written()]
        state = [(slot, v) for slot, v in written if v is not lines.inputs.get(Slot(slot))]
        guards = [lines.cast(lines.read(slot), bool) if answer else
                  lines.map("logical_not", [lines.cast(lines.read(slot), bool)], np.dtype(bool))
                  for slot, answer in recording.guards]
        self.outputs = [lines.read(slot) for slot in recording.outputs]
        self.fuse = self.fusing(lines, self.outputs, state, guards)
        self.outputs = self.fuse.outputs
        self.order = self.fuse.run()
        self.new = self._new()
        results = {self.fuse.place(v).id for v in (*self.outputs, *self.fuse.guards)}
        self.block = Block(self.order, results, self.new, self.fuse.owner)
        self.table: list[tuple[str, Any]] = [("share", None)]
        self.text = self._text()

    def _new(self) -> dict[int, Value]:
        """The results that are written where they stay, in arrays made for each run."""
        found: dict[int, Value] = {}
        for v in self.outputs:
            place = self.fuse.place(v)
            task = self.fuse.tasks.get(place.id)
            if task is not None and task.slot is None and task.kind not in ("called", "put"):
                found[place.id] = place
        return found

    # -- text --------------------------------------------------------------------------------------

    def _text(self) -> str:
        """Nests, each once, and functions that call them in order, up to the next call of NumPy."""
        self.buffers = self._buffers()
        self.scratch: dict[Any, int] = {}
        self.room = 0
        self.is_shared = False
        self.nests: list[tuple[Nest, str]] = []
        self.calls: list[Task] = []
        declared: set[str] = set()
        same: dict[str, str] = {}
        steps: list[list[str]] = [[]]
        for step in self.order:
            if isinstance(step, Nest):
                writer = Writer(step, self.fuse, self.buffers, LANES, self.general)
                name = same.setdefault(writer.text("NAME"), f"f{len(same)}")
                declared |= writer.declared
                self._nest(steps[-1], name, writer)
                self.nests.append((step, name))
            elif step.kind == "check":
                self._check(steps[-1])
            elif step.kind != "product" or not self._product(step, steps[-1]):
                self.calls.append(step)
                steps.append([])
        self.steps = len(steps)
        functions = [text.replace("@NAME", f"@{name}") for text, name in same.items()]
        functions += [f"define i64 @step{k}(ptr %table) nounwind {{\nentry:\n{''.join(lines)}"
                      "  ret i64 0\n}\n" for k, lines in enumerate(steps)]
        self.is_plain = not self.calls and (
            [*map(self._reshaped, self.outputs)] == [*self.new.values()])
        if self.is_plain and self.general:
            functions.append(self._entry())
        return "\n".join([*sorted(declared), *functions, "!0 = !{i32 1}\n"])

    def _reshaped(self, v: Value) -> Value:
        """What is v but for its shape."""
        while v.op == "reshaped" and v.id not in self.fuse.tasks:
            v = v.args[0]
        return v

    def _entry(self) -> str:
        """Text of the only one of these functions as one of Python's."""
        where: dict[Any, list[int]] = {}
        for k, (kind, key) in enumerate(self.table):
            if kind == "buffer":
                where.setdefault(key, []).append(k)
        given = [where.get(("slot", int(slot)), []) for slot in self.recording.inputs]
        return entry.text([*given, *(where.get(("result", i), []) for i in self.new)], len(given), [
            (k, key) for k, (kind, key) in enumerate(self.table) if kind == "number"])

    def _buffers(self) -> dict[Any, Buffer]:
        """Where each value lies that nests read and write."""
        found: dict[Any, Buffer] = {}
        for v in (*self.fuse.live.values(), *(t.value for t in self.fuse.tasks.values())):
            if v.op == "input" or v.id in self.fuse.tasks:
                key = self._key(v)
                large = math.prod(v.shape) * v.dtype.itemsize >= STREAMED
                found[key if isinstance(key, tuple) and key[0] == "slot" else v.id] = Buffer(
                    key, strides_of(v.shape), v.dtype, large)
        return found

    def _loaded(self, lines: list[str], kind: str, key: Any) -> str:
        """Text that reads an entry of its own from the table."""
        self.table.append((kind, key))
        k = len(self.table) - 1
        lines.append(loaded("%table", k, kind, key, f"%e{k}") + "\n")
        return f"%e{k}"

    def _nest(self, lines: list[str], name: str, writer: Writer) -> None:
        """Text that runs a nest; a large one is shared between threads."""
        loops, at = writer.loops, len(self.table)
        self.table += writer.table
        own = f"%n{at}"
        lines.append(f"  {own} = getelementptr i64, ptr %table, i64 {at}\n")
        shared = loops.work >= (ALONE if self.general else SHARED) and loops.chunks > 1
        self.is_shared |= shared
        count, parts = str(loops.chunks), str(MANY)
        if self.general:
            count = self._loaded(lines, "size", loops.chunks)
            parts = self._loaded(lines, "size", MANY if shared else 1)
        if self.general or shared:
            share = self._loaded(lines, "share", None)
            lines.append(f"  call void {share}(ptr @{name}, ptr {own}, i64 {count}, "
                         f"i64 {parts})\n")
        else:
            lines.append(f"  call void @{name}(ptr {own}, i64 0, i64 {count})\n")
        if writer.across:
            lines.append(f"  call void @{name}_end(ptr {own}, i64 0, i64 1)\n")
        room = 0
        for kind, key in writer.table:
            if kind == "scratch":
                self.scratch[key] = room
                room += in_lines(loops.chunks * writer.padded * 8)
        self.room = max(self.room, room)

    def _check(self, lines: list[str]) -> None:
        """Text that returns 1, before any state is written, where a guard has another answer."""
        for place in {self.fuse.place(v).id: self.fuse.place(v) for v in self.fuse.guards}.values():
            if place.op == "const":
                continue
            at = self._loaded(lines, "buffer", self._key(place))
            k = at[2:]
            lines.append(f"  %b{k} = load i8, ptr {at}, align 1\n"
                         f"  %c{k} = icmp eq i8 %b{k}, 0\n"
                         f"  br i1 %c{k}, label %no{k}, label %ok{k}\n"
                         f"no{k}:\n  ret i64 1\nok{k}:\n")

    def _key(self, place: Value) -> Any:
        task = self.fuse.tasks.get(place.id)
        if task is None:
            return "slot", int(place.attr)
        if task.slot is not None:
            return "slot", task.slot
        place = self.fuse.owner(place)
        return ("result", place.id) if place.id in self.new else place.id

    def _factor(self, lines: list[str], v: Value, kind: str) -> str:
        """Text that reads a number for a product."""
        slot = v.args[0].attr if v.op == "cast" else None
        name = self._loaded(lines, "value", float(v.attr)) if slot is None \
            else self._loaded(lines, "number", slot)
        if kind == "double":
            return name
        lines.append(f"  {name}.f = fptrunc double {name} to float\n")
        return f"{name}.f"

    def _product(self, t: Task, lines: list[str]) -> bool:
        """Text of a product of two matrices by NumPy's own BLAS; False where that is not found."""
        v, kind = t.value, {4: "float", 8: "double"}[t.value.dtype.itemsize]
        if products.address(v.dtype.name) is None:
            return False
        orders = []
        for x in t.product.args:
            strides = strides_of(x.shape) if self.fuse.place(x) is x else view(x)
            assert strides is not None
            rows, columns = x.shape
            if strides[1] == 1 or columns == 1:
                orders.append((111, max(strides[0], columns)))
            elif strides[0] == 1 or rows == 1:
                orders.append((112, max(strides[1], rows)))
            else:
                return False
        gemm = self._loaded(lines, "gemm", v.dtype.name)
        a, b = (self._loaded(lines, "buffer", self._key(self.fuse.place(x)))
                for x in t.product.args)
        c = self._loaded(lines, "buffer", self._key(v))
        (m, depth), n = t.product.args[0].shape, v.shape[1]
        beta = "0.0"
        if t.factor is not None:
            beta = self._factor(lines, t.factor, kind)
        (order_a, lead_a), (order_b, lead_b) = orders
        lines.append(f"  call void {gemm}(i32 101, i32 {order_a}, i32 {order_b}, i64 {m}, "
                     f"i64 {n}, i64 {depth}, {kind} 1.0, ptr {a}, i64 {lead_a}, ptr {b}, "
                     f"i64 {lead_b}, {kind} {beta}, ptr {c}, i64 {n})\n")
        return True
