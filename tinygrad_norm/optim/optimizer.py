"""What every optimizer has: groups of parameters with their options, and a state for each."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..autograd.mode import enable_grad
from ..backend.array import device_of, is_array, to_device
from ..errors import DeviceError
from ..tensors.tensor import Tensor
from .together import STEP

Group = dict[str, Any]


class Optimizer:
    """Base class of optimizers: a subclass defines ``step``.

    ``param_groups`` is a list of dicts, each with its ``"params"`` and an entry for each option;
    ``state`` holds a dict for each parameter that has been stepped.

    Args:
        params: tensors, (name, tensor) pairs, or dicts with ``"params"`` and options of their own.
        defaults: the options of a group that does not set them.

    Raises:
        TypeError: something that is no tensor. ValueError: no parameters at all, one that is
            computed and no leaf, or one in two groups.
    """

    stepped: bool | None = None
    """Whether ``step`` was ever called; None when a subclass does not say. Schedulers look."""

    counted = False
    """Whether the state of a parameter has its number of steps, as ``"step"``."""

    @staticmethod
    def dtype_of_state(dtype: np.dtype) -> np.dtype:
        """In which dtype the state of a parameter of ``dtype`` is kept."""
        return dtype

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        who = type(self).__name__
        if isinstance(params, Value):
            raise TypeError(f"{who}: expected an iterable of tensors or dicts, got a single "
                            f"{type(params).__name__}; put it into a list: [param]")
        if not isinstance(params, Iterable):
            raise TypeError(f"{who}: expected an iterable of tensors or dicts, got a "
                            f"{type(params).__name__}; pass a model's parameters()")
        self.defaults = {name: plain(value) for name, value in defaults.items()}
        self.state: defaultdict[Tensor, Group] = defaultdict(dict)
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ValueError(f"{who}: optimizer got an empty parameter list; does the model have "
                             "parameters, and was an iterator over them used up before?")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once, along their gradients."""
        raise NotImplementedError(f"{type(self).__name__}: define step(self, closure=None)")

    @staticmethod
    def evaluated(closure: Callable[[], Any]) -> Any:
        """What ``closure`` returns; it records its graph also where the step is under no_grad."""
        with enable_grad():
            return closure()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter._grad = None
                elif parameter._grad is not None:
                    parameter._grad = parameter._grad.detach().zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Optimize more parameters, with options of their own.

        Args:
            param_group: ``"params"`` and any of the options.
        """
        who = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(f"{who}: expected a param_group dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"{who}: a parameter group needs the key 'params', got "
                             f"{', '.join(map(repr, param_group)) or 'no keys'}")
        params, names = _listed(who, param_group["params"])
        group = {**self.defaults, **{k: plain(v) for k, v in param_group.items()},
                 "params": params}
        if names:
            group["param_names"] = names
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ValueError(f"{who}: expected all parameter groups with names or all without, got "
                             f"both; pass named_parameters() or parameters() everywhere")
        if len(set(params)) != len(params):
            warnings.warn(f"{who}: a parameter group holds a parameter twice, which is then "
                          "stepped twice", stacklevel=3)
        taken = {id(p) for other in self.param_groups for p in other["params"]}
        for i, parameter in enumerate(params):
            if id(parameter) in taken:
                raise ValueError(
                    f"{who}: some parameters appear in more than one parameter group: number {i} "
                    f"of group {len(self.param_groups)}, of shape {parameter.array.shape}")
        self.param_groups.append(group)

    def state_dict(self) -> Group:
        """``{"state": {number: values}, "param_groups": [...]}``.

        Parameters are replaced by numbers, counted through all groups. Tensors share memory with
        the optimizer's.
        """
        numbers: dict[int, int] = {}
        groups, start = [], 0
        for group in self.param_groups:
            for i, parameter in enumerate(group["params"], start):
                numbers.setdefault(id(parameter), i)
            start += len(group["params"])
            groups.append({**{k: plain(v) for k, v in group.items() if k != "params"},
                           "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the options and a copy of the state, in the parameters' dtypes and devices.

        Nothing is changed when anything does not fit.

        Raises:
            ValueError: the state of another model: groups of other sizes, tensors of other shapes.
        """
        who = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f"{who}: expected a state dict with the keys 'state' and "
                             "'param_groups', as state_dict() returns it")
        saved = state_dict["param_groups"]
        if not all(isinstance(group, Mapping) and "params" in group for group in saved):
            raise ValueError(f"{who}: expected each of 'param_groups' to be a dict with 'params'")
        sizes = [len(group["params"]) for group in self.param_groups]
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
                       chain.from_iterable(group["params"] for group in self.param_groups),
                       strict=True))
        state: defaultdict[Tensor, Group] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number not in own:
                raise ValueError(f"{who}: loaded state dict has a state for parameter {number!r}, "
                                 f"but its groups hold {', '.join(map(str, own))}")
            state[own[number]] = dict(self._fitting(number, own[number], values))
        self.state = state
        self.param_groups = [
            {**group, **loaded, "params": group["params"]}
            for group, loaded in zip(self.param_groups, saved, strict=True)]

    def _fitting(
        self, number: Any, parameter: Tensor, values: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """A copy of a parameter's saved state; its tensors have the parameter's shape."""
        who = type(self).__name__
        for name, value in values.items():
            if name == STEP and self.counted:
                value = _count(who, number, value)
            elif isinstance(value, Value) or is_array(value):
                held = value.array if isinstance(value, Value) else value
                if held.shape != parameter.array.shape:
                    raise ValueError(
                        f"{who}: loaded state dict has a {name} of shape {held.shape} for "
                        f"parameter {number}: expected {parameter.array.shape}; is it of another "
                        "model?")
                array = to_device(held, device_of(parameter.array))
                dtype = self.dtype_of_state(parameter.array.dtype)
                value = wrap(Tensor, array.astype(dtype, copy=True))
            elif hasattr(value, "shape") and not isinstance(value, np.generic):
                raise TypeError(f"{who}: expected as {name} of parameter {number} a tensor or an "
                                f"array, got a {type(value).__name__} of {value.dtype}; "
                                "tensor(value.numpy()) makes one of PyTorch's")
            yield name, value

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def plain(value: Any) -> Any:
    """A NumPy number or a tensor of one value as a Python number, which takes the dtype of the
    arrays it is multiplied with; anything else unchanged."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Value) and value.array.size == 1:
        return value.array.item()
    return value


def _listed(who: str, params: Any) -> tuple[list[Any], list[str]]:
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


def _count(who: str, number: Any, value: Any) -> Tensor:
    """The number of steps taken, from a tensor or a number, as PyTorch keeps it: on the cpu, where
    reading it waits for no device."""
    value = plain(value)
    if not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{who}: loaded state dict has a step of {value!r} for parameter "
                         f"{number}: expected one number >= 0")
    count: Tensor = wrap(Tensor, np.array(value, np.float32))
    return count


def elsewhere(
    optimizer: Optimizer, parameter: Tensor, name: str, held: Tensor
) -> DeviceError:
    """What is raised when a parameter has moved since its state began."""
    return DeviceError(
        f"{type(optimizer).__name__}: a parameter of shape {parameter.shape} is on "
        f"{parameter.device}, its {name} on {held.device}; move the model first and make the "
        "optimizer then, or load_state_dict(state_dict()) to move its state after it")
