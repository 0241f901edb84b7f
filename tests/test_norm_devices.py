"""The norms stay on the device of their input, and refuse one of another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import CASES, Case, array, randomize, tensor

import tinygrad_norm as tn

RENORMS = [Case(f"BatchRenorm{c.layer[-2:]}", c.arguments, c.shape, c.axes, c.beside)
           for c in CASES if c.layer.startswith("BatchNorm")]
GHOSTS = [Case("GhostBatchNorm", (3, 2), shape, (0,), (1, -1, *(1 for _ in shape[2:])))
          for shape in [(6, 3), (5, 3, 2)]]
ALL = [*CASES, *RENORMS, *GHOSTS]


@pytest.mark.parametrize("case", ALL, ids=map(str, ALL))
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_every_layer_stays_on_its_device(
    case: Case, dtype: str, training: bool, momentum: float | None, device: str
) -> None:
    """Forward and backward; nothing crosses, and the numbers are the cpu's."""
    settings: dict[str, Any] = {}
    if case.layer.startswith(("Batch", "Ghost", "Instance")):
        settings["momentum"] = momentum
    if case.layer.startswith("Instance"):
        settings["track_running_stats"] = True
    results = []
    x = case.input().astype(dtype)
    for place in (device, "cpu"):
        layer = case.make(tn.nn, eps=1e-2, **settings)
        randomize(layer, case.random())
        layer.to(dtype).to(place).train(training)
        leaf = tensor(x, place, grad=True)
        outward = tensor(np.cos(x), place)
        strict.traffic.clear()
        y = layer(leaf)
        y.backward(outward)
        assert not strict.traffic
        gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
        for value in (y, *gradients, *layer.buffers()):
            assert value.device.type == place
        results.append([array(v) for v in (y, *gradients, *layer.buffers())])
    for got, expected in zip(*results, strict=True):
        tolerance = 2e-3 if expected.dtype == "float16" else 1e-5
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchRenorm1d", "InstanceNorm1d"])
def test_a_layer_on_another_device_is_refused(kind: str, training: bool, affine: bool) -> None:
    settings = {} if "Renorm" in kind else {"track_running_stats": True}
    layer = getattr(tn.nn, kind)(3, affine=affine, device="strict", **settings).train(training)
    with pytest.raises(RuntimeError, match=(
            f"{kind}: the input is on cpu, running_mean on strict:0; "
            r"move one with \.to\(device\)")):
        layer(tn.ones(2, 3, 4))
    with pytest.raises(RuntimeError, match="LayerNorm: the input is on strict:0, weight on cpu"):
        tn.nn.LayerNorm(3)(tn.ones(2, 3, device="strict"))
