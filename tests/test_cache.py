"""The cache directory of machine code: whose it is, what is believed, what a killed process leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_norm.compiler import cache

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners on this system")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(tmp_path / "code"))
    return tmp_path / "code"


def test_what_is_written_is_read(place: Path) -> None:
    assert cache.read("a") is None
    cache.write("a", b"code")
    cache.write("empty", b"")
    assert (cache.read("a"), cache.read("empty"), cache.read("b")) == (b"code", b"", None)
    cache.write("a", b"new")
    assert cache.read("a") == b"new"
    assert place.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(place)) == ["a", "empty"]


@pytest.mark.parametrize("change", [
    lambda text: text[:-1], lambda text: text + b"x", lambda text: b"", lambda text: text[:10],
    lambda text: text[:-1] + b"f"], ids=["cut", "longer", "empty", "short", "changed"])
def test_a_damaged_file_is_not_believed(place: Path, change: object) -> None:
    cache.write("a", b"code")
    (place / "a").write_bytes(change((place / "a").read_bytes()))  # type: ignore[operator]
    assert cache.read("a") is None
    cache.write("a", b"code")
    assert cache.read("a") == b"code"


def test_a_foreign_file_is_not_believed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write("a", b"code")
    os.rename(place / "a", place / "b")
    assert cache.read("b") is None, "another text's code"
    cache.write("a", b"code")
    os.symlink(place / "a", place / "c")
    assert cache.read("c") is None, "a link"
    os.mkfifo(place / "d")
    assert cache.read("d") is None, "a pipe"
    (place / "e").mkdir()
    assert cache.read("e") is None, "a directory"
    own = os.geteuid()
    found = os.fstat
    monkeypatch.setattr(os, "fstat", lambda number: os.stat_result(
        [own + 1 if i == 4 else value for i, value in enumerate(found(number))]))
    assert cache.read("a") is None, "another user's"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701, 0o500])
def test_a_directory_of_another_mode_is_not_used(place: Path, mode: int) -> None:
    cache.write("a", b"code")
    place.chmod(mode)
    assert cache.directory() == (None, f"{place} has mode {mode:04o}, not 0700")
    assert cache.read("a") is None
    cache.write("b", b"code")
    assert os.listdir(place) == ["a"]
    place.chmod(0o700)
    assert cache.read("a") == b"code"


def test_a_directory_of_another_user_is_not_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write("a", b"code")
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert cache.directory() == (None, f"{place} belongs to another user")
    assert cache.read("a") is None


def test_where_the_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TINYGRAD_NORM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache.directory()[0] == tmp_path / "me/.cache/tinygrad_norm"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.directory()[0] == tmp_path / "xdg/tinygrad_norm"
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(tmp_path / "a/b"))
    assert cache.directory() == (tmp_path / "a/b", "")
    file = tmp_path / "file"
    file.touch()
    for setting, reason in {"0": "off: TINYGRAD_NORM_CACHE=0",
                            str(file): f"{file} is not a directory",
                            "here": "here is not an absolute path"}.items():
        monkeypatch.setenv("TINYGRAD_NORM_CACHE", setting)
        assert cache.directory() == (None, reason)
        cache.write("a", b"code")
        assert cache.read("a") is None
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(file / "a"))
    assert cache.directory()[1].startswith("there is no directory for it: [Errno ")
    os.symlink(tmp_path / "a/b", tmp_path / "link")
    monkeypatch.setenv("TINYGRAD_NORM_CACHE", str(tmp_path / "link"))
    assert cache.directory() == (None, f"{tmp_path / 'link'} is not a directory")


def test_what_was_not_read_for_longest_goes_first(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    for i, name in enumerate("abcd"):
        cache.write(name, bytes(2000))
        os.utime(place / name, (i, i))
    assert cache.read("a") is not None  # now it is the newest
    cache.write("e", bytes(2000))
    assert sorted(os.listdir(place)) == ["a", "d", "e"]


def test_a_write_that_fails_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError("no space left")

    cache.write("a", b"code")
    monkeypatch.setattr(os, "replace", full)
    cache.write("b", b"code")
    assert os.listdir(place) == ["a"]


def test_a_killed_process_leaves_no_half_written_file(place: Path) -> None:
    """It dies before its file has got its name: the name is not there, or has what was there."""
    cache.write("a", b"code")
    code = ("import os; from tinygrad_norm.compiler import cache\n"
            "os.replace = lambda *names: os.kill(os.getpid(), 9)\n"
            "cache.write('a', bytes(10**6)); print('alive')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-9, ""), done.stderr
    assert cache.read("a") == b"code"
    assert [name[-5:] for name in os.listdir(place) if name != "a"] == [".part"]
