"""4a. Learning rates: with BatchNorm a network trains at rates at which it fails without.

The same network, at learning rates over three decades. Scaling a layer's weights by a scales its
output by a, a norm takes that out again, and the gradient becomes 1/a times as long: a step that
was too long makes the next ones shorter. (Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.3.)
"""

import sys

from kit import Lesson, curve, digits, evaluate, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn

NORMS = ("none", "batch", "layer")
GOOD = 0.8
"""Test accuracy from which a run counts as trained; guessing gives 0.1."""


def largest_good(rates: np.ndarray, accuracy: np.ndarray) -> float:
    """The decade of the largest rate that trains: between two of them, where the line through their
    accuracies passes GOOD."""
    good = np.flatnonzero(accuracy > GOOD)
    at = slice(good[-1], good[-1] + 2) if len(good) else slice(1)
    return float(np.interp(-GOOD, -accuracy[at], np.log10(rates[at])))


def run(lesson: Lesson) -> None:
    rates = np.logspace(-2, 1, lesson.choose(quick=7, default=16, full=31))
    steps = lesson.choose(quick=60, default=80, full=600)
    seeds = lesson.seeds(quick=2, default=10, full=10)

    for seed in lesson.progress(seeds):
        train, test = digits(seed)
        for norm in NORMS:
            for rate in rates:
                tn.manual_seed(seed)
                model = mlp((64, 64, 64, 64, 10), norm)
                losses = fit(model, train, steps, lr=rate, momentum=0)
                lesson.log(seed=seed, norm=norm, rate=rate, accuracy=evaluate(model, test)[1],
                           loss=losses[-10:].mean(), diverged=bool(np.isnan(losses).any()))

    figure, (left, right) = panels(2)
    widths, largest = {}, {}
    for i, norm in enumerate(NORMS):
        accuracy, diverged = (np.array([lesson.values(what, seed=s, norm=norm) for s in seeds])
                              for what in ("accuracy", "diverged"))
        curve(left, rates, accuracy, norm, i, marked=True)
        curve(right, rates, diverged.mean(axis=0), norm, i, marked=True)
        widths[norm] = (accuracy > GOOD).sum(axis=1) * np.log10(rates[1] / rates[0])
        largest[norm] = np.array([largest_good(rates, row) for row in accuracy])
        lesson.log(norm=norm, decades_that_train=widths[norm], largest_that_trains=largest[norm])
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_ylim(-0.03, 1.03)
    titles(left, f"Test accuracy after {steps} steps", "learning rate", "accuracy")
    titles(right, "Runs whose loss became infinite or NaN", "learning rate", "share of the seeds",
           legend=True)
    lesson.figure(figure)

    for norm, name, key in (("batch", "BatchNorm", ""), ("layer", "LayerNorm", "_layer")):
        lesson.claim(f"range{key}", f"The learning rates that train span more decades with {name} "
                     "than without.", widths[norm] - widths["none"], unit=" decades")
        lesson.claim(f"largest{key}", f"The largest rate that trains is larger with {name}.",
                     largest[norm] - largest["none"], unit=" decades",
                     reason="the last layer has no norm behind it, and diverges first")


if __name__ == "__main__":
    sys.exit(main(run))
