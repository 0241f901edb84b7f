"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..autograd.graph import tick, wrap
from ..autograd.mode import enable_grad
from ..backend.array import Array, array_module, device_of
from ..errors import DeviceError
from ..tensors.tensor import Tensor
from .optimizer import Group, Optimizer, plain
from .together import Together

SMALL = 1 << 14
"""Up to this many values an array is updated as a whole: the allocator has its temporaries at
hand. Larger ones are mapped anew, and their pages faulted in, at every step."""
BLOCK = 1 << 16
"""Larger arrays are updated this many values at a time, with temporaries kept between steps, which
stay in the cache. Measured with float32 parameters of 784 × 2048, 2048 × 2048 and 2048 × 10, in
blocks and in whole arrays: momentum 3.2 and 3.8 ms, with Nesterov and weight decay 5.6 and 14 ms,
plain 2.0 and 1.8 ms."""


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
        self._scratch: dict[np.dtype, np.ndarray] = {}
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
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self.stepped = True
        for i, group in enumerate(self.param_groups):
            options = (float(group["lr"]), group["momentum"], group["dampening"],
                       group["weight_decay"], group["nesterov"], group["maximize"])
            parameters = group["params"]
            together = self._together.get(i)
            if together is None or not together.still_holds(
                    parameters, self.state, options[1]):
                together = Together.of(parameters, self.state, options[1], SMALL)
                self._together[i] = together
            if together is not None:
                together.step(partial(_direction_of_all, options), self.state, options[0])
                parameters = together.rest
            for parameter in parameters:
                gradient = parameter._grad
                if gradient is None:
                    continue
                array, buffer, first = parameter.array, None, False
                if options[1]:
                    held = self.state[parameter].get("momentum_buffer")
                    if held is None:
                        held, first = self._begin(parameter), True
                    buffer = held.array
                    if type(buffer) is not type(array):
                        raise self._elsewhere(parameter, buffer)
                    held.written[0] = tick()
                if type(array) is np.ndarray and array.size > SMALL:
                    self._blockwise(array, gradient.array, buffer, first, options)
                else:
                    _update(array_module(array), array, gradient.array, buffer, first, None, None,
                            *options)
                parameter.written[0] = tick()
        return loss

    def _begin(self, parameter: Tensor) -> Any:
        """A momentum buffer for ``parameter``, still to be filled."""
        buffer = wrap(Tensor, array_module(parameter.array).empty_like(parameter.array))
        self.state[parameter]["momentum_buffer"] = buffer
        return buffer

    def _blockwise(
        self, p: np.ndarray, g: np.ndarray, b: np.ndarray | None, first: bool,
        options: tuple[Any, ...],
    ) -> None:
        """``_update`` on ``BLOCK`` values at a time, when all lie in memory in one order."""
        if not (p.flags.c_contiguous and g.flags.c_contiguous
                and (b is None or b.flags.c_contiguous)):
            return _update(np, p, g, b, first, None, None, *options)
        if p.dtype not in self._scratch:
            self._scratch[p.dtype] = np.empty((2, BLOCK), p.dtype)
        s, t = self._scratch[p.dtype]
        p, g = p.reshape(-1), g.reshape(-1)
        b = None if b is None else b.reshape(-1)
        for i in range(0, p.size, BLOCK):
            part = slice(i, i + BLOCK)
            piece = p[part]
            n = piece.size
            _update(np, piece, g[part], None if b is None else b[part], first, s[:n], t[:n],
                    *options)

    def _elsewhere(self, parameter: Tensor, buffer: Array) -> DeviceError:
        return DeviceError(
            f"SGD: a parameter of shape {parameter.shape} is on {parameter.device}, its momentum "
            f"buffer on {device_of(buffer)}; move the model first and make the optimizer then, or "
            "load_state_dict(state_dict()) to move the buffers after it")


def _update(
    module: Any, p: Array, g: Array, b: Array | None, first: bool, s: Array | None,
    t: Array | None, lr: float, momentum: float, dampening: float, decay: float, nesterov: bool,
    maximize: bool,
) -> None:
    """One step of one array, in place; s and t are for temporaries, None to allocate them."""
    d = _direction(module, p, g, b, first, s, t, momentum, dampening, decay, nesterov, maximize)
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


def _direction_of_all(
    options: tuple[Any, ...], arrays: Sequence[np.ndarray], g: np.ndarray, b: np.ndarray | None
) -> np.ndarray:
    """:func:`_direction` of many arrays in one; they are gathered only where they are needed."""
    decay = options[3]
    p = np.concatenate([a.reshape(-1) for a in arrays]) if decay else None
    return _direction(np, p, g, b, False, None, None, *options[1:])


def _check(options: Group) -> None:
    """Raise unless the options of a group are numbers that are not negative."""
    for name, what in (("lr", "learning rate"), ("momentum", "momentum value"),
                       ("weight_decay", "weight_decay value")):
        value = plain(options.get(name, 0))
        if not isinstance(value, int | float):
            raise TypeError(f"SGD: expected a number for {name}, got {value!r}")
        if not value >= 0:  # NaN too
            raise ValueError(f"SGD: Invalid {what}: expected {name} >= 0, got {value}")
