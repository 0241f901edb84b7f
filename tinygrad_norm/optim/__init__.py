"""Optimizers, and schedules of their learning rate.

    optimizer.py     Optimizer, the base class: groups of parameters, state dicts
    param_groups.py  norms and biases apart, which weight decay leaves alone
    sgd.py           SGD: gradient descent with momentum
    lr_scheduler/    how the learning rate changes from epoch to epoch
"""

from . import lr_scheduler
from .optimizer import Optimizer
from .param_groups import param_groups
from .sgd import SGD

__all__ = ["SGD", "Optimizer", "lr_scheduler", "param_groups"]
