"""4g. Effective learning rate: weights before a norm only turn, and their length sets how fast.

A norm takes the length of the weights before it out of the output. So the gradient is at right
angles to them and 1/a times as long for weights a times as long: with lr they turn as weights of
length 1 would with lr/|w|², the effective rate. Each step of plain SGD makes them longer (by
Pythagoras), and slows itself down; with weight decay, growth and decay balance, and the length from
which training began is forgotten. (Van Laarhoven 2017, arXiv:1706.05350; Hoffer et al. 2018,
arXiv:1803.01814.)
"""

import sys

from kit import Lesson, curve, digits, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn

LR = 0.1
DECAY = 0.05
"""With LR it takes 1/(2 · LR · DECAY) = 100 steps to forget a length. It is for the weights before
the norms alone: there it changes no output, so it can be this large."""
HIDDEN = ("linear1.weight", "linear2.weight")
LATE = 100
"""So many of the last steps are averaged."""
RUNS = {"no decay": (1.0, 0.0), "no decay, from |w|/9": (1 / 9, 0.0), "decay": (1.0, DECAY),
        "decay, from |w|/9": (1 / 9, DECAY)}
"""What the initial weights are multiplied by, and the decay."""


def network(norm: str, factor: float = 1.0) -> tuple[tn.nn.Module, dict[str, tn.Tensor]]:
    """Two hidden layers, whose weights are the usual ones times the factor; and all parameters."""
    model = mlp((64, 64, 64, 10), norm)
    parameters: dict[str, tn.Tensor] = dict(model.named_parameters())
    with tn.no_grad():
        for name in HIDDEN:
            parameters[name].mul_(factor)
    return model, parameters


def size(x: tn.Tensor) -> float:
    return float(np.linalg.norm(x.detach().numpy().astype(np.float64)))


def gradient(model: tn.nn.Module, weight: tn.Tensor, x: tn.Tensor, y: tn.Tensor
             ) -> tuple[float, float]:
    """Its length, and the cosine of its angle with the weight."""
    (g,) = tn.autograd.grad(tn.nn.functional.cross_entropy(model(x), y), [weight])
    return size(g), (g * weight).sum().item() / (size(g) * size(weight))


def trained(name: str, seed: int, steps: int) -> list[float]:
    """The length of the second layer's weights before and after each step."""
    factor, decay = RUNS[name]
    tn.manual_seed(seed)
    model, parameters = network("batch", factor)
    lengths = [size(parameters[HIDDEN[1]])]
    optimizer = tn.optim.SGD([
        {"params": [parameters[name] for name in HIDDEN], "weight_decay": decay},
        {"params": [p for name, p in parameters.items() if name not in HIDDEN]}], lr=LR)
    fit(model, digits(seed)[0], steps, optimizer=optimizer,
        each=lambda *_: lengths.append(size(parameters[HIDDEN[1]])))
    return lengths


def run(lesson: Lesson) -> None:
    factors = np.logspace(-1, 2, 7)
    steps = lesson.choose(quick=600, default=800, full=3000)
    seeds = lesson.seeds(quick=2, default=5, full=10)

    for seed in lesson.progress(seeds):
        x, y = digits(seed)[0][:256]
        for norm in ("none", "batch"):
            for factor in factors:
                tn.manual_seed(seed)
                model, parameters = network(norm, factor)
                length, cosine = gradient(model, parameters[HIDDEN[1]], x, y)
                lesson.log(seed=seed, norm=norm, factor=factor, gradient=length, cosine=cosine)
        for name in RUNS:
            lesson.log(seed=seed, run=name, length=trained(name, seed, steps))
    draw(lesson, factors, steps)
    judge(lesson, factors)


def draw(lesson: Lesson, factors: np.ndarray, steps: int) -> None:
    """The gradient against the length of the weights, and both lengths and rates in training."""
    figure, (left, middle, right) = panels(3, columns=3, size=(4.2, 3.4))
    for i, norm in enumerate(("none", "batch")):
        found = [lesson.values("gradient", norm=norm, factor=factor) for factor in factors]
        curve(left, factors, np.transpose(found), norm, i, marked=True)
    for i, name in enumerate(RUNS):
        lengths = lesson.values("length", run=name)
        curve(middle, np.arange(steps + 1), lengths, name, i)
        curve(right, np.arange(steps + 1), LR / lengths ** 2, name, i)
    left.set_xscale("log")
    for axes in (left, middle, right):
        axes.set_yscale("log")
    titles(left, "Gradient of weights of another length", "factor of the weights |w|",
           "length of the gradient", legend=True)
    titles(middle, "Length of the weights in training", "step", "|w|", legend=True)
    titles(right, "Effective learning rate", "step", "lr / |w|²")
    lesson.figure(figure)


def judge(lesson: Lesson, factors: np.ndarray) -> None:
    """The claims."""
    lengths = {name: lesson.values("length", run=name) for name in RUNS}
    found = [lesson.values("gradient", norm="batch", factor=factor) for factor in factors]
    slope = np.polyfit(np.log(factors), np.log(found), 1)[0]
    lesson.claim("right_angle", "The gradient of weights before BatchNorm is at right angles to "
                 "them: the cosine is below 10⁻³.",
                 -np.log10(abs(lesson.values("cosine", norm="batch", factor=1.0))), above=3,
                 unit=" decades")
    lesson.claim("inverse", "It goes as 1/|w|: the exponent is -1 to within 0.01.",
                 0.01 - abs(slope + 1), unit=" to spare")
    longer = lengths["no decay, from |w|/9"]
    lesson.claim("grows", "Without decay 99% of the steps, or more, make the weights longer.",
                 (np.diff(longer) > 0).mean(axis=1), above=0.99)
    lesson.claim("slows", "So weights that began short have an effective learning rate that falls "
                 "to less than a third.", (longer[:, -1] / longer[:, 0]) ** 2, above=3,
                 unit=" times smaller")
    apart = {}
    for name in ("no decay", "decay"):
        ends = [lengths[run][:, -LATE:].mean(axis=1) for run in (name, f"{name}, from |w|/9")]
        apart[name] = 100 * abs(ends[0] / ends[1] - 1)
    lesson.claim("remembers", "Without decay, weights that began nine times as long as others are "
                 "50% longer or more at the end.", apart["no decay"], above=50, unit="%")
    lesson.claim("forgets", "With decay they end within 20% of the others.", 20 - apart["decay"],
                 unit="% to spare", reason="it takes several times 1/(2 · lr · decay) steps")


if __name__ == "__main__":
    sys.exit(main(run))
