"""A training step of an MLP with BatchNorm: ours in eager NumPy against PyTorch eager.

    python benchmarks/train_step.py [--rounds 5]

float32, SGD with momentum 0.9, cross-entropy; the step is zero_grad, forward, backward, step.
Beside the two stands the time of the step's matrix products alone, in NumPy.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

CASES = {  # batch × widths: the bound on our time through PyTorch's
    "32x64-64-64-10": 0.45,
    "128x64-128-128-10": 0.7,
    "128x784-512-512-10": 1.0,
    "1024x784-2048-2048-10": 1.0,
}


def sizes(case: str) -> tuple[int, list[int]]:
    batch, widths = case.split("x")
    return int(batch), [int(w) for w in widths.split("-")]


def data(case: str) -> tuple[np.ndarray, np.ndarray]:
    batch, widths = sizes(case)
    random = np.random.default_rng(0)
    return (random.standard_normal((batch, widths[0]), dtype=np.float32),
            random.integers(0, widths[-1], batch))


def model_step(library: object, case: str) -> Callable[[], None]:
    """The same lines for both libraries: the names are PyTorch's."""
    nn, optim = library.nn, library.optim  # type: ignore[attr-defined]
    _, widths = sizes(case)
    layers: list[object] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            layers += [nn.BatchNorm1d(b), nn.ReLU()]
    model = nn.Sequential(*layers)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    x, labels = map(library.from_numpy, data(case))  # type: ignore[attr-defined]

    def step() -> None:
        optimizer.zero_grad()
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()

    return step


def ours(case: str) -> Callable[[], None]:
    import tinygrad_norm

    return model_step(tinygrad_norm, case)


def torch(case: str) -> Callable[[], None]:
    import torch as library

    return model_step(library, case)


def matmuls(case: str) -> Callable[[], None]:
    """Forward, and backward to weights and, but for the first layer, inputs."""
    batch, widths = sizes(case)
    random = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    weights = [random.standard_normal((b, a), dtype=np.float32) for a, b in pairs]
    values = [random.standard_normal((batch, w), dtype=np.float32) for w in widths]

    def step() -> None:
        for i, w in enumerate(weights):
            values[i] @ w.T
            values[i + 1].T @ values[i]
            if i:
                values[i + 1] @ w

    return step


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case))))
        return
    rivals = ["torch"] if has("torch") else []
    if not rivals:
        print("PyTorch is not installed: no rival", file=sys.stderr)
    for case, bound in CASES.items():
        figures = contest(__file__, case, ["ours", *rivals, "matmuls"], chosen.rounds)
        print(f"{case}  (microseconds a step: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        if rivals:
            print(f"  ours / torch {ratio(figures, 'ours', 'torch'):.2f}   (wanted ≤ {bound})")


if __name__ == "__main__":
    main()
