"""Keep freed memory for the next training step.

A step frees what the one before allocated. By default glibc hands freed memory back to the system
(all above 128 KiB at the top of the heap, every array from 128 KiB to 32 MiB at some time in the
process's life), and the next step pays a page fault for every 4 KiB of it. Told to keep it, a
training step at batch 128 × 64-128-128-10 takes 0.6 and at 128 × 784-512-512-10 0.7 of its time
(``benchmarks/allocator.py``); the process keeps up to ``KEEP`` bytes that it does not use.

Set TINYGRAD_NORM_MALLOC=system, or glibc's own MALLOC_… variables, to leave the allocator alone.
"""

import ctypes
import os
import sys

KEEP = 256 << 20
"""So many free bytes at the top of the heap are kept."""
MAPPED = 32 << 20
"""From this size on an array is mapped on its own and unmapped when freed: glibc's upper bound."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""The names of the two settings in <malloc.h>."""


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep freed memory; whether it was told."""
    own = os.environ.get("TINYGRAD_NORM_MALLOC") == "system"
    theirs = any(name in os.environ for name in (
        "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"))
    if own or theirs or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(MMAP_THRESHOLD, MAPPED) and mallopt(TRIM_THRESHOLD, KEEP))
