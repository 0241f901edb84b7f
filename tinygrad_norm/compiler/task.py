"""A task: a value that is kept in memory, with the loops that compute it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .index import NONE, Element, Index
from .values import Value

LONG, MANY = 1 << 18, 256
"""So many bytes, of more than so many rows, are summed along the rows as they lie in memory; fewer
column by column, as they are in the cache."""


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
        axes = tuple(i for i, n in enumerate(shape) if n > 1)
        self.sizes = tuple(shape[i] for i in axes)
        gone = value.attr[1] if kind == "reduced" else ()
        self.kept = tuple(k for k, axis in enumerate(axes) if axis not in gone)

    def __repr__(self) -> str:
        return f"{self.kind}{self.value}"

    def index(self) -> Index:
        """Every value of what is summed or stored, in own loops."""
        return indexed(self.source.shape, range(len(self.sizes)), self.sizes, self.cuts)


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
            and math.prod(t.sizes[:-1]) > MANY and math.prod(t.sizes) * dtype.itemsize >= LONG)
