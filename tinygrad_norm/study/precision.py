"""How exact a normalization is: against the offset of the data, their number, their layout.

The layer's standardized output is compared with the same formula in a wider type on the same data,
and so are three textbook ways to the statistics, and PyTorch's layer where PyTorch is installed.

    python -m tinygrad_norm precision BatchNorm1d
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from ..autograd.mode import no_grad
from ..tensors.conversion import from_numpy
from . import textbook

EPS = 1e-5
DTYPES = ("float16", "float32", "float64")
OFFSETS = {"float16": 10.0, "float32": 1e3, "float64": 1e7}
"""In spreads, where it is not what varies: about a third of 1/√(machine epsilon)."""
WIDER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
"""Whether this machine has a type to judge float64 with."""
TEXTBOOK = {"naive": textbook.naive, "two-pass": textbook.two_pass, "Welford": textbook.welford}
METHODS = (*TEXTBOOK, "PyTorch", "ours")

Shape = tuple[int, ...]


# -- what is measured ------------------------------------------------------------------------------


class Form(NamedTuple):
    """One form of input: four sets of n values each that are normalized together."""

    label: str
    shape: Callable[[int], Shape]
    axes: Shape
    """What is reduced."""
    suffix: str = ""
    """Of the layer's name: 1d, 2d, 3d."""


class Family(NamedTuple):
    """Layers that differ in the form of their input only."""

    forms: Sequence[Form]
    arguments: Callable[[Shape, Shape], tuple[Any, ...]]
    """The layer's positional arguments for a shape and the reduced axes."""
    settings: dict[str, Any]
    """Its options: no affine part, the batch's own statistics."""
    grouped: bool = False
    """Whether the channels stand in two groups."""
    centred: bool = True


def side(n: int) -> int:
    """Of a square image of n pixels; the numbers here are squares."""
    return math.isqrt(n)


CHANNELS = (
    Form("(N, C)", lambda n: (n, 4), (0,), "1d"),
    Form("(N, C, L)", lambda n: (16, 4, n // 16), (0, 2), "1d"),
    Form("(N, C, H, W)", lambda n: (16, 4, side(n // 16), side(n // 16)), (0, 2, 3), "2d"),
    Form("(N, C, D, H, W)", lambda n: (4, 4, 4, side(n // 16), side(n // 16)), (0, 2, 3, 4), "3d"),
)
INSTANCES = (
    Form("(N, C, L)", lambda n: (2, 2, n), (2,), "1d"),
    Form("(N, C, H, W)", lambda n: (2, 2, side(n), side(n)), (2, 3), "2d"),
    Form("(N, C, D, H, W)", lambda n: (2, 2, 16, side(n // 16), side(n // 16)), (2, 3, 4), "3d"),
)
GROUPS = (
    Form("(N, C)", lambda n: (2, 2 * n), (2,)),
    Form("(N, C, L)", lambda n: (2, 8, n // 4), (2, 3)),
    Form("(N, C, H, W)", lambda n: (2, 8, side(n // 4), side(n // 4)), (2, 3, 4)),
)
LAST = (
    Form("(N, D)", lambda n: (4, n), (1,)),
    Form("(N, L, D)", lambda n: (2, 2, n), (2,)),
    Form("(N, H, W)", lambda n: (4, side(n), side(n)), (1, 2)),
)


def features(shape: Shape, axes: Shape) -> tuple[Any, ...]:
    """num_features, eps"""
    return shape[1], EPS


def last(shape: Shape, axes: Shape) -> tuple[Any, ...]:
    """normalized_shape, eps"""
    return tuple(shape[axis] for axis in axes), EPS


FAMILIES = {
    "BatchNorm": Family(CHANNELS, features, {"affine": False, "track_running_stats": False}),
    "BatchRenorm": Family(CHANNELS, features, {"affine": False, "rmax": 1.0, "dmax": 0.0}),
    "InstanceNorm": Family(INSTANCES, features, {"affine": False}),
    "GroupNorm": Family(GROUPS, lambda shape, axes: (2, shape[1], EPS), {"affine": False},
                        grouped=True),
    "LayerNorm": Family(LAST, last, {"elementwise_affine": False}),
    "RMSNorm": Family(LAST, last, {"elementwise_affine": False}, centred=False),
}
LAYERS = {name + form.suffix: name for name, family in FAMILIES.items() for form in family.forms}
"""The layers that there are, with their families."""


@dataclass(frozen=True)
class Sizes:
    """What is gone through."""

    offsets: tuple[float, ...] = tuple(10.0**k for k in range(9))
    """In spreads."""
    counts: tuple[int, ...] = (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1000000)
    """Values that are normalized together; 16 times a square."""
    count: int = 65536
    """Where it is not what varies."""
    loop: int = 65536
    """Welford's loop in Python goes up to so many values."""


QUICK = Sizes((1.0, 1e4, 1e8), (16, 256, 1024), 256, 256)


class Point(NamedTuple):
    """One set of data."""

    sweep: str
    """What varies: offset, N or layout."""
    dtype: str
    offset: float
    n: int
    form: Form
    memory: str = "contiguous"

    @property
    def layout(self) -> str:
        return f"{self.form.label} {self.memory}"


class Row(NamedTuple):
    """The errors of each method at a point; absent where a method does not go."""

    point: Point
    errors: dict[str, float]


def main_form(layer: str) -> Form:
    """The first form that the layer takes."""
    family = LAYERS[layer]
    return next(f for f in FAMILIES[family].forms if family + f.suffix == layer)


def points(layer: str, sizes: Sizes) -> list[Point]:
    """All that is measured for a layer."""
    family, form = FAMILIES[LAYERS[layer]], main_form(layer)
    forms = family.forms[-3:] if form.suffix == "3d" else family.forms[:3]
    found = []
    for dtype in DTYPES if WIDER else DTYPES[:2]:
        reach = float(np.finfo(dtype).max)
        found += [Point("offset", dtype, offset, sizes.count, form)
                  for offset in sizes.offsets if offset < reach]
        found += [Point("N", dtype, OFFSETS[dtype], n, form) for n in sizes.counts]
        found += [Point("layout", dtype, OFFSETS[dtype], sizes.count, form, memory)
                  for form in forms for memory in memories(form)]
    return found


def memories(form: Form) -> tuple[str, ...]:
    """How its values may lie in memory."""
    matrix = len(form.shape(16)) == 2
    return "contiguous", "transposed" if matrix or form in LAST else "channels last", "sliced"


# -- measuring -------------------------------------------------------------------------------------


def study(
    layer: str, sizes: Sizes, seed: int = 0, report: Callable[[int, int], None] | None = None
) -> list[Row]:
    """The errors of every method at every point; ``report(done, of)`` is called after each.

    Raises:
        ValueError: there is no such layer here.
    """
    if layer not in LAYERS:
        raise ValueError(f"precision: expected one of {', '.join(LAYERS)}, got {layer!r}")
    todo = points(layer, sizes)
    rows = []
    for point in todo:
        with np.errstate(all="ignore"):  # what overflows is what is shown
            rows.append(measured(layer, point, sizes, seed))
        if report is not None:
            report(len(rows), len(todo))
    return rows


def measured(layer: str, point: Point, sizes: Sizes, seed: int) -> Row:
    """The largest error of each method."""
    name = LAYERS[layer]
    family, form = FAMILIES[name], point.form
    shape = form.shape(point.n)
    values = np.random.default_rng(seed).standard_normal(shape)
    x = arranged((values + point.offset).astype(point.dtype), point.memory)
    view = (shape[0], 2, shape[1] // 2, *shape[2:]) if family.grouped else shape
    expected = exact(x.reshape(view), form.axes, family.centred).reshape(shape)
    errors = {}
    for method, statistics in TEXTBOOK.items():
        if method == "Welford" and point.n > sizes.loop:
            continue
        if method == "two-pass" and not family.centred:
            continue
        grouped = x.reshape(view)
        moments = statistics(grouped, form.axes, centred=family.centred)
        y = textbook.standardized(grouped, moments, EPS).reshape(shape)
        errors[method] = largest(y, expected)
    arguments = family.arguments(shape, form.axes)
    theirs = pytorch(name + form.suffix, arguments, family.settings, x)
    if theirs is not None:
        errors["PyTorch"] = largest(theirs, expected)
    norm = getattr(nn, name + form.suffix)(*arguments, **family.settings)
    if point.dtype == "float64":
        norm.double()
    with no_grad():
        errors["ours"] = largest(norm(from_numpy(x)).numpy(), expected)
    return Row(point, errors)


def arranged(x: np.ndarray, memory: str) -> np.ndarray:
    """The same values, otherwise laid out in memory."""
    if memory == "contiguous":
        return x
    if memory == "sliced":  # every other value of the last axis
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if memory == "transposed":
        return np.ascontiguousarray(x.T).T
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def exact(x: np.ndarray, axes: Shape, centred: bool) -> np.ndarray:
    """The standardized values in float64; those of float64 in long double.

    Shifted by a sample before the means are taken, so that no offset costs the wider type digits.
    """
    wide: Any = x.astype(np.longdouble if x.dtype == np.float64 else np.float64)
    if centred:
        wide -= wide[tuple(slice(0, 1) if i in axes else slice(None) for i in range(x.ndim))]
        wide -= wide.mean(axis=axes, keepdims=True)
    return wide / np.sqrt((wide * wide).mean(axis=axes, keepdims=True) + EPS)


def largest(y: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute error: NaN or inf where y has one."""
    return float(np.abs(y - expected).max())


def pytorch(
    layer: str, arguments: tuple[Any, ...], settings: dict[str, Any], x: np.ndarray
) -> np.ndarray | None:
    """PyTorch's output, or None where it is not installed or has no such layer or dtype."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    kind = getattr(torch.nn, layer, None)
    if kind is None:
        return None
    try:
        return kind(*arguments, **settings)(torch.from_numpy(x)).numpy()
    except (RuntimeError, NotImplementedError):  # older ones know no float16 on the CPU
        return None
