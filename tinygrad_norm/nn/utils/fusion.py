"""Linear layers that have taken the batch norm behind them into their weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar

from ...autograd.graph import wrap
from ...backend.array import array_module
from ...errors import ShapeError
from ...tensors.tensor import Parameter, Tensor
from ..container import Sequential
from ..lazy import LazyModuleMixin
from ..linear import Identity, Linear
from ..module import Module
from ..normalization.batch import _BatchNorm
from ..normalization.batch_renorm import _BatchRenorm
from ..normalization.channel import ChannelNorm
from ..normalization.find import check_model, is_unset

M = TypeVar("M", bound=Module)


def fuse(model: M) -> M:
    """A copy of a model in inference mode, with one Linear for each Linear and its batch norm.

    A pair stands side by side in a ``Sequential``, at any depth; :func:`fusible` lists them. The
    Linear takes the first place and an ``Identity`` the second, so that all other names stay.
    Pairs are left as they are where one has hooks, or the norm has no running statistics.

    The new Linear takes (N, in_features) only, unless the norm has one channel: in (N, C, L) a
    BatchNorm1d normalizes C, a Linear changes L, and no Linear does both.

    Raises:
        RuntimeError: a pair is in training mode, or no batch has entered its statistics.
        ValueError: the norm has another number of features than the Linear.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(3, 4), tn.nn.BatchNorm1d(4), tn.nn.ReLU())
    >>> _ = net(tn.randn(8, 3))
    >>> fusible(net.eval())
    [('0', '1')]
    >>> fuse(net)
    Sequential(
      (0): Linear(in_features=3, out_features=4, bias=True)
      (1): Identity()
      (2): ReLU()
    )
    """
    check_model("fuse", model)
    pairs = list(_pairs(model))
    for _, first, second, linear, norm in pairs:
        _check(f"fuse: {first} and {second}", linear, norm)
    result = copy.deepcopy(model)
    for path, first, second, linear, norm in pairs:
        row = result.get_submodule(path)
        fused = fuse_linear_bn_eval(linear, norm)
        if norm.num_features != 1:
            fused.register_forward_pre_hook(_check_matrix)
        setattr(row, first.rpartition(".")[2], fused)
        setattr(row, second.rpartition(".")[2], Identity().eval())
    return result


def _check_matrix(linear: Any, args: tuple[Any, ...]) -> None:
    """Where C and L are equal nothing else would notice."""
    if isinstance(args[0], Tensor) and args[0].ndim != 2:
        raise ShapeError(f"Linear fused with a batch norm: expected input (N, "
                         f"{linear.in_features}), got {tuple(args[0].shape)}; use the model as it "
                         "was before fuse()")


def fusible(model: Module) -> list[tuple[str, str]]:
    """The dotted names of the pairs (Linear, batch norm) that :func:`fuse` makes one of each."""
    check_model("fusible", model)
    return [(first, second) for _, first, second, _, _ in _pairs(model)]


def fuse_linear_bn_eval(linear: Linear, bn: ChannelNorm) -> Linear:
    """One Linear for a Linear and the BatchNorm1d or BatchRenorm1d behind it, for inference.

    Raises:
        RuntimeError: training mode, no running statistics, or no batch has entered them.
        ValueError: the norm has neither one feature nor as many as the Linear.
        TypeError: other layers.
    """
    _check("fuse_linear_bn_eval", linear, bn)
    spread, eps = getattr(bn, bn.spread), bn.eps
    if bn.spread == "running_std":  # eps is in it
        spread, eps = spread.double().square(), 0.0
    weight, bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, bn.running_mean, spread, eps, bn.weight, bn.bias)
    result: Linear = Linear.__new__(Linear)  # without drawing initial values
    result.in_features, result.out_features = linear.in_features, linear.out_features
    result.weight, result.bias = weight, bias
    return result.eval()


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Any, bn_rv: Any, bn_eps: float,
    bn_w: Tensor | None = None, bn_b: Tensor | None = None,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of the Linear: with s = bn_w / √(bn_rv + eps), s W and s (b - mean) + bn_b.

    Computed in float64 and rounded once: where b - mean is small beside both, it keeps its digits.
    """
    def wide(value: Tensor | None, default: float) -> Any:
        return default if value is None else value.array.astype("float64")

    var = wide(bn_rv, 1.0)
    scale = wide(bn_w, 1.0) / array_module(var).sqrt(var + bn_eps)
    weight = wide(linear_w, 1.0) * scale.reshape(-1, 1)
    bias = (wide(linear_b, 0.0) - wide(bn_rm, 0.0)) * scale + wide(bn_b, 0.0)
    if bias.shape != weight.shape[:1]:  # one channel for all
        bias = bias + weight[:, 0] * 0
    dtype = linear_w.array.dtype
    learned = linear_w.requires_grad
    fused = [wrap(Tensor, value.astype(dtype)) for value in (weight, bias)]
    return Parameter(fused[0], learned), Parameter(
        fused[1], learned if linear_b is None else linear_b.requires_grad)


def _pairs(model: Module) -> Iterator[tuple[str, str, str, Linear, ChannelNorm]]:
    """(path of the Sequential, paths of the two in it, and the two)."""
    for path, row in model.named_modules():
        if type(row).forward is not Sequential.forward:
            continue
        entries = list(row._entries().items())
        for (one, linear), (other, norm) in pairwise(entries):
            if _is_pair(linear, norm) and not any(
                    m._forward_hooks or m._forward_pre_hooks for m in (linear, norm)):
                prefix = f"{path}." if path else ""
                yield path, prefix + one, prefix + other, linear, norm


def _is_pair(linear: Any, norm: Any) -> bool:
    return (_is_linear(linear) and isinstance(norm, _BatchNorm | _BatchRenorm)
            and 2 in norm.dims and norm.running_mean is not None)


def _is_linear(layer: Any) -> bool:
    """A Linear, also one whose weight is parametrized, but none with a forward of its own."""
    return isinstance(layer, Linear) and type(layer).forward is Linear.forward


def _check(who: str, linear: Linear, norm: ChannelNorm) -> None:
    if not _is_linear(linear) or not isinstance(norm, _BatchNorm | _BatchRenorm):
        raise TypeError(f"{who}: expected a Linear and a batch norm, got "
                        f"{type(linear).__name__} and {type(norm).__name__}")
    for layer in (linear, norm):
        if isinstance(layer, LazyModuleMixin):
            raise RuntimeError(f"{who}: expected layers that know their size, got "
                               f"{type(layer).__name__}; run a batch through the model first")
    if linear.training or norm.training:
        raise RuntimeError(f"{who}: expected layers in inference mode, got "
                           f"{type(linear if linear.training else norm).__name__} in training "
                           "mode; call eval() first")
    if norm.running_mean is None:
        raise RuntimeError(f"{who}: expected a norm with running statistics, got "
                           f"{type(norm).__name__} with track_running_stats=False, whose output "
                           "depends on the batch")
    if norm.num_features not in (1, linear.out_features):
        raise ShapeError(f"{who}: expected a norm of {linear.out_features} features (or 1), got "
                         f"{norm.num_features}")
    if is_unset(norm):
        raise RuntimeError(f"{who}: no batch has entered the running statistics of "
                           f"{type(norm).__name__}; train it, load its state, or recalibrate")
