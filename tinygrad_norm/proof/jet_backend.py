"""Jets as a kind of array: the entry that makes "jet" a device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.array import BACKENDS, Device
from ..errors import DeviceError
from .jet import DEVICE, Jet, functions


class JetBackend:
    """The entry in ``BACKENDS``: what comes from another device is constant."""

    def owns(self, array: Any) -> bool:
        return isinstance(array, Jet)

    def module(self) -> Any:
        return functions()

    def device(self, array: Any) -> Device:
        return DEVICE

    def resolve(self, index: int | None) -> Device:
        if index is not None:
            raise DeviceError(f"device: there is one jet, got jet:{index}")
        return DEVICE

    def from_numpy(self, array: np.ndarray, device: Device) -> Jet:
        return Jet([np.array(array)])

    def to_numpy(self, array: Jet) -> np.ndarray:
        return array.c[0].astype(array.dtype)


BACKENDS["jet"] = JetBackend()
