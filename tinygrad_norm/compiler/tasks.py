"""Values → tasks: what must stand in memory, and what it needs.

A *task* is a value that is kept: a sum, an argument or result of a product or a call, new state, a
result. All else is computed where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .index import NONE, Element, Index, Keep, Split, below, stored, view
from .values import Value, Values

COST = {"exp": 10, "log": 10, "tanh": 14, "power": 20, "expm1": 12, "log1p": 12, "divide": 3,
        "sqrt": 3, "sin": 14, "cos": 14}
LONG = 1 << 18
"""So many bytes, of more than 256 rows, are summed along the rows as they lie in memory; fewer
column by column, as they are in the cache."""
DEAR = 24
"""What several tasks use and costs more than so many additions is kept in memory."""


class Task:
    """A value that is kept, and what it is computed from.

    kind:    "reduced", "root" (a value of its full shape), "product", "called", "check"
    sizes:   of its own loops; the axes of length 1 are left out
    kept:    of a sum, which of these loops are not reduced
    cuts:    for a loop the sizes that it must be cut into
    reads:   (task, index, in own loops) of what it needs; the index is None where all is read
    states:  the slots of state that it reads, each with its indices
    slot:    the state that is written
    is_read:  whether a nest reads it, and not calls alone
    after:   tasks that must come first, though nothing is read from them
    """

    def __init__(self, value: Value, kind: str) -> None:
        self.value, self.kind = value, kind
        self.slot: int | None = None
        self.reads: list[tuple[Task, Index | None]] = []
        self.states: dict[int, set[Index | None]] = {}
        self.after: set[Task] = set()
        self.is_read = False
        self.cuts: dict[int, tuple[int, ...]] = {}
        x = value.args[0] if kind == "reduced" else value
        self.axes = tuple(i for i, n in enumerate(x.shape) if n > 1)
        self.sizes = tuple(x.shape[i] for i in self.axes)
        gone = value.attr[1] if kind == "reduced" else ()
        self.kept = tuple(k for k, axis in enumerate(self.axes) if axis not in gone)

    def __repr__(self) -> str:
        return f"{self.kind}{self.value}"

    def index(self) -> Index:
        """Every value of what is summed or stored, in own loops."""
        x = self.value.args[0] if self.kind == "reduced" else self.value
        return indexed(x.shape, range(len(self.sizes)), self.sizes, self.cuts)


class Tasks:
    """The tasks of the values that are wanted.

    Args:
        outputs: what the run returns. state: (slot, new value). guards: conditions, 0-d.
    """

    def __init__(self, values: Values, outputs: Iterable[Value],
                 state: list[tuple[int, Value]], guards: list[Value]) -> None:
        self.values = values
        slots = {slot for slot, _ in state}
        self.outputs = [self._old(v) if stored(v).op == "input" and stored(v).attr in slots else v
                        for v in outputs]
        self.state, self.guards = state, guards
        self.kept: set[int] = set()
        self.copied: set[int] = set()
        while True:
            try:
                self._plan()
            except Keep as keep:
                self.kept.add(keep.value.id)
                continue
            circle = self._circle() - self.copied
            if not circle:
                break
            self.copied |= circle

    def _old(self, v: Value) -> Value:
        """A copy of what is wanted of a state that is written."""
        return self.values.new("map", (v,), "positive old", v.shape, v.dtype)

    # -- tasks -------------------------------------------------------------------------------------

    def _plan(self) -> None:
        self.tasks: dict[int, Task] = {}
        wanted = [*self.outputs, *self.guards, *(v for _, v in self.state)]
        self.live: dict[int, Value] = {}
        todo = list(wanted)
        while todo:
            v = todo.pop()
            if v.id not in self.live:
                self.live[v.id] = v
                todo += v.args
        ordered = [self.live[i] for i in sorted(self.live)]
        for v in ordered:
            if v.op in ("reduced", "product", "called"):
                self.task(v, v.op)
            if v.op in ("product", "called"):
                for x in v.args:
                    self.needed(x)
                    if x.op == "const" and v.op == "product":
                        self.task(x, "root")
            if v.id in self.kept:
                self.task(v, "root")
        for v in wanted:
            self.needed(v)
        self.state = [(slot, v) for slot, v in self.state if 0 not in v.shape]
        self._dear(ordered)
        self._stated()
        for task in [*self.tasks.values()]:
            self._walk_task(task)
        self._ordered()

    def task(self, v: Value, kind: str) -> Task:
        found = self.tasks.get(v.id)
        if found is None:
            found = self.tasks[v.id] = Task(v, kind)
        return found

    def needed(self, v: Value) -> None:
        """Make sure that v is in memory: itself, or what it is a view of."""
        if view(v) is not None:
            v = stored(v)
        if v.op not in ("input", "reduced", "product", "called", "const", "number"):
            self.task(v, "root")

    def place(self, v: Value) -> Value:
        """The value whose memory v is found in: its own, or that of what it is a view of."""
        while v.id not in self.tasks and v.op in ("moved", "reshaped"):
            v = v.args[0]
        return v

    def _dear(self, ordered: list[Value]) -> None:
        """Keep what several tasks use and costs much: else a chain would be computed again and
        again, each time longer."""
        users: dict[int, set[int]] = {v.id: set() for v in ordered}  # tasks; of many two will do
        for v in reversed(ordered):
            own = {v.id} if v.id in self.tasks else users[v.id]
            for x in v.args:
                if len(users[x.id]) < 2:
                    users[x.id] |= own
        cost: dict[int, int] = {}
        for v in ordered:
            if v.id in self.tasks or v.op in ("input", "const", "number", "iota"):
                cost[v.id] = 0
                continue
            own_cost = COST.get(v.attr, 1) if v.op == "map" else 0
            cost[v.id] = min(own_cost + sum(cost[x.id] for x in v.args), 10 * DEAR)
            if len(users[v.id]) > 1 and cost[v.id] > DEAR and v.op == "map":
                self.task(v, "root")
                cost[v.id] = 0

    def _stated(self) -> None:
        """A state is written by the task that computes its new value."""
        for slot, v in self.state:
            if slot in self.copied and v.op == "input":
                v = self.values.new("map", (v,), "positive before", v.shape, v.dtype)
            task = self.task(v, "root") if v.op not in ("input", "reduced", "product", "called") \
                else None
            if (slot in self.copied or task is None or task.slot is not None
                    or task.kind != "root" or v in self.outputs):
                # the value is wanted elsewhere, or before it may be written: the state gets a copy
                v = self.values.new("map", (v,), f"positive {slot}", v.shape, v.dtype)
                task = self.task(v, "root")
            task.slot = slot
        self.written = {t.slot: t for t in self.tasks.values() if t.slot is not None}

    def _walk_task(self, task: Task) -> None:
        """Find what the task reads, and where."""
        if task.kind in ("product", "called"):
            for x in task.value.args:
                self._read(task, self.place(x), None)
            return
        while True:
            task.reads, task.states = [], {}
            try:
                v = task.value
                if self.is_seen(v, task.index()):
                    self._read(task, v.args[0], None)
                elif task.kind == "reduced":
                    self._walk(task, [(v.args[0], task.index())])
                else:
                    self._walk(task, [(x, below(v, k, task.index())) for k, x in enumerate(v.args)])
                return
            except Split as split:
                loop, place = split.atom
                sizes = task.cuts.get(loop, (task.sizes[loop],))
                task.cuts[loop] = (*sizes[:place], sizes[place] // split.size, split.size,
                                   *sizes[place + 1:])

    def _walk(self, task: Task, todo: list[tuple[Value, Index]]) -> None:
        been: set[tuple[int, Index]] = set()
        while todo:
            v, index = todo.pop()
            if (v.id, index) in been:
                continue
            been.add((v.id, index))
            if v.id in self.tasks or v.op == "input":
                self._read(task, v, index)
            elif self.is_seen(v, index):
                self._read(task, v.args[0], None)
            else:
                todo += [(x, below(v, k, index)) for k, x in enumerate(v.args)]

    def is_seen(self, v: Value, index: Index) -> bool:
        """Whether v is read at that index as a reshape of what is in memory: no loops run through
        both shapes."""
        if v.op != "reshaped" or not (v.args[0].id in self.tasks or v.args[0].op == "input"):
            return False
        try:
            below(v, 0, index)
        except Keep:
            return True
        return False

    def _read(self, task: Task, v: Value, index: Index | None) -> None:
        if v.id in self.tasks:
            task.reads.append((self.tasks[v.id], index))
            self.tasks[v.id].is_read |= task.kind != "called"
        elif v.op == "input" and v.attr in self.written:
            task.states.setdefault(v.attr, set()).add(index)

    def _ordered(self) -> None:
        """What must come after what, beside what is read."""
        for t in self.tasks.values():
            for slot in t.states:
                if self.written[slot] is not t:
                    self.written[slot].after.add(t)
        self.check: Task | None = None
        if self.guards:
            self.check = Task(self.values.new("check", tuple(self.guards), None, (), bool), "check")
            for v in self.guards:
                v = self.place(v)
                if v.id in self.tasks:
                    self.check.reads.append((self.tasks[v.id], None))
            for writer in self.written.values():
                writer.after.add(self.check)


    def before(self, t: Task) -> set[Task]:
        """What must come before t."""
        return ({d for d, _ in t.reads} | t.after) - {t}

    def _circle(self) -> set[int]:
        """The states of which a reader of the old value, or the check, waits for the new one."""
        wait = {t: self.before(t) for t in (*self.tasks.values(), self.check) if t is not None}
        then: dict[Task, list[Task]] = {}
        for t, before in wait.items():
            for d in before:
                then.setdefault(d, []).append(t)
        ready = [t for t, before in wait.items() if not before]
        while ready:
            t = ready.pop()
            for u in then.get(t, ()):
                wait[u].discard(t)
                if not wait[u]:
                    ready.append(u)
        return {t.slot for t, before in wait.items() if before and t.slot is not None}


def indexed(shape: tuple[int, ...], loops: Iterable[int], sizes: tuple[int, ...],
            cuts: dict[int, tuple[int, ...]]) -> Index:
    """The index that runs through an array of ``shape`` by these loops, one for each axis longer
    than 1."""
    left, found = iter(loops), list[Element]()
    for n in shape:
        if n == 1:
            found.append(NONE)
        else:
            k = next(left)
            found.append((0, 1, tuple(((k, i), size) for i, size in enumerate(
                cuts.get(k, (sizes[k],))))))
    return tuple(found)


def is_across(t: Task) -> bool:
    """Whether a sum goes over the many rows of what is not in the cache."""
    if t.kind != "reduced" or t.value.attr[0] != "sum" or t.cuts:
        return False
    dtype = t.value.args[0].dtype
    return (dtype.kind == "f" and len(t.sizes) > 1 and t.kept == (len(t.sizes) - 1,)
            and math.prod(t.sizes[:-1]) > 256 and math.prod(t.sizes) * dtype.itemsize >= LONG)
