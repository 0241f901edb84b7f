"""A saved state, and what of it fits an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..backend.array import device_of, is_array, to_device
from ..backend.array import plain as plain_array
from ..errors import DeviceError
from ..tensors.tensor import Tensor
from .groups import plain

STEP = "step"
"""The name of the number of steps that a parameter has taken: a tensor of one value on the cpu."""


def matched(
    who: str, state_dict: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> dict[Any, Tensor]:
    """The parameter of each number in a state dict, whose groups must be as large as ``groups``."""
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise ValueError(f"{who}: expected a state dict with the keys 'state' and "
                         "'param_groups', as state_dict() returns it")
    saved = state_dict["param_groups"]
    if not all(isinstance(group, Mapping) and "params" in group for group in saved):
        raise ValueError(f"{who}: expected each of 'param_groups' to be a dict with 'params'")
    sizes = [len(group["params"]) for group in groups]
    got = [len(group["params"]) for group in saved]
    if len(sizes) != len(got):
        raise ValueError(
            f"{who}: loaded state dict has a different number of parameter groups: expected "
            f"{len(sizes)}, got {len(got)}; is it of another model?")
    if sizes != got:
        raise ValueError(
            f"{who}: loaded state dict contains a parameter group that doesn't match the size "
            f"of optimizer's group: expected {sizes} parameters, got {got}; is it of another "
            "model?")
    own = dict(zip(chain.from_iterable(group["params"] for group in saved),
                   chain.from_iterable(group["params"] for group in groups), strict=True))
    for number in state_dict["state"]:
        if number not in own:
            raise ValueError(f"{who}: loaded state dict has a state for parameter {number!r}, "
                             f"but its groups hold {', '.join(map(str, own))}")
    return own


def fitting(
    who: str, number: Any, parameter: Tensor, values: Mapping[str, Any], dtype: np.dtype,
    counted: bool,
) -> Iterator[tuple[str, Any]]:
    """A copy of a parameter's saved state; its tensors have the parameter's shape and ``dtype``.

    Args:
        counted: whether ``"step"`` is a number of steps.
    """
    for name, value in values.items():
        if name == STEP and counted:
            value = count(who, number, value)
        elif isinstance(value, Value) or is_array(value):
            held = value.array if isinstance(value, Value) else plain_array(who, value)
            if held.shape != parameter.array.shape:
                raise ValueError(
                    f"{who}: loaded state dict has a {name} of shape {held.shape} for "
                    f"parameter {number}: expected {parameter.array.shape}; is it of another "
                    "model?")
            array = to_device(held, device_of(parameter.array))
            value = wrap(Tensor, array.astype(dtype, copy=True))
        elif hasattr(value, "shape") and not isinstance(value, np.generic):
            raise TypeError(f"{who}: expected as {name} of parameter {number} a tensor or an "
                            f"array, got a {type(value).__name__} of {value.dtype}; "
                            "tensor(value.numpy()) makes one of PyTorch's")
        yield name, value


def count(who: str, number: Any, value: Any) -> Tensor:
    """The number of steps taken, from a tensor or a number, as PyTorch keeps it: on the cpu, where
    reading it waits for no device."""
    value = plain(value)
    if not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{who}: loaded state dict has a step of {value!r} for parameter "
                         f"{number}: expected one number >= 0")
    taken: Tensor = wrap(Tensor, np.array(value, np.float32))
    return taken


def elsewhere(who: str, parameter: Tensor, name: str, held: Tensor) -> DeviceError:
    """What is raised when a parameter has moved since its state began."""
    return DeviceError(
        f"{who}: a parameter of shape {parameter.shape} is on {parameter.device}, its {name} on "
        f"{held.device}; move the model first and make the optimizer then, or "
        "load_state_dict(state_dict()) to move its state after it")
