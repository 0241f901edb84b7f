"""ClassBatches: batches that are no fair sample of the data, each of a few classes only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..backend.array import plain
from ..errors import ShapeError
from ..tensors.random import Generator, randint
from ..tensors.tensor import Tensor


class ClassBatches:
    """The numbers of the samples of each batch, ``batch_size`` of ``classes_per_batch`` classes.

    A ``batch_sampler`` for :class:`DataLoader`. Each batch draws its classes anew and takes as many
    samples of each; in a pass no sample comes twice, and there are as many batches as that allows
    (some samples are left over, others in each pass). So the statistics of a batch are those of
    its few classes, not of the data.

    Args:
        targets: (N,) the class of each sample.
        batch_size: a multiple of ``classes_per_batch``.
        classes_per_batch: how many classes a batch holds.
        generator: draws, for this sampler alone. By default a new one, seeded from the thread's
            generator, so that ``tn.manual_seed`` decides it.

    Source: Ioffe 2017 (arXiv:1702.03275), section 4.4: non-i.i.d. minibatches.

    >>> import tinygrad_norm as tn
    >>> targets = tn.tensor([0, 0, 1, 1, 2, 2])
    >>> sampler = ClassBatches(targets, batch_size=2, classes_per_batch=1)
    >>> len(sampler), sorted(targets[batch].tolist() for batch in sampler)
    (3, [[0, 0], [1, 1], [2, 2]])
    """

    def __init__(
        self, targets: Tensor | np.ndarray | Sequence[int], batch_size: int,
        classes_per_batch: int = 2, *, generator: Generator | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("classes_per_batch", classes_per_batch)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"ClassBatches: expected {name} >= 1, got {value!r}")
        if batch_size % classes_per_batch:
            raise ValueError("ClassBatches: expected batch_size to be a multiple of "
                             f"classes_per_batch={classes_per_batch}, got {batch_size}")
        labels = targets.cpu().numpy() if isinstance(targets, Tensor) else np.asarray(
            plain("ClassBatches", targets))
        if not labels.size:  # of no list NumPy makes floats
            labels = labels.astype(np.int64)
        if labels.ndim != 1:
            raise ShapeError(f"ClassBatches: expected targets (N,), got shape {labels.shape}")
        if labels.dtype.kind not in "iu":
            raise TypeError("ClassBatches: expected targets to be whole numbers, the classes of "
                            f"the samples, got {labels.dtype}")
        self.batch_size = batch_size
        self.classes_per_batch = classes_per_batch
        self._samples = [np.flatnonzero(labels == c) for c in np.unique(labels)]
        self._parts = np.array([len(s) // self._share for s in self._samples], np.int64)
        self._batches = _most(self._parts, classes_per_batch)
        if not self._batches:
            raise ValueError(
                f"ClassBatches: expected {classes_per_batch} classes of at least {self._share} "
                f"samples, got {np.count_nonzero(self._parts)} of {len(self._samples)} classes; "
                "take a smaller batch_size or classes_per_batch")
        if generator is None:
            generator = Generator().manual_seed(int(randint(2**63 - 1, (1,))))
        self.generator = generator

    @property
    def _share(self) -> int:
        """How many samples of each of its classes a batch has."""
        return self.batch_size // self.classes_per_batch

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[np.ndarray]:
        random = self.generator.numpy
        order = [random.permutation(samples) for samples in self._samples]
        left, batches = self._parts.copy(), []
        for remaining in range(self._batches, 0, -1):
            chosen = self._drawn(random, left, remaining)
            left[chosen] -= 1
            picked = [order[c][left[c] * self._share :][: self._share] for c in chosen]
            batches.append(random.permutation(np.concatenate(picked)))
        return iter(batches)

    def _drawn(self, random: np.random.Generator, left: np.ndarray, remaining: int) -> np.ndarray:
        """The classes of the next batch, after which ``remaining - 1`` more must be possible.

        Those with more parts left are drawn more often. When chance would leave too few classes
        for the rest, those with the most left are taken, which never does.
        """
        k = self.classes_per_batch
        weights = np.minimum(left, remaining)
        if np.count_nonzero(weights) >= k:
            drawn = random.choice(len(left), k, replace=False, p=weights / weights.sum())
            after = left.copy()
            after[drawn] -= 1
            if _possible(after, k, remaining - 1):
                return drawn
        return np.lexsort((random.random(len(left)), left))[-k:]


def _possible(left: np.ndarray, k: int, batches: int) -> bool:
    """Whether so many batches of k classes each can be made of ``left`` parts of each class."""
    return int(np.minimum(left, batches).sum()) >= k * batches


def _most(parts: np.ndarray, k: int) -> int:
    """The largest possible number of batches."""
    batches = int(parts.sum()) // k
    while not _possible(parts, k, batches):
        batches -= 1
    return batches
