"""How long tn.compile compiles, anew and from its cache, and how time and memory grow with layers.

    python benchmarks/compile_time.py [--rounds 3]

The first part is the call that compiles the training step of train_step.py, in a new process:
recording, making loops, machine code, and one run. ``new`` finds an empty cache,
``cached`` what another process left there. The second part is the forward and backward pass of
models of 100, 200 and 300 layers, a third of them each Linear, BatchNorm and ReLU, without a cache.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import train_step
from contest import options, run_worker

CASE = "32x64-64-64-10"
BOUNDS = {"new": 0.3, "cached": 0.05}
LAYERS = (100, 200, 300)
LAYERS_BOUND = 8.0
WIDTH = 32
FIRST = 4


def deep(layers: int) -> Callable[[], object]:
    """A compiled training step of a model of so many layers."""
    import tinygrad_norm as tn

    nn = tn.nn
    model = nn.Sequential(*(layer for _ in range(layers // 3) for layer in (
        nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU())))
    optimizer = tn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    @tn.compile
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).mean()
        loss.backward()
        optimizer.step()
        return loss

    x = tn.randn(WIDTH, WIDTH)
    return lambda: step(x)


def compiling(step: Callable[[], object]) -> float:
    """Seconds of the call that compiles, the longest of the first few: the very first runs as it is
    and makes the optimizer's state. LLVM, some 60 ms to load, is there before."""
    import tinygrad_norm as tn

    tn.nn.functional.softmax(tn.zeros(128, 128), 1)
    times = []
    for _ in range(FIRST):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return max(times)


def memory(layers: int) -> float:
    """MiB by which compiling raises the peak of the resident memory."""
    from memory import growth_of

    return growth_of(deep(layers)) / 2**20


def main() -> None:
    chosen = options(__doc__, 3)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(memory(int(case)) if name == "memory" else compiling(
            deep(int(case)) if name == "deep" else train_step.compiled(case))))
        return
    figures: dict[str, list[float]] = {name: [] for name in BOUNDS}
    for _ in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in BOUNDS:
                figures[name].append(run_worker(
                    __file__, name, CASE, {"TINYGRAD_NORM_CACHE": folder}))
    print(f"{CASE}  (milliseconds of the call that compiles: median of the rounds)")
    for name, values in figures.items():
        print(f"  {name:8}{statistics.median(values) * 1e3:8.0f}   (wanted ≤ "
              f"{BOUNDS[name] * 1e3:.0f})", flush=True)
    print("layers, compiled anew  (seconds, MiB by which the peak of memory rises)")
    for layers in LAYERS:
        seconds, size = (run_worker(__file__, name, str(layers), {"TINYGRAD_NORM_CACHE": "0"})
                         for name in ("deep", "memory"))
        wanted = f"   (wanted ≤ {LAYERS_BOUND:.0f} s)" if layers == LAYERS[-1] else ""
        print(f"  {layers:8}{seconds:8.1f}{size:8.0f}{wanted}", flush=True)


if __name__ == "__main__":
    main()
