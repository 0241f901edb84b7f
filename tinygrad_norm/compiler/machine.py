"""LLVM's text becomes machine code in this process, by way of the cache directory.

A text holds no address: what it works on is in a table that its caller hands over. So a text is the
same in every process, and equal ones share their code, between programs and between processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import platform
import threading
import weakref
from functools import cache
from typing import Any, NamedTuple

from . import cache as kept

SETTING = "TINYGRAD_NORM_LOOPS"
"""The environment's name for the switch: "0" turns loops off."""
PROCESSORS = "x86_64", "amd64", "aarch64", "arm64"
FORMAT = "1"
"""To be counted up when machine code of before must not be used again."""

compiled = 0
"""How many texts this process compiled; those found in the cache are not counted."""


class Code:
    """Machine code. It goes with this object: who keeps an address of it must keep the object."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def address(self, name: str) -> int:
        """Where a function begins."""
        return self._known(name, self._engine.get_function_address(name))

    def table(self, name: str) -> int:
        """Where a global variable lies."""
        return self._known(name, self._engine.get_global_value_address(name))

    def _known(self, name: str, address: int) -> int:
        if not address:
            raise KeyError(f"the code has no {name!r}")
        return address


class Target(NamedTuple):
    """The processor code is made for, as LLVM names it, and what makes it."""

    llvm: Any
    cpu: str
    features: str
    versions: str

    def machine(self) -> Any:
        """A new one each time: an engine owns that which it is given, and frees it."""
        return self.llvm.Target.from_default_triple().create_target_machine(
            cpu=self.cpu, features=self.features, opt=2, codemodel="jitdefault")


LOCK = threading.RLock()
_codes: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()
if hasattr(os, "register_at_fork"):  # no child is born with LLVM in the middle of its work
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release,
                        after_in_child=LOCK.release)


def problem() -> str:
    """Why there is no machine code here; "" where there is."""
    if os.environ.get(SETTING) == "0":
        return f"off: {SETTING}=0"
    if platform.machine().lower() not in PROCESSORS:
        return f"off: not made for {platform.machine()}"
    try:
        importlib.import_module("llvmlite.binding")
    except ModuleNotFoundError:
        return "off: llvmlite is not installed"
    except Exception as error:  # what a broken library raises while it is imported
        return f"off: llvmlite cannot be imported: {error}"
    return ""


@cache
def available() -> bool:
    """Whether ``load`` works here, as the first time that this was asked."""
    return not problem()


def load(text: str) -> Code:
    """The code of a module in LLVM's language: the one that is here, that of the cache, or new."""
    target = _target()
    key = hashlib.sha256("\0".join((*target[1:], text)).encode()).hexdigest()
    with LOCK:
        code = _codes.get(key)
        if code is None:
            content = kept.read(key)
            if content is None:
                content = _compile(target, text)
                kept.write(key, content)
            code = _codes[key] = Code(_engine(target, content))
        return code


@cache
def _target() -> Target:
    llvm: Any = importlib.import_module("llvmlite.binding")
    with LOCK:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    features = ""
    with contextlib.suppress(RuntimeError):  # LLVM does not know this system's way of asking
        features = llvm.get_host_cpu_features().flatten()
    own = importlib.import_module("llvmlite").__version__
    versions = f"{FORMAT} {own} {llvm.llvm_version_info} {llvm.get_process_triple()}"
    return Target(llvm, llvm.get_host_cpu_name(), features, versions)


def _compile(target: Target, text: str) -> bytes:
    """An object file. LLVM's optimizer is not run: what it does is done when the text is made."""
    global compiled
    module = target.llvm.parse_assembly(text)
    module.verify()
    content: bytes = target.machine().emit_object(module)
    compiled += 1
    return content


def _engine(target: Target, content: bytes) -> Any:
    """The object file, placed in memory."""
    engine = target.llvm.create_mcjit_compiler(target.llvm.parse_assembly(""), target.machine())
    engine.add_object_file(target.llvm.object_file.ObjectFileRef.from_data(content))
    engine.finalize_object()
    return engine
