"""Optimizers, and schedules of their learning rate.

    optimizer.py     Optimizer, the base class: the step around a rule, state dicts
    sgd.py           SGD: gradient descent with momentum
    adam.py          Adam, AdamW: a step of its own size for each coordinate
    groups.py        what may be in a group of parameters
    param_groups.py  norms and biases apart, which weight decay leaves alone
    saved.py         what of a saved state fits
    lr_scheduler/    how the learning rate changes from epoch to epoch

A rule is a pure function of arrays and numbers. How it is run fast on NumPy, it does not see::

    in_place.py      the rule as calls that write into given arrays
    blocks.py        large parameters, in blocks
    together.py      many small parameters, as one array
"""

from .. import public
from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .param_groups import param_groups
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "param_groups"]

public.publish(globals())
