"""Threads that share a loop, and products on them: the same bits, whoever runs what."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from machine_code import ADD, function, needs_llvmlite

import tinygrad_norm as tn
from tinygrad_norm.compiler import blas, machine, pool, products, threads

THREADS = 1, 2, 4


@pytest.fixture(autouse=True)
def _number(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test sets is taken back, of NumPy's library too."""
    number, functions = threads._number, blas.threads()
    before = functions[0]() if functions else 0
    yield
    threads._number = number
    for tell in threads.told:
        tell()
    if functions:
        functions[1](before)


class Shared:
    """x[i] += i on the pool; every index is met once in each call."""

    def __init__(self, n: int = 1000) -> None:
        self.code = machine.load(ADD)
        self.share = function(pool.share(), ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                              ctypes.c_int64)
        self.x = np.zeros(n, np.int64)
        self.table = np.array([self.x.ctypes.data])
        self.calls = 0

    def __call__(self, times: int = 1, parts: int = 64) -> None:
        add, table = self.code.address("add"), self.table.ctypes.data
        for _ in range(times):
            self.share(add, table, len(self.x), parts)
        self.calls += times
        assert (self.x == self.calls * np.arange(len(self.x))).all()


# -- loops ---------------------------------------------------------------------------------------


@needs_llvmlite
@pytest.mark.parametrize("number", [*THREADS, 3, 1])
def test_each_index_once(number: int) -> None:
    tn.set_num_threads(number)
    for n in (0, 1, 2, 3, 1000):
        shared = Shared(n)
        for parts in (1, 2, 3, 64):
            shared(50, parts)
    time.sleep(0.01)  # the threads sleep by now
    shared(50)


@needs_llvmlite
def test_four_callers_at_once() -> None:
    tn.set_num_threads(4)
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            Shared()(1000)
        except BaseException as error:
            wrong.append(error)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@needs_llvmlite
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_its_own_threads() -> None:
    tn.set_num_threads(2)
    shared = Shared()
    shared(100)
    child = os.fork()
    if not child:
        try:
            assert pool._running == 0
            shared(100)  # alone
            tn.set_num_threads(3)
            assert pool._running == 2
            shared(100)
            multiply("float32", 300, 200, 100)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    shared(100)


@needs_llvmlite
def test_a_process_ends_while_its_threads_wait() -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1])\n"
            "from test_pool import *; tn.set_num_threads(3); Shared()(10); print('end')")
    done = subprocess.run([sys.executable, "-c", code, os.path.dirname(__file__)], timeout=60,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


# -- products ------------------------------------------------------------------------------------


def multiply(dtype: str, m: int, n: int, k: int, turned: tuple[bool, bool] = (False, False),
             alpha: float = 1.0, beta: float = 0.0) -> tuple[Any, Any]:
    """What the product in machine code makes of an array of ones, and what NumPy makes in float64.
    """
    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    size, place = ctypes.c_int64, ctypes.c_void_p
    product = function(products.address(dtype), *[ctypes.c_int] * 3, size, size, size, number,
                       place, size, place, size, number, place, size)
    random = np.random.default_rng(m + n + k)
    a, b = (random.standard_normal(shape, dtype)
            for shape in ((m, k + 1), (k, n + 2)))  # rows as they lie are longer than they are
    a, b = a[:, :k], b[:, :n]
    kept = [np.ascontiguousarray(x.T) if t else x for x, t in zip((a, b), turned, strict=True)]
    wide = [max(x.strides[0] // x.itemsize, *x.shape[1:]) for x in kept]
    out = np.ones((m, n + 3), dtype)
    product(101, *(112 if t else 111 for t in turned), m, n, k, alpha, kept[0].ctypes.data,
            wide[0], kept[1].ctypes.data, wide[1], beta, out.ctypes.data, n + 3)
    assert (out[:, n:] == 1).all()
    return out[:, :n], alpha * (a.astype(float) @ b.astype(float)) + beta


needs_products = pytest.mark.skipif(
    machine.problem() != "" or blas.address("float32") is None,
    reason=machine.problem() or "NumPy's library does not offer its products")


@needs_products
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 0), (128, 300, 100), (700, 9, 200),
                                  (9, 700, 200), (650, 640, 648)])
def test_a_product_has_the_same_bits_with_any_number_of_threads(
    dtype: str, turned: tuple[bool, bool], size: tuple[int, int, int]
) -> None:
    if blas.threads():  # the last size is cut into four, as where there are four processors
        ctypes.c_int64.from_address(products._code().table("most")).value = 4
    found = []
    for number in THREADS:
        tn.set_num_threads(number)
        out, expected = multiply(dtype, *size, turned, 2.0, 0.5)
        found.append(out)
        functions = blas.threads()
        assert functions is None or functions[0]() == number, "given back"
    scale = {"float32": 1e-6, "float64": 1e-15}[dtype] * (10 + size[2])
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=scale)
    assert all((out == found[0]).all() for out in found)


@needs_products
def test_products_at_once() -> None:
    tn.set_num_threads(2)
    found: list[Any] = []

    def work() -> None:
        for _ in range(20):
            out, _ = multiply("float32", 128, 128, 128)
            found.append(out)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 80
    assert all((out == found[0]).all() for out in found)
    functions = blas.threads()
    assert functions is None or functions[0]() == 2, "given back"


def test_a_library_without_such_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_library", lambda: None)
    for lookup in (blas.address, blas.threads):
        lookup.cache_clear()
    try:
        assert (products.address("float32"), blas.threads()) == (None, None)
        tn.set_num_threads(2)
    finally:
        for lookup in (blas.address, blas.threads):
            lookup.cache_clear()


# -- their number --------------------------------------------------------------------------------


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, 8), ({"TINYGRAD_NORM_THREADS": "3"}, 3), ({"OMP_NUM_THREADS": "2,1"}, 2),
    ({"TINYGRAD_NORM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 2),
    ({"TINYGRAD_NORM_THREADS": "20"}, 8), ({"TINYGRAD_NORM_THREADS": "0"}, 1),
    ({"TINYGRAD_NORM_THREADS": "many"}, 8)])
def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str],
                               expected: int) -> None:
    monkeypatch.setattr(threads, "usable_cpus", lambda: 8)
    monkeypatch.setattr(threads, "_number", None)
    for name in threads.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tn.get_num_threads() == expected
    tn.set_num_threads(5)
    assert tn.get_num_threads() == 5


@pytest.mark.parametrize(("n", "error", "message"), [
    (0, ValueError, "set_num_threads: expected 1 thread or more, got 0"),
    (-2, ValueError, "set_num_threads: expected 1 thread or more, got -2"),
    (1.5, TypeError, "set_num_threads: expected n to be an int, got 1.5"),
    ("2", TypeError, "set_num_threads: expected n to be an int, got '2'"),
])
def test_a_wrong_number_is_refused(n: Any, error: type[Exception], message: str) -> None:
    before = tn.get_num_threads()
    with pytest.raises(error) as found:
        tn.set_num_threads(n)
    assert str(found.value) == message
    assert tn.get_num_threads() == before
