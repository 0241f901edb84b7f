"""FeatureMap: what maps of the features by the training set's statistics share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np

from ..backend.array import plain
from ..errors import DtypeError, ShapeError
from ..tensors.conversion import from_numpy
from ..tensors.creation import as_tensor, tensor
from ..tensors.tensor import Tensor

X = TypeVar("X", bound=Tensor | np.ndarray)
"""A tensor or a NumPy array: what goes in decides what comes out."""


class Moments(NamedTuple):
    """What is known of the data so far, in float64, of C features.

    n:        how many values of each feature were seen
    mean:     (C,)
    squares:  (C,) Σ (x - mean)²; of a map that is joint (C, C) Σ (x - mean)(x - mean)ᵀ
    """

    n: int
    mean: np.ndarray
    squares: np.ndarray


class FeatureMap:
    """Base class of maps y = W (x - mean) of C features: a subclass defines ``transform`` and
    ``inverse``.

    Statistics are kept on the cpu and formulas evaluated in float64, so that a large offset costs
    no digits; the result has the input's dtype (float32 for ints and bools), kind (tensor or NumPy
    array) and device, and a tensor's gradient passes through. NaN is refused by the fit and handed
    on by the transform.

    Args:
        axis: the axis of the features: -1 for (N, C), 1 for the channels of (N, C, *spatial).
            Statistics are taken over all the others.
    """

    squares: ClassVar[str] = "squares"
    """What ``moments.squares`` are called in the state dict."""
    joint: ClassVar[bool] = False
    """Whether they are taken of each pair of features."""

    def __init__(self, axis: int = -1) -> None:
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ValueError(
                f"{type(self).__name__}: expected axis -1 (last) or 1 (channels), got {axis!r}; "
                "axis 0 counts the samples"
            )
        self.axis = axis
        self.moments: Moments | None = None

    # -- learning the statistics -----------------------------------------------------------------

    def fit(self, x: Tensor | np.ndarray) -> Self:
        """Take the statistics of ``x`` (N, ..., C or N, C, ...) in place of any earlier ones."""
        self.moments = self._moments("fit", x)
        return self

    def partial_fit(self, x: Tensor | np.ndarray) -> Self:
        """Add a piece of the data: after the last one the statistics are those of the whole.

        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.
        """
        new = self._moments("partial_fit", x)
        self.moments = new if self.moments is None else merged(self.moments, new)
        return self

    def _moments(self, who: str, x: Tensor | np.ndarray) -> Moments:
        values = self._checked(who, x).to("float64", copy=True).detach()
        who = f"{type(self).__name__}.{who}"
        if not values.numel():
            raise ShapeError(f"{who}: expected at least one sample of at least one "
                             f"feature, got an empty input {values.shape}")
        axis = self.axis % values.ndim
        others = tuple(i for i in range(values.ndim) if i != axis)
        bad = (~values.isfinite()).any(dim=others)
        if bad.any():
            raise ValueError(
                f"{who}: expected finite values, got NaN or Inf in feature "
                f"{bad.tolist().index(True)} ({int(bad.sum())} of {len(bad)} features have one); "
                "fill or drop these values first"
            )
        if who.endswith("partial_fit") and self.moments is not None:
            self._same_features("partial_fit", values, len(self.moments.mean))
        with np.errstate(over="ignore", invalid="ignore"):
            # Shifted by a sample, a constant feature has variance 0 exactly, not nearly.
            sample = values[tuple(slice(None) if i == axis else slice(1)
                                  for i in range(values.ndim))]
            centred = values - sample
            shift = centred.mean(others, keepdim=True)
            centred = centred - shift
            if self.joint:
                rows = centred.transpose(axis, -1).reshape(-1, values.shape[axis])
                squares = rows.T @ rows
            else:
                squares = centred.square().sum(others)
        if not squares.isfinite().all():
            raise ValueError(f"{who}: the squares of these values overflow float64; "
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

    def transform(self, x: X) -> X:
        """What this map makes of x."""
        raise NotImplementedError(f"{type(self).__name__}: define transform(self, x)")

    def inverse(self, x: X) -> X:
        """What :meth:`transform` was given."""
        raise NotImplementedError(f"{type(self).__name__}: define inverse(self, x)")

    def __call__(self, x: X) -> X:
        return self.transform(x)

    def inverse_transform(self, x: X) -> X:
        """:meth:`inverse`, under scikit-learn's name."""
        return self.inverse(x)

    def fit_transform(self, x: X) -> X:
        """``fit(x).transform(x)``"""
        return self.fit(x).transform(x)

    def _mapped(self, who: str, x: X, features: int, formula: Callable[[Tensor], Tensor]) -> X:
        """``formula`` of x in float64, as what x is."""
        values = self._checked(who, x)
        self._same_features(who, values, features)
        y = formula(values.double())
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype("float32")
        result: Any = y.to(dtype) if isinstance(x, Tensor) else y.numpy().astype(dtype, copy=False)
        return result

    def _along(self, numbers: np.ndarray, x: Tensor) -> Tensor:
        """(C,) numbers in the shape that multiplies the features of x, on its device."""
        shape = [1] * x.ndim
        shape[self.axis] = -1
        return from_numpy(numbers.reshape(shape)).to(x.device)

    # -- its state -------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        """The arguments that make such a map."""
        return {"axis": self.axis}

    def state_dict(self) -> dict[str, Any]:
        """Settings and statistics as plain values: save them with the model they belong to."""
        count, mean, squares = self.moments or (0, None, None)
        return {**self._settings(), "count": count,
                "mean": None if mean is None else tensor(mean),
                self.squares: None if squares is None else tensor(squares)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, the settings included.

        On error nothing changes.
        """
        who, expected = f"{type(self).__name__}.load_state_dict", set(self.state_dict())
        if set(state_dict) != expected:
            raise ValueError(f"{who}: expected the keys {sorted(expected)}, "
                             f"got {sorted(map(str, state_dict))}")
        other = type(self)(**{name: state_dict[name] for name in self._settings()})
        if state_dict["count"] < 0:
            raise ValueError(f"{who}: expected count >= 0, got {state_dict['count']}")
        if state_dict["count"]:
            mean, squares = (as_tensor(state_dict[k]).cpu().double().numpy().copy()
                             for k in ("mean", self.squares))
            if mean.ndim != 1 or squares.shape != mean.shape * (2 if self.joint else 1):
                shape = "mean (C,) and scatter (C, C)" if self.joint else (
                    "mean and squares of one shape (C,)")
                raise ShapeError(f"{who}: expected {shape}, got {mean.shape} and {squares.shape}")
            if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
                raise ValueError(f"{who}: expected a finite mean and {self.squares}")
            other.moments = Moments(int(state_dict["count"]), mean, squares)
        vars(self).update(vars(other))

    def __repr__(self) -> str:
        settings = [f"{name}={value!r}" for name, value in self._settings().items()]
        fitted = ["not fitted"] if self.moments is None else [
            f"features={len(self.moments.mean)}", f"count={self.count}"]
        return f"{type(self).__name__}({', '.join(settings + fitted)})"

    # -- what it refuses -------------------------------------------------------------------------

    def _fitted(self, who: str) -> Moments:
        if self.moments is None:
            raise RuntimeError(f"{type(self).__name__}.{who}: no statistics yet; call fit(x) or "
                               "partial_fit(x) with the training data first")
        return self.moments

    def _checked(self, who: str, x: Any) -> Tensor:
        """``x`` as a tensor, an array's ints as float64: tensors have fewer dtypes."""
        who = f"{type(self).__name__}.{who}"
        if not isinstance(x, Tensor | np.ndarray):  # host memory: an array becomes a tensor
            raise TypeError(f"{who}: expected a Tensor or a NumPy array, got "
                            f"{type(x).__name__}")
        if x.dtype.kind not in "biuf":
            raise DtypeError(f"{who}: expected real numbers, got dtype {x.dtype}")
        if not (x.ndim >= 2 and -x.ndim < self.axis < x.ndim):
            raise ShapeError(f"{who}: expected input {self._expected('C')}, got "
                             f"{x.shape}; for a single feature pass x[:, None]")
        return x if isinstance(x, Tensor) else from_numpy(
            plain(who, x).astype("float64", copy=False))

    def _same_features(self, who: str, x: Tensor, features: int) -> None:
        if x.shape[self.axis] != features:
            raise ShapeError(
                f"{type(self).__name__}.{who}: expected input {self._expected(features)}, got "
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
    product = np.multiply.outer(delta, delta) if a.squares.ndim == 2 else delta * delta
    mean = a.mean + delta * (b.n / n)
    squares = a.squares + b.squares + product * (a.n * b.n / n)
    return Moments(n, mean, squares)
