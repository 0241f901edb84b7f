"""Datasets, and batches of them in a shuffled order that can be saved and resumed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import DimError, ShapeError
from ..tensors.conversion import from_numpy
from ..tensors.creation import stack, tensor
from ..tensors.random import Generator, randint, randperm
from ..tensors.tensor import Tensor


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
        self.indices = np.array(indices if len(indices) else np.zeros(0, np.int64))
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
                          stacklevel=2)
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


class DataLoader:
    """The dataset in batches; each ``for`` over it is one pass, in a new order if ``shuffle``.

    A batch is a list with one tensor for each part of a sample, and owns its memory: of a
    TensorDataset, or a Subset of one, it is read in one go; samples of any other dataset are
    read one by one and joined by :func:`default_collate`.

    Args:
        dataset: anything with ``len`` and samples numbered from 0.
        batch_size: samples in a batch.
        shuffle: a new random order for each pass.
        drop_last: leave out a last batch that is not full (one sample cannot be batch-normalized).
        generator: draws the orders, for this loader alone. By default a new one, seeded from the
            thread's generator, so that ``tn.manual_seed`` decides it.

    >>> import tinygrad_norm as tn
    >>> loader = DataLoader(TensorDataset(tn.arange(5)), batch_size=2)
    >>> [x.tolist() for x, in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)
    """

    def __init__(
        self, dataset: Dataset, batch_size: int = 1, shuffle: bool = False, *,
        drop_last: bool = False, generator: Generator | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"DataLoader: expected batch_size >= 1, got {batch_size!r}")
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError("DataLoader: expected a dataset with __getitem__ and __len__, got "
                            f"{type(dataset).__name__}")
        if generator is None and shuffle:
            generator = Generator().manual_seed(int(randint(2**63 - 1, (1,))))
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator
        self._began: Tensor | None = None  # the generator's state when the latest pass began
        self._position = 0                 # samples that it has handed out; 0 when it is over
        self._resume = 0                   # where the next pass starts

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        start, self._position, self._resume = self._resume, self._resume, 0
        order = np.arange(len(self.dataset))
        if self.shuffle and self.generator is not None:
            self._began = self.generator.get_state()
            order = randperm(len(order), generator=self.generator).numpy()
        return self._batches(order, start)

    def _batches(self, order: np.ndarray, start: int) -> Iterator[Any]:
        dataset = self.dataset
        while type(dataset).__getitem__ is Subset.__getitem__:
            assert isinstance(dataset, Subset)
            order, dataset = dataset.indices[order], dataset.dataset
        step = self.batch_size
        end = len(self) * step if self.drop_last else len(order)
        reads: list[tuple[Tensor, Any]] | None = None
        if isinstance(dataset, TensorDataset) and (
                type(dataset).__getitem__ is TensorDataset.__getitem__):
            reads = [(t, from_numpy(order).to(t.device).array) for t in dataset.tensors]
        for i in range(start, end, step):
            self._position = i + step if i + step < end else 0
            if reads is not None:
                yield [t[where[i : i + step]] for t, where in reads]
            else:
                yield default_collate([dataset[int(k)] for k in order[i : i + step]])

    # -- its state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the order of samples stands, also in the middle of a pass.

        A pass left by ``break`` counts as under way until the next one begins.
        """
        state = self._began if self._position else None
        if state is None and self.generator is not None:
            state = self.generator.get_state()
        return {"generator": state, "position": self._position, "samples": len(self.dataset)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave: the next pass is the rest of that one.

        Raises:
            ValueError: the state is of a loader with another dataset, or shuffled otherwise.
        """
        samples, generator = state_dict["samples"], state_dict["generator"]
        if samples != len(self.dataset):
            raise ValueError(f"DataLoader.load_state_dict: expected the state of a loader of "
                             f"{len(self.dataset)} samples, got one of {samples}")
        if (generator is None) != (self.generator is None):
            raise ValueError("DataLoader.load_state_dict: one of the state and this loader "
                             "shuffles, the other does not; make it with the same shuffle")
        if self.generator is not None:
            self.generator.set_state(generator)
        self._resume = self._position = int(state_dict["position"])
        self._began = generator


def default_collate(samples: Sequence[Any]) -> Any:
    """Samples joined into a batch, as PyTorch does it.

    Tensors and NumPy arrays are stacked; ints become int64, floats float64; of tuples, lists and
    dicts each part is joined; strings stay a list.
    """
    first = samples[0]
    if isinstance(first, Tensor | np.ndarray | np.generic):
        for i, sample in enumerate(samples):
            if sample.shape != first.shape:
                raise ShapeError(f"DataLoader: expected samples of one shape, got {first.shape} "
                                 f"and, {i} later in the batch, {sample.shape}; pad them, or use "
                                 "batch_size=1")
        return stack(samples) if isinstance(first, Tensor) else tensor(np.stack(samples))
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
