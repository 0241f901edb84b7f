"""Which dtype a result has when the inputs differ: PyTorch's rules, on NumPy's dtypes.

bool < int < float; within a kind the wider wins; a tensor without dimensions and a Python number
count only when they are of a higher kind; an int where a float is needed becomes float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.array import is_array, plain
from ..errors import DtypeError
from .graph import Value, wrap

DEFAULT_FLOAT = np.dtype("float32")
KINDS = "biuf"


def _rank(dtype: np.dtype) -> int:
    return max(KINDS.find(dtype.kind), 0)


def result_type(*values: Any, who: str = "") -> np.dtype:
    """The common dtype of tensors, arrays and Python numbers; ``who`` begins its error."""
    groups: list[list[np.dtype]] = [[], [], []]  # arrays, 0-dim arrays, numbers
    for value in values:
        if isinstance(value, Value):
            value = value.array
        if isinstance(value, bool | np.bool_):
            groups[2].append(np.dtype(bool))
        elif isinstance(value, int | np.integer):
            groups[2].append(np.dtype(np.int64))
        elif isinstance(value, float | np.floating):
            groups[2].append(DEFAULT_FLOAT)
        elif is_array(value) and value.dtype.kind in KINDS:
            groups[0 if value.ndim else 1].append(value.dtype)
        elif value is not None:
            kind = value.dtype if is_array(value) else type(value).__name__
            raise DtypeError(f"{who}unsupported operand: expected tensors, arrays and real "
                             f"numbers, got {kind}")
    result: np.dtype | None = None
    for group in groups:
        if not group:
            continue
        rank = max(map(_rank, group))
        if result is None or rank > _rank(result):
            result = np.result_type(*(d for d in group if _rank(d) == rank))
    assert result is not None
    return result


def promoted(
    name: str, mode: str, inputs: Sequence[Any]
) -> tuple[list[Any], np.dtype | None] | None:
    """The inputs brought to one dtype, by recorded casts, and the dtype to round the result to,
    where it is another; None when they have one already.

    Args:
        name: the operation, for the error.
        mode: ``"same"``; ``"float"`` makes ints float32 too; ``"equal"`` casts nothing.

    Python numbers stay as they are: NumPy gives them the dtype of the array beside them (but for
    float16, :func:`roomy`). float16 beside a tensor that holds more, such as a count, is computed
    in float32, so that this one keeps its value too.
    """
    narrow = None
    values = [v.item() if isinstance(v, np.generic) else v for v in inputs]
    dtype = result_type(*values, who=f"{name}: ")
    if mode == "equal":
        kinds = [str(v.dtype) for v in values if isinstance(v, Value) or is_array(v)]
        if len(set(kinds)) > 1:
            raise DtypeError(f"{name}: expected tensors of the same dtype, got "
                             f"{', '.join(kinds)}; bring them to one with .to(dtype)")
    if mode == "float" and dtype.kind != "f":
        dtype = DEFAULT_FLOAT
    if dtype.char == "e" and mode in ("same", "float") and any(map(_holds_more, values)):
        narrow, dtype = dtype, DEFAULT_FLOAT
    changed = False
    for i, value in enumerate(values):
        if isinstance(value, Value):
            if value.array.dtype != dtype:
                values[i] = value.to(dtype)  # type: ignore[attr-defined]
                changed = True
        elif is_array(value):
            values[i] = wrap(Value.result_class, plain(name, value).astype(dtype))
            changed = True
        elif value is not inputs[i]:
            changed = True
    return (values, narrow) if changed else None


def _holds_more(value: Any) -> bool:
    """Whether it is a tensor or an array of a dtype with values that float16 has not."""
    array = value.array if isinstance(value, Value) else value
    return is_array(array) and array.dtype.kind != "b" and array.dtype.char != "e"


def roomy(mode: str, inputs: Sequence[Any], settings: dict[str, Any]) -> list[Any] | None:
    """float16 inputs as float32, by recorded casts, where a Python number is among them or among
    the settings: it keeps its value until the result is rounded. Else None.

    What compares (``"near"``) takes the number that float16 has in its place, as PyTorch does,
    unless that would be infinite or few digits of it would be left.
    """
    numbers = [v for v in inputs if v.__class__ in (int, float)]
    numbers += [v for v in settings.values() if v.__class__ is float]
    if mode == "near":
        numbers = [v for v in numbers if v and not SMALLEST <= abs(v) <= LARGEST]
    if not numbers or mode == "equal":
        return None
    return [v.to(DEFAULT_FLOAT) if isinstance(v, Value) else v  # type: ignore[attr-defined]
            for v in inputs]


SMALLEST, LARGEST = 2.0**-14, 65504.0
"""Of the normal numbers of float16."""
