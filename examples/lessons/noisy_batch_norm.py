"""4h. Noise after BatchNorm: inputs that shift wildly all the time do not undo what it is good for.

Was it that BatchNorm keeps the distribution of a layer's inputs still? Santurkar et al. 2018,
arXiv:1805.11604, Section 2.1, put noise behind each BatchNorm: every unit of every
layer is moved and stretched at random, anew at each step, so that its distribution jumps far more
than in a network without a norm. If stillness were the reason, this network would have to train no
better than that one.
"""

import sys
from functools import partial
from typing import Any

from kit import Lesson, curve, digits, fit, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn

SHIFT, STRETCH, JITTER = 0.5, 1.25, 0.1
"""The paper's constants: n_μ, n_σ, and r_μ = r_σ."""
WIDTHS, WATCHED = (64, *[64] * 8, 10), 5
"""The units that enter the fifth ReLU are watched."""
GUESSING = np.log(10)
"""The loss that a run that diverged is counted with."""


class NoisyBatchNorm(tn.nn.BatchNorm1d):
    """In training y ← s y + m: of each unit and sample, around a mean that each step draws anew."""

    def forward(self, x: tn.Tensor) -> tn.Tensor:
        y = super().forward(x)
        if not self.training:
            return y
        rows, units = y.shape
        m = SHIFT * (2 * tn.rand(units) - 1) + JITTER * (2 * tn.rand(rows, units) - 1)
        s = 1 + (STRETCH - 1) * tn.rand(units) + JITTER * tn.randn(rows, units)
        return s * y + m


NETWORKS: dict[str, Any] = {"none": "none", "batch": "batch", "noisy batch": NoisyBatchNorm}


def look(model: tn.nn.Module, x: tn.Tensor, seen: list[Any], step: int, loss: float) -> None:
    """After each step: note mean and standard deviation of the units that enter the watched ReLU,
    of the same samples each time."""
    with tn.no_grad():
        for name, layer in model.named_children():
            if name == f"relu{WATCHED}":
                break
            x = layer(x)
    seen.append((x.numpy().mean(axis=0), x.numpy().std(axis=0)))


def run(lesson: Lesson) -> None:
    rates = np.logspace(-1.5, 0, lesson.choose(quick=2, default=4, full=7))
    watched = rates[len(rates) // 3]
    steps = lesson.choose(quick=60, default=150, full=600)
    seeds = lesson.seeds(quick=3, default=8, full=10)

    for seed in lesson.progress(seeds):
        train, _ = digits(seed)
        x = train[:256][0]
        for name, norm in NETWORKS.items():
            for rate in rates:
                tn.manual_seed(seed)
                model = he_weights(mlp(WIDTHS, norm))
                seen: list[Any] = []
                losses = fit(model, train, steps, lr=rate, momentum=0,
                             each=partial(look, model, x, seen) if rate == watched else None)
                last = losses[-steps // 5:].mean()
                lesson.log(seed=seed, network=name, rate=rate, losses=losses,
                           loss=last if np.isfinite(last) else GUESSING)
                if rate == watched:
                    means, stds = np.swapaxes(seen, 0, 1)
                    moves = abs(np.diff(means, axis=0)) / stds[:-1]
                    lesson.log(seed=seed, network=name, jumps=np.median(moves, axis=1))

    jumps = {name: lesson.values("jumps", network=name) for name in NETWORKS}
    ends = {name: np.transpose([lesson.values("loss", network=name, rate=rate) for rate in rates])
            for name in NETWORKS}  # (seeds, rates)
    figure, (left, middle, right) = panels(3, columns=3, size=(4.2, 3.4))
    for i, name in enumerate(NETWORKS):
        curve(left, np.arange(1, steps), jumps[name], name, i)
        losses = lesson.values("losses", network=name, rate=rates[-1])
        curve(middle, np.arange(steps), np.nan_to_num(losses, nan=GUESSING), name, i)
        curve(right, rates, ends[name], name, i, marked=True)
    for axes in (left, right):
        axes.set_yscale("log")
    right.set_xscale("log")
    middle.set_ylim(0, 3)
    titles(left, f"How far the inputs of ReLU {WATCHED} jump at each step", "step",
           "move of a unit's mean (std)", legend=True)
    titles(middle, f"Training loss at the rate {rates[-1]:.2g}", "step", "cross-entropy")
    titles(right, "Training loss at the end", "learning rate", "cross-entropy")
    lesson.figure(figure)

    far = {name: np.median(rows, axis=1) for name, rows in jumps.items()}
    lesson.claim("noise", "Behind noisy BatchNorm a unit's mean jumps more than twice as far at "
                 "each step as without a norm.", np.log2(far["noisy batch"] / far["none"]), above=1,
                 unit=" doublings")
    lesson.claim("fast", f"Even so noisy BatchNorm trains at the rate {rates[-1]:.2g} to less "
                 "than half of the loss without a norm.",
                 np.log2(ends["none"][:, -1] / ends["noisy batch"][:, -1]), above=1,
                 unit=" halvings")
    best = {name: rows.min(axis=1) for name, rows in ends.items()}
    lesson.claim("best", "Noisy BatchNorm comes to less than half of the loss without a norm with "
                 "each at its best rate too.",
                 np.log2(best["none"] / best["noisy batch"]), above=1, unit=" halvings",
                 reason="the noise keeps the training loss up, and at a small rate from He's "
                 "weights the plain network trains well")
    lesson.claim("cost", "The noise does cost something: at its best rate BatchNorm without it "
                 "comes to a lower loss.", np.log2(best["noisy batch"] / best["batch"]),
                 unit=" halvings")


if __name__ == "__main__":
    sys.exit(main(run))
