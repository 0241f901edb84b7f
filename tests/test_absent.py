"""What PyTorch has and this package has not: each piece of advice runs here, and is right."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import autograd, nn, optim
from tinygrad_norm.absent import TABLES


def place(table: str) -> Any:
    """The module, or the class, that has no such name."""
    if table == "Tensor":
        return tn.Tensor
    return importlib.import_module(".".join(filter(None, ("tinygrad_norm", table))))


def known() -> dict[str, Any]:
    """What the advice speaks of."""
    rng = np.random.default_rng(0)
    parameter = nn.Parameter(tn.full((3,), 0.25))
    optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9)
    made = {"x": rng.normal(size=(4, 3)), "y": rng.normal(size=(4, 3)), "v": rng.normal(size=4),
            "m": rng.normal(size=(4, 4)), "p": rng.uniform(0.1, 0.9, (4, 3)),
            "image": rng.normal(size=(2, 4, 6, 6)), "seq": rng.normal(size=(2, 4, 6))}
    return {"tn": tn, "nn": nn, "optim": optim, "autograd": autograd, "np": np, "math": math,
            "lr_scheduler": optim.lr_scheduler, "i": tn.tensor([0, 1, 2, 3]),
            "model": nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), "parameter": parameter,
            "optimizer": optimizer, **{name: tn.tensor(value.astype("float32"))
                                       for name, value in made.items()}}


def run(advice: str) -> Any:
    """The value of the code, or None if it is statements."""
    code, names = advice.partition(" — ")[0], known()
    try:
        compiled = compile(code, code, "eval")
    except SyntaxError:
        return exec(code, names)
    return eval(compiled, names)


ROWS = [(table, name, advice) for table, entries in TABLES.items()
        for name, advice in entries.items()]


def test_none_of_them_is_here() -> None:
    """A name that has come to exist loses its entry."""
    for table, name, _ in ROWS:
        assert not hasattr(place(table), name), f"{table}.{name} exists"
    assert len(ROWS) > 300


def test_each_advice_runs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for table, name, advice in ROWS:
            if advice[0] != "—":
                try:
                    run(advice)
                except Exception as error:
                    raise AssertionError(f"{table}.{name}: {advice}") from error


@pytest.mark.parametrize(("call", "message"), [
    (lambda: tn.atan, r"^tinygrad_norm\.atan: not here; there is no inverse trigonometry"),
    (lambda: nn.GRU, r"^tinygrad_norm\.nn\.GRU: not here; there are no recurrent layers; write"),
    (lambda: tn.ones(2).topk, r"^Tensor\.topk: not here; use x\.gather\(1, x\.argsort"),
    (lambda: tn.Tensor.floor_, r"^Tensor\.floor_: not here; use x\.copy_\(x // 1\)$"),
    (lambda: nn.functional.one_hot, r"not here; use tn\.eye\(5, dtype=tn\.int64\)\[i\]$"),
    (lambda: optim.RMSprop, r"^tinygrad_norm\.optim\.RMSprop: not here; use optim\.Adam"),
    (lambda: tn.no_such_name, "^module 'tinygrad_norm' has no attribute 'no_such_name'$"),
    (lambda: tn.ones(2).no_such_name, "^'Tensor' object has no attribute 'no_such_name'$"),
])
def test_messages(call: Any, message: str) -> None:
    with pytest.raises(AttributeError, match=message):
        call()


def test_a_tensor_is_probed_as_before() -> None:
    x = tn.tensor([1.0, 2.0])
    assert not hasattr(x, "topk")
    assert not hasattr(x, "__array_interface__")
    assert getattr(x, "storage", None) is None
    assert "topk" not in dir(x)
    assert "argsort" in dir(x)
    assert copy.deepcopy(x).tolist() == copy.copy(x).tolist() == [1.0, 2.0]
    assert pickle.loads(pickle.dumps(x)).tolist() == [1.0, 2.0]
    assert dict(inspect.getmembers(tn.Tensor))["argsort"] is tn.Tensor.argsort
    assert "__getattr__" not in dir(tn.Tensor)


def test_a_wrapped_function_is_pickled_by_its_public_name() -> None:
    for function in (nn.functional.relu, nn.init.zeros_, tn.zeros):
        assert pickle.loads(pickle.dumps(function)) is function
