"""The forms of a layer: for images, for volumes, and those that are lazy, each one to try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..nn import normalization as norms
from . import catalogue
from .catalogue import Entry, Inputs

MORE = {"1d": (), "2d": (2,), "3d": (2, 2)}
"""The spatial axes that an input of the 1d form lacks."""


def every() -> list[Entry]:
    """All entries of the catalogue, each followed by its other forms."""
    return [form for one in catalogue.ENTRIES for form in family(one)]


def family(one: Entry) -> Iterator[Entry]:
    """The entry itself, and those of its 2d, 3d and lazy forms, with the same arguments."""
    yield one
    for name in (*names(one.name)[1:], *names(one.name, lazy=True)):
        kind = getattr(norms, name)
        make = partial(one.make, kind=_unsized(kind) if name.startswith("Lazy") else kind)
        yield one._replace(name=name, make=make, inputs=_wider(one.inputs, MORE[name[-2:]]))


def names(name: str, *, lazy: bool = False) -> list[str]:
    """Of a layer's forms, 1d first; of the lazy ones there may be none."""
    stem = "Lazy" * lazy + name.removesuffix("1d")
    if not name.endswith("1d"):
        return [] if lazy else [name]
    return [stem + form for form in MORE if hasattr(norms, stem + form)]


def joined(forms: list[str]) -> str:
    """BatchNorm1d/2d/3d"""
    return "/".join([*forms[:1], *(form[-2:] for form in forms[1:])])


def _unsized(kind: Any) -> Callable[..., Any]:
    """A lazy class, made without the number of channels."""
    return lambda num_features, *arguments, **options: kind(*arguments, **options)


def _wider(inputs: Inputs, more: tuple[int, ...]) -> Inputs:
    def wide(random: np.random.Generator) -> tuple[np.ndarray, ...]:
        x, *rest = inputs(random)
        return random.normal(0.3, 1.2, (*x.shape, *more)), *rest

    return wide
