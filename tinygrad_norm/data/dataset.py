"""Samples by their number: datasets, parts of them, and their split at random."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..backend.array import plain
from ..errors import DimError, ShapeError
from ..kinds import outside
from ..tensors.random import Generator, randperm
from ..tensors.tensor import Tensor


@runtime_checkable
class Dataset(Protocol):
    """Anything with a length and samples numbered from 0; subclassing this is optional."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


class TensorDataset(Dataset):
    """Tensors whose first dimension numbers the samples.

    ``dataset[i]`` is a tuple with a piece of each tensor; i is an int, a slice, or an array or
    tensor of numbers or bools.

    >>> import tinygrad_norm as tn
    >>> x, y = TensorDataset(tn.zeros(5, 3), tn.arange(5))[1:3]
    >>> x.shape, y.tolist()
    ((2, 3), [1, 2])
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor, got none")
        for t in tensors:
            if not isinstance(t, Tensor):
                raise TypeError(f"TensorDataset: expected tensors, got {type(t).__name__}; "
                                "tn.from_numpy(array) makes one")
            if not t.ndim:
                raise ShapeError("TensorDataset: expected tensors (N, ...), got one of shape ()")
        if len({len(t) for t in tensors}) > 1:
            raise ShapeError("TensorDataset: expected tensors of one length, got shapes "
                             + ", ".join(str(t.shape) for t in tensors))
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """The samples of ``dataset`` numbered by ``indices``, in that order.

    Indexed like the dataset itself: of a TensorDataset also by slices and arrays.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray | Tensor) -> None:
        self.dataset = dataset
        self.indices = np.array(
            plain("Subset", indices) if len(indices) else np.zeros(0, np.int64))
        if self.indices.dtype.kind not in "iu" or self.indices.ndim != 1:
            raise TypeError(f"Subset: expected a list of whole numbers, got {self.indices.dtype} "
                            f"of shape {self.indices.shape}")
        n = len(dataset)
        if len(self.indices) and not -n <= self.indices.min() <= self.indices.max() < n:
            raise DimError(f"Subset: expected indices from {-n} to {n - 1}, got "
                           f"{self.indices.min()} to {self.indices.max()}")

    def __getitem__(self, index: Any) -> Any:
        chosen = self.indices[index.numpy() if isinstance(index, Tensor) else index]
        return self.dataset[int(chosen) if chosen.ndim == 0 else chosen]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Parts of ``dataset`` that share no sample, drawn at random.

    Args:
        lengths: how many samples each part gets, adding up to ``len(dataset)``; or fractions
            adding up to 1, where samples left over by rounding down go to the first parts.
        generator: where the randomness comes from; by default the thread's own generator.

    >>> import tinygrad_norm as tn
    >>> parts = random_split(range(10), [0.8, 0.2], tn.Generator().manual_seed(0))
    >>> [len(part) for part in parts]
    [8, 2]
    """
    n = len(dataset)
    if lengths and all(0 <= v <= 1 for v in lengths) and math.isclose(sum(lengths), 1):
        sizes = [math.floor(n * v) for v in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        if 0 in sizes:
            warnings.warn(f"random_split: part {sizes.index(0)} of {n} samples is empty",
                          stacklevel=outside())
    elif all(isinstance(v, int | np.integer) and v >= 0 for v in lengths):
        sizes = [int(v) for v in lengths]
    else:
        raise ValueError("random_split: expected counts >= 0 or fractions that add up to 1, got "
                         f"{list(lengths)}")
    if sum(sizes) != n:
        raise ValueError(f"random_split: expected lengths that add up to the {n} samples of the "
                         f"dataset, got {sizes} with sum {sum(sizes)}")
    order = randperm(n, generator=generator).numpy()
    return [Subset(dataset, piece) for piece in np.split(order, np.cumsum(sizes)[:-1])]
