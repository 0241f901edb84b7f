"""What ``detect_anomaly`` checks: which operation turned numbers into NaN, and who called it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.array import array_module, is_array
from .graph import Node, Value

_INSIDE = tuple(os.path.dirname(os.path.abspath(file)) + os.sep
                for file in (os.path.dirname(__file__), np.__file__))
"""This package, and NumPy's, whose errstate() stands between two functions of ours."""


def has_nan(value: Any) -> bool:
    """Whether a float array, or a tensor of one, holds a NaN."""
    if isinstance(value, Value):
        value = value.array
    if not is_array(value) or value.dtype.kind != "f":
        return False
    return bool(array_module(value).isnan(value).any().item())


def user_line() -> str:
    """The innermost line of the stack that is a caller's: ``file.py:12: y = x.log()``."""
    import traceback

    for frame in reversed(traceback.extract_stack()):
        if not os.path.abspath(frame.filename).startswith(_INSIDE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "(called from inside tinygrad_norm)"


def check_forward(name: str, arrays: Sequence[Any], results: Any) -> None:
    """Raise when the results hold a NaN that the inputs did not."""
    results = results if isinstance(results, tuple) else (results,)
    if any(map(has_nan, results)) and not any(map(has_nan, arrays)):
        shapes = ", ".join(str(a.shape) for a in arrays if is_array(a))
        raise RuntimeError(
            f"detect_anomaly: the forward of {name} made a NaN from inputs without one "
            f"(shapes {shapes})\n  called at {user_line()}"
        )


def check_backward(node: Node, dys: Sequence[Any], gradients: Sequence[Any]) -> None:
    """Raise when the gradients hold a NaN that those of the outputs did not."""
    if any(map(has_nan, gradients)) and not any(map(has_nan, dys)):
        which = [i for i, g in enumerate(gradients) if has_nan(g)]
        called = node.trace or "(a line unknown: run the forward inside detect_anomaly too)"
        raise RuntimeError(
            f"detect_anomaly: the backward of {node.op.name} made a NaN in the gradient of its "
            f"input {', '.join(map(str, which))}\n  forward called at {called}"
        )
