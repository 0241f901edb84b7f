"""5c. Distribution shift: the running statistics are those of other data, and cost accuracy.

A network trained on digits is tested on brighter ones, on ones with more contrast, and on noisy
ones. In inference BatchNorm normalizes by the statistics of the training data, which do not fit
these; measured once more on the shifted test images, whose labels are not needed, they take out
what is a change of each channel's mean and scale (Li et al. 2016, arXiv:1603.04779; Schneider et
al. 2020, arXiv:2006.16971). InstanceNorm always measures on the image at hand, LayerNorm (over C,
H, W) too, with all channels together.
"""

import copy
import sys

from kit import Lesson, cnn, curve, digits, evaluate, fit, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import TensorDataset

NAMES = {"batch": "BatchNorm", "cured": "BatchNorm, recalibrated", "layer": "LayerNorm",
         "instance": "InstanceNorm", "none": "no norm"}
WHITE = 16
"""The brightest pixel."""
SHIFTS = {
    "brightness": ([0, 0.25, 0.5, 0.75, 1], "added to each pixel",
                   "More brightness: recalibration helps"),
    "contrast": ([1, 1.5, 2, 3, 4], "contrast, times", "More contrast: recalibration helps"),
    "noise": ([0, 0.1, 0.2, 0.3, 0.4], "standard deviation of the noise",
              "Noise: recalibration helps less"),
}
"""The strengths of each, of pixels from 0 to 1; the first leaves the images as they are."""


def shifted(x: tn.Tensor, kind: str, by: float, rng: np.random.Generator) -> tn.Tensor:
    """The images, changed."""
    if kind == "brightness":
        return x + by
    if kind == "contrast":
        return (x - 0.5) * by + 0.5
    return x + tn.tensor(by * rng.normal(size=x.shape), dtype=x.dtype)


def run(lesson: Lesson) -> None:
    every = lesson.choose(quick=2, default=1, full=1)
    steps = lesson.choose(quick=100, default=400, full=1000)
    seeds = lesson.seeds(quick=3, default=8, full=10)
    for seed in lesson.progress(seeds):
        (x, y), (x_test, y_test) = (
            part.tensors for part in digits(seed, standardize=False, images=True))
        rng = np.random.default_rng(seed)
        tests = {(kind, by): TensorDataset(shifted(x_test / WHITE, kind, by, rng), y_test)
                 for kind, (strengths, *_) in SHIFTS.items() for by in strengths[::every]}
        for norm in ("batch", "layer", "instance", "none"):
            tn.manual_seed(seed)
            model = cnn((1, 8, 16), norm=norm)
            fit(model, TensorDataset(x / WHITE, y), steps, lr=0.1)
            for (kind, by), test in tests.items():
                lesson.log(seed=seed, norm=norm, shift=kind, by=by,
                           error=100 - 100 * evaluate(model, test)[1])
                if norm == "batch":
                    cured = nn.utils.recalibrate(copy.deepcopy(model), [test.tensors[0]])
                    lesson.log(seed=seed, norm="cured", shift=kind, by=by,
                               error=100 - 100 * evaluate(cured, test)[1])
    figure, axes = panels(3, columns=3, size=(3.5, 3.2))
    for ax, (kind, (strengths, unit, title)) in zip(axes, SHIFTS.items(), strict=True):
        for i, (norm, name) in enumerate(NAMES.items()):
            errors = [lesson.values("error", norm=norm, shift=kind, by=by)
                      for by in strengths[::every]]
            curve(ax, strengths[::every], np.transpose(errors), name, i, marked=True)
        ax.set_ylim(-3, 103)
        titles(ax, title, unit, "test error (%)", legend=kind == "noise")
    lesson.figure(figure)

    def added(norm: str, kind: str) -> np.ndarray:
        """By the largest shift."""
        strengths = SHIFTS[kind][0]
        return (lesson.values("error", norm=norm, shift=kind, by=strengths[-1])
                - lesson.values("error", norm=norm, shift=kind, by=strengths[0]))

    for kind in SHIFTS:
        lesson.claim(f"{kind}_hurts", f"The largest change of {kind} costs BatchNorm more than 10 "
                     "points of accuracy.", added("batch", kind), above=10, unit=" points")
        lesson.claim(f"{kind}_cured", "Recalibration on the shifted images takes back more than "
                     f"half of what {kind} costs BatchNorm.", 100 * (
                         1 - added("cured", kind) / added("batch", kind)), above=50, unit=" %",
                     reason="the statistics of each channel are right again, but the noise that "
                     "the images hold is still in them" if kind == "noise" else "")
        lesson.claim(f"{kind}_instance", f"The largest change of {kind} costs InstanceNorm less "
                     "than BatchNorm.",
                     added("batch", kind) - added("instance", kind), unit=" points")


if __name__ == "__main__":
    sys.exit(main(run))
