"""A block of a transformer and an embedding, forward and backward, beside PyTorch.

    python benchmarks/attention.py [--rounds 5]

The block is TransformerEncoderLayer(64, 4, 128, batch_first=True) on float32 (16, 32, 64), with
its dropout of 0.1 and without; the embedding has 1000 rows of 64 and looks up (16, 32) numbers.
Each contender runs in a process of its own, with one thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from contest import contest, has, median_step, options, ratio, spread

SHAPE = (16, 32, 64)
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def block(library: Any, dropout: float) -> Callable[[], None]:
    library.manual_seed(0)
    layer = library.nn.TransformerEncoderLayer(64, 4, 128, dropout, batch_first=True)
    x = library.randn(*SHAPE, requires_grad=True)
    dy = library.randn(*SHAPE)

    def step() -> None:
        layer(x).backward(dy)
        layer.zero_grad()
        x.grad = None

    return step


def embedding(library: Any) -> Callable[[], None]:
    library.manual_seed(0)
    layer = library.nn.Embedding(1000, 64)
    numbers = library.randint(0, 1000, SHAPE[:2])
    dy = library.randn(*SHAPE)

    def step() -> None:
        layer(numbers).backward(dy)
        layer.zero_grad()

    return step


CASES: dict[str, Callable[[Any], Callable[[], None]]] = {
    "block, dropout 0": lambda library: block(library, 0.0),
    "block, dropout 0.1": lambda library: block(library, 0.1),
    "embedding": embedding,
}


def library_of(name: str) -> Any:
    if name == "torch":
        import torch

        torch.set_num_threads(1)
        return torch
    import tinygrad_norm

    return tinygrad_norm


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        print(json.dumps(median_step(CASES[case](library_of(name)))))
        return
    names = ["ours", *(["torch"] if has("torch") else [])]
    for case in CASES:
        figures = contest(__file__, case, names, chosen.rounds, dict.fromkeys(names, ONE_THREAD))
        print(f"{case}  (microseconds: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        if len(names) > 1:
            print(f"  ours / torch {ratio(figures, 'ours', 'torch'):.2f}")


if __name__ == "__main__":
    main()
