"""The stand-in put in place, before CuPy is imported."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
import warnings

from . import build, nvrtc, runtime, thrust

MODES = ("exact", "ulps", "subnormals")
CUPY = "14.2."
"""The version whose private details are known here."""

_done = False


def missing() -> str:
    """Why it cannot be put in place; "" if it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"it is for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    for tool in ("g++", "nm"):
        if not shutil.which(tool):
            return f"there is no {tool}; apt-get install g++"
    try:
        version = importlib.metadata.version("cupy-cuda13x")
    except importlib.metadata.PackageNotFoundError:
        return "cupy-cuda13x is not installed; make test-cuda installs it"
    if not version.startswith(CUPY):
        return f"it knows CuPy {CUPY}*, this is {version}"
    if build.toolkit() is None:
        return "CUDA's headers are neither in wheels nor under CUDA_PATH"
    return "CuPy was imported before" if "cupy" in sys.modules else ""


def install(mode: str) -> str:
    """Put it in place. ``mode``: ``exact``; ``ulps``, elementary functions some units in the last
    place off; ``subnormals``, without CuPy's -ftz=true.

    Returned is why it was not possible, "" if it was.
    """
    assert mode in MODES, f"CUDA_ON_CPU: expected one of {MODES}, got {mode!r}"
    if reason := missing():
        return f"cuda_on_cpu: {reason}"
    os.environ["CUPY_ACCELERATORS"] = ""  # no CUB
    os.environ["CUDA_PATH"] = str(build.toolkit())
    include = f"-I{build.toolkit()}/include"
    path = build.built("-libcuda.so.1", "-Wl,-soname,libcuda.so.1", include,
                       build.HERE / "driver.cpp", build.HERE / "runtime.cpp", "-ldl")
    driver = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    cublas = build.built("-libcublas.so.13", "-Wl,-soname,libcublas.so.13", "-mf16c",
                         build.HERE / "cublas.cpp", path)
    ctypes.CDLL(str(cublas), mode=ctypes.RTLD_GLOBAL)
    _find_no_other_cublas()
    from cupy_backends.cuda.api import runtime as cupys

    runtime.overwrite(cupys.__file__, driver, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cupy
    nvrtc.take_its_place(mode)
    thrust.take_its_place()
    cupy.cuda.set_allocator(None)  # each array is memory of its own, full of NaN
    global _done
    _done = True
    return ""


def installed() -> bool:
    """Whether it stands in for a GPU in this process."""
    return _done


def _find_no_other_cublas() -> None:
    """CuPy loads cuBLAS by its path, if a wheel has it: not here."""
    import cuda.pathfinder as pathfinder

    found = pathfinder.load_nvidia_dynamic_lib
    pathfinder.load_nvidia_dynamic_lib = (
        lambda name: None if name in ("cublas", "cublasLt") else found(name))
