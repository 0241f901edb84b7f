"""What may be in a group of parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..kinds import outside

Group = dict[str, Any]


def new_group(
    who: str, param_group: Any, defaults: Group, groups: Sequence[Mapping[str, Any]]
) -> Group:
    """A group beside ``groups``, with the options that ``param_group`` leaves out."""
    if not isinstance(param_group, dict):
        raise TypeError(f"{who}: expected a param_group dict, got {type(param_group).__name__}")
    if "params" not in param_group:
        raise ValueError(f"{who}: a parameter group needs the key 'params', got "
                         f"{', '.join(map(repr, param_group)) or 'no keys'}")
    params, names = listed(who, param_group["params"])
    group = {**defaults, **{k: plain(v) for k, v in param_group.items()}, "params": params}
    if names:
        group["param_names"] = names
    if groups and bool(names) != ("param_names" in groups[0]):
        raise ValueError(f"{who}: expected all parameter groups with names or all without, got "
                         f"both; pass named_parameters() or parameters() everywhere")
    if len(set(params)) != len(params):
        warnings.warn(f"{who}: a parameter group holds a parameter twice, which is then "
                      "stepped twice", stacklevel=outside())
    taken = {id(p) for other in groups for p in other["params"]}
    for i, parameter in enumerate(params):
        if id(parameter) in taken:
            raise ValueError(
                f"{who}: some parameters appear in more than one parameter group: number {i} "
                f"of group {len(groups)}, of shape {parameter.array.shape}")
    return group


def listed(who: str, params: Any) -> tuple[list[Any], list[str]]:
    """The leaves of one group, and their names when they came with names."""
    if isinstance(params, set | frozenset):
        raise TypeError(f"{who}: expected an ordered collection of tensors, got a set, whose order "
                        "changes between runs; use a list")
    entries: list[Any] = [params] if isinstance(params, Value) else list(params)
    names = [entry[0] for entry in entries if isinstance(entry, tuple)]
    if names and len(names) != len(entries):
        raise ValueError(f"{who}: expected all parameters with names or all without, got "
                         f"{len(names)} names for {len(entries)} parameters")
    leaves: list[Any] = [entry[1] for entry in entries] if names else entries
    for i, parameter in enumerate(leaves):
        if not isinstance(parameter, Value):
            raise TypeError(f"{who}: optimizer can only optimize tensors, got "
                            f"{type(parameter).__name__} at position {i}")
        if parameter.edge is not None:
            raise ValueError(
                f"{who}: can't optimize a non-leaf tensor: number {i}, of shape "
                f"{parameter.array.shape}, was computed by {parameter.edge[0].op.name}; "
                "pass what it was computed from, or its detach().requires_grad_()")
    return leaves, names


def plain(value: Any) -> Any:
    """A NumPy number or a tensor of one value as a Python number, which takes the dtype of the
    arrays it is multiplied with; anything else unchanged."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Value) and value.array.size == 1:
        return value.array.item()
    return value
