"""local_response_norm and normalize against PyTorch."""

from __future__ import annotations

import inspect
import itertools
import math
from typing import Any

import numpy as np
import pytest
from norm_cases import array, tensor
from torch_compare import close, compare, torch

import tinygrad_norm as tn
import tinygrad_norm.nn.functional

RANDOM = np.random.default_rng(5)
SHAPES = {"1d": (2, 7, 3), "2d": (2, 5, 2, 3), "3d": (1, 4, 2, 1, 3)}
X = {name: RANDOM.standard_normal(shape) * 3 + 1 for name, shape in SHAPES.items()}


# -- local response normalization -------------------------------------------------------------

@pytest.mark.parametrize("form", X)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 20])
@pytest.mark.parametrize("options", [
    {}, {"alpha": 0.7}, {"alpha": 0.5, "beta": 1.5, "k": 2.0}, {"alpha": 1, "beta": 1, "k": 0.1},
], ids=str)
def test_local_response_norm(form: str, size: int, options: dict[str, Any]) -> None:
    """Odd and even sizes, and such that reach beyond all channels."""
    compare(lambda m, x: m.nn.functional.local_response_norm(x, size, **options), [X[form]])
    compare(lambda m, x: m.nn.LocalResponseNorm(size, **options)(x), [X[form]])


def test_local_response_norm_as_a_module() -> None:
    for arguments in ((3,), (5, 5e-4, 0.5, 2.0)):
        ours, theirs = (m.nn.LocalResponseNorm(*arguments) for m in (tn, torch))
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict()) == []


def test_an_empty_batch() -> None:
    for name in ("local_response_norm", "normalize"):
        got, expected = (getattr(m.nn.functional, name)(m.zeros((0, 3, 2)), 2)
                         for m in (tn, torch))
        assert tuple(got.shape) == tuple(expected.shape) == (0, 3, 2)


# -- normalize --------------------------------------------------------------------------------

DIMS = [1, 0, -1, (0, 1), (1, -1)]
NORMS = [2.0, 2, 1, 3, 4.0, 1.5, 0.5, 7.3, 0, 0.0, math.inf]


@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("p", NORMS, ids=str)
def test_normalize(p: float, dim: Any) -> None:
    x = X["1d"]
    compare(lambda m, x: m.nn.functional.normalize(x, p, dim), [x])
    compare(lambda m, x: m.nn.functional.normalize(x, p=p, dim=dim, eps=1e3), [x])
    scaled = x * np.logspace(-2, 2, x.shape[-1])  # some below eps, some above
    compare(lambda m, x: m.nn.functional.normalize(x, p=p, dim=dim, eps=5.0), [scaled])


@pytest.mark.parametrize("p", [2.0, 1, 3, 1.5, 0.5, 0, math.inf], ids=str)
def test_normalize_at_zero(p: float) -> None:
    """The zero vector is 0, its gradient dy/eps; PyTorch says so too."""
    x = np.zeros((2, 3))
    x[1] = [1.0, -2.0, 0.5]
    results = []
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        leaf = make(x.copy()).requires_grad_()
        y = m.nn.functional.normalize(leaf, p)
        y.backward(make(np.ones((2, 3))))
        results.append((y, leaf.grad))
    for got, expected in zip(*results, strict=True):
        close(got, expected)
    np.testing.assert_array_equal(array(results[0][1])[0], 1 / np.float64(1e-12))


@pytest.mark.parametrize("p", [2.0, 4, 3, math.inf, 0.5, 1], ids=str)
def test_normalize_of_vectors_with_zeros_in_them(p: float) -> None:
    """First order: at |x| = 0 itself PyTorch's second derivatives are not always finite."""
    x = np.array([[0.0, 3.0, -4.0], [0.0, 0.0, 2.0]])
    dy = np.array([[1.0, -2.0, 0.7], [0.3, 0.5, 1.5]])
    results = []
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        leaf = make(x.copy()).requires_grad_()
        y = m.nn.functional.normalize(leaf, p)
        y.backward(make(dy))
        results.append((y, leaf.grad))
    for got, expected in zip(*results, strict=True):
        close(got, expected)


def test_arguments() -> None:
    """PyTorch's, but for ``out`` of normalize, which writes where nothing is recorded."""
    for name, without in (("local_response_norm", ()), ("normalize", ("out",))):
        ours, theirs = (
            [(p.name, p.default) for p in inspect.signature(getattr(F, name)).parameters.values()
             if p.name not in without] for F in (tn.nn.functional, torch.nn.functional))
        assert ours == theirs
    ours, theirs = (list(inspect.signature(m.nn.LocalResponseNorm.__init__).parameters.values())
                    for m in (tn, torch))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("x", [np.ones((4, 3)), np.ones(3)], ids=["2d", "1d"])
def test_local_response_norm_needs_channels_and_places(x: np.ndarray) -> None:
    for m, make in ((tn, tensor), (torch, torch.from_numpy)):
        with pytest.raises(ValueError, match=r"Expected 3D or higher dimensionality +input"):
            m.nn.functional.local_response_norm(make(x), 2)


@pytest.mark.parametrize(("dims", "p"), [*itertools.product([0, 1], [2.0, 1.0])])
def test_wrong_kinds_are_refused_by_both(dims: int, p: float) -> None:
    for m in (tn, torch):
        with pytest.raises((RuntimeError, TypeError)):
            m.nn.functional.normalize(m.ones((3, 2), dtype=m.int64), p, dims)
        with pytest.raises(IndexError):
            m.nn.functional.normalize(m.ones(3), p, 1 + dims)
