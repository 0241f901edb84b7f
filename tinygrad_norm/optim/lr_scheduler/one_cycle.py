"""One cycle: the learning rate goes up, then down to almost nothing, the momentum the other way."""

from __future__ import annotations

import math
from typing import Any

from ..groups import Group
from ..optimizer import Optimizer
from .base import LRScheduler, checked, for_each_group


class OneCycleLR(LRScheduler):
    """lr goes from max_lr/div_factor up to max_lr and down to (its start)/final_div_factor.

    ``step()`` is called after every batch, ``total_steps`` times at most.

    Args:
        optimizer: whose groups are written to; with ``cycle_momentum`` it must have a momentum, or
            betas, whose first one is then moved.
        max_lr: the peak, or a list with one for each group.
        total_steps: the length; or ``epochs`` and ``steps_per_epoch``, whose product it is.
        pct_start: the part of it that goes up, a float between 0 and 1.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: move the momentum between ``max_momentum`` and ``base_momentum``.
        three_phase: go down to the start as slowly as up, then to the end.
        last_epoch: the step to go on from.

    Raises:
        ValueError: an option out of its range; from ``step()``: more than ``total_steps`` calls.

    Source: Smith and Topin 2018 (arXiv:1708.07120); by default two phases, as fast.ai has them.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | list[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85, max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0, final_div_factor: float = 1e4, three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked(self, optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: Expected float between 0 and 1 pct_start, got "
                             f"{pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy must be one of 'cos' or 'linear', got "
                             f"{anneal_strategy!r}")
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.phases = _phases(self.total_steps, pct_start, three_phase)
        max_lrs = for_each_group(self, "max_lr", max_lr, optimizer)
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError("OneCycleLR: optimizer must support momentum with the cycle_momentum "
                             f"option enabled, but {type(optimizer).__name__} has none; pass "
                             "cycle_momentum=False")
        highs = for_each_group(self, "max_momentum", max_momentum, optimizer)
        lows = for_each_group(self, "base_momentum", base_momentum, optimizer)
        if last_epoch == -1:
            for group, peak, high, low in zip(
                    optimizer.param_groups, max_lrs, highs, lows, strict=True):
                start = peak / div_factor
                group.update(initial_lr=start, max_lr=peak, min_lr=start / final_div_factor)
                if cycle_momentum:
                    group.update(max_momentum=high, base_momentum=low)
                    self._set_momentum(group, high)
        super().__init__(optimizer, last_epoch)

    def _advance(self) -> None:
        if self.last_epoch >= self.total_steps:
            raise ValueError(
                f"OneCycleLR: Tried to step {self.last_epoch + 1} times. The specified number of "
                f"total steps is {self.total_steps}; call step() once a batch and no more, or "
                "count epochs * steps_per_epoch again")
        super()._advance()
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                self._set_momentum(group, self._at("momentum", group))

    def _set_momentum(self, group: Group, momentum: float) -> None:
        """Adam's momentum is the first of its betas."""
        if "betas" in self.optimizer.defaults:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def get_lr(self) -> list[float]:
        return [self._at("lr", group) for group in self.optimizer.param_groups]

    def _at(self, what: str, group: Group) -> float:
        """The ``"lr"`` or ``"momentum"`` of a group now, between the two ends of the phase."""
        begin: float = 0
        for phase in self.phases:
            end = phase["end_step"]
            if self.last_epoch <= end or phase is self.phases[-1]:
                break
            begin = end
        # a phase of no length is at its end
        part = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        low, high = group[phase[f"start_{what}"]], group[phase[f"end_{what}"]]
        if self.anneal_strategy == "linear":
            return float((high - low) * part + low)
        return float(high + (low - high) / 2 * (math.cos(math.pi * part) + 1))


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        counts = {"total_steps": total_steps}
    elif epochs is not None and steps_per_epoch is not None:
        counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    else:
        raise ValueError("OneCycleLR: You must define either total_steps OR (epochs AND "
                         "steps_per_epoch)")
    for name, count in counts.items():
        if not isinstance(count, int) or count <= 0:
            raise ValueError(f"OneCycleLR: Expected positive integer {name}, got {count!r}")
    return math.prod(counts.values())


def _phases(total: int, part: float, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and between which of the group's values it goes."""

    def phase(end: float, lr: tuple[str, str], momentum: tuple[str, str]) -> dict[str, Any]:
        return {"end_step": end, "start_lr": lr[0], "end_lr": lr[1],
                "start_momentum": momentum[0], "end_momentum": momentum[1]}

    high, low = "max_momentum", "base_momentum"
    up = phase(float(part * total) - 1, ("initial_lr", "max_lr"), (high, low))
    if not three:
        return [up, phase(total - 1, ("max_lr", "min_lr"), (low, high))]
    return [up,
            phase(float(2 * part * total) - 2, ("max_lr", "initial_lr"), (low, high)),
            phase(total - 1, ("initial_lr", "min_lr"), (high, high))]
