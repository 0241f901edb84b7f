"""Jets as a kind of array: what makes "jet" a device, for as long as it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend.array import Device, register, unregister
from ..errors import DeviceError
from . import jet_normal as jet_normal  # registers kernels
from .jet import DEVICE, Jet, functions


class JetBackend:
    """The six methods of a device; what comes from another one is constant."""

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


_lock = threading.Lock()
_inside = 0
"""How many times :func:`jets` has been entered and not yet left, by all threads together."""


@contextmanager
def jets() -> Iterator[None]:
    """While it lasts jets are arrays, and "jet" is a device. It may be entered within itself.

    >>> import tinygrad_norm as tn
    >>> with tn.proof.jets():
    ...     tn.ones(2, device="jet").device
    device('jet')
    """
    global _inside
    with _lock:
        if not _inside:
            register("jet", JetBackend())
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                unregister("jet")
