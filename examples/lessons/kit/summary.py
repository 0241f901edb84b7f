"""The summary of the lessons: what each normalization depends on, bears, costs, and is good for.

What can be measured on a layer is measured here; how the methods train at a batch of 2 is read from
what lesson 5a left.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_norm import Generator, from_numpy, nn, no_grad
from tinygrad_norm.proof.catalogue import ENTRIES
from tinygrad_norm.proof.invariances import INVARIANCES

from .networks import NORMS_2D

CHANNELS, GROUPS = 32, 8
SHAPE = (64, CHANNELS, 8, 8)
"""Of what the layers are given here: (N, C, H, W)."""
USE = {"none": "", "batch": "BatchNorm1d", "batch_renorm": "BatchRenorm1d", "layer": "LayerNorm",
       "instance": "InstanceNorm1d", "group": "GroupNorm"}
"""The methods of lesson 5a, and where the catalogue says what they are for."""
TITLES = {"none": "none", "batch": "BatchNorm", "batch_renorm": "BatchRenorm",
          "layer": "LayerNorm", "instance": "InstanceNorm", "group": "GroupNorm"}
ALONE = {**os.environ, "OPENBLAS_NUM_THREADS": "1",
         "MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33),
         "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
"""The environment of a process that measures: it finds the same modules and takes one core. glibc
keeps what is freed: else arrays of half a megabyte may be given back to the system and faulted in
anew, and BatchRenorm took 1.5 or 3.2 times as long as BatchNorm by where its heap happened to end.
"""
KINDS = ("features", "pictures")
SMALL, LARGE = 2, 32


@dataclass(frozen=True)
class Row:
    """One method.

    mates:        how far the output of a sample moves in training when the others change, as a
                  share of the output's root mean square; 0: it does not depend on the batch
    errors:       for features and for pictures: test error in percent at batches of 2 and of 32,
                  the mean over the seeds, and the standard error of the first
    invariances:  what may be done to the input in training without changing the output
    cost:         forward and backward in training, as a multiple of BatchNorm's time
    use:          in the catalogue's words
    """

    method: str
    mates: float
    errors: dict[str, tuple[float, float, float]]
    invariances: tuple[str, ...]
    cost: float
    use: str


def made(method: str, **options: Any) -> nn.Module:
    """The layer of that name, of 32 channels."""
    return NORMS_2D[method](CHANNELS, GROUPS).to(**options) if method != "none" else nn.Identity()


@no_grad()
def mates(method: str) -> float:
    """See :class:`Row`; the other samples are replaced by three times as large ones."""
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (8, *SHAPE[1:]))
    other = x.copy()
    other[1:] = random.normal(0.5, 3, other[1:].shape)
    layer = made(method, dtype="float64")
    one, two = (layer(from_numpy(value)).numpy()[0] for value in (x, other))
    return float(np.sqrt(np.mean((one - two) ** 2) / np.mean(one**2)))


@no_grad()
def invariances(method: str) -> tuple[str, ...]:
    """Names of ``proof.invariances`` that hold to 1e-6; those that another one
    implies are left out."""
    x = np.random.default_rng(0).normal(0.3, 1.2, (6, *SHAPE[1:]))
    found = []
    for name, invariance in INVARIANCES.items():
        if "permutation" in name:
            continue
        changed, answer = invariance.change(x, np.random.default_rng(1))
        layer = made(method, dtype="float64")
        for module in layer.modules():
            if hasattr(module, "eps"):
                module.eps = 1e-14
        y, z = layer(from_numpy(x)).numpy(), layer(from_numpy(changed)).numpy()
        if np.abs(z - answer(y)).max() < 1e-6 * np.abs(y).max():
            found.append(name)
    return tuple(name for name in found if not any(
        _implies(other, name) for other in found if other != name))


def _implies(stronger: str, weaker: str) -> bool:
    """Whether one number for each channel of each sample allows what one for each channel, for each
    sample, or a single one does."""
    *by, change = stronger.split()
    *of, same = weaker.split()
    return change == same and (by == ["instance"] or not of)


def seconds(method: str, repeats: int = 60) -> float:
    """Of the processor, which others that run beside it do not lengthen: forward and backward in
    training, float32, the median after a sixth of the repeats."""
    x = Generator().manual_seed(0).numpy.normal(0, 1, SHAPE).astype(np.float32)
    layer, times = made(method), []
    for _ in range(repeats):
        tensor = from_numpy(x).requires_grad_()
        begin = time.process_time()
        layer(tensor).sum().backward()
        times.append(time.process_time() - begin)
    return float(np.median(times[repeats // 6:]))


def costs(methods: Iterable[str], rounds: int = 3) -> dict[str, float]:
    """:func:`seconds` as a multiple of BatchNorm's: the median of rounds in which each has its
    turn, in a process of its own."""
    methods = list(methods)
    found: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method in methods:
            program = f"from {__name__} import seconds; print(seconds({method!r}))"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                                  check=True, env=ALONE)
            found[method].append(float(done.stdout))
    medians = {method: float(np.median(times)) for method, times in found.items()}
    return {method: medians[method] / medians["batch"] for method in methods}


def summary(runs: Path) -> list[Row]:
    """The rows, from what ``runs/batch_size`` holds.

    Raises:
        FileNotFoundError: lesson 5a has not been run.
    """
    lines = (runs / "batch_size" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    uses = {entry.name: entry.use for entry in ENTRIES}
    cost = costs(USE)
    return [Row(TITLES[method], mates(method), {kind: _errors(records, kind, method)
                                               for kind in KINDS},
                invariances(method), cost[method], uses.get(name, "the measure of all others"))
            for method, name in USE.items()]


def _errors(records: list[dict[str, Any]], kind: str, method: str) -> tuple[float, float, float]:
    """As :class:`Row` has them; NaN of a method that was left out, as ``--quick`` does."""
    small, large = (np.array([100 * record["error"] for record in records if (
        record["data"], record["norm"], record["batch"]) == (kind, method, size)])
        for size in (SMALL, LARGE))
    if len(small) < 2:
        return math.nan, math.nan, math.nan
    error = float(small.std(ddof=1) / math.sqrt(len(small)))
    return float(small.mean()), float(large[:len(small)].mean()), error  # of the same seeds


def markdown(rows: list[Row]) -> str:
    """The table."""
    lines = [
        f"| method | depends on the batch? | test error at a batch of {SMALL} (of {LARGE}): "
        "features | pictures | invariances of the input, in training | cost | typical use |",
        "|---|---|---|---|---|---|---|"]
    for row in rows:
        batch = f"yes: {row.mates:.2g}" if row.mates else "no: 0"
        errors = (f"{small:.1f} ± {error:.1f} % ({large:.1f} %)" if math.isfinite(small) else "—"
                  for small, large, error in row.errors.values())
        lines.append(f"| {row.method} | {batch} | {' | '.join(errors)} | "
                     f"{', '.join(row.invariances) or 'none'} | {row.cost:.2f} | {row.use} |")
    return "\n".join(lines) + "\n"
