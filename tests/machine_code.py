"""Small texts of LLVM, for the tests of what runs them."""

from __future__ import annotations

import ctypes
import importlib.util
from typing import Any

import pytest

from tinygrad_norm.compiler.machine import Code

needs_llvmlite = pytest.mark.skipif(importlib.util.find_spec("llvmlite") is None,
                                    reason="llvmlite is not installed")

ADD = """
define void @add(ptr %table, i64 %lo, i64 %hi) nounwind {
entry:
  %x = load ptr, ptr %table
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %next, %loop ]
  %more = icmp ult i64 %i, %hi
  br i1 %more, label %loop, label %out
loop:
  %place = getelementptr i64, ptr %x, i64 %i
  %old = load i64, ptr %place
  %new = add i64 %old, %i
  store i64 %new, ptr %place
  %next = add i64 %i, 1
  br label %head
out:
  ret void
}
"""
"""x[i] += i for i of [lo, hi), the address of x being the table's first entry."""


def function(address: int | None, *kinds: Any) -> Any:
    """What stands at an address, to be called."""
    assert address
    return ctypes.CFUNCTYPE(None, *kinds)(address)


def call(code: Code, numbers: list[int], lo: int, hi: int) -> list[int]:
    """The numbers after ``add``."""
    values = (ctypes.c_int64 * len(numbers))(*numbers)
    table = (ctypes.c_int64 * 1)(ctypes.addressof(values))
    add = function(code.address("add"), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    add(ctypes.addressof(table), lo, hi)
    return list(values)
