"""Dropout: zeros at random places while training."""

from __future__ import annotations

import numpy as np

from ..autograd.graph import wrap
from ..backend.array import array_module, device_of
from ..backend.random import draw
from ..errors import not_a_tensor
from ..ops import choice
from ..tensors.random import source
from ..tensors.tensor import Tensor
from .module import Module

FLOAT32 = np.dtype("float32")


def _checked(p: float) -> float:
    if not 0 <= p <= 1:  # also refuses NaN
        raise ValueError(f"dropout: expected a probability p between 0 and 1, got {p}")
    return p


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Each value 0 with probability ``p``, else divided by 1 - p; itself when not training.

    The mask is drawn with this thread's generator (``manual_seed``), for every device the same.
    ``inplace`` is accepted and changes nothing.

    Raises:
        ValueError: p outside [0, 1]. TypeError: ``input`` is no tensor.
    """
    _checked(p)
    if not isinstance(input, Tensor):
        raise not_a_tensor("dropout", input)
    if not training or p == 0:
        return input
    if input.array.dtype.kind != "f":
        input = input.float()
    x = input.array
    floor = float(np.float32(p))  # whatever compares, it compares with a number of float32
    kept = draw(source(None), "random", x.shape, FLOAT32,
                device=device_of(x), dtype=FLOAT32) >= floor
    mask = array_module(x).asarray(kept).astype(x.dtype if x.dtype.char == "d" else FLOAT32)
    mask *= 1 / (1 - p) if p < 1 else 0
    return choice.dropout(input, wrap(Tensor, mask), p=p)


class Dropout(Module):
    """y = x m / (1 - p) in training, m = 0 with probability p, else 1; y = x in eval.

    The expectation of y is x in both, so eval needs no scaling.

    Source: Srivastava et al. 2014, Journal of Machine Learning Research 15; the division by
    1 - p while training ("inverted") is its section 10.

    >>> import tinygrad_norm as tn
    >>> _ = tn.manual_seed(0)
    >>> tn.nn.Dropout(0.5)(tn.ones(4)).tolist()
    [2.0, 2.0, 2.0, 0.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p = _checked(p)

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
