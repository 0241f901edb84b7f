"""Schedules that follow from the number of the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar

from ..optimizer import Optimizer
from .base import LRScheduler, checked, for_each_group


class StepLR(LRScheduler):
    """lr is multiplied by ``gamma`` every ``step_size`` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = _positive(self, "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._current()
        return [lr * self.gamma for lr in self._current()]


class MultiStepLR(LRScheduler):
    """lr is multiplied by ``gamma`` at each of the ``milestones``, twice at one named twice."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(int(epoch) for epoch in milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.gamma ** self.milestones.count(self.last_epoch)
        return [lr * factor for lr in self._current()]


class ExponentialLR(LRScheduler):
    """lr is multiplied by ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._current() if self.starting else [lr * self.gamma for lr in self._current()]


class CosineAnnealingLR(LRScheduler):
    """lr falls from its base to ``eta_min`` in ``T_max`` epochs, and rises again, along a cosine.

        lr = eta_min + (base - eta_min) (1 + cos(π epoch / T_max)) / 2

    It is computed from the previous lr, so that it can be combined with other changes to it.

    Source: Loshchilov and Hutter 2017 (arXiv:1608.03983), without the restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = _positive(self, "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.starting:
            return self._current()
        angle = math.pi / self.T_max
        if (self.last_epoch - 1) % (2 * self.T_max) == self.T_max:  # at the bottom: no ratio there
            return [lr + (base - self.eta_min) * (1 - math.cos(angle)) / 2
                    for lr, base in zip(self._current(), self.base_lrs, strict=True)]
        ratio = (1 + math.cos(angle * self.last_epoch)) / (
            1 + math.cos(angle * (self.last_epoch - 1)))
        return [self.eta_min + ratio * (lr - self.eta_min) for lr in self._current()]


class LambdaLR(LRScheduler):
    """lr is the base times ``lr_lambda(epoch)``: one function, or a list with one for each group.

    The functions are not saved in the state dict: give the same ones before loading it.
    """

    unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "lr_lambdas")

    def __init__(
        self, optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = for_each_group(
            self, "lr_lambda", lr_lambda, checked(self, optimizer))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * factor(self.last_epoch)
                for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]


def _positive(scheduler: LRScheduler, name: str, value: int) -> int:
    if not value > 0:
        raise ValueError(f"{type(scheduler).__name__}: expected {name} > 0, got {value}")
    return value
