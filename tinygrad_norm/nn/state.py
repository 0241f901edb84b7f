"""The state of a module: its values by dotted name, out and in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..autograd.graph import Value, tick
from ..backend.array import is_array, plain, to_device
from ..tensors.tensor import Parameter, Tensor
from .lazy import Begun, is_lazy
from .tree import Buffer, Tree


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class State(Tree):
    """The part of ``Module`` that saves and restores."""

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, sharing memory with the module.

        ``prefix`` stands before each name as it is. What is held twice is there twice.
        """
        result: dict[str, Tensor] = {}
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                result[prefix + name] = value.detach()
        for name, value in vars(self).items():
            if isinstance(value, Buffer) and value.persistent:
                result[prefix + name] = value.detach()
        for name, child in self._entries().items():
            result.update(child.state_dict(f"{prefix}{name}."))
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values into the parameters and buffers of the same names.

        Nothing is changed when anything does not fit. A lazy layer takes its size from the values.

        Raises:
            RuntimeError: lists missing keys, unexpected keys (both unless ``strict`` is False),
                and values of another shape or kind. TypeError: ``state_dict`` is no mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict of tensors, got "
                            f"{type(state_dict).__name__}")
        with Begun(self.named_modules(), state_dict):
            return self._load(state_dict, strict)

    def _load(self, state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        arrays: dict[str, Any] = {}
        problems = []
        for key, value in state_dict.items():
            if key not in own:
                continue
            if is_lazy(own[key]) and is_lazy(value):
                continue
            array = value.array if isinstance(value, Value) and not is_lazy(value) else value
            array = plain(f"load_state_dict: {key}", array)
            if not is_array(array) or array.dtype.kind not in "biuf":
                problems.append(f"{key}: expected a tensor or an array, got {_kind(value)}")
            elif is_lazy(own[key]):
                problems.append(f"size mismatch for {key}: expected a shape that tells a lazy "
                                f"layer its size, got {array.shape}")
            elif array.shape != own[key].shape:
                problems.append(f"size mismatch for {key}: expected {own[key].shape}, got "
                                f"{array.shape}")
            else:
                arrays[key] = array
        if strict and missing:
            problems.append("Missing key(s) in state_dict: " + ", ".join(missing))
        if strict and unexpected:
            problems.append("Unexpected key(s) in state_dict: " + ", ".join(map(str, unexpected)))
        if problems:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n  "
                + "\n  ".join(problems)
            )
        for key, array in arrays.items():
            target = own[key]
            target.array[...] = to_device(array, target.device)
            target.written[0] = tick()
        for path, module in self.named_modules():
            start = f"{path}." if path else ""
            module.loaded({key[len(start):] for key in arrays if key.startswith(start)})
        return IncompatibleKeys(missing, unexpected)


def _kind(value: object) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ if dtype is None else f"{type(value).__name__} of {dtype}"
