"""Threads that share a loop: ``void share(ptr f, ptr table, i64 n, i64 parts)`` in machine code.

``f(table, lo, hi)`` runs on [0, n) in pieces: the caller takes the first, and a thread of the pool
each of the others. It waits for work a while, then sleeps. What none has begun when the caller is
done with its own, the caller runs too: a thread that sleeps, or has no processor, is not waited
for. A second caller, and a forked child, which has no threads, run all by themselves. So who runs
what is left to chance, and a loop must give the same however it is cut.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

from . import machine, threads
from .machine import Code

MOST = 64
"""A loop takes no more threads than these: there is so much room in @claim."""

# A job is published by its number, @seq. @claim[k] is 2 seq while its piece k is to be had, and
# 2 seq + 1 when it is taken: who is late, with an old number, finds neither. Only who has taken a
# piece reads what the job is, and that stays until all pieces are done. Who goes to sleep counts
# itself in @sleepers and then looks at @seq; the caller writes @seq and then looks at @sleepers:
# one of the two sees the other. It looks 3000 times, 0.05 to 0.2 ms, before: between the loops of a
# step it stays awake.
TEXT = """
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()
@threads = global i64 1, align 64
@f = global ptr null
@table = global ptr null
@n = global i64 0
@parts = global i64 0
@mutex = global [16 x i64] zeroinitializer, align 64
@awake = global [16 x i64] zeroinitializer, align 64
@sleepers = global i64 0, align 64
@seq = global i64 0, align 64
@busy = global i64 0, align 64
@done = global i64 0, align 64
@claim = global [64 x [8 x i64]] zeroinitializer, align 64

define internal i1 @take(i64 %k, i64 %seq) nounwind {
  %place = getelementptr [8 x i64], ptr @claim, i64 %k
  %free = shl i64 %seq, 1
  %taken = or i64 %free, 1
  %pair = cmpxchg ptr %place, i64 %free, i64 %taken seq_cst seq_cst
  %got = extractvalue { i64, i1 } %pair, 1
  ret i1 %got
}

define internal void @run(i64 %k) nounwind {
  %f = load ptr, ptr @f
  %table = load ptr, ptr @table
  %n = load i64, ptr @n
  %parts = load i64, ptr @parts
  %a = mul i64 %k, %n
  %b = add i64 %a, %n
  %lo = udiv i64 %a, %parts
  %hi = udiv i64 %b, %parts
  call void %f(ptr %table, i64 %lo, i64 %hi)
  %r = atomicrmw add ptr @done, i64 1 seq_cst
  ret void
}

define void @share(ptr %f, ptr %table, i64 %n, i64 %parts) nounwind {
entry:
  %threads = load atomic i64, ptr @threads monotonic, align 8
  %fewer = icmp ult i64 %threads, %parts
  %some = select i1 %fewer, i64 %threads, i64 %parts
  %short = icmp ult i64 %n, %some
  %p = select i1 %short, i64 %n, i64 %some
  %many = icmp ugt i64 %p, 1
  br i1 %many, label %try, label %alone
try:
  %pair = cmpxchg ptr @busy, i64 0, i64 1 seq_cst seq_cst
  %got = extractvalue { i64, i1 } %pair, 1
  br i1 %got, label %prepare, label %alone
alone:
  call void %f(ptr %table, i64 0, i64 %n)
  ret void
prepare:
  store ptr %f, ptr @f
  store ptr %table, ptr @table
  store i64 %n, ptr @n
  store i64 %p, ptr @parts
  store atomic i64 0, ptr @done monotonic, align 8
  %old = load atomic i64, ptr @seq monotonic, align 8
  %seq = add i64 %old, 1
  %free = shl i64 %seq, 1
  br label %offer
offer:
  %k = phi i64 [ 1, %prepare ], [ %k1, %offer ]
  %place = getelementptr [8 x i64], ptr @claim, i64 %k
  store atomic i64 %free, ptr %place monotonic, align 8
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, %p
  br i1 %more, label %offer, label %publish
publish:
  store atomic i64 %seq, ptr @seq seq_cst, align 8
  %sleepers = load atomic i64, ptr @sleepers seq_cst, align 8
  %any = icmp ne i64 %sleepers, 0
  br i1 %any, label %wake, label %own
wake:
  %r0 = call i32 @pthread_mutex_lock(ptr @mutex)
  %r1 = call i32 @pthread_cond_broadcast(ptr @awake)
  %r2 = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %own
own:
  call void @run(i64 0)
  br label %rest
rest:
  %j = phi i64 [ 1, %own ], [ %j1, %next ]
  %left = icmp ult i64 %j, %p
  br i1 %left, label %look, label %wait
look:
  %mine = call i1 @take(i64 %j, i64 %seq)
  br i1 %mine, label %extra, label %next
extra:
  call void @run(i64 %j)
  br label %next
next:
  %j1 = add i64 %j, 1
  br label %rest
wait:
  %i = phi i64 [ 0, %rest ], [ %i1, %again ], [ 0, %yield ]
  %done = load atomic i64, ptr @done seq_cst, align 8
  %all = icmp eq i64 %done, %p
  br i1 %all, label %out, label %again
again:
  call void @pause()
  %i1 = add i64 %i, 1
  %long = icmp ugt i64 %i1, 400
  br i1 %long, label %yield, label %wait
yield:
  %r3 = call i32 @sched_yield()
  br label %wait
out:
  store atomic i64 0, ptr @busy seq_cst, align 8
  ret void
}

define ptr @worker(ptr %number) nounwind {
entry:
  %k = ptrtoint ptr %number to i64
  %first = load atomic i64, ptr @seq seq_cst, align 8
  br label %look
look:
  %last = phi i64 [ %first, %entry ], [ %last, %pause ], [ %last, %slept ], [ %seq, %next ]
  %i = phi i64 [ 0, %entry ], [ %i1, %pause ], [ 0, %slept ], [ 0, %next ]
  %seq = load atomic i64, ptr @seq seq_cst, align 8
  %new = icmp ne i64 %seq, %last
  br i1 %new, label %claim, label %none
claim:
  %mine = call i1 @take(i64 %k, i64 %seq)
  br i1 %mine, label %work, label %next
work:
  call void @run(i64 %k)
  br label %next
next:
  br label %look
none:
  %i1 = add i64 %i, 1
  %tired = icmp ugt i64 %i1, 3000
  br i1 %tired, label %sleep, label %pause
pause:
  call void @pause()
  br label %look
sleep:
  %r0 = call i32 @pthread_mutex_lock(ptr @mutex)
  %r1 = atomicrmw add ptr @sleepers, i64 1 seq_cst
  br label %still
still:
  %now = load atomic i64, ptr @seq seq_cst, align 8
  %same = icmp eq i64 %now, %last
  br i1 %same, label %doze, label %slept
doze:
  %r2 = call i32 @pthread_cond_wait(ptr @awake, ptr @mutex)
  br label %still
slept:
  %r3 = atomicrmw sub ptr @sleepers, i64 1 seq_cst
  %r4 = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %look
}
"""
PAUSE = """
declare void @llvm.x86.sse2.pause()
define internal void @pause() nounwind {
  call void @llvm.x86.sse2.pause()
  ret void
}
"""
PAUSE_ARM = """
declare void @llvm.aarch64.hint(i32)
define internal void @pause() nounwind {
  call void @llvm.aarch64.hint(i32 1)
  ret void
}
"""
ALONE = """
define void @share(ptr %f, ptr %table, i64 %n, i64 %parts) nounwind {
  call void %f(ptr %table, i64 0, i64 %n)
  ret void
}
"""
"""Where there are no threads of POSIX."""

_running = 0


def share() -> int:
    """The address of ``share``; from the first time that it is asked for its threads are there."""
    with machine.LOCK:
        code = _code()
        _start(code)
    return code.address("share")


@cache
def _code() -> Code:
    if os.name != "posix":
        return machine.load(ALONE)
    arm = platform.machine().lower() in ("aarch64", "arm64")
    code = machine.load(TEXT + (PAUSE_ARM if arm else PAUSE))
    _prepare(code)
    os.register_at_fork(after_in_child=lambda: _prepare(code))
    threads.told.append(share)
    return code


def _prepare(code: Code) -> None:
    """No thread, no job, none asleep: at first, and in a forked child."""
    global _running
    _running = 0
    for name in ("threads", "busy", "sleepers"):
        ctypes.c_int64.from_address(code.table(name)).value = 0
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_init(ctypes.c_void_p(code.table("mutex")), None)
    libc.pthread_cond_init(ctypes.c_void_p(code.table("awake")), None)


def _start(code: Code) -> None:
    """As many threads as are wanted, the caller being one; those too many sleep."""
    global _running
    if os.name != "posix":
        return
    wanted = min(threads.get_num_threads(), MOST) - 1
    create = ctypes.CDLL(None).pthread_create
    worker = ctypes.c_void_p(code.address("worker"))
    number = ctypes.create_string_buffer(64)
    while _running < wanted and not create(number, None, worker, ctypes.c_void_p(_running + 1)):
        _running += 1
    ctypes.c_int64.from_address(code.table("threads")).value = min(wanted, _running) + 1
