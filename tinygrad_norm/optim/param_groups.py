"""Parameters apart by whether weight decay is for them."""

from __future__ import annotations

from ..nn.care.find import check_model, is_norm
from ..nn.checks import is_number
from ..nn.module import Module
from ..tensors.tensor import Parameter
from .optimizer import Group


def param_groups(model: Module, weight_decay: float) -> list[Group]:
    """Two groups for an optimizer: the weights, which decay, and the rest, which do not.

    The rest is: every parameter of a norm; every bias; and every parameter with fewer than two
    dimensions, as a scale for each channel. Decay pulls such numbers to 0, which makes no function
    simpler. A parameter that is held in several places is in one group, once, and does not decay
    if it must not in one. What a parametrized weight is made of goes where the weight would; the
    Linear within FiLM is a Linear.

    Args:
        weight_decay: of the first group; the second has 0.

    Raises:
        ValueError: weight_decay < 0.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(3, 4), tn.nn.BatchNorm1d(4))
    >>> groups = tn.optim.param_groups(net, weight_decay=0.01)
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.01), (3, 0.0)]
    >>> optimizer = tn.optim.SGD(groups, lr=0.1, momentum=0.9)
    """
    check_model("param_groups", model)
    if not is_number(weight_decay):
        raise TypeError("param_groups: expected weight_decay to be a number, got "
                        f"{weight_decay!r}")
    if not weight_decay >= 0:
        raise ValueError(f"param_groups: expected weight_decay >= 0, got {weight_decay}")
    modules = dict(model.named_modules())
    held = [(_attribute(path, name), value) for path, module in modules.items()
            for name, value in vars(module).items() if isinstance(value, Parameter)]
    ndim: dict[tuple[str, str], int] = {}
    for attribute, parameter in held:
        ndim[attribute] = max(ndim.get(attribute, 0), parameter.array.ndim)
    spared = {id(parameter) for (layer, name), parameter in held
              if is_norm(modules[layer]) or name.endswith("bias") or ndim[layer, name] < 2}
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if id(p) not in spared], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) in spared], "weight_decay": 0.0},
    ]


def _attribute(path: str, name: str) -> tuple[str, str]:
    """The layer and the attribute that a parameter is, or that it is a part of."""
    parts = path.split(".")
    if "parametrizations" not in parts[:-1]:
        return path, name
    i = parts.index("parametrizations")
    return ".".join(parts[:i]), parts[i + 1]
