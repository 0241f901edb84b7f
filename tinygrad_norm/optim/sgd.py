"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.array import Array
from ..tensors.tensor import Tensor
from .groups import Group, plain
from .optimizer import Optimizer


def sgd(
    p: Array, g: Array, b: Array | None = None, *, lr: float, momentum: float | None = None,
    dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False,
    maximize: bool = False,
) -> tuple[Array, Array | None]:
    """One step of :class:`SGD`: (lr d, the next b).

    b is None at the first step, and momentum where there is none.
    """
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    if momentum is not None:
        new = (1 - dampening) * g if dampening else g
        b = g if b is None else momentum * b + new
        g = g + momentum * b if nesterov else b
    return lr * g, b


class SGD(Optimizer):
    """p ← p - lr d, with a momentum buffer b that sums the gradients g, each fading away:

        g ← g + weight_decay p                 (first g ← -g when maximizing)
        b ← momentum b + (1 - dampening) g     (b = g at the first step)
        d = b                                  (g + momentum b with nesterov; g without momentum)

    Parameters without a gradient are left as they are.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of ``"params"`` with options of their own.
        lr: the learning rate.
        momentum: the weight of the past; 0 for none.
        dampening: what is held back of each new gradient.
        weight_decay: the factor of the L2 penalty's gradient.
        nesterov: look ahead along the momentum; needs momentum, and no dampening.
        maximize: go up instead of down.

    Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep
    learning"; lr multiplies the sum here, as in PyTorch, not each gradient.

    >>> import tinygrad_norm as tn
    >>> p = tn.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tn.optim.SGD([p], lr=0.25, momentum=0.9)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.5, 1.0]
    """

    rule = staticmethod(sgd)
    start = None
    stepped = False

    def __init__(
        self, params: Iterable[Any], lr: float | Tensor = 1e-3, momentum: float = 0,
        dampening: float = 0, weight_decay: float = 0, nesterov: bool = False, *,
        maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening,
                    "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        _check(defaults)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"SGD: Nesterov momentum requires a momentum and zero dampening, got "
                             f"momentum={momentum}, dampening={dampening}")
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        if isinstance(param_group, dict):
            _check(param_group)
        super().add_param_group(param_group)

    def kept(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def settings(self, group: Group) -> dict[str, Any]:
        return {"dampening": float(group["dampening"]),
                "weight_decay": float(group["weight_decay"]),
                "nesterov": group["nesterov"], "maximize": group["maximize"]}

    def numbers_at(self, group: Group, step: float) -> dict[str, float]:
        lr, momentum = float(group["lr"]), group["momentum"]
        return {"lr": lr, "momentum": float(momentum)} if momentum else {"lr": lr}


def _check(options: Group) -> None:
    """Raise unless the options of a group are numbers that are not negative."""
    for name, what in (("lr", "learning rate"), ("momentum", "momentum value"),
                       ("weight_decay", "weight_decay value")):
        value = plain(options.get(name, 0))
        if not isinstance(value, int | float):
            raise TypeError(f"SGD: expected a number for {name}, got {value!r}")
        if not value >= 0:  # NaN too
            raise ValueError(f"SGD: Invalid {what}: expected {name} >= 0, got {value}")
