"""4d. Gradient flow: a norm keeps gradients alive through 24 layers, and BatchNorm makes them grow.

The gradient of the loss by the output of each linear layer, before training and after some steps.
PyTorch's usual weights lose it on the way down; He's (2015, arXiv:1502.01852) keep its size, by a
factor that must be right; LayerNorm keeps it without one. BatchNorm does not keep it: before
training it grows with each layer down by √(π/(π-1)) = 1.21 for ReLU (Yang et al. 2019,
arXiv:1902.08129): ReLU lets half of the gradient's variance pass, and the next BatchNorm divides by
the variance of ReLU(z), 1/2 - 1/(2π) of z ~ N(0, 1). That is where very deep BatchNorm networks
without shortcuts fail. Training evens it out, from the first step on, as the paper says.
"""

import sys

from kit import Lesson, curve, digits, fit, he_weights, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn

LAYERS, WIDTH = 24, 256
NETWORKS = {"none": ("none", False), "none, He": ("none", True), "batch": ("batch", True),
            "layer": ("layer", True)}
"""The norm, and whether the weights are He's instead of the usual ones."""
MIDDLE = slice(4, -4)
"""The layers over which a growth is fitted: not the first nor the last ones."""
EXPECTED = np.sqrt(np.pi / (np.pi - 1))


def network(norm: str, he: bool) -> tn.nn.Module:
    """So many hidden layers, all of one width."""
    model = mlp((64, *[WIDTH] * LAYERS, 10), norm)
    return he_weights(model) if he else model


def flow(model: tn.nn.Module, x: tn.Tensor, y: tn.Tensor) -> np.ndarray:
    """The rms of the gradient of the outputs of the hidden linear layers, (LAYERS,)."""
    recorder = tn.viz.Recorder(model, "linear*", bins=0, parameters=False)
    with recorder, np.errstate(all="ignore"):  # a network that diverged
        tn.nn.functional.cross_entropy(model(x), y).backward()
        recorder.step()
    model.zero_grad()
    return np.array([recorder.history.column("gradients", f"linear{i}", "rms")[0]
                     for i in range(1, LAYERS + 1)])


def growth(sizes: np.ndarray) -> float:
    """By what factor the gradient grows with each layer down, from a line through its logarithm;
    NaN where it is no finite number any more."""
    if not np.isfinite(sizes).all():
        return np.nan
    logs = np.log(np.maximum(sizes, 1e-45)[MIDDLE])
    return float(np.exp(-np.polyfit(np.arange(len(logs)), logs, 1)[0]))


def run(lesson: Lesson) -> None:
    later = lesson.choose(quick=(1, 10), default=(1, 100), full=(1, 300))
    seeds = lesson.seeds(quick=2, default=5, full=10)

    for seed in lesson.progress(seeds):
        train, _ = digits(seed)
        x, y = train[:256]
        for name, (norm, he) in NETWORKS.items():
            tn.manual_seed(seed)
            model = network(norm, he)
            done = 0
            for step in (0, *later):
                fit(model, train, step - done, lr=0.1, momentum=0)
                done = step
                sizes = flow(model, x, y)
                lesson.log(seed=seed, network=name, step=step, rms=sizes, growth=growth(sizes))

    draw(lesson, (0, *later))
    judge(lesson, later)


def draw(lesson: Lesson, steps: tuple[int, ...]) -> None:
    """The gradient in each layer, before training and after some steps of it."""
    figure, grid = panels(len(steps), columns=3, size=(3.9, 3.4))
    depth = np.arange(1, LAYERS + 1)
    for axes, step in zip(grid, steps, strict=True):
        for i, name in enumerate(NETWORKS):
            curve(axes, depth, lesson.values("rms", network=name, step=step), name, i)
        axes.set_yscale("log")
        axes.set_ylim(1e-13, 1)
        titles(axes, "Before training" if not step else f"After step {step}",
               "layer, from the input on", "rms of the gradient of its output", legend=not step)
    lesson.figure(figure)


def judge(lesson: Lesson, later: tuple[int, ...]) -> None:
    """The claims."""
    def grows(name: str, step: int = 0) -> np.ndarray:
        return lesson.values("growth", network=name, step=step)

    lesson.claim("vanishing", "Without a norm and with the usual weights the gradient loses more "
                 "than half of its size with each layer.", 1 / grows("none"), above=2,
                 unit=" times")
    lesson.claim("explosion", "With BatchNorm it grows with each layer down by 1.1 or more, before "
                 "training.", grows("batch"), above=1.1, unit=" times")
    lesson.claim("theory", "That growth is √(π/(π-1)) = 1.21 to within 3%.",
                 3 - 100 * abs(grows("batch") / EXPECTED - 1), unit="% to spare",
                 reason="the theory is of wide layers and large batches")
    for key, name, text in (("level_layer", "layer", "With LayerNorm"),
                            ("level_he", "none, He", "Without a norm, from He's weights,")):
        lesson.claim(key, f"{text} it changes by less than 5% with each layer.",
                     5 - 100 * abs(grows(name) - 1), unit="% to spare",
                     reason="layers of finite width scatter")
    for step in later:
        lesson.claim(f"after_{step}", f"With BatchNorm it grows less after step {step} than before "
                     "training.", grows("batch") - grows("batch", step))


if __name__ == "__main__":
    sys.exit(main(run))
