"""Formulas on large arrays of NumPy's, outside of recorded steps: recorded each, and run as loops.

The machine code of a formula is the same for arrays of any sizes; which loops it has depends on
their shapes a little, as on whether an axis is a multiple of a vector. What a call is bound to, the
table with the sizes and the memory of sums, is kept for each kind of call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np

from ..backend import large
from ..kinds import outside
from . import machine
from .program import Program
from .recording import Question, Recording, Unsupported, current, recorded
from .traced import Traced

KEPT = 256
"""So many kinds of calls are remembered; then the oldest goes."""
LOOPED = frozenset("fdlq?i")
"""The dtypes of arrays that loops are made for."""

Key = tuple[Any, ...]


class Formula:
    """One kind of calls of a function: its program, and where its results are.

    places:  for each result the number of an output, or of an argument (from -1 down), or None
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...],
                 settings: dict[str, Any]) -> None:
        recording = Recording()
        with recorded(recording):
            given = [Traced(recording, recording.input(copy), copy) if copy is not None else a
                     for a, copy in ((a, _copied(a)) for a in args)]
            results = function(*given, **settings)
            self.is_single = not isinstance(results, tuple)
            self.places = [self._place(recording, given, one)
                           for one in ((results,) if self.is_single else results)]
        self.program = Program(recording, general=True)

    @staticmethod
    def _place(recording: Recording, given: list[Any], result: Any) -> int | None:
        if result is None:
            return None
        for i, one in enumerate(given):
            if one is result:
                return -1 - i
        if type(result) is not Traced:
            raise Unsupported(f"a result of the class {type(result).__name__}")
        recording.outputs.append(result.slot)
        return len(recording.outputs) - 1

    def __call__(self, args: tuple[Any, ...]) -> Any:
        """The results; NotImplemented where the loops do not hold for these values."""
        found = self.program.run([a for a in args if a.__class__ is np.ndarray], ())
        if found is None:
            return NotImplemented
        if self.is_single:
            place = self.places[0]
            return None if place is None else found[place] if place >= 0 else args[-1 - place]
        return tuple([None if i is None else found[i] if i >= 0 else args[-1 - i]
                      for i in self.places])


def _copied(a: Any) -> np.ndarray | None:
    """An array that may be recorded in the place of a; None for what is no array."""
    return a.copy() if isinstance(a, np.ndarray) else None  # host memory: this is its compiler


_known: dict[Key, Formula | None] = {}
_lock = RLock()


def run(function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """``function(*args, **settings)``, by loops where they can be made."""
    key: Key = (function, *[(a.shape, a.dtype.char) if a.__class__ is np.ndarray else a
                            for a in args], *settings.items())
    try:
        formula = _known[key]
    except KeyError:
        formula = _made(key, function, args, settings)
    except TypeError:  # a setting that has no hash
        formula = None
    if formula is not None:
        results = formula(args)
        if results is not NotImplemented:
            return results
    return function(*args, **settings)


def _made(key: Key, function: Callable[..., Any], args: tuple[Any, ...],
          settings: dict[str, Any]) -> Formula | None:
    """The formula of a new kind of calls; None where it stays with NumPy."""
    if not machine.available():
        large.run = None
        return None
    with _lock:
        if key in _known:
            return _known[key]
        if len(_known) >= KEPT:
            del _known[next(iter(_known))]
        formula = None
        if all(a.dtype.char in LOOPED for a in args if a.__class__ is np.ndarray):
            token = current.set(None)
            try:
                formula = Formula(function, args, settings)
            except (Unsupported, Question):
                pass
            except Exception as error:
                warnings.warn(f"{function.__name__} runs without loops, as making them failed "
                              f"({type(error).__name__}: {error}); please report it",
                              RuntimeWarning, stacklevel=outside())
            finally:
                current.reset(token)
        _known[key] = formula
        return formula


def forget() -> None:
    """Drop all that was made."""
    with _lock:
        _known.clear()


large.run = run
