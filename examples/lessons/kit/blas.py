"""The BLAS behind the lessons: its threads, and its kernels, on which the last digits depend.

A network that trains for hundreds of steps makes of the last digits another network. So a verdict
is worth something only where it is the same with each kernel: ``python docs/lessons.py --check``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.compiler import machine

SETTING = "OPENBLAS_CORETYPE"
KERNELS = "SKYLAKEX", "HASWELL", "ZEN", "SANDYBRIDGE"
"""OpenBLAS's for processors from 2011 on: with AVX-512, AVX2 and AVX."""
PRODUCTS = ("import numpy as np\n"
            "for dtype in 'fd': np.ones((64, 64), dtype) @ np.ones((64, 64), dtype)\n"
            "from kit.blas import kernel; print(kernel())")


def one_thread() -> contextlib.AbstractContextManager[object]:
    """The BLAS takes one thread: at this size it gains nothing from more, and the last digits
    depend on their number."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[object] = threadpool_limits(1)
    return limits


def kernel() -> str:
    """Its library, version and kernel, "openblas 0.3.31 Haswell"; "" where that is not known."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"] or [{}]
    facts = (pools[0].get(fact) for fact in ("internal_api", "version", "architecture"))
    return " ".join(fact for fact in facts if fact)


@functools.cache
def kernels() -> dict[str, str]:
    """For each kernel that this processor runs its setting: {"openblas 0.3.31 Haswell": "HASWELL"}.

    Of settings that lead to the same kernel, as ZEN and HASWELL in NumPy's wheels, the first; none
    for another BLAS than OpenBLAS.
    """
    found: dict[str, str] = {}
    for setting in KERNELS:
        env = {**os.environ, SETTING: setting,
               "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
        done = subprocess.run([sys.executable, "-c", PRODUCTS], env=env, capture_output=True,
                              text=True)
        if done.returncode == 0 and done.stdout.startswith("openblas"):  # no illegal instruction
            found.setdefault(done.stdout.strip(), setting)
    return found


def made_with() -> str:
    """What a verdict may hang on: versions, the processor, the BLAS with its kernel, and loops."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):  # only Linux has the file
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line for line in lines if line.startswith("model name"))
    versions = (f"tinygrad_norm {tn.__version__}, NumPy {np.__version__}, Python "
                f"{platform.python_version()}")
    computed = " and ".join(filter(None, [kernel(), "loops" * machine.available()]))
    return ", ".join(filter(None, [versions, processor.rpartition(":")[2].strip(), computed]))
