"""Index maps: where the arguments of a value are read when the value is read at an index.

An index has an element for each axis: ``(start, step, atoms)`` is start + step · i, where i counts
through the atoms, ``((atom, size), …)``, the last one fastest. An atom is one loop of a nest.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .values import Value

Atom = Any
"""A loop of a nest, or a part of it: (loop, place)."""
Element = tuple[int, int, tuple[tuple[Atom, int], ...]]
Index = tuple[Element, ...]
NONE: Element = (0, 1, ())


class Keep(Exception):
    """An index that is no such map: the value must be kept in memory."""

    def __init__(self, value: Value) -> None:
        self.value = value


class Split(Exception):
    """A loop must be cut in two, so that the inner one has ``size`` steps."""

    def __init__(self, atom: Atom, size: int) -> None:
        self.atom, self.size = atom, size


def below(v: Value, k: int, index: Index) -> Index:
    """Where argument k of ``v`` is read when ``v`` is read at ``index``."""
    x = v.args[k]
    if v.op == "moved":
        found: list[Element] = [NONE] * len(index)
        for element, axis in zip(index, v.attr, strict=True):
            found[axis] = element
        return tuple(found)
    if v.op == "part":
        kept = iter(index)
        return tuple(_shifted(next(kept), start, step) if is_kept else (start, 1, ())
                     for start, step, is_kept in v.attr)
    if v.op == "reshaped":
        return reshaped(index, v.shape, x)
    return tuple(NONE if n == 1 else element for element, n in zip(
        index[len(index) - len(x.shape):], x.shape, strict=True))


def _shifted(element: Element, start: int, step: int) -> Element:
    return start + step * element[0], step * element[1], element[2]


def reshaped(index: Index, shape: tuple[int, ...], x: Value) -> Index:
    """Where x is read when its reshape to ``shape`` is read at ``index``."""
    elements = [e for e, n in zip(index, shape, strict=True) if n > 1]
    sizes = [n for n in shape if n > 1]
    if sizes == [n for n in x.shape if n > 1]:
        left = iter(elements)
        return tuple(next(left) if n > 1 else NONE for n in x.shape)
    atoms: list[tuple[Atom, int]] = []
    for (start, step, own), n in zip(elements, sizes, strict=True):
        if start or step != 1 or math.prod(size for _, size in own) != n:
            raise Keep(x)
        atoms += own
    found: list[Element] = []
    for n in reversed(x.shape):
        own_atoms: list[tuple[Atom, int]] = []
        size = 1
        while size < n:
            atom, length = atoms.pop()
            own_atoms.insert(0, (atom, length))
            size *= length
            if size > n:
                inner = n // (size // length)
                if n % (size // length) or length % inner:
                    raise Keep(x)
                raise Split(atom, inner)
        found.insert(0, (0, 1, tuple(own_atoms)))
    return tuple(found)


def steps(index: Index, strides: tuple[int, ...]) -> tuple[int, dict[Atom, int]]:
    """(offset, stride of each atom) of an index into memory with such strides."""
    offset = 0
    by_atom: dict[Atom, int] = {}
    for (start, step, atoms), stride in zip(index, strides, strict=True):
        offset += start * stride
        each = step * stride
        for atom, size in reversed(atoms):
            by_atom[atom] = by_atom.get(atom, 0) + each
            each *= size
    return offset, by_atom


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous array, in elements."""
    found = [1]
    for n in reversed(shape[1:]):
        found.append(found[-1] * max(n, 1))
    return tuple(reversed(found))[:len(shape)] if shape else ()


def stored(v: Value) -> Value:
    """What is in memory where v is wanted there: v, or what v is a transpose or reshape of."""
    while v.op in ("moved", "reshaped"):
        v = v.args[0]
    return v


def view(v: Value) -> tuple[int, ...] | None:
    """The strides, in elements, of v as a view of the contiguous array that it is ``stored`` in;
    None where a reshape would have to copy."""
    chain = []
    while v.op in ("moved", "reshaped"):
        chain.append(v)
        v = v.args[0]
    # of bytes that are never read
    array = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), v.shape, strides_of(v.shape))
    for step in reversed(chain):
        if step.op == "moved":
            array = array.transpose(step.attr)
        else:
            try:
                array = array.reshape(step.shape, copy=False)
            except ValueError:
                return None
    return array.strides


def plain_loops(index: Index) -> list[tuple[int, int]] | None:
    """The loops that an index runs through, in order, each with its size; None if it is no plain
    one."""
    found: list[tuple[int, int]] = []
    for start, step, atoms in index:
        if start or step != 1:
            return None
        for (loop, place), size in atoms:
            if place == 0:
                found.append((loop, size))
            elif not found or found[-1][0] != loop:
                return None
            else:
                found[-1] = (loop, found[-1][1] * size)
    return found
