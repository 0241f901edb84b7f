"""A recording as CUDA kernels, and what CuPy computes between them.

As a Program it has one block of memory, and new arrays for results. Arguments of kernels are kept
for each launch; a run fills in the arrays that it was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np

from ..backend.array import BACKENDS
from .assembly import Assembly
from .block import in_lines
from .calls import Calls
from .cuda_kernel import Kernel, Launch
from .cuda_operations import FOLDS, FUNCTIONS, TOTALS
from .fuse import Fuse, Nest
from .plain import Plain
from .recording import Line, Recording, Slot, Unsupported
from .task import Task
from .values import Value

Arrays = Sequence[Any]


class Memory:
    """Where values lie: a part of one array of bytes."""

    def __init__(self, bytes_: Any, at: dict[int, int]) -> None:
        self.bytes, self.at = bytes_, at

    def array(self, v: Value) -> Any:
        """The memory of a task's value."""
        start = self.at[v.id]
        size = math.prod(v.shape) * v.dtype.itemsize
        return self.bytes[start:start + size].view(v.dtype).reshape(v.shape)


class WithoutParts(Fuse):
    """Tasks whose nests are kernels: the threads of a round make one total of each sum."""

    has_parts = False


class CudaProgram(Assembly):
    """Runs a recording on CuPy's arrays.

    Args:
        device: the number of the GPU that it is for.
        host: inputs that are arrays of NumPy's, such as counters; what is computed of them stays
            in the computer's memory.
    """

    fusing = WithoutParts
    quick = None
    """A Program may have a way of little work."""

    def __init__(self, recording: Recording, device: int, *,
                 host: frozenset[Slot] = frozenset(), general: bool = False) -> None:
        cupy = self.cupy = import_module("cupy")
        self.device = device
        self.beside, own = _apart(recording, host)
        self.own = [i for i, slot in enumerate(recording.inputs) if slot not in host]
        self.others = [i for i, slot in enumerate(recording.inputs) if slot in host]
        super().__init__(own, general=general)
        if self.fuse.guards:
            raise Unsupported("a condition on values")
        self._lock = Lock()
        with cupy.cuda.Device(device):
            self._bind()

    def _text(self) -> str:
        """All kernels, each once."""
        self.buffers = self._buffers()
        wide = any(math.prod(v.shape) >= 2**31 for v in self.fuse.live.values())
        self.scratch: dict[int, int] = {}
        self.sequence: list[tuple[Kernel, list[Launch]] | Task] = []
        self.room = 0
        same: dict[str, str] = {}
        for step in self.order:
            if isinstance(step, Task):
                self.sequence.append(step)
                continue
            assert isinstance(step, Nest)
            kernel = Kernel(step, self.fuse, self.buffers, general=self.general, wide=wide,
                            processors=processors(self.device))
            text, launches = kernel.text("NAME")
            name = same.setdefault(text, f"f{len(same)}")
            self.sequence.append((kernel, [launch._replace(name=launch.name.replace("NAME", name))
                                           for launch in launches]))
            room = 0
            for number, size in kernel.scratch().items():
                self.scratch[number] = room
                room += in_lines(size)
            self.room = max(self.room, room)
        kernels = "\n".join(text.replace("NAME", name) for text, name in same.items())
        has_totals = any(f"{fold}()" in kernels for fold in FOLDS.values())
        return FUNCTIONS + TOTALS * has_totals + kernels

    # -- binding -----------------------------------------------------------------------------------

    def _bind(self) -> None:
        cupy = self.cupy
        self.module = module(cupy, self.text, self.device)
        memory = cupy.empty(self.block.size + self.room, np.uint8)
        self.memory = Memory(memory, self.block.at)
        self.constants = {int(slot): cupy.asarray(np.ascontiguousarray(array))
                          for slot, array in self.lines.constants.items()}
        self.renewed = [(self.constants[slot], self.constants[slot].copy())
                        for slot in self.fuse.written if slot in self.constants]
        inputs = {int(slot): i for i, slot in enumerate(self.recording.inputs)}
        self.back = [inputs[slot] for slot in self.fuse.written if slot in inputs]
        self.calls_ = Calls(self.fuse, self.memory, inputs, self.constants, {*self.new}, cupy)
        self.places: dict[Any, list[tuple[list[Any], int]]] = {}
        self.numbers: list[tuple[list[Any], int, int]] = []
        self.runs = [run for step in self.sequence for run in self._bound(step)]
        self.given = [self.places.get(("slot", slot), []) for slot in inputs]
        self.makers = [(v.id, v.shape, v.dtype, self.places.get(("result", v.id), []))
                       for v in self.new.values()]
        self.results = [self.calls_.result(v, self.outputs[:i])
                        for i, v in enumerate(self.outputs)]

    def _bound(self, step: tuple[Kernel, list[Launch]] | Task) -> list[Callable[[Arrays], Any]]:
        """What runs a nest, or a call."""
        if isinstance(step, Task):
            return [] if step.kind == "check" else [self.calls_.prepared(
                step, partial(self._put, step.value.id))]
        kernel, launches = step
        args: list[Any] = []
        count = np.int64 if kernel.count == "long long" else np.int32
        for k, (kind, key) in enumerate(kernel.arguments):
            if kind == "number":
                self.numbers.append((args, k, key))
            elif kind == "buffer":  # what a call gives lies elsewhere each time
                self.places.setdefault(key, []).append((args, k))
            args.append(count(key) if kind == "size" else np.float64(key) if kind == "value"
                        else self._fixed(key) if kind == "buffer" else None)
        return [partial(self._launch, self.module.get_function(one.name), one.grid, one.block, args)
                for one in launches]

    @staticmethod
    def _launch(function: Any, grid: Any, block: Any, args: list[Any], arrays: Arrays) -> None:
        function(grid, block, args)

    def _fixed(self, key: Any) -> Any:
        """Memory whose place does not change; None for what each run is given."""
        if not isinstance(key, tuple):
            return self.memory.bytes[self.block.at[key]:] if key in self.block.at else None
        if key[0] == "scratch":
            return self.memory.bytes[self.block.size + self.scratch[key[1]]:]
        return self.constants.get(key[1]) if key[0] == "slot" else None

    def _put(self, key: Any, array: Any) -> None:
        for args, k in self.places.get(key, ()):
            args[k] = array

    def _contiguous(self, array: Any) -> Any:
        """The array itself, or a copy on the GPU whose values lie side by side."""
        array = self.cupy.asarray(array)
        return array if array.flags.c_contiguous else array.copy(order="C")

    # -- running -----------------------------------------------------------------------------------

    def run(self, arrays: Arrays, numbers: Sequence[Any], same: bool = False) -> list[Any]:
        """The outputs, as new arrays; state among ``arrays`` is written. As Program's."""
        cupy = self.cupy
        with self._lock, cupy.cuda.Device(self.device):
            if self.others:
                self.beside.run([arrays[i] for i in self.others], numbers)
            held = [self._contiguous(arrays[i]) for i in self.own]
            for array, places in zip(held, self.given, strict=True):
                for args, k in places:
                    args[k] = array
            for args, k, slot in self.numbers:
                args[k] = np.float64(numbers[slot])
            for array, before in self.renewed:
                array[...] = before
            made = self.calls_.made
            for number, shape, dtype, places in self.makers:
                made[number] = array = cupy.empty(shape, dtype)
                for args, k in places:
                    args[k] = array
            self.calls_.numbers = numbers
            for run in self.runs:
                run(held)
            results = [result(held) for result in self.results]
            self.calls_.end()
            for i in self.back:
                if held[i] is not arrays[self.own[i]]:
                    arrays[self.own[i]][...] = held[i]
            return results


def is_cupy(a: Any) -> bool:
    """Whether a is an array on a GPU."""
    return BACKENDS["cuda"].owns(a)


def device_of_all(arrays: Arrays) -> int | None:
    """The number of the GPU that arrays lie on, but for single values; None if all are NumPy's.

    Raises:
        Unsupported: they lie on several devices.
    """
    # host memory: of single values there, such as counters, a GPU needs none
    host = [array for array in arrays if type(array) is np.ndarray]
    found = {array.device.id for array in arrays if is_cupy(array)}
    if len(host) + sum(map(is_cupy, arrays)) < len(arrays):
        raise Unsupported("a tensor is on another device than the cpu or a GPU")
    if len(found) > 1 or (found and any(array.ndim for array in host)):
        raise Unsupported("its tensors are on several devices")
    return next(iter(found), None)


def _apart(recording: Recording, host: frozenset[Slot]) -> tuple[Plain, Recording]:
    """What runs the lines of the ``host``'s arrays, and a recording of all others.

    Raises:
        Unsupported: a line has arrays of both.
    """
    known, ours, others = set(host), list[Line](), list[Line]()
    for line in recording.lines:
        slots = line.slots()
        if slots and slots <= known:
            known.update(line.made())
            others.append(line)
        elif slots & known:
            raise Unsupported("a tensor of the cpu is computed with one of the GPU")
        else:
            ours.append(line)
    if any(slot in known for slot in recording.outputs):
        raise Unsupported("a result is on the cpu")
    beside = recording.part(others, [s for s in recording.inputs if s in host], [])
    own = recording.part(ours, [s for s in recording.inputs if s not in host], recording.outputs)
    own.guards = recording.guards
    return Plain(beside), own


@cache
def processors(device: int) -> int:
    """How many multiprocessors a GPU has."""
    count: int = import_module("cupy").cuda.Device(device).attributes["MultiProcessorCount"]
    return count


@cache
def module(cupy: Any, text: str, device: int) -> Any:
    """The machine code of a text."""
    return cupy.RawModule(code=text, options=("-std=c++17",))
