"""Center and Standardize: features with mean 0, and variance 1, by the training set's statistics.

Whitening, which makes them uncorrelated too, is in whitening.py.
"""

from __future__ import annotations

import numpy as np

from ..tensors.creation import tensor
from ..tensors.tensor import Tensor
from .feature_map import FeatureMap, Moments, X


class Center(FeatureMap):
    """Subtract each feature's mean.

        y = x - mean

    Its state is that of :class:`Standardize`, so each can load the other's.

    Args:
        axis: the axis of the features: -1 for (N, C), 1 for the channels of (N, C, *spatial).
            Statistics are taken over all the others.

    >>> import numpy as np
    >>> Center().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    def transform(self, x: X) -> X:
        """x - mean"""
        mean = self._fitted("transform").mean
        return self._mapped("transform", x, len(mean), lambda v: v - self._along(mean, v))

    def inverse(self, x: X) -> X:
        """x + mean: what :meth:`transform` was given."""
        mean = self._fitted("inverse").mean
        return self._mapped("inverse", x, len(mean), lambda v: v + self._along(mean, v))


class Standardize(FeatureMap):
    """Subtract each feature's mean and divide by its standard deviation.

        y = (x - mean) / std         std² = Σ (x - mean)² / N   (biased)

    A constant feature has std 1 here, so it becomes 0 and stays finite. Statistics are kept on the
    cpu and formulas evaluated in float64, so that a large offset costs no digits; the result has
    the input's dtype (float32 for ints and bools), kind (tensor or NumPy array) and device, and a
    tensor's gradient passes through. NaN is refused by the fit and handed on by the transform.

    Args:
        axis: the axis of the features: -1 for (N, C), 1 for the channels of (N, C, *spatial).
            Statistics are taken over all the others.

    >>> import numpy as np
    >>> scale = Standardize()
    >>> scale.fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> scale.inverse(np.array([[0.0, 0.0]]))
    array([[2., 5.]])
    """

    @property
    def std(self) -> Tensor:
        """(C,) float64: what the features are divided by; 1 for a constant feature."""
        return tensor(deviation(self._fitted("std")))

    def transform(self, x: X) -> X:
        """(x - mean) / std"""
        moments = self._fitted("transform")
        mean, std = moments.mean, deviation(moments)
        return self._mapped("transform", x, len(mean), lambda v: (
            v - self._along(mean, v)) / self._along(std, v))

    def inverse(self, x: X) -> X:
        """x std + mean: what :meth:`transform` was given."""
        moments = self._fitted("inverse")
        mean, std = moments.mean, deviation(moments)
        return self._mapped("inverse", x, len(mean), lambda v: (
            v * self._along(std, v) + self._along(mean, v)))


def deviation(moments: Moments) -> np.ndarray:
    """(C,) the standard deviation, 1 where it is 0."""
    std = np.sqrt(moments.squares / moments.n)
    std[std == 0] = 1
    return std
