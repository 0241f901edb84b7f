"""Over which axes a norm takes its statistics, in the catalogue's words, for the user's shapes."""

from __future__ import annotations

import re
from typing import Any

from ...nn.care.find import is_norm
from ...nn.module import Module
from ...proof.catalogue import ENTRIES

WORDS = {entry.name: entry.reduced for entry in ENTRIES}
SPATIAL = {2: "", 3: "L", 4: "H, W", 5: "D, H, W"}
"""The names of the spatial axes, by how many axes there are."""
WEIGHTS = {"_WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm",
           "_WeightStandardization": "weight_standardization"}


def norm_axes(module: Module, ndim: int | None = None) -> str:
    """``N, H, W`` for a BatchNorm2d; nothing for what is no norm.

    Without ``ndim``, the number of axes of its input, the spatial ones are ``*spatial``.
    """
    words = _of_weights(module) or (_words(type(module)) if is_norm(module) else "")
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


def _words(kind: type) -> str:
    """Of the class or of the nearest one above it that the catalogue has."""
    for base in kind.__mro__:
        name = re.sub("[23]d$", "1d", base.__name__.removeprefix("Lazy"))
        if name in WORDS:
            return WORDS[name]
    return ""


def _of_weights(module: Module) -> str:
    """Of a layer whose weight is normalized: ``weight: each row of v``."""
    found = []
    for name, steps in getattr(module, "parametrizations", Module())._entries().items():
        for step in steps.children():
            known = WEIGHTS.get(type(step).__name__)
            if known:
                found.append(f"{name}: {WORDS[known]}")
    return "; ".join(found)
