"""The normalization layers. One algebra: what is reduced, what is centred, where weight varies.

    layer              reduced                 centred   weight, bias       remembers
    BatchNorm1d/2d/3d  N, *spatial             yes       (C,)               mean, variance
    BatchRenorm1d/…    N, *spatial             yes       (C,)               mean, deviation
    InstanceNorm1d/…   *spatial                yes       (C,)               if asked for
    GroupNorm          C/groups, *spatial      yes       (C,)               nothing
    LayerNorm          the last k              yes       normalized_shape   nothing
    RMSNorm            the last k              no        normalized_shape   nothing

All of them are ``ops.normalize``, whose formulas and gradient stand in ``backend/reference.py``.
"""

from .batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .batch_renorm import BatchRenorm1d, BatchRenorm2d, BatchRenorm3d
from .group import GroupNorm
from .instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from .layer import LayerNorm, RMSNorm

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d",
    "BatchRenorm1d", "BatchRenorm2d", "BatchRenorm3d",
    "GroupNorm",
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d",
    "LayerNorm", "RMSNorm",
]  # fmt: skip
