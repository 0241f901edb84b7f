"""Steps compiled once for all networks of a kind: a lesson trains the same network many times, from
other weights, with another rate, and recording its step takes as long as some thousand steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tinygrad_norm import Tensor
from tinygrad_norm import compile as compiled
from tinygrad_norm.nn import Module
from tinygrad_norm.optim import Optimizer

Criterion = Callable[[Any, Any], Tensor]
MOST = 64
"""Kinds of networks that are kept."""
_kept: dict[Any, Twin | None] = {}


class Twin:
    """A copy of a network and its optimizer, and their compiled step: the copy's tensors take the
    memory of those of the network that is to be trained.

    Args:
        make: of a network, an optimizer and a criterion the step.
    """

    def __init__(self, make: Callable[..., Any], model: Module, optimizer: Optimizer,
                 criterion: Criterion) -> None:
        self.model, self.optimizer = copy.deepcopy((model, optimizer))
        self.step = compiled(make(self.model, self.optimizer, criterion))

    def lent(self, model: Module, optimizer: Optimizer) -> Callable[[Tensor, Tensor], Tensor]:
        """The step, for a network of the same kind whose optimizer took none yet; what this one
        would keep, such as momentum, the copy keeps."""
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        for mine, given in pairs:
            mine.data = given.data
        for state in self.optimizer.state.values():
            for tensor in state.values():
                tensor.zero_()

        def step(x: Tensor, y: Tensor) -> Tensor:
            for group, now in zip(self.optimizer.param_groups, optimizer.param_groups,
                                  strict=True):
                group.update((name, value) for name, value in now.items()
                             if name != "params" and value != group.get(name))
            loss: Tensor = self.step(x, y)
            optimizer.stepped = True
            for mine, given in pairs:
                if mine.array is not given.array:  # of a step that was not compiled
                    given.data = mine.data
            return loss
        return step


def kept(make: Callable[..., Any], model: Module, optimizer: Optimizer, criterion: Criterion, *,
         now: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """The compiled step of such a network, which is compiled when it is met again, or ``now``; the
    step as it is before that."""
    kind = (criterion, type(optimizer), *map(_of_group, optimizer.param_groups),
            *_structure(model, list(_tensors(model))))
    met, twin = kind in _kept, _kept.get(kind)
    if len(_kept) >= MOST and not met:
        _kept.clear()
    if twin is None and (met or now):
        twin = Twin(make, model, optimizer, criterion)
    _kept[kind] = twin
    return make(model, optimizer, criterion) if twin is None else twin.lent(model, optimizer)


def forget() -> None:
    """Begin anew, as each lesson does: a kind that an earlier one met would be compiled at once,
    and loops round otherwise than NumPy."""
    _kept.clear()


def _tensors(model: Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _of_group(group: dict[str, Any]) -> Any:
    """A group's sizes, and which of its numbers are 0: that decides what there is to compute."""
    return (*(p.shape for p in group["params"]),
            *((name, bool(value)) for name, value in group.items() if name != "params"))


def _structure(model: Module, tensors: list[Tensor]) -> Iterator[Any]:
    """What networks of a kind have in common: all but the values of their tensors. What holds an
    object that cannot be looked into has none of its kind."""
    yield from ((t.shape, t.dtype, t.requires_grad) for t in tensors)
    for name, module in model.named_modules():
        yield name, type(module)
        for key, value in vars(module).items():
            yield key, _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Module | Tensor):
        return type(value)
    if isinstance(value, dict):
        return tuple((key, _plain(one)) for key, one in value.items())
    if isinstance(value, list | tuple):
        return type(value), *map(_plain, value)
    if isinstance(value, int | float | str | None) or callable(value):
        return type(value), value
    return (type(value), _plain(vars(value))) if hasattr(value, "__dict__") else object()
