"""Formulas on CuPy's arrays, each as a few kernels: as ``eager.py`` for NumPy's.

A recording is made from shapes alone, with nothing copied and nothing asked, so that no call waits
for the GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import Any

import numpy as np

from ..backend import large
from ..kinds import outside
from .cuda_program import CudaProgram, is_cupy
from .device import unasked
from .eager import KEPT, LOOPED, Formula, Key
from .recording import Unsupported
from .shapes import shaped

_known: dict[Key, Formula | None] = {}
_lock = RLock()


def run(function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """``function(*args, **settings)``, by kernels of its own where they can be made."""
    names = tuple(name for name, value in settings.items() if is_cupy(value))
    if names:  # arrays among the settings, such as an eps for each mean
        args = (*args, *(settings[name] for name in names))
        settings = {name: value for name, value in settings.items() if name not in names}
        function = _with(function, names)
    formula = _formula(function, args, settings, {})
    if formula is None:
        return function(*args, **settings)
    found = formula.run(formula.arrays(args), ())
    assert found is not None, "no condition is asked of a GPU"
    return formula.results((*args, None, *found))


@cache
def _with(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """``function`` with its last arguments as the settings of those names."""

    def called(*args: Any, **settings: Any) -> Any:
        given = len(args) - len(names)
        return function(*args[:given], **settings, **dict(zip(names, args[given:], strict=True)))

    called.__name__ = function.__name__
    return called


def update(function: Callable[..., Any], arrays: tuple[Any, ...], numbers: dict[str, float],
           settings: dict[str, Any]) -> bool:
    """``function(*arrays, **numbers, **settings)``, which writes to arrays; whether it was done."""
    formula = _formula(function, arrays, settings, numbers)
    if formula is None:
        return False
    values = formula.evaluate([*numbers.values()])
    if values is None:
        return False
    formula.run(formula.arrays(arrays), values)
    return True


def _formula(function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any],
             numbers: dict[str, float]) -> Formula | None:
    key: Key = (function, *[(a.shape, a.dtype.char, a.device.id) if is_cupy(a) else a
                            for a in args], *settings.items(), *numbers)
    try:
        return _known[key]
    except KeyError:
        return _made(key, function, args, settings, numbers)
    except TypeError:  # a setting that has no hash
        return None


def _made(key: Key, function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any],
          numbers: dict[str, float]) -> Formula | None:
    if any(isinstance(a, np.generic) for a in (*args, *settings.values())):
        return None  # as in eager.py: it widens, and is equal to a number that does not
    with _lock:
        if key in _known:
            return _known[key]
        if len(_known) >= KEPT:
            del _known[next(iter(_known))]
        formula = None
        arrays = [a for a in args if is_cupy(a)]
        device = arrays[0].device.id
        if all(a.dtype.char in LOOPED and a.size and a.device.id == device for a in arrays):
            given = tuple(np.zeros(a.shape, a.dtype) if is_cupy(a) else a for a in args)
            try:
                with unasked():
                    formula = Formula(function, given, settings, numbers, compute=shaped,
                                      program=lambda made: CudaProgram(made, device, general=True))
            except Unsupported:
                pass
            except Exception as error:
                warnings.warn(f"{function.__name__} runs without kernels of its own, as making "
                              f"them failed ({type(error).__name__}: {error}); please report it",
                              RuntimeWarning, stacklevel=outside())
        _known[key] = formula
        return formula


large.elsewhere["cupy"] = run, update
