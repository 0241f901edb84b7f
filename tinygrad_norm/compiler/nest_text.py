"""One nest as text: its loops, and in them what is computed, by name."""

from __future__ import annotations

from typing import Any

from .assembly import SHARED, Assembly
from .counts import loops_of, passes_of
from .fuse import ACROSS, OUTER, SUM, Nest
from .index import Index, below
from .notation import (
    ATOM,
    LETTERS,
    WIDTH,
    Formula,
    Names,
    applied,
    assigned,
    constant,
    indexed,
    line_of,
    plural,
    spot,
)
from .task import Task
from .values import Value

Line = tuple[str, Value | None]
"""A line of text, and the value that is computed in it."""
VIEWS = ("moved", "reshaped", "spread", "part")
LONG = 32
"""A formula of so many characters has a name, where the library gave it one; of twice as many in
any case."""
KINDS = {"sum": "total", "max": "largest", "min": "smallest", "any": "some", "all": "every"}
"""What reductions are called whose line gives them no name."""


class NestText:
    """The text of one nest, in the order in which it runs.

    rounds, inner:  the lines of a round of the outer loops, and of the inner loop in it
    local:          names of values that are computed before they are used, in either
    """

    def __init__(self, program: Assembly, names: Names, nest: Nest) -> None:
        self.program, self.names, self.nest, self.fuse = program, names, nest, program.fuse
        self.loops = loops_of(program, nest)
        self.letters = dict(zip(self.loops.loop_of, LETTERS * 3, strict=False))
        outer = nest.outer()
        self.outside = {atom for atom in self.letters if nest.kept is not None
                        and atom[0] in outer}
        self.rounds: list[Line] = []
        self.inner: list[Line] = []
        self.local: list[dict[Any, str]] = [{}, {}]
        self.named: dict[Any, str] = {}
        self.taken: set[str] = {*self.letters.values()}
        self.sums: dict[int, str] = {}
        self.lines_of: dict[Any, set[int]] = {}
        self.uses: dict[Any, int] = {}
        self.users: dict[int, list[Value]] = {}
        for v in program.fuse.live.values():
            for x in v.args:
                self.users.setdefault(x.id, []).append(v)

    # -- loops -------------------------------------------------------------------------------------

    def written(self) -> tuple[str, list[Line]]:
        """(its first line, its other lines)."""
        nest = self.nest
        for p in range(passes_of(nest)):
            self._pass(p)
        last = [t for t in nest.tasks if nest.role[t] == OUTER]
        self.local[1], self.inner = {}, self.rounds
        self._count(last)
        for t in last:
            self._assign(t, self.rounds, inside=False)
        outer = [a for a in self.letters if a in self.outside]
        body = self.rounds
        if outer:
            body = [(self._loop(outer), None), *_shifted(body)]
        return self._head(), [*self._users(), *body]

    def _head(self) -> str:
        n = passes_of(self.nest)
        words = [f"loops over {' × '.join(map(str, self.nest.sizes)) or 'one value'}"]
        if n > 1:
            words.append(f"{n} passes")
        if self.loops.work >= SHARED and self.loops.chunks > 1:
            words.append(f"shared by threads in {plural(self.loops.chunks, 'part')}")
        return ", ".join(words)

    def _users(self) -> list[Line]:
        """The user's lines."""
        places = dict.fromkeys(t.value.where[0] for t in self.nest.tasks
                               if t.value.where[0] != t.value.where[1])
        return [(f"from {spot(place)}  {line_of(place)}"[:WIDTH], None) for place in places]

    def _loop(self, atoms: list[Any]) -> str:
        several = f", vectors of {self.loops.lanes}" if self.loops.lanes > 1 and any(
            self.loops.loop_of[a] is self.loops.vector for a in atoms) else ""
        return (f"for {', '.join(self.letters[a] for a in atoms)} in "
                f"{' × '.join(str(self._size(a)) for a in atoms)}{several}:")

    def _size(self, atom: Any) -> int:
        loop, place = atom
        size: int = self.nest.cuts.get(loop, (self.nest.sizes[loop],))[place]
        return size

    def _pass(self, p: int) -> None:
        nest, self.local[1], self.inner = self.nest, {}, []
        now = [t for t in nest.tasks if nest.passes[t] == p and nest.role[t] != OUTER]
        self._count(now)
        for t in now:
            self._assign(t, self.inner)
        inner = [a for a in self.letters if a not in self.outside]
        if inner and self.inner:
            self.rounds += [(self._loop(inner), None), *_shifted(self.inner)]
        else:
            self.rounds += self.inner

    # -- statements --------------------------------------------------------------------------------

    def _assign(self, t: Task, lines: list[Line], inside: bool = True) -> None:
        """Write what gives a task its value; what it needs has come before."""
        v, index = t.value, self.loops.index(t)
        if t.kind != "reduced":
            formula = self._computed(v, index, inside) if t.kind == "root" \
                else self.value(t.source, index, inside)
            target = indexed(self.names.array(v), placed(t, index), self.letters)
            lines.append((f"{target} = {formula[0]}", v))
            return
        element = self.value(v.args[0], index)[0]
        target = self._sum(t)
        kind = v.attr[0]
        text = f"{target} += {element}" if kind == "sum" else (
            f"{target} = {kind}({target}, {element})")
        lines.append((text, v.args[0] if v.args[0].op == "map" else v))

    def _sum(self, t: Task) -> str:
        """The name of a sum: one of its own, where nobody else reads it."""
        v = t.value
        role = self.nest.role[t]
        if role == SUM and all(u in self.nest.role for u in self.fuse.then.get(t, ())) and (
                not self._is_result(v)):
            if v.id not in self.sums:
                self.sums[v.id] = self._fresh(assigned(v.where[1]) or KINDS[v.attr[0]])
            return self.sums[v.id]
        index = self.loops.inner_index(t) if role == ACROSS else self.loops.result_index(t)
        return indexed(self.names.array(v), index, self.letters)

    def _is_result(self, v: Value) -> bool:
        return any(self.fuse.place(x) is v for x in (*self.program.outputs, *self.fuse.guards))

    def _fresh(self, name: str) -> str:
        """A name that is not taken."""
        found, k = name, 2
        while found in self.taken:
            found, k = f"{name}{k}", k + 1
        self.taken.add(found)
        return found

    # -- values ------------------------------------------------------------------------------------

    def _below(self, v: Value, index: Index) -> tuple[Value, Index]:
        """Through views, to what is computed or in memory."""
        while v.op in VIEWS and v.id not in self.fuse.tasks and not self.fuse.is_seen(v, index):
            v, index = v.args[0], below(v, 0, index)
        return v, index

    def _count(self, tasks: list[Task]) -> None:
        """How often each value is used by what these tasks compute."""
        self.uses = {}
        todo = []
        for t in tasks:
            index = self.loops.index(t)
            todo += self.fuse.first_read(t, index)
        been = set()
        while todo:
            v, index = self._below(*todo.pop())
            key = (v.id, index)
            self.uses[key] = self.uses.get(key, 0) + 1
            if key not in been and v.op not in ("input", "reshaped") and (
                    v.id not in self.fuse.tasks):
                been.add(key)
                todo += [(x, below(v, k, index)) for k, x in enumerate(v.args)]

    def value(self, v: Value, index: Index, inside: bool = True) -> Formula:
        """A value at an index: its name, or its formula. ``inside``: it is used in the inner loop.
        """
        v, index = self._below(v, index)
        key = (v.id, index)
        for known in self.local:
            if key in known:
                return known[key], ATOM
        task = self.fuse.tasks.get(v.id)
        if task is not None or v.op == "input":
            if task is not None and v.id in self.sums:
                return self.sums[v.id], ATOM
            return indexed(self.names.array(v), index, self.letters), ATOM
        if v.op == "reshaped":  # it is in memory in another shape
            return indexed(self.names.seen(v), index, self.letters), ATOM
        if v.op == "const":
            return constant(v)
        if v.op == "number":
            return self.names.number(v.attr)
        if v.op == "iota":
            return indexed("", index, self.letters)[1:-1], ATOM
        outside = bool(self.outside) and all(
            a in self.outside for _, _, atoms in index for a, _ in atoms)
        formula = self._computed(v, index, not outside)
        called = self._called(v)
        apart = self.uses.get(key, 0) > 1 or (outside and inside) or len(formula[0]) > (
            LONG if called else 2 * LONG)
        if not apart or not any(c in formula[0] for c in " ("):
            return formula
        name = self.named.get(key) or self._fresh(called or "a")
        self.named[key] = name
        self.local[0 if outside else 1][key] = name
        lines = self.rounds if outside else self.inner
        lines.append((f"{name} = {formula[0]}", v))
        return name, ATOM

    def _called(self, v: Value) -> str:
        """The name that the library gives to a value: that of the last one of its line."""
        last = all(x.where != v.where or x.op in VIEWS for x in self.users.get(v.id, ()))
        return assigned(v.where[1]) if last else ""

    def _computed(self, v: Value, index: Index, inside: bool = True) -> Formula:
        if v.op == "const":
            return constant(v)
        args = [self.value(x, below(v, k, index), inside) for k, x in enumerate(v.args)]
        if v.op == "cast":
            (x,) = v.args
            narrower = x.dtype.kind == v.dtype.kind == "f" and x.dtype.itemsize > v.dtype.itemsize
            if x.op == "number" or not (narrower or x.dtype.kind == "f" != v.dtype.kind):
                return args[0]
            return f"{v.dtype}({args[0][0]})", ATOM
        if v.op == "bits":
            return f"{v.dtype}({args[0][0]})", ATOM
        return applied(v.attr, args) if v.op == "map" else args[0]


def placed(t: Task, index: Index) -> Index:
    """Where a task stores what it computes at an index: of a part that is put, in the whole."""
    if t.kind != "put":
        return index
    kept, found = iter(index), []
    for start, step, is_kept in t.value.attr:
        first, each, atoms = next(kept) if is_kept else (0, 1, ())
        found.append((start + step * first, step * each, atoms))
    return tuple(found)


def _shifted(lines: list[Line]) -> list[Line]:
    return [(f"    {text}", v) for text, v in lines]
