"""The values of a nest as CUDA C++: one thread computes one element at a time.

What does not depend on the inner loops is computed before them, once in each round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .axes import Buffer, Loop, Loops
from .cuda_operations import TYPES, bits, cast, expression, literal
from .fuse import FULL, Fuse, Nest
from .index import Index, below, steps
from .memory import PLAIN_NUMBERS
from .task import Task
from .values import Value

ROUND, INNER = 0, 1
"""The two depths of text: what holds in a round, and what in one step of the inner loops."""


class ThreadText:
    """What a kernel's writer knows of values and memory.

    general:   sizes, strides and numbers are arguments, so that nests of other sizes have this text
    wide:      an array has 2**31 elements or more
    arguments: ("buffer", key), ("number", slot), ("value", x), ("size", n), in their order
    held:      for what is read or computed in the inner loops its array of registers
    """

    def __init__(self, nest: Nest, fuse: Fuse, buffers: dict[Any, Buffer], general: bool,
                 wide: bool) -> None:
        self.nest, self.fuse, self.general = nest, fuse, general
        self.loops = Loops(nest, fuse, buffers, 1)
        self.count = "long long" if wide else "int"
        self.arguments: dict[tuple[str, Any], str] = {}
        self.types: dict[Any, np.dtype] = {}
        self.written: set[Any] = set()
        self.lines: list[list[str]] = [[], []]
        self.memo: list[dict[Any, str]] = [{}, {}]
        self.held: dict[Any, str] = {}
        self.registers = 0
        """How many steps of the inner loops a thread makes, where it can keep their values."""
        self.now = 0
        self._names = 0

    # -- names -----------------------------------------------------------------------------------

    def fresh(self, letter: str = "v") -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def put(self, depth: int, dtype: np.dtype, text: str) -> str:
        """A name for what an expression gives."""
        name = self.fresh()
        self.lines[depth].append(f"const {TYPES[dtype.char]} {name} = {text};")
        return name

    def argument(self, kind: str, key: Any) -> str:
        """The name of what the kernel is given."""
        letter = {"buffer": "p", "size": "n", "number": "x", "value": "x"}[kind]
        return self.arguments.setdefault((kind, key), f"{letter}{len(self.arguments)}")

    def parameters(self) -> str:
        """The kernel's parameters."""
        found = []
        for (kind, key), name in self.arguments.items():
            if kind != "buffer":
                found.append(f"const {self.count if kind == 'size' else 'double'} {name}")
            elif key in self.written:
                found.append(f"{TYPES[self.types[key].char]}* {name}")
            else:
                found.append(f"const {TYPES[self.types[key].char]}* __restrict__ {name}")
        return ", ".join(found)

    def size(self, n: int) -> str:
        """A size or a stride."""
        return str(n) if n in (0, 1) or not self.general else self.argument("size", n)

    # -- memory ----------------------------------------------------------------------------------

    def place(self, buffer: Buffer, index: Index) -> str:
        """Text of an element's place in memory."""
        self.types[buffer.key] = buffer.dtype
        name = self.argument("buffer", buffer.key)
        offset, strides = steps(index, buffer.strides)
        terms = [self.size(offset + buffer.offset)] if offset + buffer.offset else []
        for atom, stride in strides.items():
            loop = self.loops.loop_of[atom]
            if self.loops.atom_of[loop] == atom and stride and loop.size > 1:
                terms.append(self._times(loop, stride))
        return f"{name}[{' + '.join(terms) or '0'}]"

    def _times(self, loop: Loop, stride: int) -> str:
        return loop.name if stride == 1 else f"{loop.name} * {self.size(stride)}"

    def load(self, buffer: Buffer, index: Index) -> str:
        depth, _ = self.loops.depth_of(index)
        return self.keep(depth, buffer.dtype, self.place(buffer, index),
                         ("memory", buffer.key, index))

    def keep(self, depth: int, dtype: np.dtype, text: str, key: Any) -> str:
        """A name for a value that later passes need too; it stays in registers, if it can."""
        if depth == ROUND or not self.registers or not max(self.nest.passes.values()):
            return self.put(depth, dtype, text)
        if key in self.held:
            return self.put(depth, dtype, f"{self.held[key]}[u]")
        self.held[key] = array = self.fresh("r")
        self.lines[ROUND].append(f"{TYPES[dtype.char]} {array}[{self.registers}];")
        return self.put(depth, dtype, f"{array}[u] = {text}")

    def store(self, buffer: Buffer, index: Index, value: str, depth: int) -> None:
        place = self.place(buffer, index)
        self.written.add(buffer.key)
        self.lines[depth].append(f"if (valid) {place} = {value};")

    # -- values ----------------------------------------------------------------------------------

    def emit(self, v: Value, index: Index, top: bool = False) -> str:
        """The name of v at an index. ``top``: it is computed here, though it is a task."""
        key = (v.id, index)
        for memo in self.memo:
            if key in memo:
                return memo[key]
        depth, _ = self.loops.depth_of(index)
        name = self._emit(v, index, depth, top)
        self.memo[depth][key] = name
        return name

    def _emit(self, v: Value, index: Index, depth: int, top: bool) -> str:
        task = self.fuse.tasks.get(v.id)
        role = self.nest.role.get(task) if task is not None else None
        if task is not None and role == FULL and not top and self.nest.passes[task] < self.now:
            return self.keep(depth, v.dtype, self.place(self.loops.buffer(v), index),
                             ("value", v.id))
        if v.op == "input" or (task is not None and not top and role is None):
            return self.load(self.loops.buffer(v), index)
        if self.fuse.is_seen(v, index):
            return self.load(self.loops.seen(v), index)
        if v.op == "const":
            return self.constant(v.attr, v.dtype)
        if v.op == "number":
            return self.argument("number", v.attr)
        if v.op == "iota":
            return self._count(v, index, depth)
        args = [self.emit(x, below(v, k, index)) for k, x in enumerate(v.args)]
        if v.op == "cast":
            return self.put(depth, v.dtype, cast(args[0], v.args[0].dtype, v.dtype))
        if v.op == "bits":
            return self.put(depth, v.dtype, bits(args[0], v.args[0].dtype, v.dtype))
        if v.op != "map":
            return args[0]  # the same, seen otherwise
        dtype = v.args[0 if v.attr == "ldexp" else -1].dtype
        return self.put(depth, v.dtype, expression(v.attr, args, dtype))

    def constant(self, number: Any, dtype: np.dtype) -> str:
        """A number of the formula."""
        if self.general and dtype.kind == "f" and number == number and number not in PLAIN_NUMBERS:
            return cast(self.argument("value", float(dtype.type(number))), np.dtype("f8"), dtype)
        return literal(number, dtype)

    def _count(self, v: Value, index: Index, depth: int) -> str:
        """The number of a place along an axis."""
        offset, strides = steps(index, (1,))
        terms = [self.size(offset)]
        for atom, stride in strides.items():
            loop = self.loops.loop_of[atom]
            if self.loops.atom_of[loop] == atom:
                terms.append(self._times(loop, stride))
        return self.put(depth, v.dtype, f"({TYPES[v.dtype.char]})({' + '.join(terms)})")

    def stores(self, tasks: list[Task], depth: int) -> None:
        """All is computed before anything is stored."""
        values = [(t, self.emit(t.source, self.loops.index(t), top=t.kind == "root"))
                  for t in tasks]
        for t, value in values:
            if self.nest.role[t] == FULL and self.registers and max(self.nest.passes.values()):
                value = self.keep(INNER, t.value.dtype, value, ("value", t.value.id))
            self.store(self.loops.target(t), self.loops.index(t), value, depth)
