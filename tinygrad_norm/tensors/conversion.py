"""Dtypes, devices, NumPy, Python numbers and DLPack."""

from __future__ import annotations

import builtins
import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.graph import Value, tick, wrap
from ..autograd.sharing import share
from ..backend.array import (
    Device,
    array_module,
    as_device,
    device_of,
    plain,
    still,
    to_device,
    to_numpy,
)
from ..errors import DeviceError
from ..ops.transfer import cast, move, truncate
from ..ops.transfer import copy as copy_op

if TYPE_CHECKING:
    from .tensor import Tensor

DTYPES = tuple(np.dtype(n) for n in ("float16", "float32", "float64", "int32", "int64", "bool"))


NAMES = tuple(d.name for d in DTYPES)


def as_dtype(dtype: Any, default: Any = None) -> np.dtype:
    """One of float16, float32, float64, int32, int64, bool; the default in the place of None."""
    dtype = default if dtype is None else dtype
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result not in DTYPES:  # None == np.dtype("float64")
        raise TypeError(f"dtype: expected one of {', '.join(NAMES)}, got {dtype!r}")
    return result


def destination(
    args: tuple[Any, ...], dtype: Any = None, device: Any = None, non_blocking: bool = False
) -> tuple[np.dtype | None, Device | None]:
    """What the arguments of ``to(...)`` ask for: a dtype, a device, or another tensor's both.

    ``non_blocking`` is accepted, without effect.
    """
    for value in args:
        if isinstance(value, Value):
            dtype, device = value.array.dtype, device_of(value.array)
        elif isinstance(value, Device | int):
            device = value
        elif isinstance(value, str):
            if value in NAMES:
                dtype = value
            else:
                device = value
        elif value is not None:
            dtype = value
    return (None if dtype is None else as_dtype(dtype),
            None if device is None else as_device(device))


class Conversion(Value):
    """Out of the tensor, and into another dtype or device."""

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def is_floating_point(self) -> bool:
        return bool(self.array.dtype.kind == "f")

    def to(self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
           copy: bool = False) -> Tensor:
        """In another dtype, on another device, or as another tensor is; itself if nothing changes.

        ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``.
        """
        dtype, device = destination(args, dtype, device, non_blocking)
        result: Any = self
        if dtype is not None and dtype != self.array.dtype:
            result = (cast if dtype.kind == "f" else truncate)(result, dtype=dtype)
        if device is not None and device != device_of(self.array):
            result = move(result, device=device)
        return result.clone() if copy and result is self else result

    def cpu(self) -> Tensor:
        return self.to(device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Tensor:
        """On a GPU: the current one, or of that number."""
        return self.to(device="cuda" if device is None else device)

    def float(self) -> Tensor:
        return self.to(np.dtype("float32"))

    def double(self) -> Tensor:
        return self.to(np.dtype("float64"))

    def half(self) -> Tensor:
        return self.to(np.dtype("float16"))

    def long(self) -> Tensor:
        return self.to(np.dtype("int64"))

    def int(self) -> Tensor:
        return self.to(np.dtype("int32"))

    def bool(self) -> Tensor:
        return self.to(np.dtype("bool"))

    def type_as(self, other: Value) -> Tensor:
        return self.to(other.array.dtype)

    def numpy(self, *, force: builtins.bool = False) -> np.ndarray:
        """The array, sharing memory; with ``force`` that of ``detach().cpu()``.

        Raises:
            RuntimeError: the tensor requires grad. TypeError: it is not on the cpu.
        """
        if force:
            return to_numpy(self.array)
        if self.tracked:
            raise RuntimeError(
                "numpy: can't be called on a tensor that requires grad; use .detach().numpy()"
            )
        if not isinstance(self.array, np.ndarray):  # host memory: none is copied to it unasked
            raise TypeError(
                f"numpy: can't convert a tensor on {self.device}; use .cpu() to copy it first"
            )
        return self.array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and dtype != array.dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The one value as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(
                f"item: a tensor of shape {self.array.shape} cannot be converted to a scalar; "
                "take one element, or .tolist()"
            )
        return self.array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return to_numpy(self.array).tolist()

    def __float__(self) -> Any:
        return float(self.item())

    def __int__(self) -> Any:
        return int(self.item())

    def __index__(self) -> Any:
        if self.array.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be used as an index")
        return int(self.item())

    def __bool__(self) -> Any:
        if self.array.size != 1:
            raise RuntimeError(
                f"bool: the truth of a tensor of shape {self.array.shape} is ambiguous; "
                "use .any() or .all()"
            )
        return bool(self.array.item())

    def __format__(self, spec: str) -> str:
        if self.array.ndim == 0:
            return format(self.item(), spec)
        return format(str(self), spec)

    def detach(self) -> Tensor:
        """The same memory without history."""
        result = wrap(self.result_class, still(self.array))
        share(result, self)
        return result

    def clone(self) -> Tensor:
        """A copy, with history."""
        return copy_op(self)

    def contiguous(self) -> Tensor:
        """Itself, or a copy when its memory is not in order."""
        if self.array.flags.c_contiguous:
            return self  # type: ignore[return-value]
        return copy_op(self)

    def is_contiguous(self) -> Any:
        return bool(self.array.flags.c_contiguous)

    def __deepcopy__(self, memo: dict[Any, Any]) -> Tensor:
        if self.edge is not None:
            raise RuntimeError(
                "deepcopy: only leaf tensors can be copied deeply; use .detach().clone()"
            )
        result = wrap(type(self), self.array.copy())
        memo[id(self)] = result
        result.written[0] = self.written[0]  # its values are as old
        result.tracked = self.tracked
        for name, value in vars(self).items():  # with what a subclass keeps
            if name not in ("hooks", "_base", "_calls"):
                setattr(result, name, copy.deepcopy(value, memo))
        return result

    def __copy__(self) -> Tensor:
        """Another tensor of the same memory, at the same place in the graph."""
        result = wrap(type(self), self.array)
        vars(result).update(vars(self))
        share(result, self, follows=True)
        result.tracked, result.edge = self.tracked, self.edge
        return result

    def __getstate__(self) -> Any:
        """For a pickle: without the tensors that share the memory."""
        if self.edge is not None:
            raise RuntimeError(
                f"pickle: only leaf tensors can be pickled, and {self.edge[0].name()} made this one"
                "; use .detach(), or tn.save, which keeps values only"
            )
        names = {name: value for name, value in vars(self).items()
                 if name not in ("_base", "_calls")}
        return names, {"array": self.array, "tracked": self.tracked, "edge": self.edge,
                       "written": [self.written[0], False]}

    def __setstate__(self, state: Any) -> None:
        """Out of a pickle: what was written at a time of another process was written now."""
        names, slots = state
        for name, value in {**(names or {}), **slots}.items():
            setattr(self, name, value)
        if self.written[0]:
            self.written[0] = tick()

    def __dlpack__(self, **options: Any) -> Any:
        """Hand the memory to another library."""
        if self.tracked:
            raise BufferError("dlpack: can't export a tensor that requires grad; detach() it")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the memory of a NumPy array, be it of a subclass such as memmap."""
    if not isinstance(array, np.ndarray):  # host memory: it is shared
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    as_dtype(array.dtype)
    return wrap(Value.result_class, plain("from_numpy", array))


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of another library's, on the cpu or a GPU."""
    if not hasattr(source, "__dlpack_device__"):
        raise TypeError("from_dlpack: expected a tensor of another library, with __dlpack__, got "
                        f"{type(source).__name__}")
    kind = int(plain("from_dlpack", source).__dlpack_device__()[0])
    if kind == 1:
        array = np.from_dlpack(source)
    elif kind == 2:
        array = array_module(to_device(np.zeros(0), as_device("cuda"))).from_dlpack(source)
    else:
        raise DeviceError(f"from_dlpack: expected memory of the cpu or of cuda, got kind {kind}")
    as_dtype(array.dtype)
    return wrap(Value.result_class, array)
