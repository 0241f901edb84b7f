"""Our training step with glibc's malloc as it is, and told to keep freed memory.

    python benchmarks/allocator.py [--rounds 5]

See ``tinygrad_norm/backend/allocator.py``.
"""

from __future__ import annotations

import argparse

import train_step
from contest import contest, ratio, spread

ENVIRONMENTS = {"ours": {}, "system": {"TINYGRAD_NORM_MALLOC": "system"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for case in train_step.CASES:
        figures = contest(train_step.__file__, case, list(ENVIRONMENTS), options.rounds,
                          ENVIRONMENTS)
        print(f"{case}  (microseconds a step: median, smallest to largest of the rounds)")
        for name, values in figures.items():
            print(f"  {name:8}{spread(values)}")
        print(f"  kept / system {ratio(figures, 'ours', 'system'):.2f}")


if __name__ == "__main__":
    main()
