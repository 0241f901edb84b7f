"""The formula of a nest as LLVM IR: loops, values where they are used, sums in registers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .fuse import FULL
from .index import Index, below, steps
from .memory import Memory
from .task import Task
from .text import TYPES
from .values import Value

Totals = list[tuple[str, np.dtype]]


class Sum:
    """A reduction while it runs.

    narrow:  what single values are added in
    wide:    what the sums of runs are added in
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        v = task.value
        self.kind = v.attr[0]
        x = v.args[0].dtype
        is_sum = self.kind == "sum" and x.kind == "f"
        self.narrow: np.dtype = x if is_sum else v.dtype
        self.wide: np.dtype = np.dtype("f8") if is_sum else v.dtype

    def start(self, dtype: np.dtype) -> Any:
        """What it begins with."""
        low: Any = -math.inf
        high: Any = math.inf
        if dtype.kind in "iu":
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        elif dtype.kind == "b":
            low, high = False, True
        return {"sum": 0, "max": low, "min": high, "any": 0, "all": 1}[self.kind]


class Formula(Memory):
    """What a writer knows of loops, values and sums.

    levels, memo, blocks:  for each loop that is being written, its text, what was computed in it,
                           and the block of instructions that it is in
    now:                   the pass that is being written
    """

    now = 0
    blocks: list[str]

    @property
    def depth(self) -> int:
        return len(self.levels) - 1

    def _label(self, name: str) -> None:
        self.levels[-1].append(f"{name}:")
        self.blocks[-1] = name

    def _masked(self, rest: int, body: Callable[[], Any]) -> Any:
        """Run ``body`` for the first ``rest`` lanes only."""
        if self.general:
            count = ", ".join(f"i32 {i}" for i in range(self.lanes))
            key = ("mask", rest)
            if key not in self.memo[0]:
                short = self.put(f"trunc i64 {self.size(rest)} to i32", 0)
                lanes = self.splat(short, np.dtype("i4"), 0)
                self.memo[0][key] = (self.put(
                    f"icmp slt <{self.lanes} x i32> <{count}>, {lanes}", 0), False)
            self.mask = self.memo[0][key][0]
        else:
            bits = ", ".join(f"i1 {int(i < rest)}" for i in range(self.lanes))
            self.mask = f"<{bits}>"
        result = body()
        self.mask = None
        return result

    def _loop(self, lo: str, hi: str, by: int, body: Callable[[str, list[str]], list[str]],
              carried: list[tuple[str, str]], always: bool = True) -> list[str]:
        """``for i from lo to hi``; carried are (type, first value). Gives the last values.

        ``always``: it is known to run at least once; else nothing is carried.
        """
        k = self.number()
        before, outside = self.blocks[-1], self.levels[-1]
        self.levels.append([])
        self.memo.append({})
        self.blocks.append(f"L{k}")
        i = f"%i{k}"
        self.born[i] = self.depth
        phis = [f"%a{k}.{j}" for j in range(len(carried))]
        for phi in phis:
            self.born[phi] = self.depth
        news = body(i, phis)
        inside = self.levels.pop()
        self.memo.pop()
        end = self.blocks.pop()
        entry = before
        if not always:
            entry = f"P{k}"
            outside.append(f"  %any{k} = icmp slt i64 {lo}, {hi}\n"
                           f"  br i1 %any{k}, label %P{k}, label %X{k}\nP{k}:")
        outside.append(f"  br label %L{k}\nL{k}:")
        outside.append(f"  {i} = phi i64 [ {lo}, %{entry} ], [ {i}.n, %{end} ]")
        outside += [f"  {phi} = phi {t} [ {first}, %{entry} ], [ {new}, %{end} ]"
                    for phi, (t, first), new in zip(phis, carried, news, strict=True)]
        outside += inside
        outside.append(f"  {i}.n = add nuw nsw i64 {i}, {by}\n  {i}.c = icmp slt i64 {i}.n, {hi}\n"
                       f"  br i1 {i}.c, label %L{k}, label %X{k}")
        self._label(f"X{k}")
        for new in news:
            self.born[new] = self.depth
        return news

    def _element(self, s: Sum) -> str:
        x = s.task.value.args[0]
        value = self.emit(x, self.loops.index(s.task))
        return self.lanes_of(self.cast(value, x.dtype, s.narrow, self.depth), s.narrow, self.depth)

    # -- sums --------------------------------------------------------------------------------------

    def first(self, s: Sum, dtype: np.dtype) -> str:
        """What a sum begins with, in every lane."""
        return self.literal(s.start(dtype), dtype, vector=True)

    def step(self, kind: str, acc: str, e: str, dtype: np.dtype, depth: int) -> str:
        name = {"sum": "add", "max": "maximum", "min": "minimum", "any": "bitwise_or",
                "all": "bitwise_and"}[kind]
        return self.apply(name, [acc, e], dtype, True, depth)

    def _added(self, sums: list[Sum], accs: list[str], totals: Totals) -> list[str]:
        """Totals of runs, added to what is there."""
        return [self.step(s.kind, acc, self.cast((total, True), dtype, s.wide, self.depth)[0],
                          s.wide, self.depth)
                for s, acc, (total, dtype) in zip(sums, accs, totals, strict=True)]

    def _across_lanes(self, s: Sum, total: str, dtype: np.dtype) -> tuple[str, np.dtype]:
        """The total of all lanes."""
        total = self.cast((total, True), dtype, s.wide, self.depth)[0]
        t, vector = TYPES[s.wide.char], f"{self.type_of(s.wide)} {total}"
        if self.lanes == 1:
            return self.put(f"extractelement {vector}, i64 0", self.depth), s.wide
        end = self.suffix(s.wide, True)
        if s.kind == "sum" and s.wide.kind == "f":
            name, args, flags = "fadd", [f"{t} {self.literal(0, s.wide)}", vector], "reassoc "
        else:
            letter = {"f": "f", "i": "s"}.get(s.wide.kind, "u")
            long = "imum" if letter == "f" else ""
            name = {"sum": "add", "max": f"{letter}max{long}", "min": f"{letter}min{long}",
                    "any": "or", "all": "and"}[s.kind]
            args, flags = [vector], ""
        return self.call(f"llvm.vector.reduce.{name}.{end}", args, t, self.depth, flags), s.wide

    # -- values ------------------------------------------------------------------------------------

    def emit(self, v: Value, index: Index, top: bool = False) -> tuple[str, bool]:
        """The name of v at an index, and whether it is a vector. ``top``: it is computed here."""
        key = (v.id, index)
        for memo in self.memo:
            if key in memo:
                found: tuple[str, bool] = memo[key]
                return found
        depth, _ = self.loops.depth_of(index)
        result = self._emit(v, index, depth, top)
        self.memo[max(depth, self.born.get(result[0], 0))][key] = result
        return result

    def _emit(self, v: Value, index: Index, depth: int, top: bool) -> tuple[str, bool]:
        task = self.fuse.tasks.get(v.id)
        role = self.nest.role.get(task) if task is not None else None
        if v.op == "input" or (task is not None and not top and (
                role is None or (role == FULL and self.nest.passes[task] < self.now))):
            return self.load(self.loops.buffer(v), index)
        if self.fuse.is_seen(v, index):
            return self.load(self.loops.seen(v), index)
        if v.op == "const":
            return self.constant(v.attr, v.dtype), False
        if v.op == "number":
            return self.entry("number", v.attr), False
        if v.op == "iota":
            return self._count(v, index, depth)
        args = [self.emit(x, below(v, k, index)) for k, x in enumerate(v.args)]
        depth = max([depth, *(self.born.get(name, 0) for name, _ in args)])
        if v.op == "cast":
            return self.cast(args[0], v.args[0].dtype, v.dtype, depth)
        if v.op == "bits":
            return self.bitcast(args[0], v.args[0].dtype, v.dtype, depth)
        if v.op != "map":
            return args[0]  # the same, seen otherwise
        vector = any(is_vector for _, is_vector in args)
        names = [self.lanes_of(a, x.dtype, depth) if vector else a[0]
                 for a, x in zip(args, v.args, strict=True)]
        dtype = v.args[0 if v.attr == "ldexp" else -1].dtype
        return self.apply(v.attr, names, dtype, vector, depth), vector

    def _count(self, v: Value, index: Index, depth: int) -> tuple[str, bool]:
        """The number of a place along an axis."""
        offset, strides = steps(index, (1,))
        total, along = self.size(offset), 0
        for atom, stride in strides.items():
            loop = self.loops.loop_of[atom]
            if self.loops.atom_of[loop] == atom:
                one = self._times(loop.name, stride, loop.depth)
                total = one if total == "0" else self.put(f"add nsw i64 {total}, {one}", depth)
                along = stride if loop is self.vector else along
        whole = np.dtype("i8")
        if not along:
            return self.cast((total, False), whole, v.dtype, depth)
        lanes = ", ".join(f"i64 {i * along}" for i in range(self.lanes))
        base = self.splat(total, whole, depth)
        return self.cast((self.put(f"add <{self.lanes} x i64> {base}, <{lanes}>", depth), True),
                         whole, v.dtype, depth)
