"""nn.normalization.equivalences: each statement holds, and would not hold of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from norm_cases import array

import tinygrad_norm as tn
from tinygrad_norm.nn.normalization import equivalences
from tinygrad_norm.proof.equivalence import Equivalence

EVERY = equivalences()
each = pytest.mark.parametrize("one", EVERY, ids=[e.name for e in EVERY])


@each
def test_they_are_equal(one: Equivalence, device: str) -> None:
    """Values and, where it says so, gradients of order 1 and 2, from two inputs."""
    for seed in range(2):
        x = one.input(seed).detach().to(device=device).requires_grad_()
        assert one.difference(x) <= one.tolerance


@each
def test_the_two_sides_are_not_one_and_leave_everything(one: Equivalence) -> None:
    """What is compared depends on x, and neither x nor the random numbers change."""
    assert one.left is not one.right
    x, other = one.input(0), one.input(1)
    before, state = array(x).copy(), tn.get_rng_state().tolist()
    one.difference(x)
    assert (array(x) == before).all()
    assert tn.get_rng_state().tolist() == state
    assert not np.allclose(array(one.left(x)), array(one.left(other)), atol=1e-3)


def test_a_difference_is_seen_in_values_gradients_and_shapes() -> None:
    one = EVERY[0]
    assert replace(one, right=lambda x: one.right(x) * 1.01).difference() > 1e-3
    assert replace(one, right=lambda x: one.right(x.detach()) + 0 * x).difference() > 0.1
    assert replace(one, right=lambda x: one.right(x)[:1]).difference() == float("inf")


def test_where_only_values_agree_the_gradients_do_not() -> None:
    """Otherwise the table would say less than is true."""
    for one in EVERY:
        if not one.gradients and one.tolerance == 1e-12:
            assert replace(one, gradients=True).difference() > 1e-3


def test_the_text() -> None:
    text = str(EVERY)
    assert repr(EVERY) == text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    names = [line for line in lines if not line.startswith(" ")]
    assert names == [e.name for e in EVERY]
    assert ("IterNorm = ZCA whitening\n    in the limit of large T, in training; of values; to "
            "1e-10\n") in text


def test_every_layer_is_in_the_table() -> None:
    """All that the package exports, but Lazy forms, forms for images and volumes, and helpers."""
    text = str(EVERY).replace("-", "")
    for name in tn.nn.normalization.__all__:
        if name[0].isupper() and not name.startswith("Lazy"):
            stem = name.removesuffix("1d").removesuffix("2d").removesuffix("3d")
            assert stem in text or stem == "FiLM", name
