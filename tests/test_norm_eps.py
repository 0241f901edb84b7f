"""eps as a NumPy number: it is a setting, and does not widen float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_norm as tn
import tinygrad_norm.nn.functional as F

EPS = np.float64(1e-5)
X = tn.randn(4, 6, 5)
ONE = tn.ones(6)

FUNCTIONS: dict[str, Callable[[], Any]] = {
    "batch_norm": lambda: F.batch_norm(X, None, None, training=True, eps=EPS),
    "batch_norm in eval": lambda: F.batch_norm(X, ONE * 0, ONE, eps=EPS),
    "batch_renorm": lambda: F.batch_renorm(X, tn.zeros(6), tn.ones(6), training=True, eps=EPS),
    "ghost_batch_norm": lambda: F.ghost_batch_norm(X, None, None, training=True, eps=EPS,
                                                   ghost_batch_size=2),
    "sync_batch_norm": lambda: tn.nn.SyncBatchNorm(6, EPS)([X, X])[0],
    "instance_norm": lambda: F.instance_norm(X, eps=EPS),
    "group_norm": lambda: F.group_norm(X, 2, eps=EPS),
    "layer_norm": lambda: F.layer_norm(X, (5,), eps=EPS),
    "rms_norm": lambda: F.rms_norm(X, (5,), eps=EPS),
    "scale_norm": lambda: F.scale_norm(X, (5,), eps=EPS),
    "normalize": lambda: F.normalize(X, eps=EPS),
    "filter_response_norm": lambda: F.filter_response_norm(X, eps=EPS),
    "filter_response_norm with a learned eps": lambda: F.filter_response_norm(
        X, learned_eps=tn.tensor(0.1), eps=EPS),
    "iter_norm": lambda: F.iter_norm(X, None, None, training=True, eps=EPS),
    "evonorm_b0": lambda: F.evonorm_b0(X, None, ONE, training=True, eps=EPS),
    "evonorm_b0 in eval": lambda: F.evonorm_b0(X, ONE, ONE, eps=EPS),
    "evonorm_s0": lambda: F.evonorm_s0(X, ONE, groups=2, eps=EPS),
    "switchable_norm": lambda: F.switchable_norm(
        X, None, None, tn.ones(3), tn.ones(3), training=True, eps=EPS),
    "conditional_batch_norm": lambda: F.conditional_batch_norm(
        X, tn.tensor([0, 1, 1, 0]), None, None, tn.ones(2, 6), training=True, eps=EPS),
    "adaptive_instance_norm": lambda: F.adaptive_instance_norm(X, X, EPS),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("size", [1.0, 1e30])
@pytest.mark.filterwarnings("ignore:.*the running statistics stay:RuntimeWarning")  # of 1e30
def test_float32_stays_float32(
    function: Callable[[], Any], size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.X", X * size)
    assert function().dtype == tn.float32
