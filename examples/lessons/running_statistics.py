"""3. Running statistics: inference uses averages that lag behind the weights, most of all early.

In training a BatchNorm uses each batch's mean and variance, in inference the running averages of
those it has seen (Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.1). Averages with momentum m
remember about 1/m steps, and begin with 0 and 1, which no batch has; momentum=None takes the plain
mean of all batches, also of those from before the weights moved. One network is trained with each;
the momentum has no influence on its weights. recalibrate() measures the statistics of all training
data with the weights as they are (Wu and Johnson 2021, arXiv:2105.07576, Section 3).
"""

import copy
import sys
import warnings

from kit import Lesson, curve, digits, evaluate, fit, main, mlp, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn import functional as F
from tinygrad_norm.viz.recording.figure import GREY

MOMENTA = {"momentum 0.1": 0.1, "momentum 0.01": 0.01, "momentum None": None}
EARLY, LATER = 5, 30
"""Steps at which the claims look, beside the last one."""
EARLY_LOSS = "So early the test losses of the seeds are far apart; with more seeds it shows."
UNIT = 0
"""The channel of norm3 whose variance is drawn."""


def variances(model: nn.Module) -> np.ndarray:
    """The running variances, (layers, channels)."""
    return np.array([layer.running_var.tolist() for layer in model.modules()
                     if isinstance(layer, nn.BatchNorm1d) and layer.running_var is not None])


def trained(
    momentum: float | None, seed: int, steps: int, looks: list[int]
) -> dict[str, list[float]]:
    """What is seen after so many steps, and the variance of a channel at each."""
    train, test = digits(seed)
    tn.manual_seed(seed)
    model = mlp((64, 64, 64, 64, 10), lambda width: nn.BatchNorm1d(width, momentum=momentum))
    seen: dict[str, list[float]] = {
        "eval": [], "own": [], "cured": [], "error": [], "running": []}

    def look(step: int, loss: float = 0.0) -> None:
        seen["running"].append(variances(model)[2, UNIT])
        if step + 1 not in looks:
            return
        cured = copy.deepcopy(model)
        with tn.no_grad():
            seen["own"].append(F.cross_entropy(cured(test.tensors[0]), test.tensors[1]).item())
        nn.utils.recalibrate(cured, train.tensors[0].split(64))
        seen["eval"].append(evaluate(model, test)[0])
        seen["cured"].append(evaluate(cured, test)[0])
        seen["error"].append(np.abs(variances(model) / variances(cured) - 1).mean())

    with tn.viz.Recorder(model, "linear3", units={"linear3": UNIT}, bins=0, gradients=False,
                         parameters=False) as recorder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no batch was seen", UserWarning)
        look(-1)

        def each(step: int, loss: float) -> None:
            recorder.step()
            look(step)

        fit(model, train, steps, lr=0.1, momentum=0.9, each=each)
    std = recorder.history.column("units", f"linear3 unit {UNIT}", "std")
    return {**seen, "batches": (std ** 2).tolist()}


def run(lesson: Lesson) -> None:
    steps = lesson.choose(quick=60, default=250, full=1000)
    looks = sorted({0, 1, 2, EARLY, LATER, *np.geomspace(
        3, steps, lesson.choose(quick=6, default=18, full=30)).round().astype(int).tolist()})
    seeds = lesson.seeds(quick=3, default=10)
    for seed in lesson.progress(seeds):
        for name, momentum in MOMENTA.items():
            lesson.log(seed=seed, momentum=name, after=looks,
                       **trained(momentum, seed, steps, looks))

    figure, axes = panels(3, columns=3, size=(3.5, 3.1))
    (batches,) = lesson.values("batches", seed=seeds[0], momentum="momentum 0.1")
    axes[0].plot(np.arange(1, steps + 1), batches, ".", color=GREY, markersize=2, label="batches")
    for i, name in enumerate(MOMENTA):
        curve(axes[0], np.arange(steps + 1), lesson.values("running", seed=seeds[0], momentum=name),
              name, i)
        curve(axes[1], looks, lesson.values("error", momentum=name), name, i)
        curve(axes[2], looks, lesson.values("eval", momentum=name), f"eval, {name}", i)
    curve(axes[2], looks, lesson.values("own", momentum="momentum 0.1"), "train mode", 3)
    curve(axes[2], looks, lesson.values("cured", momentum="momentum 0.1"), "recalibrated", 4)
    titles(axes[0], "A channel's variance: averages lag", "step", "variance", legend=True)
    titles(axes[1], "Error of the running variances", "step", "relative error", legend=True)
    titles(axes[2], "Test loss: eval is late", "step", "cross-entropy", legend=True)
    for ax in axes[1:]:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xticks([0, 1, 2, 5, 10, 30, 100], ["0", "1", "2", "5", "10", "30", "100"])
        ax.set_yscale("log")
    lesson.figure(figure)

    def at(name: str, momentum: str, step: int) -> np.ndarray:
        return lesson.values(name, momentum=f"momentum {momentum}")[:, looks.index(step)]

    lesson.claim("unset", "Before the first batch the running variances, which are 1, are off by "
                 "more than the variances themselves: relative error.",
                 at("error", "0.1", 0), above=1)
    lesson.claim("early", f"After {EARLY} steps with momentum 0.1 the test loss is higher in eval "
                 "mode than in train mode: difference.",
                 at("eval", "0.1", EARLY) - at("own", "0.1", EARLY),
                 above=0.2)
    lesson.claim("early_none", f"After {EARLY} steps momentum=None has a lower loss in eval mode "
                 "than 0.1: difference.",
                 at("eval", "0.1", EARLY) - at("eval", "None", EARLY), above=0.2)
    lesson.claim("late_none", f"After {steps} steps the variances of momentum=None are further off "
                 "than those of 0.1: their ratio.",
                 at("error", "None", steps) / at("error", "0.1", steps), above=1.5, unit=" times")
    for key, what, other in (
            ("slow", "the test loss is higher in eval mode than in train mode", "own"),
            ("cure", "recalibration lowers the test loss", "cured")):
        lesson.claim(key, f"After {LATER} steps with momentum 0.01 {what}.",
                     np.log10(at("eval", "0.01", LATER) / at(other, "0.01", LATER)),
                     unit=" decades", reason=EARLY_LOSS)
    lesson.claim("cure_late", f"After {steps} steps with momentum 0.1 recalibration still lowers "
                 "the test loss.", at("eval", "0.1", steps) - at("cured", "0.1", steps),
                 reason="The weights hardly move any more, and the averages have caught up.")


if __name__ == "__main__":
    sys.exit(main(run))
