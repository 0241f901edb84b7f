"""Datasets, and batches of them in a shuffled order that can be saved and resumed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..backend.array import plain
from ..errors import DimError, ShapeError
from ..tensors.conversion import from_numpy
from ..tensors.random import Generator, randint, randperm
from ..tensors.tensor import Tensor
from .collate import default_collate


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
        batch_sampler: gives the numbers of the samples of each batch, in place of all of
            ``batch_size``, ``shuffle``, ``drop_last`` and ``generator``: an iterable of lists, as
            :class:`ClassBatches`. If it draws, a loader can only go on in the middle of a pass when
            it does so from a ``Generator`` that is its attribute ``generator``.
        generator: draws the orders, for this loader alone. By default a new one, seeded from the
            thread's generator, so that ``tn.manual_seed`` decides it.

    >>> import tinygrad_norm as tn
    >>> loader = DataLoader(TensorDataset(tn.arange(5)), batch_size=2)
    >>> [x.tolist() for x, in loader], len(loader)
    ([[0, 1], [2, 3], [4]], 3)
    """

    def __init__(
        self, dataset: Dataset, batch_size: int = 1, shuffle: bool = False, *,
        batch_sampler: Iterable[Sequence[int] | np.ndarray] | None = None, drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"DataLoader: expected batch_size >= 1, got {batch_size!r}")
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError("DataLoader: expected a dataset with __getitem__ and __len__, got "
                            f"{type(dataset).__name__}")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or drop_last or generator is not None:
                raise ValueError("DataLoader: batch_sampler option is mutually exclusive with "
                                 "batch_size, shuffle, drop_last and generator; give these to the "
                                 "sampler")
            if not isinstance(batch_sampler, Iterable) or isinstance(batch_sampler, Iterator):
                raise TypeError("DataLoader: expected batch_sampler to be an iterable that can be "
                                f"gone through again, got {type(batch_sampler).__name__}; a list "
                                "of lists is one")
            own = getattr(batch_sampler, "generator", None)
            generator = own if isinstance(own, Generator) else None
        elif generator is None and shuffle:
            generator = Generator().manual_seed(int(randint(2**63 - 1, (1,))))
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self.batch_size = batch_size if batch_sampler is None else None
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator
        self._began: Tensor | None = None  # the generator's state when the latest pass began
        self._position = 0  # samples (of a sampler: batches) that it has handed out; 0 at its end
        self._resume = 0    # where the next pass starts

    def __len__(self) -> int:
        if self.batch_size is None:
            return len(self.batch_sampler)  # type: ignore[arg-type]  # it may have no length
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        start, self._position, self._resume = self._resume, self._resume, 0
        draws = self.shuffle or self.batch_sampler is not None
        if draws and self.generator is not None:
            self._began = self.generator.get_state()
        if self.batch_sampler is not None:
            return self._sampled(iter(self.batch_sampler), start)
        order = np.arange(len(self.dataset))
        if self.shuffle and self.generator is not None:
            order = randperm(len(order), generator=self.generator).numpy()
        return self._batches(order, start)

    def _batches(self, order: np.ndarray, start: int) -> Iterator[Any]:
        """The order in pieces of one length."""
        step = self.batch_size or 1
        end = len(self) * step if self.drop_last else len(order)
        read = _reader(self.dataset, order)
        for i in range(start, end, step):
            self._position = i + step if i + step < end else 0
            yield read(slice(i, i + step))

    def _sampled(self, batches: Iterator[Sequence[int] | np.ndarray], start: int) -> Iterator[Any]:
        """What the sampler gives, but for the first ``start``."""
        for _ in range(start):
            next(batches, None)
        batch, i = next(batches, None), start
        while batch is not None:
            numbers = _numbers(batch)
            batch, i = next(batches, None), i + 1
            self._position = i if batch is not None else 0
            yield _reader(self.dataset, numbers)(slice(None))

    # -- its state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the order of samples stands, also in the middle of a pass.

        A pass left by ``break`` counts as under way until the next one begins.
        """
        state = self._began if self._position else None
        if state is None and self.generator is not None:
            state = self.generator.get_state()
        return {"generator": state, self._unit: self._position, "samples": len(self.dataset)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave: the next pass is the rest of that one.

        Raises:
            ValueError: the state is of a loader with another dataset, or shuffled otherwise.
        """
        if not {"samples", "generator"} <= set(state_dict):
            raise ValueError("DataLoader.load_state_dict: expected the keys "
                             f"{sorted(self.state_dict())}, got {sorted(map(str, state_dict))}")
        samples, generator = state_dict["samples"], state_dict["generator"]
        if self._unit not in state_dict:
            raise ValueError("DataLoader.load_state_dict: one of the state and this loader has a "
                             "batch_sampler, the other has not")
        if samples != len(self.dataset):
            raise ValueError(f"DataLoader.load_state_dict: expected the state of a loader of "
                             f"{len(self.dataset)} samples, got one of {samples}")
        if (generator is None) != (self.generator is None):
            raise ValueError("DataLoader.load_state_dict: one of the state and this loader "
                             "shuffles, the other does not; make it with the same shuffle")
        position = int(state_dict[self._unit])
        if position < 0:
            raise ValueError(f"DataLoader.load_state_dict: expected {self._unit} >= 0, got "
                             f"{position}")
        if self.generator is not None:
            self.generator.set_state(generator)
        self._resume = self._position = position
        self._began = generator

    @property
    def _unit(self) -> str:
        """How the state calls its position, by what it counts."""
        return "position" if self.batch_sampler is None else "batches"


def _reader(dataset: Dataset, order: np.ndarray) -> Callable[[slice], Any]:
    """What reads a part of ``order`` from the dataset, as a batch."""
    while type(dataset).__getitem__ is Subset.__getitem__:
        assert isinstance(dataset, Subset)
        order, dataset = dataset.indices[order], dataset.dataset
    if isinstance(dataset, TensorDataset) and (
            type(dataset).__getitem__ is TensorDataset.__getitem__):
        reads = [(t, from_numpy(order).to(t.device).array) for t in dataset.tensors]
        return lambda part: [t[where[part]] for t, where in reads]
    return lambda part: default_collate([dataset[int(k)] for k in order[part]])


def _numbers(batch: Any) -> np.ndarray:
    """The numbers of a sampler's batch."""
    numbers = batch.numpy() if isinstance(batch, Tensor) else np.asarray(plain("DataLoader", batch))
    if numbers.size == 0:
        raise ValueError("DataLoader: expected batch_sampler to give at least one number a batch, "
                         "got an empty one")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise TypeError("DataLoader: expected batch_sampler to give lists of whole numbers, got "
                        f"{numbers.dtype} of shape {numbers.shape}")
    return numbers
