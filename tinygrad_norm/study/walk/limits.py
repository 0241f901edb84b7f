"""What can be walked through with the eyes, and what is said of more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...autograd.graph import Value
from ...backend.array import is_array, to_numpy
from ...errors import DtypeError, ShapeError

VALUES = 512
"""So many numbers at most in an input."""
NODES = 100
"""So many operations at most in a function."""
SMALL = 64
"""So many values of x at most where the command adds the what-ifs, which are a study each."""


def given(inputs: Sequence[Any]) -> list[np.ndarray]:
    """The inputs as arrays, the floating ones in float64; not larger than the limit.

    Raises:
        TypeError: neither a tensor nor an array of real numbers. ValueError: too many values.
    """
    arrays = []
    for i, value in enumerate(inputs):
        if not (isinstance(value, Value) or is_array(value)):
            raise TypeError(f"trace: expected tensors or arrays as inputs, got "
                            f"{type(value).__name__}")
        name = f"input {i}" if len(inputs) > 1 else "x"
        array = value.array if isinstance(value, Value) else value
        _check_real(name, array)
        check_size(name, array.shape)
        array = to_numpy(array)
        dtype = np.float64 if array.dtype.kind == "f" else array.dtype
        arrays.append(array.astype(dtype, order="C"))  # sums round as the layout has it
    return arrays


def _check_real(name: str, array: Any) -> None:
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"trace: expected {name} to hold real numbers, got {array.dtype}")


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """At least one value, and at most so many.

    Raises:
        ValueError: with the first rows that would do.
    """
    size = int(np.prod(shape))
    if not size:
        raise ValueError(f"trace: expected at least one value in {name}, got {shape}")
    if size <= VALUES:
        return
    row = size // shape[0]
    fit = VALUES // row
    cure = (f"study its first rows, {name}[:{fit}] (--rows {fit} in the command)" if fit >= 2 else
            f"a row alone has {row}: study fewer features too")
    raise ValueError(f"trace: expected at most {VALUES} values in {name}, got {shape}, which are "
                     f"{size}: too many to look at; {cure}")


def check_nodes(count: int) -> None:
    """At most so many operations."""
    if count > NODES:
        raise ValueError(f"trace: expected at most {NODES} operations, got {count}: too many to "
                         "look at; study a part of the function")


def outward(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient of the output, of its shape.

    None stands for 1 where the output is one value; else for normal numbers of a fixed seed:
    of a gradient of ones a centred norm makes dx = 0.
    """
    if given is None:
        if not np.prod(shape) > 1:
            return np.ones(shape)
        return np.random.default_rng(1).standard_normal(shape)
    if not (isinstance(given, Value) or is_array(given)):
        raise TypeError("trace: expected grad_output to be a tensor or an array, got "
                        f"{type(given).__name__}")
    array = to_numpy(given.array if isinstance(given, Value) else given)
    _check_real("grad_output", array)
    if array.shape != shape:
        raise ShapeError(f"trace: expected grad_output of the output's shape {shape}, got "
                         f"{array.shape}")
    return array.astype(np.float64, order="C")
