"""Copies and state dicts of layers that wait for their size."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from lazy_cases import KINDS, first, kinds, make, names
from norm_cases import array

import tinygrad_norm as tn


@kinds
def test_copies_before_the_first_input(name: str) -> None:
    """They wait for a size of their own."""
    lazy = make(name, dtype=tn.float64).requires_grad_(False)
    for other in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        assert type(other) is type(lazy)
        assert names(other) == names(lazy)
        assert other.weight is not lazy.weight
        other(first(name))
        assert type(other) is KINDS[name][0]
        assert (other.weight.dtype, other.weight.requires_grad) == (tn.float64, False)
        assert type(lazy).__name__ == name
    both = tn.nn.ModuleList([lazy, lazy])
    twice = copy.deepcopy(both)
    assert twice[0] is twice[1]


@kinds
def test_a_state_dict_gives_the_size(name: str, device: str) -> None:
    """At once: the layer is the plain one, with the values of the state dict."""
    source = make(name, dtype=tn.float64)
    source(first(name))
    lazy = make(name, device=device)
    held = [*lazy.parameters(), *lazy.buffers()]
    result = lazy.load_state_dict(source.state_dict())
    assert result == ([], [])
    assert type(lazy) is KINDS[name][0]
    assert repr(lazy) == repr(source)
    for key, value in source.state_dict().items():
        got = lazy.state_dict()[key]
        assert got.device.type == device
        assert got.dtype == (tn.float32 if value.is_floating_point() else value.dtype)
        np.testing.assert_allclose(array(got), array(value), rtol=1e-6)
    assert all(one is other for one, other in zip(
        held, [*lazy.parameters(), *lazy.buffers()], strict=True))


def test_inside_a_model_and_from_arrays() -> None:
    net = tn.nn.Sequential(tn.nn.LazyLinear(4), tn.nn.LazyBatchNorm1d(), tn.nn.LazyLinear(2))
    net(tn.randn(5, 3))
    other = tn.nn.Sequential(tn.nn.LazyLinear(4), tn.nn.LazyBatchNorm1d(), tn.nn.LazyLinear(2))
    other.load_state_dict({key: array(value) for key, value in net.state_dict().items()})
    assert repr(other) == repr(net)
    x = tn.randn(5, 3)
    np.testing.assert_array_equal(array(other.eval()(x)), array(net.eval()(x)))


BAD_STATES: dict[str, tuple[dict[str, Any], str]] = {
    "two sizes": ({"0.weight": tn.ones(3), "0.bias": tn.ones(4)},
                  "size mismatch for 0.bias: expected (3,), got (4,)"),
    "rank": ({"0.weight": tn.ones(2, 3)},
             "size mismatch for 0.weight: expected a shape that tells a lazy layer its size, got "
             "(2, 3)"),
    "kind": ({"0.weight": [1.0, 2.0]}, "0.weight: expected a tensor or an array, got list"),
    "missing": ({"0.weight": tn.ones(3), "0.bias": tn.ones(3)},
                "Missing key(s) in state_dict: 0.running_mean, 0.running_var, "
                "0.num_batches_tracked"),
}


@pytest.mark.parametrize(("state", "message"), BAD_STATES.values(), ids=BAD_STATES)
def test_a_state_dict_that_does_not_fit_changes_nothing(
    state: dict[str, Any], message: str
) -> None:
    lazy = tn.nn.Sequential(tn.nn.LazyBatchNorm1d())
    before = names(lazy)
    with pytest.raises(RuntimeError) as caught:
        lazy.load_state_dict(state)
    assert message in str(caught.value)
    assert names(lazy) == before
    lazy(tn.randn(4, 5))
    assert lazy[0].num_features == 5


def test_part_of_a_state_dict() -> None:
    """The rest has its initial values."""
    lazy = tn.nn.LazyBatchNorm1d()
    lazy.load_state_dict({"running_mean": tn.tensor([1.0, 2.0])}, strict=False)
    assert type(lazy) is tn.nn.BatchNorm1d
    assert array(lazy.weight).tolist() == [1, 1]
    assert array(lazy.running_mean).tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="bias: expected a shape that tells a lazy layer"):
        tn.nn.LazyLinear(2).load_state_dict({"bias": tn.ones(2)}, strict=False)


def test_a_state_dict_without_values() -> None:
    """A lazy layer takes it, and stays lazy; a plain one does not."""
    empty = tn.nn.LazyBatchNorm1d().state_dict()
    lazy = tn.nn.LazyBatchNorm1d()
    lazy.load_state_dict(empty)
    assert type(lazy) is tn.nn.LazyBatchNorm1d
    with pytest.raises(RuntimeError, match=(
            "weight: expected a tensor or an array, got UninitializedParameter")):
        tn.nn.BatchNorm1d(3).load_state_dict(empty)
