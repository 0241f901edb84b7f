"""One program in both libraries: outputs, and gradients of order 1 and 2, at 1e-10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor

import tinygrad_norm as tn

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
TOLERANCE = 1e-10


def close(got: Any, expected: Any, *, least: float = 1e-3) -> None:
    """Relative to the largest value of PyTorch's, or to ``least``."""
    got, expected = array(got), expected.detach().numpy()
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    scale = np.max(np.abs(expected), initial=least)
    np.testing.assert_allclose(got, expected, rtol=0, atol=float(TOLERANCE * scale))


def gradients(
    m: Any, y: Any, leaves: Sequence[Any], along: Sequence[Any], orders: int
) -> list[Any]:
    """Of y, weighted with the last leaf; and of their product with ``along``."""
    first = m.autograd.grad((y * leaves[-1]).sum(), leaves, create_graph=True, allow_unused=True)
    if orders == 1:
        return [x * 0 if g is None else g for g, x in zip(first, leaves, strict=True)]
    mixed = sum((g * v).sum() for g, v in zip(first, along, strict=True) if g is not None)
    second = m.autograd.grad(mixed, leaves, allow_unused=True)
    return [x * 0 if g is None else g for g, x in zip((*first, *second), [*leaves] * 2,
                                                      strict=True)]


def compare(
    run: Callable[..., Any], values: Sequence[np.ndarray],
    leaves_of: Callable[[Any], Sequence[Any]] = lambda m: (), seed: int = 0,
    orders: int = 2,
) -> None:
    """``run(m, *tensors)`` in both; ``leaves_of(m)`` is differentiated too."""
    random = np.random.default_rng(seed)
    results, outward, along = [], None, None
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        inputs = [make(v.copy()).requires_grad_() for v in values]
        y = run(m, *inputs)
        leaves = [*inputs, *leaves_of(m)]
        if outward is None:
            outward = random.standard_normal(tuple(y.shape))
            along = [random.standard_normal(tuple(x.shape)) for x in (*leaves, y)]
        leaves.append(make(outward.copy()).requires_grad_())
        results.append([y, *gradients(m, y, leaves, [make(v.copy()) for v in along],
                                      orders)])
    for got, expected in zip(*results, strict=True):
        close(got, expected)
