"""NVRTC's place: a kernel's source becomes a shared object, and its path the machine code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from . import build

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+'
                    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(")
SYNCHRONIZES = re.compile(r"__syncthreads|__syncwarp|_sync\s*\(")
SHARED = re.compile(r"extern\s+__shared__\s+((?:__align__\(\d+\)\s*)?)(\w[\w\s]*?)\s+(\w+)"
                    r"\s*\[\s*\]\s*;")
CONSTANTS = "#include <cupy/math_constants.h>"
ELEMENTARY = re.compile(r"\b(exp|expm1|log|log1p|tanh|erf|sin|cos|pow)\(")
LAUNCH = ('\nextern "C" void launch_{name}(void** arguments, const unsigned* grid, const unsigned* '
          "block, size_t shared) {{ cpu::launch(&{kernel}, arguments, grid, block, shared, "
          "{barriers}); }}")


def translated(source: str, kernels: dict[str, str], *, ulps: bool) -> str:
    """CUDA C++ as C++, with a function launch_… for each kernel by the name it is asked for."""
    text = SHARED.sub(r"\2* \3 = (\2*)cpu::dynamic_shared;", source)
    text = text.replace("#include <cupy/complex.cuh>", "template<class T> struct complex;")
    if ulps and ELEMENTARY.search(text.split(CONSTANTS)[-1]):
        text = text.replace(CONSTANTS, f'{CONSTANTS}\n#include "ulps.h"')
    barriers = "true" if SYNCHRONIZES.search(text) else "false"
    launches = [LAUNCH.format(name=name, kernel=kernel, barriers=barriers)
                for name, kernel in kernels.items()]
    return text + "".join(launches)


def take_its_place(mode: str) -> None:
    """Kernels are compiled by g++ from now on."""
    import cupy
    from cupy.cuda import compiler, function

    include = Path(cupy.__file__).parent / "_core/include"

    def compile_module(source: str, options: tuple[str, ...] = (), *, arch: Any = None,
                       extra_source: Any = None, backend: str = "nvrtc",
                       name_expressions: Any = None, **settings: Any) -> Any:
        expressions = {kernel: f"instance{i}" for i, kernel in enumerate(name_expressions or ())}
        kernels = {name: name for name in KERNEL.findall(source)}
        kernels |= {name: kernel for kernel, name in expressions.items()}
        defined = [option for option in options if option.startswith(("-D", "--define"))]
        try:
            path = build.built(
                ".so", *build.KERNEL, "-include", build.header(), f"-I{build.HERE}",
                f"-I{include}", *defined, text=translated(source, kernels, ulps=mode == "ulps"))
        except subprocess.CalledProcessError as error:
            raise compiler.CompileException(
                error.stderr[:4000], source, "kernel.cu", options, backend) from None
        # CuPy compiles with -ftz=true, which is about float32 alone; the processor's flag is not
        wide = re.search(r"\bdouble\b", source.split("cupy/math_constants.h>")[-1])
        module = function.Module()
        module.load(b"%s:%s\0" % (b"std" if wide or mode == "subnormals" else b"ftz",
                                  os.fsencode(path)))
        module._set_mapping(expressions)
        return module

    compiler._compile_module_with_cache = compile_module
