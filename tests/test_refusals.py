"""What a bad call is told: who, what was expected, what it got, and the cure."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F
from tinygrad_norm import nn
from tinygrad_norm.errors import DimError, DtypeError, ShapeError


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda x: x.item(), RuntimeError, r"item: a tensor of shape \(2, 3\) cannot be converted"),
    (lambda x: float(x), RuntimeError, r"cannot be converted to a scalar; take one element"),
    (lambda x: bool(x), RuntimeError, r"truth of a tensor of shape \(2, 3\) is ambiguous; us"),
    (lambda x: bool(x[:0]), RuntimeError, r"bool: the truth of a tensor of shape \(0, 3\)"),
    (lambda x: [1][x[0, 0]], TypeError, "only integer tensors of a single element"),
    (lambda x: len(x[0, 0]), TypeError, "len.. of a 0-d tensor"),
    (lambda x: list(x[0, 0]), TypeError, "iteration over a 0-d tensor"),
    (lambda x: x.requires_grad_().numpy(), RuntimeError, r"requires grad; use \.detach\(\)\.numpy"),
    (lambda x: np.asarray(x.requires_grad_()), RuntimeError, r"use \.detach\(\)\.numpy\(\)"),
    (lambda x: x + "a", TypeError, "unsupported operand: expected tensors, arrays and real numbers"
                                   ", got str"),
    (lambda x: x * [1, 2, 3], TypeError, "unsupported operand.* got list"),
    (lambda x: x @ [1, 2, 3], TypeError, "unsupported operand"),
    (lambda x: x * 1j, TypeError, "unsupported operand.* got complex"),
    (lambda x: x + np.ones(3, complex), TypeError, "unsupported operand.* got complex128"),
    (lambda x: x + None, TypeError, "add: .*NoneType"),
    (lambda x: x < "a", TypeError, "unsupported operand"),
    (lambda x: x + tn.ones(4), ShapeError, r"add: .*; got shapes \(2, 3\), \(4,\)"),
    (lambda x: x @ x, ShapeError, r"matmul: cannot multiply shapes \(2, 3\) and \(2, 3\)"),
    (lambda x: x.mm(x[0]), ShapeError, r"mm: expected two tensors of 2 dimensions, got \(2, 3\)"),
    (lambda x: x.bmm(x), ShapeError, "bmm: expected two tensors of 3 dimensions"),
    (lambda x: x[None].bmm(x.expand(2, 2, 3)), ShapeError, r"bmm: batches of \(1, 2, 3\) and"),
    (lambda x: x.dot(x), ShapeError, "dot: expected two tensors of 1 dimensions"),
    (lambda x: x & x, TypeError, "logical_and: .*bitwise_and.*; got float32, float32"),
    (lambda x: -x.bool(), TypeError, "neg: .*"),
    (lambda x: x.bool() ** x.bool(), TypeError, r"pow: expected numbers, got bools; call \.long"),
    (lambda x: x.long() ** -1, RuntimeError,
     r"^pow: expected an exponent >= 0 for int64, got -1: .*; call \.float\(\)$"),
    (lambda x: nn.init.constant_(x.half(), 1e9), RuntimeError, "constant_: float16 holds numbers"),
    (lambda x: x.int().__setitem__(0, 2**31), OverflowError, "setitem: int32 holds .*; take int64"),
    (lambda x: x.long().fill_(np.nan), ValueError, "setitem: int64 holds .*, got nan"),
    (lambda x: x.half().fill_(1e9), RuntimeError, "setitem: float16 holds .*, got 1000000000.0"),
    (lambda x: x.__setitem__(0, np.ma.array([1.0, 2, 3], mask=[0, 1, 0])), TypeError,
     "setitem: a tensor has no masked values"),
    (lambda x: x.int() * 2**40, OverflowError,
     r"^mul: int32 does not hold the number beside it \(.*\); call \.long\(\) or"),
    (lambda x: x.long() + 2**63, RuntimeError, "^add: int64 does not hold the number beside it"),
    (lambda x: x.long() // 0, ZeroDivisionError,
     "floor_divide: expected a divisor of ints without 0, got 0; floats give inf and nan"),
    (lambda x: x.bool() % x.bool(), TypeError, r"remainder: expected numbers, got bools; call"),
    (lambda x: x << 1, TypeError, r"bitwise_left_shift: expected ints, got float32; call \.long"),
    (lambda x: x.div(2, rounding_mode="up"), RuntimeError,
     "div: expected rounding_mode to be None, 'floor' or 'trunc', got 'up'"),
    (lambda x: pickle.dumps(x.requires_grad_() * 2), RuntimeError,
     r"pickle: only leaf tensors can be pickled, and mul made this one; use \.detach\(\), or tn"),
    (lambda x: F.batch_norm(x, x[0], x[0] + 1, training=True, momentum=None), TypeError,
     "batch_norm: expected momentum to be a number, got None; .*: pass 1/n at the nth"),
    (lambda x: x.gather(0, x[0].long()), ShapeError,
     r"gather: expected an index of 2 dimensions, got \(3,\)"),
    (lambda x: x.clamp(), RuntimeError, "clamp: expected at least one of min and max"),
    (lambda x: tn.where(x, x, x), TypeError, r"where: expected a condition of bools, got floa"),
    (lambda x: tn.where(True, x, x), TypeError, "where: expected a condition of bools, got bool"),
    (lambda x: x.sum(2), DimError, r"sum: axis 2 is out of bounds .*; got shapes \(2, 3\)"),
    (lambda x: x.mean((0, 0)), ShapeError, "mean: duplicate value in 'axis'"),
    (lambda x: x.long().mean(), DtypeError, r"mean: expected a floating point tensor, got int64; "),
    (lambda x: x.long().softmax(0), DtypeError, "softmax: expected a floating point tensor"),
    (lambda x: x.var(unbiased=True, correction=1), TypeError, "var: pass unbiased or correction"),
    (lambda x: x[:0].max(), RuntimeError, r"amax: expected at least one value .* shape \(0, 3\)"),
    (lambda x: x[:0].argmin(0), IndexError, "argmin: expected at least one value"),
    (lambda x: x.max(2), DimError, "argmax: axis 2 is out of bounds"),
    (lambda x: x.cumsum(3), DimError, "cumsum: Dimension out of range: expected -2 to 1, got 3"),
    (lambda x: x.reshape(4), ShapeError, r"reshape: cannot reshape .*; got shapes \(2, 3\)"),
    (lambda x: x.T.view(6), RuntimeError, r"view: a tensor of shape \(3, 2\) and strides \(4, 12\) "
                                          r"has no view of shape \(6,\); use reshape\(\)"),
    (lambda x: x.permute(0), ShapeError, r"permute: expected each of 2 dimensions once, got"),
    (lambda x: x.permute(0, 2), DimError, "permute: Dimension out of range"),
    (lambda x: x.transpose(0, 2), DimError, "transpose: Dimension out of range"),
    (lambda x: x[None].t(), RuntimeError, r"t: expected at most 2 dimensions, got \(1, 2, 3\)"),
    (lambda x: x[0].mT, RuntimeError, r"mT: expected at least 2 dimensions, got \(3,\)"),
    (lambda x: x.unsqueeze(3), DimError, "unsqueeze: Dimension out of range: expected -3 to 2"),
    (lambda x: x.squeeze(2), DimError, "squeeze: Dimension out of range"),
    (lambda x: x.flatten(1, 0), RuntimeError, "flatten: start_dim 1 comes after end_dim 0"),
    (lambda x: x.expand(2, 4), ShapeError, r"expand: .*; got shapes \(2, 3\)"),
    (lambda x: x.flip(2), DimError, "flip: Dimension out of range"),
    (lambda x: x.split([1, 2], 1)[0].split([1, 1], 1), ShapeError, r"split: sizes \[1, 1\] "),
    (lambda x: x.gather(1, tn.tensor([0])), ShapeError, r"gather: expected an index of 2 dim"),
    (lambda x: x.gather(1, tn.tensor([[5]])), IndexError, "gather: index 5 is out of bounds"),
    (lambda x: x[2], IndexError, r"index: index 2 is out of bounds .*; got shapes \(2, 3\)"),
    (lambda x: x[0, 0, 0], IndexError, "index: too many indices"),
    (lambda x: x[1.5], IndexError, "index: expected ints, slices, None, ..., and"),
    (lambda x: x["a"], IndexError, "got str"),
    (lambda x: x[tn.tensor([0.5])], IndexError, "index: arrays used as indices must be"),
    (lambda x: x[tn.tensor([True])], IndexError, "index: boolean index did not match"),
    (lambda x: tn.einsum("ij", x, x), ShapeError, "einsum: 'ij' names 1 operands, got 2"),
    (lambda x: tn.einsum("ijk->i", x), ShapeError, r"'ijk' has 3 letters for a tensor of shape"),
    (lambda x: tn.einsum("ii->i", x), ShapeError, "einsum: 'i' stands for 2 and 3"),
    (lambda x: tn.einsum("ij,jk->ik", x, x), ShapeError, r"einsum: .*; got shapes \(2, 3\), "),
    (lambda x: setattr(x, "data", 1), TypeError, "data: expected a Tensor, got int"),
    (lambda x: setattr(x, "grad", 1), TypeError, "grad: expected a Tensor or None, got int"),
    (lambda x: setattr(x, "grad", x[0]), ShapeError, r"grad: expected shape \(2, 3\), got \(3,\)"),
    (lambda x: setattr(x, "grad", x.double()), DtypeError, "grad: expected float32, got float64"),
    (lambda x: copy.deepcopy(x.requires_grad_() * 2), RuntimeError, "only leaf tensors can be"),
    (lambda x: x.__setitem__(0, [1, 2]), ShapeError, r"setitem: .*"),
    (lambda x: x.__setitem__((0, 5), 1), IndexError, "setitem: index 5"),
    (lambda x: x.__setitem__(0, "a"), (TypeError, ValueError), "setitem|string|str"),
])
def test_what_is_refused(call: Callable[[Any], Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(tn.ones(2, 3))


@pytest.mark.parametrize("input", [np.ones((2, 4), np.float32), [[1.0] * 4], None],
                         ids=["array", "list", "None"])
@pytest.mark.parametrize("call", [
    nn.Linear(4, 2), nn.BatchNorm1d(4), nn.BatchRenorm1d(4), nn.InstanceNorm1d(4),
    nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.RMSNorm(4), nn.Dropout(),
    lambda x: F.linear(x, tn.ones(2, 4)), lambda x: F.batch_norm(x, None, None, training=True),
    lambda x: F.instance_norm(x), lambda x: F.group_norm(x, 2), lambda x: F.layer_norm(x, (4,)),
    lambda x: F.rms_norm(x, (4,)),
])
def test_layers_want_tensors(call: Callable[[Any], Any], input: Any) -> None:
    with pytest.raises(TypeError, match=rf"^\w+: expected input to be a Tensor, got "
                                        rf"{type(input).__name__}; wrap it with tensor\(\.\.\.\)$"):
        call(input)


def test_a_model_is_no_graph() -> None:
    with pytest.raises(TypeError, match=r"got Linear; .*graph\(model\(x\), params=model\)"):
        tn.viz.graph(nn.Linear(2, 2))  # type: ignore[arg-type]
