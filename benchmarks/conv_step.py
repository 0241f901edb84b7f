"""A training step of a small convolutional network: ours, eager and compiled, against PyTorch.

    python benchmarks/conv_step.py [--rounds 3]

Conv2d(1, 16, 3)-BatchNorm2d-ReLU-MaxPool2d(2), the same with 16 channels in, and a Linear, on
(64, 1, 28, 28); float32, SGD with momentum 0.9, cross-entropy.

    eager, compiled   ours; the second is tn.compile(step)
    torch             PyTorch's eager step
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

CASES = {"64x1x28x28-16-16-10": 1.0}  # the bound on compiled / torch


def model_step(library: Any, case: str, compile: bool = False) -> Callable[[], object]:
    """The same lines for both libraries: the names are PyTorch's."""
    nn = library.nn
    shape, *widths = case.split("-")
    batch, channels, size, _ = map(int, shape.split("x"))
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, channels, size, size), dtype=np.float32)
    labels = random.integers(0, int(widths[-1]), batch)
    layers: list[object] = []
    for width in map(int, widths[:-1]):
        layers += [nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
                   nn.MaxPool2d(2)]
        channels, size = width, (size - 2) // 2
    model = nn.Sequential(*layers, nn.Flatten(),
                          nn.Linear(channels * size * size, int(widths[-1])))
    optimizer = library.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def step(x: Any, labels: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    made = library.compile(step) if compile else step
    data = library.from_numpy(x), library.from_numpy(labels)
    return lambda: made(*data)


def eager(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return model_step(tinygrad_norm, case)


def compiled(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return model_step(tinygrad_norm, case, compile=True)


def torch(case: str) -> Callable[[], object]:
    import torch as library

    return model_step(library, case)


def main() -> None:
    chosen = options(__doc__, 3)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case))))
        return
    names = ["eager", "compiled", *["torch"] * has("torch")]
    for case, wanted in CASES.items():
        figures = contest(__file__, case, names, chosen.rounds)
        print(f"{case}  (microseconds a step: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:10}{spread(values)}")
        if "torch" in figures:
            print(f"  compiled / torch {ratio(figures, 'compiled', 'torch'):.2f}"
                  f"   (wanted ≤ {wanted})")


if __name__ == "__main__":
    main()
