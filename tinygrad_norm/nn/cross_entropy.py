"""Cross-entropy and its half, the negative log-likelihood, over classes.

The loss of a sample with label k is -w_k ln p_k, p = softmax(x); its mean is weighted by w_k.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..autograd.graph import Value, wrap
from ..backend.array import Array, array_module, check_device, to_numpy
from ..backend.choose import expect
from ..errors import DimError, DtypeError, ShapeError
from ..ops import loss as ops
from ..ops import reduction as reductions
from ..ops.choice import where_
from ..ops.rounding import FLOAT16, widened
from ..ops.shape import take_along
from ..tensors.tensor import Tensor
from .loss import Loss, check_not_empty, check_reduction, check_tensors, rounded

UNSIGNED = np.dtype("uint64")


class Labels(NamedTuple):
    """Class indices, ready to be looked up.

    index:  the labels, 0 where ignored
    kept:   which ones count; None for all
    weight: each one's weight, 0 where ignored; None for 1
    """

    index: Array
    kept: Array | None
    weight: Array | None


def _split(who: str, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """(C, shape of the labels) of an input (N, C, *) or (C,)."""
    if len(shape) == 2:
        return shape[1], shape[:1]
    if not shape:
        raise ShapeError(f"{who}: expected input (N, C, *) or (C,), got a scalar")
    return (shape[0], ()) if len(shape) == 1 else (shape[1], shape[:1] + shape[2:])


def _read_labels(
    who: str, x: Array, labels: Array, class_weight: Array | None, ignore_index: int
) -> Labels:
    """Check the labels and find each one's weight.

    Where values cannot be asked, as on a GPU, a label out of range makes its loss NaN.
    """
    classes, shape = _split(who, x.shape)
    if labels.dtype.kind != "i" or labels.shape != shape:
        raise _not_labels(who, x, labels, shape)
    ask = expect(type(labels))
    if labels.dtype.itemsize < 8:
        labels = labels.astype("int64")
    if ask and not 0 <= ignore_index < classes and (
            # as unsigned numbers the negative ones are large too
            not labels.size or ask(labels.view(UNSIGNED).max() < classes)):
        return Labels(labels, None, None if class_weight is None else class_weight[labels])
    kept = labels != ignore_index
    inside = (labels >= 0) & (labels < classes)
    if ask and not ask((inside | ~kept).all()):
        wrong = to_numpy(labels[kept & ~inside])[0]
        raise DimError(f"{who}: Target {wrong} is out of bounds: expected labels 0 to "
                       f"{classes - 1} for input of shape {x.shape}, or ignore_index "
                       f"{ignore_index}")
    module = array_module(labels)
    index = module.where(inside & kept, labels, 0)
    weight = module.ones(labels.shape, dtype=x.dtype) if class_weight is None \
        else class_weight[index]
    return Labels(index, kept, module.where(kept, module.where(inside, weight, math.nan), 0))


def _not_labels(who: str, x: Array, labels: Array, shape: tuple[int, ...]) -> Exception:
    """What is wrong with labels of another dtype or shape."""
    if labels.dtype.kind != "i":
        nan = labels.dtype.kind == "f" and _has_nan(labels)
        return DtypeError(
            f"{who}: expected class indices of dtype int64 and shape {shape}, or for "
            f"cross_entropy probabilities of shape {x.shape}; got {labels.dtype} of shape "
            f"{labels.shape}{', with NaN in it' if nan else ''}; call .long()")
    return ShapeError(f"{who}: expected class indices of shape {shape} for input of shape "
                      f"{x.shape}, got {labels.shape}; is the class dimension not the second?")


def _has_nan(x: Array) -> bool:
    """Whether one value of x is NaN; where values cannot be asked, False."""
    ask = expect(type(x))
    return ask is not None and ask(array_module(x).isnan(x).any())


def _class_weight(who: str, weight: Value | None, x: Array) -> Array | None:
    """The array of a weight for each class."""
    if weight is None:
        return None
    classes, _ = _split(who, x.shape)
    if weight.array.shape != (classes,):
        raise ShapeError(f"{who}: expected a weight for each of {classes} classes, got shape "
                         f"{weight.array.shape}")
    if weight.tracked:
        raise RuntimeError(f"{who}: the weight requires grad, but the loss is not differentiated "
                           "with respect to it; pass weight.detach()")
    if type(weight.array) is not type(x):
        check_device(who, "the input", x, "the weight", weight.array)
    return weight.array.astype(x.dtype, copy=False)


def _mean_factor(labels: Labels, dtype: np.dtype) -> Any:
    """1/Σw, NaN when nothing has weight: PyTorch's mean."""
    if labels.weight is None:
        return 1 / labels.index.size
    total = labels.weight.sum(dtype="float64")
    return (1 / array_module(total).where(total == 0, math.nan, total)).astype(dtype)


def _beside(values: Array, shape: tuple[int, ...]) -> Array:
    """Values of the labels' shape, to stand beside an input of ``shape``."""
    axis = 1 if len(shape) > 1 else 0
    return values.reshape(tuple(1 if i == axis else n for i, n in enumerate(shape)))


def _counted(input: Tensor, kept: Array) -> Tensor:
    """The input, 0 where a label is ignored: whatever stood there, also NaN, is of no effect."""
    return where_(_beside(kept, input.array.shape), input, 0.0)


def _picked(log_p: Tensor, labels: Labels, class_weight: Array | None, smoothing: float) -> Tensor:
    """The loss of each sample: -w_k ln p_k, a share of it spread over all classes when smoothed."""
    axis = 1 if log_p.array.ndim > 1 else 0
    shape = log_p.array.shape
    each = take_along(log_p, _beside(labels.index, shape), axis=axis).reshape(labels.index.shape)
    each = each * (smoothing - 1)
    if labels.weight is not None:
        each = each * wrap(Tensor, labels.weight)
    if smoothing:
        spread = log_p
        if class_weight is not None:
            per_class = tuple(n if i == axis else 1 for i, n in enumerate(shape))
            spread = log_p * wrap(Tensor, class_weight.reshape(per_class))
        each = each - spread.sum(axis) * (smoothing / shape[axis])
        if labels.kept is not None:
            each = where_(labels.kept, each, 0.0)
    return each


def _reduce(each: Tensor, labels: Labels, kind: str) -> Tensor:
    """The sum, or the mean by the labels' weights."""
    if kind == "none":
        return each
    total = each.sum()
    return total if kind == "sum" else total * _mean_factor(labels, each.dtype)


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w_k x_k, where x are log-probabilities (N, C, *) and k the labels (N, *).

    Args, Raises: as :func:`cross_entropy`, for class indices.
    """
    who = "nll_loss"
    check_reduction(who, reduction)
    check_tensors(who, input, target)
    if input.array.dtype == FLOAT16:
        loss = nll_loss(*widened((input, target, weight)), ignore_index=ignore_index,
                        reduction=reduction)
        return rounded(loss, input, target)
    class_weight = _class_weight(who, weight, input.array)
    if reduction == "mean":
        check_not_empty(who, input)
    labels = _read_labels(who, input.array, target.array, class_weight, ignore_index)
    if labels.kept is not None:
        input = _counted(input, labels.kept)
    return _reduce(_picked(input, labels, class_weight, 0.0), labels, reduction)


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:
    """-w_k ln softmax(x)_k of logits x (N, C, *) or (C,).

    Args:
        target: labels k (N, *) of dtype int64, or probabilities of the input's shape.
        weight: (C,), a weight for each class; the mean over labels is divided by their weights.
        ignore_index: a label that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: this share of each target is spread evenly over all classes.

    Raises:
        IndexError: a label outside 0 to C - 1. TypeError, ValueError: dtype or shape do not fit,
        an empty batch with reduction "mean". All are RuntimeErrors too.
    """
    who = "cross_entropy"
    check_reduction(who, reduction)
    check_tensors(who, input, target)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"{who}: expected label_smoothing from 0 to 1, got {label_smoothing}")
    x, labels = input.array, target.array
    if x.dtype == FLOAT16:
        loss = cross_entropy(*widened((input, target, weight)), ignore_index=ignore_index,
                             reduction=reduction, label_smoothing=label_smoothing)
        return rounded(loss, input, target)
    if reduction == "mean" and not x.size:
        check_not_empty(who, input)
    class_weight = _class_weight(who, weight, x)
    if labels.shape == x.shape:
        return _of_probabilities(
            input, target, class_weight, ignore_index, reduction, label_smoothing)
    read = _read_labels(who, x, labels, class_weight, ignore_index)
    if read.kept is not None:
        input = _counted(input, read.kept)
    if x.ndim != 2 or label_smoothing or reduction == "none":
        log_p = reductions.log_softmax(input, axis=1 if x.ndim > 1 else 0)
        return _reduce(_picked(log_p, read, class_weight, label_smoothing), read, reduction)
    share = _mean_factor(read, x.dtype) if reduction == "mean" else 1.0
    if read.weight is not None:
        share = read.weight * share
    if read.kept is None:
        labels = target if read.index is target.array else read.index  # drawings show its name
        return ops.cross_entropy(input, labels, share)[0]
    where = array_module(x).where
    loss = ops.cross_entropy(input, read.index, where(read.kept, share, 0))[0]
    if reduction == "sum":
        return loss
    return loss + where(read.kept.any(), 0.0, math.nan).astype(x.dtype)


def _of_probabilities(
    input: Tensor, target: Tensor, class_weight: Array | None, ignore_index: int, kind: str,
    smoothing: float,
) -> Tensor:
    """-Σ w q ln p over the classes; the mean is over samples, whatever their weights."""
    who = "cross_entropy"
    shape = input.array.shape
    if target.array.dtype.kind != "f":
        raise DtypeError(f"{who}: expected floating point probabilities for a target of the "
                         f"input's shape {shape}, got {target.array.dtype}; class indices have "
                         f"shape {shape[:1] + shape[2:]}")
    if ignore_index >= 0:
        raise RuntimeError(f"{who}: ignore_index is not supported for probabilities, got "
                           f"{ignore_index}")
    if _has_nan(target.array):
        raise ValueError(f"{who}: expected probabilities, got NaN in the target")
    axis = 1 if len(shape) > 1 else 0
    q = target * (1 - smoothing) + smoothing / shape[axis] if smoothing else target
    if class_weight is not None:
        per_class = tuple(n if i == axis else 1 for i, n in enumerate(shape))
        q = q * wrap(Tensor, class_weight.reshape(per_class))
    each = -(reductions.log_softmax(input, axis=axis) * q).sum(axis)
    return each if kind == "none" else each.sum() if kind == "sum" else each.mean()


class NLLLoss(Loss):
    """The mean of -w_k x_k: x log-probabilities, k the labels; weighted by w_k.

    Shape:
        x: (N, C, *) or (C,); labels: (N, *) or (), int64; weight: (C,)
    """

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.ignore_index = ignore_index
        self.register_buffer("weight", weight)
        self.weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(input, target, self.weight, ignore_index=self.ignore_index,
                        reduction=self.reduction)


class CrossEntropyLoss(Loss):
    """The mean of -w_k ln softmax(x)_k: x logits, k the labels; weighted by w_k.

    With probabilities q as the target, the mean over samples of -Σ w q ln softmax(x).

    Shape:
        x: (N, C, *) or (C,); labels: (N, *) or (), int64; or q: as x; weight: (C,)

    >>> import tinygrad_norm as tn
    >>> loss = tn.nn.CrossEntropyLoss()
    >>> round(loss(tn.tensor([[0.0, 0.0]]), tn.tensor([1])).item(), 4)  # ln 2
    0.6931
    """

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction=reduction)
        if not 0 <= label_smoothing <= 1:
            raise RuntimeError(f"CrossEntropyLoss: expected label_smoothing from 0 to 1, got "
                               f"{label_smoothing}")
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", weight)
        self.weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
            label_smoothing=self.label_smoothing)
