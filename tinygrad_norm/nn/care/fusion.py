"""Linear and convolutional layers with the batch norm behind them taken into their weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar

from ... import public
from ...autograd.graph import wrap
from ...backend.array import array_module
from ...errors import ShapeError
from ...tensors.tensor import Parameter, Tensor
from ..container import Sequential
from ..convolution import Conv1d, Conv2d
from ..lazy import LazyModuleMixin
from ..linear import Identity, Linear
from ..module import Module
from ..normalization.batch import BatchNorm
from ..normalization.batch_renorm import BatchRenorm
from ..normalization.channel import ChannelNorm
from .find import check_model, is_unset

__all__ = [
    "fuse", "fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]  # fmt: skip

M = TypeVar("M", bound=Module)
C = TypeVar("C", Conv1d, Conv2d)


def fuse(model: M) -> M:
    """A copy of a model in inference mode, with one layer for each layer and its batch norm.

    A pair, a Linear, Conv1d or Conv2d and its norm, stands side by side in a ``Sequential``, at any
    depth; :func:`fusible` lists them. One layer takes the first place and an ``Identity`` the
    second, so that all other names stay. Pairs are left as they are where one has hooks, or the
    norm has no running statistics.

    The new Linear takes (N, in_features) only, unless the norm has one channel: in (N, C, L) a
    BatchNorm1d normalizes C, a Linear changes L, and no Linear does both. The new convolution takes
    batches only, as the norm does.

    Raises:
        RuntimeError: a pair is in training mode, or no batch has entered its statistics.
        ValueError: the norm has another number of features than the layer.

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
    for _, first, second, layer, norm in pairs:
        _check(f"fuse: {first} and {second}", layer, norm, _kind(layer))
    result = copy.deepcopy(model)
    for path, first, second, layer, norm in pairs:
        row = result.get_submodule(path)
        fused: Module
        if isinstance(layer, Linear):
            fused = fuse_linear_bn_eval(layer, norm)
            if norm.num_features != 1:
                fused.register_forward_pre_hook(_check_matrix)
        else:
            fused = fuse_conv_bn_eval(layer, norm)
            fused.register_forward_pre_hook(_check_batch)
        setattr(row, first.rpartition(".")[2], fused)
        setattr(row, second.rpartition(".")[2], Identity().eval())
    return result


def _check_matrix(linear: Any, args: tuple[Any, ...]) -> None:
    """Where C and L are equal nothing else would notice."""
    if isinstance(args[0], Tensor) and args[0].ndim != 2:
        raise ShapeError(f"Linear fused with a batch norm: expected input (N, "
                         f"{linear.in_features}), got {tuple(args[0].shape)}; use the model as it "
                         "was before fuse()")


def _check_batch(conv: Any, args: tuple[Any, ...]) -> None:
    """Of one signal (O, L) the norm took O for the batch, or refused it."""
    if isinstance(args[0], Tensor) and args[0].ndim != conv.dims + 2:
        raise ShapeError(
            f"{type(conv).__name__} fused with a batch norm: expected input (N, {conv.in_channels},"
            f" *spatial), got {tuple(args[0].shape)}; use the model as it was before fuse()")


def fusible(model: Module) -> list[tuple[str, str]]:
    """The dotted names of the pairs (layer, batch norm) that :func:`fuse` makes one of each."""
    check_model("fusible", model)
    return [(first, second) for _, first, second, _, _ in _pairs(model)]


def fuse_linear_bn_eval(linear: Linear, bn: ChannelNorm) -> Linear:
    """One Linear for a Linear and the BatchNorm1d or BatchRenorm1d behind it, for inference.

    Raises:
        RuntimeError: training mode, no running statistics, or no batch has entered them.
        ValueError: the norm has neither one feature nor as many as the Linear.
        TypeError: other layers.
    """
    _check("fuse_linear_bn_eval", linear, bn, Linear)
    result: Linear = Linear.__new__(Linear)  # without drawing initial values
    result.in_features, result.out_features = linear.in_features, linear.out_features
    result.weight, result.bias = fuse_linear_bn_weights(
        linear.weight, linear.bias, *_of_norm(bn))
    return result.eval()


def fuse_conv_bn_eval(conv: C, bn: ChannelNorm) -> C:
    """One convolution for a Conv1d or Conv2d and the batch norm behind it, for inference.

    Raises:
        RuntimeError: training mode, no running statistics, or no batch has entered them.
        ValueError: the norm has another number of features than the convolution.
        TypeError: other layers, or a norm of other axes.
    """
    kind = _kind(conv)
    _check("fuse_conv_bn_eval", conv, bn, Conv2d if kind is Linear else kind)
    result: C = kind.__new__(kind)
    for name in COPIED:
        setattr(result, name, getattr(conv, name))
    result.weight, result.bias = fuse_conv_bn_weights(conv.weight, conv.bias, *_of_norm(bn))
    return result.eval()


COPIED = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
          "padding_mode")
"""What a fused convolution has of the one that it takes the place of."""


def _of_norm(bn: ChannelNorm) -> tuple[Any, ...]:
    """Its mean, variance, eps, weight and bias."""
    spread, eps = getattr(bn, bn.spread), bn.eps
    if bn.spread == "running_std":  # eps is in it
        spread, eps = spread.double().square(), 0.0
    return bn.running_mean, spread, eps, bn.weight, bn.bias


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor | None = None, bn_b: Tensor | None = None,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of the Linear: with s = bn_w / √(bn_rv + eps), s W and s (b - mean) + bn_b.

    Computed in float64 and rounded once: where b - mean is small beside both, it keeps its digits.
    """
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_conv_bn_weights(
    conv_w: Tensor, conv_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor | None = None, bn_b: Tensor | None = None,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of the convolution, as of :func:`fuse_linear_bn_weights`."""
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _fused(
    layer_w: Tensor, layer_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float,
    bn_w: Tensor | None, bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    def wide(value: Tensor | None, default: float) -> Any:
        return default if value is None else value.array.astype("float64")

    var = wide(bn_rv, 1.0)
    scale = wide(bn_w, 1.0) / array_module(var).sqrt(var + bn_eps)
    weight = wide(layer_w, 1.0) * scale.reshape(-1, *(1,) * (layer_w.array.ndim - 1))
    bias = (wide(layer_b, 0.0) - wide(bn_rm, 0.0)) * scale + wide(bn_b, 0.0)
    if bias.shape != weight.shape[:1]:  # one channel for all
        bias = bias + weight.reshape(len(weight), -1)[:, 0] * 0
    dtype = layer_w.array.dtype
    learned = layer_w.requires_grad
    fused = [wrap(Tensor, value.astype(dtype)) for value in (weight, bias)]
    return Parameter(fused[0], learned), Parameter(
        fused[1], learned if layer_b is None else layer_b.requires_grad)


def _pairs(model: Module) -> Iterator[tuple[str, str, str, Any, ChannelNorm]]:
    """(path of the Sequential, paths of the two in it, and the two)."""
    for path, row in model.named_modules():
        if type(row).forward is not Sequential.forward:
            continue
        entries = list(row._entries().items())
        for (one, layer), (other, norm) in pairwise(entries):
            if _is_pair(layer, norm) and not any(
                    m._forward_hooks or m._forward_pre_hooks for m in (layer, norm)):
                prefix = f"{path}." if path else ""
                yield path, prefix + one, prefix + other, layer, norm


NORM_DIMS: dict[type[Module], int] = {Linear: 2, Conv1d: 3, Conv2d: 4}
"""The number of dimensions of what a layer hands on to its norm."""


def _is_pair(layer: Any, norm: Any) -> bool:
    kind = _kind(layer)
    return (_is_plain(layer, kind) and isinstance(norm, BatchNorm | BatchRenorm)
            and NORM_DIMS[kind] in norm.dims and norm.running_mean is not None)


def _kind(layer: Any) -> Any:
    """The class of :data:`NORM_DIMS` that the layer is of; Linear where it is of none."""
    return next((kind for kind in NORM_DIMS if isinstance(layer, kind)), Linear)


def _is_plain(layer: Any, kind: type[Module]) -> bool:
    """Whether the layer is of that class and has the class's forward; its weight may be
    parametrized."""
    return isinstance(layer, kind) and type(layer).forward is kind.forward


def _check(who: str, layer: Any, norm: ChannelNorm, kind: type[Module]) -> None:
    for one in (layer, norm):
        if isinstance(one, LazyModuleMixin):
            raise RuntimeError(f"{who}: expected layers that know their size, got "
                               f"{type(one).__name__}; run a batch through the model first")
    if (not _is_plain(layer, kind) or not isinstance(norm, BatchNorm | BatchRenorm)
            or not (kind is Linear or NORM_DIMS[kind] in norm.dims)):
        wanted = "Linear" if kind is Linear else "Conv1d or Conv2d"
        raise TypeError(f"{who}: expected a {wanted} and a batch norm, got "
                        f"{type(layer).__name__} and {type(norm).__name__}")
    if layer.training or norm.training:
        raise RuntimeError(f"{who}: expected layers in inference mode, got "
                           f"{type(layer if layer.training else norm).__name__} in training "
                           "mode; call eval() first")
    if norm.running_mean is None:
        raise RuntimeError(f"{who}: expected a norm with running statistics, got "
                           f"{type(norm).__name__} with track_running_stats=False, whose output "
                           "depends on the batch")
    out = layer.out_features if isinstance(layer, Linear) else layer.out_channels
    if norm.num_features != out and not (kind is Linear and norm.num_features == 1):
        also = " (or 1)" if kind is Linear else ""
        raise ShapeError(f"{who}: expected a norm of {out} features{also}, got "
                         f"{norm.num_features}")
    if is_unset(norm):
        raise RuntimeError(f"{who}: no batch has entered the running statistics of "
                           f"{type(norm).__name__}; train it, load its state, or recalibrate")


public.publish(globals())
