"""DataLoader: batches of a dataset, in a shuffled order that can be saved and resumed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..backend.array import plain
from ..tensors.conversion import from_numpy
from ..tensors.random import Generator, randint, randperm
from ..tensors.tensor import Tensor
from .collate import default_collate
from .dataset import Dataset, Subset, TensorDataset


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
        batch_sampler: Iterable[Any] | None = None, drop_last: bool = False,
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
        self._under_way: list[_Pass] = []  # what handed out a batch last is the last
        self._left: _Pass | None = None    # by ``break``, or as loaded, with none under way since
        self._resume: _Pass | None = None  # what the next pass goes on with

    def __len__(self) -> int:
        if self.batch_size is None:
            return len(self.batch_sampler)  # type: ignore[arg-type]  # it may have no length
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        now = None if self.generator is None else self.generator.get_state()
        this, self._resume = self._resume or _Pass(now), None
        if self.generator is not None and this.began is not None:
            self.generator.set_state(this.began)
        batches = self._batches(this)
        next(batches)  # its first yield: all that decides the next batch is drawn
        if self.generator is not None and now is not None and not _same(now, this.began):
            self.generator.set_state(now)  # others have drawn from it since the pass began
        return batches

    def _batches(self, this: _Pass) -> Iterator[Any]:
        """None, once the pass is under way, then what is left of its batches."""
        reads, step = self._reads(this.position)
        read = next(reads, None)
        self._under_way.append(this)
        self._left = None
        try:
            yield None
            while read is not None:
                batch = [read()]
                read = next(reads, None)
                this.position += step
                self._under_way = [p for p in self._under_way if p is not this]
                if read is not None:
                    self._under_way.append(this)
                yield batch.pop()  # no name keeps its memory here
        finally:  # also when the iterator is thrown away
            if this in self._under_way:
                self._under_way.remove(this)
                self._left = this if read is not None else None

    def _reads(self, start: int) -> tuple[Iterator[Callable[[], Any]], int]:
        """What reads each batch from ``start`` on, and how far a batch moves the position."""
        if self.batch_sampler is not None:
            drawn = map(_numbers, itertools.islice(self.batch_sampler, start, None))
            return (partial(_reader(self.dataset, batch), slice(None)) for batch in drawn), 1
        order = np.arange(len(self.dataset))
        if self.shuffle and self.generator is not None:
            order = randperm(len(order), generator=self.generator).numpy()
        step = self.batch_size or 1
        end = len(self) * step if self.drop_last else len(order)
        read = _reader(self.dataset, order)
        return (partial(read, slice(i, i + step)) for i in range(start, end, step)), step

    # -- its state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where the order of samples stands, also in the middle of a pass.

        A pass left by ``break`` counts as under way until the next one begins. Of passes within
        each other it is that which handed out a batch last and is not at its end.
        """
        this = self._under_way[-1] if self._under_way else self._left
        now = None if self.generator is None else self.generator.get_state()
        state = {"generator": now, self._unit: 0, "samples": len(self.dataset)}
        if this is not None:
            state |= {"generator": this.began, self._unit: this.position}
            if now is not None:
                state["now"] = now  # others may draw from the generator too
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave: the next pass is the rest of that one.

        Raises:
            ValueError: the state is of a loader with another dataset, or shuffled otherwise.
        """
        if not {"samples", "generator"} <= set(state_dict):
            raise ValueError("DataLoader.load_state_dict: expected the keys "
                             f"{sorted(('generator', self._unit, 'samples'))}, got "
                             f"{sorted(map(str, state_dict))}")
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
            self.generator.set_state(state_dict.get("now", generator))
        under_way = position or "now" in state_dict
        self._under_way = []
        self._left = self._resume = _Pass(generator, position) if under_way else None

    @property
    def _unit(self) -> str:
        """How the state calls its position, by what it counts."""
        return "position" if self.batch_sampler is None else "batches"


@dataclass(eq=False)
class _Pass:
    """Where a pass stands."""

    began: Tensor | None
    """The generator's state before it."""
    position: int = 0
    """Samples (of a sampler: batches) that it has handed out."""


def _same(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.tolist() == other.tolist()


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
