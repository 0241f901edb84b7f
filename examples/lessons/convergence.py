"""4c. Convergence: which norm trains in the fewest steps depends on the rate they are compared at.

Steps to a given training loss in a network of eight hidden layers. At a small rate for all the
plain network wins, at a large one BatchNorm; so each is also given its own best rate of a grid,
that with the fewest steps (median) over the other seeds: no run is judged at a rate that was chosen
by looking at it. (The nearer to 0 the loss is, the less is left of BatchNorm's lead.) All begin
with He's weights (2015, arXiv:1502.01852), made for networks without a norm; the plain one also
with PyTorch's usual weights, from which it hardly learns at this depth. The speed-up of BatchNorm:
Ioffe and Szegedy 2015, arXiv:1502.03167, Section 4.2, on ImageNet.
"""

import sys

from kit import Lesson, bars, curve, digits, fit, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.data import TensorDataset

NETWORKS = ("none, usual", "none", "batch", "layer", "group", "rms")
DEPTH, WIDTH = 8, 64
WINDOW = 20
"""So many steps' losses are averaged."""
LEAD = 1.3
"""Times as many steps as with a norm, each at its best rate, are claimed to be needed without."""


def network(name: str) -> tn.nn.Module:
    """Eight hidden layers, with He's weights or the usual ones."""
    norm, _, usual = name.partition(", ")
    model = mlp((64, *[WIDTH] * DEPTH, 10), norm)
    return model if usual else he_weights(model)


def steps_to(target: float, model: tn.nn.Module, data: TensorDataset, most: int, rate: float
             ) -> int:
    """The step at which the mean of the last losses is the target; all steps if it never is."""
    seen: list[float] = []

    def reached() -> bool:
        return len(seen) >= WINDOW and bool(np.mean(seen[-WINDOW:]) <= target)

    def each(step: int, loss: float) -> bool:
        seen.append(loss)
        return reached()

    fit(model, data, most, lr=rate, momentum=0, each=each)
    return len(seen) if reached() else most


def at_best(steps: np.ndarray) -> np.ndarray:
    """For each seed its steps at the rate with the fewest over the other seeds.

    Args:
        steps: (seeds, rates).
    """
    others = [np.delete(steps, i, axis=0) for i in range(len(steps))]
    return np.array([row[np.median(rest, axis=0).argmin()]
                     for row, rest in zip(steps, others, strict=True)])


def run(lesson: Lesson) -> None:
    rates = np.logspace(-1.5, 0, lesson.choose(quick=3, default=4, full=7))
    most = lesson.choose(quick=60, default=250, full=1000)
    target = lesson.choose(quick=0.7, default=0.3, full=0.3)  # guessing gives 2.3
    seeds = lesson.seeds(quick=2, default=10, full=20)

    for seed in lesson.progress(seeds):
        train, _ = digits(seed)
        for name in NETWORKS:
            for rate in rates:
                tn.manual_seed(seed)
                lesson.log(seed=seed, network=name, rate=rate,
                           steps=steps_to(target, network(name), train, most, rate))

    figure, (left, right) = panels(2)
    steps, best = {}, {}
    for i, name in enumerate(NETWORKS):
        steps[name] = np.array([lesson.values("steps", seed=s, network=name) for s in seeds])
        best[name] = at_best(steps[name])
        curve(left, rates, steps[name], name, i, marked=True)
        lesson.log(network=name, best=best[name])
    left.set_xscale("log")
    left.set_ylim(0, 1.35 * most)
    titles(left, f"Steps to a training loss of {target}; {most} where it is not reached",
           "learning rate", "steps")
    left.legend(frameon=False, fontsize=8.5, ncols=3, loc="upper center")
    bars(right, best)
    titles(right, "The same, each at its own best rate", "", "steps")
    lesson.figure(figure)

    judge(lesson, rates, steps, best)


def judge(lesson: Lesson, rates: np.ndarray, steps: dict[str, np.ndarray],
          best: dict[str, np.ndarray]) -> None:
    """The claims, from the steps at each rate and those at the best one."""
    batch, plain = steps["batch"], steps["none"]
    lesson.claim("usual", "Without a norm, the usual weights need more steps than He's, each at "
                 "its best rate.", best["none, usual"] / best["none"], above=1, unit=" times")
    lesson.claim("small_rate", f"At the rate {rates[0]:.2g} for all, the plain network needs fewer "
                 "steps than BatchNorm's.", batch[:, 0] / plain[:, 0], above=1, unit=" times")
    lesson.claim("large_rate", f"At the rate {rates[-1]:.2g} for all, BatchNorm's needs fewer "
                 "steps than the plain one.", plain[:, -1] / batch[:, -1], above=1, unit=" times")
    for name, title, why in (
            ("batch", "BatchNorm", ""), ("layer", "LayerNorm", ""), ("rms", "RMSNorm", ""),
            ("group", "GroupNorm", "; a group of 8 features is no channel of an image")):
        lesson.claim(f"best_{name}", f"At its best rate, {title} needs fewer steps: without a "
                     f"norm it takes over {LEAD} times as many.",
                     best["none"] / best[name], above=LEAD, unit=" times",
                     reason=f"from He's weights a plain network of this depth trains well{why}")


if __name__ == "__main__":
    sys.exit(main(run))
