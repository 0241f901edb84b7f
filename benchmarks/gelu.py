"""GELU against SiLU and PyTorch's GELU: 1,000,000 float32 values, one thread.

    python benchmarks/gelu.py [--rounds 5]

The bound is on the forward pass, gelu / silu.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

BOUND = 1.5
SIZE = 1_000_000
CASES = ("forward", "forward and backward")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def prepared(library: Any, name: str, case: str) -> Callable[[], object]:
    function = getattr(library.nn.functional, name)
    random = np.random.default_rng(0)
    x = library.from_numpy(random.standard_normal(SIZE, dtype=np.float32))
    if case == "forward":
        return lambda: function(x)
    x.requires_grad_()
    dy = library.ones(SIZE)
    return lambda: library.autograd.grad(function(x), x, dy)


def gelu(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return prepared(tinygrad_norm, "gelu", case)


def silu(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return prepared(tinygrad_norm, "silu", case)


def torch(case: str) -> Callable[[], object]:
    import torch as library

    return prepared(library, "gelu", case)


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case))))
        return
    rivals = ["torch"] if has("torch") else []
    if not rivals:
        print("PyTorch is not installed: one rival less", file=sys.stderr)
    names = ["gelu", "silu", *rivals]
    for case in CASES:
        figures = contest(__file__, case, names, chosen.rounds, dict.fromkeys(names, ONE_THREAD))
        print(f"{case}  (microseconds: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        for rival in names[1:]:
            wanted = f"   (wanted ≤ {BOUND})" if (case, rival) == ("forward", "silu") else ""
            print(f"  gelu / {rival} {ratio(figures, 'gelu', rival):.2f}{wanted}", flush=True)


if __name__ == "__main__":
    main()
