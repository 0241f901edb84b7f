"""Files of other programs: the tensors of a safetensors file, a word about PyTorch's own format."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from .errors import CheckpointError
from .tensors.conversion import DTYPES, from_numpy
from .tensors.tensor import Tensor

OURS = re.compile(r"[0-9]{1,9} [0-9a-f]{8} ")
"""How the tree of a checkpoint begins."""
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How PyTorch's files began before they were zip files."""


def tensors(name: str, file: Any, device: Any) -> dict[str, Tensor]:
    """The tensors of an open safetensors file, by their names.

    bfloat16 becomes float32, whole numbers that are neither int32 nor int64 become int64. Names
    that stand in the metadata for another one, as ``safetensors.torch.save_model`` writes them for
    tensors that share memory, are there too, with copies.

    Raises:
        CheckpointError: it holds what no tensor here can, or it is a damaged checkpoint of ours.
    """
    metadata = file.metadata() or {}
    if any(OURS.match(text) for text in metadata.values()):
        raise CheckpointError(f"load: {name} is damaged: its tree has no name")
    found = {key: _array(name, file, key) for key in file.keys()}  # noqa: SIM118
    found |= {key: found[kept].copy() for key, kept in metadata.items()
              if kept in found and key not in found}
    return {key: from_numpy(array).to(device) for key, array in found.items()}


def _array(name: str, file: Any, key: str) -> np.ndarray:
    kind = file.get_slice(key).get_dtype()
    if kind == "BF16":
        return _bfloat16(name, key, file.get_slice(key).get_shape())
    try:
        array: np.ndarray = file.get_tensor(key)
    except (AttributeError, TypeError):  # NumPy knows no such dtype
        array = np.zeros(0, np.void)
    if array.dtype in DTYPES:
        return array
    if array.dtype.kind in "iu" and (array <= np.iinfo(np.int64).max).all():
        return array.astype(np.int64)
    what = "numbers above 2⁶³" if array.dtype.kind == "u" else kind
    raise CheckpointError(f"load: {name}: expected tensors of floats, ints and bools, got {what} "
                          f"in {key}; convert it before it is written, in PyTorch with .float()")


def _bfloat16(name: str, key: str, shape: list[int]) -> np.ndarray:
    """The values as float32, whose upper half bfloat16 is."""
    with open(name, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        begin, end = json.loads(file.read(size))[key]["data_offsets"]
        file.seek(8 + size + begin)
        upper = np.frombuffer(file.read(end - begin), "<u2")
    return (upper.astype(np.uint32) << 16).view(np.float32).reshape(shape)


def is_pytorchs(name: str) -> bool:
    """Whether ``torch.save`` wrote the file."""
    import zipfile

    with open(name, "rb") as file:
        if file.read(len(LEGACY)) == LEGACY:
            return True
    try:
        with zipfile.ZipFile(name) as archive:
            return any(entry.endswith("data.pkl") for entry in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False
