"""The catalogue: every normalization, what it does in the words of the algebra, and one to try.

It is what the table in docs/normalization.md, ``python -m tinygrad_norm certify`` and the tests of
invariances run through; a new normalization is a new entry. Not imported with the package.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..nn import normalization as norms
from ..nn.module import Module
from ..nn.normalization.scale_norm import normalize
from ..tensors.creation import cat
from .invariances import declared

Inputs = Callable[[np.random.Generator], tuple[np.ndarray, ...]]


class Entry(NamedTuple):
    """One normalization. ``make`` and ``inputs`` give a small one to experiment with."""

    name: str
    """The layer's name; 2d, 3d and lazy forms are not listed: ``forms.py`` makes them of the 1d."""
    centred: str
    """What is subtracted."""
    scale: str
    """What is divided by."""
    memory: str
    """What is remembered from training."""
    affine: str
    """The shape of weight and bias."""
    paper: str
    use: str
    """When to take it."""
    make: Callable[..., Any]
    """make(affine: bool, **options) -> the layer; options: dtype, device, and where there is a 1d
    form ``kind``, the class to make instead."""
    inputs: Inputs
    """The arguments of its forward, from random numbers: float64 values or integer labels."""
    invariances: tuple[str, ...] = ()
    """What may be done to its input, in training: names of ``invariances.py``."""
    said: str = ""
    """What the docs say of it, where the layer to try is a special case."""

    @property
    def reduced(self) -> str:
        """The axes along which the values are normalized together, as the class says."""
        if self.name == "normalize":
            return "the axes dim"
        kind = getattr(norms, self.name, None)
        if kind is None:  # of weights: weight_norm is _WeightNorm
            from ..nn.utils import parametrizations

            kind = getattr(parametrizations, "_" + self.name.title().replace("_", ""))
        return str(kind.reduced)


def normal(*shapes: tuple[int, ...]) -> Inputs:
    """Normal values with an offset, one array for each shape."""
    return lambda random: tuple(random.normal(0.3, 1.2, shape) for shape in shapes)


def labelled(shape: tuple[int, ...], classes: int) -> Inputs:
    """Normal values with an offset, and a label for each of the samples."""
    return lambda random: (*normal(shape)(random), random.integers(0, classes, shape[0]))


def parametrized(function: str, bias: bool, **options: Any) -> Any:
    """A linear layer whose weight is normalized by that function of nn.utils.parametrizations."""
    from ..nn.linear import Linear
    from ..nn.utils import parametrizations

    return getattr(parametrizations, function)(Linear(5, 5, bias, **options))


class _Shards(Module):
    """A SyncBatchNorm that gets its batch in two shards."""

    def __init__(self, norm: Any) -> None:
        self.norm = norm

    def forward(self, x: Any) -> Any:
        return cat(self.norm([x[:1], x[1:]]))

    def in_pytorch(self, torch: Any) -> Any:
        """PyTorch's layer; without a process group the batch in one piece is all it knows."""
        affine = self.norm.affine
        return torch.nn.Sequential(OrderedDict(norm=torch.nn.SyncBatchNorm(3, affine=affine)))


class _Normalize(Module):
    """``functional.normalize``, here and in PyTorch, as a layer."""

    def forward(self, x: Any) -> Any:
        return normalize(x)

    def in_pytorch(self, torch: Any) -> Any:
        layer = torch.nn.Module()
        layer.forward = torch.nn.functional.normalize
        return layer


PERMUTATIONS = ("sample permutation", "channel permutation", "position permutation")

ENTRIES: list[Entry] = [
    Entry(
        "BatchNorm1d", "mean", "√(var + eps)", "mean, variance", "(C,)",
        "Ioffe, Szegedy 2015, arXiv:1502.03167", "batches of 16 and more of one distribution",
        lambda affine, kind=norms.BatchNorm1d, **o: kind(3, affine=affine, **o),
        normal((4, 3, 2)),
        declared("channel shift", "channel scale", *PERMUTATIONS),
    ),
    Entry(
        "BatchRenorm1d", "mean", "√(var + eps), corrected by r and d",
        "mean, deviation", "(C,)", "Ioffe 2017, arXiv:1702.03275",
        "small batches, or batches that are not alike",
        lambda affine, kind=norms.BatchRenorm1d, **o: kind(3, affine=affine, **o),
        normal((4, 3, 2)),
        PERMUTATIONS,
    ),
    Entry(
        "SyncBatchNorm", "mean", "√(var + eps)", "mean, variance",
        "(C,)", "Ioffe, Szegedy 2015, arXiv:1502.03167", "a batch that lies in several places",
        lambda affine, **o: _Shards(norms.SyncBatchNorm(3, affine=affine, **o)),
        normal((4, 3, 2)),
        declared("channel shift", "channel scale", *PERMUTATIONS),
    ),
    Entry(
        "GhostBatchNorm", "mean", "√(var + eps)", "mean, variance", "(C,)",
        "Hoffer, Hubara, Soudry 2017, arXiv:1705.08741",
        "large batches that should train as small ones do",
        lambda affine, **o: norms.GhostBatchNorm(3, 2, affine=affine, **o), normal((5, 3, 2)),
        declared("channel shift", "channel scale", "channel permutation", "position permutation"),
    ),
    Entry(
        "InstanceNorm1d", "mean", "√(var + eps)", "if asked for", "(C,)",
        "Ulyanov et al. 2016, arXiv:1607.08022", "style: contrast of an image must not matter",
        lambda affine, kind=norms.InstanceNorm1d, **o: kind(3, affine=affine, **o),
        normal((2, 3, 5)),
        declared("instance shift", "instance scale", *PERMUTATIONS),
    ),
    Entry(
        "GroupNorm", "mean", "√(var + eps)", "nothing", "(C,)",
        "Wu, He 2018, arXiv:1803.08494", "images in batches of 1 to 8",
        lambda affine, **o: norms.GroupNorm(2, 4, affine=affine, **o), normal((2, 4, 3)),
        declared("sample shift", "sample scale", "sample permutation", "position permutation"),
    ),
    Entry(
        "LayerNorm", "mean", "√(var + eps)", "nothing", "normalized_shape",
        "Ba, Kiros, Hinton 2016, arXiv:1607.06450", "sequences, transformers",
        lambda affine, **o: norms.LayerNorm(5, elementwise_affine=affine, **o), normal((4, 5)),
        declared("sample shift", "sample scale", "sample permutation", "channel permutation"),
    ),
    Entry(
        "RMSNorm", "nothing", "√(mean square + eps)", "nothing",
        "normalized_shape", "Zhang, Sennrich 2019, arXiv:1910.07467",
        "transformers, where centring is not worth its time",
        lambda affine, **o: norms.RMSNorm(5, elementwise_affine=affine, **o), normal((4, 5)),
        declared("sample scale", "sample permutation", "channel permutation"),
    ),
    Entry(
        "IterNorm", "mean", "Σ^(1/2), Σ the covariance of C/groups channels + eps I",
        "mean, whitening matrix", "(C,)", "Huang et al. 2019, arXiv:1904.03441",
        "channels that are correlated, in large batches",
        lambda affine, **o: norms.IterNorm(3, affine=affine, **o), normal((4, 3, 2)),
        declared("channel shift", "scale", *PERMUTATIONS),
    ),
    Entry(
        "SwitchableNorm1d", "the means, mixed",
        "√(the variances, mixed, + eps)", "mean, variance", "(C,)",
        "Luo et al. 2018, arXiv:1806.10779", "when it is not known which norm a layer needs",
        lambda affine, kind=norms.SwitchableNorm1d, **o: kind(
            3, affine=affine, using_in=True, **o),
        normal((3, 3, 4)), declared("shift", "scale", *PERMUTATIONS),
    ),
    Entry(
        "EvoNormB0", "nothing",
        "max(√(var + eps), v x + √(own var + eps))", "variance", "(C,)",
        "Liu et al. 2020, arXiv:2004.02967", "in place of BatchNorm and its activation",
        lambda affine, **o: norms.EvoNormB0(3, affine=affine, **o), normal((3, 3, 4)),
        declared("channel scale", *PERMUTATIONS),
    ),
    Entry(
        "EvoNormS0", "nothing", "√(var + eps), and times sigmoid(v x)",
        "nothing", "(C,)", "Liu et al. 2020, arXiv:2004.02967",
        "in place of GroupNorm and its activation",
        lambda affine, **o: norms.EvoNormS0(4, 2, affine=affine, **o), normal((2, 4, 3)),
        declared("sample permutation", "position permutation"),
    ),
    Entry(
        "FilterResponseNorm1d", "nothing", "√(mean square + eps), then max with τ",
        "nothing", "(C,)", "Singh, Krishnan 2019, arXiv:1911.09737",
        "images in batches of any size, down to 1",
        lambda affine, kind=norms.FilterResponseNorm1d, **o: kind(3, affine=affine, **o),
        normal((2, 3, 5)),
        declared("instance scale", *PERMUTATIONS),
    ),
    Entry(
        "TLU", "nothing", "nothing; max(x, τ)", "nothing", "τ: (C,)",
        "Singh, Krishnan 2019, arXiv:1911.09737", "after FilterResponseNorm with tlu=False",
        lambda affine, **o: norms.TLU(3, **o), normal((2, 3, 5)), PERMUTATIONS,
    ),
    Entry(
        "ScaleNorm", "nothing", "max(‖x‖, eps)", "nothing", "(1,)",
        "Nguyen, Salazar 2019, arXiv:1910.05895", "transformers: one length for all vectors",
        lambda affine, **o: norms.ScaleNorm(5, affine=affine, **o), normal((4, 5)),
        declared("sample scale", "sample permutation", "channel permutation"),
    ),
    Entry(
        "normalize", "nothing", "max(‖x‖ₚ, eps)", "nothing", "none", "—",
        "vectors of which only the direction counts",
        lambda affine, **o: _Normalize(), normal((4, 5)),
        declared("sample scale", "sample permutation", "channel permutation"),
    ),
    Entry(
        "LocalResponseNorm", "nothing", "(k + α mean square)^β", "nothing",
        "none", "Krizhevsky, Sutskever, Hinton 2012, NeurIPS", "AlexNet; its heirs take BatchNorm",
        lambda affine, **o: norms.LocalResponseNorm(3, alpha=0.5), normal((2, 4, 3)),
        declared("sample permutation", "position permutation"),
    ),
    Entry(
        "ConditionalBatchNorm1d", "mean", "√(var + eps)", "mean, variance",
        "(classes, C)", "de Vries et al. 2017, arXiv:1707.00683",
        "generators and styles that know their class",
        lambda affine, kind=norms.ConditionalBatchNorm1d, **o: kind(3, 4, **o),
        labelled((4, 3, 2), 4),
        declared("channel shift", "channel scale", *PERMUTATIONS),
    ),
    Entry(
        "AdaIN", "mean", "√(var + eps)", "nothing", "from a style",
        "Huang, Belongie 2017, arXiv:1703.06868", "style transfer",
        lambda affine, **o: norms.AdaIN(), normal((2, 3, 5), (2, 3, 4)),
        declared("instance shift", "instance scale", "position permutation"),
    ),
    Entry(
        "FiLM", "nothing", "nothing", "nothing", "from a condition",
        "Perez et al. 2018, arXiv:1709.07871", "features that a second input must steer",
        lambda affine, **o: norms.FiLM(3, 2, **o), normal((2, 3, 4), (2, 2)),
        declared("position permutation"),
    ),
    Entry(
        "AdaptiveNorm", "as its norm", "as its norm", "as its norm",
        "from a condition", "Peebles, Xie 2023, arXiv:2212.09748",
        "generators steered by a class, a text or a time step",
        lambda affine, **o: norms.AdaptiveNorm(norms.GroupNorm(1, 3, affine=False), 2, **o),
        normal((2, 3, 4), (2, 2)),
        declared("sample shift", "sample scale", "position permutation"),
        "the shifts and scales of its norm; permutation of positions",
    ),
    Entry(
        "DyT", "nothing", "nothing; tanh(α x)", "nothing",
        "normalized_shape", "Zhu et al. 2025, arXiv:2503.10622",
        "a contrast: what a norm does beyond squashing",
        lambda affine, **o: norms.DyT(5, elementwise_affine=affine, **o), normal((4, 5)),
        declared("sample permutation", "channel permutation"),
    ),
    Entry(
        "weight_norm", "nothing", "‖v‖", "nothing", "g: (out, 1)",
        "Salimans, Kingma 2016, arXiv:1602.07868", "where batches are small or samples depend",
        lambda affine, **o: parametrized("weight_norm", affine, **o), normal((4, 5)),
        declared("sample permutation", "row scale"),
    ),
    Entry(
        "spectral_norm", "nothing", "σ, its largest singular value",
        "its singular vectors", "none", "Miyato et al. 2018, arXiv:1802.05957",
        "critics and others that must be 1-Lipschitz",
        lambda affine, **o: parametrized("spectral_norm", affine, **o), normal((4, 5)),
        declared("sample permutation", "W scale"),
    ),
    Entry(
        "weight_standardization", "mean", "√(var + eps)", "nothing",
        "none", "Qiao et al. 2019, arXiv:1903.10520", "with GroupNorm, in batches of 1 to 8",
        lambda affine, **o: parametrized("weight_standardization", affine, **o), normal((4, 5)),
        declared("sample shift", "sample permutation", "row scale", "row shift"),
    ),
]  # fmt: skip


def entry(name: str) -> Entry:
    """The entry of a layer.

    Raises:
        ValueError: there is none of that name.
    """
    for found in ENTRIES:
        if found.name == name:
            return found
    raise ValueError(f"catalogue: expected one of {', '.join(e.name for e in ENTRIES)}, got {name}")

