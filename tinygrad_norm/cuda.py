"""The NVIDIA GPUs of this machine, through CuPy, in the words of ``torch.cuda``.

``is_available()`` and ``device_count()`` answer everywhere. The other functions raise DeviceError
where there is no GPU or no CuPy, with what to install.
"""

from __future__ import annotations

from typing import Any

from . import public
from .backend.array import BACKENDS, Device, as_device
from .errors import DeviceError

__all__ = ["device_count", "get_device_name", "is_available", "synchronize"]


def is_available() -> bool:
    """Whether tensors can be put on a GPU: CuPy is installed and finds one."""
    return device_count() > 0


def device_count() -> int:
    """How many GPUs there are for us; 0 where something is missing."""
    try:
        cupy = BACKENDS["cuda"].module()
        return int(cupy.cuda.runtime.getDeviceCount()) if cupy.is_available() else 0
    except Exception:  # a broken driver or library fails in many ways; all of them mean: no GPU
        return 0


def get_device_name(device: str | int | Device | None = None) -> str:
    """The name of a GPU, such as ``NVIDIA H200``; of the current one by default.

    Raises:
        DeviceError: no such GPU.
    """
    index = _index("get_device_name", device)
    name: Any = BACKENDS["cuda"].module().cuda.runtime.getDeviceProperties(index)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize(device: str | int | Device | None = None) -> None:
    """Wait until the GPU has done all it was asked to do; for honest timings.

    Raises:
        DeviceError: no such GPU.
    """
    index = _index("synchronize", device)
    BACKENDS["cuda"].module().cuda.Device(index).synchronize()


def _index(who: str, device: str | int | Device | None) -> int:
    place = as_device("cuda" if device is None else device)
    if place.type != "cuda" or place.index is None:
        raise DeviceError(f"cuda.{who}: expected a cuda device, got {place}")
    return place.index


public.publish(globals())
