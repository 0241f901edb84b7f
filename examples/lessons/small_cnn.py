"""6c. GroupNorm at batch 4: a small CNN trains without batch statistics; thin groups train slower.

Digits of 8×8 pixels, three convolutions of 16 channels each, batches of 4. GroupNorm takes the
statistics of one image over a group of channels: one group is LayerNorm, as many groups as channels
InstanceNorm (Wu and He 2018, arXiv:1803.08494, Section 3.1). Their Table 3 has both ends worse than
the middle, their Figure 1 BatchNorm far worse at a batch of 4: of large photographs, in a deep
network. What holds at any size: BatchNorm's scores depend on the three other images of the batch.
"""

import sys

from kit import Lesson, bars, cnn, curve, digits, evaluate, fit, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.data import TensorDataset

CHANNELS, BATCH = 16, 4
WOBBLING = {"none": "no norm", "batch": "BatchNorm", "4": "4 groups"}
FEW = 0.4
"""The share of the digits to train on: the other 1078 count the errors finely."""


def network(name: str) -> tn.nn.Module:
    """Without a norm, with BatchNorm, or with so many groups."""
    return cnn((1, CHANNELS, CHANNELS, CHANNELS), norm=name if name in ("none", "batch") else
               lambda width: tn.nn.GroupNorm(int(name), width))


def trained(name: str, rate: float, train: TensorDataset, steps: int, seed: int) -> tn.nn.Module:
    """By SGD with momentum, the rate going down to 0 as a cosine."""
    tn.manual_seed(seed)
    model = network(name)
    optimizer = tn.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    decay = tn.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    fit(model, train, steps, optimizer=optimizer, batch_size=BATCH, each=lambda *_: decay.step())
    return model


@tn.no_grad()
def wobble(model: tn.nn.Module, x: tn.Tensor) -> float:
    """How far scores in training mode are from those in eval mode, by the spread of these (rms)."""
    pieces = [model.train()(part) for part in x.split(BATCH)]
    scores = model.eval()(x)
    return float(((tn.cat(pieces) - scores).square().mean().sqrt() / scores.std()).item())


def run(lesson: Lesson) -> None:
    rates = (0.003, 0.01)
    counts = lesson.choose(quick=(1, 4, 16), default=(1, 2, 4, 8, 16), full=(1, 2, 4, 8, 16))
    networks = ("none", "batch", *map(str, counts))
    steps = lesson.choose(quick=150, default=400, full=1200)
    seeds = lesson.seeds(quick=2, default=5, full=8)

    for seed in lesson.progress(seeds):
        train, test = digits(seed, train=FEW, images=True)
        for name in networks:
            for rate in rates:
                model = trained(name, rate, train, steps, seed)
                lesson.log(seed=seed, network=name, rate=rate,
                           error=100 * (1 - evaluate(model, test)[1]))
            if name in WOBBLING:
                lesson.log(seed=seed, network=name,
                           wobble=100 * wobble(model, test.tensors[0][:200]))

    figure, axes = panels(3, columns=3, size=(3.7, 3.2))
    errors = {name: np.array([lesson.values("error", seed=s, network=name) for s in seeds])
              for name in networks}  # (seeds, rates)
    for at, (ax, rate) in enumerate(zip(axes, rates, strict=False)):
        for name, label, number in (("none", "no norm", 5), ("batch", "BatchNorm", 1)):
            curve(ax, counts, np.repeat(errors[name][:, [at]], len(counts), 1), label, number)
        groups = [errors[str(count)][:, at] for count in counts]
        curve(ax, counts, np.transpose(groups), "GroupNorm", 0, marked=True)
        ax.set_xscale("log", base=2)
        ax.set_xticks(counts, ["1\nLayer", *map(str, counts[1:-1]), "16\nInstance"])
        ax.set_yscale("log")
        titles(ax, f"Test error at a batch of {BATCH}, rate {rate}", "groups", "error, %",
               legend=not at)
        ax.set_ylim(3, 100)
        ax.set_yticks([3, 10, 30, 100], ["3", "10", "30", "100"])
        ax.set_yticks([], minor=True)
    wobbles = {label: lesson.values("wobble", network=name) for name, label in WOBBLING.items()}
    bars(axes[2], wobbles)
    titles(axes[2], "Scores change from training to eval mode", "",
           "change (rms), % of their spread")
    lesson.figure(figure)

    slow, fast = range(2)
    lesson.claim("trains", f"At the rate {rates[fast]}, 4 groups err less than no norm.",
                 (errors["none"] - errors["4"])[:, fast], unit=" points")
    lesson.claim("slow", f"At the rate {rates[slow]}, by more than 10 points: without one it "
                 "hardly learns.", (errors["none"] - errors["4"])[:, slow], above=10,
                 unit=" points")
    lesson.claim("instance", f"One channel a group (InstanceNorm) errs more than 4 groups, at "
                 f"{rates[slow]}.", (errors["16"] - errors["4"])[:, slow], unit=" points")
    lesson.claim("layer", "One group (LayerNorm) errs more than 4 groups, at both rates together.",
                 (errors["1"] - errors["4"]).mean(axis=1), unit=" points",
                 reason="about one point in the paper's Table 3; here the seeds differ by more")
    lesson.claim("batch", f"At a batch of {BATCH}, 4 groups err less than BatchNorm, each at its "
                 "better rate.", errors["batch"].min(axis=1) - errors["4"].min(axis=1),
                 unit=" points", reason="of 4 images of 8×8 BatchNorm still has 256 values a "
                 "channel, 16 in the last layer, and each batch is a fair sample")
    lesson.claim("mates", "BatchNorm's scores change between training mode and eval mode.",
                 wobbles["BatchNorm"], above=10, unit=" % of their spread")
    lesson.claim("alone", "GroupNorm's do not, but for rounding.",
                 -np.log10(np.maximum(wobbles["4 groups"] / 100, 1e-16)), above=5, unit=" digits")


if __name__ == "__main__":
    sys.exit(main(run))
