"""What a call of NumPy's gives, in shape and dtype alone.

Recordings whose arrays lie elsewhere have memory that nobody has touched in their place, which
costs nothing. Views and small arrays are made as ever; a large result is not computed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

SMALL = 1 << 14
REDUCTIONS = frozenset(("sum", "max", "min", "amax", "amin", "any", "all", "mean", "prod"))
VIEWS = frozenset(("reshape", "ravel", "transpose", "swapaxes", "moveaxis", "squeeze",
                   "expand_dims", "broadcast_to", "view", "flip", "asarray"))
BINARY = {operator.iadd: operator.add, operator.isub: operator.sub, operator.imul: operator.mul,
          operator.itruediv: operator.truediv, operator.ifloordiv: operator.floordiv,
          operator.imod: operator.mod, operator.ipow: operator.pow, operator.iand: operator.and_,
          operator.ior: operator.or_, operator.ixor: operator.xor}
"""Of what writes in place that which makes a new array."""


def shaped(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """``function(*args, **settings)``, but for the values of large results."""
    arrays = [one for one in args if isinstance(one, np.ndarray)]  # host memory: of a recording
    name = getattr(function, "method", getattr(function, "__name__", ""))
    if name in VIEWS or all(a.size <= SMALL for a in arrays) or (
            name == "getitem" and not isinstance(args[1], np.ndarray)):  # host memory: as above
        with np.errstate(all="ignore"):
            return function(*args, **settings)
    if function is operator.setitem:
        np.broadcast_to(np.empty(np.shape(args[2]), np.bool_), args[0][args[1]].shape)
        return None
    out = args[0] if function in BINARY else settings.pop("out", None)
    if name in REDUCTIONS:
        result = _reduced(function, *args, **settings)
    elif function in (np.matmul, operator.matmul, np.dot) and min(a.ndim for a in arrays) > 1:
        a, b = arrays
        kind = function(a[..., :1, :1], b[..., :1, :1]).dtype
        result = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]),
                           a.shape[-2], b.shape[-1]), kind)
    elif isinstance(function, np.ufunc) or getattr(operator, name, None) is function or name in (
            "where", "clip", "astype", "copy"):
        result = _elementwise(BINARY.get(function, function), *args, **settings)
    else:
        with np.errstate(all="ignore"):
            return function(*args, **settings, **({} if out is None else {"out": out}))
    if out is None:
        return result
    assert np.broadcast_shapes(out.shape, result.shape) == out.shape, "NumPy raises there"
    return out


def _elementwise(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """The dtype is that of a single element."""
    # host memory: that of a recording
    few = [np.empty((1,) * a.ndim, a.dtype) if isinstance(a, np.ndarray) else a for a in args]
    with np.errstate(all="ignore"):
        found = function(*few, **settings)
    shape = np.broadcast_shapes(*(a.shape for a in args
                                  if isinstance(a, np.ndarray)))  # host memory: as above
    many = tuple(np.zeros(shape, one.dtype) for one in (
        found if isinstance(found, tuple) else (found,)))
    return many if isinstance(found, tuple) else many[0]


def _reduced(function: Callable[..., Any], x: np.ndarray, *args: Any, **settings: Any) -> Any:
    """Of an array of ones' length in each axis, but for the shape."""
    few = function(np.empty((1,) * x.ndim, x.dtype), *args, **settings)
    axes = settings.get("axis", args[0] if args else None)
    axes = range(x.ndim) if axes is None else np.atleast_1d(axes) % x.ndim
    gone = {int(a) for a in axes}
    keep = settings.get("keepdims", False)
    return np.zeros([1 if i in gone else n for i, n in enumerate(x.shape)
                     if keep or i not in gone], np.asarray(few).dtype)
