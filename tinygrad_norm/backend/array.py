"""Which module an array belongs to, which device it lies on, and how it moves.

The array decides: there is no current device. Each kind of device is one entry of ``BACKENDS``,
so a new one (the tests add a strict stand-in) is a class with six methods and a call of
:func:`register`.
"""

from __future__ import annotations

import importlib
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import DeviceError

Array = Any
"""A NumPy or a CuPy array: the two share their methods, not a base class."""


@dataclass(frozen=True)
class Device:
    """Where an array lies: ``Device("cpu")``, ``Device("cuda", 0)``."""

    type: str
    index: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or not isinstance(self.index, int | None):
            raise TypeError(f"device: expected a str and an int or None, got {self.type!r} and "
                            f"{self.index!r}")
        kind, colon, number = self.type.partition(":")
        if colon:  # Device("cuda:1")
            object.__setattr__(self, "type", kind)
            object.__setattr__(self, "index", int(number))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


CPU = Device("cpu")
home: ContextVar[Device] = ContextVar("tinygrad_norm.home", default=CPU)
"""Where arrays for the cpu are made: in a recording, where it sees them."""


class Backend(Protocol):
    """One kind of device: its array module and the two ways across."""

    def owns(self, array: Array) -> bool: ...
    def module(self) -> Any: ...
    def device(self, array: Array) -> Device: ...
    def resolve(self, index: int | None) -> Device: ...
    def from_numpy(self, array: np.ndarray, device: Device) -> Array: ...
    def to_numpy(self, array: Array) -> np.ndarray: ...


class NumpyBackend:
    """Arrays in the computer's own memory."""

    def owns(self, array: Array) -> bool:
        return isinstance(array, np.ndarray | np.generic)

    def module(self) -> Any:
        return np

    def device(self, array: Array) -> Device:
        return CPU

    def resolve(self, index: int | None) -> Device:
        if index not in (None, 0):
            raise DeviceError(f"device: there is one cpu, got cpu:{index}")
        return CPU

    def from_numpy(self, array: np.ndarray, device: Device) -> Array:
        return array

    def to_numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array)


class CupyBackend:
    """Arrays on an NVIDIA GPU."""

    def owns(self, array: Array) -> bool:
        return type(array).__module__.partition(".")[0] == "cupy"

    def module(self) -> Any:
        try:
            return importlib.import_module("cupy")
        except ImportError as error:
            raise DeviceError(
                "device cuda needs CuPy, which is not installed; "
                "pip install 'tinygrad_norm[cuda12]' (or [cuda13], the major version of "
                "your CUDA driver as nvidia-smi prints it)"
            ) from error

    def device(self, array: Array) -> Device:
        return Device("cuda", array.device.id)

    def resolve(self, index: int | None) -> Device:
        cupy = self.module()
        if not cupy.is_available():
            raise DeviceError(
                "device cuda: CuPy is installed but finds no GPU; "
                "check the driver with nvidia-smi, or stay on cpu"
            )
        index = cupy.cuda.Device().id if index is None else index
        count = cupy.cuda.runtime.getDeviceCount()
        if index >= count:
            raise DeviceError(f"device cuda:{index}: there are {count} GPUs, numbered from 0")
        return Device("cuda", index)

    def from_numpy(self, array: np.ndarray, device: Device) -> Array:
        cupy = self.module()
        with cupy.cuda.Device(device.index):
            return cupy.asarray(array)

    def to_numpy(self, array: Array) -> np.ndarray:
        return self.module().asnumpy(array)


BACKENDS: dict[str, Backend] = {"cpu": NumpyBackend(), "cuda": CupyBackend()}
"""The kinds of devices by name. They are asked in this order whether an array is theirs."""


def register(name: str, backend: Backend) -> None:
    """Make ``name`` a device, and what ``backend`` owns an array, for the whole process.

    Raises:
        ValueError: there is a device of that name.
    """
    if name in BACKENDS:
        raise ValueError(f"register: there is a device {name!r} already; unregister it first")
    BACKENDS[name] = backend


def unregister(name: str) -> None:
    """Undo :func:`register`; tensors that are still on that device can no longer be used."""
    del BACKENDS[name]


def backend_of(array: Array) -> Backend:
    """The backend whose module made ``array``."""
    for backend in tuple(BACKENDS.values()):  # another thread may register one meanwhile
        if backend.owns(array):
            return backend
    raise TypeError(f"expected a NumPy or CuPy array, got {type(array).__name__}")


def array_module(array: Array) -> Any:
    """``numpy`` or ``cupy``: the module whose functions take ``array``."""
    if type(array) is np.ndarray or isinstance(array, np.generic):
        return np
    return backend_of(array).module()


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array of some backend."""
    return isinstance(value, np.ndarray) or any(
        backend.owns(value) for backend in tuple(BACKENDS.values()))


def plain(who: str, array: Array) -> Array:
    """NumPy's own array of the same memory for one of a subclass, such as a matrix or a memmap.

    Raises:
        TypeError: some of its values are masked.
    """
    if type(array) is np.ndarray or not isinstance(array, np.ndarray):
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{who}: a tensor has no masked values, got a masked array of shape "
                        f"{array.shape}; give array.filled(value), or array.data and the mask "
                        "beside it")
    return array.view(np.ndarray)


def device_of(array: Array) -> Device:
    """The device ``array`` lies on."""
    return CPU if type(array) is np.ndarray else backend_of(array).device(array)


def as_device(device: str | int | Device | None) -> Device:
    """Read ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``1`` or a Device; it must be there.

    Raises:
        DeviceError: an unknown device, or one that this machine lacks (with what to install).
    """
    if device is None or device is CPU or (isinstance(device, str) and device == "cpu"):
        return home.get()
    if isinstance(device, Device):
        name, index = device.type, device.index
    elif isinstance(device, int) and not isinstance(device, bool):
        name, index = "cuda", device
    else:
        match = re.fullmatch(r"([a-z]+)(?::(\d+))?", str(device))
        if not match:
            raise DeviceError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {device!r}")
        name, index = match[1], None if match[2] is None else int(match[2])
    if name not in BACKENDS:
        raise DeviceError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {str(device)!r}")
    return BACKENDS[name].resolve(index)


def check_device(who: str, name: str, array: Array, other: str, value: Array) -> None:
    """Raise DeviceError, which names both, unless ``value`` lies where ``array`` does.

    For what reads values by an index or compares them: CuPy takes an array of NumPy's there without
    a word, and copies it at every call. Elsewhere it refuses, and the error says the same. Where
    time counts, callers ask first whether the two classes differ.
    """
    here, there = device_of(array), device_of(value)
    if here is not there and here != there:
        raise DeviceError(f"{who}: {name} is on {here}, {other} on {there}; "
                          "move one with .to(device)")


def to_device(array: Array, device: Device) -> Array:
    """``array`` on ``device``: itself when it is there already, else a copy."""
    if device_of(array) == device:
        return array
    return BACKENDS[device.type].from_numpy(to_numpy(array), device)


def to_numpy(array: Array) -> np.ndarray:
    """``array`` in the computer's memory. This is the one place where data leaves a GPU."""
    return backend_of(array).to_numpy(array)


def still(array: Array) -> Array:
    """``array`` without the derivatives that it carries: one with a method ``detach`` has some."""
    detach = getattr(array, "detach", None)
    return array if detach is None else detach()


def overlaps(array: Array) -> bool:
    """Whether several of its elements lie at one place in memory, as an expanded array's do."""
    strides = getattr(array, "strides", ())
    return 0 in strides and array.size > 0 and any(
        step == 0 and n > 1 for step, n in zip(strides, array.shape, strict=True))
