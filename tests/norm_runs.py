"""What is done with every norm that is checked against its paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import strict
from norm_cases import array, randomize, tensor

import tinygrad_norm as tn


def everything(layer: Any, x: np.ndarray, place: str = "cpu") -> list[tn.Tensor]:
    """y, dx, the gradients of the parameters and the buffers, of one step with a fixed dy."""
    leaf, dy = tensor(x, place, grad=True), tensor(np.cos(np.arange(x.size)).reshape(x.shape)
                                                   .astype(x.dtype), place)
    strict.traffic.clear()
    y = layer(leaf)
    y.backward(dy)
    assert not strict.traffic
    return [y, leaf.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]


def check_device(
    make: Callable[[], Any], x: np.ndarray, device: str, dtype: str, *, training: bool
) -> None:
    """Forward and backward; nothing crosses, and the numbers are float64's on the cpu.

    A float16 input may come to a layer in float32.
    """
    results = []
    half = [(device, "float16", "float32")] * (dtype == "float16")
    for place, kind, own in [("cpu", "float64", "float64"), (device, dtype, dtype), *half]:
        layer = make()
        randomize(layer, np.random.default_rng(3))
        layer.to(dtype).to(own).to(place).train(training)
        found = everything(layer, x.astype(dtype).astype(kind), place)
        assert all(v.device.type == place for v in found)
        assert [v.dtype for v in found[:2]] == [np.dtype(kind)] * 2
        assert all(v.dtype in (tn.int64, np.dtype(own)) for v in found[2:])
        results.append([array(v) for v in found])
    tolerance = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-13}[dtype]
    for got in results[1:]:
        for value, expected in zip(got, results[0], strict=True):
            scale = max(1.0, np.abs(expected).max(initial=0))
            np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale)


def check_gradients(layer: Any, x: np.ndarray) -> None:
    """By finite differences, of first and second order; the buffers stay as they were."""
    before = {name: array(b).tobytes() for name, b in layer.named_buffers()}
    leaf = tensor(x, grad=True)

    def run(leaf: tn.Tensor, *parameters: tn.Tensor) -> tn.Tensor:
        return layer(leaf)

    held = tuple(layer.parameters())
    assert tn.autograd.gradcheck(run, (leaf, *held))
    assert tn.autograd.gradgradcheck(run, (leaf, *held))
    assert {name: array(b).tobytes() for name, b in layer.named_buffers()} == before


def check_statistics_stay(layer: Any, x: np.ndarray) -> None:
    """Inside keep_statistics; when a batch has NaN or Inf in it, which is counted and warned about;
    and the initial ones are warned about, once."""
    with pytest.warns(UserWarning, match=f"{type(layer).__name__}: expected running statistics"):
        layer.eval()(tensor(x))
    layer(tensor(x))
    layer.train()(tensor(x))
    before = {name: array(b).copy() for name, b in layer.named_buffers()}
    with tn.autograd.keep_statistics():
        layer(tensor(x + 1))
    for i, bad in enumerate((np.nan, np.inf)):
        poisoned = x.copy()
        poisoned[(0,) * x.ndim] = bad
        with pytest.warns(RuntimeWarning, match=f"{type(layer).__name__}: NaN"), np.errstate(
                invalid="ignore"):
            layer(tensor(poisoned))
        assert layer.skipped_batches == i + 1
    for name, buffer in layer.named_buffers():
        np.testing.assert_array_equal(array(buffer), before[name])
    layer(tensor(x + 1))
    for name, buffer in layer.named_buffers():
        assert (array(buffer) != before[name]).any()


def refusals(bad: Any) -> Any:
    """A test of (run, error, message): who, what was expected, what came, what to do.

    A table with names, or a list.
    """
    names = list(bad) if isinstance(bad, dict) else [message for *_, message in bad]
    rows = bad.values() if isinstance(bad, dict) else bad

    @pytest.mark.parametrize(("run", "error", "message"), rows, ids=names)
    def test(run: Callable[[], Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            run()
        assert message in str(caught.value), str(caught.value)

    return test
