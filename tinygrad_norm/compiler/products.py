"""Matrix products for machine code, with the arguments of cblas's sgemm and dgemm, on the pool.

A product is cut along its longer side, and each piece is a call of NumPy's own on one thread. Into
how many, the product's size and the machine say, not the number of threads: OpenBLAS's last bits
are others when it is given less at a time, or takes more threads. Its own threads are held back
meanwhile, for the whole process: they spin when they have nothing to do, and two kinds that spin
take the processors from each other. A loop over 65,000 values and a product of 128 x 784 x 512 took
0.92 ms on one thread, 0.60 with OpenBLAS's two, 0.52 here; on processors that others used as well,
0.9, 24 and 1.1.
"""

from __future__ import annotations

import ctypes
import os
import re
from functools import cache

from . import blas, machine, pool
from .machine import Code

# @held counts who is within a product; the first one notes OpenBLAS's threads and the last one
# gives them back, unless somebody has set them in between.
HOLD = """
@share = global ptr null
@get = global ptr null
@set = global ptr null
@lock = global i64 0
@held = global i64 0
@most = global i64 2
@before = global i32 0
declare i32 @sched_yield()

define internal void @hold(i64 %step) nounwind {
entry:
  br label %try
try:
  %pair = cmpxchg ptr @lock, i64 0, i64 1 seq_cst seq_cst
  %got = extractvalue { i64, i1 } %pair, 1
  br i1 %got, label %count, label %again
again:
  %r = call i32 @sched_yield()
  br label %try
count:
  %old = load i64, ptr @held
  %new = add i64 %old, %step
  store i64 %new, ptr @held
  %others = icmp sgt i64 %old, 0
  %still = icmp sgt i64 %new, 0
  %both = and i1 %others, %still
  br i1 %both, label %out, label %change
change:
  %get = load ptr, ptr @get
  %now = call i32 %get()
  %set = load ptr, ptr @set
  br i1 %still, label %first, label %last
first:
  store i32 %now, ptr @before
  call void %set(i32 1)
  br label %out
last:
  %own = icmp eq i32 %now, 1
  br i1 %own, label %back, label %out
back:
  %before = load i32, ptr @before
  call void %set(i32 %before)
  br label %out
out:
  store atomic i64 0, ptr @lock seq_cst, align 8
  ret void
}
"""
PRODUCT = """
@gemm.T = global ptr null
%job.T = type { i32, i32, i64, i64, i64, T, ptr, i64, ptr, i64, T, ptr, i64, i64 }

define internal void @pieces.T(ptr %job, i64 %lo, i64 %hi) nounwind {
entry:
  %all = load %job.T, ptr %job
  FIELDS
  %tall = icmp uge i64 %m, %n
  %side = select i1 %tall, i64 %m, i64 %n
  %turned.a = icmp eq i32 %ta, 112
  %turned.b = icmp eq i32 %tb, 112
  %down = select i1 %turned.a, i64 1, i64 %lda
  %right = select i1 %turned.b, i64 %ldb, i64 1
  %step.a = select i1 %tall, i64 %down, i64 0
  %step.b = select i1 %tall, i64 0, i64 %right
  %step.c = select i1 %tall, i64 %ldc, i64 1
  %gemm = load ptr, ptr @gemm.T
  br label %loop
loop:
  %p = phi i64 [ %lo, %entry ], [ %q, %loop ]
  %q = add i64 %p, 1
  %last = icmp eq i64 %q, %count
  %x = mul i64 %side, %p
  %y = mul i64 %side, %q
  %x1 = udiv i64 %x, %count
  %y1 = udiv i64 %y, %count
  %from = and i64 %x1, -16
  %y2 = and i64 %y1, -16
  %to = select i1 %last, i64 %side, i64 %y2
  %size = sub i64 %to, %from
  %pm = select i1 %tall, i64 %size, i64 %m
  %pn = select i1 %tall, i64 %n, i64 %size
  %oa = mul i64 %from, %step.a
  %ob = mul i64 %from, %step.b
  %oc = mul i64 %from, %step.c
  %pa = getelementptr T, ptr %a, i64 %oa
  %pb = getelementptr T, ptr %b, i64 %ob
  %pc = getelementptr T, ptr %c, i64 %oc
  call void %gemm(i32 101, i32 %ta, i32 %tb, i64 %pm, i64 %pn, i64 %k, T %alpha, ptr %pa, i64 %lda,
                  ptr %pb, i64 %ldb, T %beta, ptr %pc, i64 %ldc)
  %more = icmp ult i64 %q, %hi
  br i1 %more, label %loop, label %out
out:
  ret void
}

define void @product.T(i32 %order, ARGUMENTS) nounwind {
entry:
  %job = alloca %job.T
  %mn = mul i64 %m, %n
  %size = mul i64 %mn, %k
  COUNT
  STORE
  call void @hold(i64 1)
  %share = load ptr, ptr @share
  call void %share(ptr @pieces.T, ptr %job, i64 %count, i64 %count)
  call void @hold(i64 -1)
  ret void
}
"""
ARGUMENTS = ("i32 %ta, i32 %tb, i64 %m, i64 %n, i64 %k, T %alpha, ptr %a, i64 %lda, ptr %b, "
             "i64 %ldb, T %beta, ptr %c, i64 %ldc")
PIECES = ((20, 2), (28, 4), (33, 8), (35, 16))
"""From 2^20 multiplications on two pieces, and so on, if there are so many processors: each packs
the matrix of the shorter side again. Two cost nothing to speak of, four 5 % and eight 9 %."""
NAMES = {"float32": "float", "float64": "double"}


def address(dtype: str) -> int | None:
    """Of the product of "float32" or "float64"; None where NumPy's library does not offer it."""
    own = blas.address(dtype)
    if own is None or blas.threads() is None or os.name != "posix":
        return own  # such a library looks after its threads itself
    with machine.LOCK:
        return _code().address(f"product.{NAMES[dtype]}")


@cache
def _code() -> Code:
    code = machine.load(HOLD + _text("float") + _text("double"))
    get, set = (ctypes.cast(one, ctypes.c_void_p).value for one in blas.threads() or ())
    for name, value in {"share": pool.share(), "get": get, "set": set, "gemm.float":
                        blas.address("float32"), "gemm.double": blas.address("float64")}.items():
        ctypes.c_void_p.from_address(code.table(name)).value = value
    ctypes.c_int64.from_address(code.table("most")).value = max(2, os.cpu_count() or 2)
    os.register_at_fork(after_in_child=lambda: _prepare(code))
    return code


def _prepare(code: Code) -> None:
    """In a forked child nobody is within a product."""
    held = ctypes.c_int64.from_address(code.table("held"))
    if held.value and (functions := blas.threads()):
        functions[1](ctypes.c_int32.from_address(code.table("before")))
    held.value = ctypes.c_int64.from_address(code.table("lock")).value = 0


def _text(number: str) -> str:
    """The two functions for one dtype; what is said of each argument alike is written here."""
    fields = [*ARGUMENTS.split(", "), "i64 %count"]
    read = [f"{field.split()[1]} = extractvalue %job.T %all, {i}" for i, field in enumerate(fields)]
    whole = ["undef", *(f"%job{i}" for i in range(len(fields)))]
    store = [f"{whole[i + 1]} = insertvalue %job.T {whole[i]}, {field}, {i}"
             for i, field in enumerate(fields)] + [f"store %job.T {whole[-1]}, ptr %job"]
    count = ["%c0 = add i64 1, 0"]
    for i, (power, pieces) in enumerate(PIECES):
        count += [f"%is{i} = icmp uge i64 %size, {2**power}",
                  f"%c{i + 1} = select i1 %is{i}, i64 {pieces}, i64 %c{i}"]
    count += ["%most = load i64, ptr @most", f"%few = icmp ult i64 %c{len(PIECES)}, %most",
              f"%count = select i1 %few, i64 %c{len(PIECES)}, i64 %most"]
    text = PRODUCT.replace("ARGUMENTS", ARGUMENTS)
    for word, lines in {"FIELDS": read, "STORE": store, "COUNT": count}.items():
        text = text.replace(word, "\n  ".join(lines))
    return re.sub(r"\bT\b", number, text)
