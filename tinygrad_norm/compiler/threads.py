"""How many threads loops and matrix products take."""

from __future__ import annotations

import ctypes
import operator
import os
from collections.abc import Callable

from . import blas

SETTINGS = "TINYGRAD_NORM_THREADS", "OMP_NUM_THREADS"
"""The environment's names for a number of threads; the least of them holds."""

told: list[Callable[[], object]] = []
"""What is called when the number has been set."""
_number: int | None = None  # what was set; otherwise the environment says


def set_num_threads(n: int) -> None:
    """Let loops and matrix products take at most ``n`` threads.

    It holds for the process, and for NumPy's own products where its library is OpenBLAS. Without
    it, loops take as many as there are processors for the process, or as TINYGRAD_NORM_THREADS or
    OMP_NUM_THREADS say if that is less. Loops give the same bits with any number.
    """
    global _number
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"set_num_threads: expected 1 thread or more, got {n}")
    _number = n
    if functions := blas.threads():
        functions[1](ctypes.c_int(min(n, 2**31 - 1)))
    for tell in told:
        tell()


def get_num_threads() -> int:
    """How many threads a loop takes at most."""
    if _number is not None:
        return _number
    given = [os.environ.get(name, "").partition(",")[0].strip() for name in SETTINGS]
    return max(1, min([usable_cpus(), *(int(word) for word in given if word.isdecimal())]))


def usable_cpus() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
