"""Losses that compare value by value: errors of a regression, and yes-or-no questions.

Each is a function and a layer. ``reduction`` is "mean", "sum" or "none" (a value for each input).
Options are keyword-only: in PyTorch the second and third positional ones are long deprecated.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..autograd.graph import Value
from ..autograd.promotion import result_type
from ..backend.array import check_device
from ..backend.choose import expect
from ..errors import DtypeError, ShapeError, not_a_tensor
from ..kinds import outside
from ..ops import elementwise, reduction
from ..ops import loss as ops
from ..ops.rounding import FLOAT16, widened
from ..ops.transfer import cast
from ..tensors.tensor import Tensor
from .module import Module

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(who: str, kind: str) -> None:
    """Raise ValueError for a reduction that there is not."""
    if kind not in REDUCTIONS:
        raise ValueError(f"{who}: expected reduction {', '.join(REDUCTIONS)}; got {kind!r}")


def check_tensors(who: str, input: object, target: object) -> None:
    """Raise for what is no tensor, an input that is no float, and a target elsewhere."""
    if not (isinstance(input, Value) and isinstance(target, Value)):
        name, value = ("target", target) if isinstance(input, Value) else ("input", input)
        raise not_a_tensor(who, value, name)
    if input.array.dtype.kind != "f":
        raise DtypeError(f"{who}: expected a floating point input, got {input.array.dtype}; "
                         "call .float()")
    if type(target.array) is not type(input.array):
        check_device(who, "the input", input.array, "the target", target.array)


def check_not_empty(who: str, input: Value) -> None:
    """Raise for a mean over nothing, which is NaN."""
    if not input.array.size:
        raise ShapeError(f"{who}: expected at least one value, got input of shape "
                         f"{input.array.shape}; skip empty batches, or use reduction='sum'")


def _reduced(who: str, each: Tensor, kind: str) -> Tensor:
    if kind == "none":
        return each
    if kind == "sum":
        return reduction.sum_(each)
    check_not_empty(who, each)
    return reduction.mean(each)


def _difference(who: str, input: Tensor, target: Tensor, kind: str) -> Tensor:
    """input - target; shapes that differ are broadcast with a warning, as in PyTorch."""
    check_reduction(who, kind)
    check_tensors(who, input, target)
    shape, other = input.array.shape, target.array.shape
    if shape != other:
        try:
            np.broadcast_shapes(shape, other)
        except ValueError as error:
            raise ShapeError(f"{who}: expected a target of the input's shape {shape}, got "
                             f"{other}") from error
        warnings.warn(f"{who}: input of shape {shape} and target of shape {other} are broadcast, "
                      "which is seldom meant; give both one shape", stacklevel=outside())
    if input.array.dtype == FLOAT16:
        input, target = widened((input, target))
    return elementwise.sub(input, target)


def rounded(loss: Tensor, input: Tensor, *others: Tensor | None) -> Tensor:
    """The loss of these tensors; that of float16 was computed in float32, as losses are sums."""
    if input.array.dtype == FLOAT16 and result_type(input, *others) == FLOAT16:
        return cast(loss, dtype=FLOAT16)
    return loss


def _weighted(
    who: str, each: Tensor, weight: Tensor | None, kind: str, *, by_weight: bool = True
) -> Tensor:
    """The reduction of weight · each; its mean is over Σ weight, or over the count."""
    if weight is None:
        return _reduced(who, each, kind)
    if weight.array.shape != each.array.shape:
        raise ShapeError(f"{who}: expected a weight of the input's shape {each.array.shape}, got "
                         f"{weight.array.shape}")
    if kind == "mean" and by_weight:
        return (each * weight).sum() / widened(weight).sum()
    return _reduced(who, each * weight, kind)


# -- functions -----------------------------------------------------------------------------------


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """(x - t)²; with ``weight``, of the input's shape, the mean is Σ w (x - t)² / Σ w."""
    each = elementwise.square(_difference("mse_loss", input, target, reduction))
    return rounded(_weighted("mse_loss", each, weight, reduction), input, target, weight)


def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """|x - t|; with ``weight``, of the input's shape, the mean is Σ w |x - t| / Σ w."""
    each = elementwise.abs_(_difference("l1_loss", input, target, reduction))
    return rounded(_weighted("l1_loss", each, weight, reduction), input, target, weight)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """(x - t)²/(2 beta) where |x - t| < beta, else |x - t| - beta/2; beta 0 gives l1_loss."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: expected beta >= 0, got {beta}")
    difference = _difference("smooth_l1_loss", input, target, reduction)
    each = ops.huber(difference, delta=beta) / beta if beta else elementwise.abs_(difference)
    return rounded(_reduced("smooth_l1_loss", each, reduction), input, target)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, *,
    weight: Tensor | None = None,
) -> Tensor:
    """(x - t)²/2 where |x - t| < delta, else delta (|x - t| - delta/2)."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss: expected delta > 0, got {delta}")
    each = ops.huber(_difference("huber_loss", input, target, reduction), delta=delta)
    loss = _weighted("huber_loss", each, weight, reduction, by_weight=False)
    return rounded(loss, input, target, weight)


def _check_binary(who: str, input: Tensor, target: Tensor, kind: str) -> None:
    check_reduction(who, kind)
    check_tensors(who, input, target)
    if input.array.shape != target.array.shape:
        raise ShapeError(f"{who}: expected a target of the input's shape {input.array.shape}, got "
                         f"{target.array.shape}; is a dimension of length 1 to be squeezed?")


def _check_probabilities(who: str, name: str, value: Tensor) -> None:
    """All within [0, 1]; where values cannot be asked, as on a GPU, a wrong input gives NaN."""
    x = value.array
    ask = expect(type(x))
    if not ask or not x.size or (ask(x.min() >= 0) and ask(x.max() <= 1)):
        return
    raise RuntimeError(f"{who}: expected all elements of {name} between 0 and 1, got values from "
                       f"{x.min()} to {x.max()}; for logits use {who}_with_logits")


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-w (t ln x + (1 - t) ln(1 - x)) of probabilities x, the logarithms not below -100."""
    who = "binary_cross_entropy"
    _check_binary(who, input, target, reduction)
    _check_probabilities(who, "input", input)
    _check_probabilities(who, "target", target)
    x, t = widened(input), widened(target)
    yes = t * ops.floored_log(x, low=-100.0)
    no = (1 - t) * ops.floored_log(1 - x, low=-100.0)
    each = -(yes + no)
    loss = _reduced(who, each if weight is None else each * weight, reduction)
    return rounded(loss, input, target, weight)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-w (q t ln σ(x) + (1 - t) ln(1 - σ(x))) of logits x, where q is ``pos_weight``.

    Computed as ln(1 + eˣ) - x t, which neither overflows nor rounds to ln 0.
    """
    who = "binary_cross_entropy_with_logits"
    _check_binary(who, input, target, reduction)
    x, t = widened(input), widened(target)
    if pos_weight is None:
        each = elementwise.softplus(x) - x * t
    else:
        each = (1 - t) * x + (1 + (widened(pos_weight) - 1) * t) * elementwise.softplus(-x)
    loss = _reduced(who, each if weight is None else each * weight, reduction)
    return rounded(loss, input, target, weight, pos_weight)


# -- layers --------------------------------------------------------------------------------------


class Loss(Module):
    """Base of the losses: checks and shows the reduction."""

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction)
        self.reduction = reduction

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in vars(self).items()
                         if isinstance(value, str | int | float) and name != "training")


class MSELoss(Loss):
    """The mean of (x - t)². Shape: x, t: the same; the loss is a scalar unless reduction "none"."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """The mean of |x - t|. Shape: as MSELoss."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """The mean of (x - t)²/(2 beta) where |x - t| < beta, else |x - t| - beta/2.

    Shape: as MSELoss. Source: Girshick 2015, arXiv:1504.08083, equation 3 (beta 1).
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if beta < 0:
            raise RuntimeError(f"SmoothL1Loss: expected beta >= 0, got {beta}")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(Loss):
    """The mean of (x - t)²/2 where |x - t| < delta, else delta (|x - t| - delta/2).

    Shape: as MSELoss. Source: Huber 1964, Annals of Mathematical Statistics 35.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if delta <= 0:
            raise RuntimeError(f"HuberLoss: expected delta > 0, got {delta}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, self.reduction, self.delta)


class BCELoss(Loss):
    """The mean of -w (t ln x + (1 - t) ln(1 - x)), the logarithms not below -100.

    Shape: x, t: the same, within [0, 1]; w: broadcastable to it.
    """

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """The mean of -w (q t ln σ(x) + (1 - t) ln(1 - σ(x))), q = pos_weight, stable for any x.

    Shape: x, t: the same; w, pos_weight: broadcastable to it.
    """

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.weight: Tensor | None
        self.pos_weight: Tensor | None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight)
