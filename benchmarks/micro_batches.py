"""Time and memory of exact batch normalization over micro-batches, against the whole batch.

    python benchmarks/micro_batches.py [--rounds 3]

Forward and backward of an MLP with BatchNorm, float32, as one batch (``whole``), in 8 pieces that
are normalized each by itself (``plain``: another function), and with ``backward_in_pieces``
(``exact``). Memory is what NumPy allocates beyond what was there, at its peak.
"""

from __future__ import annotations

import json
import statistics
import tracemalloc
from collections.abc import Callable

from contest import contest, median_step, options, ratio

import tinygrad_norm as tn
from tinygrad_norm.nn.normalization import backward_in_pieces

CASES = ["4096 rows, 4 norms, width 64", "8192 rows, 4 norms, width 256",
         "8192 rows, 10 norms, width 256"]
PIECES = 8
CONTENDERS = ("whole", "plain", "exact")


def step(name: str, case: str) -> Callable[[], object]:
    """Adds the gradients of one batch."""
    rows, norms, width = (int(word) for word in case.replace(",", "").split() if word.isdigit())
    tn.manual_seed(0)
    model = tn.nn.Sequential(*[layer for _ in range(norms) for layer in (
        tn.nn.Linear(width, width), tn.nn.BatchNorm1d(width), tn.nn.ReLU())])
    x, loss = tn.randn(rows, width), tn.nn.MSELoss()
    pieces = [(part, part) for part in x.split(rows // PIECES)]
    if name == "exact":
        return lambda: backward_in_pieces(model, loss, pieces)
    if name == "whole":
        return lambda: loss(model(x), x).backward()
    return lambda: [(loss(model(a), b) / PIECES).backward() for a, b in pieces]


def figure(name: str, case: str) -> float:
    """Seconds of a step, or bytes for a case that ends in "memory"."""
    run = step(name, case)
    if not case.endswith("memory"):
        return median_step(run)
    run()
    tracemalloc.start()
    run()
    return float(tracemalloc.get_traced_memory()[1])


def main() -> None:
    chosen = options(__doc__, 3)
    if chosen.worker:
        print(json.dumps(figure(*chosen.worker)))
        return
    for case in CASES:
        print(f"{case}   (milliseconds, MiB: median of the rounds; and through whole)")
        times = contest(__file__, case, CONTENDERS, chosen.rounds)
        sizes = contest(__file__, f"{case}, memory", CONTENDERS, 1)
        for name in CONTENDERS:
            print(f"  {name:8}{statistics.median(times[name]) * 1e3:9.1f}"
                  f"{ratio(times, name, 'whole'):7.2f}{sizes[name][0] / 2**20:9.1f}"
                  f"{ratio(sizes, name, 'whole'):7.2f}")


if __name__ == "__main__":
    main()
