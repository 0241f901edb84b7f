"""2b. Variance by depth: plain weights lose or blow up a signal in 20 layers, a norm keeps it.

A sum of n inputs with weights of variance v has n·v times their variance, and after 20 layers the
factor is there 20 times. Xavier (Glorot and Bengio 2010) takes v = 1/n, He (He et al. 2015,
arXiv:1502.01852, Section 2.2) 2/n, as a ReLU loses half. BatchNorm (arXiv:1502.03167) and LayerNorm
(arXiv:1607.06450) put any v right on the way forward. On the way back BatchNorm does not: there
gradients grow with each layer (Yang et al. 2019, arXiv:1902.08129).
"""

import sys
from collections.abc import Callable

from kit import Lesson, curve, main, panels, titles

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm import nn

DEPTH, WIDTH, BATCH = 20, 200, 200
SMALL, LARGE = 0.02, 0.2
"""Standard deviations to either side of 1/√200 = 0.07 and √(2/200) = 0.1."""

Weights = Callable[[tn.Tensor], object]
WAYS: dict[str, tuple[Weights, Callable[[int], nn.Module] | None]] = {
    f"N(0, {SMALL}²)": (lambda w: nn.init.normal_(w, std=SMALL), None),
    f"N(0, {LARGE}²)": (lambda w: nn.init.normal_(w, std=LARGE), None),
    "Xavier": (nn.init.xavier_normal_, None),
    "He": (lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), None),
    "BatchNorm": (lambda w: nn.init.normal_(w, std=SMALL), nn.BatchNorm1d),
    "LayerNorm": (lambda w: nn.init.normal_(w, std=SMALL), nn.LayerNorm),
}
"""How the weights are drawn, and the norm after each Linear; the norms get the small weights."""


def squares(way: str, function: type[nn.Module]) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares of each layer's output and of the gradient with respect to it: (DEPTH,)."""
    weights, norm = WAYS[way]
    layers: dict[str, nn.Module] = {}
    for i in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH, bias=False)
        weights(linear.weight)
        parts = [linear, function()] if norm is None else [linear, norm(WIDTH), function()]
        layers[str(i)] = nn.Sequential(*parts)
    model = nn.Sequential(layers)
    with tn.viz.Recorder(model, list(layers), quantiles=(), bins=0, parameters=False) as recorder:
        y = model(tn.randn(BATCH, WIDTH))
        (y * tn.randn(BATCH, WIDTH)).sum().backward()  # the last gradient has variance 1
    seen = recorder.history
    outputs = [seen.outputs[name][0] for name in layers]
    return (np.array([row.mean ** 2 + row.std ** 2 for row in outputs]),
            np.array([seen.gradients[name][0].rms ** 2 for name in layers]))


def run(lesson: Lesson) -> None:
    seeds = lesson.seeds(quick=3, default=10, full=50)
    figure, axes = panels(4, size=(4.0, 2.7))
    depth = np.arange(1, DEPTH + 1)
    for row, function in enumerate((nn.Tanh, nn.ReLU)):
        name = function.__name__
        for i, way in enumerate(WAYS):
            for seed in lesson.progress(seeds, f"{name} {way}"):
                tn.manual_seed(seed)
                forward, backward = squares(way, function)
                lesson.log(seed=seed, function=name, way=way, forward=forward, backward=backward)
            curve(axes[2 * row], depth, lesson.values("forward", function=name, way=way), way, i)
            curve(axes[2 * row + 1], depth, lesson.values("backward", function=name, way=way), "",
                  i)
        titles(axes[2 * row], f"{name}: what the layers put out", "layer", "mean square")
        titles(axes[2 * row + 1], f"{name}: the gradients that come back", "layer", "mean square")
    for ax in axes:
        ax.set_yscale("log")
        ax.set_ylim(1e-9, 1e9)  # the small weights go on down, to 1e-28
        ax.set_xticks([1, 5, 10, 15, 20])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6,
                  frameon=False, fontsize=8.5, handlelength=2.6)
    lesson.figure(figure)

    def output(way: str, function: str = "ReLU") -> np.ndarray:
        """Of the last layer; the input's mean square is 1."""
        return lesson.values("forward", function=function, way=way)[:, -1]

    small, large = list(WAYS)[:2]
    lesson.claim("small", f"Through 20 layers of ReLU, weights {small} lose the signal: "
                 "input/output.", -np.log10(output(small)), above=10, unit=" decades")
    lesson.claim("large", f"Through 20 layers of ReLU, weights {large} blow it up: output/input.",
                 np.log10(output(large)), above=10, unit=" decades")
    lesson.claim("he", "Through 20 layers of ReLU, He's weights keep the signal: the smaller of "
                 "output/input and input/output.",
                 np.minimum(output("He"), 1 / output("He")), above=0.2, reason="Each layer's "
                 "factor is 1 on average only, and 20 of them wander; less in wider layers.")
    lesson.claim("xavier_relu", "Through 20 layers of ReLU, Xavier's weights, made for functions "
                 "like tanh, lose the signal: input/output.",
                 -np.log10(output("Xavier")), above=4, unit=" decades")
    lesson.claim("xavier_tanh", "Through 20 layers of tanh, Xavier's weights keep the signal: "
                 "output/input.",
                 output("Xavier", "Tanh"), above=0.2, reason="Xavier takes tanh as linear. At a "
                 "variance of 1 it is not: it saturates, and takes away until little is left.")
    for way in ("BatchNorm", "LayerNorm"):
        first = lesson.values("forward", function="ReLU", way=way)[:, 0]
        lesson.claim(way.lower(), f"{way} and ReLU keep the signal with the weights "
                     f"{small}: layer 20 by layer 1.",
                     output(way) / first, above=0.8)

    def growth(way: str) -> np.ndarray:
        """Of the gradient, for each layer that it goes back through."""
        rows = lesson.values("backward", function="ReLU", way=way)
        return (rows[:, 0] / rows[:, -1]) ** (1 / (DEPTH - 1))

    lesson.claim("backward", "With BatchNorm and ReLU the gradient's variance grows in each layer "
                 "that it goes back through (in theory π/(π-1) = 1.467 times).",
                 growth("BatchNorm"), above=1.3, unit=" times")
    lesson.claim("backward_layer", "With ReLU this growth for each layer is larger with BatchNorm "
                 "than with LayerNorm: their ratio.",
                 growth("BatchNorm") / growth("LayerNorm"), above=1.2)


if __name__ == "__main__":
    sys.exit(main(run))
