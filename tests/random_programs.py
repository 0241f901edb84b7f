"""Programs drawn at random, of which every result is exact: any order of sums gives the same bits.

Floats are multiples of 1/4 that are not large, and go back to such after each operation that may
leave them (:func:`back`); so a product, a sum, a comparison are exact in float32, and quotients and
roots are rounded correctly before they are rounded here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_norm.backend.array import array_module
from tinygrad_norm.backend.choose import expect

Choose = Callable[[int], int]
"""``choose(n)`` gives one of 0 … n - 1."""
DTYPES = ("float32", "float32", "float64", "int64", "int32", "bool", "uint8")
SIDES = (0, 1, 1, 2, 3, 4, 5, 6, 8, 9, 17, 33, 40, 70)
BINARY = ("add", "sub", "mul")
QUESTIONS = ("eq", "ne", "lt", "le", "gt", "ge")


class Draws:
    """What a program asks for, drawn with ``choose``."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose

    def of(self, options: Any) -> Any:
        return options[self.choose(len(options))]

    def chance(self, one_in: int) -> bool:
        return self.choose(one_in) == 0

    def array(self, seed: int) -> np.ndarray:
        """Of any shape with few values, any dtype and any layout."""
        shape: tuple[int, ...] = ()
        for _ in range(self.choose(5)):
            shape = (*shape, self.of(SIDES))
            if math.prod(shape) > 5000:
                shape = shape[:-1]
        return self.laid_out(values(shape, self.of(DTYPES), seed))

    def laid_out(self, x: np.ndarray) -> np.ndarray:
        kind = self.choose(6)
        if kind == 0 and x.ndim:
            return np.repeat(x, 2, axis=-1)[..., ::2]
        if kind == 1 and x.ndim:
            return np.ascontiguousarray(x[::-1])[::-1]
        return np.asfortranarray(x) if kind == 2 and x.ndim else x

    def axes(self, x: Any) -> Any:
        kind = self.choose(4)
        if kind == 0 or not x.ndim:
            return None
        if kind == 1:
            return self.choose(x.ndim) - x.ndim * self.choose(2)
        return tuple(i - x.ndim * self.choose(2) for i in range(x.ndim) if self.choose(2))

    def index(self, x: Any, new: bool = True) -> Any:
        """A basic index."""
        index: list[Any] = []
        for n in x.shape[:self.choose(x.ndim + 1)]:
            kind = self.choose(6)
            if kind == 0 and n:
                index.append(self.choose(n) - n * self.choose(2))
            elif kind == 1:
                index.append(slice(None))
            else:
                bounds = [None, *range(-n - 1, n + 2)]
                step = self.of((1, 1, 1, 2, 3, -1, -2, None))
                index.append(slice(self.of(bounds), self.of(bounds), step))
        if self.chance(3):
            if new and self.chance(2):
                index.insert(self.choose(len(index) + 1), None)
            else:
                index.append(...)
        return tuple(index)

    def shape(self, size: int) -> tuple[int, ...]:
        """Of that many values."""
        found, left = list[int](), size
        while left > 1 and len(found) < 4:
            divisors = [d for d in range(1, left + 1) if left % d == 0]
            found.append(self.of(divisors))
            left //= found[-1]
        return (*found, left) if left != 1 or not found or self.chance(4) else tuple(found)

    # -- operations: each gives an array, or None where it has none for these ----------------------

    def spread_like(self, x: Any, pool: list[Any]) -> Any:
        """Something that broadcasts with x: another of the pool, a part of x, or a number."""
        others = [y for y in (x, *pool) if _fits(x.shape, y.shape)]
        kind = self.choose(4)
        if kind == 0:
            return self.of((0.5, 2, -1.25, 0, 1, 3, True))
        if kind == 1 and x.ndim:
            axis = self.choose(x.ndim)
            return x.max(axis=axis, keepdims=True) if x.shape[axis] else x
        return self.of(others) if others else x

    def elementwise(self, m: Any, x: Any, pool: list[Any]) -> Any:
        y = self.spread_like(x, pool)
        kind = self.choose(13)
        if kind < 4:
            return arithmetic(m, self.of(BINARY), *((x, y) if self.choose(2) else (y, x)))
        if kind == 4:
            name = self.of(QUESTIONS)
            return getattr(m, _UFUNC[name])(x, y)
        if kind == 5:
            return m.where(self.condition(x, pool), x, y)
        if kind == 6:
            return getattr(m, self.of(("maximum", "minimum")))(x, y)
        if kind == 7:
            return x.astype(self.of(("float32", "float64", "int64")))
        if kind == 8:
            low = self.of((None, -1, 0, 0.5))
            return m.clip(x, low, self.of((1, 3)))
        if kind == 9 and x.dtype.kind in "bi":
            return ~x if x.dtype.kind == "b" else x & 5
        if x.dtype.kind != "f":
            return None
        if kind == 10:
            return back(m, self.of((m.exp, m.tanh, m.expm1))(m.minimum(x, 2)))
        if kind == 11:
            return back(m, x / (abs(m.asarray(y)) + 1) if self.choose(2) else (x * x) ** 0.5)
        return self.of((m.floor, m.sign, m.negative, m.absolute, m.rint, m.square, m.isfinite))(x)

    def condition(self, x: Any, pool: list[Any]) -> Any:
        found = [y for y in pool if y.dtype.kind == "b" and y.shape == x.shape]
        return self.of(found) if found and self.choose(2) else x > self.of((0, 1, -0.5))

    def reduction(self, m: Any, x: Any, pool: list[Any]) -> Any:
        name, axes, keep = self.of(("sum", "sum", "sum", "max", "min", "any", "all", "mean")), \
            self.axes(x), bool(self.choose(2))
        if name in ("max", "min", "mean") and 0 in x.shape:
            return None
        if name == "mean":
            return back(m, x.mean(axis=axes, keepdims=keep)) if x.dtype.kind == "f" else None
        more = {"dtype": "float64"} if name == "sum" and x.dtype.kind == "f" and self.choose(2) \
            else {}
        y = getattr(x, name)(axis=axes, keepdims=keep, **more)
        return back(m, y / 8) if name == "sum" and y.dtype.kind == "f" else y

    def view(self, m: Any, x: Any, pool: list[Any]) -> Any:
        kind = self.choose(9)
        if kind == 0 and x.ndim:
            axes = list(range(x.ndim))
            order = [axes.pop(self.choose(len(axes))) for _ in range(x.ndim)]
            return x.transpose(order) if self.choose(2) else m.transpose(x, order)
        if kind == 1:
            return x.T
        if kind == 2:
            return x.reshape(self.shape(x.size)) if x.size else x.reshape(-1)
        if kind == 3 and x.ndim:
            return m.swapaxes(x, 0, -1) if self.choose(2) else m.moveaxis(x, -1, 0)
        if kind == 4 and x.size < 2000:
            return m.broadcast_to(x, (self.of((1, 2, 3)), *x.shape))
        if kind == 5:
            return m.expand_dims(x, self.choose(x.ndim + 1))
        if kind == 6:
            return self.of((m.squeeze, m.ravel, m.copy, m.ascontiguousarray))(x)
        return x[self.index(x)]

    def call(self, m: Any, x: Any, pool: list[Any]) -> Any:
        """What stays a call of NumPy, and matrix products."""
        kind = self.choose(8)
        if kind == 0 and x.ndim and x.shape[0]:
            return m.take(x, np.array([0, x.shape[0] - 1, 0]), axis=0)
        if kind == 1 and x.ndim and x.dtype.kind == "f":
            return back(m, m.cumsum(x, axis=-1))
        if kind == 2:
            return m.concatenate([x, x]) if x.ndim and x.size < 2000 else m.stack([x, x])
        if kind == 3 and x.ndim > 1:
            return m.diagonal(x, 0, 0, 1)
        if kind == 4 and x.ndim and x.shape[0]:
            return m.split(x, [self.choose(x.shape[0])])[self.choose(2)]
        if kind == 5 and x.ndim:
            return m.flip(x, 0) if self.choose(2) else m.sort(x, axis=-1)
        others = [y for y in pool if y.ndim == x.ndim == 2 and y.shape[0] == x.shape[1]
                  and y.dtype == x.dtype and y.dtype.kind == "f" and x.size and y.size]
        return back(m, (x @ self.of([*others, x.T] if x.dtype.kind == "f" else others)) / 16) \
            if x.ndim == 2 and x.size and (others or x.dtype.kind == "f") else None

    def write(self, m: Any, x: Any, pool: list[Any]) -> Any:
        """In place, through a view or not; gives what was written to, or a view of it."""
        place = x if self.choose(2) else self.view(m, x, pool)
        if place is None or not writeable(place):
            return None
        y = self.spread_like(place, pool)
        shape = getattr(y, "shape", ())
        dtype = getattr(y, "dtype", ("bool", "uint8", "float32")[_kind(y)])
        if np.broadcast_shapes(place.shape, shape) != place.shape or not np.can_cast(
                dtype, place.dtype, "same_kind"):
            return None
        kind = self.choose(6)
        if kind == 0:
            place += y
        elif kind == 1 and place.dtype.kind != "b":
            place -= y
        elif kind == 2:
            place *= y
        elif kind == 3 and place.ndim:
            index = self.index(place, new=False)
            inside = place[index]
            place[index] = y if shape == () else inside if inside.shape != shape else y
        elif kind == 4 and place.dtype.kind == "f" and shape == place.shape:
            m.maximum(place, y, out=place)
        else:
            place[...] = y
        if place.dtype.kind == "f":
            place[...] = back(m, place.copy())
        elif place.dtype.kind != "b":
            place[...] = place & 7
        return place

    def guard(self, m: Any, x: Any, pool: list[Any]) -> Any:
        ask = expect(type(x))
        if ask is not None and x.size:
            ask((x < 100).all())

    def program(self, length: int) -> Callable[..., list[Any]]:
        """A function of arrays, and of a number that changes."""
        kinds = (self.elementwise, self.elementwise, self.elementwise, self.reduction, self.view,
                 self.view, self.write, self.write, self.call, self.guard)

        def run(*arrays: Any) -> list[Any]:
            *given, number = arrays
            m = array_module(given[0])
            pool = list(given)
            for _ in range(length):
                x = pool[-1 - min(self.choose(len(pool)), self.choose(len(pool)))]
                y = self.of(kinds)(m, x, pool) if not self.chance(15) else arithmetic(
                    m, "mul", x, number)
                if y is not None:
                    pool.append(y)
            return [self.of(pool) for _ in range(1 + self.choose(4))]

        return run


_UFUNC = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
          "ge": "greater_equal"}


def values(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    whole = np.random.default_rng(seed).integers(-12, 13, shape)
    if dtype.startswith("float"):
        return np.asarray(whole / 4, dtype)
    return np.asarray(whole > 0 if dtype == "bool" else abs(whole) if dtype == "uint8" else whole,
                      dtype)


def back(m: Any, x: Any) -> Any:
    """x as multiples of 1/4, at most 8."""
    return m.clip(m.rint(x * 4) * 0.25, -8, 8) + 0.0


def arithmetic(m: Any, name: str, x: Any, y: Any) -> Any:
    if _kind(x) == _kind(y) == 0:
        return (x | y) if name == "add" else (x != y) if name == "sub" else (x & y)
    result = x + y if name == "add" else x - y if name == "sub" else x * y
    return back(m, result) if result.dtype.kind == "f" else result & 15


def writeable(x: Any) -> bool:
    return bool(x.flags.writeable) and 0 not in x.strides


def _kind(x: Any) -> int:
    if isinstance(x, int | float):
        return 0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2
    return {"b": 0, "u": 1, "i": 1, "f": 2}[x.dtype.kind]


def _fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        return math.prod(np.broadcast_shapes(a, b)) <= 6000
    except ValueError:
        return False
