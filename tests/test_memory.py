"""What a training step leaves behind, and what it takes while it runs."""

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.compiler import eager

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CASE = "2048x784-1024-1024-10"  # 8 MiB an activation
NORMS = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "batch_renorm": nn.BatchRenorm1d,
    "layer": nn.LayerNorm,
    "group": lambda width: nn.GroupNorm(2, width),
    "rms": nn.RMSNorm,
}


def training(norm):
    """A step of a small MLP."""
    model = nn.Sequential(nn.Linear(8, 16), norm(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    x, labels = tn.randn(32, 8), tn.randint(0, 3, (32,))

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("norm", NORMS)
def test_a_step_leaves_nothing_to_the_garbage_collector(norm, monkeypatch):
    monkeypatch.setattr(eager, "_known", {})  # ends the loops of the test before this one
    step = training(NORMS[norm])
    step()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            step()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_1000_steps_leave_memory_where_it_was():
    step = training(nn.BatchNorm1d)
    tracemalloc.start()
    try:
        for _ in range(20):
            step()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            step()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 2000  # bytes: a reference kept at each step would be 50 000 at least


def test_activations_are_freed_as_the_walk_passes():
    """Backward must not hold all activations and all their gradients at once."""
    x = tn.tensor(np.zeros(1 << 18, np.float32), requires_grad=True)  # 1 MiB
    y = x
    for _ in range(16):
        y = y.tanh()
    tracemalloc.start()
    try:
        y.sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


@pytest.mark.slow
def test_the_peak_of_a_step_is_within_1_3_of_pytorch():
    pytest.importorskip("torch")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("reads /proc, which only Linux has")
    figures = {}
    for name in ("eager", "torch"):
        command = [sys.executable, str(BENCHMARKS / "memory.py"), "--worker", name, CASE]
        done = subprocess.run(command, capture_output=True, text=True, check=True,
                              env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parent)})
        figures[name] = float(done.stdout)
    assert figures["eager"] <= 1.3 * figures["torch"], figures
