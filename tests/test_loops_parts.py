"""Parts of arrays that loops write and read: in which order, and with which loads."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite", reason="loops need llvmlite")

from test_loops import check, draw

from tinygrad_norm.backend.array import array_module


def put_backwards(x):
    y = array_module(x).zeros(x.shape, dtype=x.dtype)
    y[::-1] = x * 2
    return y * 3 + 1


def put_behind(x):
    y = array_module(x).zeros((len(x) + 50,), dtype=x.dtype)
    y[50:] = x * 3
    return y[:len(x)] * 3 + 1


def put_beside(x):
    """Four parts that interleave, as of a pooling of pairs."""
    y = array_module(x).zeros((2 * x.shape[0], 2 * x.shape[1] + 1), dtype=x.dtype)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y[i::2, j:j + 2 * x.shape[1]:2] = x[::-1] * (2 * i + j + 1)
    return y


def put_over(x):
    """Parts that have values in common: the later one counts."""
    y = array_module(x).zeros((len(x) + 3,), dtype=x.dtype)
    for i in range(3):
        y[i:i + len(x)] = x * (i + 1)
    return y


@pytest.mark.parametrize(("function", "shape", "nests"), [
    (put_backwards, (100_000,), 3), (put_behind, (100_000,), 3), (put_beside, (70, 33), 2),
    (put_over, (100_000,), 4)], ids=lambda value: getattr(value, "__name__", None))
def test_parts_are_written_before_they_are_read(function, shape, nests):
    """A part that lies elsewhere than what is read ends its nest; parts that interleave share one.
    """
    assert len(check(function, draw(*shape)).nests) == nests


def test_lanes_two_apart_are_no_gather():
    program = check(lambda x: array_module(x).maximum(x[:, ::2], x[:, 1::2]), draw(64, 26))
    assert "gather" not in program.text
