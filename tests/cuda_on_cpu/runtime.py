"""CuPy's own copy of the CUDA runtime: its entry points become jumps to those of runtime.cpp."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from pathlib import Path

PAGE = 4096


def overwrite(path: str, driver: ctypes.CDLL, ours: Path) -> None:
    """Write jumps over the functions cuda… of the loaded library ``path``."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(path))
    libc = ctypes.CDLL(None, use_errno=True)
    there = _functions("-D", str(ours))
    for name, offset in _functions(path).items():
        plain = "cpu_" + name.removesuffix("_ptsz").removesuffix("_ptds")  # streams of a thread
        if not re.fullmatch(r"cuda[A-Z]\w*", name) or plain not in there:
            continue
        target = ctypes.cast(getattr(driver, plain), ctypes.c_void_p).value
        place = base + offset
        page = ctypes.c_void_p(place // PAGE * PAGE)
        writable = libc.mprotect(page, ctypes.c_size_t(2 * PAGE), 7)
        assert writable == 0, "the system lets nobody write over code"
        ctypes.memmove(place, b"\xff\x25\0\0\0\0" + struct.pack("<Q", target), 14)  # jmp [rip]


def _functions(*what: str) -> dict[str, int]:
    """The functions of a library, by name, and where they lie in it."""
    table = subprocess.run(["nm", *what], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in table.splitlines()]
    return {line[2]: int(line[0], 16) for line in lines if len(line) == 3 and line[1] in "tT"}
