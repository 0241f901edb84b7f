"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..autograd.graph import tick, wrap
from ..backend.array import Array, array_module
from ..tensors.tensor import Tensor
from .blocks import SMALL, Blocks
from .optimizer import Group, Optimizer, elsewhere, plain
from .together import Together, gathered

BUFFER = "momentum_buffer"


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

    stepped = False

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening,
                    "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        _check(defaults)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"SGD: Nesterov momentum requires a momentum and zero dampening, got "
                             f"momentum={momentum}, dampening={dampening}")
        self._together: dict[int, Together | None] = {}
        self._blocks = Blocks()
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        if isinstance(param_group, dict):
            _check(param_group)
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew; its result is returned.
        """
        loss = None if closure is None else self.evaluated(closure)
        self.stepped = True
        for i, group in enumerate(self.param_groups):
            options = (float(group["lr"]), group["momentum"], group["dampening"],
                       group["weight_decay"], group["nesterov"], group["maximize"])
            parameters = group["params"]
            names = (BUFFER,) if options[1] else ()
            together = gathered(self._together, i, parameters, self.state, names, SMALL)
            if together is not None:
                together.step(partial(_change_of_all, options))
                parameters = together.rest
            for parameter in parameters:
                if parameter._grad is not None:
                    self._step_one(parameter, options)
        return loss

    def _step_one(self, parameter: Tensor, options: tuple[Any, ...]) -> None:
        array, buffers, first = parameter.array, [], False
        if options[1]:
            held = self.state[parameter].get(BUFFER)
            if held is None:
                held, first = self._begin(parameter), True
            if type(held.array) is not type(array):
                raise elsewhere(self, parameter, "momentum buffer", held)
            held.written[0] = tick()
            buffers.append(held.array)
        rule = partial(_update, options, first)
        self._blocks.run(rule, SMALL, array, parameter._grad.array, *buffers)
        parameter.written[0] = tick()

    def _begin(self, parameter: Tensor) -> Any:
        """A momentum buffer for ``parameter``, still to be filled."""
        buffer = wrap(Tensor, array_module(parameter.array).empty_like(parameter.array))
        self.state[parameter][BUFFER] = buffer
        return buffer


def _update(
    options: tuple[Any, ...], first: bool, module: Any, s: Array | None, t: Array | None,
    p: Array, g: Array, b: Array | None = None,
) -> None:
    """One step of one array, in place; s and t are for temporaries, None to allocate them."""
    lr, *rest = options
    d = _direction(module, p, g, b, first, s, t, *rest)
    p -= module.multiply(d, lr, out=t)


def _direction(
    module: Any, p: Array, g: Array, b: Array | None, first: bool, s: Array | None,
    t: Array | None, momentum: float, dampening: float, decay: float, nesterov: bool,
    maximize: bool,
) -> Array:
    """What lr is multiplied with; the momentum buffer b moves on."""
    multiply, add = module.multiply, module.add
    if maximize:
        g = module.negative(g, out=s)
    if decay:
        g = add(g, multiply(p, decay, out=t), out=s)
    if b is not None:
        if first:
            b[...] = g
        else:
            b *= momentum
            b += multiply(g, 1 - dampening, out=t) if dampening else g
        g = add(g, multiply(b, momentum, out=t), out=s) if nesterov else b
    return g


def _change_of_all(
    options: tuple[Any, ...], arrays: Sequence[np.ndarray], g: np.ndarray, out: np.ndarray,
    b: np.ndarray | None = None,
) -> None:
    """lr times :func:`_direction` of many arrays in one, gathered only where they are needed."""
    lr, *rest = options
    p = np.concatenate([a.reshape(-1) for a in arrays]) if options[3] else None
    np.multiply(_direction(np, p, g, b, False, None, None, *rest), lr, out=out)


def _check(options: Group) -> None:
    """Raise unless the options of a group are numbers that are not negative."""
    for name, what in (("lr", "learning rate"), ("momentum", "momentum value"),
                       ("weight_decay", "weight_decay value")):
        value = plain(options.get(name, 0))
        if not isinstance(value, int | float):
            raise TypeError(f"SGD: expected a number for {name}, got {value!r}")
        if not value >= 0:  # NaN too
            raise ValueError(f"SGD: Invalid {what}: expected {name} >= 0, got {value}")
