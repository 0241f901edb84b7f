"""Initial values, and gradients clipped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict

import tinygrad_norm as tn
from tinygrad_norm import nn
from tinygrad_norm.backend.array import to_numpy
from tinygrad_norm.nn.utils import clip_grad_norm_, clip_grad_value_

# -- initial values -----------------------------------------------------------------------------


def test_truncated_normals_stay_inside_also_far_out() -> None:
    for a, b in ((-2.0, 2.0), (0.5, 0.6), (5.0, math.inf), (-9.0, -6.0), (30.0, 1e9)):
        values = nn.init.trunc_normal_(tn.empty(2000, dtype=tn.float64), a=a, b=b).numpy()
        assert ((values >= a) & (values <= b)).all()
    far = nn.init.trunc_normal_(tn.empty(20000), a=5.0, b=9.0).numpy()
    assert far.mean() == pytest.approx(5.1865, abs=0.01)  # φ(5)/(1 - Φ(5))


def test_init_writes_are_noticed_and_reach_every_device(device: str) -> None:
    layer = nn.Linear(3, 2, device=device)
    y = layer(tn.ones(1, 3, device=device, requires_grad=True)).sum()
    nn.init.ones_(layer.weight)
    assert to_numpy(layer.weight.array).tolist() == [[1] * 3] * 2
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()
    results = []
    for place in ("cpu", device):
        w = tn.zeros(2, 3, device=place)
        nn.init.kaiming_normal_(w, generator=tn.Generator().manual_seed(1))
        results.append(to_numpy(w.array).tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = nn.init.orthogonal_(tn.zeros(*shape), gain=2.0).numpy().reshape(shape[0], -1)
    small = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-5)


# -- clipping -----------------------------------------------------------------------------------


def with_gradients(*gradients: Any, device: str = "cpu", dtype: str = "float32") -> list[Any]:
    parameters = []
    for values in gradients:
        g = None if values is None else tn.tensor(values, device=device, dtype=dtype)
        shape = (1,) if g is None else g.shape
        p = nn.Parameter(tn.zeros(*shape, device=device, dtype=dtype))
        p.grad = g
        parameters.append(p)
    return parameters


def gradients(parameters: list[Any]) -> list[Any]:
    return [to_numpy(p.grad.array).tolist() for p in parameters if p.grad is not None]


def test_clip_grad_norm(device: str) -> None:
    ps = with_gradients([3.0], None, [[0.0, 4.0]], device=device)
    held = ps[0].grad
    before = strict.traffic["out"], strict.traffic["item"]
    total = clip_grad_norm_(ps, 1.0)
    assert (strict.traffic["out"], strict.traffic["item"]) == before  # nothing waits
    assert (total.item(), total.shape, total.device) == (5.0, (), ps[0].device)
    assert ps[0].grad is held
    np.testing.assert_allclose(to_numpy(held.array), [0.6], rtol=1e-6)
    np.testing.assert_allclose(to_numpy(ps[2].grad.array), [[0, 0.8]], rtol=1e-6)
    assert clip_grad_norm_((p for p in ps), 2.0).item() == pytest.approx(1)
    np.testing.assert_allclose(to_numpy(held.array), [0.6], rtol=1e-6)


def test_clip_grad_norm_of_the_largest_value_and_of_one_tensor(device: str) -> None:
    (p,) = with_gradients([3.0, -6.0], device=device)
    assert clip_grad_norm_(p, 3, norm_type=math.inf).item() == 6
    np.testing.assert_allclose(to_numpy(p.grad.array), [1.5, -3], rtol=1e-6)
    assert clip_grad_norm_(p, 9.0, "inf").item() == pytest.approx(3)
    assert clip_grad_norm_(p, 9.0, norm_type=1).item() == pytest.approx(4.5)


def test_clip_grad_norm_without_gradients() -> None:
    assert clip_grad_norm_(with_gradients(None), 1.0).item() == 0
    assert clip_grad_norm_([], 1.0).shape == ()
    (p,) = with_gradients(np.zeros((0, 3)))
    assert clip_grad_norm_(p, 1.0, math.inf).item() == 0


def test_clip_grad_norm_in_float16_does_not_overflow() -> None:
    ps = with_gradients([200.0] * 10, [200.0] * 10, dtype="float16")
    total = clip_grad_norm_(ps, 1.0)
    assert total.dtype == tn.float16
    assert total.item() == pytest.approx(200 * math.sqrt(20), rel=1e-3)
    assert gradients(ps)[0][0] == pytest.approx(1 / math.sqrt(20), rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clip_grad_norm_of_what_is_not_finite(bad: float, device: str) -> None:
    ps = with_gradients([1.0], [bad], device=device)
    with pytest.raises(RuntimeError, match=r"clip_grad_norm_: the total norm of order 2.0 is "
                                           r"(nan|inf), so gradients cannot be clipped"):
        clip_grad_norm_(ps, 1.0, error_if_nonfinite=True)
    assert gradients(ps)[0] == [1.0]
    clip_grad_norm_(with_gradients([1.0], [math.nan], device=device), 1.0)


def test_clip_grad_value(device: str) -> None:
    ps = with_gradients([3.0, -0.2], None, [-4.0], device=device)
    held = ps[0].grad
    assert clip_grad_value_(ps, 0.5) is None
    assert ps[0].grad is held
    np.testing.assert_allclose(to_numpy(held.array), [0.5, -0.2], rtol=1e-6)
    assert gradients(ps)[1] == [-0.5]


@pytest.mark.parametrize("clip", [lambda p: clip_grad_norm_(p, 0.1),
                                  lambda p: clip_grad_value_(p, 0.1)])
def test_clipping_is_noticed_by_a_graph_that_holds_the_gradient(clip: Callable[..., Any]) -> None:
    (p,) = with_gradients([3.0])
    x = tn.ones(1, requires_grad=True)
    y = (x * p.grad).sum()
    clip(p)
    with pytest.raises(RuntimeError, match="inplace"):
        y.backward()
