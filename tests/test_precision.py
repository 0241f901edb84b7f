"""Numbers that are easily lost: long sums, half precision, extremes, kinks."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_norm as tn


def test_sums_along_the_first_axis_keep_their_digits() -> None:
    """NumPy adds rows one by one: the mean of 2¹⁷ float32 values near 1000 is off by 0.1."""
    random = np.random.default_rng(0)
    exact = random.normal(1000, 1, (2**17, 2)).astype(np.float32)
    wide = exact.astype(np.float64)
    for layout in (exact, np.asfortranarray(exact), exact[:, ::-1]):
        x = tn.from_numpy(layout)
        order = slice(None, None, -1) if layout is not exact and not layout.flags.f_contiguous \
            else slice(None)
        for keepdim in (False, True):
            np.testing.assert_allclose(x.sum(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.sum(0)[order], rtol=2e-7)
            np.testing.assert_allclose(x.mean(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.mean(0)[order], rtol=2e-7)
            np.testing.assert_allclose(x.var(0, keepdim=keepdim).numpy().reshape(2),
                                       wide.var(0, ddof=1)[order], rtol=1e-5)
    for create_graph in (False, True):  # and the gradient of what was broadcast
        b = tn.zeros(2, requires_grad=True)
        c = tn.zeros(1, 2, requires_grad=True)
        x = tn.from_numpy(exact)
        for g in tn.autograd.grad(b + c + x, [b, c], x, create_graph=create_graph):
            np.testing.assert_allclose(g.detach().numpy().reshape(2), wide.sum(0), rtol=2e-7)
    x = tn.from_numpy(exact.reshape(2**9, 2**8, 2))
    np.testing.assert_allclose(x.mean((0, 1)).numpy(), wide.mean(0), rtol=2e-7)
    np.testing.assert_allclose(x.std((0, 1)).numpy(), wide.std(0, ddof=1), rtol=1e-5)


def test_float16_reduces_in_float32() -> None:
    x = tn.full((5000,), 30.0, dtype=tn.float16)
    assert x.mean().item() == 30
    assert tn.full((4000,), 1.0, dtype=tn.float16).sum().item() == 4000
    y = tn.tensor(np.tile([-100.0, 100.0], 1000), dtype=tn.float16)
    assert y.var(correction=0).item() == 10000
    assert y.std(correction=0).item() == 100
    assert y.std().dtype == tn.float16


def test_extremes_neither_overflow_nor_vanish() -> None:
    far = tn.tensor([-1000.0, -30.0, 0.0, 30.0, 1000.0], dtype=tn.float64, requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        for y in (far.sigmoid(), far.softmax(0), far.log_softmax(0), far.logsumexp(0), far.tanh(),
                  far.erf(), far.relu()):
            (g,) = tn.autograd.grad(y.sum(), far)
            assert np.isfinite(y.detach().numpy()).all()
            assert np.isfinite(g.numpy()).all()
    tiny = tn.tensor([1e-12], dtype=tn.float64)
    assert tiny.expm1().item() == pytest.approx(1e-12, rel=1e-12)
    assert tiny.log1p().item() == pytest.approx(1e-12, rel=1e-12)
    assert tn.tensor(-1000.0).exp().item() == 0
    assert tn.full((2,), -np.inf).logsumexp(0).item() == -np.inf
    assert tn.tensor([np.inf, 0.0]).logsumexp(0).item() == np.inf
    assert tn.zeros(0).mean().isnan()
    assert tn.ones(1).var().isnan()


def test_kinks_and_zeros_have_finite_gradients() -> None:
    for function in (lambda x: x.abs(), lambda x: x.relu(), lambda x: x.sign(), lambda x: x**2.0,
                     lambda x: x ** tn.full((3,), 3.0, dtype=tn.float64), lambda x: x**0,
                     lambda x: x.prod(), lambda x: x.std(), lambda x: x.clamp(0, 0),
                     lambda x: tn.maximum(x, -x), lambda x: x.amax(), lambda x: 2**x):
        x = tn.zeros(3, dtype=tn.float64, requires_grad=True)
        s = function(x).sum()
        for _ in range(3):
            if not s.requires_grad:
                break
            (g,) = tn.autograd.grad(s, x, create_graph=True, materialize_grads=True)
            assert np.isfinite(g.detach().numpy()).all()
            s = (g * tn.tensor([1.0, 2.0, 3.0], dtype=tn.float64)).sum()
