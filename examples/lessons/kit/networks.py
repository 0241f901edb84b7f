"""Small networks with a normalization by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from tinygrad_norm import Tensor, nn


class ChannelwiseNorm(nn.Module):
    """InstanceNorm1d on features (N, C), seen as ``channels`` channels of C/channels positions."""

    def __init__(self, channels: int) -> None:
        self.instance = nn.InstanceNorm1d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        n, features = x.shape
        return self.instance(x.reshape(n, self.instance.num_features, -1)).reshape(n, features)


NORMS: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda width, groups: nn.BatchNorm1d(width),
    "batch_renorm": lambda width, groups: nn.BatchRenorm1d(width),
    "layer": lambda width, groups: nn.LayerNorm(width),
    "instance": lambda width, groups: ChannelwiseNorm(groups),
    "group": lambda width, groups: nn.GroupNorm(groups, width),
    "rms": lambda width, groups: nn.RMSNorm(width),
}
"""Layers of features (N, C), by name: of the width, and the number of groups."""

NORMS_2D: dict[str, Callable[[int, int], nn.Module]] = {
    "batch": lambda width, groups: nn.BatchNorm2d(width),
    "batch_renorm": lambda width, groups: nn.BatchRenorm2d(width),
    "layer": lambda width, groups: nn.GroupNorm(1, width),
    "instance": lambda width, groups: nn.InstanceNorm2d(width, affine=True),
    "group": lambda width, groups: nn.GroupNorm(groups, width),
}
"""Layers of images (N, C, H, W), by name. "layer" is over (C, H, W) with an affine part for each
channel, as in Wu and He 2018 (arXiv:1803.08494), Section 3.1: a GroupNorm of one group."""


class PositionsBatchNorm(nn.BatchNorm1d):
    """BatchNorm of sequences (N, L, C), over N and L."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).reshape(*x.shape)


NORMS_SEQUENCE: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
    "batch": PositionsBatchNorm,
}
"""Layers of sequences (N, L, C), by name."""

Norm = str | Callable[[int], nn.Module]


def mlp(widths: Sequence[int], norm: Norm = "none", groups: int = 8) -> nn.Sequential:
    """Linear, norm, ReLU for each hidden width, then Linear: (N, widths[0]) -> (N, widths[-1]).

    The layers are named linear1, norm1, relu1, ...

    Args:
        norm: a name of :data:`NORMS`, "none", or a function that makes a layer of a width.
        groups: of "group"; the channels of "instance".
    """
    make = _maker("mlp", norm, NORMS, groups)
    layers: dict[str, nn.Module] = {}
    for i, (before, width) in enumerate(pairwise(widths[:-1]), 1):
        layers[f"linear{i}"] = nn.Linear(before, width)
        if make is not None:
            layers[f"norm{i}"] = make(width)
        layers[f"relu{i}"] = nn.ReLU()
    layers[f"linear{len(widths) - 1}"] = nn.Linear(widths[-2], widths[-1])
    return nn.Sequential(layers)


def cnn(
    channels: Sequence[int] = (1, 16, 32), classes: int = 10, norm: Norm = "none", groups: int = 8
) -> nn.Sequential:
    """Convolution 3×3, norm, ReLU, maximum over 2×2 for each pair of channels, then the mean over
    the picture and Linear: (N, channels[0], H, W) -> (N, classes).

    The layers are named conv1, norm1, relu1, pool1, ...

    Args:
        norm: a name of :data:`NORMS_2D`, "none", or a function that makes a layer of a width.
        groups: of "group".
    """
    make = _maker("cnn", norm, NORMS_2D, groups)
    layers: dict[str, nn.Module] = {}
    for i, (before, width) in enumerate(pairwise(channels), 1):
        layers[f"conv{i}"] = nn.Conv2d(before, width, 3, padding=1)
        if make is not None:
            layers[f"norm{i}"] = make(width)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(2)
    layers |= {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(),
               "linear": nn.Linear(channels[-1], classes)}
    return nn.Sequential(layers)


class Transformer(nn.Module):
    """Blocks of attention and MLP: scores (N, L, scores) of each token in (N, L).

    Args:
        tokens, scores: how many different ones come in, and go out.
        length: L, the places that are told apart.
        norm: a name of :data:`NORMS_SEQUENCE`.
        norm_first: whether norms stand before attention and MLP, and one before the scores, or
            after the sums x + attention(x) and x + MLP(x).
        padding: the token that no position attends to.
    """

    def __init__(self, tokens: int, scores: int, length: int, norm: str = "layer", *,
                 norm_first: bool = True, padding: int | None = None, width: int = 32,
                 heads: int = 4, depth: int = 4) -> None:
        if norm not in NORMS_SEQUENCE:
            raise ValueError(f"Transformer: expected norm to be {', '.join(NORMS_SEQUENCE)}; got "
                             f"{norm!r}")
        self.padding = padding
        self.token, self.place = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList([nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0, batch_first=True, norm_first=norm_first)
            for _ in range(depth)])
        for block in self.blocks:
            block.norm1, block.norm2 = (NORMS_SEQUENCE[norm](width) for _ in range(2))
        self.last = NORMS_SEQUENCE[norm](width) if norm_first else nn.Identity()
        self.scores = nn.Linear(width, scores)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens) + self.place.weight
        left_out = None if self.padding is None else tokens == self.padding
        for block in self.blocks:
            x = block(x, src_key_padding_mask=left_out)
        return self.scores(self.last(x))


M = TypeVar("M", bound=nn.Module)


def he_weights(model: M) -> M:
    """Give it the weights of He et al. 2015 (arXiv:1502.01852), N(0, 2/fan_in), and biases 0; norms
    stay as they are. The model itself is returned."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def _maker(
    who: str, norm: Norm, known: dict[str, Callable[[int, int], nn.Module]], groups: int
) -> Callable[[int], nn.Module] | None:
    """What makes the layer of a width; None for no normalization."""
    if callable(norm):
        return norm
    if norm == "none":
        return None
    if norm not in known:
        raise ValueError(f"{who}: expected norm to be none, {', '.join(known)}, or a function that "
                         f"makes a layer of a width; got {norm!r}")
    return lambda width: known[norm](width, groups)
