"""A recording as a program: machine code for all that lies between calls of NumPy."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from . import entry, machine, pool, products
from .assembly import STREAMED, Assembly
from .block import LINE, address
from .calls import Calls
from .listing import listing
from .notation import plural
from .recording import Recording, Slot
from .task import Task


class Program(Assembly):
    """Runs a recording as loops. Args, Raises: as for Assembly.

    makers:   make the arrays that the outputs are written to
    written:  which of the inputs are
    quick:    ``entry.text``'s function, where there is one: who calls it calls nothing else, and
              Python's lock keeps others out of the table
    """

    def __init__(self, recording: Recording, *, states: int = 0, general: bool = False) -> None:
        super().__init__(recording, states=states, general=general)
        self._bind()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return listing(self)

    def words(self) -> str:
        """What the calls became."""
        products = sum(isinstance(one, Task) and one.kind == "product" for one in self.order)
        return (f"run as {plural(len(self.nests), 'nest')} of loops, "
                f"{plural(products, 'product')} and {plural(len(self.calls), 'other call')}")

    def _bind(self) -> None:
        """Machine code, the table, and the calls of NumPy's."""
        self.code = machine.load(self.text)
        function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
        self._functions = [function(self.code.address(f"step{k}")) for k in range(self.steps)]
        inputs = {int(slot): i for i, slot in enumerate(self.recording.inputs)}
        self._constants = {int(slot): np.ascontiguousarray(array)
                           for slot, array in self.lines.constants.items()}
        self._renewed = [(self._constants[slot], self.recording.constants[Slot(slot)].copy())
                         for slot in self.fuse.written if slot in self._constants]
        self._fill(inputs)
        self._held: list[Any] = [None] * len(inputs)
        self._ran_once = False
        self.written = [inputs[slot] for slot in self.fuse.written if slot in inputs]
        self._numpy = Calls(self.fuse, self.block, inputs, self._constants, {*self.new})
        self._calls = [self._numpy.prepared(t, partial(self._moved, self._where.get(
            t.value.id, []))) for t in self.calls]
        shapes = [v.shape for v in (self.outputs if self.is_plain else self.new.values())]
        self._made = [(maker(shape, v.dtype), self._where.get(("result", v.id), []))
                      for v, shape in zip(self.new.values(), shapes, strict=True)]
        self.makers = [make for make, _ in self._made]
        self.quick: Callable[..., int] | None = None
        if (self.general and self.is_plain and not self.is_shared and not self._renewed
                and entry.is_possible()):
            self.quick, self._alive = entry.entry(
                self.code.address("call"), np.asarray(self._entries))
        self._results = [self._numpy.result(v, self.outputs[:i])
                         for i, v in enumerate(self.outputs)]

    def _fill(self, inputs: dict[int, int]) -> None:
        """What is known of the table before the first run."""
        table = np.zeros(len(self.table), np.int64)  # ctypes would make a class for each length
        self._entries, self._floats = table.data, table.view(np.float64).data
        self._table_at = address(table)
        self._scratch = np.empty(self.room + LINE, np.uint8)
        scratch = -(-address(self._scratch) // LINE) * LINE
        self._where: dict[Any, list[int]] = {}
        self._numbers: list[tuple[int, int]] = []
        for k, (kind, key) in enumerate(self.table):
            if kind == "number":
                self._numbers.append((k, key))
            elif kind == "value":
                self._floats[k] = key
            elif kind == "buffer":
                self._where.setdefault(key, []).append(k)
            elif kind == "size":
                self._entries[k] = key
            elif kind == "scratch":
                self._entries[k] = scratch + self.scratch[key]
            elif kind == "gemm":
                self._entries[k] = products.address(key) or 0
            else:
                self._entries[k] = pool.share()
        for key, places in self._where.items():
            if not isinstance(key, tuple):
                self._repoint(places, self.block.address(key))
            elif key[1] in self._constants and key[0] == "slot":
                self._repoint(places, id(self._constants[key[1]]))
        self._given = [self._where.get(("slot", slot), []) for slot in inputs]

    def _repoint(self, places: list[int], at: int) -> None:
        for k in places:
            self._entries[k] = at

    def _moved(self, places: list[int], array: np.ndarray) -> None:
        self._repoint(places, address(array))

    def run(self, arrays: Sequence[np.ndarray], numbers: Sequence[Any],
            same: bool = False) -> list[np.ndarray] | None:
        """The outputs, as new arrays; state among ``arrays`` is written.

        None if a guard has another answer now: then nothing was written.

        Args:
            arrays: one for each of the recording's inputs.
            numbers: the value of each NumberSlot.
            same: the first ``states`` arrays are the very objects of the last run.
        """
        with self._lock:
            held, entries, copied = self._held, self._entries, False
            for i in range(self.states if same and self._ran_once else 0, len(arrays)):
                array = arrays[i]
                if array is not held[i]:
                    if not array.flags.writeable and i in self.written:
                        self._ran_once = False
                        raise ValueError("output array is read-only")  # as NumPy's
                    if not array.flags.c_contiguous:
                        array, copied = np.ascontiguousarray(array), True
                    held[i] = array
                    for k in self._given[i]:
                        entries[k] = id(array)
            for k, slot in self._numbers:
                self._floats[k] = numbers[slot]
            for array, before in self._renewed:
                array[...] = before
            new = [make() for make, _ in self._made]
            for array, (_, places) in zip(new, self._made):  # noqa: B905
                for k in places:
                    entries[k] = id(array)
            self._ran_once = not copied
            results: list[np.ndarray] | None = new
            if self.is_plain:
                if self._functions[0](self._table_at):
                    results = None
            else:
                self._numpy.made.update(zip(self.new, new, strict=True))
                results = [result(held) for result in self._results] if self._ran(numbers) else None
                self._numpy.end()
            if copied:
                self._wrote(arrays)
            if self.general:  # a formula outlives the arrays that it was called with
                held[:] = [None] * len(held)
            return results

    def _ran(self, numbers: Sequence[Any]) -> bool:
        """Loops and calls in turn; False where a guard has another answer."""
        self._numpy.numbers = numbers
        for k, function in enumerate(self._functions):
            if function(self._table_at):
                return False
            if k < len(self._calls):
                self._calls[k](self._held)
        return True

    def _wrote(self, arrays: Sequence[np.ndarray]) -> None:
        """Bring state to arrays that are not contiguous; what was a copy is copied again next
        time."""
        for i, array in enumerate(arrays):
            if array is not self._held[i]:
                if i in self.written:
                    array[...] = self._held[i]
                self._held[i] = None


def maker(shape: tuple[int, ...], dtype: np.dtype) -> Callable[[], np.ndarray]:
    """What makes new arrays; large ones begin at a line of the cache."""
    size = math.prod(shape) * dtype.itemsize
    if size < STREAMED:
        return partial(np.empty, shape, dtype)

    def make() -> np.ndarray:
        memory = np.empty(size + LINE, np.uint8)
        start = -address(memory) % LINE
        return memory[start:start + size].view(dtype).reshape(shape)

    return make
