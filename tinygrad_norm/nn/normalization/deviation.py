"""The deviation of values of any size, for norms that divide by it without subtracting a mean."""

from __future__ import annotations

import numpy as np

from ...autograd.mode import ANOMALY, flags
from ...ops import normalize as ops
from ...tensors.tensor import Tensor
from .core import is_moderate


@np.errstate(over="ignore", invalid="ignore")
def deviation(
    x: Tensor, axes: tuple[int, ...], eps: float, *, centred: bool = True
) -> tuple[Tensor, Tensor]:
    """(√(var + eps), var) of x over ``axes``, kept as length 1; not centred, the mean square.

    The first is right where the second is more than the dtype can hold: as ``standardize`` does,
    it is then computed in units that are powers of two, one for each deviation.
    """
    if type(x.array) is np.ndarray and not flags.get() & ANOMALY:
        _, _, var = ops.moments(x, axes=axes, centred=centred)
        if is_moderate(var.array, eps):
            return (var + eps).sqrt(), var
    unit = ops.unit(x, axes=axes, eps=eps, centred=centred)
    _, _, var = ops.moments(x * unit, axes=axes, centred=centred)
    return (var + unit * unit * eps).sqrt() / unit, var / unit / unit
