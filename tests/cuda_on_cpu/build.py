"""What g++ builds, each once: a file of the cache is named after all that it was built from."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
STANDARD = ("g++", "-std=c++17", "-O1", "-w", "-shared", "-fPIC")


@cache
def directory() -> Path:
    """Where built files lie: CUDA_ON_CPU_CACHE, or a folder of the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(os.environ.get("CUDA_ON_CPU_CACHE") or Path(home) / "tinygrad_norm_cuda_on_cpu")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@cache
def toolkit() -> Path | None:
    """The folder in whose include/ CUDA's headers lie: the wheels' or CUDA_PATH."""
    wheels = importlib.util.find_spec("nvidia")
    places = wheels.submodule_search_locations or () if wheels else ()
    folders = [path for place in places for path in sorted(Path(place).glob("cu*"))]
    if given := os.environ.get("CUDA_PATH"):
        folders.append(Path(given))
    return next((path for path in folders if (path / "include/cuda_runtime_api.h").exists()), None)


@cache
def _ground() -> bytes:
    """What all is built with: the compiler, by its version, and the headers of this folder."""
    version = subprocess.run(["g++", "--version"], check=True, capture_output=True).stdout
    return b"".join([version, *(path.read_bytes() for path in sorted(HERE.glob("*.h")))])


def built(ending: str, *options: object, text: str = "") -> Path:
    """What g++ makes of these options, or of a kernel's text with them.

    Raises:
        subprocess.CalledProcessError: it does not compile; ``stderr`` says why.
    """
    command = [*STANDARD, *map(str, options)]
    parts = [part.read_bytes() for part in options if isinstance(part, Path) and part.suffix]
    content = b"".join([_ground(), *parts, repr((command, text)).encode()])
    key = hashlib.sha256(content).hexdigest()[:40]
    path = directory() / (key + ending)
    if not path.exists():
        new = directory() / f"{key}.{os.getpid()}{ending}"
        source = []
        if text:
            written = new.with_suffix(".cpp")
            written.write_text(text)
            source = [str(written)]
        subprocess.run([*command, "-o", str(new), *source], check=True, capture_output=True,
                       text=True)
        for file in source:
            Path(file).unlink()
        new.replace(path)  # another process may have been as quick
    return path


@cache
def header() -> Path:
    """What to ``-include``: cuda_on_cpu.h, compiled, so that a kernel takes half the time."""
    return built(".gch", *KERNEL, "-x", "c++-header", HERE / "cuda_on_cpu.h").with_suffix("")


KERNEL = ("-fpermissive", "-ffp-contract=off", "-fno-strict-aliasing")
"""How a kernel is compiled. Products and sums are not fused, since on x86-64 few can be."""
