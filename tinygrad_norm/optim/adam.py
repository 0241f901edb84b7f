"""Adam, and AdamW, which keeps weight decay apart from the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..autograd.graph import tick, wrap
from ..backend.array import Array, array_module
from ..tensors.tensor import Tensor
from .blocks import SMALL, Blocks
from .optimizer import Group, Optimizer, elsewhere, plain
from .together import STEP, Together, gathered

MOMENTS = ("exp_avg", "exp_avg_sq")
HIGHEST = "max_exp_avg_sq"


class Adam(Optimizer):
    """p ← p - lr m̂ / (√v̂ + eps), with running averages m, v of the gradient g and of its square:

        g ← g + weight_decay p                 (first g ← -g when maximizing)
        m ← β₁ m + (1 - β₁) g                  m̂ = m / (1 - β₁ᵗ)
        v ← β₂ v + (1 - β₂) g²                 v̂ = v / (1 - β₂ᵗ)     at step t = 1, 2, …

    Both begin at 0; the divisors undo the pull to it. Parameters without a gradient are left as
    they are, and their t too. For float16 parameters m and v are kept, and the change is computed,
    in float32: in float16 the square of a gradient under 2.4e-4 is 0, and so is the usual eps.

    Args:
        params: tensors, (name, tensor) pairs, or dicts of ``"params"`` with options of their own.
        lr: the learning rate, about the size of a step in each coordinate.
        betas: β₁ and β₂, the weights of the past.
        eps: keeps the quotient finite.
        weight_decay: the factor of the L2 penalty's gradient.
        amsgrad: in v̂ take the largest v so far, so that no step grows because v fell.
        foreach: False to update many small parameters one by one; else they are updated as one
            array, with the same result.
        maximize: go up instead of down.
        capturable, differentiable, fused: PyTorch's other ways to run it, which are not here.
        decoupled_weight_decay: decay p itself, by lr weight_decay p, and not through g: AdamW.

    Source: Kingma and Ba 2015 (arXiv:1412.6980), Algorithm 1; amsgrad: Reddi, Kale and Kumar 2018
    (arXiv:1904.09237), with the bias corrected as in PyTorch.

    >>> import tinygrad_norm as tn
    >>> p = tn.tensor([1.0, -200.0], requires_grad=True)
    >>> optimizer = tn.optim.Adam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75, -199.75]
    """

    stepped = False
    counted = True

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                    "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach,
                    "capturable": capturable, "differentiable": differentiable, "fused": fused,
                    "decoupled_weight_decay": decoupled_weight_decay}
        self._together: dict[int, Together | None] = {}
        self._blocks = Blocks()
        super().__init__(params, self._checked(defaults))

    def add_param_group(self, param_group: Group) -> None:
        if isinstance(param_group, dict):
            param_group = self._checked(param_group)
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew; its result is returned.
        """
        loss = None if closure is None else self.evaluated(closure)
        self.stepped = True
        for i, group in enumerate(self.param_groups):
            rule = Rule.of(group)
            names = (*MOMENTS, HIGHEST) if group["amsgrad"] else MOMENTS
            parameters = group["params"]
            together = None if group["foreach"] is False else gathered(
                self._together, i, parameters, self.state, names, SMALL, counted=True)
            if together is not None:
                together.step(partial(_change_of_all, rule, together.count()))
                parameters = together.rest
            for parameter in parameters:
                if parameter._grad is not None:
                    self._step_one(parameter, rule, names)
        return loss

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the options and a copy of the state, also from PyTorch's Adam or AdamW.

        How it ran (capturable, differentiable, fused) is not taken over. Nothing is changed when
        anything does not fit.

        Raises:
            ValueError: the state of another model: groups of other sizes, tensors of other shapes.
        """
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group.update(capturable=False, differentiable=False, fused=None)

    @staticmethod
    def dtype_of_state(dtype: np.dtype) -> np.dtype:
        return np.dtype(np.float32) if dtype == np.float16 else dtype

    def _step_one(self, parameter: Tensor, rule: Rule, names: tuple[str, ...]) -> None:
        array, values = parameter.array, self.state[parameter]
        self._begin(array, values, names)
        now, buffers = tick(), []
        for name in names:
            held = values[name]
            if type(held.array) is not type(array):
                raise elsewhere(self, parameter, name, held)
            held.written[0] = now
            buffers.append(held.array)
        count = values[STEP]
        count.array += 1
        count.written[0] = now
        self._blocks.run(partial(_update, rule, count.array.item()), SMALL, array,
                         parameter._grad.array, *buffers)
        parameter.written[0] = now

    def _begin(self, array: Array, values: Group, names: tuple[str, ...]) -> None:
        """The state of a parameter before its first step, where it lacks."""
        if STEP not in values:
            values[STEP] = wrap(Tensor, np.zeros((), np.float32))
        for name in names:
            if values.get(name) is None:
                zeros = array_module(array).zeros_like(
                    array, dtype=self.dtype_of_state(array.dtype))
                values[name] = wrap(Tensor, zeros)

    def _checked(self, options: Group) -> Group:
        """The options of a group with plain numbers, which are in their ranges."""
        who = type(self).__name__
        for name, what in (("lr", "learning rate"), ("eps", "epsilon value"),
                           ("weight_decay", "weight_decay value")):
            _number(who, what, name, options.get(name, 0))
        for name, why in WAYS.items():
            if options.get(name):
                raise NotImplementedError(f"{who}: {name}={options[name]!r} is not supported: "
                                          f"{why}")
        if "betas" not in options:
            return options
        betas = options["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(f"{who}: expected betas to be a pair of numbers, got {betas!r}")
        return {**options, "betas": tuple(
            _number(who, f"beta parameter at index {i}", f"betas[{i}]", beta, 1)
            for i, beta in enumerate(betas))}


class AdamW(Adam):
    """:class:`Adam` whose weight decay leaves m and v alone: p ← p - lr weight_decay p as well.

    So every weight decays at the same rate, where Adam divides the decay by √v̂ like the rest of g.

    Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), Algorithm 2; the decay is multiplied
    with lr, as in PyTorch.

    >>> import tinygrad_norm as tn
    >>> p = tn.tensor([1.0, -200.0], requires_grad=True)
    >>> optimizer = tn.optim.AdamW([p], lr=0.25, weight_decay=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.625, -174.75]
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=True)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As :meth:`Adam.load_state_dict`; the decay stays decoupled, also with Adam's state."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True


WAYS = {
    "capturable": "no graphs of CUDA calls are captured, and the number of steps stays on the cpu; "
                  "leave it out",
    "differentiable": "step() writes into the parameters and is not recorded; compute the next "
                      "parameters as tensors from autograd.grad(..., create_graph=True)",
    "fused": "there is no fused kernel; leave it out",
}


class Rule(NamedTuple):
    """The options of a group as plain numbers."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    decay: float
    decoupled: bool
    maximize: bool

    @classmethod
    def of(cls, group: Group) -> Rule:
        beta1, beta2 = group["betas"]
        return cls(float(group["lr"]), beta1, beta2, group["eps"], group["weight_decay"],
                   group["decoupled_weight_decay"], group["maximize"])


def _update(
    rule: Rule, step: float, module: Any, s: Array | None, t: Array | None, p: Array, g: Array,
    *buffers: Array,
) -> None:
    """One step of one array, in place; s and t are for temporaries, None to allocate them."""
    dtype = buffers[0].dtype
    wide, g = (a if a.dtype == dtype else a.astype(dtype) for a in (p, g))
    if t is None:
        t = module.empty_like(buffers[0])
    p -= _change(rule, step, module, s, t, wide, g, *buffers)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _change(
    rule: Rule, step: float, module: Any, s: Array | None, t: Array, p: Array, g: Array,
    m: Array, v: Array, highest: Array | None = None,
) -> Array:
    """What is subtracted from p, in t; the moments move on.

    The divisors of m̂ and v̂ are folded into lr and eps (Kingma and Ba, end of section 2), and the
    decoupled decay is added to the change: 1 - lr weight_decay would lose its digits in float32.
    """
    multiply = module.multiply
    if rule.maximize:
        g = module.negative(g, out=s)
    if rule.decay and not rule.decoupled:
        g = module.add(g, multiply(p, rule.decay, out=t), out=s)
    module.subtract(g, m, out=t)
    t *= 1 - rule.beta1
    m += t
    multiply(g, g, out=t)
    t *= 1 - rule.beta2
    v *= rule.beta2
    v += t
    if highest is not None:
        v = module.maximum(highest, v, out=highest)
    root = math.sqrt(1 - rule.beta2**step)
    module.sqrt(v, out=t)
    t += rule.eps * root
    module.divide(m, t, out=t)
    t *= rule.lr * root / (1 - rule.beta1**step)
    if rule.decay and rule.decoupled:
        t += multiply(p, rule.lr * rule.decay, out=s)
    return t


def _change_of_all(
    rule: Rule, step: float, arrays: Sequence[np.ndarray], g: np.ndarray, out: np.ndarray,
    *buffers: np.ndarray,
) -> None:
    """:func:`_change` of many arrays in one, gathered only where they are needed."""
    p = np.concatenate([a.reshape(-1) for a in arrays]) if rule.decay else g
    _change(rule, step, np, g, out, p, g, *buffers)


def _number(who: str, what: str, name: str, value: Any, end: float | None = None) -> float:
    value = plain(value)
    if not isinstance(value, int | float):
        raise TypeError(f"{who}: expected a number for {name}, got {value!r}")
    if not value >= 0 or (end is not None and value >= end):  # NaN too
        expected = f"{name} >= 0" if end is None else f"0 <= {name} < {end}"
        raise ValueError(f"{who}: Invalid {what}: expected {expected}, got {value}")
    return value
