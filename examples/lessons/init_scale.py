"""4b. Initial weights: a norm takes their scale out; without one a network trains near one scale.

All hidden weights of a network (He initialization) are multiplied by one factor, 10⁻³ to 10³, and
the network is trained. A norm after each layer takes the factor out of the output again, but for
eps, and the gradient becomes 1/factor times as long. So weights that are too small turn fast and
grow, until they turn at the usual speed; weights that are too large hardly turn: there it is γ, β
and the last layer that learn, on what are nearly random features. The angle by which the weights of
the second layer turn shows it. (Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.3; He et al.
2015, arXiv:1502.01852, for the factor 1.)
"""

import sys

from kit import Lesson, curve, digits, evaluate, fit, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn

NORMS = ("none", "batch", "layer")
HIDDEN = ("linear1.weight", "linear2.weight", "linear3.weight")
GOOD = 0.9
"""Test accuracy from which a run counts as trained; guessing gives 0.1."""


def network(norm: str, factor: float) -> tn.nn.Module:
    """Three hidden layers whose weights are He's times the factor."""
    model = he_weights(mlp((64, 64, 64, 64, 10), norm))
    with tn.no_grad():
        for name, parameter in model.named_parameters():
            if name in HIDDEN:
                parameter.mul_(factor)
    return model


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Between two arrays, in degrees; 90 for weights that are no finite numbers any more."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.isfinite(b).all():
        return 90.0
    chord = np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
    return float(np.degrees(2 * np.arcsin(chord / 2)))


def run(lesson: Lesson) -> None:
    factors = np.logspace(-3, 3, lesson.choose(quick=5, default=13, full=25))
    steps = lesson.choose(quick=80, default=200, full=600)
    seeds = lesson.seeds(quick=2, default=5, full=10)

    for seed in lesson.progress(seeds):
        train, test = digits(seed)
        for norm in NORMS:
            for factor in factors:
                tn.manual_seed(seed)
                model = network(norm, factor)
                weight = dict(model.named_parameters())["linear2.weight"]
                before = weight.detach().numpy().copy()
                fit(model, train, steps, lr=0.1, momentum=0)
                lesson.log(seed=seed, norm=norm, factor=factor, accuracy=evaluate(model, test)[1],
                           turned=angle(before, weight.detach().numpy()))

    figure, (left, right) = panels(2)
    widths, turned, worst = {}, {}, {}
    for i, norm in enumerate(NORMS):
        accuracy, turned[norm] = (np.array([lesson.values(what, seed=s, norm=norm) for s in seeds])
                                  for what in ("accuracy", "turned"))
        curve(left, factors, accuracy, norm, i, marked=True)
        curve(right, factors, turned[norm], norm, i, marked=True)
        widths[norm] = (accuracy > GOOD).sum(axis=1) * np.log10(factors[1] / factors[0])
        worst[norm] = accuracy.min(axis=1)
    for axes in (left, right):
        axes.set_xscale("log")
    left.set_ylim(0, 1.03)
    right.set_yscale("log")
    titles(left, f"Test accuracy after {steps} steps", "factor of the initial weights", "accuracy")
    titles(right, "How far the second layer's weights turned",
           "factor of the initial weights", "angle (degrees)", legend=True)
    lesson.figure(figure)

    judge(lesson, widths, worst, turned["batch"])


def judge(lesson: Lesson, widths: dict[str, np.ndarray], worst: dict[str, np.ndarray],
          turned: np.ndarray) -> None:
    """The claims, from decades that train, worst accuracies, and angles (seeds, factors)."""
    for norm, name in (("batch", "BatchNorm"), ("layer", "LayerNorm")):
        lesson.claim(f"range_{norm}", f"The factors from which a network trains span more decades "
                     f"with {name} than without.", widths[norm] - widths["none"], unit=" decades")
        lesson.claim(f"worst_{norm}", f"Even at the worst factor {name} lets it learn: more than "
                     "a third of the test digits are right.", worst[norm], above=1 / 3,
                     reason="long weights hardly turn, so that only γ, β and the last layer "
                     "learn; short ones turn too far at first")
    usual = turned.shape[1] // 2
    lesson.claim("frozen", "With BatchNorm, weights a thousand times as large turn at least 10⁵ "
                 "times less: their gradient is 1/1000, their length 1000.",
                 np.log10(turned[:, usual] / turned[:, -1]), above=5,
                 unit=" decades")


if __name__ == "__main__":
    sys.exit(main(run))
