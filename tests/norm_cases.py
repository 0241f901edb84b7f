"""The table of norms: a new one is a new row. And what they are, written down once more.

``formula`` is the textbook's, in two plain passes; it shares nothing with the package. Given NumPy
arrays it gives values, given ``Series`` the Taylor coefficients along a line, so that derivatives
of every order are checked against an arithmetic that knows no gradients.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import tinygrad_norm as tn

ORDERS = 4


class Case(NamedTuple):
    """A layer, the shape of its input, and which of its values are normalized together.

    ``axes`` are reduced of the input seen as ``grouped``. The affine part and the running
    statistics stand beside the input as ``beside``; -1 is their length.
    """

    layer: str
    arguments: tuple[Any, ...]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    beside: tuple[int, ...]
    grouped: tuple[int, ...] = ()
    centred: bool = True

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.arguments))
        return f"{self.layer}({inner}) of {'x'.join(map(str, self.shape))}"

    @property
    def view(self) -> tuple[int, ...]:
        return self.grouped or self.shape

    @property
    def count(self) -> int:
        """How many values are normalized together."""
        return math.prod(self.view[i] for i in self.axes)

    @property
    def per_element(self) -> bool:
        """Whether the affine part is given for each element, and not for each channel."""
        return self.layer in ("LayerNorm", "RMSNorm")

    @property
    def remembers(self) -> bool:
        """Whether eval uses running statistics, unless told otherwise."""
        return self.layer.startswith("BatchNorm")

    def make(self, nn: Any, *, affine: bool = True, **settings: Any) -> Any:
        """The layer of ``nn``, a module with PyTorch's names.

        Its state counts as loaded, so that ours does not warn in eval before any training.
        """
        name = "elementwise_affine" if self.per_element else "affine"
        layer = getattr(nn, self.layer)(*self.arguments, **{name: affine}, **settings)
        layer.load_state_dict(layer.state_dict())
        return layer

    def random(self, salt: int = 0) -> np.random.Generator:
        return np.random.default_rng([zlib.crc32(str(self).encode()), salt])

    def input(self, salt: int = 0) -> np.ndarray:
        """float64, each channel with an offset and a width of its own."""
        random = self.random(salt)
        own = tuple(n if i != 1 else 1 for n, i in zip(self.shape, self.beside, strict=True))
        x = random.standard_normal(self.shape)
        return x * random.uniform(0.5, 2, own) + random.uniform(-1, 1, own)


CASES = [
    Case("BatchNorm1d", (3,), (6, 3), (0,), (1, -1)),
    Case("BatchNorm1d", (3,), (4, 3, 2), (0, 2), (1, -1, 1)),
    Case("BatchNorm2d", (3,), (3, 3, 2, 2), (0, 2, 3), (1, -1, 1, 1)),
    Case("BatchNorm3d", (2,), (2, 2, 2, 1, 3), (0, 2, 3, 4), (1, -1, 1, 1, 1)),
    Case("InstanceNorm1d", (3,), (2, 3, 5), (2,), (1, -1, 1)),
    Case("InstanceNorm1d", (3,), (3, 5), (1,), (-1, 1)),
    Case("InstanceNorm2d", (3,), (2, 3, 2, 3), (2, 3), (1, -1, 1, 1)),
    Case("InstanceNorm2d", (2,), (2, 3, 2), (1, 2), (-1, 1, 1)),
    Case("InstanceNorm3d", (2,), (2, 2, 2, 1, 3), (2, 3, 4), (1, -1, 1, 1, 1)),
    Case("InstanceNorm3d", (2,), (2, 2, 1, 3), (1, 2, 3), (-1, 1, 1, 1)),
    Case("GroupNorm", (2, 6), (2, 6), (2,), (1, -1), (2, 2, 3)),
    Case("GroupNorm", (2, 4), (2, 4, 3), (2, 3), (1, -1, 1), (2, 2, 2, 3)),
    Case("GroupNorm", (1, 3), (2, 3, 2, 2), (2, 3, 4), (1, -1, 1, 1), (2, 1, 3, 2, 2)),
    Case("GroupNorm", (3, 3), (2, 3, 4), (2, 3), (1, -1, 1), (2, 3, 1, 4)),
    Case("LayerNorm", (5,), (5,), (0,), (5,)),
    Case("LayerNorm", (5,), (4, 5), (1,), (1, 5)),
    Case("LayerNorm", ((3, 2),), (2, 3, 2), (1, 2), (1, 3, 2)),
    Case("LayerNorm", (4,), (2, 2, 4), (2,), (1, 1, 4)),
    Case("RMSNorm", (5,), (4, 5), (1,), (1, 5), centred=False),
    Case("RMSNorm", ((3, 2),), (2, 3, 2), (1, 2), (1, 3, 2), centred=False),
]


def moments(case: Case, x: Any) -> tuple[Any, Any]:
    """The mean (0 where nothing is centred) and the biased variance, of the shape of the view."""
    grouped = x.reshape(case.view)
    mean = grouped.sum(axis=case.axes, keepdims=True) * (case.centred / case.count)
    away = grouped - mean
    return mean, (away * away).sum(axis=case.axes, keepdims=True) * (1 / case.count)


def formula(
    case: Case, x: Any, weight: Any = None, bias: Any = None, *, eps: float,
    statistics: tuple[Any, Any] | None = None,
) -> Any:
    """y = (x - mean) / √(var + eps) weight + bias; with ``statistics``, (mean, var) are these."""
    if statistics is None:
        mean, var = moments(case, x)
        y = ((x.reshape(case.view) - mean) * (var + eps) ** -0.5).reshape(case.shape)
    else:
        mean, var = (s.reshape(case.beside) for s in statistics)
        y = (x - mean) * (var + eps) ** -0.5
    if weight is not None:
        y = y * weight.reshape(case.beside)
    return y if bias is None else y + bias.reshape(case.beside)


class Series:
    """x(t) = Σ cₖ tᵏ up to t⁴: the coefficients along a line, of shape (5, *shape)."""

    __array_ufunc__ = None

    def __init__(self, coefficients: Any) -> None:
        self.c = np.asarray(coefficients, np.longdouble)

    @classmethod
    def line(cls, x: np.ndarray, v: np.ndarray) -> Series:
        """x + t v"""
        return cls([x, v, *(0 * x for _ in range(ORDERS - 1))])

    @property
    def derivatives(self) -> list[float]:
        """Of order 1 to 4 with respect to t, of a series without shape."""
        return [float(self.c[k] * math.factorial(k)) for k in range(1, ORDERS + 1)]

    def __add__(self, other: Any) -> Series:
        if isinstance(other, Series):
            return Series(self.c + other.c)
        return Series([self.c[0] + other, *self.c[1:]])

    def __sub__(self, other: Any) -> Series:
        return self + other * -1

    def __mul__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return Series(self.c * other)
        a, b = self.c, other.c
        return Series([sum(a[j] * b[k - j] for j in range(k + 1)) for k in range(ORDERS + 1)])

    __rmul__ = __mul__

    def __pow__(self, power: float) -> Series:
        """From u y' = power u' y, coefficient by coefficient."""
        u, y = self.c, [self.c[0] ** power]
        for k in range(1, ORDERS + 1):
            y.append(sum((power * j - (k - j)) * u[j] * y[k - j] for j in range(1, k + 1))
                     / (k * u[0]))
        return Series(y)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Series:
        axes = range(self.c.ndim - 1) if axis is None else axis
        return Series(self.c.sum(axis=tuple(i + 1 for i in axes), keepdims=keepdims))

    def reshape(self, shape: tuple[int, ...]) -> Series:
        return Series(self.c.reshape(len(self.c), *shape))


def tensor(x: Any, device: str = "cpu", *, grad: bool = False) -> tn.Tensor:
    """float64 unless ``x`` is of another dtype."""
    x = np.asarray(x)
    return tn.tensor(x, dtype=x.dtype, device=device, requires_grad=grad)


def array(x: Any) -> np.ndarray:
    """A tensor's values, from wherever it lies."""
    return x.detach().cpu().numpy()


def compared(expected: np.ndarray, device: str) -> np.ndarray:
    """Which values are compared: a GPU has 0 for what is below the smallest normal float32."""
    return (np.abs(expected) >= np.finfo("float32").tiny) | (device != "cuda")


def close(got: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Relative to the largest value."""
    expected = np.asarray(expected)
    scale = np.max(np.abs(expected), initial=1e-3)
    np.testing.assert_allclose(got, expected, rtol=0, atol=float(tolerance * scale))


def directional(
    value: tn.Tensor, inputs: Sequence[tn.Tensor], directions: Sequence[tn.Tensor],
    orders: int = ORDERS, grad: Callable[..., Any] = tn.autograd.grad,
) -> list[float]:
    """dᵏ value(inputs + t directions) / dtᵏ at t = 0, reverse over reverse."""
    results = []
    for _ in range(orders):
        if not value.requires_grad:  # a constant
            results.append(0.0)
            continue
        gradients = grad(value, inputs, create_graph=True, allow_unused=True)
        value = sum((g * v).sum() for g, v in zip(gradients, directions, strict=True)
                    if g is not None)
        results.append(value.item())
    return results


def randomize(layer: Any, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Put random values into a layer of ours: weights about 1, spreads in (0.5, 2)."""
    values = {}
    for name, value in layer.state_dict().items():
        low, high = (0.5, 2) if name in ("weight", "running_var", "running_std") else (-1, 1)
        if value.is_floating_point():
            values[name] = random.uniform(low, high, value.shape)
    layer.load_state_dict(values, strict=False)
    return values
