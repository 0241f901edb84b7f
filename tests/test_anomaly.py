"""detect_anomaly names the operation that made a NaN, and the line that called it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.autograd import Function


def leaf(*values: float, dtype: Any = tn.float64) -> tn.Tensor:
    return tn.tensor(list(values), dtype=dtype, requires_grad=True)

def _here() -> int:
    import inspect

    return inspect.currentframe().f_back.f_lineno  # type: ignore[union-attr]


@np.errstate(invalid="ignore", divide="ignore")
def test_anomaly_in_the_forward() -> None:
    x = leaf(1.0, -1.0)
    with tn.autograd.detect_anomaly():
        line = _here() + 2
        with pytest.raises(RuntimeError) as error:
            x.exp() + x.log()
    message = str(error.value)
    assert "the forward of log made a NaN" in message
    assert f"{__file__}:{line}: " in message
    assert "x.exp() + x.log()" in message
    x.log()  # outside nothing is searched
    y = tn.tensor([np.nan, 1.0])
    with tn.autograd.detect_anomaly():
        (y * 2).sum()  # a NaN that was there before is no news


@np.errstate(invalid="ignore", divide="ignore")
def test_anomaly_in_the_backward() -> None:
    x = leaf(0.0, 1.0)
    with tn.autograd.detect_anomaly():
        line, y = _here(), x.sqrt() * 0.0
        with pytest.raises(RuntimeError) as error:
            y.sum().backward()
    message = str(error.value)
    assert "the backward of sqrt made a NaN in the gradient of its input 0" in message
    assert f"{__file__}:{line}: " in message
    y = x.sqrt() * 0.0
    with tn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=(
            r"a line unknown: run the forward inside detect_anomaly too")):
        y.sum().backward()
    (x.sqrt() * 0.0).sum().backward()
    assert np.isnan(x.grad.numpy()[0])
    with tn.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0.0).sum().backward()


def test_anomaly_in_a_norm_names_the_callers_line() -> None:
    """And none of NumPy's, whose errstate() the norm is called through."""
    x = leaf([[1.0, np.nan], [2.0, 3.0]])
    with tn.autograd.detect_anomaly():
        line, y = _here(), tn.nn.functional.layer_norm(x, (2,))
        with pytest.raises(RuntimeError, match=rf"{__file__}:{line}: "):
            y.sum().backward()


def test_anomaly_in_a_function() -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return tn.tensor([np.nan])

    x = leaf(1.0)
    with tn.autograd.detect_anomaly():
        line, y = _here(), Bad.apply(x)
        with pytest.raises(RuntimeError, match=rf"the backward of Bad(?s:.*){line}: "):
            y.backward()
