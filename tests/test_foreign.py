"""Safetensors files that another program wrote, made by hand here; see also test_torch_files.py."""

import json
import struct

import numpy as np
import pytest

import tinygrad_norm as tn
from tinygrad_norm.checkpoint import load, save
from tinygrad_norm.errors import CheckpointError

pytest.importorskip("safetensors", reason="save and load are built on it")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def raw(kind, values, header=None):
    """A safetensors file with one tensor, ``w``, of that kind."""
    data = np.asarray(values).tobytes()
    text = json.dumps({**({"__metadata__": header} if header else {}), "w": {
        "dtype": kind, "shape": [len(values)], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(("kind", "stored", "dtype", "values"), [
    ("F16", np.float16([0.5, -2]), "float16", [0.5, -2]),
    ("F32", np.float32([0.5, -2]), "float32", [0.5, -2]), ("F64", [0.1, 5e-324], "float64", None),
    ("BF16", np.uint16([0x3F80, 0xC0A0, 0x7F80]), "float32", [1, -5, np.inf]),
    ("BOOL", [True, False], "bool", None), ("I64", [-(2**63), 7], "int64", None),
    ("I32", np.int32([-7]), "int32", [-7]), ("U8", np.uint8([255]), "int64", [255]),
    ("I8", np.int8([-128]), "int64", [-128]), ("U64", np.uint64([2**63 - 1]), "int64", [2**63 - 1]),
])
def test_tensors_of_another_program(kind, stored, dtype, values, path, device):
    path.write_bytes(raw(kind, stored, {"format": "pt"}))
    found = load(path, device)
    assert list(found) == ["w"]
    assert found["w"].device == tn.zeros(1).to(device).device
    expected = tn.tensor(list(stored) if values is None else values, dtype=dtype)
    assert (found["w"].dtype, found["w"].tolist()) == (expected.dtype, expected.tolist())
    found["w"].zero_()  # it owns its memory


@pytest.mark.parametrize(("kind", "stored", "message"), [
    ("F8_E4M3", np.uint8([1]), r"got F8_E4M3 in w; convert .* in PyTorch with \.float\(\)"),
    ("C64", np.complex64([1]), "got C64 in w"), ("U64", np.uint64([2**63]), "above 2⁶³ in w"),
])
def test_what_no_tensor_can_hold(kind, stored, message, path):
    path.write_bytes(raw(kind, stored))
    with pytest.raises(CheckpointError, match=f"load: .*run.safetensors: expected .*{message}"):
        load(path)


def test_a_file_of_another_program_may_be_damaged_or_share_tensors(path):
    whole = raw("F32", np.zeros(3, np.float32), {"tied": "w", "format": "pt"})
    path.write_bytes(whole)
    found = load(path)
    assert {name: t.tolist() for name, t in found.items()} == dict.fromkeys(("w", "tied"), [0] * 3)
    found["w"].fill_(1)
    assert found["tied"].tolist() == [0, 0, 0]
    save(found, path)  # and then it is one of ours
    assert str(load(path)) == str(found)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"run\.safetensors"):
            load(path)
