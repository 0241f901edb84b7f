"""What the stand-in was asked to do: launches, copies, waits."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

COUNTERS = ("launches", "copies_in", "copies_out", "copies_within", "waits")


@dataclass
class Count:
    """What happened in a block: the numbers, and the events' names in their order."""

    launches: int = 0
    copies_in: int = 0
    copies_out: int = 0
    copies_within: int = 0
    waits: int = 0
    events: list[str] = field(default_factory=list)


@contextmanager
def counted() -> Iterator[Count]:
    """Count what the device does in this block; the numbers stand when it has ended."""
    driver = ctypes.CDLL("libcuda.so.1")
    count = Count()
    hear = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda name: count.events.append(name.decode()))
    heard = ctypes.c_void_p.in_dll(driver, "cpu_heard")
    before = _read(driver)
    heard.value = ctypes.cast(hear, ctypes.c_void_p).value
    try:
        yield count
    finally:
        heard.value = None
        for name, number in _read(driver).items():
            setattr(count, name, number - before[name])


def _read(driver: ctypes.CDLL) -> dict[str, int]:
    return {name: ctypes.c_ulong.in_dll(driver, f"cpu_{name}").value for name in COUNTERS}
