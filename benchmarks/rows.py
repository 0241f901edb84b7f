"""Reading a matrix row by row, forward and backward: linear in the rows, and against PyTorch.

    python benchmarks/rows.py [--rounds 5]
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

from contest import contest, has, median_step, options, ratio, spread

ROWS = 4000
WAYS = {
    "iteration": lambda x: list(x),
    "unbind": lambda x: x.unbind(),
    "split": lambda x: x.split(1),
    "x[i]": lambda x: [x[i] for i in range(len(x))],
}


def step(name: str, way: str, rows: int) -> Callable[[], None]:
    library = importlib.import_module(name)
    x = library.ones(rows, 10, requires_grad=True)

    def run() -> None:
        library.stack([*WAYS[way](x)]).sum().backward()

    return run


def main() -> None:
    chosen = options(__doc__, 5)
    if chosen.worker:
        name, case = chosen.worker
        library, _, rows = name.partition(" ")
        print(json.dumps(median_step(step(library, case, int(rows)))))
        return
    ours, twice, torch = f"tinygrad_norm {ROWS}", f"tinygrad_norm {2 * ROWS}", f"torch {ROWS}"
    for way in WAYS:
        figures = contest(__file__, way, [ours, twice, *[torch] * has("torch")], chosen.rounds)
        print(f"{way}  (microseconds: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:20}{spread(values)}")
        print(f"  twice the rows {ratio(figures, twice, ours):.2f}   (wanted ≤ 2.5)")
        if torch in figures:
            print(f"  ours / torch {ratio(figures, ours, torch):.2f}")


if __name__ == "__main__":
    main()
