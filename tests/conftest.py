"""Devices and the state that tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import cuda_on_cpu
import pytest
import replay
import strict

import tinygrad_norm as tn
from tinygrad_norm.backend import large
from tinygrad_norm.backend.array import as_device, register


def _missing_gpu() -> str | None:
    """Why the cuda half cannot run, or None."""
    if (mode := os.environ.get("CUDA_ON_CPU")) and (reason := cuda_on_cpu.install(mode)):
        return reason
    if tn.cuda.is_available():
        return None
    try:
        as_device("cuda")
    except Exception as error:  # whatever a broken driver raises: there is no GPU to test on
        return str(error).partition(";")[0]
    return "cuda is not available"


register("strict", strict.StrictBackend())
_REASON = _missing_gpu()
CUDA = pytest.param("cuda", marks=[
    pytest.mark.cuda, pytest.mark.skipif(_REASON is not None, reason=str(_REASON))])


LONG_RECORDINGS = {"test_many_reads_of_one_value_are_added_up_in_float64",
                   "test_nothing_is_left_to_the_garbage_collector"}
"""Tests of so many calls that to record them is left to ``make test-all``."""
LONG_TABLES = ("test_norm_float32.py", "test_norm_range.py", "test_norm_numerics.py")
"""Their rows are recorded in make test-all; make test has them with loops and without."""

_LEFT_OUT: list[pytest.Item] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU its tests are left out, in one line of the summary instead of thousands.

    Asked for with ``-m cuda`` they are skipped one by one. Long recordings are slow tests. Eager
    loops are for NumPy's arrays: on another device a test would be the same twice.
    """
    items[:] = [item for item in items if not _is_same_again(getattr(item, "callspec", None))]
    for item in items:
        if "compiled" in item.name and (getattr(item, "originalname", "") in LONG_RECORDINGS
                                        or item.path.name in LONG_TABLES):
            item.add_marker(pytest.mark.slow)
    if _REASON is None or "cuda" in config.option.markexpr:
        return
    _LEFT_OUT[:] = [item for item in items if item.get_closest_marker("cuda")]
    items[:] = [item for item in items if not item.get_closest_marker("cuda")]
    config.hook.pytest_deselected(items=_LEFT_OUT)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _LEFT_OUT:
        terminalreporter.write_line(f"LEFT OUT {len(_LEFT_OUT)} tests for a GPU: {_REASON}")


@pytest.fixture(params=["cpu", "strict", "compiled", CUDA])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kind of device: one test body for all. ``pytest -m cuda`` runs the GPU's half alone."""
    with replay.replayed() if request.param == "compiled" else nullcontext():
        yield request.param


def _is_same_again(callspec: Any) -> bool:
    given = callspec.params if callspec is not None else {}
    return given.get("loops") == "loops" and given.get("device", "cpu") != "cpu"


@pytest.fixture(params=["plain", "loops"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Eager formulas without loops on any array, and with them."""
    if request.param == "loops":
        pytest.importorskip("llvmlite", reason="loops need llvmlite")
    monkeypatch.setattr(large, "LARGE", 1 if request.param == "loops" else sys.maxsize)
    return str(request.param)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A ``browser.Browser``, for tests marked with ``browser.needs_browser``."""
    from browser import BROWSER, Browser
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield Browser(chromium)
        chromium.close()


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    """Each test starts from the same random numbers, whichever ran before it."""
    tn.manual_seed(0)
    yield
    assert tn.is_grad_enabled(), "the test left recording off"


@pytest.fixture
def no_garbage() -> Iterator[Callable[[], int]]:
    """The collector is off; called, it says how many objects only it could free."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.enable()
        gc.unfreeze()
