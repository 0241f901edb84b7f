"""The memory that a training step takes beyond what was there before it, ours against PyTorch's.

    python benchmarks/memory.py [--rounds 3]

The figure is the growth of the process's peak resident memory over ten steps, in bytes, from just
before the first; the model is the one of train_step.py at 4096 × 784-2048-2048-10, where the
activations outweigh everything else.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

import train_step
from contest import contest, has, options, ratio

CASE = "4096x784-2048-2048-10"


def growth(name: str, case: str) -> float:
    """Bytes by which ten steps raise the peak; LLVM, once some 80 MB, is there before."""
    if name in ("eager", "compiled"):
        import tinygrad_norm as tn

        tn.nn.functional.softmax(tn.zeros(128, 128), 1)
    return growth_of(getattr(train_step, name)(case))


def growth_of(step: Callable[[], object]) -> float:
    """Bytes by which ten calls raise the peak of the resident memory above what there is."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak so far, which a process also inherits, is forgotten
    before = memory("VmRSS")
    for _ in range(10):
        step()
    return float(memory("VmHWM") - before)


def memory(kind: str) -> int:
    """Bytes of memory: ``VmRSS`` resident now, ``VmHWM`` the most that was resident."""
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith(kind))
    return int(line.split()[1]) * 1024


def main() -> None:
    chosen = options(__doc__, 3)
    if chosen.worker:
        print(json.dumps(growth(*chosen.worker)))
        return
    rivals = ["torch"] if has("torch") else []
    figures = contest(__file__, CASE, ["eager", "compiled", *rivals], chosen.rounds)
    print(f"{CASE}  (MiB by which ten training steps raise the peak: median of the rounds)")
    for name, values in figures.items():
        print(f"  {name:8}{statistics.median(values) / 2**20:8.0f}")
    if rivals:
        print(f"  eager / torch {ratio(figures, 'eager', 'torch'):.2f}   (wanted ≤ 1.3)")


if __name__ == "__main__":
    main()
