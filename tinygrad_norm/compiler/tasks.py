"""Values → tasks: what must stand in memory, and what it needs.

A *task* is a value that is kept: a sum, an argument or result of a product or a call, new state, a
result. All else is computed where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from .index import Index, Keep, Split, below, plain_loops, stored, view
from .task import LONG, MANY, Task
from .values import Value, Values

COST = {"exp": 10, "log": 10, "tanh": 14, "expm1": 12, "log1p": 12, "divide": 3, "sqrt": 3}
DEAR = 24
"""What several tasks use and costs more than so many additions is kept in memory."""


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
        """States whose new value is another value's copy, so that it can be written late."""
        while True:
            try:
                self._plan()
            except Keep as keep:
                self.kept.add(keep.value.id)
                continue
            late = (self._circle() | self._crossed()) - self.copied
            if not late:
                break
            self.copied |= late

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
        self.uses: dict[int, int] = {}
        for x in (*wanted, *(x for v in ordered for x in v.args)):
            self.uses[x.id] = self.uses.get(x.id, 0) + 1
        self.based: dict[int, Value] = {}
        for v in ordered:
            if v.op in ("reduced", "product", "called"):
                self.task(v, v.op)
            if v.op == "put":
                self._put(v)
            if v.op in ("product", "called"):
                for x in v.args:
                    self.needed(x)
                    if x.op == "const" and v.op == "product":
                        self.task(x, "root")
            if v.id in self.kept:
                self.task(v, "root")
        for v in (*self.outputs, *self.guards, *(
                v for slot, v in self.state if slot not in self.copied)):
            self.needed(v)
        self.state = [(slot, v) for slot, v in self.state if 0 not in v.shape]
        self._dear(ordered)
        self._stated()
        self._added()
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
        if v.op not in ("input", "reduced", "product", "called", "put", "const", "number"):
            self.task(v, "root")

    def _put(self, v: Value) -> None:
        """A part is written into the memory of what nobody else needs, or of a copy."""
        x = v.args[0]
        own = x.op not in ("input", "moved", "reshaped", "part", "spread", "reduced", "product",
                           "called")
        if self.uses[x.id] > 1 or not own:
            x = self.values.new("map", (x,), f"positive {v.id}", x.shape, x.dtype)
        if x.op != "put":
            self.task(x, "root")
        self.based[v.id] = x
        self.task(v, "put")

    def owner(self, v: Value) -> Value:
        """The value in whose memory v stands: of a chain of parts written the first."""
        while v.id in self.based:
            v = self.based[v.id]
        return v

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
        cost: dict[int, float] = {}
        for v in ordered:
            if v.id in self.tasks or v.op in ("input", "const", "number", "iota"):
                cost[v.id] = 0
                continue
            own_cost = COST.get(v.attr, 1) if v.op == "map" else 0
            size = math.prod(v.shape) or 1  # what stands beside many values is computed once
            cost[v.id] = min(own_cost + sum(cost[x.id] * min(math.prod(x.shape) / size, 1)
                                            for x in v.args), 10 * DEAR)
            if len(users[v.id]) > 1 and cost[v.id] > DEAR and v.op == "map":
                self.task(v, "root")
                cost[v.id] = 0
        for v in ordered:
            if v.op == "map" and v.id not in self.tasks:
                self._along(v, cost)

    def _along(self, v: Value, cost: dict[int, float]) -> None:
        """Keep a row that stands beside the many rows of a large array: it would be computed again
        with each of them."""
        count = math.prod(v.shape)
        for x in v.args:
            if (x.shape and x.shape[-1] == math.prod(x.shape) == v.shape[-1] > 1
                    and count > MANY * v.shape[-1] and count * v.dtype.itemsize >= LONG):
                while x.op in ("moved", "reshaped", "spread"):
                    x = x.args[0]
                if cost[x.id]:
                    self.needed(x)

    def _stated(self) -> None:
        """A state is written by the task that computes its new value."""
        for slot, v in self.state:
            if slot in self.copied and v.op == "input":  # what was there before, of another state
                v = self.values.new("map", (v,), "positive before", v.shape, v.dtype)
                self.task(v, "root")
            task = None
            if v.op not in ("input", "reduced", "product", "called", "put"):
                task = self.task(v, "root")
            if slot in self.copied or task is None or task.slot is not None \
                    or task.kind != "root" or v in self.outputs:
                # the value is wanted elsewhere, or before it may be written: the state gets a copy
                v = self.values.new("map", (v,), f"positive {slot}", v.shape, v.dtype)
                task = self.task(v, "root")
            task.slot = slot
        self.written = {t.slot: t for t in self.tasks.values() if t.slot is not None}

    def _added(self) -> None:
        """b m + product, written to m: the product adds itself to b m, and is nowhere else."""
        for task in self.written.values():
            v = task.value
            if v.op != "map" or v.attr != "add":
                continue
            for old, product in (v.args, v.args[::-1]):
                if product.op == "product" and self.uses[product.id] == 1 and old.op == "map" \
                        and old.attr == "multiply" and product not in self.outputs:
                    factor = next((x for x in old.args if not x.shape and x.op in ("const", "cast")
                                   and (x.op == "const" or x.args[0].op == "number")), None)
                    if factor is not None and any(
                            x.op == "input" and x.attr == task.slot for x in old.args):
                        task.kind, task.product, task.factor = "product", product, factor
                        del self.tasks[product.id]
                        break

    def _walk_task(self, task: Task) -> None:
        """Find what the task reads, and where."""
        if task.kind in ("product", "called"):
            for x in task.product.args:
                self._read(task, self.place(x), None)
            return
        while True:
            task.reads, task.states = [], {}
            try:
                if task.kind == "put":
                    self._read(task, self.based[task.value.id], None)
                for v, index, is_seen in self.reads(task, task.index()):
                    self._read(task, *((v.args[0], None) if is_seen else (v, index)))
                return
            except Split as split:
                loop, place = split.atom
                sizes = task.cuts.get(loop, (task.sizes[loop],))
                task.cuts[loop] = (*sizes[:place], sizes[place] // split.size, split.size,
                                   *sizes[place + 1:])

    def reads(self, t: Task, index: Index) -> Iterator[tuple[Value, Index, bool]]:
        """Where a nest's task ends, at ``index`` of its loops, in what is not computed here: tasks
        and inputs, counts, and, with True, reshapes of such that are read as they lie in memory."""
        been: set[tuple[int, Index]] = set()
        todo = self.first_read(t, index)
        if self.is_copy(t, index):
            yield t.value, index, True
        while todo:
            v, index = todo.pop()
            if (v.id, index) in been:
                continue
            been.add((v.id, index))
            if v.id in self.tasks or v.op in ("input", "iota"):
                yield v, index, False
            elif self.is_seen(v, index):
                yield v, index, True
            else:
                todo += [(x, below(v, k, index)) for k, x in enumerate(v.args)]

    def first_read(self, t: Task, index: Index) -> list[tuple[Value, Index]]:
        """What a nest's task is computed from, where its loops are at ``index``."""
        if t.kind in ("reduced", "put"):
            return [(t.source, index)]
        if self.is_copy(t, index):
            return []
        return [(x, below(t.value, k, index)) for k, x in enumerate(t.value.args)]

    def is_copy(self, t: Task, index: Index) -> bool:
        """Whether a task copies a reshape of what is in memory."""
        return t.kind == "root" and self.is_seen(t.value, index)

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

    def _crossed(self) -> set[int]:
        """The states whose new value is computed from their old ones at other places, as that of
        ``x[...] = x[::-1] * 2``: it is kept, and then copied."""
        found = {slot for slot, t in self.written.items() if t.kind == "root" and any(
            index is None or plain_loops(index) != [*enumerate(t.sizes)]
            for index in t.states.get(slot, ()))}
        self.kept |= {self.written[slot].value.id for slot in found - self.copied}
        return found

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
