"""2a. Stable activations: with BatchNorm what a unit is given moves less while the net trains.

Three hidden layers of 100 sigmoids learn the digits, with and without BatchNorm before each
sigmoid. The {15, 50, 85}th percentiles of what a unit of the last hidden layer is given are
recorded. Without the norm the weights of all layers below have a say in them; with it γ and β
alone have. The net, its small weights and the batch of 60 are those of Figure 1 of Ioffe and
Szegedy 2015, arXiv:1502.03167, Section 4.1; the pictures are smaller and the steps fewer.
"""

import sys

from kit import Lesson, curve, digits, evaluate, fit, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.viz.recording.figure import INK

UNITS = range(20)
"""Those of the 100 units that are recorded."""
SMALL = 0.1
"""Standard deviation of the first weights: "small random Gaussian values", says the paper."""
GOOD = 0.9
"""Test accuracy; guessing gives 0.1."""
OFTEN, RARELY, PART = 5, 10, 50
"""Steps between two records of the units, and of the accuracy; steps that are averaged over."""
RATE = 0.5
"""Of learning: both nets train well with it; at 0.1 the one without waits for 500 steps."""


def network(norm: bool) -> nn.Sequential:
    """Linear (and BatchNorm) and sigmoid, three times, and Linear."""
    layers: dict[str, nn.Module] = {}
    for i, width in enumerate((64, 100, 100), 1):
        linear = nn.Linear(width, 100)
        nn.init.normal_(linear.weight, std=SMALL)
        layers[f"into{i}"] = nn.Sequential(linear, nn.BatchNorm1d(100)) if norm else linear
        layers[f"sigmoid{i}"] = nn.Sigmoid()
    return nn.Sequential({**layers, "out": nn.Linear(100, 10)})


def trained(norm: bool, seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The accuracies on the test set, and the percentiles (records, units, 3)."""
    train, test = digits(seed)
    tn.manual_seed(seed)
    model = network(norm)
    recorder = tn.viz.Recorder(model, "into3", quantiles=(0.15, 0.5, 0.85), bins=0, every=OFTEN,
                               units={"into3": UNITS}, gradients=False, parameters=False)
    accuracy = []

    def each(step: int, loss: float) -> None:
        recorder.step()
        if (step + 1) % RARELY == 0:
            accuracy.append(evaluate(model, test)[1])

    with recorder:
        fit(model, train, steps, lr=RATE, momentum=0, batch_size=60, each=each)
    return np.array(accuracy), np.stack([
        recorder.history.column("units", f"into3 unit {unit}", "quantiles") for unit in UNITS], 1)


def means(percentiles: np.ndarray) -> np.ndarray:
    """Over each 50 steps: a batch of 60 tells a percentile only roughly."""
    return percentiles.reshape(-1, PART // OFTEN, *percentiles.shape[1:]).mean(axis=1)


def run(lesson: Lesson) -> None:
    steps = lesson.choose(quick=600, default=2000, full=5000)
    seeds = lesson.seeds()
    figure, axes = panels(3, columns=3, size=(3.7, 3.2))
    after = np.arange(RARELY, steps + 1, RARELY)

    for i, norm in enumerate((False, True)):
        name = "with BatchNorm" if norm else "without"
        accuracies = []
        for seed in lesson.progress(seeds, name):
            accuracy, percentiles = trained(norm, seed, steps)
            accuracies.append(accuracy)
            low, middle, high = np.moveaxis(means(percentiles), 2, 0)
            spread = (high - low).max(axis=0) / (high - low).min(axis=0)
            shift = np.ptp(middle, axis=0) / (high - low).mean(axis=0)
            good = np.flatnonzero(accuracy >= GOOD)
            lesson.log(seed=seed, norm=norm, accuracy=accuracy, spread=np.median(spread),
                       shift=np.median(shift), steps=after[good[0]] if good.size else steps)
            if seed == seeds[0]:
                unit = np.argsort(spread)[len(UNITS) // 2]
                at = np.arange(PART, steps + 1, PART)
                axes[1 + i].plot(at, middle[:, unit], color=INK, label="median")
                axes[1 + i].fill_between(at, low[:, unit], high[:, unit], color=INK, alpha=0.25,
                                         linewidth=0, label="15th to 85th percentile")
        curve(axes[0], after, accuracies, name, i)
        titles(axes[1 + i], "With BatchNorm it hardly moves" if norm else
               "Without, a unit's input drifts and widens", "step", "input of the sigmoid")
    axes[1].sharey(axes[2])
    axes[1].margins(y=0.2)
    axes[1].legend(frameon=False, fontsize=8.5, loc="upper left")
    titles(axes[0], "Test accuracy", "step", "accuracy", legend=True)
    lesson.figure(figure)

    def ratio(name: str) -> np.ndarray:
        return lesson.values(name, norm=False) / lesson.values(name, norm=True)

    lesson.claim("spread", "Without BatchNorm the width of a unit's input changes by a larger "
                 "factor in training: without by with.", ratio("spread"), above=3, unit=" times")
    lesson.claim("shift", "Without BatchNorm the median of a unit's input moves further, measured "
                 "in widths: without by with.", ratio("shift"), above=1, unit=" times")
    lesson.claim("steps", f"At the rate {RATE} it takes more steps to an accuracy of {GOOD} "
                 "without BatchNorm.",
                 ratio("steps"), above=3, unit=" times")


if __name__ == "__main__":
    sys.exit(main(run))
