"""What the lessons train with: the digits, a loop of steps, a measurement."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_norm import Generator, Tensor, isfinite, no_grad
from tinygrad_norm.backend.choose import expect
from tinygrad_norm.compiler import machine
from tinygrad_norm.data import DataLoader, Standardize, TensorDataset, datasets, random_split
from tinygrad_norm.nn import Module
from tinygrad_norm.nn import functional as F
from tinygrad_norm.optim import SGD, Optimizer

from .again import kept

WORTH = 100
"""From so many steps on they are compiled the first time, if llvmlite is there: recording one takes
as long as 50 to 80 of them."""


def digits(
    seed: int = 0, *, train: float = 0.8, standardize: bool = True, images: bool = False,
) -> tuple[TensorDataset, TensorDataset]:
    """Handwritten digits, split at random: to train, and to test.

    Args:
        seed: of the split.
        train: the share that is for training.
        standardize: whether each pixel has mean 0 and variance 1 over the training part.
        images: samples (N, 1, 8, 8) rather than (N, 64).
    """
    parts = random_split(datasets.digits(), [train, 1 - train], Generator().manual_seed(seed))
    (x, y), (x_test, y_test) = (part[:] for part in parts)
    if standardize:
        scale = Standardize().fit(x)
        x, x_test = scale(x), scale(x_test)
    if images:
        x, x_test = x.reshape(-1, 1, 8, 8), x_test.reshape(-1, 1, 8, 8)
    return TensorDataset(x, y), TensorDataset(x_test, y_test)


def fit(
    model: Module, data: TensorDataset | DataLoader, steps: int, *, lr: float = 0.1,
    momentum: float = 0.9, batch_size: int = 64, optimizer: Optimizer | None = None,
    criterion: Callable[[Any, Any], Tensor] = F.cross_entropy,
    each: Callable[[int, float], object] | None = None,
) -> np.ndarray:
    """Train for so many steps, the data shuffled anew for each pass, incomplete batches left out.

    Stops where the loss is no finite number any more: the losses from there on are NaN, and that is
    how a lesson sees that a run diverged; no warning is shown on the way.

    Args:
        data: samples and targets, or a loader of batches.
        lr, momentum: of SGD, unless an optimizer is given.
        criterion: the loss of (output, target).
        each: called after each step with its number, from 0, and its loss; where it returns True
            the training ends, and the losses from there on are NaN.

    Returns:
        The loss of each step, (steps,).
    """
    if optimizer is None:
        optimizer = SGD(model.parameters(), lr=lr, momentum=momentum)
    if not isinstance(data, DataLoader):
        data = DataLoader(data, min(batch_size, len(data)), shuffle=True, drop_last=True)
    losses = np.full(steps, np.nan)
    model.train()
    looped = machine.available() and _is_looped(model) and not optimizer.state
    take = (kept(_step, model, optimizer, criterion, now=steps >= WORTH) if looped
            else _step(model, optimizer, criterion))
    with _quietly():
        for step, (x, y) in zip(range(steps), _forever(data), strict=False):
            losses[step] = take(x, y).item()
            if not np.isfinite(losses[step]):
                losses[step] = np.nan
                break
            if each is not None and each(step, losses[step]) is True:
                break
    return losses


def _step(
    model: Module, optimizer: Optimizer, criterion: Callable[[Any, Any], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """A step that gives the loss, and changes nothing where it is no finite number."""
    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        ask = expect(type(loss.array))
        if ask is None or ask(isfinite(loss).array):
            loss.backward()
            optimizer.step()
        return loss
    return step


def _is_looped(model: Module) -> bool:
    """Whether its steps can be compiled: what hooks see at each step is not recorded."""
    return not any(layer._forward_hooks for layer in model.modules())


@no_grad()
def evaluate(
    model: Module, data: TensorDataset,
    criterion: Callable[[Any, Any], Tensor] = F.cross_entropy,
) -> tuple[float, float]:
    """(mean loss, accuracy) over all samples at once, in eval mode; the mode stays as it was."""
    training, (x, y) = model.training, data.tensors
    model.eval()
    try:
        with _quietly():
            scores = model(x)
            return criterion(scores, y).item(), (scores.argmax(1) == y).float().mean().item()
    finally:
        model.train(training)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Neither NumPy nor a norm that refuses a batch without a finite variance says so; nor does a
    step say that it runs as it is, since what it does cannot be recorded."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compile: ", UserWarning)
        warnings.filterwarnings("ignore", ".*running statistics stay", RuntimeWarning)
        yield


def _forever(loader: DataLoader) -> Iterator[Any]:
    """Batches, pass after pass."""
    while True:
        yield from loader
