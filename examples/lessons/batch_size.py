"""5a. Batch size: at a batch of 2 BatchNorm fails on features; GroupNorm does not mind.

Two networks on a few of the digits: one of features (N, C), where BatchNorm has N values for each
channel, and a convolutional one, where every position adds some: the digits are made smaller to 4×4
pixels, so that at a batch of 2 there are 32 values for each channel of the first layer, 8 of the
second. For each batch size the same number of epochs, and a learning rate in proportion to the
batch, as in Wu and He 2018, arXiv:1803.08494, Figure 1. The larger the batch, the fewer steps there
are in these epochs, and from 16 on the convolutional network is trained too little, with any norm:
its curves rise to the right for that reason, so compare the methods at one batch size.
"""

import sys

from kit import Lesson, cnn, curve, digits, evaluate, fit, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.data import TensorDataset
from tinygrad_norm.nn import functional as F
from tinygrad_norm.optim import SGD
from tinygrad_norm.optim.lr_scheduler import CosineAnnealingLR

NAMES = {"batch": "BatchNorm", "batch_renorm": "BatchRenorm", "group": "GroupNorm",
         "layer": "LayerNorm", "instance": "InstanceNorm", "none": "no norm"}
SAMPLES, DIGITS = 384, 1797
"""To train with, of all there are; the others are the test."""
RATE, LARGEST = 0.2, 128
"""The learning rate for batches of 128; for others in proportion."""
KINDS = {"features": "Features (N, C)", "pictures": "Pictures"}
SMALL, MIDDLE = 2, 32
"""Batches that the claims compare."""


def few_digits(seed: int, *, pictures: bool) -> list[TensorDataset]:
    """To train and to test: 64 features, or pictures of 4×4 pixels."""
    few = []
    for part in digits(seed, train=SAMPLES / DIGITS, images=pictures):
        x, y = part.tensors
        few.append(TensorDataset(F.avg_pool2d(x, 2) if pictures else x, y))
    return few


def trained(model: tn.nn.Module, data: TensorDataset, batch: int, epochs: int) -> tn.nn.Module:
    """By SGD whose rate goes down to 0."""
    he_weights(model)
    steps = epochs * (len(data) // batch)
    optimizer = SGD(model.parameters(), lr=RATE * batch / LARGEST, momentum=0.9)
    schedule = CosineAnnealingLR(optimizer, steps)
    fit(model, data, steps, batch_size=batch, optimizer=optimizer,
        each=lambda step, loss: schedule.step())
    return model


def run(lesson: Lesson) -> None:
    sizes = lesson.choose(quick=[2, 32, 128], default=[2, 4, 8, 16, 32, 64, 128],
                          full=[2, 4, 8, 16, 32, 64, 128])
    epochs = lesson.choose(quick=2, default=8, full=16)
    names = lesson.choose(quick=["batch", "group"], default=list(NAMES), full=list(NAMES))
    seeds = lesson.seeds(quick=3, default=3, full=5)
    for seed in lesson.progress(seeds):
        for kind in KINDS:
            train, test = few_digits(seed, pictures=kind == "pictures")
            for norm in names:
                for batch in sizes:
                    tn.manual_seed(seed)
                    model = trained(cnn((1, 16, 32), norm=norm, groups=4) if kind == "pictures"
                                    else mlp((64, 64, 64, 10), norm), train, batch, epochs)
                    lesson.log(seed=seed, data=kind, norm=norm, batch=batch,
                               error=1 - evaluate(model, test)[1])

    figure, axes = panels(2, size=(4.6, 3.6))
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for i, norm in enumerate(names):
            rows = np.transpose([errors(lesson, kind, norm, batch) for batch in sizes])
            curve(ax, sizes, rows, NAMES[norm], i, marked=True)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_yticks([5, 10, 20, 50], ["5", "10", "20", "50"])
        ax.set_yticks([], minor=True)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        titles(ax, f"{title}, after {epochs} epochs", "batch size", "test error (%)",
               legend=ax is axes[0])
    lesson.figure(figure)
    claims(lesson)


def errors(lesson: Lesson, kind: str, norm: str, batch: int) -> np.ndarray:
    """In percent, of each seed."""
    return 100 * lesson.values("error", data=kind, norm=norm, batch=batch)


def claims(lesson: Lesson) -> None:
    few = "even of 4×4 pixels a batch of 2 leaves some values for each channel"
    for kind, bound, reason in (("features", 10, ""), ("pictures", 0, few)):
        of = f"{kind.capitalize()}: at a batch of {SMALL}"
        small, middle = errors(lesson, kind, "batch", SMALL), errors(lesson, kind, "batch", MIDDLE)
        group = errors(lesson, kind, "group", SMALL)
        lesson.claim(f"{kind}_small", f"{of} BatchNorm errs more than at {MIDDLE}.",
                     small - middle, above=bound, unit=" points", reason=reason)
        lesson.claim(f"{kind}_group", f"{of} GroupNorm errs less than BatchNorm.", small - group,
                     above=bound, unit=" points", reason=reason)
        lesson.claim(f"{kind}_flat", f"{of} GroupNorm errs at most a point more than at {MIDDLE}.",
                     1 - group + errors(lesson, kind, "group", MIDDLE), unit=" points to spare")
        if lesson.effort == "quick":
            continue
        lesson.claim(f"{kind}_renorm", f"{of} BatchRenorm errs less than BatchNorm.",
                     small - errors(lesson, kind, "batch_renorm", SMALL), above=bound,
                     unit=" points", reason=reason)
        lesson.claim(f"{kind}_large", f"{kind.capitalize()}: at {MIDDLE} BatchNorm errs less than "
                     "GroupNorm.", errors(lesson, kind, "group", MIDDLE) - middle, unit=" points",
                     reason="on so small a problem both learn what there is to learn")


if __name__ == "__main__":
    sys.exit(main(run))
