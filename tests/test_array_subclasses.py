"""NumPy's subclasses become plain arrays wherever one comes in; masked ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import data, nn, optim


def _loaded(array: Any) -> Any:
    layer = nn.Linear(2, 2, dtype=tn.float64)
    layer.load_state_dict({"weight": array, "bias": np.zeros(2)})
    return layer.weight


def _resumed(array: Any) -> Any:
    x = tn.zeros(2, 2, dtype=tn.float64, requires_grad=True)
    sgd = optim.SGD([x], lr=0.1, momentum=0.9)
    state = sgd.state_dict()
    sgd.load_state_dict({**state, "state": {0: {"momentum_buffer": array}}})
    return sgd.state[x]["momentum_buffer"]


def _seeded(array: Any) -> Any:
    x = tn.ones(2, 2, dtype=tn.float64, requires_grad=True)
    (x * 1).backward(array)
    return x.grad


WAYS: dict[str, Callable[[Any], Any]] = {
    "tensor": tn.tensor,
    "tensor of a list": lambda a: tn.tensor([a])[0].double(),
    "as_tensor": tn.as_tensor,
    "from_numpy": tn.from_numpy,
    "from_dlpack": tn.from_dlpack,
    "Tensor": lambda a: tn.Tensor(a).double(),
    "operator": lambda a: tn.ones(2, 2).double() * a,
    "reflected operator": lambda a: a + tn.zeros(2, 2).double(),
    "matmul": lambda a: tn.eye(2).double() @ a,
    "backward": _seeded,
    "where": lambda a: tn.where(a > -1, tn.arange(4.0).reshape(2, 2).double(), 0.0),
    "index": lambda a: tn.arange(4.0).double()[a.astype("int64")],
    "load_state_dict": _loaded,
    "optimizer": _resumed,
    "DataLoader": lambda a: next(iter(data.DataLoader([a], 1)))[0],
    "Standardize": lambda a: tn.from_numpy(
        data.Standardize().fit(np.array([[-1.0, -1], [1, 1]])).transform(a)),
    "Subset": lambda a: tn.tensor(data.Subset(range(4), a.astype("int64").reshape(-1)).indices
                                  ).reshape(2, 2).double(),
}


@pytest.mark.parametrize("name", WAYS)
def test_subclasses_become_plain_arrays(name: str) -> None:
    array = np.arange(4.0).reshape(2, 2)
    result = WAYS[name](array.view(np.recarray))
    assert type(result.array) is np.ndarray
    assert result.tolist() == [[0, 1], [2, 3]]
    if name != "Subset":  # of a matrix no vector can be made
        assert type(WAYS[name](array.view(np.matrix)).array) is np.ndarray


@pytest.mark.parametrize("name", WAYS)
def test_masked_arrays_are_refused(name: str) -> None:
    array = np.ma.array(np.arange(4.0).reshape(2, 2), mask=[[0, 0], [0, 1]])
    with pytest.raises(TypeError, match=r"^\w.*: a tensor has no masked values, got a masked array "
                                        r"of shape \(.*\); give array\.filled\(value\), or"):
        WAYS[name](array)
    assert tn.tensor(array.filled(0)).tolist() == [[0, 1], [2, 0]]


def test_masked_classes_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^ClassBatches: a tensor has no masked values"):
        data.ClassBatches(np.ma.array([0, 1], mask=[0, 1]), 1, 1)
