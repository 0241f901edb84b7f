"""The norms of a model, and which of them remember."""

from __future__ import annotations

from collections.abc import Iterator

from ..module import Buffer, Module
from ..normalization.channel import ChannelNorm
from ..normalization.running import are_initial

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
    spread = getattr(norm, norm.spread)
    return spread is not None and are_initial(norm.running_mean, spread, norm.num_batches_tracked)


def check_model(who: str, model: object) -> None:
    """A model, not its parameters or a tensor.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(model, Module):
        raise TypeError(f"{who}: expected a Module, got {type(model).__name__}; "
                        "pass the model or one of its layers")
