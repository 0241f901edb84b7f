"""Time contenders fairly: each in a process of its own, in turn, medians and their ratio.

A contender is a function of this package's benchmark files that prepares and returns a step;
``python benchmarks/FILE.py --worker NAME CASE`` runs it and prints its time per step in seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence


def median_step(step: Callable[[], object], seconds: float = 1.0) -> float:
    """The median time of one call, over about ``seconds`` of calls after a warm-up."""
    start = time.perf_counter()
    calls = 0
    while time.perf_counter() - start < seconds / 4 or calls < 2:
        step()
        calls += 1
    times = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 3:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def run_worker(file: str, name: str, case: str, environment: dict[str, str]) -> float:
    """One contender's figure, from a process of its own."""
    command = [sys.executable, file, "--worker", name, case]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True,
                          text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def contest(
    file: str, case: str, contenders: Sequence[str], rounds: int,
    environments: dict[str, dict[str, str]] | None = None,
) -> dict[str, list[float]]:
    """Each contender's figures over ``rounds`` rounds, in turn: A B A B …"""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in contenders:
            environment = (environments or {}).get(name, {})
            figures[name].append(run_worker(file, name, case, environment))
    return figures


def ratio(figures: dict[str, list[float]], name: str, rival: str) -> float:
    """The median over the rounds of one contender's time through its rival's."""
    return statistics.median(a / b for a, b in zip(figures[name], figures[rival], strict=True))


def spread(values: Sequence[float]) -> str:
    """Median, and the smallest and largest, in microseconds."""
    micro = [v * 1e6 for v in values]
    return f"{statistics.median(micro):10.1f} ({min(micro):.1f} to {max(micro):.1f})"


def options(description: str, rounds: int) -> argparse.Namespace:
    """The command line of a benchmark: ``--rounds``, ``--only`` for some of its cases, and
    ``--worker`` for its own processes."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", default="", help="the cases whose names contain this")
    parser.add_argument("--worker", nargs=2, metavar=("NAME", "CASE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.worker:  # what a worker imports is its own
        from tinygrad_norm import commandline

        commandline.legible()
        sys.excepthook = commandline.end_in_a_line
    return args


def has(module: str) -> bool:
    """Whether a module is installed."""
    return importlib.util.find_spec(module) is not None
