"""The learning rate falls when a metric no longer improves."""

from __future__ import annotations

import math
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, checked, for_each_group


class ReduceLROnPlateau(LRScheduler):
    """lr is multiplied by ``factor`` after more than ``patience`` epochs without improvement.

    Args:
        optimizer: whose groups are written to.
        mode: ``"min"`` when smaller is better, ``"max"`` when larger is.
        factor: what lr is multiplied by, below 1.
        patience: how many epochs in a row may bring no improvement.
        threshold: by how much a metric must beat the best so far: by that part of it
            (``threshold_mode="rel"``) or by that amount (``"abs"``).
        cooldown: how many epochs after a reduction are not counted.
        min_lr: lr does not fall below it; a list has one for each group.
        eps: changes of lr that are not larger are left out.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float | list[float] = 0, eps: float = 1e-8,
    ) -> None:
        self.optimizer = checked(self, optimizer)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: Factor should be < 1.0, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode {mode} is unknown! expected min or max")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold mode {threshold_mode} is unknown! "
                             "expected rel or abs")
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = for_each_group(self, "min_lr", min_lr, optimizer)
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._current()

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def is_better(self, metric: float) -> bool:
        """Whether ``metric`` beats the best so far by the threshold; NaN never does."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            bound = self.best * (1 + sign * self.threshold)
        else:
            bound = self.best + sign * self.threshold
        return sign * metric > sign * bound

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Look at the metric of one more epoch: a number or a tensor of one value."""
        metric = float(metrics)
        self.last_epoch += 1
        if self.is_better(metric):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current()

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if self.default_min_lr is not None:
            self.min_lrs = [self.default_min_lr] * len(groups)
        if len(groups) != len(self.min_lrs):
            raise RuntimeError(
                f"ReduceLROnPlateau: the optimizer has {len(groups)} param groups, but had "
                f"{len(self.min_lrs)} when the scheduler was made; add to min_lrs what the new "
                "ones may fall to")
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, lowest)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
