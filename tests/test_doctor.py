"""``python -m tinygrad_norm doctor``, with and without what it looks for."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_cupy import Fails, fake_cupy, have

from tinygrad_norm import __main__, doctor
from tinygrad_norm.compiler import cache, machine, products

ROOT = Path(__file__).resolve().parent.parent
OPTIONAL = ("threadpoolctl", "safetensors", "sklearn", "matplotlib", "pygraphviz",
            "llvmlite", "llvmlite.binding", "cupy")


def found() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.findings()}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with NumPy alone."""
    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    for name in doctor.THREAD_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    return monkeypatch


# -- the command ---------------------------------------------------------------------------------


def run(*args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-m", "tinygrad_norm", *args], text=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": path})


def test_doctor_as_a_command() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    assert f"numpy          {np.__version__}\n" in done.stdout
    for line in done.stdout.split("\n\n")[0].splitlines():
        assert line[13:15] == "  ", line
        assert line[15] != " ", line


@pytest.mark.skipif(os.name != "posix", reason="the error of a closed pipe is another one there")
def test_a_reader_who_leaves_early_gets_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "tinygrad_norm", "doctor"], cwd=ROOT,
                          stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("args", "prog"), [(("docter",), ""), (("doctor", "--loud"), " doctor")])
def test_a_wrong_command_is_one_line_and_status_2(args: tuple[str, ...], prog: str) -> None:
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"python -m tinygrad_norm{prog}: error: .+; --help lists what there is\n",
                        done.stderr)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["--help"])
    assert "doctor  " in capsys.readouterr().out


def test_main_returns_the_exit_status(bare: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["doctor"]) == 0
    assert "What to do:" in capsys.readouterr().out


# -- what it finds -------------------------------------------------------------------------------


def test_with_numpy_alone_every_gap_has_its_cure(bare: Any) -> None:
    missing = {f.name: f.cure for f in doctor.findings() if f.found == "not installed"}
    assert missing.keys() == {
        "safetensors", "scikit-learn", "matplotlib", "pygraphviz", "llvmlite", "cupy"}
    assert missing["safetensors"].startswith("pip install safetensors")
    assert missing["scikit-learn"].startswith("pip install 'tinygrad_norm[examples]'")
    assert missing["pygraphviz"].startswith("pip install 'tinygrad_norm[viz]'")
    assert missing["llvmlite"].startswith("pip install 'tinygrad_norm[fast]'")
    assert missing["cupy"].startswith("only with an NVIDIA GPU: pip install 'tinygrad_norm[cuda12]")
    assert found()["dot"].found == "no such program"


def test_packages_show_their_versions(bare: Any) -> None:
    for name in ("safetensors", "sklearn", "matplotlib", "pygraphviz"):
        have(bare, name)
    lines = found()
    for name in ("safetensors", "scikit-learn", "matplotlib", "pygraphviz"):
        assert lines[name] == doctor.Finding(name, "9.8", "")


def test_the_report_is_aligned() -> None:
    lines = [doctor.Finding("a", "1"), doctor.Finding("long", "2", "mend it")]
    assert doctor.report(lines) == "a     1\nlong  2\n\nWhat to do:\n  long  mend it"
    assert doctor.report(lines[:1]) == "a  1\n\nNothing is missing."


@pytest.mark.parametrize(("body", "expected"), [
    ("import absent_part", "installed, but it needs absent_part, which is not"),
    ("raise OSError('no libx.so\\nmore')",
     "installed, but its import fails: OSError: no libx.so"),
    ("raise RuntimeError", "installed, but its import fails: RuntimeError"),
])
def test_a_broken_package_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, expected: str
) -> None:
    (tmp_path / "broken_package.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor.package("broken_package", "pip install it") == doctor.Finding(
        "broken_package", expected, "reinstall it: pip install it")


def test_an_installed_package_shows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.2")
    assert found()["tinygrad_norm"].found.startswith("1.2 in ")


@pytest.mark.parametrize(("threads", "setting", "cure"), [
    (4, None, ""),
    (1, None, "BLAS uses 1 of 4 cores; set OPENBLAS_NUM_THREADS=4"),
    (1, "OMP_NUM_THREADS", "BLAS uses 1 of 4 cores; unset OMP_NUM_THREADS to use all"),
    (9, None, "BLAS starts 9 threads on 4 cores, which slows it down; set OPENBLAS_NUM_THREADS=4"),
])
def test_blas_and_its_threads(bare: Any, threads: int, setting: str | None, cure: str) -> None:
    pool = {"user_api": "blas", "internal_api": "openblas", "version": "0.3",
            "architecture": "Zen", "num_threads": threads}
    have(bare, "threadpoolctl", threadpool_info=lambda: [{"user_api": "openmp"}, pool])
    bare.setattr(doctor, "usable_cpus", lambda: 4)
    if setting:
        bare.setenv(setting, str(threads))
    text = f"openblas 0.3 Zen, {threads} thread" + "s" * (threads > 1)
    assert doctor.blas() == doctor.Finding("blas", text, cure)


def test_blas_without_threadpoolctl(bare: Any) -> None:
    build = {"Build Dependencies": {"blas": {"name": "someblas", "found": True, "version": "3"}}}
    bare.setattr(np, "show_config", lambda mode: build)
    assert doctor.blas().found == "someblas 3, threads not set"
    assert doctor.blas().cure.startswith("pip install threadpoolctl")
    bare.setenv("MKL_NUM_THREADS", "2")
    assert doctor.blas().found == "someblas 3, MKL_NUM_THREADS=2"
    build["Build Dependencies"]["blas"] = {"name": "none", "found": False}
    assert doctor.blas().found == "none: NumPy was built without"
    bare.setattr(np, "show_config", lambda mode: None)
    assert doctor.blas().cure.startswith("pip install --force-reinstall numpy")


def test_a_system_dot_is_enough_for_pictures(bare: Any, tmp_path: Path) -> None:
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho 'dot - graphviz version 2.43.0 (0)' >&2\n")
    dot.chmod(0o755)
    bare.setattr("shutil.which", lambda name: str(dot) if name == "dot" else None)
    assert found()["dot"].found == f"2.43.0 at {dot}"
    assert found()["pygraphviz"].cure == ""
    dot.write_text("#!/bin/sh\nexit 1\n")
    assert found()["dot"].found.startswith("does not run (CalledProcessError")
    dot.write_text("#!/bin/sh\necho dot\n")
    assert found()["dot"].found.startswith("version unknown at")


# -- loops ---------------------------------------------------------------------------------------


def test_loops_without_llvmlite(bare: Any) -> None:
    bare.delenv("TINYGRAD_NORM_LOOPS", raising=False)
    assert found()["loops"] == doctor.Finding("loops", "off: llvmlite is not installed")
    assert "cache" not in found()


def test_loops_that_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_NORM_LOOPS", "0")
    assert found()["loops"] == doctor.Finding(
        "loops", "off: TINYGRAD_NORM_LOOPS=0", "unset TINYGRAD_NORM_LOOPS")


def test_loops_and_their_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "problem", lambda: "")
    monkeypatch.setattr(products, "address", lambda dtype: None)
    monkeypatch.setattr(doctor, "get_num_threads", lambda: 1)
    place = tmp_path / "code"
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(place))
    assert found()["loops"].found == "on, 1 thread, matrix products by np.matmul"
    cache.write("a", bytes(2**20))
    assert found()["cache"] == doctor.Finding("cache", f"{place}, 1 file, 1.0 of 256 MiB")
    place.chmod(0o755)
    assert found()["cache"] == doctor.Finding(
        "cache", f"{place} has mode 0755, not 0700",
        "make it yours with mode 0700, or set TINYGRAD_NORM_CACHE to a directory that is")
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", "0")
    assert found()["cache"] == doctor.Finding("cache", "off: TINYGRAD_NORM_CACHE=0")


# -- the GPU -------------------------------------------------------------------------------------


def test_cupy_without_a_gpu(bare: Any) -> None:
    fake_cupy(bare, gpus=0, driver=0)
    lines = found()
    assert lines["cupy"] == doctor.Finding("cupy", "9.8 (cupy-cuda12x)")
    assert lines["cuda"].found == "driver none, runtime 12.9"
    assert lines["cuda"].cure.startswith("no NVIDIA driver: install one")
    assert lines["gpu"].found == "CuPy finds none"


def test_a_driver_but_no_gpu(bare: Any) -> None:
    fake_cupy(bare, gpus=0)
    assert found()["gpu"].cure == "look at nvidia-smi and CUDA_VISIBLE_DEVICES"


def test_a_machine_with_two_gpus(bare: Any) -> None:
    fake_cupy(bare, gpus=2)
    lines = found()
    assert lines["cuda"] == doctor.Finding("cuda", "driver 12.8, runtime 12.9")
    assert lines["gpu 1"] == doctor.Finding("gpu 1", "Fake GPU 1, 2.0 GiB, 1.5 free")


@pytest.mark.parametrize(("driver", "built", "cure"), [
    (11040, 12090, "the driver knows CUDA 11.4, CuPy was built for 12.9: update the driver"),
    (12080, 13000, "the driver knows CUDA 12.8, CuPy was built for 13.0: update the driver, or pip "
                   "install 'tinygrad_norm[cuda12]' in its place"),
])
def test_a_driver_that_is_too_old(bare: Any, driver: int, built: int, cure: str) -> None:
    fake_cupy(bare, gpus=1, driver=driver, built=built)
    assert found()["cuda"].cure == cure


def test_a_gpu_that_cannot_compute(bare: Any) -> None:
    fake_cupy(bare, gpus=1, result=Fails())
    line = found()["gpu 0"]
    assert line.found.endswith("computing fails: RuntimeError: cannot open cuda_fp16.h")
    assert "[ctk]" in line.cure
    fake_cupy(bare, gpus=1, result=np.arange(2))
    assert found()["gpu 0"].found.endswith("computes wrong numbers")


def test_a_cupy_that_breaks_when_asked(bare: Any) -> None:
    fake_cupy(bare, gpus=1)
    bare.delattr(sys.modules["cupy"].cuda.runtime, "driverGetVersion")  # type: ignore[attr-defined]
    assert found()["gpu"].found.startswith("asking CuPy fails: AttributeError")


def test_two_cupys_are_one_too_many(bare: Any) -> None:
    fake_cupy(bare, gpus=1, wheels=("cupy-cuda12x", "cupy-cuda13x"))
    assert found()["cupy"].cure == (
        "keep one only: pip uninstall cupy-cuda12x cupy-cuda13x, then install one again")


def test_a_cupy_that_cannot_be_imported(bare: Any, tmp_path: Path) -> None:
    fake_cupy(bare, gpus=0)
    bare.delitem(sys.modules, "cupy")
    (tmp_path / "cupy.py").write_text("raise ImportError('libnvrtc.so is missing')")
    bare.syspath_prepend(tmp_path)
    assert found()["cupy"] == doctor.Finding(
        "cupy", "installed, but its import fails: ImportError: libnvrtc.so is missing",
        "pip install --force-reinstall cupy-cuda12x")


def test_with_a_driver_but_no_cupy_it_is_to_be_installed(bare: Any) -> None:
    bare.setattr("shutil.which", lambda name: "/bin/x" if name == "nvidia-smi" else None)
    assert found()["cupy"].cure.startswith("pip install 'tinygrad_norm[cuda12]' or '[cuda13]'")
