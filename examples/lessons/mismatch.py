"""5d. Train and test differ: at a batch of 2 BatchNorm trains one network and is used as another.

In training BatchNorm uses its batch's statistics, in inference running averages (Ioffe 2017,
arXiv:1702.03275). A batch of 2 leaves of a feature only which sample had the larger value, x_hat =
±1, and hardly any gradient gets back through it. In inference x_hat takes any value. The same
weights on the same data are measured in both modes, and with the exact moments of all data instead
of the averages (recalibrate), which would be the cure if the averages were at fault. A picture's
positions count too, so that a batch of 1 works, and is an InstanceNorm; of features it is refused.
"""

import copy
import sys

from kit import Lesson, cnn, curve, digits, evaluate, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import TensorDataset
from tinygrad_norm.nn import functional as F

MEASURED = 256
"""Training samples whose loss is compared, in train mode and in eval mode."""
LOOKS, APART = 3, 10
"""Steps at the end after which they are measured, the median counts, and how far they are apart: as
many as the averages remember, which a single batch of 2 can spoil."""
WIDE = 4096
"""Features of the single layer: enough for its means not to depend on the seed."""


def layer(n: int, seed: int) -> tuple[float, float]:
    """Of a BatchNorm on n samples: how far |x_hat| is from 1 on average, and which share of the
    gradient gets through it: σ |dx| / |dy|."""
    rng = np.random.default_rng(seed)
    x = tn.tensor(rng.normal(5, 3, (n, WIDE)), dtype=tn.float64, requires_grad=True)
    dy = tn.tensor(rng.normal(size=x.shape))
    x_hat = nn.BatchNorm1d(WIDE, dtype=tn.float64)(x)
    x_hat.backward(dy)
    assert x.grad is not None
    through = x.grad.numpy() * x.detach().numpy().std(axis=0)
    return (float(np.abs(np.abs(x_hat.detach().numpy()) - 1).mean()),
            float(np.sqrt((through ** 2).sum() / (dy.numpy() ** 2).sum())))


def losses(model: nn.Module, data: TensorDataset, n: int) -> dict[str, float]:
    """Over the same training samples: in train mode in batches of n, in eval mode, and in eval
    mode with the moments of all samples; and the share (%) that the two modes answer differently.
    """
    x, y = data[:MEASURED]
    trial = copy.deepcopy(model)
    found = {"eval": evaluate(model, TensorDataset(x, y))[0]}
    with tn.no_grad():
        scores = tn.cat([trial(x[i:i + n]) for i in range(0, MEASURED, n)])
        answers = model.eval()(x).argmax(1)
    model.train()
    found["train"] = F.cross_entropy(scores, y).item()
    found["differ"] = 100 * float((scores.argmax(1).numpy() != answers.numpy()).mean())
    nn.utils.recalibrate(trial, [data.tensors[0]])
    return found | {"recalibrated": evaluate(trial, TensorDataset(x, y))[0]}


def trained(model: nn.Module, data: TensorDataset, n: int, steps: int) -> dict[str, float]:
    """What :func:`losses` finds at the end."""
    seen: list[dict[str, float]] = []

    def each(step: int, loss: float) -> None:
        left = steps - 1 - step
        if left < LOOKS * APART and left % APART == 0:
            seen.append(losses(model, data, n))

    fit(model, data, steps, lr=0.05, momentum=0, batch_size=n, each=each)
    return {what: float(np.median([found[what] for found in seen])) for what in seen[0]}


def refused(seed: int) -> str:
    """What a batch of 1 is answered, of features (1, C)."""
    tn.manual_seed(seed)
    try:
        nn.BatchNorm1d(16)(tn.randn(1, 16))
    except ValueError as error:
        return str(error)
    return ""


def run(lesson: Lesson) -> None:
    sizes = lesson.choose(quick=[2, 32], default=[2, 4, 8, 16, 32, 64],
                          full=[2, 4, 8, 16, 32, 64, 128])
    steps = lesson.choose(quick=150, default=400, full=2000)
    seeds = lesson.seeds(quick=3)
    for seed in lesson.progress(seeds):
        image = tn.tensor(np.random.default_rng(seed).normal(size=(1, 8, 8, 8)))
        norms = nn.BatchNorm2d(8, dtype=tn.float64), nn.InstanceNorm2d(8, dtype=tn.float64)
        one, other = (norm(image).detach().numpy() for norm in norms)
        lesson.log(seed=seed, refused=refused(seed), from_instance=np.abs(one - other).max())
        off, through = zip(*(layer(n, seed) for n in sizes), strict=True)
        lesson.log(seed=seed, off=off, through=through)
        for kind in ("features", "pictures"):
            train, _ = digits(seed, images=kind == "pictures")
            for n in [1, *sizes] if kind == "pictures" else sizes:
                tn.manual_seed(seed)
                model = (cnn((1, 8, 16), norm="batch") if kind == "pictures"
                         else mlp((64, 64, 64, 10), "batch"))
                lesson.log(seed=seed, kind=kind, n=n, **trained(model, train, n, steps))
    draw(lesson, sizes, steps)
    claims(lesson)


def draw(lesson: Lesson, sizes: list[int], steps: int) -> None:
    figure, axes = panels(3, columns=3, size=(3.6, 3.2))
    curve(axes[0], sizes, lesson.values("through"), "gradient through, σ |dx| / |dy|", 0,
          marked=True)
    curve(axes[0], sizes, np.sqrt(1 - 2 / np.array(sizes)), "√((N - 2)/N)", 5)
    curve(axes[0], sizes, lesson.values("off"), "mean of | |x_hat| - 1 |", 1, marked=True)
    titles(axes[0], "One layer: a batch of 2 leaves signs", "batch N", "share, distance",
           legend=True)
    for ax, kind, at in ((axes[1], "features", sizes), (axes[2], "pictures", [1, *sizes])):
        for i, (what, name) in enumerate((("train", "train mode"), ("eval", "eval mode"),
                                          ("recalibrated", "eval, recalibrated"))):
            found = [lesson.values(what, kind=kind, n=n) for n in at]
            curve(ax, at, np.transpose(found), name, i, marked=True)
        ax.set_yscale("log")
        titles(ax, f"{kind.capitalize()}: two modes, two losses", "batch N",
               f"training loss after {steps} steps", legend=kind == "features")
    for ax, at in zip(axes, (sizes, sizes, [1, *sizes]), strict=True):
        ax.set_xscale("log", base=2)
        ax.set_xticks(at, [str(n) for n in at])
    lesson.figure(figure)


def claims(lesson: Lesson) -> None:
    def found(what: str, n: int, kind: str = "features") -> np.ndarray:
        return lesson.values(what, kind=kind, n=n)

    lesson.claim("signs", "At a batch of 2 |x_hat| is 1 to within 0.01, on average.",
                 0.01 - lesson.values("off")[:, 0], unit=" to spare")
    lesson.claim("no_gradient", "At a batch of 2 less than 5 % of the gradient gets through the "
                 "layer.",
                 5 - 100 * lesson.values("through")[:, 0], unit=" points to spare")
    answers = lesson.values("refused")
    lesson.claim("refused", f"A batch of 1 of features is refused: {answers[0].split(';')[0]}.",
                 [float(bool(answer)) for answer in answers], above=0.5)
    lesson.claim("instance", "A picture alone is normalized as by InstanceNorm, to 10 digits.",
                 1e-10 - lesson.values("from_instance"))
    lesson.claim("two_networks", "Features: the two modes give more samples different answers at a "
                 "batch of 2 than at 32.", found("differ", 2) - found("differ", 32), above=10,
                 unit=" points")
    gap = found("eval", 2) - found("train", 2)
    lesson.claim("eval_worse", "Features: at a batch of 2 the loss in eval mode is the higher one.",
                 gap, reason="the averages also take out the noise that the batch mates make, and "
                 "that weighs more here")
    lesson.claim("averages", "Features: at a batch of 2 exact moments leave more than half of "
                 "the difference between the two losses: it is not the averages.",
                 np.abs(found("recalibrated", 2) - found("train", 2)) - np.abs(gap) / 2)
    lesson.claim("single", "Trained on single pictures, a network with BatchNorm has a higher "
                 "loss in eval mode than in train mode.",
                 found("eval", 1, "pictures") - found("train", 1, "pictures"),
                 reason="after few steps it has learnt little in either mode")


if __name__ == "__main__":
    sys.exit(main(run))
