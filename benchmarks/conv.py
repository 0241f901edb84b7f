"""Convolution and pooling: forward and backward, ours against PyTorch on one thread.

    python benchmarks/conv.py [--rounds 5]

float32, gradients of the input and of the parameters. Both have one thread: our products are the
BLAS's, and all else is NumPy's, which has one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

CASES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...], float]] = {
    # layer, its arguments, the shape of the input, the bound on our time through PyTorch's
    "Conv2d(8, 8, 3) 32x8x8x8": ("Conv2d", (8, 8, 3), {"padding": 1}, (32, 8, 8, 8), 1.0),
    "Conv2d(16, 32, 3) 64x16x28x28": ("Conv2d", (16, 32, 3), {"padding": 1}, (64, 16, 28, 28), 3.0),
    "Conv2d(16, 32, 3, stride=2) 64x16x28x28": (
        "Conv2d", (16, 32, 3), {"padding": 1, "stride": 2}, (64, 16, 28, 28), 3.0),
    "Conv2d(32, 32, 3, groups=32) 64x32x28x28": (
        "Conv2d", (32, 32, 3), {"padding": 1, "groups": 32}, (64, 32, 28, 28), 3.0),
    "MaxPool2d(2) 32x8x8x8": ("MaxPool2d", (2,), {}, (32, 8, 8, 8), 1.0),
    "MaxPool2d(2) 64x32x28x28": ("MaxPool2d", (2,), {}, (64, 32, 28, 28), 3.0),
    "AvgPool2d(2) 64x32x28x28": ("AvgPool2d", (2,), {}, (64, 32, 28, 28), 3.0),
    "AdaptiveAvgPool2d(1) 64x32x28x28": ("AdaptiveAvgPool2d", (1,), {}, (64, 32, 28, 28), 3.0),
}
ONE = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
SECONDS = 0.5
"""Of measuring, for each contender in each round."""


def layer_step(library: Any, case: str) -> Callable[[], object]:
    """The same lines for both libraries: the names are PyTorch's."""
    name, arguments, settings, shape, _ = CASES[case]
    layer = getattr(library.nn, name)(*arguments, **settings)
    random = np.random.default_rng(0)
    x = library.from_numpy(random.standard_normal(shape, dtype=np.float32)).requires_grad_()
    dy = library.ones_like(layer(x).detach())
    leaves = [x, *layer.parameters()]
    return lambda: library.autograd.grad(layer(x), leaves, dy)


def ours(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return layer_step(tinygrad_norm, case)


def torch(case: str) -> Callable[[], object]:
    import torch as library

    library.set_num_threads(1)
    return layer_step(library, case)


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case), SECONDS)))
        return
    names = ["ours", *(["torch"] if has("torch") else [])]
    if len(names) == 1:
        print("PyTorch is not installed: no rival", file=sys.stderr)
    for case, (*_, bound) in CASES.items():
        figures = contest(__file__, case, names, chosen.rounds, dict.fromkeys(names, ONE))
        print(f"{case}  (microseconds, forward and backward: median, smallest to largest)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        if "torch" in figures:
            print(f"  ours / torch {ratio(figures, 'ours', 'torch'):.2f}   (wanted ≤ {bound})",
                  flush=True)


if __name__ == "__main__":
    main()
