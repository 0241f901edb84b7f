"""Adam's step alone, and a training step with it: ours against PyTorch, one thread each.

    python benchmarks/adam.py [--rounds 5]

The MLPs with BatchNorm of train_step.py in float32, batch 32; the optimizers have their defaults.
``foreach`` is PyTorch's with foreach=True, which updates many parameters in few calls. ``rule`` is
ours with the pure rule called for each parameter: what the machinery of optim/ has to beat.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from contest import contest, has, median_step, options, ratio, spread

CASES = [f"{part} {kind} {widths}"
         for widths in ("64-64-64-10", "784-512-512-10", "784-2048-2048-10")
         for part, kind in (("optimizer", "Adam"), ("optimizer", "AdamW"), ("training", "Adam"))]
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def prepared(library: Any, case: str, **ways: Any) -> Callable[[], object]:
    """The same lines for both libraries: the names are PyTorch's."""
    part, kind, text = case.split()
    widths = [int(w) for w in text.split("-")]
    nn = library.nn
    layers: list[Any] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            layers += [nn.BatchNorm1d(b), nn.ReLU()]
    model = nn.Sequential(*layers)
    optimizer = getattr(library.optim, kind)(model.parameters(), **ways)
    criterion = nn.CrossEntropyLoss()
    random = np.random.default_rng(0)
    x = library.from_numpy(random.standard_normal((32, widths[0]), dtype=np.float32))
    labels = library.from_numpy(random.integers(0, widths[-1], 32))

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(x), labels).backward()
        optimizer.step()

    if part == "training":
        return step
    step()
    return optimizer.step


def ours(case: str) -> Callable[[], object]:
    import tinygrad_norm

    return prepared(tinygrad_norm, case)


def torch(case: str) -> Callable[[], object]:
    import torch as library

    return prepared(library, case)


def by_the_rule(optimizer: Any) -> None:
    """In place of ``optimizer.apply_rule``, for parameters whose state has begun."""
    for group, numbers in zip(optimizer.param_groups, optimizer.numbers(), strict=True):
        settings = optimizer.settings(group)
        for p, (_, given) in zip(group["params"], numbers, strict=True):
            state = [optimizer.state[p][name].array for name in optimizer.kept(group)]
            change, *new = optimizer.rule(p.array, p.grad.array, *state, **given, **settings)
            p.array -= change
            for array, moved in zip(state, new, strict=False):
                array[...] = moved


def rule(case: str) -> Callable[[], object]:
    import tinygrad_norm

    step = prepared(tinygrad_norm, case)
    step()
    tinygrad_norm.optim.Adam.apply_rule = by_the_rule  # type: ignore[method-assign]
    return step


def foreach(case: str) -> Callable[[], object]:
    import torch as library

    return prepared(library, case, foreach=True)


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(globals()[name](case))))
        return
    rivals = ["rule", *(["torch", "foreach"] if has("torch") else [])]
    if len(rivals) == 1:
        print("PyTorch is not installed: no rival", file=sys.stderr)
    names = ["ours", *rivals]
    for case in CASES:
        figures = contest(__file__, case, names, chosen.rounds, dict.fromkeys(names, ONE_THREAD))
        print(f"{case}  (microseconds a step: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        for rival in rivals:
            print(f"  ours / {rival} {ratio(figures, 'ours', rival):.2f}")


if __name__ == "__main__":
    main()
