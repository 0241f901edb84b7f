"""Optimizers, and schedules of their learning rate.

    optimizer.py     Optimizer, the base class: groups of parameters, state dicts
    param_groups.py  norms and biases apart, which weight decay leaves alone
    sgd.py           SGD: gradient descent with momentum
    adam.py          Adam, AdamW: a step of its own size for each coordinate
    together.py      many small parameters updated as one array
    blocks.py        large parameters updated in blocks
    lr_scheduler/    how the learning rate changes from epoch to epoch
"""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .param_groups import param_groups
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "param_groups"]
