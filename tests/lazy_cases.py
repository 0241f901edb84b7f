"""The lazy layers, what they become, and a first input for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from norm_cases import tensor

import tinygrad_norm as tn

KINDS: dict[str, tuple[type, tuple[int, ...]]] = {
    "LazyBatchNorm1d": (tn.nn.BatchNorm1d, (4, 3)),
    "LazyBatchNorm2d": (tn.nn.BatchNorm2d, (4, 3, 2, 2)),
    "LazyBatchNorm3d": (tn.nn.BatchNorm3d, (2, 3, 2, 1, 2)),
    "LazyInstanceNorm1d": (tn.nn.InstanceNorm1d, (2, 3, 4)),
    "LazyInstanceNorm2d": (tn.nn.InstanceNorm2d, (2, 3, 2, 2)),
    "LazyInstanceNorm3d": (tn.nn.InstanceNorm3d, (2, 3, 2, 1, 2)),
    "LazyLinear": (tn.nn.Linear, (4, 3)),
}
kinds = pytest.mark.parametrize("name", KINDS)
norms = pytest.mark.parametrize("name", [k for k in KINDS if k != "LazyLinear"])


def make(name: str, **settings: Any) -> Any:
    return getattr(tn.nn, name)(*((2,) if name == "LazyLinear" else ()), **settings)


def first(name: str, device: str = "cpu") -> tn.Tensor:
    """A first input in float64."""
    random = np.random.default_rng(0)
    return tensor(random.standard_normal(KINDS[name][1]) * 2 + 1, device)


def names(module: Any) -> list[tuple[str, str]]:
    return [(key, type(value).__name__) for key, value in module.state_dict().items()]
