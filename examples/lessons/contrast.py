"""6b. Contrast and style: InstanceNorm takes an image's contrast out, AdaIN puts another's in.

Style is what the Gram matrix of an image's features holds: how much two features occur together,
anywhere. The features are here those of a fixed bank of random filters. A photograph is changed in
contrast and brightness, or in colour, each channel by its own line. InstanceNorm before the filters
takes both out (Ulyanov et al. 2016, arXiv:1607.08022); LayerNorm over all channels only the first;
BatchNorm, which sees the photograph and its change in one batch, none. AdaIN gives each channel the
mean and deviation of another photograph (Huang and Belongie 2017, arXiv:1703.06868): in the paper
between an encoder and a decoder, here in the pixels themselves. (The photographs are those that
scikit-learn carries: flickr.com/photos/danielbuechele and flickr.com/photos/vultilion, CC BY 2.0.)
"""

import sys
from collections.abc import Callable
from typing import Any

from kit import Lesson, bars, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.data.datasets import photos
from tinygrad_norm.viz.recording.figure import COLORS, MARKERS

CROP, FILTERS, EPS = 288, 32, 1e-8
"""Pixels a side; features; and an eps that is small beside the variance of pixels from 0 to 1."""
COLOURS = tn.tensor([[0.9, 0.5, 0.3], [0.05, 0.2, 0.35]]).reshape(2, 1, 3, 1, 1)

CHANGES: dict[str, Callable[[tn.Tensor], tn.Tensor]] = {
    "contrast": lambda x: 0.35 * x + 0.5,
    "colour": lambda x: COLOURS[0] * x + COLOURS[1],
}
NORMS: dict[str, nn.Module] = {
    "none": nn.Identity(),
    "BatchNorm": nn.BatchNorm2d(3, EPS, affine=False),
    "LayerNorm": nn.GroupNorm(1, 3, EPS, affine=False),
    "InstanceNorm": nn.InstanceNorm2d(3, EPS),
}
"""On pixels (N, 3, H, W); LayerNorm is over all of an image, as GroupNorm with one group."""


def crops(seed: int) -> tn.Tensor:
    """A piece of each of scikit-learn's two photographs: (2, 3, CROP, CROP), from 0 to 1."""
    rng = np.random.default_rng(seed)
    pieces = []
    for image in photos().values():
        i, j = (int(rng.integers(0, n - CROP + 1)) for n in image.shape[1:])
        pieces.append(image[:, i:i + CROP, j:j + CROP])
    return tn.stack(pieces)


def gram(features: tn.Tensor) -> np.ndarray:
    """For each image the mean over all places of f fᵀ: (N, C, H, W) -> (N, C, C)."""
    f = features.flatten(2)
    return (f @ f.transpose(1, 2) / f.shape[2]).numpy()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The distance of two Gram matrices, by the mean of their lengths."""
    lengths = np.linalg.norm(a) + np.linalg.norm(b)
    return float(2 * np.linalg.norm(a - b) / lengths)


@tn.no_grad()
def measured(lesson: Lesson, seed: int) -> None:
    """Log the distances for one crop of each photograph."""
    tn.manual_seed(seed)
    bank = nn.Sequential(nn.Conv2d(3, FILTERS, 7, stride=2), nn.ReLU())
    china, flower = crops(seed).split(1)
    for change, changed in CHANGES.items():
        pair = tn.cat([china, changed(china)])
        for name, norm in NORMS.items():
            lesson.log(seed=seed, change=change, norm=name, apart=apart(*gram(bank(norm(pair)))))
    given = nn.AdaIN(EPS)(china, flower)
    before, after, goal = (gram(bank(x))[0] for x in (china, given, flower))
    lesson.log(seed=seed, before=apart(before, goal), after=apart(after, goal))


def pictures(axes: list[Any], seed: int) -> None:
    """The photographs, and below each what a norm makes of it."""
    photo, style = crops(seed).split(1)
    norm = NORMS["InstanceNorm"]
    contrast, colour = (CHANGES[name](photo) for name in ("contrast", "colour"))
    below = [0.5 + norm(image) / 5 for image in (photo, contrast, colour)]
    for ax, title, image in zip(
            axes, ("A photograph", "Its contrast changed", "Its colours changed", "A style",
                   "InstanceNorm of it", "InstanceNorm of it", "InstanceNorm of it",
                   "The photograph after AdaIN"),
            (photo, contrast, colour, style, *below, nn.AdaIN(EPS)(photo, style)), strict=True):
        small = nn.functional.avg_pool2d(image, 2)[0].numpy().transpose(1, 2, 0)
        ax.imshow((255 * small.clip(0, 1)).astype(np.uint8), interpolation="none")
        ax.axis("off")
        titles(ax, title, "", "")


def run(lesson: Lesson) -> None:
    seeds = lesson.seeds(quick=3, default=10, full=50)
    for seed in lesson.progress(seeds):
        measured(lesson, seed)

    figure, axes = panels(10, columns=5, size=(2.6, 2.6))
    with tn.no_grad():
        pictures(axes[:4] + axes[5:9], seeds[0])
    top, low = axes[4], axes[9]
    for i, name in enumerate(NORMS):
        found = [lesson.values("apart", change=change, norm=name) for change in CHANGES]
        at = np.arange(len(CHANGES)) + 0.2 * (i - 1.5)
        top.plot(at, found, MARKERS[i], color=COLORS[i], markersize=5)
        top.plot([], [], MARKERS[i], color=COLORS[i], label=name)
    top.set_xticks(range(len(CHANGES)), list(CHANGES))
    top.set_yscale("log")
    titles(top, "Gram matrix: moved by a change", "", "distance")
    top.legend(frameon=False, fontsize=8, loc="center")
    before, after = lesson.values("before"), lesson.values("after")
    bars(low, {"before": before, "after AdaIN": after})
    titles(low, "Gram matrix: from the style's", "", "distance")
    lesson.figure(figure)

    def moved(change: str, norm: str) -> np.ndarray:
        """Distance of the Gram matrices before and after a change."""
        return lesson.values("apart", change=change, norm=norm)

    for change, what in (("contrast", "contrast and brightness"), ("colour", "each colour")):
        lesson.claim(change, f"InstanceNorm takes a change of {what} out: the distance of the Gram "
                     "matrices falls.", np.log10(moved(change, "none") / moved(
                         change, "InstanceNorm")), above=3, unit=" decades")
    lesson.claim("layer", "LayerNorm takes contrast out, but no change of each colour: the "
                 "distance that is left, in lengths of the matrices.", moved("colour", "LayerNorm"),
                 above=0.05)
    lesson.claim("batch", "BatchNorm takes neither out: the distance that is left after a change "
                 "of contrast.", moved("contrast", "BatchNorm"), above=0.05)
    lesson.claim("style", "With another's mean and deviation of each colour (AdaIN) a photograph's "
                 "Gram matrix lies nearer to the other's: the distance falls.",
                 np.log10(before / after), above=0.3, unit=" decades",
                 reason="mean and deviation of colours say nothing of shapes and sizes, and random "
                 "filters see both")


if __name__ == "__main__":
    sys.exit(main(run))
