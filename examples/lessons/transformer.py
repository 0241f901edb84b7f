"""6a. Transformers: LayerNorm before the branches trains at rates that fail without it or after it.

A small transformer sorts 2 to 8 numbers; shorter sequences are filled up with padding. Compared are
no norm, LayerNorm and RMSNorm before attention and MLP, LayerNorm after their sums, and BatchNorm
over all positions of all sequences, padding too. After the sums, the first gradients are long in
the last blocks, and training needs a warm-up (Xiong et al. 2020, arXiv:2002.04745). LayerNorm sees
one position at a time: neither padding nor batch mates count (Ba et al. 2016, arXiv:1607.06450). In
batches of one length each, which save padding, BatchNorm learns with statistics that no test has.
"""

import sys

from kit import Lesson, Transformer, bars, curve, fit, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data import DataLoader, TensorDataset

NUMBERS, LENGTH, BATCH = 10, 8, 16
PAD, IGNORED = NUMBERS, -100
"""The token of padding, and the target that cross_entropy leaves out."""
GENTLE = 0.003
"""A rate at which every norm trains."""
NETWORKS = {"none": ("none", True), "LayerNorm before": ("layer", True),
            "LayerNorm after": ("layer", False), "BatchNorm before": ("batch", True),
            "RMSNorm before": ("rms", True)}
"""The norm, and whether it stands before the branches."""


def numbers(lengths: np.ndarray, rng: np.random.Generator) -> TensorDataset:
    """Numbers at random, so many in each sequence, and the same sorted."""
    there = np.arange(LENGTH) < lengths[:, None]
    tokens = np.where(there, rng.integers(0, NUMBERS, there.shape), PAD)
    return TensorDataset(tn.tensor(tokens), tn.tensor(np.where(there, np.sort(tokens), IGNORED)))


def loss_of(scores: tn.Tensor, y: tn.Tensor) -> tn.Tensor:
    """Cross-entropy, the mean over what is no padding."""
    return nn.functional.cross_entropy(scores.flatten(0, 1), y.flatten(), ignore_index=IGNORED)


@tn.no_grad()
def accuracy(model: nn.Module, data: TensorDataset, *, training: bool = False) -> float:
    """The percentage of the numbers that stand in their place, in eval or in training mode."""
    x, y = data.tensors
    model.train(training)
    with np.errstate(all="ignore"):
        right = (model(x).argmax(-1) == y).sum() / (y != IGNORED).sum()
    model.train()
    return 100 * right.item()


def trained(name: str, rate: float, steps: int, seed: int, *, one_length: bool = False
            ) -> nn.Module:
    """By Adam, on batches of many lengths or of one each."""
    tn.manual_seed(seed)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LENGTH + 1, steps if one_length else steps * BATCH)
    data = numbers(np.repeat(lengths, BATCH) if one_length else lengths, rng)
    norm, first = NETWORKS[name]
    model = Transformer(NUMBERS + 1, NUMBERS, LENGTH, norm, norm_first=first, padding=PAD)
    optimizer = tn.optim.Adam(model.parameters(), lr=rate)
    fit(model, DataLoader(data, BATCH), steps, optimizer=optimizer, criterion=loss_of)
    return model


def run(lesson: Lesson) -> None:
    rates = lesson.choose(quick=(0.03,), default=(0.003, 0.01, 0.03),
                          full=(0.001, 0.003, 0.01, 0.03))
    steps = lesson.choose(quick=50, default=120, full=300)
    seeds = lesson.seeds(quick=2, default=8, full=8)
    few = seeds[:3]  # for what is drawn only

    for seed in lesson.progress(seeds):
        rng = np.random.default_rng(seed + 1_000_000)
        test = numbers(rng.integers(2, LENGTH + 1, 448), rng)
        tests = [numbers(np.full(64, length), rng) for length in range(2, LENGTH + 1)]
        for name in NETWORKS:
            for rate in rates if seed in few else rates[-1:]:
                model = trained(name, rate, steps, seed)
                lesson.log(seed=seed, network=name, rate=rate, accuracy=accuracy(model, test))
        for name in ("BatchNorm before", "LayerNorm before")[:2 if seed in few else 1]:
            model = trained(name, GENTLE, steps, seed, one_length=True)
            for mode in ("eval", "training"):  # in this order: training mode moves the averages
                lesson.log(seed=seed, network=name, mode=mode, one_length=np.mean(
                    [accuracy(model, part, training=mode == "training") for part in tests]))

    figure, (left, right) = panels(2)
    for i, name in enumerate(NETWORKS):
        ends = [lesson.values("accuracy", network=name, rate=rate)[:len(few)] for rate in rates]
        curve(left, rates, np.transpose(ends), name, i, marked=True)
    one_length = {f"{name.split()[0]}\n{mode} mode": lesson.values(
        "one_length", network=name, mode=mode)
        for name in ("LayerNorm before", "BatchNorm before") for mode in ("training", "eval")}
    bars(right, one_length)
    for axes in (left, right):
        axes.set_ylim(0, 100)
    left.set_xscale("log")
    left.set_xticks(rates, [f"{rate:g}" for rate in rates])
    left.set_xticks([], minor=True)
    titles(left, f"Test accuracy after {steps} steps", "learning rate", "accuracy (%)",
           legend=True)
    titles(right, f"Learned from batches of one length, rate {GENTLE}", "", "accuracy (%)")
    lesson.figure(figure)

    at = f"At the rate {rates[-1]}"
    end = {name: lesson.values("accuracy", network=name, rate=rates[-1]) for name in NETWORKS}
    before = end["LayerNorm before"]
    lesson.claim("none", f"{at} LayerNorm before the branches sorts better than no norm.",
                 before - end["none"], above=10, unit=" points")
    lesson.claim("after", f"{at} it sorts better than LayerNorm after the sums.",
                 before - end["LayerNorm after"], above=10, unit=" points")
    lesson.claim("rms", f"{at} RMSNorm sorts as well, to within 15 points.",
                 15 - abs(end["RMSNorm before"] - before), unit=" points to spare")
    lesson.claim("batch", f"{at} LayerNorm sorts better than BatchNorm with its padding.",
                 before - end["BatchNorm before"], unit=" points",
                 reason=f"the test is padded as the training was, and {BATCH} x {LENGTH} positions "
                 "are enough for good statistics; the figure has the smaller rates")
    training, averages = (one_length[f"BatchNorm\n{mode} mode"] for mode in ("training", "eval"))
    lesson.claim("one_length", "Learned from batches of one length, BatchNorm sorts worse in eval "
                 "mode than in training mode.", training - averages, above=2, unit=" points")


if __name__ == "__main__":
    sys.exit(main(run))
