"""How a linear operation's gradient is checked without a tolerance.

For y = f(x) linear in x, Σ f(v) dy = Σ v f*(dy) for all v and dy, where f* is what backward
computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings

import tinygrad_norm as tn

repeatable = settings(
    deadline=None, max_examples=100, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
"""Settings of hypothesis: the same examples in each run, and no time limit for one."""


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Small integers as float64: sums and products of them are exact in any order."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float64)


def check(function: Callable[..., Any], expected: np.ndarray, *inputs: np.ndarray) -> None:
    """The value, and that backward is the adjoint, of a function linear in each input."""
    xs = [tn.tensor(x, requires_grad=True) for x in inputs]
    y = function(*xs)
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    dy = tn.tensor(numbers(y.shape, 9))
    for create_graph in (False, True):
        gradients = tn.autograd.grad(y, xs, dy, retain_graph=True, create_graph=create_graph)
        for i, (x, g) in enumerate(zip(xs, gradients, strict=True)):
            assert g.shape == x.shape
            assert g.array.flags.writeable or not g.numel()
            v = tn.tensor(numbers(x.shape, 5 + i))
            moved = function(*(v if j == i else x.detach() for j, x in enumerate(xs)))
            assert (moved * dy).sum().item() == (v * g).sum().item()
