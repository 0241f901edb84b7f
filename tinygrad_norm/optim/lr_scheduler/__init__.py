"""How the learning rate changes: one ``step()`` after each epoch (OneCycleLR: after each batch).

    base.py       LRScheduler, the base class
    decay.py      StepLR, MultiStepLR, ExponentialLR, CosineAnnealingLR, LambdaLR
    one_cycle.py  OneCycleLR: up and down once, with the momentum the other way
    plateau.py    ReduceLROnPlateau: down when a metric no longer improves
"""

from ... import public
from .base import LRScheduler
from .decay import CosineAnnealingLR, ExponentialLR, LambdaLR, MultiStepLR, StepLR
from .one_cycle import OneCycleLR
from .plateau import ReduceLROnPlateau

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]

public.publish(globals())
