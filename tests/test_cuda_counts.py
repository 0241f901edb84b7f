"""What a training step asks a GPU to do, counted on the stand-in: nothing it would wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cuda_on_cpu
import numpy as np
import pytest
from conftest import CUDA

import tinygrad_norm as tn
from tinygrad_norm import nn

pytestmark = [*CUDA.marks, pytest.mark.skipif(
    not cuda_on_cpu.installed(), reason="a GPU does not count; the stand-in does")]

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: tn.optim.SGD(p, lr=0.1),
    "momentum": lambda p: tn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
    "Adam": lambda p: tn.optim.Adam(p, lr=1e-3),
    "AdamW": lambda p: tn.optim.AdamW(p, lr=1e-3),
}


def step_of(optimizer: str, *, dropout: bool = False, compile: bool = False
            ) -> Callable[[], Any]:
    """A step of 128 x 784-512-512-10 with BatchNorm, after three that made all there is to make."""
    layers: list[Any] = []
    for n in (784, 512):
        layers += [nn.Linear(n, 512), nn.BatchNorm1d(512), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(0.5))
    model = nn.Sequential(*layers, nn.Linear(512, 10)).to("cuda")
    rule = OPTIMIZERS[optimizer](model.parameters())
    random = np.random.default_rng(0)
    x = tn.tensor(random.normal(size=(128, 784)).astype("float32"), device="cuda")
    target = tn.tensor(random.integers(10, size=128), device="cuda")

    def step() -> Any:
        rule.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        rule.step()
        return loss

    run = tn.compile(step, fullgraph=True) if compile else step
    for _ in range(3):
        run()
    return run


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_waits_for_nothing_and_copies_nothing(optimizer: str, compile: bool) -> None:
    step = step_of(optimizer, compile=compile)
    with cuda_on_cpu.counted() as count:
        step()
    assert (count.waits, count.copies_in, count.copies_out) == (0, 0, 0), count.events


def test_dropout_copies_its_masks_in_and_nothing_out() -> None:
    """NumPy draws a mask, and its copy waits: so it is until masks are drawn on the GPU."""
    step = step_of("SGD", dropout=True)
    with cuda_on_cpu.counted() as count:
        step()
    assert (count.copies_in, count.copies_out) == (2, 0), count.events


LAUNCHES = {("SGD", False): 89, ("momentum", False): 89, ("Adam", False): 89,
            ("SGD", True): 29, ("momentum", True): 29, ("Adam", True): 23}


@pytest.mark.parametrize(("optimizer", "compile"), LAUNCHES)
def test_a_step_has_no_more_launches(optimizer: str, compile: bool) -> None:
    step = step_of(optimizer, compile=compile)
    with cuda_on_cpu.counted() as count:
        step()
    assert count.launches <= LAUNCHES[optimizer, compile], count.events


def test_what_waits_is_counted() -> None:
    x = tn.ones(3, device="cuda")
    with cuda_on_cpu.counted() as count:
        assert x.sum().item() == 3
        tn.ones(2).to("cuda")
        tn.cuda.synchronize()
    assert (count.copies_in, count.copies_out) == (1, 1)
    assert count.waits >= 2
    assert "copy out" in count.events
