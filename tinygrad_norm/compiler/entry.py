"""A program as a function of Python's: arrays and numbers go in as the objects that they are.

Written in C, it would be ``PyObject *call(PyObject *self, PyObject *const *args, Py_ssize_t n)``
with METH_FASTCALL: it writes the arguments into the table, which is the array ``self``, and runs
the step. A call takes 0.2 µs. It holds Python's lock, so that nothing else happens meanwhile.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .memory import FLAGS, WITHIN

WRONG = 2
"""What ``call`` gives, having done nothing, where an array is not contiguous."""
FAST = 0x80
"""METH_FASTCALL"""


def is_possible() -> bool:
    """Whether there is a lock of Python's to be held."""
    enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return sys.implementation.name == "cpython" and enabled()


def text(arrays: Sequence[Iterable[int]], given: int,
         numbers: Iterable[tuple[int, int]]) -> str:
    """``@call`` around ``@step0``.

    Args:
        arrays: where in the table each argument goes.
        given: the first so many of them are not known to be contiguous.
        numbers: (where one goes, which of the arguments after the arrays it is).
    """
    lines, right = [], "true"
    for i, places in enumerate(arrays):
        lines.append(f"  %p{i} = getelementptr ptr, ptr %args, i64 {i}\n"
                     f"  %a{i} = load ptr, ptr %p{i}, align 8")
        if i < given:
            lines.append(f"  %g{i} = getelementptr i8, ptr %a{i}, i64 {FLAGS}\n"
                         f"  %f{i} = load i32, ptr %g{i}, align 4\n"
                         f"  %b{i} = trunc i32 %f{i} to i1\n"
                         f"  %r{i} = and i1 {right}, %b{i}")
            right = f"%r{i}"
        lines += [f"  %t{k} = getelementptr ptr, ptr %table, i64 {k}\n"
                  f"  store ptr %a{i}, ptr %t{k}, align 8" for k in places]
    for k, i in numbers:
        lines.append(f"  %p.{k} = getelementptr ptr, ptr %args, i64 {len(arrays) + i}\n"
                     f"  %a.{k} = load ptr, ptr %p.{k}, align 8\n"
                     f"  %v.{k} = call double @PyFloat_AsDouble(ptr %a.{k})\n"
                     f"  %t{k} = getelementptr double, ptr %table, i64 {k}\n"
                     f"  store double %v.{k}, ptr %t{k}, align 8")
    body = "\n".join(lines)
    return f"""declare ptr @PyLong_FromLong(i64)
declare double @PyFloat_AsDouble(ptr)
define ptr @call(ptr %self, ptr %args, i64 %n) nounwind {{
entry:
  %at = getelementptr i8, ptr %self, i64 {WITHIN}
  %table = load ptr, ptr %at, align 8
{body}
  br i1 {right}, label %run, label %out
run:
  %found = call i64 @step0(ptr %table)
  br label %out
out:
  %answer = phi i64 [ {WRONG}, %entry ], [ %found, %run ]
  %object = call ptr @PyLong_FromLong(i64 %answer)
  ret ptr %object
}}
"""


class _Method(ctypes.Structure):
    """PyMethodDef"""

    _fields_ = (("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("kind", ctypes.c_int),
                ("doc", ctypes.c_char_p))


def entry(address: int, table: np.ndarray) -> tuple[Callable[..., int], Any]:
    """``call`` at an address as a function of Python's with a table; and what must live as long."""
    method = _Method(b"call", address, FAST, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object,
                                                     ctypes.c_void_p)
    return make(ctypes.addressof(method), table, None), method
