"""Making tensors from data and from a shape, and joining them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd.graph import Value, wrap
from ..backend.array import as_device, is_array, plain, still, to_device
from ..errors import RangeError, ShapeError
from ..ops import linalg
from ..ops import shape as ops
from .conversion import DTYPES, as_dtype
from .numbers import as_number, fitted
from .shaping import Sizes, sizes
from .tensor import Tensor


def lengths(*given: Any) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike, as the shape of a new tensor."""
    while len(given) == 1 and isinstance(given[0], tuple | list):
        given = tuple(given[0])
    shape = sizes(given)
    if any(n < 0 for n in shape):
        raise ShapeError(f"expected sizes that are not negative, got {shape}")
    return shape


def finished(array: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """A tensor of a new array."""
    if dtype is not None:
        array = array.astype(as_dtype(dtype), copy=False)
    result: Tensor = wrap(Tensor, to_device(array, as_device(device)))
    return result.requires_grad_() if requires_grad else result


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``.

    Args:
        data: numbers, nested lists of them, an array or a tensor.
        dtype: by default float32 for Python floats, int64 for ints, bool for bools, and the
            array's own for arrays.
        device: "cpu" (default), "cuda", "cuda:N"; an array of a GPU stays there by default.

    Raises:
        ValueError: lists of unequal length. TypeError: something that is no number.
    """
    if isinstance(data, Value):
        data = still(data.array)
    dtype = None if dtype is None else as_dtype(dtype)
    if is_array(data):
        array = _native(plain("tensor", data)).copy()
        if dtype is None and array.dtype not in DTYPES:
            dtype = np.dtype("float64" if array.dtype.kind == "f" else "int64")
        if array.dtype.kind == "u" or isinstance(data, np.generic):
            _check(array, dtype)
        # host memory: what lies elsewhere stays there
        if device is None and not isinstance(array, np.ndarray | np.generic):
            result: Tensor = wrap(Tensor, array if dtype is None else array.astype(dtype))
            return result.requires_grad_() if requires_grad else result
    else:
        array = _listed(data, dtype)
    return finished(np.asarray(array), dtype, device, requires_grad)


def _check(array: Any, dtype: np.dtype | None) -> None:
    """Refuse values that a dtype of ints does not hold."""
    if dtype is not None and dtype.kind == "i" and array.size:
        for number in array.flat if array.dtype.kind == "O" else (array.min(), array.max()):
            fitted("tensor", number.item() if hasattr(number, "item") else number, dtype)


def _native(array: Any) -> Any:
    """The array, of real numbers, with its bytes in the order of this machine."""
    if array.dtype.kind not in "biuf":
        raise TypeError(f"tensor: expected numbers, got an array of {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _listed(data: Any, dtype: np.dtype | None) -> np.ndarray:
    """Nested lists of numbers as an array; a dtype of ints must hold each of them."""
    values = _values(data)
    try:
        array = np.array(values)
        if array.dtype.kind == "f" and (abs(array) >= 2.0**63).any():
            array = np.array(values, object)  # of ints beyond int64 NumPy made floats
    except ValueError as error:
        raise ValueError(f"tensor: expected rows of equal length ({error})") from error
    found = array.dtype.kind
    if found not in "biuf" and not all(isinstance(v, int | float) for v in array.flat):
        raise TypeError(f"tensor: expected numbers, got {type(data).__name__} {data!r:.60}")
    if dtype is None:
        whole = found in "iu" or (found == "O" and all(isinstance(v, int) for v in array.flat))
        dtype = np.dtype("bool" if found == "b" else "int64" if whole else "float32")
    _check(array, dtype)
    return np.array(values, dtype) if dtype.kind == "i" and found == "f" else array.astype(dtype)


def _values(data: Any) -> Any:
    """Nested lists with the tensors in them as numbers."""
    if isinstance(data, Value):
        return data.array.tolist()
    if isinstance(data, list | tuple):
        return [_values(item) for item in data]
    if isinstance(data, np.ndarray):  # host memory: a part of the list
        return plain("tensor", data)
    return data


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The tensor itself, an array as a tensor sharing its memory, else a new tensor."""
    if isinstance(data, Tensor):
        return data.to(dtype=dtype, device=device)
    if isinstance(data, np.ndarray) and data.dtype in DTYPES:  # host memory: it is shared
        return finished(plain("as_tensor", data), dtype, device, False)
    return tensor(data, dtype=dtype, device=device)


def zeros(*shape: Sizes, size: Sizes | None = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """Zeros of the shape ``size``, float32 by default."""
    return full(lengths(shape) if size is None else size, 0, dtype=as_dtype(dtype, "float32"),
                device=device, requires_grad=requires_grad)


def ones(*shape: Sizes, size: Sizes | None = None, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Tensor:
    """Ones of the shape ``size``, float32 by default."""
    return full(lengths(shape) if size is None else size, 1, dtype=as_dtype(dtype, "float32"),
                device=device, requires_grad=requires_grad)


def full(
    size: Sizes, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``fill_value`` in the shape ``size``; its kind of number gives the default dtype."""
    number = as_number("full", "fill_value", fill_value)
    dtype = as_dtype(dtype, ("bool" if isinstance(number, bool) else
                               "int64" if isinstance(number, int) else "float32"))
    array = np.full(lengths(size), fitted("full", number, dtype), dtype=dtype)
    return finished(array, None, device, requires_grad)


def empty(*shape: Sizes, size: Sizes | None = None, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:
    """A tensor of the shape ``size`` to be filled; here it holds zeros."""
    return zeros(*shape, size=size, dtype=dtype, device=device, requires_grad=requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """(n, m), ones on the diagonal."""
    n, m = lengths(n, n if m is None else m)
    return finished(np.eye(n, m, dtype=as_dtype(dtype, "float32")), None, device, requires_grad)


def arange(
    start: float, end: float | None = None, step: float = 1, *, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … before ``end``; int64 for ints, float32 for floats."""
    if end is None:
        start, end = 0, start
    start, end, step = (as_number("arange", name, value) for name, value in
                        (("start", start), ("end", end), ("step", step)))
    whole = all(isinstance(value, int) for value in (start, end, step))
    dtype = as_dtype(dtype, ("int64" if whole else "float32"))
    for number in (start, end - step):
        fitted("arange", number, dtype)
    fitted("arange", end, np.dtype("int64" if whole else "float64"))
    if step == 0:
        raise RuntimeError("arange: step must be nonzero")
    if not math.isfinite(end - start):
        raise RangeError(f"arange: expected bounds that are finite, got {start} and {end}")
    if (end - start) / step < 0:
        raise RuntimeError(f"arange: bounds {start} to {end} do not fit the sign of step {step}")
    wide = np.arange(start, end, step, dtype=None if dtype.kind == "i" else np.float64)
    return finished(wide, dtype, device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` values from ``start`` to ``end``, both included."""
    (steps,) = lengths(steps)
    dtype = as_dtype(dtype, "float32")
    start, end = (fitted("linspace", as_number("linspace", name, value), dtype)
                  for name, value in (("start", start), ("end", end)))
    return finished(np.linspace(float(start), float(end), steps), dtype, device, requires_grad)


def _like(function: Any) -> Any:
    name = function.__name__ + "_like"

    def like(
        input: Value, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        if not isinstance(input, Value):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        device = input.device if device is None else device  # type: ignore[attr-defined]
        return function(input.array.shape, dtype=as_dtype(dtype, input.array.dtype), device=device,
                        requires_grad=requires_grad)

    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"As :func:`{function.__name__}`, with the input's shape, dtype and device."
    return like


zeros_like = _like(zeros)
ones_like = _like(ones)
empty_like = _like(empty)


def full_like(
    input: Value, fill_value: Any, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """As :func:`full`, with the input's shape, dtype and device."""
    device = input.device if device is None else device  # type: ignore[attr-defined]
    return full(input.array.shape, fill_value, dtype=as_dtype(dtype, input.array.dtype),
                device=device, requires_grad=requires_grad)


def _tensors(who: str, tensors: Any) -> Sequence[Any]:
    if isinstance(tensors, Value) or not isinstance(tensors, Sequence):
        raise TypeError(f"{who}: expected a tuple or list of tensors, got "
                        f"{type(tensors).__name__}")
    if not tensors:
        raise ShapeError(f"{who}: expected a non-empty list of tensors")
    for i, item in enumerate(tensors):
        if not isinstance(item, Value):
            raise TypeError(f"{who}: expected tensors, got {type(item).__name__} at position {i}")
    return tensors


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension."""
    return ops.stack(*_tensors("stack", tensors), axis=dim)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after another along a dimension they have.

    A tensor of shape (0,) goes with any other, as the start of a list that grows.
    """
    return ops.concatenate(*_tensors("cat", tensors), axis=dim)


def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that the equation says: ``einsum("ij,jk->ik", a, b)``."""
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    return linalg.einsum(equation, *_tensors("einsum", operands))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All of them expanded to their common shape."""
    try:
        shape = np.broadcast_shapes(*(t.array.shape for t in tensors))
    except ValueError as error:
        raise ShapeError(f"broadcast_tensors: {error}") from error
    return tuple(t.expand(shape) for t in tensors)
