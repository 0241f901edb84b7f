"""The time of ``import tinygrad_norm`` against that of ``import numpy``, each in a new process.

    python benchmarks/import_time.py [--rounds 15]
"""

from __future__ import annotations

import json
import tempfile
import time

from contest import contest, options, ratio, spread


def main() -> None:
    chosen = options(__doc__, 15)
    if chosen.worker:
        start = time.perf_counter()
        __import__(chosen.worker[0])
        print(json.dumps(time.perf_counter() - start))
        return
    with tempfile.TemporaryDirectory() as cache:  # both from bytecode, as after an installation
        compiled = {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        environments = {"tinygrad_norm": compiled, "numpy": compiled}
        contest(__file__, "", list(environments), 1, environments)
        figures = contest(__file__, "", list(environments), chosen.rounds, environments)
    print("import  (microseconds: median, smallest to largest of the rounds)")
    for name, values in figures.items():
        print(f"  {name:14}{spread(values)}")
    times = ratio(figures, "tinygrad_norm", "numpy")
    print(f"  tinygrad_norm / numpy {times:.2f}   (wanted ≤ 1.5)")


if __name__ == "__main__":
    main()
