"""Standardize: features with mean 0 and variance 1, by the training set's statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import DtypeError, ShapeError
from ..tensors.conversion import from_numpy
from ..tensors.creation import as_tensor, tensor
from ..tensors.tensor import Tensor

X = TypeVar("X", bound=Tensor | np.ndarray)
"""A tensor or a NumPy array: what goes in decides what comes out."""


class Moments(NamedTuple):
    """What is known of the data so far, one float64 number for each of C features.

    n:        how many values of each feature were seen
    mean:     (C,)
    squares:  (C,) Σ (x - mean)²
    """

    n: int
    mean: np.ndarray
    squares: np.ndarray


class Standardize:
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

    def __init__(self, axis: int = -1) -> None:
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ValueError(
                f"Standardize: expected axis -1 (last) or 1 (channels), got {axis!r}; "
                "axis 0 counts the samples"
            )
        self.axis = axis
        self.moments: Moments | None = None

    # -- learning the statistics -----------------------------------------------------------------

    def fit(self, x: Tensor | np.ndarray) -> Standardize:
        """Take the statistics of ``x`` (N, ..., C or N, C, ...) in place of any earlier ones."""
        self.moments = self._moments("fit", x)
        return self

    def partial_fit(self, x: Tensor | np.ndarray) -> Standardize:
        """Add a piece of the data: after the last one the statistics are those of the whole.

        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        new = self._moments("partial_fit", x)
        self.moments = new if self.moments is None else merged(self.moments, new)
        return self

    def _moments(self, who: str, x: Tensor | np.ndarray) -> Moments:
        values = self._checked(who, x).to("float64", copy=True).detach()
        if not values.numel():
            raise ShapeError(f"Standardize.{who}: expected at least one sample of at least one "
                             f"feature, got an empty input {values.shape}")
        axis = self.axis % values.ndim
        others = tuple(i for i in range(values.ndim) if i != axis)
        bad = (~values.isfinite()).any(dim=others)
        if bad.any():
            raise ValueError(
                f"Standardize.{who}: expected finite values, got NaN or Inf in feature "
                f"{bad.tolist().index(True)} ({int(bad.sum())} of {len(bad)} features have one); "
                "fill or drop these values first"
            )
        if who == "partial_fit":
            self._same_features(who, values)
        with np.errstate(over="ignore", invalid="ignore"):
            # Shifted by a sample, a constant feature has variance 0 exactly, not nearly.
            sample = values[tuple(slice(None) if i == axis else slice(1)
                                  for i in range(values.ndim))]
            centred = values - sample
            shift = centred.mean(others, keepdim=True)
            squares = (centred - shift).square().sum(others)
        if not squares.isfinite().all():
            raise ValueError(f"Standardize.{who}: the squares of these values overflow float64; "
                             "divide the data by a constant first")
        mean = (sample + shift).reshape(-1)
        n = values.numel() // len(squares)
        return Moments(n, mean.cpu().numpy(), squares.cpu().numpy())

    # -- using them ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many values of each feature were seen; 0 before the first fit."""
        return 0 if self.moments is None else self.moments.n

    @property
    def mean(self) -> Tensor:
        """(C,) float64"""
        return tensor(self._fitted("mean").mean)

    @property
    def std(self) -> Tensor:
        """(C,) float64: what the features are divided by; 1 for a constant feature."""
        return tensor(deviation(self._fitted("std")))

    def transform(self, x: X) -> X:
        """(x - mean) / std"""
        return self._mapped("transform", x, lambda x, mean, std: (x - mean) / std)

    __call__ = transform

    def inverse(self, x: X) -> X:
        """x std + mean: what :meth:`transform` was given."""
        return self._mapped("inverse", x, lambda x, mean, std: x * std + mean)

    inverse_transform = inverse

    def fit_transform(self, x: X) -> X:
        """``fit(x).transform(x)``"""
        return self.fit(x).transform(x)

    def _mapped(self, who: str, x: X, formula: Callable[..., Tensor]) -> X:
        moments = self._fitted(who)
        values = self._checked(who, x)
        self._same_features(who, values)
        shape = [1] * values.ndim
        shape[self.axis] = -1
        mean, std = (from_numpy(v.reshape(shape)).to(values.device)
                     for v in (moments.mean, deviation(moments)))
        y = formula(values.double(), mean, std)
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype("float32")
        result: Any = y.to(dtype) if isinstance(x, Tensor) else y.numpy().astype(dtype, copy=False)
        return result

    # -- its state -------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The statistics as plain values: save them with the model they belong to."""
        if self.moments is None:
            return {"axis": self.axis, "count": 0, "mean": None, "squares": None}
        count, mean, squares = self.moments
        return {"axis": self.axis, "count": count, "mean": tensor(mean), "squares": tensor(squares)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, the axis included; on error nothing changes."""
        expected = {"axis", "count", "mean", "squares"}
        if set(state_dict) != expected:
            raise ValueError(f"Standardize.load_state_dict: expected the keys {sorted(expected)}, "
                             f"got {sorted(map(str, state_dict))}")
        moments = None
        if state_dict["count"]:
            mean, squares = (as_tensor(state_dict[k]).cpu().double().numpy().copy()
                             for k in ("mean", "squares"))
            if mean.ndim != 1 or mean.shape != squares.shape:
                raise ShapeError("Standardize.load_state_dict: expected mean and squares of one "
                                 f"shape (C,), got {mean.shape} and {squares.shape}")
            moments = Moments(int(state_dict["count"]), mean, squares)
        self.axis = Standardize(state_dict["axis"]).axis
        self.moments = moments

    def __repr__(self) -> str:
        features = "not fitted" if self.moments is None else (
            f"features={len(self.moments.mean)}, count={self.count}")
        return f"Standardize(axis={self.axis}, {features})"

    # -- what it refuses -------------------------------------------------------------------------

    def _fitted(self, who: str) -> Moments:
        if self.moments is None:
            raise RuntimeError(f"Standardize.{who}: no statistics yet; call fit(x) or "
                               "partial_fit(x) with the training data first")
        return self.moments

    def _checked(self, who: str, x: Any) -> Tensor:
        """``x`` as a tensor, an array's ints as float64: tensors have fewer dtypes."""
        if not isinstance(x, Tensor | np.ndarray):
            raise TypeError(f"Standardize.{who}: expected a Tensor or a NumPy array, got "
                            f"{type(x).__name__}")
        if x.dtype.kind not in "biuf":
            raise DtypeError(f"Standardize.{who}: expected real numbers, got dtype {x.dtype}")
        if not (x.ndim >= 2 and -x.ndim < self.axis < x.ndim):
            raise ShapeError(f"Standardize.{who}: expected input {self._expected('C')}, got "
                             f"{x.shape}; for a single feature pass x[:, None]")
        return x if isinstance(x, Tensor) else from_numpy(x.astype("float64", copy=False))

    def _same_features(self, who: str, x: Tensor) -> None:
        if self.moments is not None and x.shape[self.axis] != len(self.moments.mean):
            raise ShapeError(
                f"Standardize.{who}: expected input {self._expected(len(self.moments.mean))}, got "
                f"{x.shape}; is the axis of the features {self.axis}?"
            )

    def _expected(self, features: Any) -> str:
        if self.axis == -1:
            return f"(N, {features}) or (N, *, {features})"
        if self.axis == 1:
            return f"(N, {features}, *spatial)"
        return f"with {features} features on axis {self.axis}"


def merged(a: Moments, b: Moments) -> Moments:
    """The moments of two pieces of data together, in float64."""
    n = a.n + b.n
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.n / n)
    squares = a.squares + b.squares + delta * delta * (a.n * b.n / n)
    return Moments(n, mean, squares)


def deviation(moments: Moments) -> np.ndarray:
    """(C,) the standard deviation, 1 where it is 0."""
    std = np.sqrt(moments.squares / moments.n)
    std[std == 0] = 1
    return std
