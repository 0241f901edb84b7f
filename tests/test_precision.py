"""Numbers that are easily lost: long sums, half precision, extremes, kinks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.nn import functional as F

MANY = 70_000
"""More ones than float16 can count."""
ONES, TENTHS = np.ones(MANY), np.full(MANY, 0.1)
PAIRS = np.full((MANY, 2), 0.1)
LOGITS = np.zeros((1, 2, 310, 310))
RANDOM = np.random.default_rng(0)
FAR = 1.6e7 + 3 * RANDOM.standard_normal((10, 2))


def same(x: Any, n: int = MANY) -> Any:
    """n times the number 0, as indices that lie where x lies."""
    return tn.zeros(n, dtype=tn.int64, device=x.device)


def labels(x: Any) -> Any:
    return tn.zeros(1, 310, 310, dtype=tn.int64, device=x.device)


def table(x: Any) -> Any:
    return F.embedding(same(x).reshape(-1, 2), x, scale_grad_by_freq=True)


NARROW: dict[str, tuple[str, Any, Any]] = {
    "mean": ("float16", lambda x: x.mean(), ONES),
    "mean dim": ("float16", lambda x: x.mean(0), PAIRS),
    "max": ("float16", lambda x: x.max(), ONES),
    "amin": ("float16", lambda x: x.amin(0), PAIRS),
    "logsumexp": ("float16", lambda x: x.logsumexp(0), ONES),
    "prod": ("float16", lambda x: x.prod(), np.array([1000, 1e-3, 1000, 1e-3])),
    "std": ("float16", lambda x: x.std(), np.array([0, 600, 0, 600])),
    "std large": ("float32", lambda x: x.std(0), np.array([[0, 1], [2e20, 1], [1e20, 4]])),
    "std small": ("float32", lambda x: x.std(), np.array([0, 1e-25, 0, 3e-25])),
    "std far": ("float32", lambda x: x.std(0), FAR),
    "var large": ("float32", lambda x: x.var(), np.repeat([3e18, -3e18], 50)),
    "var far": ("float32", lambda x: x.var(0, keepdim=True), FAR),
    "var_mean far": ("float32", lambda x: tn.stack(tn.var_mean(x, (0, 1))), FAR),
    "cumsum": ("float16", lambda x: x[:5000].cumsum(0)[-1], ONES),
    "cumsum of tenths": ("float32", lambda x: x.cumsum(0)[-1], TENTHS),
    "index": ("float16", lambda x: x[same(x, 5000)].mean(0), PAIRS[:3]),
    "index of many": ("float32", lambda x: (x[same(x)] * 0.1).sum(0), PAIRS[:3]),
    "gather": ("float32", lambda x: (x.gather(0, same(x)) * 0.1).sum(), TENTHS[:3]),
    "embedding": ("float16", lambda x: table(x).mean((0, 1)), PAIRS[:3]),
    "sum of the transposed": ("float32", lambda x: x.T.sum(-1), PAIRS),
    "einsum": ("float32", lambda x: tn.einsum("ij->j", x), PAIRS),
    "cross_entropy": ("float16", lambda x: F.cross_entropy(x, labels(x)), LOGITS),
    "cross_entropy, smoothed": ("float16", lambda x: F.cross_entropy(
        x, labels(x), label_smoothing=0.1), LOGITS),
    "cross_entropy of rows": ("float16", lambda x: F.cross_entropy(x, same(x)), PAIRS),
    "cross_entropy of probabilities": ("float16", lambda x: F.cross_entropy(
        x, x.detach() * 0 + 0.5), PAIRS),
    "nll_loss": ("float16", lambda x: F.nll_loss(x - 1, labels(x)), LOGITS),
    "mse_loss": ("float16", lambda x: F.mse_loss(x, 0 * x), np.array([300.0, 0, 0, 0])),
    "l1_loss": ("float16", lambda x: F.l1_loss(x, 2 * x, weight=0 * x + 1), ONES),
    "huber_loss": ("float16", lambda x: F.huber_loss(x, 0 * x, delta=500.0),
                   np.array([400.0, 0, 0, 0])),
    "smooth_l1_loss": ("float16", lambda x: F.smooth_l1_loss(x, 0 * x, beta=1e-9), ONES),
    "bce": ("float16", lambda x: F.binary_cross_entropy(x, x.detach()), TENTHS),
    "bce with logits": ("float16", lambda x: F.binary_cross_entropy_with_logits(
        x, 0 * x, pos_weight=0 * x + 1), ONES),
    "x * number": ("float16", lambda x: x * 65536 / 4096, np.array([0.5, 1e-3])),
    "number * x": ("float16", lambda x: 65536 * x / 4096, np.array([0.5, 3e-3])),
    "x / number": ("float16", lambda x: x / 100_000, np.array([1000.0, 3.0])),
    "number / x": ("float16", lambda x: 100_000 / x, np.array([1000.0, 3000.0])),
    "x - number": ("float16", lambda x: x - 70_000, np.array([60000.0, 65504.0])),
    "number + x": ("float16", lambda x: 70_000 + x, np.array([-60000.0, -6000.0])),
    "x ** number": ("float16", lambda x: x**1.0004, np.array([2000.0, 0.5])),
    "number ** x": ("float16", lambda x: 100_000**x, np.array([0.5, -0.25])),
    "alpha": ("float16", lambda x: (x - 40_000).add(x, alpha=65536).sub(x, alpha=-0.1) / 4096,
              np.array([0.5, 0.75])),
    "sum / count": ("float16", lambda x: x.sum() / tn.tensor(70_000, device=x.device),
                    np.array([60000.0, 3.0])),
    "x / counts": ("float16", lambda x: x / tn.tensor([70_000, 100_000], device=x.device),
                   np.array([1000.0, 3.0])),
    "scale * x": ("float16", lambda x: tn.tensor(65536.0, device=x.device) * x / 4096,
                  np.array([0.5, 1e-3])),
    "x /= count": ("float16", lambda x: (x * 1).div_(tn.tensor(70_000, device=x.device)),
                   np.array([1000.0, 3.0])),
    "leaky_relu": ("float16", lambda x: F.leaky_relu(x, 1e-8), np.array([-60000.0, 1.0])),
}
"""What sums, counts and squares lose in a narrow dtype: that dtype, a function, its input."""


@pytest.mark.parametrize("name", NARROW)
def test_a_result_is_rounded_once(name: str, device: str) -> None:
    """Values and gradients, without and with recording, against float64."""
    dtype, function, given = NARROW[name]
    x = tn.tensor(given, dtype=dtype, device=device, requires_grad=True)
    wide = x.detach().double().cpu().requires_grad_()
    expected = function(wide)
    (slope,) = tn.autograd.grad(expected, wide, tn.ones_like(expected))
    y = function(x)
    assert y.dtype == x.dtype
    smallest = float(np.finfo(dtype).smallest_subnormal)
    close = {"rtol": {"float16": 1e-3, "float32": 2e-6}[dtype], "atol": smallest}
    np.testing.assert_allclose(y.detach().double().cpu().numpy(), expected.detach().numpy(),
                               **close)
    for record in (False, True):
        (dx,) = tn.autograd.grad(y, x, tn.ones_like(y), retain_graph=True, create_graph=record)
        assert dx.dtype == x.dtype
        np.testing.assert_allclose(dx.detach().double().cpu().numpy(), slope.numpy(), **close)


def test_float16_beside_a_number_that_it_has_not(device: str) -> None:
    """What compares takes the nearest float16, as PyTorch; but infinite or 0 that never is."""
    x = tn.tensor([0.0, 0.1, np.inf], dtype=tn.float16, device=device)
    for found, expected in [
        (x == 0.1, [False, True, False]), (x >= 0.1, [False, True, True]),
        (x == 1e6, [False] * 3), (x > 1e6, [False, False, True]), (x != 1e6, [True] * 3),
        (x <= 1e6, [True, True, False]), (x < 1e-9, [True, False, False]),
    ]:
        assert found.tolist() == expected


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("dtype", "size"), [
    ("float32", 1e25), ("float32", 1e-25), ("float16", 60000.0)])
def test_gradients_of_any_size_are_limited(dtype: str, size: float, p: float, device: str) -> None:
    w = tn.zeros(2, dtype=dtype, device=device, requires_grad=True)
    w.grad = tn.tensor([size, 0.0], dtype=dtype, device=device)
    before = w.grad.double().cpu()[0].item()
    norm = nn.utils.clip_grad_norm_(w, 1e-4, p).double().item()
    assert norm == pytest.approx(before, rel=1e-6)
    assert w.grad.double().cpu()[0].item() == pytest.approx(min(before, 1e-4), rel=2e-3)


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
