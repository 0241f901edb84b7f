"""Norms that training no longer moves."""

from __future__ import annotations

from typing import TypeVar

from ..module import Module
from .find import check_model, named_norms, remembers

M = TypeVar("M", bound=Module)


def freeze(model: M, stats: bool = True, affine: bool = True) -> M:
    """Hold the norms of a model still, for fine-tuning with batches that are few or unlike.

    Unlike ``model.eval()`` it survives ``model.train()``: only ``unfreeze`` takes it back. It also
    survives a deep copy, shows in the repr, and leaves the keys of the state dict as they are.
    All other layers are left alone.

    Args:
        model: in which the norms are looked for; it may be one itself.
        stats: norms with running statistics stay in inference mode: the statistics are used and
            not updated. Norms without any go on as before.
        affine: the norms' parameters no longer require grad and lose the gradient they have, so
            that an optimizer passes them over, with momentum and weight decay too.

    Returns:
        The model.

    >>> import tinygrad_norm as tn
    >>> net = tn.nn.Sequential(tn.nn.Linear(3, 2), tn.nn.BatchNorm1d(2))
    >>> net = tn.nn.utils.freeze(net).train()
    >>> net[0].training, net[1].training, net[1].weight.requires_grad
    (True, False, False)
    """
    check_model("freeze", model)
    for _, norm in named_norms(model):
        if stats and remembers(norm):
            norm._frozen = True
            norm.training = False
        if affine:
            norm.requires_grad_(False).zero_grad()
    return model


def unfreeze(model: M, stats: bool = True, affine: bool = True) -> M:
    """Take :func:`freeze` back.

    The norms take on the mode of the model, one that is the model itself at the next ``train()``.

    Args:
        stats: running statistics move again in training mode.
        affine: all parameters of the norms require grad again.

    Returns:
        The model.
    """
    check_model("unfreeze", model)
    mode = model.training
    for _, norm in named_norms(model):
        if stats and norm._frozen:
            del norm._frozen
            norm.training = mode
        if affine:
            norm.requires_grad_()
    return model
