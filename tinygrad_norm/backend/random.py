"""Random numbers as arrays: every draw that becomes a tensor is made here."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array import BACKENDS, Array, Device
from .choose import kernel


def draw(
    random: np.random.Generator, law: str, *arguments: Any, device: Device, dtype: Any
) -> Array:
    """``random.law(*arguments)`` as an array of ``dtype`` on ``device``."""
    way = kernel(copied, type(BACKENDS[device.type]))
    return way(random, law, arguments, device, dtype)


def copied(
    random: np.random.Generator, law: str, arguments: tuple[Any, ...], device: Device, dtype: Any
) -> Array:
    """What NumPy draws, copied to the device: with the same seed every device gets the same bits.

    There is no array yet whose class could choose, so the class of the device's backend does:
    ``implements(copied, CupyBackend)`` registers another way to draw for it.
    """
    drawn = np.asarray(getattr(random, law)(*arguments)).astype(dtype, copy=False)
    return BACKENDS[device.type].from_numpy(drawn, device)
