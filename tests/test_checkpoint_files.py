"""Checkpoints: whatever happens to the file, it is whole or refused."""

import contextlib
import errno
import io
import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from checkpoint_case import STATE

import tinygrad_norm as tn
from tinygrad_norm import checkpoint
from tinygrad_norm.checkpoint import MissingCheckpointError, load, save
from tinygrad_norm.errors import CheckpointError

safetensors = pytest.importorskip("safetensors.numpy", reason="save and load are built on it")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


# -- the old file or the new one ---------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file(step, error, path, monkeypatch):
    save("old", path)

    def fail(*_):
        raise error

    with monkeypatch.context() as m:
        m.setattr(os, step, fail)
        with pytest.raises(type(error)):
            save("new", path)
    assert load(path) == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_names_the_file(path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=re.escape(f"{os.strerror(errno.ENOSPC)}: {str(path)!r}")):
        save(STATE, path)


def test_it_is_on_the_disk_before_it_is_renamed(path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append((kind, path.exists()))
        fsync(descriptor)

    def note_replace(source, target):
        assert os.path.dirname(source) == os.path.dirname(target)
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    save(STATE, path)
    assert events == [("file", False), "replace", ("folder", True)]


def test_a_link_stays_a_link_and_permissions_are_the_users(tmp_path, monkeypatch):
    save(1, tmp_path / "real")
    os.symlink(tmp_path / "real", tmp_path / "link")
    save(2, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load(tmp_path / "real") == 2
    (tmp_path / "plain").write_text("")
    modes = {(tmp_path / name).stat().st_mode for name in ("real", "plain")}
    assert len(modes) == 1
    monkeypatch.chdir(tmp_path)
    save(3, "here")
    assert load("here") == 3


KILLER = """
import os, random, signal, sys, time
import numpy as np
from tinygrad_norm.checkpoint import load, save

path, random_ = sys.argv[1], random.Random(0)
start = time.monotonic()
save({"version": 0, "data": np.zeros(100_000)}, path)
took = time.monotonic() - start
last, end, kills = 0, time.monotonic() + 1.2, 0
while time.monotonic() < end:
    child = os.fork()
    if not child:
        while True:
            last += 1
            save({"version": last, "data": np.full(100_000, float(last))}, path)
    time.sleep(random_.uniform(0, 4 * took))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    state = load(path)
    assert state["version"] >= last, (state["version"], last)
    assert (state["data"] == state["version"]).all()
    last, kills = state["version"], kills + 1
print(kills, last)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_killed_at_any_moment_the_file_is_whole(path):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1",
                   "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLER, str(path)], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kills, last = map(int, done.stdout.split())
    assert kills >= 3
    assert last >= 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # stopped between open() and its with
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="stops it by a timer's signal")
def test_a_save_stopped_by_a_signal_removes_its_file(path):
    save("old", path)

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    end = time.monotonic() + 0.3
    try:
        while time.monotonic() < end:
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 0.003)
                while True:
                    save(np.zeros(30_000), path)
            assert os.listdir(path.parent) == [path.name]
            load(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- what is refused ---------------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    for error in (CheckpointError, FileNotFoundError, ValueError, RuntimeError):
        with pytest.raises(error, match=r"load: there is no file .*nothing"):
            load(tmp_path / "nothing")
    with pytest.raises(MissingCheckpointError):
        load("nothing at all")
    with pytest.raises(CheckpointError, match="is not a file; name a checkpoint in it"):
        load(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is kept from root")
def test_a_file_that_may_not_be_read(path):
    save(STATE, path)
    os.chmod(path, 0)
    with pytest.raises(PermissionError, match=re.escape(str(path))):
        load(path)


def foreign(kind):
    if kind == "empty":
        return b""
    if kind == "png":
        return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(50)
    if kind == "pickle":
        return pickle.dumps({"weight": np.zeros(3)})
    if kind == "text":
        return b"hello, this is no checkpoint"
    if kind == "torch":  # before its files were zip files
        return b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03"
    if kind in ("torch.zip", "npz"):
        with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
            archive.writestr("x/data.pkl" if kind == "torch.zip" else "x.npy", "")
        return file.getvalue()
    return json.dumps({"weight": [1, 2]}).encode()


@pytest.mark.parametrize(("kind", "message"), [
    ("empty", "is empty; load an older checkpoint"),
    *((k, "is cut short, damaged or no checkpoint at all") for k in
      ("png", "pickle", "text", "json", "npz")),
    *((k, r"is not damaged: it is in PyTorch's own format, .* In PyTorch, safetensors\.torch\."
       r"save_file\(model\.state_dict\(\), 'model\.safetensors'\) writes a file that load reads")
      for k in ("torch", "torch.zip")),
])
def test_a_foreign_file(kind, message, path):
    path.write_bytes(foreign(kind))
    with pytest.raises(CheckpointError, match=f"load: .*run.safetensors {message}"):
        load(path)


def test_every_cut_is_noticed(path):
    save(STATE, path)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"run\.safetensors"):
            load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError, match=r"run\.safetensors"):
        load(path)


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("tree", [STATE, {"none": np.zeros((0, 1)), "of": tn.zeros(3, 0)}, 1.5])
def test_every_flipped_bit_is_noticed(tree, bit, path):
    save(tree, path)
    data = bytearray(path.read_bytes())
    for i in range(len(data)):
        data[i] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"load: .*run\.safetensors"):
            load(path)
        data[i] ^= 1 << bit
    path.write_bytes(data)
    assert str(load(path)) == str(tree)


def test_a_damaged_array_is_named(path):
    save(STATE, path)
    data = bytearray(path.read_bytes())
    where = data.index(STATE["model"]["0.weight"].numpy().tobytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checksum of model\.0\.weight is wrong; load"):
        load(path)


def written(tree, version=1, arrays=None):
    """A file with right checksums and any text as its tree."""
    head = f"{version} {checkpoint._sum(f'{version} {tree}'.encode())} {tree}"
    return safetensors.save(arrays or {}, {"tinygrad_norm": head})


def test_the_format_is_as_its_docstring_says(path):
    path.write_bytes(written('{"dict":[["a",{"tuple":[1,{"int":"0x10"}]}]]}'))
    assert load(path) == {"a": (1, 16)}


@pytest.mark.parametrize("version", [2, 31])
def test_a_newer_format(version, path):
    path.write_bytes(written("1", version))
    with pytest.raises(CheckpointError, match=f"has version {version} of the format, and this .* "
                                              "up to 1; pip install --upgrade"):
        load(path)


@pytest.mark.parametrize("tree", ['{"tensor":["a","00000000"]}', '{"what":1}', "{", "",
                                  '{"dict":[[{"dict":[]},1]]}', '{"dict":[1]}', '{"int":"x"}',
                                  '{"float":"00"}', '{"a":1,"b":2}', "{}", "[" * 100_000,
                                  '{"tensor":[[],""]}'])
def test_a_tree_that_is_none(tree, path):
    path.write_bytes(written(tree))
    with pytest.raises(CheckpointError, match="is damaged: "):
        load(path)


def test_arrays_that_the_tree_does_not_name(path):
    path.write_bytes(written("1", arrays={"more": np.zeros(2)}))
    with pytest.raises(CheckpointError, match="arrays that its tree does not name: more; load"):
        load(path)


def test_the_one_checksum_cannot_be_left_out(path):
    path.write_bytes(safetensors.save({}, {"tinygrad_norm": "1 1"}))
    with pytest.raises(CheckpointError, match="the checksum of its tree is wrong"):
        load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe with a name is POSIX's")
def test_a_pipe_or_device_is_written_to_and_stays(tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        checkpoint.replace_file(pipe, b"all of it")
        assert os.read(reader, 99) == b"all of it"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "missing" / "x.json"
    with pytest.raises(FileNotFoundError) as caught:
        checkpoint.replace_file(str(path), b"")
    assert caught.value.filename == str(path)
