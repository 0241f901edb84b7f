"""What this machine has, what is missing, and what to do about it.

Every part is really imported and the GPU really computes, so what is shown works. Nothing found
missing or broken is an error: it becomes a line with its cure.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import numpy as np

from .compiler import cache, machine, products
from .compiler.threads import get_num_threads, usable_cpus

THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
                   "VECLIB_MAXIMUM_THREADS")
OLDEST = 12000
"""The lowest CUDA version that there is an extra for, as the driver numbers it."""


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``cure`` says what to do when something is amiss."""

    name: str
    found: str
    cure: str = ""


def run(args: argparse.Namespace | None = None) -> int:
    """Print the report; 0, the exit status, whatever is missing."""
    print(report(findings()), flush=True)
    return 0


def findings() -> list[Finding]:
    """Everything that is looked at, in the order of the report."""
    return [
        Finding("tinygrad_norm", _own_version()),
        Finding("python", f"{platform.python_version()}, {platform.platform()}"),
        Finding("numpy", np.__version__),
        Finding("cpu", _cpu()),
        blas(),
        package("safetensors", "pip install safetensors  (tn.save and tn.load need it)"),
        package("sklearn", "pip install 'tinygrad_norm[examples]'  (datasets.digits needs it)",
                name="scikit-learn"),
        package("matplotlib", "pip install 'tinygrad_norm[examples]'  (it draws the curves)"),
        *graphviz(),
        *loops(),
        *gpu(),
    ]


def report(found: list[Finding]) -> str:
    """The findings in two columns, then the cures in two columns."""
    width = max(len(finding.name) for finding in found)
    lines = [f"{finding.name:<{width}}  {finding.found}" for finding in found]
    cures = [f"  {finding.name:<{width}}  {finding.cure}" for finding in found if finding.cure]
    return "\n".join([*lines, "", *(["What to do:", *cures] if cures else ["Nothing is missing."])])


def package(module: str, cure: str, name: str = "") -> Finding:
    """The version of a package that is imported to be sure of it."""
    name = name or module
    imported, problem = _imported(module)
    if problem:
        return Finding(name, problem, cure if problem == MISSING else f"reinstall it: {cure}")
    return Finding(name, str(getattr(imported, "__version__", "installed")))


MISSING = "not installed"


def _imported(module: str) -> tuple[Any, str]:
    """(module, "") or (None, what is wrong with it)."""
    try:
        return importlib.import_module(module), ""
    except ModuleNotFoundError as error:
        if error.name in (module, None):
            return None, MISSING
        return None, f"installed, but it needs {error.name}, which is not"
    except Exception as error:  # what a broken library raises while it is imported
        return None, f"installed, but its import fails: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _own_version() -> str:
    place = os.path.dirname(os.path.abspath(__file__))
    try:
        return f"{importlib.metadata.version('tinygrad_norm')} in {place}"
    except importlib.metadata.PackageNotFoundError:
        return f"not installed, used from {place}"


# -- the processor -------------------------------------------------------------------------------


def _cpu() -> str:
    return f"{os.cpu_count() or '?'} logical cores, {usable_cpus()} for this process"


def blas() -> Finding:
    """The library behind NumPy's matrix products, and its threads."""
    threads: int | None = None
    controller, _ = _imported("threadpoolctl")
    pools = [pool for pool in (controller.threadpool_info() if controller else [])
             if pool.get("user_api") == "blas"]
    if pools:
        pool, threads = pools[0], pools[0].get("num_threads")
        facts = [pool.get("internal_api"), pool.get("version"), pool.get("architecture")]
    else:
        built = _built_with()
        facts = [built.get("name"), built.get("version")]
        if not built.get("found") or facts[0] in (None, "", "none"):
            return Finding("blas", "none: NumPy was built without",
                           "pip install --force-reinstall numpy  (its wheels contain OpenBLAS; "
                           "matrix products are slow without)")
    setting = next((name for name in THREAD_SETTINGS if os.environ.get(name)), None)
    name = " ".join(str(fact) for fact in facts if fact and fact != "unknown")
    if threads is None:
        given = f"{setting}={os.environ[setting]}" if setting else "threads not set"
        return Finding("blas", f"{name}, {given}",
                       "pip install threadpoolctl  (shows the threads that BLAS uses)")
    return Finding("blas", f"{name}, {threads} thread{'s' * (threads != 1)}",
                   _advice(threads, usable_cpus(), setting))


def _built_with() -> dict[str, Any]:
    """What NumPy's build says about its BLAS."""
    try:
        config: Any = np.show_config(mode="dicts")
        return dict(config["Build Dependencies"]["blas"])
    except (KeyError, TypeError):
        return {}


def _advice(threads: int, cpus: int, setting: str | None) -> str:
    if threads < cpus:
        cure = f"unset {setting} to use all" if setting else f"set OPENBLAS_NUM_THREADS={cpus}"
        return f"BLAS uses {threads} of {cpus} cores; {cure}"
    if threads > cpus:
        return (f"BLAS starts {threads} threads on {cpus} cores, which slows it down; "
                f"set {setting or 'OPENBLAS_NUM_THREADS'}={cpus}")
    return ""


# -- pictures ------------------------------------------------------------------------------------


def graphviz() -> list[Finding]:
    """pygraphviz, whose wheel contains Graphviz, or a program ``dot``: one of them is enough."""
    drawing, problem = _imported("pygraphviz")
    dot = shutil.which("dot")
    cure = "" if drawing or dot else (
        "pip install 'tinygrad_norm[viz]'  (contains Graphviz), or apt install graphviz; graphs "
        "are DOT text without")
    return [
        Finding("pygraphviz", problem or str(getattr(drawing, "__version__", "installed")), cure),
        Finding("dot", f"{_dot_version(dot)} at {dot}" if dot else "no such program"),
    ]


def _dot_version(dot: str) -> str:
    """Graphviz's version: ``dot - graphviz version 2.43.0 (0)`` stands on its stderr."""
    try:
        done = subprocess.run([dot, "-V"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run ({_first_line(error)})"
    words = (done.stderr or done.stdout).split()
    return words[words.index("version") + 1] if "version" in words[:-1] else "version unknown"


# -- loops ---------------------------------------------------------------------------------------


def loops() -> list[Finding]:
    """LLVM, whether there is machine code and on how many threads, and where it is kept."""
    compiler = package("llvmlite", "pip install 'tinygrad_norm[fast]'  (it makes machine code of "
                       "training steps and large norms; they are plain NumPy without)")
    if problem := machine.problem():
        cure = f"unset {machine.SETTING}" if machine.SETTING in problem else ""
        return [compiler, Finding("loops", problem, cure)]
    threads = get_num_threads()
    by = "NumPy's own BLAS" if products.address("float32") else "np.matmul"
    found = [compiler, Finding("loops", f"on, {threads} thread{'s' * (threads != 1)}, "
                               f"matrix products by {by}")]
    path, problem = cache.directory()
    if path is None:
        cure = "" if problem.startswith("off") else (
            f"make it yours with mode 0700, or set {cache.SETTING} to a directory that is")
        return [*found, Finding("cache", problem, cure)]
    sizes = [size for _, size, _ in cache.files(path)]
    return [*found, Finding("cache", f"{path}, {len(sizes)} file{'s' * (len(sizes) != 1)}, "
                            f"{sum(sizes) / 2**20:.1f} of {cache.LIMIT >> 20} MiB")]


# -- the GPU -------------------------------------------------------------------------------------


def gpu() -> list[Finding]:
    """CuPy, the driver, and each GPU with a computation on it."""
    cupy, problem = _imported("cupy")
    if problem == MISSING:
        seen = shutil.which("nvidia-smi") is not None
        return [Finding("cupy", problem, (
            "" if seen else "only with an NVIDIA GPU: ") +
            "pip install 'tinygrad_norm[cuda12]' or '[cuda13]', the CUDA version that nvidia-smi "
            "prints")]
    wheels = _cupy_wheels()
    cure = ""
    if len(wheels) > 1:
        cure = f"keep one only: pip uninstall {' '.join(wheels)}, then install one again"
    if problem:
        return [Finding("cupy", problem, cure or "pip install --force-reinstall "
                        f"{wheels[0] if wheels else 'cupy-cuda12x'}")]
    found = [Finding("cupy", f"{cupy.__version__} ({', '.join(wheels) or 'built here'})", cure)]
    try:
        runtime = cupy.cuda.runtime
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        found.append(Finding("cuda", f"driver {_cuda(driver)}, runtime {_cuda(built)}",
                             _driver_advice(driver, built)))
        count = runtime.getDeviceCount() if cupy.is_available() else 0
        if not count:
            cure = "" if not driver else "look at nvidia-smi and CUDA_VISIBLE_DEVICES"
            found.append(Finding("gpu", "CuPy finds none", cure))
        found += [_one_gpu(cupy, i) for i in range(count)]
    except Exception as error:  # a driver or library that is broken fails in many ways
        found.append(Finding("gpu", f"asking CuPy fails: {_first_line(error)}",
                             "look at nvidia-smi; update the driver or reinstall CuPy"))
    return found


def _cupy_wheels() -> list[str]:
    """The distributions of CuPy that are installed; two of them overwrite each other's files."""
    names = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
    found = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def _cuda(number: int) -> str:
    """12040 is CUDA 12.4; 0 says that there is none."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def _driver_advice(driver: int, built: int) -> str:
    if not driver:
        return "no NVIDIA driver: install one if there is an NVIDIA GPU; all else runs on the cpu"
    if driver // 1000 < built // 1000:
        older = f", or pip install 'tinygrad_norm[cuda{driver // 1000}]' in its place"
        return (f"the driver knows CUDA {_cuda(driver)}, CuPy was built for {_cuda(built)}: update "
                "the driver" + (older if driver >= OLDEST else ""))
    return ""


def _one_gpu(cupy: Any, index: int) -> Finding:
    """Its name and memory, and whether it adds three numbers (a kernel must be compiled for it)."""
    properties = cupy.cuda.runtime.getDeviceProperties(index)
    name = properties["name"]
    name = name.decode() if isinstance(name, bytes) else name
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
        facts = f"{name}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} free"
        try:
            works = int(cupy.arange(3).sum()) == 3
        except Exception as error:  # no compiler, no headers, wrong architecture, ...
            return Finding(f"gpu {index}", f"{facts}; computing fails: {_first_line(error)}",
                           "pip install the same CuPy with [ctk], which brings CUDA's compiler and "
                           "headers: 'tinygrad_norm[cuda12]' or '[cuda13]'")
    return Finding(f"gpu {index}", facts + ("" if works else "; computes wrong numbers"),
                   "" if works else "look at the memory errors in nvidia-smi -q")
