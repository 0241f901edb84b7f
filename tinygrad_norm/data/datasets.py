"""Small datasets to learn from: real ones that scikit-learn carries, and points in the plane."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from .. import public
from ..tensors.conversion import from_numpy
from ..tensors.random import Generator
from ..tensors.tensor import Tensor
from .dataset import TensorDataset

__all__ = [
    "Labelled", "Measured", "breast_cancer", "diabetes", "digits", "iris", "moons", "photos",
    "spirals", "wine",
]  # fmt: skip


class _Supervised(TensorDataset):
    """Features (N, C) float32, and a target for each sample."""

    def __init__(self, name: str, data: np.ndarray, targets: np.ndarray, dtype: type) -> None:
        super().__init__(from_numpy(np.ascontiguousarray(data, np.float32)),
                         from_numpy(np.ascontiguousarray(targets, dtype)))
        self.name = name

    @property
    def data(self) -> Tensor:
        return self.tensors[0]

    @property
    def targets(self) -> Tensor:
        return self.tensors[1]


class Labelled(_Supervised):
    """Features and the class of each sample: ``dataset[i]`` is (features, label).

    name:         what it is
    data:         (N, C) float32, or pictures (N, 1, *image_shape)
    targets:      (N,) int64, from 0 to len(classes) - 1
    classes:      the name of each class
    image_shape:  how the C features make a picture, or None
    features:     the name of each feature, when they have names
    """

    def __init__(self, name: str, data: np.ndarray, targets: np.ndarray,
                 classes: tuple[str, ...], image_shape: tuple[int, ...] | None = None,
                 features: tuple[str, ...] = ()) -> None:
        super().__init__(name, data, targets, np.int64)
        self.classes = classes
        self.image_shape = image_shape
        self.features = features

    def __repr__(self) -> str:
        return f"{self.name}: {_counted(self.data)}, {len(self.classes)} classes"


class Measured(_Supervised):
    """Features and the number to predict for each sample: ``dataset[i]`` is (features, number).

    name:      what it is
    data:      (N, C) float32
    targets:   (N,) float32
    features:  the name of each feature
    """

    def __init__(self, name: str, data: np.ndarray, targets: np.ndarray,
                 features: tuple[str, ...]) -> None:
        super().__init__(name, data, targets, np.float32)
        self.features = features

    def __repr__(self) -> str:
        return f"{self.name}: {_counted(self.data)}, a number for each"


def digits(*, images: bool = False) -> Labelled:
    """1797 handwritten digits, pictures of 8×8 with values from 0 to 16.

    Data (1797, 64), or (1797, 1, 8, 8). Alpaydin and Kaynak, "Optical Recognition of Handwritten
    Digits", UCI 1998 (its test set); the copy that scikit-learn carries, so nothing is downloaded.

    Args:
        images: pictures for convolutions, and not rows of pixels.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    bunch = _bundled("digits", "load_digits")
    data = bunch.data.reshape(-1, 1, 8, 8) if images else bunch.data
    return Labelled("digits", data, bunch.target, tuple("0123456789"), (8, 8))


def wine() -> Labelled:
    """178 wines of three growers, 13 chemical measurements of each: data (178, 13).

    The features' units differ, and their standard deviations by a factor of 2500. Aeberhard and
    Forina, "Wine", UCI 1992; the copy that scikit-learn carries.
    """
    return _table("wine", "load_wine")


def breast_cancer() -> Labelled:
    """569 tumours, malignant or benign, 30 measurements of cell nuclei of each: data (569, 30).

    The features' standard deviations differ by a factor of 200000. Wolberg, Street and
    Mangasarian, "Breast Cancer Wisconsin (Diagnostic)", UCI 1995; the copy that scikit-learn
    carries.
    """
    return _table("breast_cancer", "load_breast_cancer")


def iris() -> Labelled:
    """150 irises of three species, 4 lengths of each, in cm: data (150, 4).

    Fisher 1936, "The use of multiple measurements in taxonomic problems"; the copy that
    scikit-learn carries.
    """
    return _table("iris", "load_iris")


def diabetes() -> Measured:
    """442 patients, 10 measurements of each, and how ill they were a year later: data (442, 10).

    The measurements are as they were taken, not scaled. Efron, Hastie, Johnstone and Tibshirani
    2004, "Least Angle Regression"; the copy that scikit-learn carries.
    """
    bunch = _bundled("diabetes", "load_diabetes", scaled=False)
    return Measured("diabetes", bunch.data, bunch.target, tuple(map(str, bunch.feature_names)))


def photos() -> dict[str, Tensor]:
    """Two photographs, "china" (a temple) and "flower": each (3, 427, 640) float32, from 0 to 1.

    The sample images that scikit-learn carries: of flickr.com/photos/danielbuechele and
    flickr.com/photos/vultilion, CC BY 2.0.

    Raises:
        ImportError: scikit-learn or Pillow is not installed.
    """
    try:
        importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError("datasets.photos: Pillow reads the pictures, and is not installed; "
                          "pip install pillow") from error
    bunch = _bundled("photos", "load_sample_images")
    return {name: from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / 255)
            for name, picture in zip(("china", "flower"), bunch.images, strict=True)}


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


def _table(name: str, loader: str) -> Labelled:
    bunch = _bundled(name, loader)
    return Labelled(name, bunch.data, bunch.target, tuple(map(str, bunch.target_names)),
                    features=tuple(map(str, bunch.feature_names)))


def _bundled(who: str, loader: str, **options: Any) -> Any:
    """What a function of ``sklearn.datasets`` loads from its own files."""
    try:
        module = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise ImportError(f"datasets.{who}: the data comes with scikit-learn, which is not "
                          "installed; pip install 'tinygrad_norm[examples]'") from error
    return getattr(module, loader)(**options)


def _counted(data: Tensor) -> str:
    """How many samples of what."""
    if data.ndim > 2:
        return f"{len(data)} pictures of {'×'.join(map(str, data.shape[1:]))}"
    return f"{len(data)} samples of {data.shape[1]} features"


public.publish(globals())
