"""Large arrays updated in blocks, with temporaries that stay in the cache."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..backend.array import Array
from .in_place import InPlace

SMALL = 1 << 14
"""Up to this many values an array is updated as a whole: the allocator has its temporaries at
hand. Larger ones are mapped anew, and their pages faulted in, at every step."""
BLOCK = 1 << 16
"""Larger arrays are updated this many values at a time, with temporaries that stay in the cache.
With float32 parameters of 784 × 512, 512 × 512 and 512 × 10 a step of Adam takes half as long as
with its rule on whole arrays; of 784 × 2048, 2048 × 2048 and 2048 × 10 a third."""


class Blocks:
    """Runs rules in place, and keeps the temporaries of large arrays between steps."""

    def __init__(self) -> None:
        self._temporaries: dict[np.dtype, np.ndarray] = {}

    def update(
        self, quick: InPlace, numbers: Collection[float], dtype: np.dtype, p: Array, g: Array,
        *states: Array,
    ) -> None:
        """Write the next p and states into ``p`` and ``states``; g is the gradient.

        Args:
            dtype: of the states, and what is computed in.
        """
        if p.size > SMALL and fit(p, g, *states):
            self._in_blocks(quick, numbers, dtype, *(a.reshape(-1) for a in (p, g, *states)))
        else:
            empty_like = quick.module.empty_like
            change, *others = [empty_like(p, dtype=dtype) for _ in quick.temporaries]
            wide = (p, g) if p.dtype == dtype else (p.astype(dtype), g.astype(dtype))
            quick.update(*numbers, *wide, *states, change, *others)
            p -= change

    def _in_blocks(
        self, quick: InPlace, numbers: Collection[float], dtype: np.dtype, *flat: np.ndarray
    ) -> None:
        kept = self._temporaries.get(dtype)
        if kept is None or len(kept) < len(quick.temporaries):
            kept = self._temporaries[dtype] = np.empty((len(quick.temporaries), BLOCK), dtype)
        for i in range(0, flat[0].size, BLOCK):
            p, g, *states = [a[i : i + BLOCK] for a in flat]
            change, *others = kept[: len(quick.temporaries), : p.size]
            wide = (p, g) if p.dtype == dtype else (p.astype(dtype), g.astype(dtype))
            quick.update(*numbers, *wide, *states, change, *others)
            p -= change


def fit(*arrays: Array) -> bool:
    """Whether all are NumPy's, and in memory in one order."""
    # host memory: blocks are cut to fit its cache
    return all(type(a) is np.ndarray and a.flags.c_contiguous for a in arrays)
