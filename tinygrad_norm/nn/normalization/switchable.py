"""Switchable normalization: how much batch, instance and layer statistics count is learned."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ...autograd.graph import wrap
from ...backend.array import array_module
from ...errors import ShapeError
from ...ops import normalize as ops
from ...ops.rounding import widened
from ...tensors.creation import ones
from ...tensors.tensor import Parameter, Tensor
from .. import init
from ..checks import check_weight
from .algebra import Moments, in_range, moments, per_channel
from .channel import ChannelNorm
from .checks import check_channels, check_input, check_vector, not_positive, too_few
from .running import Update, update, warn_skipped


def switchable_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, mean_weight: Tensor,
    var_weight: Tensor, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *, using_in: bool = True,
    using_bn: bool = True,
) -> Tensor:
    """Normalize with a mixture of statistics (Luo et al. 2018, arXiv:1806.10779, eq. 2 to 5).

    Args:
        input: (N, C, *spatial).
        running_mean, running_var: (C,) or None; updated in place when ``training``; used as the
            batch's statistics when not.
        mean_weight, var_weight: (K,), a logit for each of instance, layer and batch statistics
            that is used; layer statistics always are.
        weight, bias: (C,) or None.
        momentum: the weight of the new value in the running averages.
        using_in, using_bn: whether instance and batch statistics are used.
    """
    check_weight("switchable_norm", momentum)
    y, updates = mixed(input, running_mean, running_var, mean_weight, var_weight, weight, bias,
                       training, eps, using_in, using_bn)
    warn_skipped("switchable_norm", update(momentum, *updates))
    return y


@np.errstate(over="ignore", invalid="ignore")
def mixed(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, mean_weight: Tensor,
    var_weight: Tensor, weight: Tensor | None, bias: Tensor | None, training: bool, eps: float,
    using_in: bool, using_bn: bool,
) -> tuple[Tensor, tuple[Update, ...]]:
    """:func:`switchable_norm`, and the updates of the running averages."""
    _check(input, running_mean, running_var, mean_weight, var_weight, weight, bias, eps,
           using_in, using_bn, training)
    x, mean, var, mean_weight, var_weight, weight, bias = widened(
        (input, running_mean, running_var, mean_weight, var_weight, weight, bias))
    # Everything is measured from the mean of its channel, in the batch or, where samples have
    # nothing to do with each other, in the sample. The shares sum to 1 only nearly, so a mixture of
    # means would lose the digits of a large offset; and means that are large beside their
    # differences would lose the digits of these, which are all that the switches learn from.
    whole = using_bn and training
    # A running variance, of the size of 1 or so, stands beside those of x: none is too small.
    least = 1.0 if using_bn and not training else eps
    x, start, unit = from_means(x, least, whole=whole)
    axes = tuple(range(2, x.array.ndim))
    instance = moments(x, axes) if axes else Moments(1, x, x.detach() * 0)
    if axes:  # the mean that is subtracted is another: x less it has been rounded
        instance = instance._replace(mean=x.mean(axes, keepdim=True))
    parts = [*[instance] * using_in, layer_moments(instance, start - start[:, :1])]
    if using_bn:
        parts.append(pooled(instance, 0) if training else Moments(
            1, per_channel(mean, x) * unit - start, per_channel(var, x) * unit * unit))
    away = x - mixture(mean_weight, [part.mean for part in parts])
    scale = (mixture(var_weight, [part.var for part in parts]) + unit * unit * eps).rsqrt()
    y = away * (scale if weight is None else scale * per_channel(weight, x))
    if bias is not None:
        y = y + per_channel(bias, x)
    updates: tuple[Update, ...] = ()
    if whole:
        updates = ((running_mean, ((parts[-1].mean + start) / unit).array, 1.0),
                   (running_var, (parts[-1].var / unit / unit).array, 1.0))
    return y.to(input.dtype), updates


def from_means(x: Tensor, eps: float, *, whole: bool) -> tuple[Tensor, Tensor, Tensor]:
    """(x unit - start, start, unit), start the mean of x unit over a channel of the ``whole`` batch
    or of a sample, taken as a constant.

    The units are those in which no square overflows: 1, or powers of two, one for each sample or
    one for the whole batch.
    """
    ndim = x.array.ndim
    one = wrap(Tensor, array_module(x.array).ones((1,) * ndim, x.array.dtype))
    away, start, unit, _ = in_range(
        _from_mean, (0, 0, 0, 0), x, also=(one,), axes=tuple(range(0 if whole else 1, ndim)),
        eps=eps, about=(*[0] * whole, *range(2, ndim)))
    return away, start, unit


def _from_mean(
    x: Tensor, one: Tensor, *, axes: tuple[int, ...], eps: Any, centred: bool,
    about: tuple[int, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x less its mean ``about`` some axes, this mean, the unit, and the variance over all axes.

    By way of the first value: of copies of one number exactly 0 is left.
    """
    start = x.detach()
    if about:
        first = start[tuple(slice(0, 1) if i in about else slice(None) for i in range(x.ndim))]
        start = first + (start - first).mean(about, keepdim=True)
    away = x - start
    between = (start - start.mean(axes, keepdim=True)).square().mean(axes, keepdim=True)
    return away, start, one, away.detach().square().mean(axes, keepdim=True) + between


def layer_moments(part: Moments, gap: Tensor) -> Moments:
    """The moments of each sample. Each channel was measured from a mean of its own; ``gap`` is how
    far these lie from that of the first. The result's mean is measured as each channel is."""
    layer = pooled(part._replace(mean=part.mean + gap), 1)
    return layer._replace(mean=layer.mean - gap)


def pooled(part: Moments, axis: int) -> Moments:
    """The moments of all the values behind ``part`` along ``axis`` (eq. 4).

    The paper's E[σ² + μ²] - E[μ]², as E[σ²] + Var[μ], in which nothing cancels.
    """
    _, mean, between = ops.moments(part.mean, axes=(axis,), centred=True)
    n = part.n * part.mean.array.shape[axis]
    return Moments(n, mean, part.var.mean(axis, keepdim=True) + between)


def mixture(logits: Tensor, values: list[Tensor]) -> Tensor:
    """Σ wᵢ vᵢ with w = softmax(logits) (eq. 5)."""
    shares = logits.softmax(0)
    total = values[0] * shares[0]
    for i, value in enumerate(values[1:], 1):
        total = total + value * shares[i]
    return total


def _check(
    x: Tensor, mean: Tensor | None, var: Tensor | None, mean_weight: Tensor, var_weight: Tensor,
    weight: Tensor | None, bias: Tensor | None, eps: float, using_in: bool, using_bn: bool,
    training: bool,
) -> None:
    who = "switchable_norm"
    check_input(who, x, eps, mean, var, weight, bias)
    shape = x.array.shape
    kinds = (1 + using_in + using_bn,)
    for name, switch in (("mean_weight", mean_weight), ("var_weight", var_weight)):
        check_vector(who, name, x.array, switch.array, kinds)
    if using_in and len(shape) < 3:
        raise ShapeError(f"{who}: expected input (N, C, *spatial), got {shape}; a channel of a "
                         "sample has one value there: pass using_in=False")
    if not training:
        if using_bn and (mean is None or var is None):
            raise RuntimeError(f"{who}: expected running_mean and running_var when not training")
        return
    if not eps:
        raise not_positive(who, eps)
    n = x.array.size // shape[1] if shape[1] else 2
    if using_bn and n < 2:
        raise too_few(who, x, n, "value per channel")


class SwitchableNorm(ChannelNorm):
    """What the switchable norms of all dimensions share."""

    functions = ("switchable_norm",)
    reduced = "*spatial, C and *spatial, N and *spatial"
    running_var: Tensor | None
    has_places: ClassVar[bool] = True
    """Whether each input has places, over which instance statistics are taken."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, using_bn: bool = True, device: Any = None, dtype: Any = None, *,
        bias: bool = True, using_in: bool | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, using_bn, device, dtype, bias)
        self.using_bn = bool(using_bn)
        self.using_in = self.has_places if using_in is None else bool(using_in)
        kinds = 1 + self.using_in + self.using_bn
        self.mean_weight = Parameter(ones(kinds, device=device, dtype=dtype))
        self.var_weight = Parameter(ones(kinds, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, all statistics equally, and the running ones as at the start."""
        super().reset_parameters()
        init.ones_(self.mean_weight)
        init.ones_(self.var_weight)

    def forward(self, x: Tensor) -> Tensor:
        check_channels(self, x)
        y, updates = mixed(x, self.running_mean, self.running_var, self.mean_weight,
                           self.var_weight, self.weight, self.bias, self.training, self.eps,
                           self.using_in, self.using_bn)
        if not self.using_bn:
            return y
        self.move_or_use(*updates)
        return y

    def extra_repr(self) -> str:
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, using_in={self.using_in}, "
                f"using_bn={self.using_bn}")


class SwitchableNorm2d(SwitchableNorm):
    """Normalize with a learned mixture of instance, layer and batch statistics.

    y = (x - Σ wₖ μₖ) / √(Σ w'ₖ σ²ₖ + eps) * weight + bias, k one of IN (a channel of a sample), LN
    (a sample), BN (a channel); w = softmax(mean_weight), w' = softmax(var_weight).
    In training the BN moments are the batch's (variances biased), and their averages move; in
    eval these are used, while IN and LN are always the sample's own. The paper averages over
    batches after training: momentum=None does so all along. using_bn=False leaves BN out,
    using_in=False leaves IN out.

    Invariant to: shift and scale of the input; permutation of samples, channels, positions

    Shape:
        x, y: (N, C, H, W); weight, bias, running_mean, running_var: (C,);
        mean_weight, var_weight: (3,), of IN, LN, BN, or (2,) without BN

    Source: Luo, Ren, Peng, Zhang and Li 2018, arXiv:1806.10779, eq. 2 to 5.

    >>> import tinygrad_norm as tn
    >>> tn.nn.SwitchableNorm2d(3)(tn.randn(4, 3, 5, 5)).shape
    (4, 3, 5, 5)
    """

    dims = (4,)


class SwitchableNorm1d(SwitchableNorm):
    """:class:`SwitchableNorm2d` for vectors, with layer and batch statistics alone.

    A channel of a vector has one value, so it has no statistics of its own; with using_in=True,
    for sequences, they are taken over L.

    Shape:
        x, y: (N, C) or (N, C, L); mean_weight, var_weight: (2,), of LN, BN
    """

    dims = (2, 3)
    has_places = False


class SwitchableNorm3d(SwitchableNorm):
    """:class:`SwitchableNorm2d` for volumes.

    Shape:
        x, y: (N, C, D, H, W)
    """

    dims = (5,)
