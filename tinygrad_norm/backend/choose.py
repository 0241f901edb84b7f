"""The two seams of the package: which implementation computes, and which value may be asked.

A formula is written once, in plain array vocabulary; that function is the *reference*. Where an
array's class has a faster way, a kernel is registered for the two, and all callers get it::

    @implements(average, np.ndarray)
    def average_numpy(x, axes, n, by=None): ...

    kernel(average, type(x))(x, axes, n)

Eager code may try the plain way, look at a value, and take the general way if it was not enough::

    ask = expect(type(x))
    if ask is not None and ask(var.max() < 2.0**40): ...

The class of the array decides both: nothing is set for a process or a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol, TypeVar, cast

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

KERNELS: dict[tuple[Callable[..., Any], type | str], Callable[..., Any]] = {}
RECORDS = "tinygrad_norm.compiler"
"""The package of the arrays that record what is done with them: its kernels are few passes, each of
elementwise functions and sums."""
ANSWERS: dict[type, Callable[[Any], bool]] = {np.ndarray: bool}
"""The array classes whose values can be asked at no cost, each with what makes a condition on them
a bool. A class that is not here is not asked: a GPU would have to be waited for."""


def implements(reference: Callable[..., Any], kind: type | str) -> Callable[[F], F]:
    """Register a kernel: what computes ``reference`` for arrays of exactly the class ``kind``.

    A package that is not imported here is named instead: ``"cupy"`` stands for all its classes.
    The kernel takes the same arguments and gives the same results within rounding.
    """

    def register(implementation: F) -> F:
        KERNELS[reference, kind] = implementation
        _chosen.cache_clear()
        return implementation

    return register


@cache
def _chosen(reference: Callable[..., Any], kind: type) -> Callable[..., Any]:
    found, package = KERNELS.get((reference, kind)), kind.__module__
    while found is None and package:
        found = KERNELS.get((reference, package))
        package = package.rpartition(".")[0]
    return found or reference


class _Lookup(Protocol):
    """What a type checker is told of a function that keeps its results."""

    def __call__(self, reference: F, kind: type, /) -> F: ...


kernel = cast("_Lookup", _chosen)
"""``kernel(reference, kind)``: the implementation of ``reference`` for arrays of the class
``kind``; itself where there is no other. One that was asked for before is found without a call of
Python."""

expect = ANSWERS.get
"""``expect(kind)``: how a condition on values of arrays of the class ``kind`` is asked.

None where asking would make a device wait: take the general way. For NumPy it is ``bool``. A class
of arrays that record what is done with them answers with the value of now, and notes that the
answer must stay the same.
"""
