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

    kind:    "reduced", "root" (a value of its full shape), "put", "product", "called", "check"
    source:  what runs through the loops: the value, what is summed, the part that is put
    sizes:   of its own loops; the axes of length 1 are left out
    kept:    of a sum, which of these loops are not reduced
    cuts:    for a loop the sizes that it must be cut into
    reads:   (task, index, in own loops) of what it needs; the index is None where all is read
    states:  the slots of state that it reads, each with its indices
    slot:    the state that is written
    product: of matrices: what is computed, and added to the state times ``factor`` if there is one
    is_read: whether a nest reads it, and not calls alone
    after:   tasks that must come first, though nothing is read from them
    """

    def __init__(self, value: Value, kind: str) -> None:
        self.value, self.kind = value, kind
        self.slot: int | None = None
        self.reads: list[tuple[Task, Index | None]] = []
        self.states: dict[int, set[Index | None]] = {}
        self.after: set[Task] = set()
        self.is_read = False
        self.product = value
        self.factor: Value | None = None
        self.cuts: dict[int, tuple[int, ...]] = {}
        self.source = {"reduced": value.args[:1], "put": value.args[1:]}.get(kind, (value,))[0]
        shape = self.source.shape
        self.axes = tuple(i for i, n in enumerate(shape) if n > 1)
        self.sizes = tuple(shape[i] for i in self.axes)
        gone = value.attr[1] if kind == "reduced" else ()
        self.kept = tuple(k for k, axis in enumerate(self.axes) if axis not in gone)

    def __repr__(self) -> str:
        return f"{self.kind}{self.value}"

    def index(self) -> Index:
        """Every value of what is summed or stored, in own loops."""
        return indexed(self.source.shape, range(len(self.sizes)), self.sizes, self.cuts)


def first_read(t: Task, index: Index) -> list[tuple[Value, Index]]:
    """What a nest's task is computed from, where its loops are at ``index``."""
    if t.kind in ("reduced", "put"):
        return [(t.source, index)]
    return [(x, below(t.value, k, index)) for k, x in enumerate(t.value.args)]


class Tasks:
    """The tasks of the values that are wanted.

    Args:
        outputs: what the run returns. state: (slot, new value). guards: conditions, 0-d.
    """

    def __init__(self, values: Values, outputs: Iterable[Value],
                 state: list[tuple[int, Value]], guards: list[Value]) -> None:
        self.values = values
        self.outputs, self.state, self.guards = list(outputs), state, guards
        self.kept: set[int] = set()
        self.copied: set[int] = set()
        """States whose new value is another value's copy, so that it can be written late."""
        self.plan()

    def plan(self) -> None:
        """Find the tasks; anew, where a value must be kept that was not."""
        while True:
            try:
                self._plan()
                break
            except Keep as keep:
                self.kept.add(keep.value.id)

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
            task = None
            if slot not in self.copied and v.op not in (
                    "input", "reduced", "product", "called", "put"):
                task = self.task(v, "root")
            if task is None or task.slot is not None or task.kind != "root" or v in self.outputs:
                # the value is wanted elsewhere too: the state gets a copy
                v = self.values.new("map", (v,), f"positive {slot}", v.shape, v.dtype)
                task = self.task(v, "root")
            task.slot = slot
        self.written = {slot: next(t for t in self.tasks.values() if t.slot == slot)
                        for slot, _ in self.state}

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
                v = task.value
                if task.kind == "put":
                    self._read(task, self.based[v.id], None)
                start = first_read(task, task.index())
                self._walk(task, start)
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
        for slot, writer in self.written.items():
            writer.after |= {t for t in self.tasks.values() if slot in t.states and t is not writer}
        self.check: Task | None = None
        if self.guards:
            self.check = Task(self.values.new("check", tuple(self.guards), None, (), bool), "check")
            for v in self.guards:
                v = self.place(v)
                if v.id in self.tasks:
                    self.check.reads.append((self.tasks[v.id], None))
            for writer in self.written.values():
                writer.after.add(self.check)


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
