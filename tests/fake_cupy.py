"""A CuPy that is none: it says what a CuPy says on machines that are not at hand."""

from __future__ import annotations

import importlib.metadata
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest


def have(monkeypatch: pytest.MonkeyPatch, name: str, **parts: Any) -> ModuleType:
    """A stand-in for a package that is not here."""
    module = ModuleType(name)
    module.__dict__.update(__version__="9.8", **parts)
    monkeypatch.setitem(sys.modules, name, module)
    return module


class Fails:
    """A computation that does not compile."""

    def sum(self) -> int:
        raise RuntimeError("cannot open cuda_fp16.h")


def fake_cupy(
    monkeypatch: pytest.MonkeyPatch, *, gpus: int, driver: int = 12080, built: int = 12090,
    result: Any = None, wheels: tuple[str, ...] = ("cupy-cuda12x",),
) -> list[int]:
    """A CuPy that sees ``gpus`` GPUs; returned is the list of those that were synchronized."""
    waited: list[int] = []

    def version(name: str) -> str:
        if name in wheels:
            return "14.0"
        raise importlib.metadata.PackageNotFoundError(name)

    class Device(nullcontext[None]):
        def __init__(self, index: int = 0) -> None:
            super().__init__()
            self.id = index

        def synchronize(self) -> None:
            waited.append(self.id)

    def count() -> int:
        if not gpus:
            raise RuntimeError("cudaErrorNoDevice")
        return gpus

    runtime = SimpleNamespace(
        driverGetVersion=lambda: driver, runtimeGetVersion=lambda: built, getDeviceCount=count,
        memGetInfo=lambda: (3 * 2**29, 2**31),
        getDeviceProperties=lambda index: {"name": f"Fake GPU {index}".encode()})
    have(monkeypatch, "cupy", is_available=lambda: gpus > 0,
         cuda=SimpleNamespace(runtime=runtime, Device=Device),
         arange=lambda n: np.arange(n) if result is None else result)
    monkeypatch.setattr(importlib.metadata, "version", version)
    return waited
