"""Random tensors. Numbers are drawn by NumPy on the cpu and copied, so devices start equal.

Each thread has a generator of its own: what one seeds or draws does not touch another.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..autograd.graph import Value
from ..backend.array import as_device, device_of
from ..backend.random import draw
from .conversion import as_dtype
from .creation import finished, lengths, tensor
from .numbers import as_number, fitted
from .shaping import Sizes
from .tensor import Tensor

_WORD = 2**32


class Generator:
    """A source of random numbers (NumPy's PCG64) with a state that can be saved.

    >>> import tinygrad_norm as tn
    >>> g = tn.Generator().manual_seed(0)
    >>> tn.randperm(4, generator=g).tolist() == tn.randperm(
    ...     4, generator=tn.Generator().manual_seed(0)).tolist()
    True
    """

    def __init__(self) -> None:
        self.numpy = np.random.Generator(np.random.PCG64())

    def manual_seed(self, seed: int) -> Generator:
        """Start over from ``seed``."""
        fresh = np.random.PCG64(np.random.SeedSequence(abs(int(seed))))
        self.numpy.bit_generator.state = fresh.state  # what holds the generator draws on with it
        return self

    def get_state(self) -> Tensor:
        """The state as ten int64 words, to be saved with a checkpoint."""
        state: Any = self.numpy.bit_generator.state
        words = [state["state"][key] >> 32 * i & (_WORD - 1)
                 for key in ("state", "inc") for i in range(4)]
        return tensor([*words, state["has_uint32"], state["uinteger"]])

    def set_state(self, state: Value) -> Generator:
        """Go on from a state that :meth:`get_state` gave."""
        words = [int(w) for w in state.array.tolist()]
        if len(words) != 10:
            raise ValueError(f"set_state: expected 10 words, got {len(words)}")
        whole = [sum(w << 32 * i for i, w in enumerate(words[k : k + 4])) for k in (0, 4)]
        self.numpy.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": whole[0], "inc": whole[1]},
            "has_uint32": words[8],
            "uinteger": words[9],
        }
        return self


_local = threading.local()


def default_generator() -> Generator:
    """This thread's generator."""
    if not hasattr(_local, "generator"):
        _local.generator = Generator()
    return _local.generator


def manual_seed(seed: int) -> Generator:
    """Start this thread's random numbers over from ``seed``."""
    return default_generator().manual_seed(seed)


def get_rng_state() -> Tensor:
    """The state of this thread's generator."""
    return default_generator().get_state()


def set_rng_state(state: Value) -> None:
    """Go on from a state that :func:`get_rng_state` gave."""
    default_generator().set_state(state)


def source(generator: Generator | None) -> np.random.Generator:
    """The NumPy generator to draw from."""
    return (generator or default_generator()).numpy


def _drawn(law: str, *arguments: Any, generator: Generator | None, dtype: Any, device: Any,
           requires_grad: bool = False) -> Tensor:
    array = draw(source(generator), law, *arguments, device=as_device(device),
                 dtype=as_dtype(dtype))
    return finished(array, None, device, requires_grad)


def _floats(law: str, size: Any, generator: Generator | None, dtype: Any, device: Any,
            requires_grad: bool) -> Tensor:
    dtype = as_dtype(dtype, "float32")
    wide = np.dtype("float32") if dtype.itemsize < 8 else dtype
    return _drawn(law, lengths(size), wide, generator=generator, dtype=dtype, device=device,
                  requires_grad=requires_grad)


def rand(*shape: Sizes, size: Sizes | None = None, generator: Generator | None = None,
         dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1)."""
    size = lengths(shape) if size is None else size
    return _floats("random", size, generator, dtype, device, requires_grad)


def randn(*shape: Sizes, size: Sizes | None = None, generator: Generator | None = None,
          dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal with mean 0 and variance 1."""
    size = lengths(shape) if size is None else size
    return _floats("standard_normal", size, generator, dtype, device, requires_grad)


def randint(low: int = 0, high: Any = None, size: Sizes | None = None, *,
            generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """Integers from ``low`` to ``high`` - 1.

    ``randint(low, high, size)``; ``randint(high, size)`` starts at 0.
    """
    if size is None and isinstance(high, tuple | list):
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint: expected a size such as (2, 3), got none; that of a single "
                        "number is ()")
    low, high = as_number("randint", "low", low), as_number("randint", "high", high)
    if high <= low:
        raise RuntimeError(f"randint: expected low < high, got {low} and {high}")
    dtype = as_dtype(dtype, "int64")
    for end in (low, high - 1):
        fitted("randint", end, dtype)
    return _drawn("integers", low, high, lengths(size), generator=generator, dtype=dtype,
                  device=device)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None,
             device: Any = None) -> Tensor:
    """The numbers 0 to n - 1 in random order."""
    (n,), dtype = lengths(n), as_dtype(dtype, "int64")
    fitted("randperm", n, dtype)
    return _drawn("permutation", n, generator=generator, dtype=dtype, device=device)


def rand_like(input: Value, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Tensor:
    """As :func:`rand`, with the input's shape, dtype and device."""
    return rand(size=input.array.shape, requires_grad=requires_grad, **_as(input, dtype, device))


def randn_like(input: Value, *, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:
    """As :func:`randn`, with the input's shape, dtype and device."""
    return randn(size=input.array.shape, requires_grad=requires_grad, **_as(input, dtype, device))


def randint_like(input: Value, low: int = 0, high: int | None = None, *, dtype: Any = None,
                 device: Any = None) -> Tensor:
    """As :func:`randint`, with the input's shape, dtype and device."""
    return randint(low, high, input.array.shape, **_as(input, dtype, device))


def _as(input: Value, dtype: Any, device: Any) -> dict[str, Any]:
    return {"dtype": input.array.dtype if dtype is None else dtype,
            "device": device_of(input.array) if device is None else device}
