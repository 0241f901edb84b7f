"""1. Preprocessing: the less two features have in common, the rounder the loss and the fewer steps.

A linear model of two weights learns y from two features that have a mean, unequal scales and a
correlation. Its loss is a bowl, along each axis as steep as an eigenvalue of the Hessian E[xxᵀ].
The largest bounds SGD's rate: where the other is far below, that is where the condition number
κ = λmax/λmin is large, the path goes to and fro across a valley and hardly along it. Zero-centring,
standardizing and whitening take the mean, the scales and the correlation away in turn. (LeCun,
Bottou, Orr and Müller 1998, "Efficient BackProp", Sections 4.3 and 5. PCA and ZCA whitening: Kessy,
Lewin and Strimmer 2018, arXiv:1512.00809.)
"""

import sys
from collections.abc import Callable

from kit import Lesson, bowl, curve, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.autograd.functional import hessian
from tinygrad_norm.data import Center, PCAWhiten, Standardize, ZCAWhiten

SAMPLES, BATCH = 512, 128
MEAN, STD, CORRELATION = (2.0, 1.0), (1.0, 0.5), 0.75
GOAL = 1e-4
"""The loss to arrive at, in variances of y. y is exactly linear in x: the loss can go to 0."""
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Rates to choose the best from, in units of 2/λmax, where steps across the valley grow."""
MOST = 2000
"""Steps; a path that does not arrive counts as that many."""
TARGETS = 3
"""So many y are learned from the same features: some lie along the valley, some across it."""

WAYS: dict[str, Callable[[tn.Tensor], tn.Tensor]] = {
    "raw": lambda x: x,
    "zero-centred": lambda x: Center().fit_transform(x),
    "standardized": lambda x: Standardize().fit_transform(x),
    "PCA-whitened": lambda x: PCAWhiten().fit_transform(x),
    "ZCA-whitened": lambda x: ZCAWhiten().fit_transform(x),
}


def features() -> tn.Tensor:
    """Normal, (512, 2)."""
    a, b = tn.randn(2, SAMPLES, dtype=tn.float64)
    b = CORRELATION * a + (1 - CORRELATION ** 2) ** 0.5 * b
    return tn.stack([a * STD[0] + MEAN[0], b * STD[1] + MEAN[1]], 1)


def loss(w: tn.Tensor, x: tn.Tensor, y: tn.Tensor) -> tn.Tensor:
    """Half the mean square of what the model x·w is away from y."""
    return (x @ w - y).square().mean() / 2


def descent(x: tn.Tensor, y: tn.Tensor, rate: float, goal: float) -> tuple[np.ndarray, np.ndarray]:
    """SGD from w = 0 to the goal: the weights, and the loss over all samples, before each step."""
    w = tn.zeros(2, dtype=tn.float64, requires_grad=True)
    path, losses = [w.tolist()], [loss(w, x, y).item()]
    while losses[-1] > goal and len(losses) <= MOST:
        batch = tn.randint(0, SAMPLES, (BATCH,))
        (gradient,) = tn.autograd.grad(loss(w, x[batch], y[batch]), w)
        w = (w - rate * gradient).detach().requires_grad_()
        path.append(w.tolist())
        losses.append(loss(w, x, y).item())
    return np.array(path), np.array(losses)


def learned(x: tn.Tensor, y: tn.Tensor) -> tuple[np.ndarray, ...]:
    """The best weights, the Hessian, and of the best of the rates the path and the losses in
    variances of y."""
    best = np.linalg.lstsq(x.numpy(), y.numpy())[0]
    curvature = hessian(lambda w: loss(w, x, y), tn.tensor(best)).numpy()
    rates = np.array(SHARES) * 2 / np.linalg.eigvalsh(curvature)[-1]
    variance = y.var().item()
    path, losses = min((descent(x, y, rate, GOAL * variance) for rate in rates),
                       key=lambda found: len(found[1]))
    return best, curvature, path, losses / variance


def run(lesson: Lesson) -> None:
    seeds = lesson.seeds(quick=4, default=10, full=50)
    figure, axes = panels(6, columns=3, size=(3.1, 2.7))
    for seed in lesson.progress(seeds):
        tn.manual_seed(seed)
        raw = features()
        targets = [raw @ tn.randn(2, dtype=tn.float64) for _ in range(TARGETS)]
        for i, (name, way) in enumerate(WAYS.items()):
            x, found = way(raw), []
            for y in targets:
                if name != "raw":
                    y = y - y.mean()  # as there is no third weight
                best, curvature, path, losses = learned(x, y)
                smallest, largest = np.linalg.eigvalsh(curvature)
                condition, steps = largest / smallest, len(losses) - 1
                length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
                found.append((condition, steps, length / np.linalg.norm(path[-1] - path[0])))
                if seed == seeds[0] and len(found) == 1:
                    bowl(axes[i], curvature, best, path, i)
                    titles(axes[i], f"{name}: κ = {condition:.0f}, {steps} steps", "first weight",
                           "second weight")
                    curve(axes[5], np.arange(steps + 1), losses, name, i)
            condition, steps, detour = np.mean(found, axis=0)
            lesson.log(seed=seed, way=name, condition=condition, steps=steps, detour=detour)
    axes[5].set_xscale("symlog", linthresh=1)
    axes[5].set_xticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    axes[5].set_yscale("log")
    titles(axes[5], "The rounder, the sooner", "step", "loss / variance of y", legend=True)
    axes[5].set_ylim(bottom=1e-9)  # room for the names
    lesson.figure(figure)

    names = list(WAYS)
    for key, text, before, after in (
        ("centre", "Zero-centring", *names[:2]), ("scale", "Standardizing", *names[1:3]),
        ("pca", "PCA whitening, after standardizing,", *names[2:4]),
        ("zca", "ZCA whitening, after standardizing,", names[2], names[4])):
        for what, title in (("condition", "Hessian's condition number smaller"),
                            ("steps", "steps to the same loss fewer")):
            lesson.claim(f"{key}_{what}", f"{text} makes the {title}: before by after.",
                         lesson.values(what, way=before) / lesson.values(what, way=after),
                         above=1, unit=" times", reason="Where y happens to lie across the valley, "
                         "few steps do before it too." if what == "steps" else "")
    lesson.claim("zigzag", "On raw features the path is longer, in units of the straight way, than "
                 "on whitened ones: their ratio.", lesson.values("detour", way="raw")
                 / lesson.values("detour", way="PCA-whitened"), above=1, unit=" times")


if __name__ == "__main__":
    sys.exit(main(run))
