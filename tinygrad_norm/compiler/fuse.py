"""Tasks → nests of loops and calls, in an order in which they may run.

A *nest* has outer loops over kept axes and inner loops over the reduced ones; its tasks share them.
In one round of the outer loops the inner ones run once for each *pass*: sums of one pass are used
in the next, while what they are sums of is in the cache.
"""

from __future__ import annotations

import bisect

from .index import Index, plain_loops
from .task import Task, is_across
from .tasks import Tasks

SUM, PART, FULL, OUTER, ACROSS = "sum", "part", "full", "outer", "across"
"""What a task is to its nest: a sum within a round, one for each step of the first inner loops, a
value of all loops, one of each round, a sum across the rounds."""


class Nest:
    """Loops that several tasks share. ``kept`` None: nothing is reduced."""

    def __init__(self, sizes: tuple[int, ...], kept: tuple[int, ...] | None) -> None:
        self.sizes, self.kept = sizes, kept
        self.tasks: list[Task] = []
        self.role: dict[Task, str] = {}
        self.cuts: dict[int, tuple[int, ...]] = {}
        self.part: tuple[int, ...] = ()
        """The inner loops that its parts keep: the first ones."""
        self.passes: dict[Task, int] = {}
        self.writers: dict[int, Task] = {}
        self.readers: dict[int, list[Task]] = {}
        """By the slot of state that they write or read."""

    def add(self, t: Task, role: str) -> None:
        self.tasks.append(t)
        self.role[t] = role
        if role == PART:
            self.part = tuple(k for k in t.kept if k not in self.outer())
        if t.slot is not None:
            self.writers[t.slot] = t
        for slot in t.states:
            self.readers.setdefault(slot, []).append(t)

    def __repr__(self) -> str:
        return f"nest{self.sizes} keeps {self.kept}: {self.tasks}"

    def outer(self) -> tuple[int, ...]:
        return tuple(range(len(self.sizes))) if self.kept is None else self.kept


class Fuse(Tasks):
    """Tasks, and their order."""

    has_parts = True
    """Whether a nest may have sums that keep some of the inner loops."""

    def run(self) -> list[Nest | Task]:
        """The program: nests, products, calls and the check of the guards in order."""
        tasks = [*self.tasks.values(), *([self.check] if self.check else [])]
        then: dict[Task, list[Task]] = {}
        wait: dict[Task, int] = {}
        for t in tasks:
            before = self.before(t)
            wait[t] = len(before)
            for d in before:
                then.setdefault(d, []).append(t)
        self.then = then

        def key(t: Task) -> tuple[bool, int]:
            return t.kind in ("product", "called", "check"), t.value.id

        ready = sorted((t for t in tasks if not wait[t]), key=key)
        order: list[Nest | Task] = []

        def place(t: Task) -> None:
            ready.remove(t)
            wait[t] = -1
            for u in then.get(t, ()):
                wait[u] -= 1
                if not wait[u]:
                    bisect.insort(ready, u, key=key)

        placed = 0
        while ready:
            t = ready[0]
            place(t)
            placed += 1
            if t.kind in ("product", "called", "check"):
                order.append(t)
                continue
            nest = self._seed(t)
            refused: set[Task] = set()
            while (u := next((u for u in ready if u not in refused), None)) is not None:
                if u.kind not in ("product", "called", "check") and self._fits(u, nest):
                    place(u)
                    placed += 1
                else:
                    refused.add(u)
            self._number(nest)
            order.append(nest)
        assert placed == len(tasks), "a circle of tasks"
        return order

    def _seed(self, t: Task) -> Nest:
        """A nest for its first task: one that a sum of the same values will share."""
        kept = t.kept if t.kind == "reduced" else None
        if is_across(t):
            kept = tuple(range(len(t.sizes) - 1))
        if t.kind == "root":
            for u in self.then.get(t, ()):
                if u.kind == "reduced" and u.sizes == t.sizes:
                    kept = tuple(range(len(t.sizes) - 1)) if is_across(u) else u.kept
                    break
        nest = Nest(t.sizes, kept)
        fits = self._fits(t, nest)
        if not fits:
            nest = Nest(t.sizes, t.kept if t.kind == "reduced" else None)
            fits = self._fits(t, nest)
        assert fits, t
        return nest

    def _role(self, t: Task, nest: Nest) -> str | None:
        if t.kind == "reduced":
            if t.sizes != nest.sizes:
                return None
            if t.kept == nest.kept and not is_across(t):
                return SUM
            if self._is_part(t, nest):
                return PART
            return ACROSS if is_across(t) and nest.kept == tuple(range(len(t.sizes) - 1)) else None
        if t.sizes == nest.sizes:
            return FULL
        if nest.kept is not None and t.sizes == tuple(nest.sizes[k] for k in nest.kept):
            return OUTER
        return None

    def _is_part(self, t: Task, nest: Nest) -> bool:
        """Whether a sum keeps the first of the inner loops too, as those of a group's channels."""
        if not self.has_parts or nest.kept is None or not {*nest.kept} < {*t.kept} or is_across(t):
            return False
        part = tuple(k for k in t.kept if k not in nest.kept)
        inner = tuple(k for k in range(len(nest.sizes)) if k not in nest.kept)
        return part == inner[:len(part)] and nest.part in ((), part)

    def _fits(self, t: Task, nest: Nest) -> bool:
        """Put t into the nest if it may be there."""
        role = self._role(t, nest)
        if role is None:
            return False
        loops = nest.kept if role == OUTER else tuple(range(len(nest.sizes)))
        assert loops is not None
        cuts = dict(nest.cuts)
        for k, sizes in t.cuts.items():
            if cuts.setdefault(loops[k], sizes) != sizes:
                return False
        if cuts and PART in (role, *nest.role.values()):
            return False
        if len(nest.sizes) - 1 in cuts and ACROSS in (role, *nest.role.values()):
            return False
        for d, index in t.reads:
            is_beside = index is None and d in nest.role and self._beside(t, d, nest)
            if d in nest.role and not is_beside and (
                    d.kind == "put" or not self._own(index, nest.role[d], role, nest)):
                return False
        if not self._apart(t, role, nest):
            return False
        nest.add(t, role)
        nest.cuts = cuts
        return True

    def _own(self, index: Index | None, role: str, reader: str, nest: Nest) -> bool:
        """Whether a task of this nest is read where it was computed, in the same round."""
        if index is None or role in (ACROSS, PART) or (reader == OUTER and role == FULL):
            return False
        every = range(len(nest.sizes)) if role == FULL else nest.outer()
        expected = [(place if reader == OUTER else loop, nest.sizes[loop])
                    for place, loop in enumerate(every)]
        return plain_loops(index) == expected

    def _beside(self, t: Task, d: Task, nest: Nest) -> bool:
        """Whether t puts a part into what d has put one into, and no two of those that the nest
        puts there have a value in common."""
        return t.kind == d.kind == "put" and self.based[t.value.id] is d.value and all(
            any(_is_disjoint(*both) for both in zip(spans(t), spans(u), strict=True))
            for u in nest.tasks
            if u.kind == "put" and self.owner(u.value) is self.owner(t.value))

    def _apart(self, t: Task, role: str, nest: Nest) -> bool:
        """State is written in place: whoever reads it in this nest must read it where it is
        written, or another round would see the new values."""
        pairs = [(nest.writers[slot], t) for slot in t.states if slot in nest.writers]
        if t.slot is not None:
            pairs += [(t, reader) for reader in (*nest.readers.get(t.slot, ()), t)]
        return all(
            self._own(index, nest.role.get(writer, role), nest.role.get(reader, role), nest)
            for writer, reader in pairs for index in reader.states.get(writer.slot or 0, ()))

    def _number(self, nest: Nest) -> None:
        """In which pass each task is: after the sums it needs, and after readers of its state."""
        found: dict[Task, int] = {}
        for t in nest.tasks:  # in an order of dependence
            found[t] = max([0, *(found[d] + (nest.role[d] == SUM) for d, _ in t.reads
                                 if d in found)])
            if t.slot is not None:
                found[t] = max([found[t], *(found[u] for u in nest.readers.get(t.slot, ())
                                            if u in found)])
        nest.passes = found


def spans(t: Task) -> list[range]:
    """Of a part that is put, which places it takes along each axis."""
    sizes = iter(t.source.shape)
    return [range(start, start + step * (next(sizes) if kept else 1), step)
            for start, step, kept in t.value.attr]


def _is_disjoint(a: range, b: range) -> bool:
    """Whether they are known to have no number in common: one lies before the other, or they are
    apart by less than their common step."""
    if a.step == b.step and (a.start - b.start) % a.step:
        return True
    return max(a[0], a[-1]) < min(b[0], b[-1]) or max(b[0], b[-1]) < min(a[0], a[-1])
