"""The table of equivalences. N samples, C channels, L places; d values of a vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..nn import functional as F
from ..nn import normalization as norms
from ..nn.care.fusion import fuse
from ..nn.container import Sequential
from ..nn.linear import Linear
from ..nn.utils.parametrizations import weight_norm, weight_standardization
from ..tensors.creation import cat, tensor, zeros
from ..tensors.tensor import Tensor
from .equivalence import Equivalence, Layer, made, vector

SMALL = 1e-30
"""An eps that changes no digit of float64, where a layer refuses 0."""


def centred(x: Tensor, *dims: int) -> Tensor:
    return x - x.mean(dims, keepdim=True)


def plain(name: str, *shape: int) -> Layer:
    """layer_norm or rms_norm over the last axes, eps 1e-5."""
    return lambda x: getattr(F, name)(x, shape, eps=1e-5)


def batch(x: Tensor, **options: Any) -> Tensor:
    """BatchNorm in training, without weight and bias."""
    return F.batch_norm(x, None, None, training=True, **options)


def renormed(x: Tensor) -> Tensor:
    """BatchRenorm in training, r and d free of their limits."""
    return F.batch_renorm(x, vector(x, (3,)), vector(x, (3,), 1.5), training=True,
                          rmax=math.inf, dmax=math.inf)


def running(x: Tensor) -> Tensor:
    """The same layer in eval."""
    return F.batch_renorm(x, vector(x, (3,)), vector(x, (3,), 1.5))


def synced(x: Tensor) -> Tensor:
    norm = norms.SyncBatchNorm(3, dtype=x.dtype, device=x.device)
    return cat(norm([x[:1], x[1:5], x[5:]]))


def switched(choice: int) -> Layer:
    """SwitchableNorm with all weight on one kind: of IN, LN, BN."""
    def layer(x: Tensor) -> Tensor:
        norm = norms.SwitchableNorm1d(3, using_in=True, dtype=x.dtype, device=x.device)
        for logits in (norm.mean_weight, norm.var_weight):
            logits.detach().fill_(-1000.0)
            logits.detach()[choice] = 1000.0
        return norm(x)

    return layer


def linear(x: Tensor) -> Linear:
    """A layer with fixed weights."""
    layer = Linear(4, 3, dtype=x.dtype, device=x.device)
    for parameter in layer.parameters():
        parameter.detach().copy_(vector(x, parameter.shape, 0.3))
    return layer


def trained(x: Tensor) -> Sequential:
    """Linear and BatchNorm after a batch, in eval."""
    net = Sequential(linear(x), norms.BatchNorm1d(3, dtype=x.dtype, device=x.device))
    net(vector(x, (6, 4)))
    return net.eval()


def zca(x: Tensor) -> Tensor:
    """(x - E[x]) U Λ^(-1/2) Uᵀ, with U Λ Uᵀ the covariance of the channels + eps I."""
    values = x.detach().cpu().numpy()
    away = values - values.mean(axis=0)
    sizes, vectors = np.linalg.eigh(away.T @ away / len(away) + 1e-5 * np.eye(away.shape[1]))
    return tensor(away @ vectors @ np.diag(sizes**-0.5) @ vectors.T, dtype=x.dtype,
                  device=x.device)


def gated(x: Tensor, layer: Layer) -> Tensor:
    """A layer's output times sigmoid(x)."""
    return layer(x) * x.sigmoid()


def adapted(x: Tensor) -> Tensor:
    norm = norms.AdaptiveNorm(norms.GroupNorm(2, 4, affine=False), 2, dtype=x.dtype,
                              device=x.device)
    for parameter in norm.parameters():
        parameter.detach().fill_(0.0)
    return norm(x, vector(x, (len(x), 2)))


def of_one_class(x: Tensor) -> Tensor:
    labels = zeros(len(x), device=x.device).long()
    return F.conditional_batch_norm(x, labels, None, None, vector(x, (1, 3), 1.0),
                                    vector(x, (1, 3)), training=True)


TABLE = [
    Equivalence(
        "GroupNorm(1, C)", "LayerNorm((C, *spatial))",
        "without weight and bias, which are (C,) here and (C, *spatial) there",
        made(norms.GroupNorm, 1, 4, affine=False), plain("layer_norm", 4, 5), (3, 4, 5)),
    Equivalence(
        "GroupNorm(1, C)", "LayerNorm(C)", "of (N, C), with weight and bias",
        made(norms.GroupNorm, 1, 4), made(norms.LayerNorm, 4), (3, 4)),
    Equivalence(
        "GroupNorm(C, C)", "InstanceNorm(C)", "with weight and bias",
        made(norms.GroupNorm, 4, 4), made(norms.InstanceNorm1d, 4, affine=True), (3, 4, 5)),
    Equivalence(
        "InstanceNorm", "BatchNorm of each sample", "in training",
        made(norms.InstanceNorm1d, 4, affine=True),
        lambda x: cat([made(norms.BatchNorm1d, 4)(one.unsqueeze(0)) for one in x]), (3, 4, 5)),
    Equivalence(
        "InstanceNorm", "BatchNorm of samples as channels", "in training, seen as (1, N C, L)",
        lambda x: F.instance_norm(x), lambda x: batch(x.reshape(1, 12, 5)).reshape(x.shape),
        (3, 4, 5)),
    Equivalence(
        "BatchNorm", "LayerNorm of the transposed matrix", "of (N, C), in training",
        batch, lambda x: F.layer_norm(x.T, (7,)).T, (7, 3)),
    Equivalence(
        "LayerNorm", "RMSNorm of centred values", "with one eps",
        plain("layer_norm", 6), lambda x: plain("rms_norm", 6)(centred(x, 1)), (4, 6)),
    Equivalence(
        "BatchRenorm with rmax 1 and dmax 0", "BatchNorm", "in training, with weight and bias",
        made(norms.BatchRenorm1d, 3, rmax=1.0, dmax=0.0), made(norms.BatchNorm1d, 3), (7, 3)),
    Equivalence(
        "BatchRenorm in training", "BatchRenorm in eval",
        "with r and d free (rmax, dmax infinite): normalized by the running statistics; r and d "
        "carry no gradient", renormed, running, (7, 3), gradients=False),
    Equivalence(
        "GhostBatchNorm", "BatchNorm", "with fewer samples than two ghost batches",
        made(norms.GhostBatchNorm, 3, 4), made(norms.BatchNorm1d, 3), (7, 3)),
    Equivalence(
        "GhostBatchNorm", "BatchNorm of each ghost batch", "in training",
        made(norms.GhostBatchNorm, 3, 4),
        lambda x: cat([made(norms.BatchNorm1d, 3)(x[:4]), made(norms.BatchNorm1d, 3)(x[4:])]),
        (9, 3)),
    Equivalence(
        "SyncBatchNorm of shards", "BatchNorm of the shards joined", "in training, of any sizes",
        synced, batch, (7, 3)),
    Equivalence(
        "SwitchableNorm", "InstanceNorm", "with all weight on IN",
        switched(0), lambda x: F.instance_norm(x), (4, 3, 5)),
    Equivalence(
        "SwitchableNorm", "LayerNorm((C, *spatial))", "with all weight on LN",
        switched(1), plain("layer_norm", 3, 5), (4, 3, 5)),
    Equivalence(
        "SwitchableNorm", "BatchNorm", "with all weight on BN, in training",
        switched(2), batch, (4, 3, 5)),
    Equivalence(
        "IterNorm", "BatchNorm",
        "with groups of one channel, in training, for any T: of one number the trace is itself",
        made(norms.IterNorm, 3, 3, T=4), made(norms.BatchNorm1d, 3), (7, 3)),
    Equivalence(
        "IterNorm", "ZCA whitening", "in the limit of large T, in training",
        lambda x: F.iter_norm(x, None, None, training=True, T=40), zca, (9, 3),
        gradients=False, tolerance=1e-10),
    Equivalence(
        "ScaleNorm", "RMSNorm", "with weight √d here and 1 there, where eps is too small to count",
        lambda x: F.scale_norm(x, (6,), eps=SMALL),
        lambda x: F.rms_norm(x, (6,), eps=SMALL), (4, 6)),
    Equivalence(
        "normalize", "RMSNorm/√d", "with p = 2, where eps is too small to count",
        lambda x: F.normalize(x), lambda x: F.rms_norm(x, (6,), eps=SMALL) / math.sqrt(6), (4, 6)),
    Equivalence(
        "FilterResponseNorm", "RMSNorm of each channel",
        "without its threshold, weight and bias, over the places",
        made(norms.FilterResponseNorm1d, 3, 1e-5, affine=False, tlu=False),
        plain("rms_norm", 5), (4, 3, 5)),
    Equivalence(
        "FilterResponseNorm of centred channels", "InstanceNorm", "without its threshold",
        lambda x: made(norms.FilterResponseNorm1d, 3, 1e-5, tlu=False)(centred(x, 2)),
        made(norms.InstanceNorm1d, 3, affine=True), (4, 3, 5)),
    Equivalence(
        "TLU", "ReLU", "with threshold 0", lambda x: F.tlu(x, vector(x, (3,)) * 0), F.relu,
        (4, 3, 5)),
    Equivalence(
        "EvoNorm-S0", "sigmoid(x) GroupNorm", "with v = 1, of groups that are centred",
        lambda x: made(norms.EvoNormS0, 3, 1, affine=False)(centred(x, 1, 2)),
        lambda x: gated(centred(x, 1, 2), made(norms.GroupNorm, 1, 3, affine=False)), (4, 3, 5)),
    Equivalence(
        "EvoNorm-B0", "InstanceNorm", "with v = 0, of one sample whose channels are centred",
        lambda x: F.evonorm_b0(centred(x, 2), None, vector(x, (3,)) * 0, training=True),
        lambda x: F.instance_norm(x), (1, 3, 5)),
    Equivalence(
        "LocalResponseNorm", "RMSNorm over the channels",
        "with size = 2C - 1, which reaches all channels, alpha = size/C, beta = 1/2 and k = eps",
        lambda x: F.local_response_norm(x, 5, 5 / 3, 0.5, 1e-5),
        lambda x: plain("rms_norm", 3)(x.transpose(1, 2)).transpose(1, 2), (4, 3, 5)),
    Equivalence(
        "AdaIN", "the identity", "with the content as its own style",
        lambda x: F.adaptive_instance_norm(x, x), lambda x: x * 1.0, (4, 3, 5)),
    Equivalence(
        "ConditionalBatchNorm", "BatchNorm", "with one class",
        of_one_class, made(norms.BatchNorm1d, 3), (7, 3)),
    Equivalence(
        "AdaptiveNorm", "its norm", "where FiLM's weight and bias are 0",
        adapted, made(norms.GroupNorm, 2, 4, affine=False), (3, 4, 5)),
    Equivalence(
        "DyT/alpha", "the identity",
        "in the limit of small alpha, without weight: nothing is normalized",
        lambda x: F.dyt(x, (6,), vector(x, (1,)) * 0 + 1e-7) / 1e-7, lambda x: x * 1.0, (4, 6),
        tolerance=1e-10),
    Equivalence(
        "Linear with weight_norm", "Linear", "as it starts: g is the length of each row",
        lambda x: weight_norm(linear(x))(x), lambda x: linear(x)(x), (5, 4)),
    Equivalence(
        "Linear with weight_standardization", "Linear with LayerNorm of its rows", "with one eps",
        lambda x: weight_standardization(linear(x))(x),
        lambda x: F.linear(x, F.layer_norm(linear(x).weight, (4,)), linear(x).bias),
        (5, 4)),
    Equivalence(
        "Linear, then BatchNorm", "one Linear", "in eval: nn.utils.fuse",
        lambda x: trained(x)(x), lambda x: fuse(trained(x))(x), (5, 4)),
]
