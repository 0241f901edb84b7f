"""The norms of a model, and which of them remember."""

from __future__ import annotations

from collections.abc import Iterator

from ...backend.array import to_numpy
from ..module import Buffer, Module
from ..normalization.channel import ChannelNorm

PACKAGE = ChannelNorm.__module__.rpartition(".")[0]


def is_norm(module: Module) -> bool:
    """Whether it is a layer of this package, or of a class derived from one."""
    return any(base.__module__.startswith(PACKAGE) for base in type(module).__mro__)


def named_norms(model: Module) -> Iterator[tuple[str, Module]]:
    """The norms in ``model``, itself included, each once, by dotted name."""
    return ((name, module) for name, module in model.named_modules() if is_norm(module))


def remembers(norm: Module) -> bool:
    """Whether training leaves something in it for inference: running statistics."""
    return any(isinstance(value, Buffer) for value in vars(norm).values())


def is_unset(norm: ChannelNorm) -> bool:
    """Whether its running statistics are still those that it was made with."""
    batches, mean, spread = (getattr(norm, name) for name in (
        "num_batches_tracked", "running_mean", norm.spread))
    if spread is None or (batches is not None and batches.item()):
        return False
    if mean is not None and to_numpy(mean.array).any():
        return False
    return spread.ndim > 1 or bool((to_numpy(spread.array) == 1).all())


def check_model(who: str, model: object) -> None:
    """A model, not its parameters or a tensor.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(model, Module):
        raise TypeError(f"{who}: expected a Module, got {type(model).__name__}; "
                        "pass the model or one of its layers")
