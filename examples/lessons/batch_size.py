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
COMPARED = "batch", "batch_renorm", "group"
"""Norms that the claims compare; the others are drawn, from the first seeds."""
FAR = 10
"""Points of error."""


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
    sizes = lesson.choose(quick=[2, 32, 128], default=[2, 8, 32, 128],
                          full=[2, 4, 8, 16, 32, 64, 128])
    epochs = lesson.choose(quick=2, default=8, full=16)
    names = lesson.choose(quick=["batch", "group"], default=list(NAMES), full=list(NAMES))
    few = lesson.seeds(quick=3, default=3, full=5)
    some = lesson.seeds(quick=3, default=5, full=8)
    many = lesson.seeds(quick=3, default=12, full=20)  # of steps in large batches there are few
    for seed in lesson.progress(many):
        for kind in KINDS:
            train, test = few_digits(seed, pictures=kind == "pictures")
            for norm in names if seed in few else COMPARED:
                for batch in sizes if seed in some else [MIDDLE]:
                    tn.manual_seed(seed)
                    model = trained(cnn((1, 16, 32), norm=norm, groups=4) if kind == "pictures"
                                    else mlp((64, 64, 64, 10), norm), train, batch, epochs)
                    lesson.log(seed=seed, data=kind, norm=norm, batch=batch,
                               error=1 - evaluate(model, test)[1])

    figure, axes = panels(2, size=(4.6, 3.6))
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        for i, norm in enumerate(names):
            rows = np.transpose([errors(lesson, kind, norm, batch)[:len(few)] for batch in sizes])
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
    for kind, reason in (("features", ""), ("pictures", few)):
        of = f"{kind.capitalize()}: at a batch of {SMALL}"
        batch, group = ({size: errors(lesson, kind, norm, size) for size in (SMALL, MIDDLE)}
                        for norm in ("batch", "group"))
        some = len(batch[SMALL])
        lesson.claim(f"{kind}_small", f"{of} BatchNorm errs over {FAR} points more than at "
                     f"{MIDDLE}.", batch[SMALL] - batch[MIDDLE][:some], above=FAR, unit=" points",
                     reason=reason)
        lesson.claim(f"{kind}_group", f"{of} GroupNorm errs over {FAR} points less than BatchNorm.",
                     batch[SMALL] - group[SMALL], above=FAR, unit=" points", reason=reason)
        lesson.claim(f"{kind}_flat", f"{of} GroupNorm errs at most 2 points more than at {MIDDLE}.",
                     2 - group[SMALL] + group[MIDDLE][:some], unit=" points to spare")
        if lesson.effort == "quick":
            continue
        lesson.claim(f"{kind}_renorm", f"{of} BatchRenorm errs over {FAR} points less than "
                     "BatchNorm.", batch[SMALL] - errors(lesson, kind, "batch_renorm", SMALL),
                     above=FAR, unit=" points", reason=reason)
        lesson.claim(f"{kind}_large", f"{kind.capitalize()}: at {MIDDLE} BatchNorm errs less than "
                     "GroupNorm.", group[MIDDLE] - batch[MIDDLE], unit=" points",
                     reason="on so small a problem both learn what there is to learn")


if __name__ == "__main__":
    sys.exit(main(run))
