"""Recordings as CUDA kernels, against the plain run of the same recording; compiled steps on a GPU.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import CUDA
from random_programs import Draws, values

import tinygrad_norm as tn
from tinygrad_norm import nn, optim
from tinygrad_norm.backend import reference
from tinygrad_norm.compiler import cuda_kernel, cuda_passes, cuda_program
from tinygrad_norm.compiler.cuda_program import CudaProgram
from tinygrad_norm.compiler.device import record, unasked
from tinygrad_norm.compiler.plain import Plain
from tinygrad_norm.compiler.recording import Recording, Unsupported
from tinygrad_norm.errors import DeviceError

pytestmark = CUDA.marks

SHAPES = {"matrix": (32, 64), "odd": (100, 70), "few": (300, 10), "one": (1, 5),
          "narrow": (1000, 3), "long": (3, 5000), "wide": (70, 1030),
          "pictures": (4, 8, 5, 7), "tall": (16, 2, 40, 50)}


def ran(recording: Recording, arrays: list[np.ndarray], number: float, *, general: bool
        ) -> tuple[list[Any], list[Any]]:
    """(results and arrays after the kernels, the same after the plain run)."""
    cupy = pytest.importorskip("cupy")
    numbers = recording.evaluator()([number] if recording.numbers else [])
    own = [cupy.asarray(a, order="K") for a in arrays]
    results = CudaProgram(recording, 0, general=general).run(own, numbers)
    theirs = [a.copy("K") for a in arrays]
    expected = Plain(recording).run(theirs, numbers)
    assert expected is not None
    return [cupy.asnumpy(a) for a in (*results, *own)], [*expected, *theirs]


def normalized(axes: tuple[int, ...], beside: bool) -> Callable[..., Any]:
    """Forward and backward of a norm over ``axes``; the weight varies along them, or beside."""

    def both(x: Any, dy: Any, weight: Any, bias: Any) -> Any:
        settings: dict[str, Any] = {"axes": axes, "eps": 1e-5, "centred": True}
        y, rest, mean, var = reference.normalize(x, weight, bias, **settings)
        back = reference.normalize_gradient(dy, None, None, x, rest, mean, var, weight, **settings)
        return y, mean, var, *back

    return both


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("way", ["channels", "rows"])
def test_norms(way: str, shape: tuple[int, ...], general: bool) -> None:
    source = np.random.default_rng(0)
    axes = (0, *range(2, len(shape))) if way == "channels" else (len(shape) - 1,)
    kept = (shape[-1],) if way == "rows" or len(shape) == 2 else (shape[1], 1, 1)
    arrays = [source.standard_normal(s, dtype=np.float32) for s in (shape, shape, kept, kept)]
    with unasked():
        recording = record(normalized(axes, way == "channels"), arrays)
    for got, expected in zip(*ran(recording, arrays, 0.0, general=general), strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        size = max(float(np.abs(expected).max(initial=0)), 1e-3)
        np.testing.assert_allclose(got, expected, rtol=0, atol=3e-6 * size)


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One program drawn at random, whose results are exact, on a GPU of few or many processors."""
    source = random.Random(seed)
    draws = Draws(source.randrange)
    arrays = [draws.array(seed * 7 + k) for k in range(1 + source.randrange(3))]
    monkeypatch.setattr(cuda_kernel, "HELD", source.choice((16, 1)))
    monkeypatch.setattr(cuda_passes, "RUN", source.choice((64, 2)))
    monkeypatch.setattr(cuda_kernel, "EACH", source.choice((16, 1)))
    count = source.choice((1, 4, 132))
    monkeypatch.setattr(cuda_program, "processors", lambda device: count)
    with unasked():
        recording = record(draws.program(source.choice((3, 6, 12, 25))), arrays, [0.5])
    if any(_is_empty_clip(recording, line) for line in recording.lines):
        return
    for number in (0.5, 2.0):
        own = [a.copy("K") for a in arrays]
        for i, a in enumerate(own):
            if number == 2:
                a[...] = values(a.shape, str(a.dtype), seed + i)
        try:
            both = ran(recording, own, number, general=source.random() < 0.5)
        except Unsupported:  # a row too long for the registers of a block
            return
        for got, expected in zip(*both, strict=True):
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
            np.testing.assert_array_equal(got, expected)


def _is_empty_clip(recording: Recording, line: Any) -> bool:
    """CuPy's clip of an empty array takes no None for a bound."""
    return getattr(line.function, "__name__", "") == "clip" and any(
        0 in recording.meta[slot][0] for slot in line.made())


@pytest.mark.parametrize("part", range(3))
def test_a_few_random_programs(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(part * 10, part * 10 + 10):
        check(seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_many_random_programs(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(100 + part * 20, 120 + part * 20):
        check(seed, monkeypatch)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=1e-3),
    "adamw": lambda p: optim.AdamW(p, lr=1e-3)}


def trained(optimizer: str, compile: bool) -> tuple[list[float], list[np.ndarray]]:
    """Losses and state after training with dropout, a schedule, and batches of two sizes."""
    tn.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2),
                          nn.Linear(16, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 4)).to("cuda")
    update = OPTIMIZERS[optimizer](model.parameters())
    schedule = optim.lr_scheduler.StepLR(update, 2, 0.5)

    def step(x: Any, labels: Any) -> Any:
        update.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        update.step()
        return loss

    run = tn.compile(step, fullgraph=True) if compile else step
    losses = []
    for i in range(8):
        n = 20 if i % 3 else 9
        x, labels = tn.randn(n, 12).to("cuda"), tn.randint(0, 4, (n,)).to("cuda")
        losses.append(run(x, labels).item())
        schedule.step()
    state = [*model.state_dict().values(), *(
        v for one in update.state.values() for v in one.values())]
    if compile:
        assert {type(entry.program) for entry in run._entries} == {CudaProgram}
    return losses, [v.detach().cpu().numpy() for v in state]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_compiled_step_does_as_the_eager_one(optimizer: str) -> None:
    (losses, state), (ours, after) = (trained(optimizer, compile) for compile in (False, True))
    np.testing.assert_allclose(ours, losses, rtol=2e-5)
    for a, b in zip(after, state, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        # Adam divides by the size of a gradient, which may be but rounding
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 if optimizer == "sgd" else 4e-3)


def test_tensors_of_two_devices_are_refused() -> None:
    with pytest.warns(UserWarning, match="several devices"), pytest.raises(DeviceError):
        tn.compile(lambda x, y: x + y)(tn.ones(3), tn.ones(3).to("cuda"))
