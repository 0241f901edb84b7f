"""The way through a norm is short: so many Python calls in so many files, and no more."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tinygrad_norm as tn
from tinygrad_norm import nn

ROOT = Path(tn.__file__).parent


def calls(run: Callable[[], Any]) -> tuple[list[str], list[str]]:
    """``file: function`` of each Python call in the package while it runs, without
    ``Module.__call__``: those of the norm, and those of the engine, which records them."""
    norm: list[str] = []
    engine: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and ROOT in path.parents:
            file, name = path.relative_to(ROOT), frame.f_code.co_qualname
            if name != "Module.__call__":
                found = engine if file.parts[0] == "autograd" else norm
                found.append(f"{file}: {name}")

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return norm, engine


NORMS: dict[str, tuple[nn.Module, tuple[int, ...], int, int, int]] = {
    "BatchNorm1d": (nn.BatchNorm1d(16), (32, 16), 13, 7, 9),
    "LayerNorm": (nn.LayerNorm(16), (32, 16), 10, 6, 9),
    "RMSNorm": (nn.RMSNorm(16), (32, 16), 10, 6, 10),
    "GroupNorm": (nn.GroupNorm(4, 16), (8, 16, 5, 5), 13, 7, 9),
    "InstanceNorm2d, affine": (nn.InstanceNorm2d(16, affine=True), (8, 16, 5, 5), 13, 7, 9),
    "BatchNorm2d": (nn.BatchNorm2d(16), (8, 16, 5, 5), 14, 7, 9),
}
"""A layer and its input's shape; at most so many calls, in so many files, and calls of the engine.
"""


@pytest.mark.parametrize(("layer", "shape", "most", "files", "engine"), NORMS.values(), ids=NORMS)
def test_a_training_forward(
    layer: nn.Module, shape: tuple[int, ...], most: int, files: int, engine: int
) -> None:
    x = tn.randn(*shape, requires_grad=True)
    layer(x)  # what is worked out once is worked out
    norm, recorder = calls(lambda: layer(x))
    assert 5 <= len(norm) <= most, "\n".join(norm)
    assert len({one.partition(":")[0] for one in norm}) <= files, "\n".join(norm)
    assert 1 <= len(recorder) <= engine, "\n".join(recorder)
