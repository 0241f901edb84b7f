"""NumPy's own matrix products, for machine code to call: cblas's sgemm and dgemm, 64-bit integers.

They are asked of the library that NumPy itself is linked with. There is none where it does not
offer them by a name that tells the width of its integers.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from typing import Any

import numpy as np

NAMES = ("scipy_cblas_{}64_",  # OpenBLAS in NumPy's wheels
         "cblas_{}64_",  # OpenBLAS of distributions, and the reference
         "cblas_{}$NEWLAPACK$ILP64",  # Apple's Accelerate
         "cblas_{}_64")  # MKL
THREADS = "scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_"
ROWS, AS_IT_IS, TURNED = 101, 111, 112
"""cblas's words for an order of values, and for what is done to a matrix."""


@cache
def address(dtype: str) -> int | None:
    """Of the product for "float32" or "float64", once it has multiplied rightly."""
    number, name = {"float32": (ctypes.c_float, "sgemm"), "float64": (ctypes.c_double, "dgemm")
                    }[dtype]
    a, b = np.arange(12, dtype=dtype).reshape(2, 3, 2)
    for form in NAMES:
        product: Any = getattr(_library(), form.format(name), None)
        if product is None:
            continue
        out, size, place = np.ones((2, 2), dtype), ctypes.c_int64, ctypes.c_void_p
        product(ROWS, TURNED, AS_IT_IS, size(2), size(2), size(3), number(2), place(a.ctypes.data),
                size(2), place(b.ctypes.data), size(2), number(1), place(out.ctypes.data), size(2))
        if (out == 2 * (a.T @ b) + 1).all():
            return ctypes.cast(product, ctypes.c_void_p).value
    return None


@cache
def threads() -> tuple[Any, Any] | None:
    """OpenBLAS's functions that get and set how many threads it takes, in the whole process."""
    for form in THREADS:
        found = [getattr(_library(), form.format(verb), None) for verb in ("get", "set")]
        if None not in found:
            return found[0], found[1]
    return None


@cache
def _library() -> Any:
    """What NumPy's compiled part is found in, with the libraries that it is linked with."""
    try:
        return ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError, AttributeError):  # this NumPy is built in another way
        return None
