"""2c. Undoing it: γ and β let a BatchNorm layer learn to be the identity.

A normalization that always gives mean 0 and variance 1 would narrow what a layer can express, so it
comes with a scale γ and a shift β for each feature; γ = σ and β = μ give the input back (Ioffe and
Szegedy 2015, arXiv:1502.03167, Section 3). Here a lone layer learns that from 160 wines, whose 13
features have σ from 0.12 to 314: the loss is the squared distance of its output from its input.
In small batches it can do so only roughly, for each batch has a μ and a σ of its own.
"""

import sys

from kit import Lesson, curve, fit, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import TensorDataset, datasets
from tinygrad_norm.nn import functional as F

ALL, BATCH = 160, 32
RATE = 0.05
"""One for all features: x_hat has variance 1, so the loss is as steep in each γ and β."""
RARELY = 5
"""Of so many steps one is written down with γ and β."""


def wines() -> tn.Tensor:
    """160 of 178 at random, (160, 13)."""
    return datasets.wine().data.to(tn.float64)[tn.randperm(178)[:ALL]]


def distance(y: tn.Tensor, x: tn.Tensor) -> tn.Tensor:
    """The loss: squared, summed over the features, the mean over the samples."""
    return (y - x).square().sum(1).mean()


def error(y: tn.Tensor, x: tn.Tensor) -> float:
    """The squared distance in units of each feature's variance, the mean over the features."""
    return ((y - x).square().mean(0) / x.var(0, correction=0)).mean().item()


def trained(x: tn.Tensor, batch: int, steps: int) -> dict[str, np.ndarray]:
    """After 1, 2 ... steps: the errors in batches and in eval mode, and γ/σ and β/μ."""
    norm = nn.BatchNorm1d(13, dtype=tn.float64)
    mean, std = x.mean(0), x.std(0, correction=0)
    rows = []

    @tn.no_grad()
    def each(step: int, loss: float) -> None:
        gamma, beta = norm.weight, norm.bias
        assert gamma is not None
        assert beta is not None
        pieces = tn.cat([F.batch_norm(part, None, None, gamma, beta, training=True)
                         for part in x.split(batch)])
        y = F.batch_norm(x, norm.running_mean, norm.running_var, gamma, beta)
        rows.append([error(pieces, x), error(y, x), *(gamma / std).tolist(),
                     *(beta / mean).tolist()])

    fit(norm, TensorDataset(x, x), steps, lr=RATE, momentum=0, batch_size=batch, each=each,
        criterion=distance)
    table = np.array(rows)
    return {"batches": table[:, 0], "eval": table[:, 1], "scale": table[::RARELY, 2:15],
            "shift": table[::RARELY, 15:]}


def run(lesson: Lesson) -> None:
    steps = lesson.choose(quick=150, default=200, full=400)
    seeds = lesson.seeds(quick=3)
    for seed in lesson.progress(seeds):
        tn.manual_seed(seed)
        x = wines()
        lesson.log(seed=seed, fixed=error(F.batch_norm(x, None, None, training=True), x))
        for batch in (ALL, BATCH):
            lesson.log(seed=seed, batch=batch, **trained(x, batch, steps))

    figure, axes = panels(2, size=(4.6, 3.4))
    after = np.arange(1, steps + 1)
    fixed = lesson.values("fixed")
    full, small = (lesson.values("batches", batch=batch) for batch in (ALL, BATCH))
    evaluated = lesson.values("eval", batch=BATCH)
    for i, (name, missed) in enumerate({
        "affine=False": np.tile(fixed[:, None], steps), f"batches of {BATCH}": small,
        f"batches of {BATCH}, eval mode": evaluated, f"all {ALL} in one batch": full}.items()):
        curve(axes[0], after, missed, name, i)
    axes[0].set_yscale("log")
    axes[0].set_ylim(1e-9, 1e8)
    titles(axes[0], "γ and β undo the norm", "step", "squared error / variance", legend=True)
    for i, (key, name) in enumerate({"scale": "γ / σ", "shift": "β / μ"}.items()):
        curve(axes[1], after[::RARELY], lesson.values(key, batch=ALL, seed=seeds[0])[0].T, name, i)
    axes[1].set_yscale("log")
    axes[1].set_xlim(0, 100)
    titles(axes[1], "All 13 features arrive together", "step", "ratio", legend=True)
    lesson.figure(figure)

    lesson.claim("identity", "Trained on all samples at once, the error falls.",
                 np.log10(fixed / full[:, -1]), above=6, unit=" decades")
    ends = np.concatenate([lesson.values(key, batch=ALL)[:, -1] for key in ("scale", "shift")], 1)
    lesson.claim("values", "γ arrives at σ and β at μ in every feature, but for eps.",
                 -np.log10(np.abs(ends - 1).max(axis=1)), above=3, unit=" digits")
    lesson.claim("fixed", "With affine=False there is nothing to learn, and more than the variance "
                 "is missed.", fixed, above=1, unit=" variances")
    lesson.claim("batches", f"In batches of {BATCH} some is missed for good (for normal data "
                 f"1.5/{BATCH} = {150 / BATCH:.1f} %).", 100 * small[:, -1], above=1, unit=" %")
    lesson.claim("eval", "In eval mode the same layer misses less than in batches: their ratio.",
                 small[:, -1] / evaluated[:, -1], above=10, unit=" times")


if __name__ == "__main__":
    sys.exit(main(run))
