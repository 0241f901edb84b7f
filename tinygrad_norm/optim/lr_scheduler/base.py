"""The base class: counts the epochs, and writes the learning rates into the optimizer's groups."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from ..optimizer import Optimizer


class LRScheduler:
    """Base class of schedules: a subclass defines ``get_lr`` from ``last_epoch``.

    The constructor sets the learning rates of epoch 0; each ``step()`` sets those of the next.

    Args:
        optimizer: whose groups are written to.
        last_epoch: the epoch to go on from; the groups must hold ``"initial_lr"`` then. By
            default the schedule starts.

    Raises:
        TypeError: no optimizer. KeyError: ``last_epoch`` without ``"initial_lr"``.
    """

    unsaved: ClassVar[tuple[str, ...]] = ("optimizer",)
    """The attributes that do not belong into the state dict."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: param 'initial_lr' is not specified in "
                    f"param_groups[{i}], which last_epoch={last_epoch} needs; load the optimizer's "
                    "state dict first, or leave last_epoch at -1")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self._last_lr: list[float] = []
        self.step()

    @property
    def starting(self) -> bool:
        """Whether the constructor asks: learning rates that only follow from the previous ones
        are then left as they are."""
        return self._step_count == 1

    def get_lr(self) -> list[float]:
        """The learning rate of each group at ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__}: define get_lr(self)")

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group, as last set."""
        return self._last_lr

    def step(self) -> None:
        """Go to the next epoch; to be called after the optimizer's ``step()``."""
        if self._step_count == 1 and self.optimizer.stepped is False:
            warnings.warn(
                "Detected call of lr_scheduler.step() before optimizer.step(): the first learning "
                "rate of the schedule is skipped; call optimizer.step() first", stacklevel=2)
        self._advance()

    def _advance(self) -> None:
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = float(lr)
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, in plain numbers, strings, lists and dicts.

        The current learning rates are the optimizer's: save its state dict too.
        """
        return {name: copy.deepcopy(value) for name, value in vars(self).items()
                if name not in self.unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from where another scheduler of this class was.

        Raises:
            ValueError: the state of another class, or for another number of groups; nothing is
                changed then.
        """
        who, own = type(self).__name__, self.state_dict()
        if set(state_dict) != set(own):
            raise ValueError(
                f"{who}: expected a state dict with {', '.join(sorted(own))}; got "
                f"{', '.join(sorted(map(str, state_dict))) or 'an empty one'}; is it of another "
                "scheduler?")
        expected, got = len(own["_last_lr"]), len(state_dict["_last_lr"])
        if expected != got:
            raise ValueError(f"{who}: the optimizer has {expected} parameter groups, the state "
                             f"dict is for {got}; is it of another model?")
        vars(self).update(copy.deepcopy(dict(state_dict)))


def checked(scheduler: LRScheduler, optimizer: Any) -> Optimizer:
    """``optimizer``, if it is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: expected an Optimizer, got "
                        f"{type(optimizer).__name__}")
    return optimizer


def for_each_group(scheduler: LRScheduler, name: str, value: Any, optimizer: Optimizer) -> Any:
    """A list with an entry for each group: ``value`` itself, or as often as there are groups."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{type(scheduler).__name__}: {name} must have the same length as "
                         f"optimizer.param_groups: expected {count} values, got {len(value)}")
    return list(value)
