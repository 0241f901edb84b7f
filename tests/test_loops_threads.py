"""Loops give the same bits with any number of threads, from run to run and from several threads at
once; how far they lie from NumPy; memory; a fork."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.backend import large

pytest.importorskip("llvmlite", reason="loops need llvmlite")

FORMULAS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "batch norm": (lambda: tn.nn.BatchNorm1d(96), (1000, 96)),
    "batch norm of pictures": (lambda: tn.nn.BatchNorm2d(8), (16, 8, 28, 28)),
    "layer norm": (lambda: tn.nn.LayerNorm(300), (500, 300)),
    "group norm": (lambda: tn.nn.GroupNorm(4, 16), (8, 16, 20, 20)),
    "instance norm": (lambda: tn.nn.InstanceNorm2d(8, affine=True), (8, 8, 20, 20)),
    "rms norm": (lambda: tn.nn.RMSNorm(300), (500, 300)),
    "softmax": (lambda: tn.nn.Softmax(dim=-1), (500, 300)),
    "log_softmax": (lambda: tn.nn.LogSoftmax(dim=-1), (500, 300)),
    "gelu": (tn.nn.GELU, (500, 300)), "silu": (tn.nn.SiLU, (500, 300)),
}
"""A layer, and the shape of its input."""
ULPS = {"y": 2, "dx": 3, "weight": 6, "bias": 6}
"""How many units in the last place of the largest value results with loops may lie from those
without. The gradients of parameters are sums over all samples, which NumPy makes in float32."""
formulas = pytest.mark.parametrize(("make", "shape"), FORMULAS.values(), ids=FORMULAS)


@pytest.fixture(autouse=True)
def _threads() -> Any:
    yield
    tn.set_num_threads(THREADS)


THREADS = tn.get_num_threads()


def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def derivatives(make: Callable[[], Any], shape: tuple[int, ...]) -> list[np.ndarray]:
    """y, and the gradients of Σ y dy."""
    layer, x = make(), tn.from_numpy(draw(shape, 0)).requires_grad_()
    y = layer(x)
    found = tn.autograd.grad(y, [x, *layer.parameters()], tn.from_numpy(draw(shape, 1)))
    return [np.asarray(a.detach()) for a in (y, *found)]


def trained(steps: int = 6, width: int = 160) -> list[np.ndarray]:
    """The parameters of a small network after some compiled steps."""
    tn.manual_seed(0)
    model = tn.nn.Sequential(tn.nn.Linear(40, width), tn.nn.BatchNorm1d(width), tn.nn.ReLU(),
                             tn.nn.Linear(width, 10))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, target = tn.from_numpy(draw((300, 40), 0)), tn.tensor(np.arange(300) % 10)

    @tn.compile(fullgraph=True)
    def step(x: Any, target: Any) -> Any:
        optimizer.zero_grad()
        loss = tn.nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for _ in range(steps):
        step(x, target)
    return [np.asarray(p.detach()) for p in model.parameters()]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@formulas
def test_any_number_of_threads(make: Any, shape: Any) -> None:
    results = []
    for number in (1, 2, 4, 4):
        tn.set_num_threads(number)
        results.append(derivatives(make, shape))
    for one in results[1:]:
        same(results[0], one)


def test_any_number_of_threads_in_a_compiled_step() -> None:
    results = []
    for number in (1, 2, 4, 4):
        tn.set_num_threads(number)
        results.append(trained())
    for one in results[1:]:
        same(results[0], one)


@formulas
def test_how_far_from_numpy(make: Any, shape: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looped = derivatives(make, shape)
    monkeypatch.setattr(large, "LARGE", sys.maxsize)
    for (name, ulps), got, plain in zip(ULPS.items(), looped, derivatives(make, shape),
                                        strict=False):
        assert np.abs(got - plain).max() <= ulps * np.spacing(np.abs(plain).max()), name


def test_four_threads_at_once() -> None:
    kinds = [FORMULAS[name] for name in ("batch norm", "layer norm", "softmax")]
    expected = [[*map(lambda kind: derivatives(*kind), kinds)], trained()]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for kind, one in zip(kinds, expected[0], strict=True):
                same(derivatives(*kind), one)
            same(trained(), expected[1])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


def test_a_thousand_steps_leave_memory_where_it_was() -> None:
    model = tn.nn.Sequential(tn.nn.Linear(8, 8), tn.nn.BatchNorm1d(8))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    @tn.compile(fullgraph=True)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    x = tn.from_numpy(draw((16, 8), 0))
    for _ in range(20):
        step(x)
    gc.collect()
    tracemalloc.start()
    for _ in range(20):
        step(x)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        step(x)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 4096


FORK = """
import os, sys
import numpy as np, tinygrad_norm as tn
def values():
    x = tn.from_numpy(np.linspace(-3, 3, 64 * 4096, dtype="float32").reshape(4096, 64))
    return np.asarray(tn.nn.LayerNorm(64)(x.requires_grad_()).detach())
tn.set_num_threads(2)
before = values()
child = os.fork()
if not child:
    os._exit(0 if (values() == before).all() else 3)
assert (values() == before).all()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_runs_loops() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.slow
def test_a_model_of_300_layers_compiles_in_8_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from tinygrad_norm.compiler.device import record
    from tinygrad_norm.compiler.program import Program

    monkeypatch.setenv("TINYGRAD_NORM_CACHE", "0")

    def layers(x: Any, w: Any, b: Any) -> Any:
        for _ in range(150):
            y = x @ w
            y = (y - y.mean(axis=0)) / ((y * y).mean(axis=0) + 1) ** 0.5
            w -= y.T @ x * 0.01
            b += y.sum(axis=0)
            x = y * b
        return x

    recording = record(layers, [draw((32, 16), 0), draw((16, 16), 1), draw((16,), 2)])
    start = time.perf_counter()
    Program(recording)
    assert time.perf_counter() - start < 8
