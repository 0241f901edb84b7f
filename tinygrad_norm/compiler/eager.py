"""Formulas on large arrays of NumPy's, outside of recorded steps: recorded each, and run as loops.

The machine code of a formula is the same for arrays of any sizes; which loops it has depends on
their shapes a little, as on whether an axis is a multiple of a vector. What a call is bound to, the
table with the sizes and the memory of sums, is kept for each kind of call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from operator import itemgetter
from threading import RLock
from typing import Any

import numpy as np

from ..backend import large
from ..kinds import outside
from . import machine
from .entry import WRONG
from .number import given_number
from .program import Program
from .recording import Question, Recording, Unsupported, call, recorded
from .traced import Traced

KEPT = 256
"""So many kinds of calls are remembered; then the oldest goes."""
LOOPED = frozenset("fdlq?i")
"""The dtypes of arrays that loops are made for."""

Key = tuple[Any, ...]


class Formula:
    """One kind of calls of a function: its program, and where its results are.

    arrays:   gives those among the arguments
    run:      the program, which takes these and numbers
    results:  gives the function's, of the arguments, None, and what the program gave
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...],
                 settings: dict[str, Any], numbers: dict[str, float] | None = None,
                 program: Callable[[Recording], Any] = lambda made: Program(made, general=True),
                 compute: Callable[..., Any] = call) -> None:
        recording = Recording()
        recording.compute = compute
        with recorded(recording):
            given = [Traced(recording, recording.input(copy), copy) if copy is not None else a
                     for a, copy in ((a, _copied(a)) for a in args)]
            changing = {name: given_number(recording, number)
                        for name, number in (numbers or {}).items()}
            results = function(*given, **changing, **settings)
            is_single = not isinstance(results, tuple)
            self.results = _getter([self._place(recording, given, one) for one in (
                (results,) if is_single else results)], is_single)
        self.program = program(recording)
        self.run = self.program.run if self.program.quick is None else self._quickly
        self.evaluate = recording.evaluator()
        self.arrays = _getter([i for i, a in enumerate(args) if a.__class__ is np.ndarray])

    @staticmethod
    def _place(recording: Recording, given: list[Any], result: Any) -> int:
        if result is None:
            return len(given)
        for i, one in enumerate(given):
            if one is result:
                return i
        if type(result) is not Traced:
            raise Unsupported(f"a result of the class {type(result).__name__}")
        if result.slot not in recording.outputs:
            recording.outputs.append(result.slot)
        return len(given) + 1 + recording.outputs.index(result.slot)

    def _quickly(self, arrays: Sequence[np.ndarray], numbers: Sequence[Any]
                 ) -> list[np.ndarray] | None:
        """As ``program.run``, of little work."""
        program = self.program
        new = [make() for make in program.makers]
        wrong = program.quick(*arrays, *new, *numbers)
        if wrong == WRONG:
            copies = [*map(np.ascontiguousarray, arrays)]
            wrong = program.quick(*copies, *new, *numbers)
            for i in program.written:
                if copies[i] is not arrays[i]:
                    arrays[i][...] = copies[i]
        return None if wrong else new


def _getter(at: list[int], is_single: bool = False) -> Callable[[tuple[Any, ...]], Any]:
    """What takes the entries at these places out of a tuple: a tuple, or the only one."""
    return itemgetter(*at) if is_single or len(at) > 1 else itemgetter(slice(at[0], at[0] + 1))


def _copied(a: Any) -> np.ndarray | None:
    """An array that may be recorded in the place of a; None for what is no array."""
    return a.copy() if isinstance(a, np.ndarray) else None  # host memory: this is its compiler


_known: dict[Key, Formula | None] = {}
_lock = RLock()


def run(function: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]) -> Any:
    """``function(*args, **settings)``, by loops where they can be made and hold."""
    key: Key = (function, *[(a.shape, a.dtype) if a.__class__ is np.ndarray else a
                            for a in args], *settings.items())
    try:
        formula = _known[key]
    except KeyError:
        formula = _made(key, function, args, settings)
    except TypeError:  # a setting that has no hash
        formula = None
    if formula is not None:
        found = formula.run(formula.arrays(args), ())
        if found is not None:
            return formula.results((*args, None, *found))
    return function(*args, **settings)


def update(function: Callable[..., Any], arrays: tuple[Any, ...], numbers: dict[str, float],
           settings: dict[str, Any]) -> bool:
    """``function(*arrays, **numbers, **settings)``, which writes to arrays and gives nothing.

    Args:
        numbers: what may change from call to call.

    Returns:
        Whether it was done; if not, nothing was.
    """
    key: Key = (function, *[(a.shape, a.dtype) for a in arrays], *settings.items(), *numbers)
    try:
        formula = _known[key]
    except KeyError:
        formula = _made(key, function, arrays, settings, numbers)
    except TypeError:  # a setting that has no hash
        formula = None
    if formula is None:
        return False
    for i in formula.program.written:
        if not arrays[i].flags.writeable:  # NumPy says so
            return False
    values = formula.evaluate([*numbers.values()])
    return values is not None and formula.run(formula.arrays(arrays), values) is not None


def _made(key: Key, function: Callable[..., Any], args: tuple[Any, ...],
          settings: dict[str, Any], numbers: dict[str, float] | None = None) -> Formula | None:
    """The formula of a new kind of calls; None where it stays with NumPy."""
    if not machine.available():
        large.run = large.update = None
        return None
    if any(isinstance(a, np.generic) for a in (*args, *settings.values())):
        return None  # np.float64(0.1) widens float32, and is equal to 0.1, which does not
    with _lock:
        if key in _known:
            return _known[key]
        if len(_known) >= KEPT:
            del _known[next(iter(_known))]
        formula = None
        if all(a.dtype.char in LOOPED and a.dtype.isnative
               for a in args if a.__class__ is np.ndarray):
            try:
                formula = Formula(function, args, settings, numbers)
            except (Unsupported, Question):
                pass
            except Exception as error:
                warnings.warn(f"{function.__name__} runs without loops, as making them failed "
                              f"({type(error).__name__}: {error}); please report it",
                              RuntimeWarning, stacklevel=outside())
        _known[key] = formula
        return formula


large.run, large.update = run, update
