"""Text becomes machine code: in this process, from the cache, and after a fork."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine_code import ADD, call, needs_llvmlite

from tinygrad_norm.compiler import machine

pytestmark = needs_llvmlite


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(tmp_path / "code"))


def test_a_function_and_a_table() -> None:
    code = machine.load("@table = global [2 x i64] [i64 3, i64 4]\n" + ADD)
    assert (ctypes.c_int64 * 2).from_address(code.table("table"))[:] == [3, 4]
    assert call(code, [1, 2, 3], 1, 3) == [1, 3, 5]
    with pytest.raises(KeyError, match="the code has no 'other'"):
        code.address("other")
    with pytest.raises(KeyError, match="the code has no 'other'"):
        code.table("other")


def test_equal_texts_share_their_code_while_it_is_used() -> None:
    before = machine.compiled
    code = machine.load(ADD)
    assert machine.load(ADD) is code
    assert machine.load(ADD + "; another") is not code
    assert machine.compiled == before + 2
    del code
    assert machine.load(ADD) is not None
    assert machine.compiled == before + 2, "it was in the cache"


def test_without_a_cache_it_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", "0")
    before = machine.compiled
    for _ in range(2):
        assert call(machine.load(ADD), [1, 2], 0, 2) == [1, 3]
    assert machine.compiled == before + 2


def test_a_wrong_text_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="expected top-level entity"):
        machine.load("this is no text of LLVM")
    with pytest.raises(RuntimeError, match="not have predecessors"):
        machine.load("define void @f() {\nentry:\n  br label %entry\n}")


def test_a_second_process_compiles_nothing() -> None:
    code = ("from tinygrad_norm.compiler import machine; from machine_code import *\n"
            "print(call(machine.load(ADD), [1, 2, 3], 0, 3), machine.compiled)")
    folders = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    for compiled in (1, 0):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": folders})
        assert done.stdout == f"[1, 3, 5] {compiled}\n", done.stderr


def test_a_damaged_file_is_compiled_anew(tmp_path: Path) -> None:
    machine.load(ADD)
    file, = (tmp_path / "code").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    before = machine.compiled
    assert call(machine.load(ADD), [1, 2], 0, 2) == [1, 3]
    assert (machine.compiled, file.read_bytes()) == (before + 1, whole)


@pytest.mark.parametrize(("setting", "processor", "imported", "expected"), [
    ("", None, True, ""),
    ("0", None, True, "off: TINYGRAD_NORM_LOOPS=0"),
    ("", "riscv64", True, "off: not made for riscv64"),
    ("", None, False, "off: llvmlite is not installed"),
])
def test_why_there_is_none(monkeypatch: pytest.MonkeyPatch, setting: str, processor: str | None,
                           imported: bool, expected: str) -> None:
    monkeypatch.setenv("TINYGRAD_NORM_LOOPS", setting)
    if processor:
        monkeypatch.setattr("platform.machine", lambda: processor)
    if not imported:
        monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert machine.problem() == expected


def test_a_broken_llvmlite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise OSError("no libllvmlite.so")

    monkeypatch.setenv("TINYGRAD_NORM_LOOPS", "")
    monkeypatch.setattr("importlib.import_module", fails)
    assert machine.problem() == "off: llvmlite cannot be imported: no libllvmlite.so"
