"""What may be done to the input of each normalization, and what not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from norm_cases import array, tensor

import tinygrad_norm as tn
from tinygrad_norm.proof.catalogue import ENTRIES, Entry
from tinygrad_norm.proof.forms import every
from tinygrad_norm.proof.invariances import (
    IMPLIES,
    INVARIANCES,
    OWN,
    WEIGHT,
    declared,
    described,
)

PARAMETRIZED = [e for e in ENTRIES if {*OWN}.intersection(e.invariances)]
"""Those that normalize a weight; the others normalize their input."""


def each(entries: list[Entry]) -> Any:
    return pytest.mark.parametrize("entry", entries, ids=[e.name for e in entries])


EPS = 1e-13


def prepared(entry: Entry) -> Any:
    """As it is made, in float64, with an eps that a factor of the input does not feel."""
    tn.manual_seed(0)
    layer = entry.make(True, dtype=tn.float64)
    for module in layer.modules():
        if hasattr(module, "eps"):
            module.eps = EPS
    return layer


def output(layer: Any, *inputs: np.ndarray) -> np.ndarray:
    with tn.autograd.keep_statistics(), tn.no_grad():
        return array(layer(*(tensor(x) for x in inputs)))


def difference(entry: Entry, name: str, seed: int) -> float:
    """The largest difference of the outputs, of the size of 1."""
    random = np.random.default_rng(seed)
    layer = prepared(entry)
    x, *rest = entry.inputs(random)
    changed, answer = INVARIANCES[name].change(x, random)
    expected = answer(output(layer, x, *rest))
    return float(np.abs(output(layer, changed, *rest) - expected).max())


@each(every())
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_what_is_declared_holds(entry: Entry, seed: int) -> None:
    for name in entry.invariances:
        if name in INVARIANCES:
            assert difference(entry, name, seed) < 1e-8, name


@each(every())
def test_nothing_else_holds(entry: Entry) -> None:
    """So the declaration is complete, and the test above can fail."""
    flat = entry.inputs(np.random.default_rng(0))[0].ndim == 2
    for name in INVARIANCES:
        if flat and name == "position permutation":
            continue  # there are no positions
        if name not in entry.invariances:
            assert max(difference(entry, name, seed) for seed in range(5)) > 1e-3, name


def with_another_weight(entry: Entry, name: str, seed: int) -> float:
    """As :func:`difference`, of a change of the weight that is normalized."""
    random = np.random.default_rng(seed)
    layer = prepared(entry)
    (x,) = entry.inputs(random)
    before = output(layer, x)
    parts = layer.parametrizations.weight
    weight = parts.original1 if entry.name == "weight_norm" else parts.original
    changed, answer = OWN[name].change(array(weight), random)
    weight.detach().copy_(tensor(changed))
    return float(np.abs(output(layer, x) - answer(before)).max())


@each(PARAMETRIZED)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_what_is_declared_of_the_weight_holds(entry: Entry, seed: int) -> None:
    for name in entry.invariances:
        if name in OWN:
            assert with_another_weight(entry, name, seed) < 1e-8, name


@each(PARAMETRIZED)
def test_nothing_else_holds_of_the_weight(entry: Entry) -> None:
    for name in OWN:
        if name not in entry.invariances:
            assert max(with_another_weight(entry, name, seed) for seed in range(5)) > 1e-3, name


def test_these_normalize_a_weight() -> None:
    assert [e.name for e in PARAMETRIZED] == [
        "weight_norm", "spectral_norm", "weight_standardization"]


@each(ENTRIES)
def test_what_follows_is_declared_too(entry: Entry) -> None:
    assert entry.invariances == declared(*entry.invariances)
    assert {*entry.invariances} <= {*INVARIANCES, *WEIGHT, *OWN}
    assert {*IMPLIES} <= {*INVARIANCES, *WEIGHT, *OWN}


@pytest.mark.parametrize(("names", "text"), [
    (("channel shift", "channel scale"), "shift and scale of each channel"),
    (("channel shift", "scale", "sample permutation", "position permutation"),
     "shift of each channel; scale of the input; permutation of samples, positions"),
    (("row shift", "row scale"), "shift and scale of each row of the weight"),
    (("sample shift", "row shift", "scale"),
     "shift of each sample and each row of the weight; scale of the input"),
    (("W scale",), "scale of the weight"),
    ((), ""),
])
def test_in_words(names: tuple[str, ...], text: str) -> None:
    assert described(declared(*names)) == text


@each([e for e in ENTRIES if e not in PARAMETRIZED])
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.3, 5))
@settings(max_examples=10, deadline=None)
def test_the_weight_before_it(entry: Entry, seed: int, factor: float) -> None:
    """Its scale does not matter, so its gradient is orthogonal to it; or neither is true."""
    random = np.random.default_rng(seed)
    layer = prepared(entry)
    x, *rest = entry.inputs(random)
    linear = random.standard_normal((x.shape[-1], x.shape[-1])) + 2 * np.eye(x.shape[-1])
    dy = random.standard_normal(output(layer, x, *rest).shape)
    results = []
    for scale in (1.0, factor):
        weight = tensor(scale * linear, grad=True)
        with tn.autograd.keep_statistics():
            y = layer(tensor(x) @ weight, *(tensor(r) for r in rest))
        (gradient,) = tn.autograd.grad(y, weight, tensor(dy))
        results.append((array(y), (array(gradient) * array(weight)).sum()))
    if "weight scale" in entry.invariances:
        np.testing.assert_allclose(results[1][0], results[0][0], atol=1e-8)
        np.testing.assert_allclose([r[1] for r in results], 0, atol=1e-8)
    elif abs(factor - 1) > 0.1:
        assert np.abs(results[1][0] - results[0][0]).max() > 1e-6
