"""Machine code kept between processes, in a directory that only the user can write.

What lies there is run, so nothing is believed: the directory must be the user's with mode 0700, and
a file the user's own, no link, and whole by its checksum. Anything else is as if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

SETTING = "TINYGRAD_NORM_CACHE"
"""The environment's name for another directory; "0" turns the cache off."""
LIMIT = 256 * 2**20
"""Bytes of all files together; when there are more, those that were not read for longest go."""
CHECKSUM = hashlib.sha256().digest_size


def directory() -> tuple[Path | None, str]:
    """Where the files lie, made if it is not there; or None, and why the cache is not used."""
    setting = os.environ.get(SETTING, "")
    if setting == "0":
        return None, f"off: {SETTING}=0"
    if not hasattr(os, "geteuid"):
        return None, "off: this system does not tell who owns a directory"
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        path = Path(setting) if setting else Path(home) / "tinygrad_norm"
        if not path.is_absolute():
            return None, f"{path} is not an absolute path"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows the user's home
        return None, f"there is no directory for it: {error}"
    if not stat.S_ISDIR(found.st_mode):
        return None, f"{path} is not a directory"
    if found.st_uid != os.geteuid():
        return None, f"{path} belongs to another user"
    if (mode := stat.S_IMODE(found.st_mode)) & 0o777 != 0o700:
        return None, f"{path} has mode {mode:04o}, not 0700"
    return path, ""


def read(key: str) -> bytes | None:
    """What was written under the key; None if there is nothing, or nothing that is to be believed.
    """
    path, _ = directory()
    if path is None:
        return None
    try:
        number = os.open(path / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        with open(number, "rb", closefd=False) as file:
            text = file.read()
        if text[:CHECKSUM] != checksum(key, text[CHECKSUM:]):
            return None
        with contextlib.suppress(OSError):  # a disk that is only read keeps its times
            os.utime(number)
        return text[CHECKSUM:]
    finally:
        os.close(number)


def write(key: str, content: bytes) -> None:
    """Keep the content for other processes: whole, or not at all if the disk does not take it."""
    path, _ = directory()
    if path is None:
        return
    with contextlib.suppress(OSError):
        number, name = tempfile.mkstemp(prefix=key, suffix=".part", dir=path)
        try:
            with open(number, "wb") as file:
                file.write(checksum(key, content) + content)
            os.replace(name, path / key)
        except BaseException:
            os.unlink(name)
            raise
        shrink(path)


def checksum(key: str, content: bytes) -> bytes:
    """Of the key too: a file under another's name is not whole."""
    return hashlib.sha256(key.encode() + b"\0" + content).digest()


def files(path: Path) -> list[tuple[float, int, str]]:
    """Time of last use, bytes and path of each file, the oldest first; parts that a killed process
    left are among them."""
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime, status.st_size, entry.path))
    return sorted(found)


def shrink(path: Path) -> None:
    """Remove the oldest files until a quarter of the room is free, when there is none left."""
    found = files(path)
    if (total := sum(size for _, size, _ in found)) <= LIMIT:
        return
    for _, size, name in found:
        if total <= LIMIT * 3 // 4:
            return
        os.unlink(name)
        total -= size
