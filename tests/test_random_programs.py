"""Programs drawn at random: loops give what the plain run of the recording gives, to the bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from random_programs import Draws, values

pytest.importorskip("llvmlite", reason="loops need llvmlite")

from tinygrad_norm.backend.array import array_module
from tinygrad_norm.backend.choose import expect
from tinygrad_norm.compiler import assembly, program, task
from tinygrad_norm.compiler.device import record
from tinygrad_norm.compiler.plain import Plain
from tinygrad_norm.compiler.program import Program


def check(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One program: with and without sizes in its text, twice each, of other values and another
    number; no call writes over what an earlier one gave."""
    source = random.Random(seed)
    draws = Draws(source.randrange)
    arrays = [draws.array(seed * 7 + k) for k in range(1 + source.randrange(3))]
    monkeypatch.setattr(task, "LONG", source.choice((0, 1 << 18)))
    monkeypatch.setattr(assembly, "SHARED", source.choice((0, 1 << 20)))
    monkeypatch.setattr(assembly, "LANES", source.choice((32, 8, 4)))
    streamed = source.choice((1 << 8, 1 << 22))
    for module in (assembly, program):
        monkeypatch.setattr(module, "STREAMED", streamed)
    recording = record(draws.program(source.choice((3, 6, 12, 25))), arrays, [0.5])
    # what reshape gives, a view or a copy, hangs on the layout: that of the recording, if it is
    # written to
    fixed = any(line.out is None for line in recording.lines)
    evaluate, plain = recording.evaluator(), Plain(recording)
    for general in (False, True):
        loops = Program(recording, general=general)
        given = []
        for number in (0.5, 2.0):
            own = [values(a.shape, str(a.dtype), seed + i) if number == 2 else a
                   for i, a in enumerate(arrays)]
            own = [_placed(a, like) if fixed else draws.laid_out(a)
                   for a, like in zip(own, arrays, strict=True)]
            sides = [own, [a.copy("K") for a in own] if fixed else own]
            numbers = evaluate([number])
            results = [one.run(arrays, numbers) for one, arrays in zip(
                (loops, plain), sides, strict=True)]
            compare(*results)
            compare(*sides)
            given.append((results[0], results[0] and [a.copy() for a in results[0]]))
        for pair in given:
            compare(*pair)


def _placed(a: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values in the layout that a recording has made of ``like``."""
    found = like.copy("K")
    found[...] = a
    return found


def compare(got: Any, expected: Any) -> None:
    assert (got is None) == (expected is None), "a guard has another answer"
    for x, y in zip(got or (), expected or (), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("part", range(3))
def test_a_few(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(part * 15, part * 15 + 15):
        check(seed, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(10_000 + part * 50, 10_050 + part * 50):
        check(seed, monkeypatch)


# -- what they found, in small -----------------------------------------------------------------

def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return values(shape, "float32", seed)


def ran(function: Any, *arrays: np.ndarray, general: bool = False) -> None:
    recording = record(function, arrays)
    sides = [[a.copy() for a in arrays] for _ in range(2)]
    compare(*(one.run(own, []) for one, own in zip(
        (Program(recording, general=general), Plain(recording)), sides, strict=True)))
    compare(*sides)


def written_through_views(x: Any, w: Any) -> Any:
    m = array_module(x)
    flipped, old = m.flip(x, 0), x.copy()
    flipped += 1
    m.flip(x)[:2] *= w[:2]
    m.split(w, 2)[1][...] = 3
    m.diagonal(w)[...].sum()
    return old, x + old, x.sum(), m.ascontiguousarray(x.sum())


def old_and_new(x: Any, w: Any) -> Any:
    saved, shifted = x.copy(), x.T
    x -= w
    return saved, (x.sum() * w).max(), shifted.copy(), w.copy()


def swapped(x: Any, w: Any) -> Any:
    old = x.copy()
    x[...] = w
    w[...] = old


def reshaped_apart(x: Any, w: Any) -> Any:
    return (x * 2).T.reshape(12, 4), (w + x).T.reshape(2, 3, 8)


def extremes_of_bools(x: Any, w: Any) -> Any:
    m = array_module(x)
    few = (w > 100)[:, :3]
    return few.max(axis=0), few.max(), (w < 100).min(axis=1), m.clip((w > 0).astype("uint8"), -1, 1)


def product_of_constants(x: Any, w: Any) -> Any:
    m = array_module(x)
    return m.full((5, 6), 3.0, dtype="float32") @ x, w @ m.ones((8, 2), dtype="float32")


@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("function", [written_through_views, old_and_new, reshaped_apart,
                                      extremes_of_bools, product_of_constants])
def test_what_random_programs_found(function: Any, general: bool) -> None:
    ran(function, draw(6, 8), draw(6, 8, seed=1), general=general)


def test_a_guard_of_the_new_state() -> None:
    def step(x: Any, w: Any) -> Any:
        x -= w
        assert expect(type(x))((x < 100).all())
        x, w[...] = x, x * 2
        return x.sum()

    ran(step, draw(5), draw(5, seed=1))


def test_arrays_that_change_places() -> None:
    recording = record(lambda x, w: swapped(x, w) or x.sum(), [draw(5), draw(5)])
    x, w = draw(5), draw(5, seed=1)
    Program(recording).run([x, w], [])
    np.testing.assert_array_equal(x, draw(5, seed=1))
    np.testing.assert_array_equal(w, draw(5))
