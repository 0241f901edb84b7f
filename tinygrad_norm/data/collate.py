"""Samples joined into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend.array import plain
from ..errors import ShapeError
from ..tensors.creation import stack, tensor
from ..tensors.tensor import Tensor


def default_collate(samples: Sequence[Any]) -> Any:
    """Samples joined into a batch, as PyTorch does it.

    Tensors and NumPy arrays are stacked; ints become int64, floats float64; of tuples, lists and
    dicts each part is joined; strings stay a list.
    """
    first = samples[0]
    # host memory: what a data set reads that makes no tensors
    if isinstance(first, Tensor | np.ndarray | np.generic):
        for i, sample in enumerate(samples):
            if isinstance(sample, Tensor) != isinstance(first, Tensor) or not hasattr(
                    sample, "shape"):
                raise TypeError(f"DataLoader: expected samples of one kind, got "
                                f"{type(first).__name__} and, {i} later in the batch, "
                                f"{type(sample).__name__}")
            if sample.shape != first.shape:
                raise ShapeError(f"DataLoader: expected samples of one shape, got {first.shape} "
                                 f"and, {i} later in the batch, {sample.shape}; pad them, or use "
                                 "batch_size=1")
        return stack(samples) if isinstance(first, Tensor) else tensor(
            np.stack([plain("DataLoader", sample) for sample in samples]))
    if isinstance(first, bool | int):
        return tensor(list(samples))
    if isinstance(first, float):
        return tensor(list(samples), dtype="float64")
    if isinstance(first, str):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple | list):
        if len({len(sample) for sample in samples}) > 1:
            raise ValueError("DataLoader: expected samples with as many parts as the first "
                             f"({len(first)}), got {[len(sample) for sample in samples]}")
        parts = [default_collate(part) for part in zip(*samples, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise TypeError("DataLoader: expected samples of tensors, arrays, numbers, strings, and "
                    f"tuples, lists or dicts of them, got {type(first).__name__}")
