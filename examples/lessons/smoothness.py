"""4f. Smoothness: with BatchNorm the loss and its gradient change less along a step.

At each step of the training one goes on along the gradient, to several distances, on the same
batch, and looks how far the loss ranges, how far the gradient moves from the one here (gradient
predictiveness), and the largest such move per length of the way (effective β-smoothness). Both
networks are trained at one rate, at which both learn, from He's weights. At first it is the plain
network that is smoother, and so it is again when it has fitted the samples, as --full shows: of a
loss of a hundredth little is left to change. (Santurkar et al. 2018, arXiv:1805.11604, Section 3.1
and Figure 4.)
"""

import sys
from itertools import chain, islice, repeat
from typing import Any

from kit import Lesson, curve, digits, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.data import DataLoader

WIDTHS = (64, *[64] * 8, 10)
LR = 0.03
WAYS = np.array([0.5, 1, 2, 4]) * LR
"""How many times the gradient one goes along it: the paper's 1/2 to 4 times the step."""
EARLY = 20
"""Steps."""
MEASURES = {"loss": ("Loss along the step, largest less least", "loss"),
            "gradient": ("Gradient along the step, farthest from here", "l2 distance"),
            "beta": ("Effective β-smoothness", "l2 distance / way")}


def loss_and_gradient(model: tn.nn.Module, x: tn.Tensor, y: tn.Tensor) -> tuple[float, list[Any]]:
    """At the weights as they are."""
    loss = tn.nn.functional.cross_entropy(model(x), y)
    return loss.item(), [g.numpy() for g in tn.autograd.grad(loss, list(model.parameters()))]


def move(model: tn.nn.Module, start: list[Any], gradient: list[Any], way: float) -> None:
    """Put the weights so far along the gradient, downhill from the start."""
    with tn.no_grad():
        for parameter, p, g in zip(model.parameters(), start, gradient, strict=True):
            parameter.copy_(tn.from_numpy(p - np.float32(way) * g))


def length(arrays: list[Any]) -> float:
    """The l2 norm of all together."""
    return float(np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays)))


def look_ahead(model: tn.nn.Module, x: tn.Tensor, y: tn.Tensor) -> dict[str, float]:
    """What changes along the gradient from here; then take a step of LR."""
    start = [p.detach().numpy().copy() for p in model.parameters()]
    loss, here = loss_and_gradient(model, x, y)
    losses, distances = [loss], []
    for way in WAYS:
        move(model, start, here, way)
        ahead, there = loss_and_gradient(model, x, y)
        losses.append(ahead)
        distances.append(length([b - a for a, b in zip(here, there, strict=True)]))
    move(model, start, here, LR)
    return {"now": loss, "loss": max(losses) - min(losses), "gradient": max(distances),
            "beta": float(np.max(distances / (WAYS * length(here))))}


def run(lesson: Lesson) -> None:
    steps = lesson.choose(quick=80, default=150, full=600)
    seeds = lesson.seeds(quick=2, default=5, full=10)

    for seed in lesson.progress(seeds):
        train, _ = digits(seed)
        for norm in ("none", "batch"):
            tn.manual_seed(seed)
            model = he_weights(mlp(WIDTHS, norm))
            batches = DataLoader(train, 128, shuffle=True, drop_last=True)
            passes = chain.from_iterable(repeat(batches))
            seen = [look_ahead(model, x, y) for x, y in islice(passes, steps)]
            lesson.log(seed=seed, norm=norm, **{key: [one[key] for one in seen] for key in seen[0]})

    figure, grid = panels(4)
    for axes, (key, (title, unit)) in zip(
            grid, {"now": ("Training loss (batch)", "loss"), **MEASURES}.items(), strict=True):
        for i, norm in enumerate(("none", "batch")):
            curve(axes, np.arange(steps), lesson.values(key, norm=norm), norm, i)
        axes.set_yscale("log")
        titles(axes, title, "step", unit, legend=key == "now")
    lesson.figure(figure)

    def smaller(key: str, which: slice) -> np.ndarray:
        """By how many decades it is smaller with BatchNorm, in the mean of these steps."""
        none, batch = (np.log10(lesson.values(key, norm=norm))[:, which]
                       for norm in ("none", "batch"))
        return (none - batch).mean(axis=1)

    for key, text in (("loss", "the loss changes less along a step"),
                      ("gradient", "the gradient changes less along a step"),
                      ("beta", "the effective β-smoothness is smaller")):
        lesson.claim(key, f"With BatchNorm {text} (mean over the training from step {EARLY} on).",
                     smaller(key, slice(EARLY, None)), unit=" decades",
                     reason="in a long training the plain network's loss comes near 0, where "
                     "little is left to change")
    lesson.claim("early", f"But not at first: in the first {EARLY} steps it is the plain network's "
                 "effective β-smoothness that is smaller.", -smaller("beta", slice(EARLY)),
                 unit=" decades")


if __name__ == "__main__":
    sys.exit(main(run))
