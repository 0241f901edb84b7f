"""``tn.cuda``, with no CuPy, with no GPU, and with two."""

from __future__ import annotations

import sys

import pytest
from fake_cupy import fake_cupy

from tinygrad_norm import cuda, doctor
from tinygrad_norm.errors import DeviceError


def test_cuda_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert (cuda.is_available(), cuda.device_count()) == (False, 0)
    for function in (cuda.get_device_name, cuda.synchronize):
        with pytest.raises(DeviceError, match="needs CuPy, which is not installed; pip install"):
            function()


def test_cuda_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy(monkeypatch, gpus=0)
    assert (cuda.is_available(), cuda.device_count()) == (False, 0)
    for function in (cuda.get_device_name, cuda.synchronize):
        with pytest.raises(DeviceError, match="CuPy is installed but finds no GPU"):
            function("cuda")


def test_cuda_with_a_broken_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cupy(monkeypatch, gpus=2)
    monkeypatch.delattr(sys.modules["cupy"].cuda.runtime, "getDeviceCount")  # type: ignore[attr-defined]
    assert (cuda.is_available(), cuda.device_count()) == (False, 0)


def test_cuda_with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = fake_cupy(monkeypatch, gpus=2)
    assert (cuda.is_available(), cuda.device_count()) == (True, 2)
    assert cuda.get_device_name() == "Fake GPU 0"
    assert cuda.get_device_name("cuda:1") == cuda.get_device_name(1) == "Fake GPU 1"
    cuda.synchronize()
    cuda.synchronize(1)
    assert waited == [0, 1]
    with pytest.raises(DeviceError, match="there are 2 GPUs, numbered from 0"):
        cuda.get_device_name(2)
    with pytest.raises(DeviceError, match=r"cuda.synchronize: expected a cuda device, got cpu"):
        cuda.synchronize("cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not cuda.is_available(), reason="no GPU, or no CuPy")
def test_cuda_for_real() -> None:
    assert cuda.device_count() >= 1
    assert cuda.get_device_name()
    cuda.synchronize()
    assert {f.name: f.cure for f in doctor.findings()}["gpu 0"] == ""
