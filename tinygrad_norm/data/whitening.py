"""PCAWhiten and ZCAWhiten: features that are uncorrelated, with variance 1.

Two classes, for the outputs are of two kinds: principal components, of which one may keep the
first few, and the features themselves, in their places, as like to what they were as can be.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..errors import ShapeError
from ..tensors.conversion import from_numpy
from ..tensors.creation import tensor
from ..tensors.tensor import Tensor
from .feature_map import FeatureMap, Moments, X

ROUNDING = 16 * 2.0**-52
"""Times C and the largest: an eigenvalue so small may be all rounding, by which those of a matrix
are off, about the largest times eps, times a few."""


class Spectrum(NamedTuple):
    """The covariance matrix U diag(λ) Uᵀ.

    variances:   (C,) λ, decreasing; 0 where it is no more than rounding
    directions:  (C, C) the rows of Uᵀ; the largest entry of each is positive
    """

    variances: np.ndarray
    directions: np.ndarray

    @property
    def rank(self) -> int:
        """In how many directions the data varies."""
        return int(np.count_nonzero(self.variances))


class Whiten(FeatureMap):
    """Base class of both: the spectrum of the covariance, and eps.

    A subclass defines ``_matrices``.
    """

    squares = "scatter"
    joint = True

    def __init__(self, eps: float = 0.0, axis: int = -1) -> None:
        super().__init__(axis)
        if isinstance(eps, bool) or not isinstance(eps, int | float):
            raise TypeError(f"{type(self).__name__}: expected a number for eps, got {eps!r}")
        if not 0 <= eps < math.inf:
            raise ValueError(f"{type(self).__name__}: expected eps >= 0, a variance in the square "
                             f"of the features' unit, got {eps}")
        self.eps = eps
        self._known: tuple[Moments, Spectrum] | None = None

    @property
    def variances(self) -> Tensor:
        """(C,) float64: λ, the variance along each principal direction, decreasing; 0 for those
        along which the data does not vary."""
        return tensor(self._spectrum(self._fitted("variances")).variances)

    @property
    def directions(self) -> Tensor:
        """(C, C) float64: the principal directions, one in each row."""
        return tensor(self._spectrum(self._fitted("directions")).directions)

    @property
    def matrix(self) -> Tensor:
        """W of y = W (x - mean), float64."""
        return tensor(self._matrices("matrix")[0])

    def transform(self, x: X) -> X:
        """W (x - mean)"""
        matrix, _ = self._matrices("transform")
        mean = self._fitted("transform").mean
        return self._mapped("transform", x, matrix.shape[1], lambda v: self._times(
            v - self._along(mean, v), matrix))

    def inverse(self, x: X) -> X:
        """The x whose transform this is."""
        _, back = self._matrices("inverse")
        mean = self._fitted("inverse").mean
        return self._mapped("inverse", x, back.shape[1], lambda v: (
            self._times(v, back) + self._along(mean, v)))

    def _settings(self) -> dict[str, Any]:
        return {"eps": self.eps, **super()._settings()}

    def _matrices(self, who: str) -> tuple[np.ndarray, np.ndarray]:
        """W and what undoes it."""
        raise NotImplementedError(f"{type(self).__name__}: define _matrices(self, who)")

    def _spectrum(self, moments: Moments) -> Spectrum:
        """Of these moments; computed once."""
        if self._known is None or self._known[0] is not moments:
            self._known = moments, spectrum(moments)
        return self._known[1]

    def _times(self, x: Tensor, matrix: np.ndarray) -> Tensor:
        """The matrix times the features of x."""
        y = x.transpose(self.axis, -1) @ from_numpy(matrix.T.copy()).to(x.device)
        return y.transpose(self.axis, -1).contiguous()


class PCAWhiten(Whiten):
    """The principal components of the features, each divided by its standard deviation.

        y = (Λ + eps)^(-1/2) Uᵀ (x - mean)         U Λ Uᵀ = Σ (x - mean)(x - mean)ᵀ / N

    y has k features, uncorrelated and of variance λ / (λ + eps): 1 without eps. They are ordered by
    the variance λ they had, the largest first. A direction along which the data does not vary is
    no component: constant features, and features that follow from others, lower k and nothing
    else. Of each direction the largest entry is positive (the first of those that are as large), so
    that the result is the same everywhere; components of equal variance may still be rotated. With
    fewer components the inverse gives the nearest point that they can describe.

    Args:
        n_components: k; or a number between 0 and 1, for as many as hold that part of the variance;
            None for all along which the data varies.
        eps: a variance, in the square of the features' unit, added to each λ: components of less
            variance are damped, as they are mostly noise.
        axis: the axis of the features: -1 for (N, C), 1 for the channels of (N, C, *spatial).
            Statistics are taken over all the others.

    Source: LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 4.3; Krizhevsky 2009,
    "Learning Multiple Layers of Features from Tiny Images", appendix A.

    >>> import numpy as np
    >>> x = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> PCAWhiten().fit_transform(x).round(3) + 0.0
    array([[ 1.414,  0.   ],
           [-1.414,  0.   ],
           [ 0.   ,  1.414],
           [ 0.   , -1.414]])
    """

    def __init__(
        self, n_components: int | float | None = None, eps: float = 0.0, axis: int = -1
    ) -> None:
        super().__init__(eps, axis)
        if n_components is not None and (
                isinstance(n_components, bool) or not isinstance(n_components, int | float)
                or not (n_components >= 1 if isinstance(n_components, int)
                        else 0 < n_components < 1)):
            raise ValueError("PCAWhiten: expected n_components to be a whole number >= 1, a part "
                             f"of the variance between 0 and 1, or None, got {n_components!r}")
        self.n_components = n_components

    @property
    def components(self) -> Tensor:
        """(k, C) float64: the directions that are kept, one in each row."""
        found = self._spectrum(self._fitted("components"))
        return tensor(found.directions[: self._kept("components", found)])

    def _moments(self, who: str, x: Tensor | np.ndarray) -> Moments:
        moments = super()._moments(who, x)
        if who == "fit" and isinstance(self.n_components, int):  # a piece may vary less
            self._kept(who, self._spectrum(moments))
        return moments

    def _settings(self) -> dict[str, Any]:
        return {"n_components": self.n_components, **super()._settings()}

    def _matrices(self, who: str) -> tuple[np.ndarray, np.ndarray]:
        found = self._spectrum(self._fitted(who))
        k = self._kept(who, found)
        scale = np.sqrt(found.variances[:k] + self.eps)
        directions = found.directions[:k]
        return directions / scale[:, None], directions.T * scale

    def _kept(self, who: str, found: Spectrum) -> int:
        """How many components there are."""
        wanted = self.n_components
        if wanted is None:
            return found.rank
        if isinstance(wanted, int):
            if wanted > found.rank:
                raise ShapeError(
                    f"PCAWhiten.{who}: expected at most {found.rank} components, as the data "
                    f"varies in {found.rank} of {len(found.variances)} directions, got "
                    f"n_components={wanted}; None keeps all of them")
            return wanted
        held = np.cumsum(found.variances)
        return min(int(np.searchsorted(held, wanted * held[-1])) + 1, found.rank)


class ZCAWhiten(Whiten):
    """Features that are uncorrelated with variance 1, and as near to what they were as can be.

        y = U (Λ + eps)^(-1/2) Uᵀ (x - mean)         U Λ Uᵀ = Σ (x - mean)(x - mean)ᵀ / N

    The zero-phase component analysis: of all that whiten, the matrix that is symmetric, for which
    Σ ‖y - (x - mean)‖² is the smallest. y has the features of x, so whitened pictures are pictures.
    A constant feature is only centred, as :class:`Standardize` has it, and 0 here. Where features
    follow from others, what departs from that is left out: in the data it was rounding alone.

    Args:
        eps: a variance, in the square of the features' unit, added to each λ: directions of less
            variance are damped, as they are mostly noise. y has the variance λ / (λ + eps) there.
        axis: the axis of the features: -1 for (N, C), 1 for the channels of (N, C, *spatial).
            Statistics are taken over all the others.

    Source: Bell and Sejnowski 1997, "The 'independent components' of natural scenes are edge
    filters"; nearest of all: Kessy, Lewin and Strimmer 2018 (arXiv:1512.00809); with eps:
    Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", appendix A.

    >>> import numpy as np
    >>> x = np.array([[3.0, 3.0], [-3.0, -3.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> ZCAWhiten().fit_transform(x).round(3)
    array([[ 1.,  1.],
           [-1., -1.],
           [ 1., -1.],
           [-1.,  1.]])
    """

    def _matrices(self, who: str) -> tuple[np.ndarray, np.ndarray]:
        moments = self._fitted(who)
        variances, u = self._spectrum(moments)
        k = np.count_nonzero(variances)
        scale = np.sqrt(variances[:k] + self.eps)[:, None]
        constant = np.diag((np.diag(moments.squares) == 0).astype(float))
        return u[:k].T @ (u[:k] / scale) + constant, u[:k].T @ (u[:k] * scale) + constant


def spectrum(moments: Moments) -> Spectrum:
    """The covariance's eigenvalues and eigenvectors, with signs that do not depend on the library.

    scikit-learn's PCA takes the largest entry of each direction as positive too.
    """
    covariance = moments.squares / moments.n
    features = len(covariance)
    variances, directions = np.zeros(features), np.zeros((features, features))
    # A constant feature is a direction of its own: rounding must not mix it with others.
    varying = np.flatnonzero(np.diag(covariance) > 0)
    constant = np.flatnonzero(np.diag(covariance) == 0)
    directions[range(len(varying), features), constant] = 1
    if len(varying):
        root = _root(covariance[np.ix_(varying, varying)])
        _, sizes, directions[: len(varying), varying] = np.linalg.svd(root)
        variances[: len(sizes)] = sizes**2
    size = np.abs(directions)
    # Entries that are equal but for rounding must not decide by their rounding.
    leading = np.argmax(size > (1 - 1e-6) * size.max(axis=1, keepdims=True), axis=1)
    signs = np.sign(directions[np.arange(len(directions)), leading])
    return Spectrum(variances, directions * signs[:, None])


def _root(covariance: np.ndarray) -> np.ndarray:
    """(rank, C) with rootᵀ root = the covariance of features that all vary.

    Through the correlations: of features with standard deviations 1 and 1e-8 the eigenvalues of
    the covariance would have the second one lost in the rounding of the first.
    """
    scale = np.sqrt(np.diag(covariance))
    values, columns = np.linalg.eigh(covariance / scale / scale[:, None])
    kept = values > ROUNDING * len(scale) * values[-1]
    root: np.ndarray = np.sqrt(values[kept, None]) * columns.T[kept] * scale
    return root
