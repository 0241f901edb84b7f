"""Over which axes a norm takes its statistics, in the words of its class, for the user's shapes."""

from __future__ import annotations

import re
from typing import Any

from ...nn.care.find import is_norm
from ...nn.module import Module

SPATIAL = {2: "", 3: "L", 4: "H, W", 5: "D, H, W"}
"""The names of the spatial axes, by how many axes there are."""


def norm_axes(module: Module, ndim: int | None = None) -> str:
    """``N, H, W`` for a BatchNorm2d; nothing for what is no norm.

    Without ``ndim``, the number of axes of its input, the spatial ones are ``*spatial``.
    """
    words = _of_weights(module) or (getattr(module, "reduced", "") if is_norm(module) else "")
    if not words or words.startswith("none"):
        return ""
    shape: Any = getattr(module, "normalized_shape", ())
    words = words.replace("last k axes", "last axis" if len(shape) == 1 else
                          f"last {len(shape)} axes")
    words = re.sub(r"\bsize\b", lambda _: str(getattr(module, "size", "size")), words)
    groups = getattr(module, "num_groups", None) or getattr(module, "groups", None)
    if groups is not None:
        words = words.replace("C/groups", f"C/{groups}")
    dims: tuple[int, ...] = getattr(module, "dims", ())
    if ndim is not None and dims and ndim not in dims:
        ndim += 1  # one sample, without N
    axes = SPATIAL.get(ndim or 0, "*spatial")
    return words.replace("*spatial", axes) if axes else words.replace(", *spatial", "")


def _of_weights(module: Module) -> str:
    """Of a layer whose weight is normalized: ``weight: each row of v``."""
    found = []
    for name, steps in getattr(module, "parametrizations", Module())._entries().items():
        for step in steps.children():
            reduced = getattr(step, "reduced", "")
            if reduced:
                found.append(f"{name}: {reduced}")
    return "; ".join(found)
