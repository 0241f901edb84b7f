"""Jets: arrays of truncated Taylor series, an arithmetic of derivatives that knows no gradients.

Beside NumPy's and CuPy's arrays they are one more kind: given tensors of jets, a layer's forward
runs as it is written, on the device "jet", and every value comes out with its derivatives of all
orders along a line. No rule of the engine takes part, so jets can judge these rules.
"""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from ..autograd import mode
from ..backend.array import Device
from . import series

WIDE = np.longdouble
"""80 bits on most computers, nowhere fewer than the 64 of float64."""
FLOAT64 = np.dtype("float64")
DEVICE = Device("jet")

stops: ContextVar[bool] = ContextVar("tinygrad_norm.stops", default=True)
"""Whether ``detach()`` and ``no_grad()`` make constants, as they do for the engine."""

LINEAR = frozenset((  # noqa: SIM905
    "copy cumsum diagonal flatten mean ravel repeat reshape squeeze sum swapaxes take trace "
    "transpose").split())
"""Methods that do the same to each coefficient."""
BY_VALUE = frozenset("all any argmax argmin argsort round".split())  # noqa: SIM905
"""Methods whose result is a constant: bools, indices, steps."""
NAMESAKES = frozenset("clip dot max min prod sort std var".split())  # noqa: SIM905
"""Methods that NumPy has as functions too."""


def functions() -> Any:
    """NumPy's functions for jets."""
    return importlib.import_module(".jet_functions", __package__)


def _operators(rule: Callable[[Any, Any], Any]) -> tuple[Any, Any, Any]:
    """An operator as methods: on the left, on the right, in place."""

    def left(self: Jet, other: Any) -> Any:
        return Jet(rule(self.c, as_jet(other).c)) if fits(other) else NotImplemented

    def right(self: Jet, other: Any) -> Any:
        return Jet(rule(as_jet(other).c, self.c)) if fits(other) else NotImplemented

    def in_place(self: Jet, other: Any) -> Any:
        result = Jet(rule(self.c, as_jet(other).c))
        if result.shape != self.shape:
            raise ValueError(f"Jet: a result of shape {result.shape} does not fit in place into "
                             f"{self.shape}")
        self[...] = result
        return self

    return left, right, in_place


def _of_values(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A rule whose result is a constant: what the values decide."""
    return lambda a, b: [function(a[0], b[0])]


class Jet:
    """x(t) = c₀ + c₁ t + … + cₖ tᵏ: an array whose values are series, in NumPy's words.

    ``c`` lists the coefficients, arrays of one shape; a constant has but the first. They are
    ``longdouble``, and said to be float64; bools and ints are constants. Where a value decides
    (comparisons, maximum, sorting, an index) it is c₀. Within ``no_grad()`` results are constants.

    >>> import numpy as np
    >>> from tinygrad_norm.proof import Jet
    >>> t = Jet.line(1.0, 1.0, order=3)
    >>> np.exp(t * t).derivatives / np.e  # of exp(t²) at t = 1
    array([ 1.,  2.,  6., 20.])
    """

    __slots__ = ("c",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, coefficients: Sequence[Any]) -> None:
        values = [np.asarray(c) for c in coefficients]
        kind = values[0].dtype.kind
        if kind not in "biuf" or (kind != "f" and len(values) > 1):
            raise TypeError("Jet: expected floating coefficients, or one of bools or ints, got "
                            f"{len(values)} of {values[0].dtype}")
        if len(values) > 1 and stops.get() and not mode.flags.get() & (mode.GRAD | mode.FORWARD):
            del values[1:]
        if kind == "f":
            values = [v.astype(WIDE, copy=False) for v in values]
        shape = np.broadcast_shapes(*(v.shape for v in values))
        self.c: list[np.ndarray] = [
            v if v.shape == shape else np.broadcast_to(v, shape).copy() for v in values]

    @classmethod
    def line(cls, x: Any, v: Any, order: int = 4) -> Jet:
        """x + t v, for derivatives up to ``order``."""
        return cls([np.array(x, WIDE), np.array(v, WIDE),
                    *(np.zeros(np.shape(x), WIDE) for _ in range(order - 1))][:order + 1])

    @property
    def derivatives(self) -> np.ndarray:
        """(order + 1, *shape) in float64: the value, then dᵏ/dtᵏ at t = 0."""
        return np.stack([c * math.factorial(k) for k, c in enumerate(self.c)]).astype(FLOAT64)

    # -- what an array says of itself ----------------------------------------------------------

    dtype = property(lambda self: FLOAT64 if self.c[0].dtype == WIDE else self.c[0].dtype)
    shape = property(lambda self: self.c[0].shape)
    ndim = property(lambda self: self.c[0].ndim)
    size = property(lambda self: self.c[0].size)
    itemsize = property(lambda self: self.dtype.itemsize)
    strides = property(lambda self: self.c[0].strides)
    flags = property(lambda self: self.c[0].flags)
    base = property(lambda self: self.c[0].base)
    device = property(lambda self: DEVICE)
    T = property(lambda self: self.transpose())

    def __getattr__(self, name: str) -> Any:
        if name in LINEAR:
            return lambda *args, **settings: linear(
                lambda c, *rest, **more: getattr(c, name)(*rest, **more), self, *args, **settings)
        if name in BY_VALUE:
            return lambda *args, **settings: Jet([
                getattr(self.c[0], name)(*inside(args), **settings)])
        if name in NAMESAKES:
            return lambda *args, **settings: getattr(functions(), name)(self, *args, **settings)
        raise AttributeError(f"jets have no {name}")

    def astype(self, dtype: Any, copy: bool = True) -> Jet:
        """Floats are as wide as ever; ints and bools are constants."""
        floating = np.dtype(dtype).kind == "f"
        return Jet([c.astype(WIDE if floating else dtype, copy=copy)
                    for c in (self.c if floating else self.c[:1])])

    def view(self, dtype: Any = None) -> Jet:
        """Itself: a jet has no bits to be read in another way."""
        return self

    def detach(self) -> Jet:
        """The value as a constant, sharing memory."""
        return Jet(self.c[:1] if stops.get() else self.c)

    def item(self) -> Any:
        return self.tolist()

    def tolist(self) -> Any:
        return self.c[0].astype(self.dtype).tolist()

    def fill(self, value: Any) -> None:
        self[...] = value

    def __int__(self) -> int:
        return int(self.c[0])

    def __bool__(self) -> bool:
        return bool(self.c[0])

    def __index__(self) -> int:
        return operator.index(self.c[0].item())

    def __len__(self) -> int:
        return len(self.c[0])

    def __iter__(self) -> Iterator[Jet]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Jet({self.c})"

    def __array__(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("a Jet does not become a NumPy array by itself; take .derivatives")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **settings: Any) -> Any:
        known = functions().FUNCTIONS.get(ufunc.__name__)
        if known is None or method != "__call__" or "out" in settings:
            return NotImplemented
        return known(*inputs, **settings)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        known = functions().FUNCTIONS.get(function.__name__)
        return NotImplemented if known is None else known(*args, **settings)

    # -- reading and writing at an index -------------------------------------------------------

    def __getitem__(self, index: Any) -> Jet:
        index = inside(index)
        parts = index if isinstance(index, tuple) else (index,)
        if all(isinstance(p, int | slice | None) for p in parts):
            index = (*parts, ...)  # a view also of a single value
        return Jet([c[index] for c in self.c])

    def __setitem__(self, index: Any, value: Any) -> None:
        index, value = inside(index), as_jet(value)
        if len(value.c) > len(self.c) and self.dtype.kind == "f":
            if self.base is not None:
                raise TypeError("Jet: a series was written into a view of constants; write into "
                                "the array itself")
            self.c += [np.zeros(self.shape, WIDE) for _ in value.c[len(self.c):]]
        for k, c in enumerate(self.c):
            c[index] = value.c[k] if k < len(value.c) else 0

    # -- operators -----------------------------------------------------------------------------

    __add__, __radd__, __iadd__ = _operators(series.add)
    __sub__, __rsub__, __isub__ = _operators(series.subtract)
    __mul__, __rmul__, __imul__ = _operators(series.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _operators(series.divide)
    __matmul__, __rmatmul__, __imatmul__ = _operators(
        lambda a, b: series.multilinear(operator.matmul, a, b))
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators(_of_values(operator.floordiv))
    __and__, __rand__, __iand__ = _operators(_of_values(operator.and_))
    __or__, __ror__, __ior__ = _operators(_of_values(operator.or_))
    __xor__, __rxor__, __ixor__ = _operators(_of_values(operator.xor))
    __eq__ = _operators(_of_values(operator.eq))[0]
    __ne__ = _operators(_of_values(operator.ne))[0]
    __lt__ = _operators(_of_values(operator.lt))[0]
    __le__ = _operators(_of_values(operator.le))[0]
    __gt__ = _operators(_of_values(operator.gt))[0]
    __ge__ = _operators(_of_values(operator.ge))[0]

    def __pow__(self, other: Any) -> Any:
        return functions().power(self, other) if fits(other) else NotImplemented

    def __rpow__(self, other: Any) -> Any:
        return functions().power(other, self) if fits(other) else NotImplemented

    def __ipow__(self, other: Any) -> Any:
        self[...] = functions().power(self, other)
        return self

    def __mod__(self, other: Any) -> Any:
        return self - other * (self // other)

    def __rmod__(self, other: Any) -> Any:
        return other - self * (other // self)

    def __neg__(self) -> Jet:
        return Jet([-c for c in self.c])

    def __pos__(self) -> Jet:
        return self

    def __abs__(self) -> Any:
        return functions().absolute(self)

    def __invert__(self) -> Jet:
        return Jet([~self.c[0]])


def fits(value: Any) -> bool:
    """Whether it may stand beside a jet."""
    # host memory: a constant beside a jet is an array of NumPy
    return isinstance(value, Jet | np.ndarray | np.generic | int | float)


def as_jet(value: Any) -> Jet:
    """A jet as it is; an array or a number as a constant."""
    return value if isinstance(value, Jet) else Jet([np.asarray(value)])


def inside(value: Any) -> Any:
    """With the values of jets in their place."""
    if isinstance(value, Jet):
        return value.c[0]
    return type(value)(map(inside, value)) if isinstance(value, tuple | list) else value


def linear(function: Callable[..., Any], *args: Any, **settings: Any) -> Jet:
    """A function that is linear in all floating jets together: done to each coefficient.

    Jets of bools and ints, and what is no jet, are the same for each.
    """
    settings = {key: inside(value) for key, value in settings.items() if key != "dtype"}

    def coefficient(value: Any, k: int) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(coefficient(v, k) for v in value)
        if not isinstance(value, Jet):
            return value
        if value.dtype.kind != "f" or not k:
            return value.c[0]
        return value.c[k] if k < len(value.c) else np.zeros(value.shape, WIDE)

    return Jet([function(*coefficient(args, k), **settings)
                for k in range(series.length(*(j.c for j in _jets(args))))])


def _jets(value: Any) -> Iterator[Jet]:
    if isinstance(value, Jet):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _jets(item)
