"""Small datasets to learn from: real handwritten digits, and points in the plane."""

from __future__ import annotations

import math

import numpy as np

from ..tensors.conversion import from_numpy
from ..tensors.random import Generator
from ..tensors.tensor import Tensor
from .loader import TensorDataset


class Labelled(TensorDataset):
    """Features and the class of each sample: ``dataset[i]`` is (features, label).

    name:         what it is
    data:         (N, C) float32
    targets:      (N,) int64, from 0 to len(classes) - 1
    classes:      the name of each class
    image_shape:  how the C features make a picture, or None
    """

    def __init__(self, name: str, data: np.ndarray, targets: np.ndarray,
                 classes: tuple[str, ...], image_shape: tuple[int, ...] | None = None) -> None:
        super().__init__(from_numpy(np.ascontiguousarray(data, np.float32)),
                         from_numpy(np.ascontiguousarray(targets, np.int64)))
        self.name = name
        self.classes = classes
        self.image_shape = image_shape

    @property
    def data(self) -> Tensor:
        return self.tensors[0]

    @property
    def targets(self) -> Tensor:
        return self.tensors[1]

    def __repr__(self) -> str:
        return (f"{self.name}: {len(self)} samples of {self.data.shape[1]} features, "
                f"{len(self.classes)} classes")


def digits() -> Labelled:
    """1797 handwritten digits, pictures of 8×8 with values from 0 to 16.

    Data (1797, 64). Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998
    (its test set); the copy that scikit-learn carries, so nothing is downloaded.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("datasets.digits: the pictures come with scikit-learn, which is not "
                          "installed; pip install 'tinygrad_norm[examples]'") from error
    bunch = load_digits()
    return Labelled("digits", bunch.data, bunch.target, tuple("0123456789"), (8, 8))


def moons(n: int = 1000, *, noise: float = 0.1, seed: int = 0) -> Labelled:
    """Two half circles that reach into each other: data (n, 2).

    Args:
        noise: standard deviation of what is added to each coordinate.
        seed: the same seed gives the same points.
    """
    random = _random("moons", n, 2, noise, seed)
    labels = np.arange(n) % 2
    angle = random.uniform(0, math.pi, n)
    side = np.where(labels == 0, 1.0, -1.0)
    points = np.stack([side * np.cos(angle), side * np.sin(angle)], axis=1)
    points += np.where(labels[:, None] == 0, [0.0, 0.0], [1.0, 0.5])
    points += random.normal(0, noise, points.shape)
    return Labelled("moons", points, labels, ("upper", "lower"))


def spirals(n: int = 1000, *, classes: int = 3, noise: float = 0.2, seed: int = 0) -> Labelled:
    """Arms that wind around the origin, one for each class: data (n, 2), within the unit circle.

    The toy set of Stanford's course CS231n, "Putting it together: Minimal Neural Network".

    Args:
        noise: standard deviation of the angle, in radians; an arm turns by 4.
        seed: the same seed gives the same points.
    """
    random = _random("spirals", n, classes, noise, seed)
    labels = np.arange(n) % classes
    radius = random.uniform(0, 1, n)
    angle = 4 * radius + labels * (2 * math.pi / classes) + random.normal(0, noise, n)
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    return Labelled("spirals", points, labels, tuple(f"arm {i}" for i in range(classes)))


def _random(who: str, n: int, classes: int, noise: float, seed: int) -> np.random.Generator:
    if classes < 1 or n < classes:
        raise ValueError(f"datasets.{who}: expected at least one class and one sample for each, "
                         f"got n={n} and classes={classes}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"datasets.{who}: expected noise >= 0, got {noise}")
    return Generator().manual_seed(seed).numpy
