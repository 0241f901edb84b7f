"""4e. Batch noise: a sample's output wanders with its batch mates, which can hamper overfitting.

A few digits, a fifth of them with random labels, are learned by heart by a network; its loss on
others, whose labels are right, is then far larger. In a BatchNorm network a sample's scores depend
on its batch mates, by an amount that goes as 1/√N: Ioffe and Szegedy 2015, arXiv:1502.03167,
Section 3.4, call it a regularizer. But small batches also make the gradient noisy, and as many
steps of them see fewer samples. So here each step sees 128 samples, cut into ghost batches of N
that are normalized apart (Hoffer et al. 2017, arXiv:1705.08741): only the statistics' noise
changes. (In 500 steps the labels are learned by heart all the same, and little is left of what 200
show.) Plain BatchNorm with batches of N, and no norm, are drawn beside it.
"""

import sys
from functools import partial
from typing import Any

from kit import Lesson, curve, digits, evaluate, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.data import TensorDataset

BATCH = 128
FEW, WRONG = 0.2, 0.2
"""The share of the digits that is trained on, and of their labels that are drawn at random."""
NETWORKS = {"none, batch of N": "none", "batch of N": "batch", "128 in ghost batches of N": "ghost"}


def few_digits(seed: int) -> tuple[TensorDataset, TensorDataset]:
    """To train, some labels random; and to test."""
    train, test = digits(seed, train=FEW)
    x, y = train.tensors
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(len(y)) < WRONG, rng.integers(0, 10, len(y)), y.numpy())
    return TensorDataset(x, tn.tensor(labels)), test


def wobble(model: tn.nn.Module, x: tn.Tensor, n: int, rng: np.random.Generator) -> float:
    """How far the scores of the first sample wander as its n - 1 batch mates change, as rms."""
    scores = []
    model.train()
    with tn.no_grad():
        for _ in range(200):
            mates = rng.integers(1, len(x), n - 1)
            scores.append(model(x[[0, *mates.tolist()]])[0].numpy())
    return float(np.sqrt(np.var(scores, axis=0).mean()))


def run(lesson: Lesson) -> None:
    sizes = lesson.choose(quick=[4, 128], default=[4, 8, 16, 32, 128],
                          full=[4, 8, 16, 32, 64, 128])
    steps = lesson.choose(quick=200, default=200, full=2000)
    seeds = lesson.seeds(quick=2, default=10, full=10)
    mates = np.array([32, 64, 128, 256, 512])

    for seed in lesson.progress(seeds):
        train, test = few_digits(seed)
        for name in NETWORKS:
            for n in sizes:
                tn.manual_seed(seed)
                norm: Any = NETWORKS[name]
                if norm == "ghost":
                    norm = partial(tn.nn.GhostBatchNorm, ghost_batch_size=n)
                model = mlp((64, 128, 128, 10), norm)
                fit(model, train, steps, lr=0.1, momentum=0,
                    batch_size=n if "batch of N" in name else BATCH)
                loss, (test_loss, accuracy) = evaluate(model, train)[0], evaluate(model, test)
                lesson.log(seed=seed, network=name, n=n, loss=loss, gap=test_loss - loss,
                           test_accuracy=accuracy)
                if name == "batch of N" and n == sizes[-1]:
                    rng = np.random.default_rng(seed)
                    lesson.log(seed=seed, mates=mates,
                               wobble=[wobble(model, test.tensors[0], m, rng) for m in mates])

    draw(lesson, sizes, mates, steps)
    judge(lesson, sizes, mates)


def draw(lesson: Lesson, sizes: list[int], mates: np.ndarray, steps: int) -> None:
    """Three measures against N, and how far a sample's scores wander."""
    figure, grid = panels(4)
    for axes, what, title, unit in zip(
            grid, ("loss", "gap", "test_accuracy"),
            ("Training loss", "Test loss less training loss", "Test accuracy"),
            ("cross-entropy", "cross-entropy", "accuracy"), strict=False):
        for i, name in enumerate(NETWORKS):
            found = [lesson.values(what, network=name, n=n) for n in sizes]
            curve(axes, sizes, np.transpose(found), name, i, marked=True)
        titles(axes, f"{title} after {steps} steps", "N", unit, legend=what == "gap")
    wobbles = lesson.values("wobble")
    curve(grid[3], mates, wobbles, "measured", 1, marked=True)
    curve(grid[3], mates, np.median(wobbles[:, -1]) * np.sqrt(mates[-1] / mates), "1/√N", 5)
    titles(grid[3], "A sample's scores when its batch mates change", "N", "change (rms)",
           legend=True)
    for axes, ticks in zip(grid, (sizes, sizes, sizes, mates.tolist()), strict=True):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.set_xticks([], minor=True)
    grid[0].set_yscale("log")
    grid[3].set_yscale("log")
    lesson.figure(figure)


def judge(lesson: Lesson, sizes: list[int], mates: np.ndarray) -> None:
    """The claims."""
    def change(what: str, name: str, n: int = sizes[0]) -> np.ndarray:
        """From the largest N to a small one."""
        return (lesson.values(what, network=name, n=n)
                - lesson.values(what, network=name, n=sizes[-1]))

    ghost = "128 in ghost batches of N"
    slope = np.polyfit(np.log(mates), np.log(lesson.values("wobble").T), 1)[0]
    lesson.claim("wanders", "A sample's scores wander with its batch mates as 1/√N: the exponent "
                 "is -1/2 to within 0.1.", 0.1 - abs(slope + 0.5), unit=" to spare",
                 reason="in a few layers, one on the other, the noise is no small one")
    lesson.claim("by_heart", "The noise of ghost batches of 4 hampers learning by heart: the "
                 "training loss is larger than with 128.", change("loss", ghost))
    gap = {n: lesson.values("gap", network=ghost, n=n) for n in sizes}
    for n in sizes[:-1]:
        lesson.claim(f"gap_{n}", f"With ghost batches of {n} the gap between test and training "
                     "loss is over a third smaller than with 128.",
                     100 * (1 - gap[n] / gap[sizes[-1]]), above=100 / 3, unit=" %",
                     reason="so little noise does not keep the labels from being learned by heart")
    lesson.claim("better", "With ghost batches of 4 the test accuracy is better than with 128.",
                 100 * change("test_accuracy", ghost), unit=" points",
                 reason="the network learns the wrong labels all the same")
    lesson.claim("gap_both", "In as many steps of plain batches of 4 instead of 128 the gap "
                 "shrinks by more with BatchNorm than without a norm.",
                 change("gap", "none, batch of N") - change("gap", "batch of N"))


if __name__ == "__main__":
    sys.exit(main(run))
