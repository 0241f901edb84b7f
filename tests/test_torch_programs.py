"""Programs drawn at random do here what they do in PyTorch, or are refused.

Operations, views, copies and writes in place are mixed, recorded and not. A stale value must never
give a wrong gradient: either both libraries agree at first and second order, or one of them raises
(here a recorded write through a view is refused; in PyTorch a recorded write after a use is an
error that needs none here).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn

torch = pytest.importorskip("torch")

SHAPE = (2, 3)


def fit(a: Any) -> Any:
    """Something that goes with a tensor of SHAPE."""
    shape = tuple(a.shape)
    return a.T if shape == SHAPE[::-1] else a if shape in (SHAPE, SHAPE[1:], ()) else a.sum()


def index_write(a: Any, b: Any) -> None:
    if a.ndim:
        a[..., 0] = b.sum() * 0.1


WRITES: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a.add_(0.25), lambda a, b: a.mul_(1.1), lambda a, b: a.clamp_(0.3, 2.0),
    lambda a, b: a.mul_(b if a.shape == b.shape else 0.9),
    lambda a, b: a.copy_(b) if a.shape == b.shape else a.fill_(0.7), index_write,
    lambda a, b: a.detach().mul_(0.8),
]


def recorded(write: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], None]:
    def step(m: Any, a: Any, b: Any) -> None:
        write(a, b)

    return step


def unrecorded(write: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], None]:
    def step(m: Any, a: Any, b: Any) -> None:
        with m.no_grad():
            write(a, b)

    return step


def fresh(m: Any, a: Any, b: Any) -> Any:
    z = m.zeros(SHAPE, dtype=m.float64)
    z[0] = fit(a).sum()
    z += fit(b)
    return z


def gradient(m: Any, a: Any, b: Any) -> Any:
    s = a.sum() * b.sum()
    if not s.requires_grad:
        return None
    sources = [t for t in (a, b) if t.requires_grad]
    return m.autograd.grad(s, sources, create_graph=True)[0] * 1  # PyTorch's may be expanded


STEPS: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: fit(a) * fit(b), lambda m, a, b: fit(a) + fit(b),
    lambda m, a, b: (a * 0.3).exp(), lambda m, a, b: a.square() * 0.5,
    lambda m, a, b: (a * a + 0.5).sqrt(), lambda m, a, b: a.sum(), lambda m, a, b: a.clone(),
    lambda m, a, b: m.where(fit(a) > 0.9, fit(a), fit(b)),
    lambda m, a, b: a.reshape(-1), lambda m, a, b: a[0] if a.ndim else a * 1,
    lambda m, a, b: a[..., 1:] if a.ndim else None, lambda m, a, b: a.T if a.ndim == 2 else None,
    lambda m, a, b: a.detach(), lambda m, a, b: a.expand(2, *a.shape).sum(0),
    lambda m, a, b: a[m.tensor([0, -1, 0])] if a.ndim else None,
    lambda m, a, b: m.cat([a, b]).sum(0) if a.shape == b.shape and a.ndim else None,
    lambda m, a, b: (a @ b.T) * 0.3 if a.shape == b.shape and a.ndim == 2 else None,
    fresh, gradient,
    *map(recorded, WRITES), *map(unrecorded, WRITES),
]


def run(m: Any, seed: int) -> Any:
    """The last value, and the gradients of order 1 and 2; or the error."""
    draw, numbers = random.Random(seed), np.random.default_rng(seed)
    x, w, c = (m.tensor(numbers.uniform(0.5, 1.5, SHAPE), requires_grad=i < 2) for i in range(3))
    pool = [x, w, c, x * w]
    try:
        for _ in range(draw.randint(2, 9)):
            step, a, b = draw.choice(STEPS), draw.choice(pool), draw.choice(pool)
            made = step(m, a, b)
            if made is not None:
                pool.append(made)
        s = sum((p * p).sum() * (i + 1) * 0.01 for i, p in enumerate(pool))
        first = m.autograd.grad(s, [x, w], create_graph=True, allow_unused=True)
        again = sum((g * g).sum() for g in first if g is not None)
        second = (m.autograd.grad(again, [x, w], allow_unused=True)
                  if isinstance(again, type(s)) and again.requires_grad else (None, None))
    except RuntimeError as error:
        return error
    return [None if g is None else g.detach().numpy() for g in (s, *first, *second)]


def test_programs() -> None:
    agreed = 0
    for seed in range(1500):
        ours, theirs = run(tn, seed), run(torch, seed)
        if isinstance(ours, RuntimeError) or isinstance(theirs, RuntimeError):
            continue
        agreed += 1
        for a, b in zip(ours, theirs, strict=True):
            if a is None or b is None:  # a gradient that is zero may be left out
                assert not np.any(b if a is None else a), f"seed {seed}"
            else:
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10, err_msg=f"seed {seed}")
    assert agreed > 400
