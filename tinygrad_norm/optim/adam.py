"""Adam, and AdamW, which keeps weight decay apart from the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..backend.array import Array, array_module
from ..tensors.tensor import Tensor
from .groups import Group, plain
from .optimizer import Optimizer


def adam(
    p: Array, g: Array, m: Array, v: Array, highest: Array | None = None, *, lr: float,
    beta1: float, beta2: float, correction1: float, root_correction2: float, eps: float,
    weight_decay: float = 0.0, decoupled: bool = False, maximize: bool = False,
) -> tuple[Array, ...]:
    """One step of :class:`Adam`: (what is subtracted from p, the next m, v and highest v).

    ``correction1`` is 1 - β₁ᵗ and ``root_correction2`` √(1 - β₂ᵗ). They are multiplied with numbers
    rather than arrays (Kingma and Ba, end of section 2). The decoupled decay is a part of the
    change: in float32, p times 1 - lr weight_decay would lose its digits. ``highest`` is None
    without amsgrad.
    """
    if maximize:
        g = -g
    if weight_decay and not decoupled:
        g = g + weight_decay * p
    m = m + (1 - beta1) * (g - m)
    v = beta2 * v + (1 - beta2) * (g * g)
    module = array_module(v)
    if highest is not None:
        highest = module.maximum(highest, v)
    root = module.sqrt(v if highest is None else highest)
    change = lr * root_correction2 / correction1 * (m / (root + eps * root_correction2))
    if weight_decay and decoupled:
        change = change + lr * weight_decay * p
    return change, m, v, highest


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

    rule = staticmethod(adam)
    counted = True
    stepped = False

    def __init__(
        self, params: Iterable[Any], lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                    "amsgrad": amsgrad, "maximize": maximize, "foreach": foreach,
                    "capturable": capturable, "differentiable": differentiable, "fused": fused,
                    "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, self._checked(defaults))

    def add_param_group(self, param_group: Group) -> None:
        if isinstance(param_group, dict):
            param_group = self._checked(param_group)
        super().add_param_group(param_group)

    def kept(self, group: Group) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def settings(self, group: Group) -> dict[str, Any]:
        return {"eps": float(group["eps"]), "weight_decay": float(group["weight_decay"]),
                "decoupled": group["decoupled_weight_decay"], "maximize": group["maximize"]}

    def numbers_at(self, group: Group, step: float) -> dict[str, float]:
        beta1, beta2 = map(float, group["betas"])
        return {"lr": float(group["lr"]), "beta1": beta1, "beta2": beta2,
                "correction1": 1 - beta1**step, "root_correction2": math.sqrt(1 - beta2**step)}

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def apply_rule(self) -> None:
        super().apply_rule()

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
        self, params: Iterable[Any], lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
        amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
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


def _number(who: str, what: str, name: str, value: Any, end: float | None = None) -> float:
    value = plain(value)
    if not isinstance(value, int | float):
        raise TypeError(f"{who}: expected a number for {name}, got {value!r}")
    if not value >= 0 or (end is not None and value >= end):  # NaN too
        expected = f"{name} >= 0" if end is None else f"0 <= {name} < {end}"
        raise ValueError(f"{who}: Invalid {what}: expected {expected}, got {value}")
    return value
