"""The six norms a second time, in plain NumPy, for the tests of the study."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_norm as tn
from tinygrad_norm.study.walk import Study
from tinygrad_norm.study.walk.examples import SHAPES

KINDS = list(SHAPES)
SHAPED = [(kind, SHAPES[kind]) for kind in KINDS] + [
    ("batch_norm", (2, 3, 2, 2)), ("batch_norm", (2, 2, 3)), ("batch_renorm", (2, 2, 3)),
    ("layer_norm", (2, 3, 4)), ("layer_norm", (2, 2, 2, 3)), ("instance_norm", (2, 2, 2, 3)),
    ("group_norm", (2, 6, 2, 2)), ("group_norm", (3, 4)), ("rms_norm", (2, 3, 4)),
    ("batch_norm", (2, 2, 2, 1, 2)), ("batch_renorm", (2, 3, 2, 2)), ("rms_norm", (2, 2, 3, 2))]
SAME = {"rtol": 1e-12, "atol": 1e-12}


def array(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def axes_of(kind: str, ndim: int) -> tuple[int, ...]:
    """What is reduced, of x, or of x with its groups apart."""
    return {"batch_norm": (0, *range(2, ndim)), "batch_renorm": (0, *range(2, ndim)),
            "instance_norm": tuple(range(2, ndim)), "group_norm": tuple(range(2, ndim + 1)),
            "layer_norm": tuple(range(1, ndim)), "rms_norm": tuple(range(1, ndim))}[kind]


def plain(layer: Any, kind: str, frozen: np.ndarray) -> Callable[..., np.ndarray]:
    """The paper's forward in NumPy, for complex numbers too; r and d are those of ``frozen``."""
    def beside(v: Any, ndim: int) -> Any:
        if v is None:
            return None
        v = v.array if isinstance(v, tn.Tensor) else v
        return v if kind in ("layer_norm", "rms_norm") else v.reshape(-1, *[1] * (ndim - 2))

    def forward(x: np.ndarray, gamma: Any, beta: Any) -> np.ndarray:
        shape, axes = x.shape, axes_of(kind, x.ndim)
        grouped = x.reshape(shape[0], layer.num_groups, -1, *shape[2:]) if kind == "group_norm" \
            else x
        mean = grouped.mean(axis=axes, keepdims=True) * (kind != "rms_norm")
        var = ((grouped - mean) ** 2).mean(axis=axes, keepdims=True)
        if not layer.training and kind.startswith("batch"):
            mean = beside(layer.running_mean, x.ndim)
            if kind == "batch_norm":
                var = beside(layer.running_var, x.ndim)
            else:
                var = beside(layer.running_std, x.ndim) ** 2 - layer.eps
        y = (grouped - mean) / np.sqrt(var + layer.eps)
        if kind == "batch_renorm" and layer.training:
            mu, std = frozen.mean(axes), np.sqrt(frozen.var(axes) + layer.eps)
            usual, wide = layer.running_mean.array, layer.running_std.array
            y = y * beside(np.clip(std / wide, 1 / 3, 3), x.ndim) + beside(
                np.clip((mu - usual) / wide, -5, 5), x.ndim)
        y = y.reshape(shape)
        y = y if gamma is None else y * beside(gamma, x.ndim)
        return y if beta is None else y + beside(beta, x.ndim)

    return forward


def slopes(loss: Callable[[np.ndarray], Any], at: np.ndarray) -> np.ndarray:
    """By complex steps: the imaginary part of f(x + ih)/h, which no difference has rounded."""
    result = np.zeros(at.shape)
    for cell in np.ndindex(at.shape):
        moved = at.astype(complex)
        moved[cell] += 1e-30j
        result[cell] = loss(moved).imag / 1e-30
    return result


def expected_of(case: Any, kind: str) -> dict[str, np.ndarray]:
    """The output of an example, and the gradients of Σ dy y."""
    layer, x, dy = case.layer, case.x.array, case.grad_output.array
    gamma = layer.weight.array
    beta = None if kind == "rms_norm" else layer.bias.array
    forward = plain(layer, kind, x)
    found = {"out": forward(x, gamma, beta),
             "dx": slopes(lambda v: (forward(v, gamma, beta) * dy).sum(), x),
             "dgamma": slopes(lambda v: (forward(x, v, beta) * dy).sum(), gamma)}
    if beta is not None:
        found["dbeta"] = slopes(lambda v: (forward(x, gamma, v) * dy).sum(), beta)
    return found


def values_of(study: Study) -> dict[str, np.ndarray]:
    return {one.name: array(one.value) for one in (*study.forward, *study.backward)}


def own_functions(study: Study) -> dict[str, Any]:
    found = study.arrangement
    assert found
    return {"sum": lambda v: v.sum(tuple(found.reduced), keepdims=True),
            "share": lambda v: v.sum(tuple(found.shared), keepdims=True),
            "average": lambda v: v.mean(0, keepdims=True), "sqrt": np.sqrt, "clip": np.clip,
            "ones": np.ones_like}
