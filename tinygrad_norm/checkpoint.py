"""Checkpoints: a tree of plain values and tensors in one file that is whole or refused.

The file is in the format safetensors, so that other programs can read its tensors, by their
dotted names. The tree stands in the header, under the key ``tinygrad_norm``, as the text
``VERSION CHECKSUM TREE``, where TREE is JSON:

    None, bools, strings        themselves
    ints, finite floats         themselves; ints from 2⁶³ {"int": hexadecimal}
    other floats                {"float": their 8 bytes in hexadecimal}
    list                        [...]
    tuple, dict                 {"tuple": [...]}, {"dict": [[key, value], ...]}
    Tensor, array, scalar       {"tensor" | "array" | "scalar": [name in the file, checksum]}

A CRC-32 is taken of each array with its dtype and shape, and of the tree that holds these, so one
changed bit anywhere is noticed. Nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import zlib
from typing import Any

import numpy as np

from . import foreign
from .backend.array import as_device, to_numpy
from .errors import CheckpointError
from .tensors.conversion import from_numpy
from .tensors.tensor import Tensor

VERSION = 1
KEY = "tinygrad_norm"
DTYPES = frozenset(("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
                    "uint64", "float16", "float32", "float64"))
DEPTH = 100
"""How deep a tree may be; one that contains itself would have no end."""
LONGEST = 90_000_000
"""Bytes of the tree: safetensors refuses headers of more than 100 MB."""
CURE = "load an older checkpoint, or start anew"


class MissingCheckpointError(CheckpointError, FileNotFoundError):
    """There is no such file."""


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write ``obj`` to a file that :func:`load` reads back, bit for bit.

    The file is written under another name (``.NAME.*.tmp``), brought to the disk and then renamed:
    killed at any moment, the old file is there or the new one, never half of one.

    Args:
        obj: None, bools, ints, floats, strings, NumPy scalars and arrays, tensors, and lists,
            tuples and dicts of these. Of a tensor the values are kept, not its gradient, history
            or class; tensors that share memory are stored, and come back, apart.
        path: where to; ``.safetensors`` is the usual ending.

    Raises:
        TypeError: something else is in it; the message names the place.
        OSError: the file cannot be written.

    >>> import tempfile, tinygrad_norm as tn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save({"step": 3, "weight": tn.ones(2)}, folder + "/a.safetensors")
    ...     load(folder + "/a.safetensors")
    {'step': 3, 'weight': tensor([1., 1.], shape=(2,), dtype=float32, device=cpu)}
    """
    target = os.path.realpath(_path("save", path))
    if os.path.isdir(target):
        raise IsADirectoryError(f"save: {path} is a directory; name a file in it")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"save: there is no directory {os.path.dirname(target)}; make it "
                                "first, with os.makedirs")
    arrays: dict[str, np.ndarray] = {}
    tree = json.dumps(_encoded(obj, "", 0, arrays), allow_nan=False, separators=(",", ":"))
    if len(tree) > LONGEST:
        raise ValueError(f"save: what stands beside the tensors takes {len(tree)} bytes, and "
                         f"{LONGEST} is the limit; make long lists of numbers arrays")
    header = {KEY: f"{VERSION} {_sum(f'{VERSION} {tree}'.encode())} {tree}"}
    replace_file(target, _safetensors("save").numpy.save(arrays, header))


def load(path: str | os.PathLike[str], map_location: Any = None) -> Any:
    """Read what :func:`save` wrote, all of it checked before anything is returned.

    Of another program's safetensors file, as PyTorch's and Hugging Face's are, it gives a dict of
    its tensors, which ``load_state_dict`` takes: bfloat16 as float32, small ints as int64. Such a
    file has no checksum: that it is complete is checked, not each bit.

    Args:
        path: the file.
        map_location: the device for the tensors; by default the cpu, wherever they were before.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, of another kind or too new.
        OSError: the file cannot be read.
    """
    device = as_device(map_location)
    name = _path("load", path)
    safetensors = _safetensors("load")
    if not os.path.exists(name):
        raise MissingCheckpointError(f"load: there is no file {name} (in {os.getcwd()})")
    if not os.path.isfile(name):
        raise CheckpointError(f"load: {name} is not a file; name a checkpoint in it")
    if not os.path.getsize(name):
        raise CheckpointError(f"load: {name} is empty; {CURE}")
    with open(name, "rb"):  # safetensors says "no such file" of one that may not be read
        pass
    try:
        with safetensors.safe_open(name, framework="np") as file:
            header = (file.metadata() or {}).get(KEY)
            if header is None:
                return foreign.tensors(name, file, device)
            tree = _checked(name, header)
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        if foreign.is_pytorchs(name):
            raise CheckpointError(
                f"load: {name} is not damaged: it is in PyTorch's own format, and what it holds "
                "would have to be executed. In PyTorch, safetensors.torch.save_file("
                "model.state_dict(), 'model.safetensors') writes a file that load reads"
            ) from None
        raise CheckpointError(f"load: {name} is cut short, damaged or no checkpoint at all "
                              f"({error}); {CURE}") from error
    try:
        result = _decoded(json.loads(tree), arrays, device)
    except (LookupError, TypeError, ValueError, RecursionError, struct.error) as error:
        raise CheckpointError(f"load: {name} is damaged: {error}; {CURE}") from error
    if arrays:
        raise CheckpointError(f"load: {name} is damaged: it holds arrays that its tree does not "
                              f"name: {', '.join(sorted(arrays))}; {CURE}")
    return result


def _path(who: str, path: Any) -> str:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{who}: expected a path, got {type(path).__name__}")
    return os.fspath(path)


def _safetensors(who: str) -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f"{who}: checkpoints need safetensors, which is not installed; "
                          "pip install safetensors") from error
    return safetensors


def _sum(data: Any, start: int = 0) -> str:
    return f"{zlib.crc32(data, start):08x}"


def _sum_of(array: np.ndarray) -> str:
    """The checksum of the dtype, the shape and the values."""
    return _sum(array, zlib.crc32(f"{array.dtype.name}{array.shape}".encode()))


# -- the tree as JSON ----------------------------------------------------------------------------


def _encoded(value: Any, place: str, depth: int, arrays: dict[str, np.ndarray]) -> Any:
    """``value`` as JSON takes it; its arrays are put into ``arrays``."""
    kind = type(value)
    if depth > DEPTH:
        raise ValueError(f"save: {place[:60]}... is more than {DEPTH} levels deep; does it "
                         "contain itself?")
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -2**63 <= value < 2**63 else {"int": hex(value)}
    if kind is float:
        finite = value - value == 0
        return value if finite else {"float": struct.pack(">d", value).hex()}
    if kind is list or kind is tuple:
        items = [_encoded(item, f"{place}[{i}]", depth + 1, arrays)
                 for i, item in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if kind is dict:
        return {"dict": [[_encoded_key(key, place, depth),
                          _encoded(item, _below(place, key), depth + 1, arrays)]
                         for key, item in value.items()]}
    if isinstance(value, Tensor):
        return {"tensor": _stored(to_numpy(value.array), place, arrays)}
    if isinstance(value, np.generic):
        return {"scalar": _stored(np.asarray(value), place, arrays)}
    if kind is np.ndarray:  # host memory: it is written as it is
        return {"array": _stored(value, place, arrays)}
    raise _refused(place, kind.__name__)


def _encoded_key(key: Any, place: str, depth: int) -> Any:
    """A key of a dict: what can be one and is equal after loading."""
    parts = key if type(key) is tuple else (key,)
    if not all(part is None or type(part) in (bool, int, float, str, tuple) for part in parts):
        raise _refused(place, f"dict with a key of type {type(key).__name__}")
    if type(key) is tuple:
        return {"tuple": [_encoded_key(part, place, depth + 1) for part in key]}
    return _encoded(key, place, depth, {})


def _below(place: str, key: Any) -> str:
    if type(key) is str:
        return f"{place}.{key}" if place else key
    try:
        return f"{place}[{key!r}]"
    except ValueError:  # Python prints no int of more than 4300 digits
        return f"{place}[...]"


def _refused(place: str, what: str) -> TypeError:
    return TypeError(
        f"{place or 'the object'}: cannot save a {what}; expected None, bool, int, float, str, "
        "tensors, NumPy arrays of numbers, and lists, tuples and dicts of them (not subclasses: "
        "make it a list(...) or a dict(...) first)"
    )


def _stored(array: np.ndarray, place: str, arrays: dict[str, np.ndarray]) -> list[str]:
    """Put ``array`` into ``arrays``; [its name there, its checksum]."""
    if array.dtype.name not in DTYPES:
        raise _refused(place, f"NumPy array of dtype {array.dtype}")
    # Not ascontiguousarray, which makes a 0-d array 1-d; safetensors corrupts any other order.
    array = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
    base = json.dumps(place or "tensor")[1:-1]  # ASCII only, whatever the keys are
    name, n = base, 2
    while name in arrays or name == "__metadata__":
        name, n = f"{base}#{n}", n + 1
    arrays[name] = array
    return [name, _sum_of(array)]


def _checked(name: str, header: str) -> str:
    """The tree of a header whose version is ours and whose checksum holds."""
    match = re.fullmatch(r"([0-9]{1,9}) ([0-9a-f]{8}) (.*)", header, re.ASCII | re.DOTALL)
    if match and int(match[1]) > VERSION:
        raise CheckpointError(
            f"load: {name} has version {match[1]} of the format, and this tinygrad_norm reads up "
            f"to {VERSION}; pip install --upgrade tinygrad_norm"
        )
    if not match or _sum(f"{match[1]} {match[3]}".encode()) != match[2]:
        raise CheckpointError(f"load: {name} is damaged: the checksum of its tree is wrong; {CURE}")
    return match[3]


def _decoded(value: Any, arrays: dict[str, np.ndarray], device: Any) -> Any:
    """What :func:`_encoded` made ``value`` of; takes the arrays out of ``arrays``."""
    if type(value) is list:
        return [_decoded(item, arrays, device) for item in value]
    if type(value) is not dict:
        return value
    (tag, content), = value.items()
    if tag == "dict":
        return {_decoded(key, arrays, device): _decoded(item, arrays, device)
                for key, item in content}
    if tag == "tuple":
        return tuple(_decoded(item, arrays, device) for item in content)
    if tag == "int":
        return int(content, 16)
    if tag == "float":
        return struct.unpack(">d", bytes.fromhex(content))[0]
    if tag not in ("tensor", "array", "scalar"):
        raise ValueError(f"unknown kind {tag!r}")
    name, checksum = content
    if name not in arrays:
        raise ValueError(f"array {name} is missing")
    array = arrays.pop(name)
    if _sum_of(array) != checksum:
        raise ValueError(f"the checksum of {name} is wrong")
    if tag == "tensor":
        return from_numpy(array).to(device)
    return array if tag == "array" else array[()]


# -- onto the disk -------------------------------------------------------------------------------


def replace_file(target: str, data: bytes) -> None:
    """Put ``data`` in the place of the file ``target``, all at once; into a device or pipe, write.
    """
    if os.path.exists(target) and not os.path.isfile(target):  # renamed onto, it would be gone
        with open(target, "wb") as stream:
            stream.write(data)
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno and error.filename in (None, temporary):
            error.filename = target  # a full disk names no file, a missing folder the temporary
        raise
    if os.name == "posix":  # elsewhere a directory cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # the new name is on the disk too
        finally:
            os.close(descriptor)
