"""Poolings: ties, NaN, borders, dtypes, texts and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.errors import DtypeError, ShapeError
from tinygrad_norm.nn import functional as F


def test_the_first_of_equal_ones_gets_the_gradient(device: str) -> None:
    x = tensor(np.ones((1, 4, 4)), device, grad=True)
    (dx,) = tn.autograd.grad(F.max_pool2d(x, 2).sum(), x)
    assert array(dx)[0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]] * 2
    (dx,) = tn.autograd.grad(F.max_pool2d(x, 3, 1, 1).sum(), x)
    assert array(dx)[0].tolist() == [[4, 2, 2, 0], [2, 1, 1, 0], [2, 1, 1, 0], [0, 0, 0, 0]]


def test_infinity_does_not_hurt_its_neighbours() -> None:
    x = tensor(np.array([[[np.inf, 1.0], [-np.inf, 2.0]]]), grad=True)
    y = F.max_pool2d(x, (2, 1))
    assert y.tolist() == [[[np.inf, 2.0]]]
    (dx,) = tn.autograd.grad(y.sum(), x, create_graph=True)
    assert dx.tolist() == [[[1, 0], [0, 1]]]
    (again,) = tn.autograd.grad((dx * x.detach().clamp(-5, 5)).sum() + y.sum(), x)
    assert np.isfinite(array(again)).all()


def test_a_border_is_never_the_largest(device: str) -> None:
    x = tensor(np.full((1, 2, 2), -np.inf), device, grad=True)
    y, index = F.max_pool2d(x, 2, 2, 1, return_indices=True)
    assert array(index)[0].tolist() == [[0, 1], [2, 3]]
    (dx,) = tn.autograd.grad(y.sum(), x)
    assert array(dx)[0].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_the_largest_integer(dtype: str) -> None:
    low = np.iinfo(dtype).min
    x = tn.tensor(np.array([[[low, 5], [7, low]]], dtype))
    y = F.max_pool2d(x, 2, 1, 1)
    assert y.dtype == np.dtype(dtype)
    assert y.tolist() == [[[low, 5, 5], [7, 7, 5], [7, 7, low]]]


def test_means_stay_within_float16() -> None:
    x = tn.full((1, 1, 8, 8), 6e4, dtype=tn.float16, requires_grad=True)
    for y in (F.avg_pool2d(x, 8), F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, 3)):
        assert y.dtype == tn.float16
        assert set(array(y).reshape(-1)) == {np.float16(6e4)}
        assert tn.autograd.grad(y, x, tn.ones_like(y))[0].dtype == tn.float16


def test_means_of_a_constant_are_the_constant_inside() -> None:
    x = tn.ones(1, 1, 5, 6)
    inside = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    assert set(array(inside).reshape(-1)) == {1.0}
    assert F.avg_pool2d(x, 3, 2, 1)[0, 0, 0].tolist() == pytest.approx([4 / 9, 6 / 9, 6 / 9])
    assert set(array(F.adaptive_avg_pool2d(x, (3, 4))).reshape(-1)) == {1.0}
    assert F.adaptive_avg_pool2d(x, 0).shape == (1, 1, 0, 0)


def test_indices_are_no_part_of_the_graph() -> None:
    x = tn.randn(1, 1, 4, 4, requires_grad=True)
    y, index = nn.MaxPool2d(2, return_indices=True)(x)
    assert index.dtype == tn.int64
    assert not index.requires_grad
    np.testing.assert_array_equal(
        array(x).reshape(-1)[array(index).reshape(-1)], array(y).reshape(-1))


def test_texts_of_layers() -> None:
    texts = {
        nn.MaxPool2d(2): "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, "
                         "ceil_mode=False)",
        nn.MaxPool1d(3, 1): "MaxPool1d(kernel_size=3, stride=1, padding=0, dilation=1, "
                            "ceil_mode=False)",
        nn.AvgPool2d((2, 3), padding=1): "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=1)",
        nn.AvgPool1d(2): "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))",
        nn.AdaptiveAvgPool2d((None, 2)): "AdaptiveAvgPool2d(output_size=(None, 2))",
        nn.AdaptiveAvgPool1d(2): "AdaptiveAvgPool1d(output_size=2)",
    }
    for layer, text in texts.items():
        assert repr(layer) == text
        assert not layer.state_dict()


X = tn.zeros(2, 3, 5, 5)
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no tensor": (lambda: F.max_pool2d([1], 2), TypeError,
                  "max_pool2d: expected input to be a Tensor, got list"),
    "dimensions": (lambda: F.max_pool2d(X[0, 0], 2), ShapeError,
                   "max_pool2d: expected input (N, C, H, W) or (C, H, W) with no empty axis but N, "
                   "got (5, 5)"),
    "dimensions of 1d": (lambda: F.avg_pool1d(X, 2), ShapeError,
                         "avg_pool1d: expected input (N, C, L) or (C, L) with no empty axis but N"),
    "no channels": (lambda: F.avg_pool2d(X[:, :0], 2), ShapeError, "got (2, 0, 5, 5)"),
    "kernel": (lambda: F.max_pool2d(X, 6), ShapeError,
               "max_pool2d: no window (6, 6) with dilation (1, 1) fits into input (2, 3, 5, 5) "
               "with padding 0; take a smaller kernel"),
    "no kernel": (lambda: F.max_pool2d(X, 0), ShapeError,
                  "max_pool2d: expected kernel_size >= 1, got 0"),
    "kernels": (lambda: F.max_pool2d(X, (2, 2, 2)), ShapeError,
                "max_pool2d: expected kernel_size to be an int or 2 ints, one for each"),
    "stride": (lambda: F.avg_pool2d(X, 2, stride=0), ShapeError,
               "avg_pool2d: expected stride >= 1, got 0"),
    "padding": (lambda: F.avg_pool2d(X, 2, padding=2), ShapeError,
                "avg_pool2d: expected padding to be at most half of the kernel, got padding 2 for "
                "kernel_size 2 and dilation 1; use pad() for a wider border"),
    "divisor": (lambda: F.avg_pool2d(X, 2, divisor_override=0), ShapeError,
                "avg_pool2d: expected divisor_override to be None or not 0, got 0"),
    "divisor's kind": (lambda: F.avg_pool2d(X, 2, divisor_override=1.5), TypeError,
                       "avg_pool2d: expected divisor_override to be an int, got 1.5"),
    "ints": (lambda: F.avg_pool2d(X.long(), 2), DtypeError,
             "avg_pool2d: expected a floating point input, got int64; call .float()"),
    "bools": (lambda: F.max_pool2d(X > 0, 2), DtypeError,
              "max_pool2d: expected numbers, got bool; call .float()"),
    "adaptive ints": (lambda: F.adaptive_avg_pool2d(X.long(), 2), DtypeError,
                      "adaptive_avg_pool2d: expected a floating point input, got int64"),
    "sizes": (lambda: F.adaptive_avg_pool2d(X, (2,)), ShapeError, "adaptive_avg_pool2d: expected "
              "output_size to be an int or 2 ints or Nones, got (2,)"),
    "negative size": (lambda: F.adaptive_avg_pool2d(X, -1), ShapeError,
                      "adaptive_avg_pool2d: expected output_size >= 0, got (-1, -1)"),
    "size's kind": (lambda: F.adaptive_avg_pool1d(X[0], 1.5), TypeError,
                    "adaptive_avg_pool1d: expected output_size to be an int or 1 ints, got (1.5,)"),
    "adaptive dimensions": (lambda: F.adaptive_avg_pool2d(X[0, 0], 2), ShapeError,
                            "adaptive_avg_pool2d: expected input (N, C, H, W) or (C, H, W)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    call, kind, message = ERRORS[name]
    with pytest.raises(kind, match=re.escape(message)):
        call()
