"""A chain of 200 additions of scalars, forward and backward: all of it is overhead.

    python benchmarks/chain.py [--rounds 5]
"""

from __future__ import annotations

import json
from collections.abc import Callable

from contest import contest, has, median_step, options, ratio, spread

LENGTH = 200


def chain(library: object) -> Callable[[], None]:
    x = library.tensor(1.0, requires_grad=True)  # type: ignore[attr-defined]

    def step() -> None:
        y = x
        for _ in range(LENGTH):
            y = y + x
        y.backward()

    return step


def ours() -> Callable[[], None]:
    import tinygrad_norm

    return chain(tinygrad_norm)


def torch() -> Callable[[], None]:
    import torch as library

    return chain(library)


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        print(json.dumps(median_step(globals()[chosen.worker[0]]())))
        return
    rivals = ["torch"] if has("torch") else []
    figures = contest(__file__, "", ["ours", *rivals], chosen.rounds)
    print(f"{LENGTH} additions  (microseconds: median, smallest to largest of the rounds)")
    for name, values in figures.items():
        print(f"  {name:8}{spread(values)}")
    if rivals:
        print(f"  ours / torch {ratio(figures, 'ours', 'torch'):.2f}   (wanted ≤ 1.0)")


if __name__ == "__main__":
    main()
