"""Optimizers, and schedules of their learning rate.

    optimizer.py   Optimizer, the base class: groups of parameters, state dicts
    sgd.py         SGD: gradient descent with momentum
    lr_scheduler/  how the learning rate changes from epoch to epoch
"""

from . import lr_scheduler
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Optimizer", "lr_scheduler"]
