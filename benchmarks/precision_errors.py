"""The errors of a layer's standardized output, and of others' ways to it, at each point of a sweep.

Exact is the same formula in a wider type, on the same data.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import textbook
from precision_layers import EPS, FAMILIES, LAST, LAYERS, Form, Shape

from tinygrad_norm import nn
from tinygrad_norm.autograd.mode import no_grad
from tinygrad_norm.tensors.conversion import from_numpy

DTYPES = ("float16", "float32", "float64")
OFFSETS = {"float16": 10.0, "float32": 1e3, "float64": 1e7}
"""In spreads, where it is not what varies: about a third of 1/√(machine epsilon)."""
WIDER = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
"""Whether this machine has a type to judge float64 with."""
TEXTBOOK = {"naive": textbook.naive, "two-pass": textbook.two_pass, "Welford": textbook.welford}
METHODS = (*TEXTBOOK, "PyTorch", "ours")


# -- what is measured ------------------------------------------------------------------------------


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


def methods(rows: Sequence[Row]) -> list[str]:
    """Those that were measured at some point."""
    return [name for name in METHODS if any(name in row.errors for row in rows)]


def main_form(layer: str) -> Form:
    """The first form that the layer takes."""
    family = LAYERS[layer]
    return next(f for f in FAMILIES[family].forms if layer.endswith(family + f.suffix))


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


@np.errstate(all="ignore")  # what overflows is what is shown
def measured(layer: str, point: Point, sizes: Sizes, seed: int) -> Row:
    """The largest error of each method."""
    name = LAYERS[layer]
    family, form = FAMILIES[name], point.form
    shape = form.shape(point.n)
    values = np.random.default_rng(seed).standard_normal(shape)
    x = arranged((values + point.offset).astype(point.dtype), point.memory)
    view = (shape[0], 2, shape[1] // 2, *shape[2:]) if family.grouped else shape
    grouped, errors = x.reshape(view), {}
    expected = exact(grouped, form.axes, family.centred).reshape(shape)
    for method, statistics in TEXTBOOK.items():
        if point.n <= sizes.loop if method == "Welford" else family.centred or method == "naive":
            moments = statistics(grouped, form.axes, centred=family.centred)
            y = textbook.standardized(grouped, moments, EPS).reshape(shape)
            errors[method] = largest(y, expected)
    arguments = family.arguments(shape, form.axes)
    theirs = pytorch(name + form.suffix, arguments, family.settings, x)
    if theirs is not None:
        errors["PyTorch"] = largest(theirs, expected)
    lazy = layer.startswith("Lazy")
    norm = getattr(nn, "Lazy" * lazy + name + form.suffix)(*arguments[lazy:], **family.settings)
    if point.dtype == "float64":
        norm.double()
    with no_grad():
        errors["ours"] = largest(family.call(norm, from_numpy(x)).numpy(), expected)
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
    """PyTorch's output, for lazy layers that of the plain one.

    None where it is not installed or has no such layer or dtype.
    """
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
